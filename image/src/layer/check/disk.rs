//! Compares what lies on the disk with what an entry says of it.

use crate::beneath;
use crate::layer::Ownership;
use crate::layer::attributes::Attributes;
use crate::layer::said::Xattrs;
use crate::recipe::Place;
use crate::tape::{Extent, shown};
use rustix::fs::{FileType, SeekFrom, Stat};
use rustix::io::Errno;
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;

/// Attributes have names of so many bytes at most, all in all, and a value as many (Linux).
const XATTR_BYTES: usize = 64 << 10;

pub(super) fn kind(stat: &Stat) -> &'static str {
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => "a file",
        FileType::Directory => "a folder",
        FileType::Symlink => "a symbolic link",
        FileType::CharacterDevice if stat.st_rdev == 0 => "a whiteout",
        FileType::CharacterDevice | FileType::BlockDevice => "a device",
        FileType::Fifo => "a pipe",
        _ => "a socket",
    }
}

/// Compares as the layer's ownership has it.
pub(super) struct Eye {
    pub(super) ownership: Ownership,
    /// A folder where there may be files without a name.
    pub(super) scratch: OwnedFd,
}

impl Eye {
    /// What differs, in words.
    pub(super) fn differs(&self, path: &[u8], stat: &Stat, of: &Attributes) -> Option<String> {
        let path = shown(path);
        // The mode of a symbolic link says nothing.
        let link = FileType::from_raw_mode(stat.st_mode) == FileType::Symlink;
        let (mode, meant) = (stat.st_mode & 0o7777, of.kept_mode(self.ownership));
        if !link && mode != meant {
            return Some(format!("{path} has the mode {mode:04o}, and not {meant:04o}"));
        }
        let (uid, gid) = (u64::from(stat.st_uid), u64::from(stat.st_gid));
        let keeps = self.ownership.keeps_owners();
        if keeps && (uid, gid) != (of.uid, of.gid) {
            return Some(format!("{path} belongs to {uid}:{gid}, and not to {}:{}", of.uid, of.gid));
        }
        let own = rustix::process::geteuid().as_raw();
        if !keeps && stat.st_uid != own {
            return Some(format!("{path} belongs to user {uid}, and not to {own}"));
        }
        let (time, meant) = ((stat.st_mtime, stat.st_mtime_nsec as u32), (of.mtime, of.mtime_nanos));
        if time != meant && self.kept_time(of) != Some(time) {
            let ((at, nanos), (seconds, fraction)) = (time, meant);
            return Some(format!("{path} was last changed at {at}.{nanos:09}, and not at {seconds}.{fraction:09}"));
        }
        None
    }

    /// The time as this file system keeps it: some know seconds only, and none knows all years.
    fn kept_time(&self, of: &Attributes) -> Option<(i64, u32)> {
        let file = beneath::nameless(self.scratch.as_fd()).ok()?;
        rustix::fs::futimens(&file, &of.times()).ok()?;
        let stat = rustix::fs::fstat(&file).ok()?;
        Some((stat.st_mtime, stat.st_mtime_nsec as u32))
    }

    /// The attributes that are kept of those that an entry has.
    pub(super) fn kept<'a>(&self, xattrs: &'a Xattrs) -> BTreeMap<&'a [u8], &'a [u8]> {
        let taken = xattrs.iter().filter(|(name, value)| self.ownership.takes(name, value));
        taken.map(|(name, value)| (name.as_slice(), value.as_slice())).collect()
    }
}

/// What differs in the extended attributes that count: `user.*`, and file capabilities.
pub(super) fn xattrs(
    path: &[u8],
    file: BorrowedFd<'_>,
    meant: &BTreeMap<&[u8], &[u8]>,
) -> Result<Option<String>, Errno> {
    let mut names = vec![0; XATTR_BYTES];
    let length = match rustix::fs::flistxattr(file, &mut names[..]) {
        Err(Errno::OPNOTSUPP) => 0,
        other => other?,
    };
    let found: Vec<&[u8]> = names[..length]
        .split(|b| *b == 0)
        .filter(|name| name.starts_with(b"user.") || *name == b"security.capability")
        .collect();
    if let Some(extra) = found.iter().find(|name| !meant.contains_key(**name)) {
        return Ok(Some(format!("{} has an attribute too many: {}", shown(path), shown(extra))));
    }
    for (name, value) in meant {
        let mut there = vec![0; value.len() + 1];
        let got = match rustix::fs::fgetxattr(file, OsStr::from_bytes(name), &mut there[..]) {
            Err(Errno::NODATA | Errno::RANGE | Errno::OPNOTSUPP) => None,
            other => Some(other?),
        };
        if got.is_none_or(|got| there[..got] != **value) {
            return Ok(Some(format!("{} has another value for its attribute {}", shown(path), shown(name))));
        }
    }
    Ok(None)
}

/// Whether there is data outside of the extents, where a sparse file has none.
pub(super) fn holes_are_empty(file: &File, size: u64, extents: &[Extent]) -> Result<bool, Errno> {
    let mut start = 0;
    let ends = extents.iter().map(|extent| (extent.offset, extent.offset + extent.length));
    for (from, to) in ends.chain([(size, size)]) {
        if !is_empty(file, start, from)? {
            return Ok(false);
        }
        start = to;
    }
    Ok(true)
}

fn is_empty(file: &File, mut at: u64, end: u64) -> Result<bool, Errno> {
    let mut buffer = vec![0; 64 << 10];
    while at < end {
        // Holes are passed over, where the file system knows them.
        at = match rustix::fs::seek(file, SeekFrom::Data(at)) {
            Err(Errno::NXIO) => return Ok(true),
            Err(Errno::INVAL | Errno::OPNOTSUPP) => at,
            other => other?,
        };
        if at >= end {
            return Ok(true);
        }
        let most = (end - at).min(buffer.len() as u64) as usize;
        let got = file.read_at(&mut buffer[..most], at).map_err(|e| Errno::from_io_error(&e).unwrap_or(Errno::IO))?;
        if got == 0 || buffer[..got].iter().any(|b| *b != 0) {
            return Ok(got == 0);
        }
        at += got as u64;
    }
    Ok(true)
}

/// How many things lie in a folder; no more are counted than matter.
pub(super) fn count(folder: &impl AsFd, enough: u64) -> Result<u64, Errno> {
    let mut count = 0;
    let mut entries = rustix::fs::Dir::read_from(folder)?;
    while let Some(entry) = entries.read() {
        let entry = entry?;
        count += u64::from(!matches!(entry.file_name().to_bytes(), b"." | b".."));
        if count > enough {
            break;
        }
    }
    Ok(count)
}

pub(super) fn target(place: &Place<'_>) -> Result<Vec<u8>, Errno> {
    let read = rustix::fs::readlinkat(place.folder, OsStr::from_bytes(&place.name), Vec::new())?;
    Ok(read.into_bytes())
}
