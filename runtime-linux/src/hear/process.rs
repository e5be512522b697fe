//! What the kernel says of a process that waits.

use std::io::Read;

/// `/proc/PID/status`.
pub(super) struct Status(String);

/// Whose rights a process has. Nothing changes them: there is no capability, and no set-uid program.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Rights {
    pub(super) uid: u32,
    pub(super) groups: Vec<u32>,
}

impl Status {
    /// Of a thread, by its number here.
    pub(super) fn of(thread: i32) -> Option<Status> {
        read(&format!("/proc/{thread}/status")).map(Status)
    }

    fn field(&self, name: &str) -> &str {
        let line = self.0.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        line.unwrap_or_default().trim()
    }

    /// The process that the thread belongs to.
    pub(super) fn process(&self) -> Option<i32> {
        self.field("Tgid").parse().ok()
    }

    pub(super) fn parent(&self) -> Option<i32> {
        self.field("PPid").parse().ok().filter(|pid| *pid != 0)
    }

    pub(super) fn rights(&self) -> Rights {
        // Real, effective, saved, and that for files.
        let last = |name| self.field(name).split_whitespace().last()?.parse::<u32>().ok();
        let more = self.field("Groups").split_whitespace().filter_map(|group| group.parse().ok());
        Rights { uid: last("Uid").unwrap_or(u32::MAX), groups: last("Gid").into_iter().chain(more).collect() }
    }
}

/// The name that a process goes by: its own choice, at most 15 bytes.
pub(super) fn name(pid: i32) -> String {
    let name = read(&format!("/proc/{pid}/comm")).unwrap_or_default();
    name.trim_end_matches('\n').to_string()
}

/// What fits into one page, in one go: the task waits meanwhile.
fn read(path: &str) -> Option<String> {
    let mut room = [0u8; 4096];
    let length = std::fs::File::open(path).ok()?.read(&mut room).ok()?;
    Some(String::from_utf8_lossy(room.get(..length)?).into_owned())
}

/// The folder that a relative path begins at: that of a descriptor, or the one that the process is in.
pub(super) fn folder(pid: i32, descriptor: Option<u64>) -> Option<Vec<u8>> {
    use std::os::unix::ffi::OsStringExt;
    let link = match descriptor.map(|number| number as i32) {
        None | Some(libc::AT_FDCWD) => format!("/proc/{pid}/cwd"),
        Some(number) => format!("/proc/{pid}/fd/{number}"),
    };
    let path = std::fs::read_link(link).ok()?.into_os_string().into_vec();
    path.starts_with(b"/").then_some(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_read() {
        let text =
            "Name:\tx Tgid: 9\nTgid:\t12\nPid:\t13\nPPid:\t7\nUid:\t1\t2\t3\t4\nGid:\t5\t6\t7\t8\nGroups:\t20 21 \n";
        let status = Status(text.into());
        assert_eq!((status.process(), status.parent()), (Some(12), Some(7)));
        assert_eq!(status.rights(), Rights { uid: 4, groups: vec![8, 20, 21] });
    }
}
