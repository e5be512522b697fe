//! What an entry says of itself, and what it means when the kernel does not take it.

use super::Ownership;
use crate::tape::{hostile, shown};
use crate::{Error, Kind, Result};
use rustix::fs::{Gid, Timespec, Timestamps, Uid, XattrFlags};
use rustix::io::Errno;
use std::ffi::OsStr;
use std::os::fd::BorrowedFd;
use std::os::unix::ffi::OsStrExt;

/// What an entry says of itself beside its content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Attributes {
    pub(crate) mode: u32,
    pub(crate) uid: u64,
    pub(crate) gid: u64,
    pub(crate) mtime: i64,
    pub(crate) mtime_nanos: u32,
}

impl Attributes {
    /// What a folder gets of which no layer speaks.
    pub(super) fn unstated() -> Self {
        Attributes { mode: 0o755, uid: 0, gid: 0, mtime: 0, mtime_nanos: 0 }
    }

    pub(super) fn kept_mode(&self, ownership: Ownership) -> u32 {
        ownership.mode(self.mode, self.uid, self.gid)
    }

    pub(super) fn times(&self) -> Timestamps {
        let time = Timespec { tv_sec: self.mtime, tv_nsec: self.mtime_nanos.into() };
        Timestamps { last_access: time, last_modification: time }
    }

    /// Owner and group, as numbers that the kernel can take.
    pub(super) fn ids(&self, path: &[u8]) -> Result<(Uid, Gid)> {
        // The largest number means "leave it as it is" to the kernel.
        let id = |id: u64| u32::try_from(id).ok().filter(|id| *id != u32::MAX);
        match (id(self.uid), id(self.gid)) {
            (Some(uid), Some(gid)) => Ok((Uid::from_raw(uid), Gid::from_raw(gid))),
            _ => Err(hostile(format!("{} belongs to {}:{}, which cannot be", shown(path), self.uid, self.gid))),
        }
    }
}

/// An error of a call on an entry of the layer.
pub(super) fn failed(doing: &str, path: &[u8], error: Errno) -> Error {
    let what = format!("{doing} {}", shown(path));
    match error {
        Errno::NOSPC | Errno::DQUOT | Errno::IO | Errno::MFILE | Errno::NFILE | Errno::ROFS => Error::io(what, error),
        Errno::OPNOTSUPP => {
            Error::io(what, error).remedy("put the image store on ext4, xfs or btrfs, which keep extended attributes")
        }
        _ => Error::new(Kind::Storage, format!("{what}: {error}")),
    }
}

pub(super) fn chown_failed(path: &[u8], attributes: &Attributes, error: Errno) -> Error {
    if !matches!(error, Errno::INVAL | Errno::PERM) {
        return failed("giving its owner to", path, error);
    }
    let what =
        format!("{} belongs to {}:{}, an id outside of this user's range", shown(path), attributes.uid, attributes.gid);
    Error::new(Kind::Storage, what).remedy("give the user a range of 65536 ids in /etc/subuid and /etc/subgid")
}

pub(super) fn set_xattr(file: BorrowedFd<'_>, path: &[u8], name: &[u8], value: &[u8]) -> Result<()> {
    rustix::fs::fsetxattr(file, OsStr::from_bytes(name), value, XattrFlags::empty())
        .map_err(|e| failed("setting an extended attribute of", path, e))
}
