//! Makes one folder of several unpacked layers: what an overlay mount of them would show.
//!
//! Files are linked, folders are made anew. Whiteouts and opaque folders are kept, since other layers
//! may lie below.

use super::attributes::{failed, set_xattr};
use crate::{Result, beneath};
use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, Stat, Timespec, Timestamps};
use rustix::io::Errno;
use std::ffi::OsStr;
use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;

const OPAQUE: &[u8] = b"user.overlay.opaque";
const ORIGIN: &[u8] = b"user.overlay.origin";

struct Union<'a> {
    /// Topmost first.
    layers: &'a [OwnedFd],
    target: OwnedFd,
    path: Vec<u8>,
}

/// Which layers show at a path, the topmost first, and whether nothing below all of them does.
struct Shown {
    layers: Vec<usize>,
    closed: bool,
}

/// Merges `layers`, topmost first, into `target`, an empty folder on the same file system. As many
/// descriptors are open as there are layers, and two for each folder on the way down.
pub(crate) fn union(layers: &[OwnedFd], target: OwnedFd) -> Result<()> {
    let mut union = Union { layers, target, path: Vec::new() };
    let all: Vec<usize> = (0..layers.len()).collect();
    let shown = union.shown(&all)?;
    union.folder(&shown)
}

impl Union<'_> {
    fn failed(&self, doing: &str, error: Errno) -> crate::Error {
        let told = failed(doing, &self.path, error);
        if error != Errno::ACCESS {
            return told;
        }
        let closed = crate::Error { kind: crate::Kind::Closed, ..told };
        closed.remedy("give the user a range of 65536 ids in /etc/subuid and /etc/subgid, so that closed folders open")
    }

    /// Of these layers, those that have the folder at the current path and show there.
    fn shown(&self, of: &[usize]) -> Result<Shown> {
        let mut shown = Shown { layers: Vec::new(), closed: false };
        for layer in of {
            let handle = match beneath::handle(self.layers[*layer].as_fd(), &self.path) {
                Err(Errno::NOENT) => continue,
                other => other.map_err(|e| self.failed("looking at", e))?,
            };
            let stat = rustix::fs::fstat(&handle).map_err(|e| self.failed("looking at", e))?;
            if FileType::from_raw_mode(stat.st_mode) != FileType::Directory {
                // The folder above it replaces it, and whatever lies below.
                shown.closed = true;
                break;
            }
            shown.layers.push(*layer);
            let folder = self.open(*layer)?;
            let mut value = [0; 1];
            match rustix::fs::fgetxattr(&folder, OsStr::from_bytes(OPAQUE), &mut value) {
                Ok(1) if value == *b"y" => {
                    shown.closed = true;
                    break;
                }
                Ok(_) | Err(Errno::NODATA | Errno::OPNOTSUPP | Errno::RANGE) => {}
                Err(e) => return Err(self.failed("reading the marks of", e)),
            }
        }
        Ok(shown)
    }

    fn open(&self, layer: usize) -> Result<OwnedFd> {
        let open = beneath::readable_folder(self.layers[layer].as_fd(), &self.path);
        open.map_err(|e| self.failed("opening", e))
    }

    /// Fills the folder at the current path, which is there and empty, and gives it its attributes.
    fn folder(&mut self, shown: &Shown) -> Result<()> {
        let target = beneath::readable_folder(self.target.as_fd(), &self.path);
        let target = target.map_err(|e| self.failed("opening", e))?;
        let mut whiteouts = false;
        for (at, layer) in shown.layers.iter().enumerate() {
            let source = self.open(*layer)?;
            let mut entries = Dir::read_from(&source).map_err(|e| self.failed("listing", e))?;
            while let Some(entry) = entries.read() {
                let entry = entry.map_err(|e| self.failed("listing", e))?;
                let name = entry.file_name().to_bytes();
                if name == b"." || name == b".." {
                    continue;
                }
                let length = self.path.len();
                if length > 0 {
                    self.path.push(b'/');
                }
                self.path.extend_from_slice(name);
                whiteouts |= self.entry(&source, &target, OsStr::from_bytes(name), &shown.layers[at..])?;
                self.path.truncate(length);
            }
        }
        let top = self.open(shown.layers[0])?;
        let stat = rustix::fs::fstat(&top).map_err(|e| self.failed("looking at", e))?;
        for (name, wanted, value) in [(OPAQUE, shown.closed, &b"y"[..]), (ORIGIN, whiteouts, b"")] {
            if wanted {
                set_xattr(target.as_fd(), &self.path, name, value)?;
            }
        }
        self.describe(top.as_fd(), target.as_fd(), &stat)
    }

    /// Takes over one entry, unless a layer above has something there; true if it is a whiteout.
    fn entry(&mut self, source: &OwnedFd, target: &OwnedFd, name: &OsStr, layers: &[usize]) -> Result<bool> {
        let stat = rustix::fs::statat(source, name, AtFlags::SYMLINK_NOFOLLOW);
        let stat = stat.map_err(|e| self.failed("looking at", e))?;
        let kind = FileType::from_raw_mode(stat.st_mode);
        let made = match kind {
            FileType::Directory => rustix::fs::mkdirat(target, name, Mode::RWXU),
            FileType::CharacterDevice => rustix::fs::mknodat(target, name, FileType::CharacterDevice, Mode::empty(), 0),
            _ => rustix::fs::linkat(source, name, target, name, AtFlags::empty()),
        };
        match made {
            Ok(()) if kind == FileType::Directory => {
                let shown = self.shown(layers)?;
                self.folder(&shown).map(|()| false)
            }
            Ok(()) => Ok(kind == FileType::CharacterDevice),
            Err(Errno::EXIST) => Ok(false),
            // A file has as many names as it may have, or the layers lie apart.
            Err(Errno::MLINK | Errno::XDEV) => self.copy(source, target, name, &stat).map(|()| false),
            Err(e) => Err(self.failed("linking", e)),
        }
    }

    fn copy(&self, source: &OwnedFd, target: &OwnedFd, name: &OsStr, stat: &Stat) -> Result<()> {
        let copying = |e: Errno| self.failed("copying", e);
        if FileType::from_raw_mode(stat.st_mode) == FileType::Symlink {
            let to = rustix::fs::readlinkat(source, name, Vec::new()).map_err(copying)?;
            rustix::fs::symlinkat(to, target, name).map_err(copying)?;
            let flags = AtFlags::SYMLINK_NOFOLLOW;
            let made = rustix::fs::statat(target, name, flags).map_err(copying)?;
            if let Some((uid, gid)) = other_owner(stat, &made) {
                rustix::fs::chownat(target, name, Some(uid), Some(gid), flags).map_err(copying)?;
            }
            return rustix::fs::utimensat(target, name, &times(stat), flags).map_err(copying);
        }
        let from = beneath::file(source.as_fd(), name.as_bytes()).map_err(copying)?;
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let to = rustix::fs::openat(target, name, flags, Mode::RUSR | Mode::WUSR).map_err(copying)?;
        let (mut from, mut to) = (File::from(from), File::from(to));
        std::io::copy(&mut from, &mut to)
            .map_err(|e| crate::Error::io(format!("copying {}", crate::tape::shown(&self.path)), e))?;
        self.describe(from.as_fd(), to.as_fd(), stat)
    }

    /// Owner first: the kernel drops set-id bits and capabilities of what changes hands.
    fn describe(&self, from: BorrowedFd<'_>, to: BorrowedFd<'_>, stat: &Stat) -> Result<()> {
        let made = rustix::fs::fstat(to).map_err(|e| self.failed("looking at", e))?;
        if let Some((uid, gid)) = other_owner(stat, &made) {
            rustix::fs::fchown(to, Some(uid), Some(gid)).map_err(|e| self.failed("giving its owner to", e))?;
        }
        let mut names = vec![0; 64 << 10];
        let listed = match rustix::fs::flistxattr(from, &mut names) {
            Err(Errno::OPNOTSUPP) => 0,
            other => other.map_err(|e| self.failed("reading the attributes of", e))?,
        };
        for name in names[..listed].split(|b| *b == 0).filter(|name| !name.is_empty()) {
            let taken = name.starts_with(b"user.") || name == b"security.capability";
            if !taken || name == OPAQUE || name == ORIGIN {
                continue;
            }
            let mut value = vec![0; 64 << 10];
            let got = rustix::fs::fgetxattr(from, OsStr::from_bytes(name), &mut value);
            let got = got.map_err(|e| self.failed("reading the attributes of", e))?;
            set_xattr(to, &self.path, name, &value[..got])?;
        }
        let mode = Mode::from_raw_mode(stat.st_mode & 0o7777);
        rustix::fs::fchmod(to, mode).map_err(|e| self.failed("setting the mode of", e))?;
        rustix::fs::futimens(to, &times(stat)).map_err(|e| self.failed("setting the time of", e))
    }
}

/// The owner of the original, if the copy has another one.
fn other_owner(stat: &Stat, made: &Stat) -> Option<(rustix::fs::Uid, rustix::fs::Gid)> {
    let ids = (rustix::fs::Uid::from_raw(stat.st_uid), rustix::fs::Gid::from_raw(stat.st_gid));
    ((stat.st_uid, stat.st_gid) != (made.st_uid, made.st_gid)).then_some(ids)
}

fn times(stat: &Stat) -> Timestamps {
    let time = Timespec { tv_sec: stat.st_mtime, tv_nsec: stat.st_mtime_nsec as _ };
    Timestamps { last_access: time, last_modification: time }
}

#[cfg(test)]
mod tests;
