//! What a layer replaces within itself, put aside under numbers.

use rustix::fs::{AtFlags, Mode, OFlags};
use rustix::io::Errno;
use std::ffi::{OsStr, OsString};
use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::Path;

/// A folder that is made when the first thing comes into it; few layers need one.
pub(crate) struct Kept {
    parent: OwnedFd,
    name: OsString,
    folder: Option<OwnedFd>,
    count: u64,
    /// Paths that were put aside and are not in the recipe yet.
    fresh: Vec<Vec<u8>>,
}

impl Kept {
    /// It will lie in `parent`, under `name`.
    pub(super) fn new(parent: OwnedFd, name: &OsStr) -> Self {
        Kept { parent, name: name.to_owned(), folder: None, count: 0, fresh: Vec::new() }
    }

    /// Puts aside what lies at `name`, known as `path`, if there is anything. It is no folder.
    pub(crate) fn put(&mut self, from: BorrowedFd<'_>, name: &OsStr, path: &[u8]) -> rustix::io::Result<()> {
        match rustix::fs::statat(from, name, AtFlags::SYMLINK_NOFOLLOW) {
            Err(Errno::NOENT) => return Ok(()),
            other => other?,
        };
        let folder = match &self.folder {
            Some(folder) => folder,
            None => {
                rustix::fs::mkdirat(&self.parent, &self.name, Mode::RWXU)?;
                let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                self.folder.insert(rustix::fs::openat(&self.parent, &self.name, flags, Mode::empty())?)
            }
        };
        rustix::fs::renameat(from, name, folder, Path::new(&self.count.to_string()))?;
        self.count += 1;
        self.fresh.push(path.to_vec());
        Ok(())
    }

    /// What was put aside since the last call, in order.
    pub(crate) fn fresh(&mut self) -> Vec<Vec<u8>> {
        std::mem::take(&mut self.fresh)
    }
}
