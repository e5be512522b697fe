//! The newer system calls that aido lives on: since which kernel they are, and whether this process has them.

use crate::sys::{self, Errno};
use libc::c_long;

/// A system call that not every kernel has.
pub(crate) struct Call {
    pub(crate) name: &'static str,
    number: c_long,
    /// The first kernel with it.
    pub(crate) since: (u32, u32),
    /// What it is for; None: there is another way without it.
    pub(crate) needed_for: Option<&'static str>,
    /// A kernel may refuse it to this user outside of a sandbox.
    privileged: bool,
}

const fn call(name: &'static str, number: c_long, since: (u32, u32), needed_for: Option<&'static str>) -> Call {
    Call { name, number, since, needed_for, privileged: false }
}

const fn mounting(name: &'static str, number: c_long, needed_for: &'static str) -> Call {
    Call { name, number, since: (5, 2), needed_for: Some(needed_for), privileged: true }
}

/// The newest first: it says which kernel is needed.
pub(crate) const CALLS: [Call; 10] = [
    call("mount_setattr", libc::SYS_mount_setattr, (5, 12), Some("a whole tree of mounts read-only in one step")),
    call("close_range", libc::SYS_close_range, (5, 9), None),
    call("openat2", libc::SYS_openat2, (5, 6), Some("opening files without following links")),
    call("clone3", libc::SYS_clone3, (5, 5), None),
    call("pidfd_open", libc::SYS_pidfd_open, (5, 3), Some("ending a process and no other that has its number")),
    mounting("open_tree", libc::SYS_open_tree, "mounting what a descriptor names"),
    mounting("move_mount", libc::SYS_move_mount, "mounting what a descriptor names"),
    mounting("fsopen", libc::SYS_fsopen, "a file system that only the sandbox sees"),
    mounting("fsmount", libc::SYS_fsmount, "a file system that only the sandbox sees"),
    call("pidfd_send_signal", libc::SYS_pidfd_send_signal, (5, 1), Some("ending a process and no other")),
];

impl Call {
    /// What the kernel, or a filter before it, says to a call that cannot do anything.
    fn asked(&self) -> Result<(), Errno> {
        sys::ask(self.number, [usize::MAX, 0, 0]).map(drop)
    }

    fn lacking(&self) -> bool {
        match self.asked() {
            Err(Errno(libc::ENOSYS)) => true,
            // No argument that is wrong brings these from the kernel itself: a filter answers.
            Err(Errno(libc::EPERM | libc::EACCES)) => !self.privileged,
            _ => false,
        }
    }
}

/// The calls without which there is no sandbox, and which this process does not have.
pub(crate) fn missing() -> Vec<&'static Call> {
    CALLS.iter().filter(|call| call.needed_for.is_some() && call.lacking()).collect()
}

/// Those that are missing though there is another way.
pub(crate) fn hidden() -> Vec<&'static Call> {
    CALLS.iter().filter(|call| call.needed_for.is_none() && call.lacking()).collect()
}

/// Whether a process can be ended for certain. Without these calls a sandbox must not even begin.
pub(crate) fn can_end_processes() -> bool {
    CALLS.iter().filter(|call| call.name.starts_with("pidfd")).all(|call| !call.lacking())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn asking_tells_a_call_that_is_there_from_one_that_is_not() {
        assert!(missing().is_empty(), "this kernel runs sandboxes");
        let nothing = Call { name: "nothing", number: 100_000, since: (99, 0), needed_for: None, privileged: false };
        assert!(nothing.lacking());
    }

    #[test]
    fn the_first_call_that_is_missing_says_which_kernel_is_needed() {
        assert!(CALLS.windows(2).all(|pair| pair[0].since >= pair[1].since));
    }
}
