//! Files of the layer that have no name any more and that somebody holds open: they take room until they are closed.
//!
//! The sandbox's own `/proc` has its processes and no other. A thread may have descriptors of its own, so each is asked.

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags};
use std::collections::HashSet;
use std::ffi::CStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// `OVERLAYFS_SUPER_MAGIC`: the only file system of a sandbox on the disk that can be written to. Scratch is in memory, and bounded.
const OVERLAY: rustix::fs::FsWord = 0x794c_7630;

/// Their bytes and their number.
#[derive(Default)]
pub(super) struct Nameless {
    pub(super) bytes: u64,
    pub(super) files: u64,
    seen: HashSet<(u64, u64)>,
}

impl Nameless {
    /// Looks through the processes of `proc`. Who ends meanwhile holds nothing any more.
    pub(super) fn of(proc: BorrowedFd<'_>) -> Nameless {
        let mut found = Nameless::default();
        each(proc, c".", &mut |process| {
            let Some(tasks) = below(proc, process).and_then(|process| below(process.as_fd(), c"task")) else { return };
            each(tasks.as_fd(), c".", &mut |task| {
                let open = below(tasks.as_fd(), task).and_then(|task| below(task.as_fd(), c"fd"));
                if let Some(open) = open {
                    each(open.as_fd(), c".", &mut |number| found.descriptor(open.as_fd(), number));
                }
            });
        });
        found
    }

    fn descriptor(&mut self, open: BorrowedFd<'_>, number: &CStr) {
        let is_nameless = |found: &rustix::fs::Stat| {
            found.st_nlink == 0 && FileType::from_raw_mode(found.st_mode) == FileType::RegularFile
        };
        // A link of /proc's leads to the file itself, whatever its name was.
        let Ok(found) = rustix::fs::statat(open, number, AtFlags::empty()) else { return };
        if !is_nameless(&found) || self.seen.contains(&(found.st_dev, found.st_ino)) {
            return;
        }
        // Held now, so that what is asked of it and what was asked is of one file.
        let Ok(file) = rustix::fs::openat(open, number, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()) else { return };
        let (Ok(found), Ok(on)) = (rustix::fs::fstat(&file), rustix::fs::fstatfs(&file)) else { return };
        if is_nameless(&found) && on.f_type == OVERLAY && self.seen.insert((found.st_dev, found.st_ino)) {
            self.files += 1;
            self.bytes = self.bytes.saturating_add((found.st_blocks as u64).saturating_mul(512));
        }
    }
}

fn below(at: BorrowedFd<'_>, name: &CStr) -> Option<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(at, name, flags, Mode::empty()).ok()
}

/// The numbers in a folder of /proc.
fn each(at: BorrowedFd<'_>, name: &CStr, tell: &mut dyn FnMut(&CStr)) {
    let Some(Ok(entries)) = below(at, name).map(Dir::new) else { return };
    for entry in entries.flatten().filter(|entry| entry.file_name().to_bytes().iter().all(u8::is_ascii_digit)) {
        tell(entry.file_name());
    }
}
