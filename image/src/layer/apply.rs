//! Applies the entries of a tar stream to an empty folder.
//!
//! Nothing here follows a name: every call works on a descriptor of the parent folder and one
//! component. Whiteouts wait until the end, because they speak of lower layers only and never of
//! this one's own entries, in whichever order the archive has them.

use super::attributes::{Attributes, chown_failed, failed, set_xattr};
use super::cost::{Budget, Cost, Total};
use super::folders::Folders;
use super::name::{Meaning, meaning, normal, split};
use super::tree::{FILLED, OPAQUE};
use super::{Ownership, Record};
use crate::beneath;
use crate::recipe::{Kept, Pen, Recorded};
use crate::tape::{Body, Entry, Extent, Tape, hostile, shown};
use crate::{Error, Result};
use rustix::fs::{AtFlags, Mode, OFlags};
use rustix::io::Errno;
use std::ffi::OsStr;
use std::io::{BufRead, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;

struct Applier {
    folders: Folders,
    ownership: Ownership,
    entries: u64,
}

/// Unpacks a tar stream into `root`, an empty folder of mode 0700, and reads it to its end. What it
/// has beside its files' content goes into the recipe, its folders into the list. While it grows, its
/// cost is part of `total`.
pub(crate) fn unpack(
    stream: impl BufRead,
    root: OwnedFd,
    ownership: Ownership,
    recipe: (Pen, Kept),
    list: impl Write,
    total: &Arc<Total>,
) -> Result<Record> {
    unpack_at(Cost::new(Budget::FULL, total), stream, root, ownership, recipe, list)
}

#[cfg(any(test, feature = "fuzzing", feature = "measuring"))]
pub(crate) fn unpack_within(
    budget: Budget,
    stream: impl BufRead,
    root: OwnedFd,
    ownership: Ownership,
    recipe: (Pen, Kept),
    list: impl Write,
) -> Result<Record> {
    unpack_at(Cost::new(budget, &Arc::default()), stream, root, ownership, recipe, list)
}

fn unpack_at(
    cost: Cost,
    stream: impl BufRead,
    root: OwnedFd,
    ownership: Ownership,
    (pen, kept): (Pen, Kept),
    list: impl Write,
) -> Result<Record> {
    beneath::check_kernel(root.as_fd())?;
    beneath::check_names(root.as_fd())?;
    let folders = Folders::new(root, ownership, cost, kept)?;
    let mut applier = Applier { folders, ownership, entries: 0 };
    let mut tape = Tape::new(Recorded::new(stream, pen));
    while let Some(entry) = tape.next()? {
        applier.apply(entry, &mut tape)?;
        applier.note(tape.input())?;
    }
    let Applier { mut folders, entries, .. } = applier;
    folders.cost.recipe(tape.drain()?.finish()?)?;
    let (Cost { bytes, inodes, recipe, .. }, left_out) = folders.finish(list)?;
    Ok(Record::new(bytes, recipe, inodes, entries, left_out))
}

impl Applier {
    /// Has the recipe say what the entry replaced, and counts what the recipe takes.
    fn note<R: BufRead>(&mut self, recipe: &mut Recorded<R>) -> Result<()> {
        for path in self.folders.kept.fresh() {
            // Whoever reads the recipe holds these paths, as long as they are needed.
            self.folders.cost.hold(path.len())?;
            recipe.replaced(self.entries, &path)?;
        }
        self.folders.cost.recipe(recipe.written())?;
        recipe.hold_to(recipe.written() + self.folders.cost.left());
        Ok(())
    }

    fn apply<R: BufRead>(&mut self, entry: Entry, tape: &mut Tape<Recorded<R>>) -> Result<()> {
        self.entries += 1;
        match meaning(&entry.path)? {
            Meaning::Entry(path) => self.place(&path, entry, tape),
            Meaning::Nothing => Ok(()),
            _ if entry.body == Body::Folder => {
                Err(hostile(format!("{} is a folder with a reserved name", shown(&entry.path))))
            }
            Meaning::Whiteout(path) => self.folders.hide(&path),
            Meaning::Opaque(path) => {
                self.folders.enter(&path)?;
                self.folders.mark(&path, OPAQUE);
                Ok(())
            }
        }
    }

    fn place<R: BufRead>(&mut self, path: &[u8], entry: Entry, tape: &mut Tape<Recorded<R>>) -> Result<()> {
        let Entry { body, mode, uid, gid, mtime, xattrs, .. } = entry;
        let attributes = Attributes { mode, uid, gid, mtime: mtime.0, mtime_nanos: mtime.1 };
        if path.is_empty() && body != Body::Folder {
            return Err(hostile("the root of the layer is no folder"));
        }
        self.folders.leave_out(path, None)?;
        match body {
            Body::Folder => self.folders.state(path, &attributes, xattrs),
            Body::File { size } => {
                self.folders.cost.write(size)?;
                let file = self.create(path, &attributes, &xattrs)?;
                self.copy(tape, &file, path, Extent { offset: 0, length: size })?;
                self.describe(&file, path, &attributes, &xattrs)
            }
            Body::Sparse { size, extents } => {
                self.folders.cost.write(extents.iter().map(|extent| extent.length).sum())?;
                let file = self.create(path, &attributes, &xattrs)?;
                extents.iter().try_for_each(|extent| self.copy(tape, &file, path, *extent))?;
                rustix::fs::ftruncate(&file, size).map_err(|e| failed("sizing", path, e))?;
                self.describe(&file, path, &attributes, &xattrs)
            }
            Body::Symlink(target) => self.symlink(path, &target, &attributes),
            Body::Hard(target) => self.link(path, &target),
            Body::CharDevice => self.leave_out(path, "character device"),
            Body::BlockDevice => self.leave_out(path, "block device"),
            Body::Fifo => self.leave_out(path, "fifo"),
        }
    }

    /// Calls `make` with the parent and the name; what stands in the way makes room once.
    fn making<T>(
        &mut self,
        path: &[u8],
        mut make: impl FnMut(std::os::fd::BorrowedFd<'_>, &OsStr) -> rustix::io::Result<T>,
    ) -> Result<T> {
        let (parent, name) = split(path);
        match make(self.folders.enter(parent)?, OsStr::from_bytes(name)) {
            Err(Errno::EXIST) => {
                self.make_room(path)?;
                make(self.folders.enter(parent)?, OsStr::from_bytes(name)).map_err(|e| failed("making", path, e))
            }
            made => made.map_err(|e| failed("making", path, e)),
        }
        .inspect(|_| {
            self.folders.mark(parent, FILLED);
        })
    }

    fn make_room(&mut self, path: &[u8]) -> Result<()> {
        if self.folders.has(path) {
            return self.folders.give_way(path);
        }
        self.folders.put_aside(path)
    }

    /// With the mode that it is to have, as far as that goes: most files then need no other call.
    fn create(&mut self, path: &[u8], of: &Attributes, xattrs: &[(Vec<u8>, Vec<u8>)]) -> Result<OwnedFd> {
        self.folders.cost.inode()?;
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        // The kernel asks the mode, and not the descriptor, who may set attributes.
        let mode = if xattrs.is_empty() { of.kept_mode(self.ownership) & 0o777 } else { 0o600 };
        self.making(path, |parent, name| rustix::fs::openat(parent, name, flags, Mode::from_raw_mode(mode)))
    }

    /// Writes the entry's data, or one extent of it, straight from the stream's buffer.
    fn copy<R: BufRead>(
        &self,
        tape: &mut Tape<Recorded<R>>,
        file: &OwnedFd,
        path: &[u8],
        extent: Extent,
    ) -> Result<()> {
        let Extent { mut offset, length: mut left } = extent;
        tape.input().content(self.entries, path, offset, left)?;
        while left > 0 {
            let chunk = tape.chunk()?;
            let chunk = &chunk[..chunk.len().min(usize::try_from(left).unwrap_or(usize::MAX))];
            if chunk.is_empty() {
                break;
            }
            let written = match rustix::io::pwrite(file, chunk, offset) {
                Err(Errno::INTR) => 0,
                other => other.map_err(|e| failed("writing", path, e))?,
            };
            tape.consume(written);
            left -= written as u64;
            offset += written as u64;
        }
        Ok(())
    }

    /// Owner first: the kernel drops set-id bits and capabilities of a file that changes hands.
    fn describe(&self, file: &OwnedFd, path: &[u8], of: &Attributes, xattrs: &[(Vec<u8>, Vec<u8>)]) -> Result<()> {
        // A look is cheap, and a change that changes nothing is not.
        let made = rustix::fs::fstat(file).map_err(|e| failed("looking at", path, e))?;
        if self.ownership.keeps_owners() {
            let (uid, gid) = of.ids(path)?;
            if (made.st_uid, made.st_gid) != (uid.as_raw(), gid.as_raw()) {
                rustix::fs::fchown(file, Some(uid), Some(gid)).map_err(|e| chown_failed(path, of, e))?;
            }
        }
        for (name, value) in xattrs.iter().filter(|(name, value)| self.ownership.takes(name, value)) {
            set_xattr(file.as_fd(), path, name, value)?;
        }
        let mode = of.kept_mode(self.ownership);
        if made.st_mode & 0o7777 != mode {
            let set = rustix::fs::fchmod(file, Mode::from_raw_mode(mode));
            set.map_err(|e| failed("setting the mode of", path, e))?;
        }
        rustix::fs::futimens(file, &of.times()).map_err(|e| failed("setting the time of", path, e))
    }

    /// The target is text for whoever runs the image; nothing here ever reads it.
    fn symlink(&mut self, path: &[u8], target: &[u8], of: &Attributes) -> Result<()> {
        if target.len() > crate::limits::PATH_BYTES {
            let what = format!("{} links to a path longer than {} bytes", shown(path), crate::limits::PATH_BYTES);
            return Err(Error::new(crate::Kind::Limit, what));
        }
        let ids = if self.ownership.keeps_owners() { Some(of.ids(path)?) } else { None };
        self.folders.cost.inode()?;
        self.making(path, |parent, name| rustix::fs::symlinkat(OsStr::from_bytes(target), parent, name))?;
        let (parent, name) = split(path);
        let (parent, name) = (self.folders.enter(parent)?, OsStr::from_bytes(name));
        if let Some((uid, gid)) = ids {
            rustix::fs::chownat(parent, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)
                .map_err(|e| chown_failed(path, of, e))?;
        }
        rustix::fs::utimensat(parent, name, &of.times(), AtFlags::SYMLINK_NOFOLLOW)
            .map_err(|e| failed("setting the time of", path, e))
    }

    /// Another name for something that this layer made before, found below its root and through no link.
    fn link(&mut self, path: &[u8], target: &[u8]) -> Result<()> {
        let target = normal(target)?;
        if let Some(kind) = self.folders.left_out(&target) {
            return self.leave_out(path, kind);
        }
        let missing = || {
            hostile(format!(
                "{} is a hard link to {}, which this layer does not have before it",
                shown(path),
                shown(&target)
            ))
        };
        if target == path || target.is_empty() || self.folders.has(&target) || !self.folders.has(split(&target).0) {
            return Err(missing());
        }
        let (folder, last) = split(&target);
        let source = beneath::folder(self.folders.root(), folder).map_err(|e| failed("opening", folder, e))?;
        self.making(path, |parent, name| {
            rustix::fs::linkat(&source, OsStr::from_bytes(last), parent, name, AtFlags::empty())
        })
        .map_err(|e| if exists(&source, last) { e } else { missing() })
    }

    /// A device, FIFO or socket has no business on the host. Its name is still taken: whatever a
    /// lower layer has there must not show through.
    fn leave_out(&mut self, path: &[u8], kind: &'static str) -> Result<()> {
        if self.folders.has(path) {
            self.folders.give_way(path)?;
        }
        self.make_room(path)?;
        self.folders.leave_out(path, Some(kind))
    }
}

fn exists(folder: &OwnedFd, name: &[u8]) -> bool {
    rustix::fs::statat(folder, OsStr::from_bytes(name), AtFlags::SYMLINK_NOFOLLOW).is_ok()
}

#[cfg(test)]
mod tests;
