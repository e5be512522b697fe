//! What the calls that are asked about are about: which of their arguments names a file, flags, an address.

use crate::seccomp;

/// A path among the arguments: the place of the folder that it begins at, where there is one, and that of its text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct At {
    pub(super) folder: Option<usize>,
    pub(super) path: usize,
}

/// Where the flags of an opening are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flags {
    Argument(usize),
    /// The first word of what an argument points at.
    Behind(usize),
    /// Those of `creat`.
    Creating,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum About {
    Execution {
        at: At,
        args: usize,
    },
    Opening {
        at: At,
        flags: Flags,
    },
    Making(At),
    Removing(At),
    Moving(At, At),
    /// What is there: its content, mode, owner, times or attributes.
    Altering(At),
    /// The place of the address; its length follows.
    Connecting(usize),
    Binding(usize),
}

/// By a call's number.
pub(super) struct Calls(Vec<Option<About>>);

impl Calls {
    pub(super) fn here() -> Calls {
        Calls((0..512).map(|number| about(&seccomp::name(number))).collect())
    }

    pub(super) fn about(&self, number: i32) -> Option<About> {
        *self.0.get(usize::try_from(number).ok()?)?
    }
}

fn about(call: &str) -> Option<About> {
    let at = |path| At { folder: None, path };
    let beside = |folder| At { folder: Some(folder), path: folder + 1 };
    Some(match call {
        "execve" => About::Execution { at: at(0), args: 1 },
        "execveat" => About::Execution { at: beside(0), args: 2 },
        "open" => About::Opening { at: at(0), flags: Flags::Argument(1) },
        "openat" => About::Opening { at: beside(0), flags: Flags::Argument(2) },
        "openat2" => About::Opening { at: beside(0), flags: Flags::Behind(2) },
        "creat" => About::Opening { at: at(0), flags: Flags::Creating },
        "mkdir" | "mknod" => About::Making(at(0)),
        "mkdirat" | "mknodat" => About::Making(beside(0)),
        "symlink" | "link" => About::Making(at(1)),
        "symlinkat" => About::Making(beside(1)),
        "linkat" => About::Making(beside(2)),
        "unlink" | "rmdir" => About::Removing(at(0)),
        "unlinkat" => About::Removing(beside(0)),
        "rename" => About::Moving(at(0), at(1)),
        "renameat" | "renameat2" => About::Moving(beside(0), beside(2)),
        "truncate" | "chmod" | "chown" | "lchown" | "utime" | "utimes" | "setxattr" | "lsetxattr" | "removexattr"
        | "lremovexattr" => About::Altering(at(0)),
        "fchmodat" | "fchmodat2" | "fchownat" | "futimesat" | "utimensat" | "setxattrat" => About::Altering(beside(0)),
        "connect" => About::Connecting(1),
        "sendto" => About::Connecting(4),
        "bind" => About::Binding(1),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_call_that_is_asked_about_is_known() {
        let asked = seccomp::asked_although_allowed();
        assert!(asked.len() > 30 || cfg!(not(target_arch = "x86_64")), "{asked:?}");
        for call in asked {
            assert!(about(&call).is_some(), "{call} costs the task time, and nothing is made of it");
        }
        assert_eq!(about("read"), None);
    }
}
