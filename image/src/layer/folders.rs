//! The folders of a layer that is being unpacked: made usable at once, made right at the end.

use super::Ownership;
use super::cost::Cost;
use super::name::{ancestors, split};
use crate::beneath;
use crate::recipe::Kept;
use crate::tape::{hostile, shown};
use crate::{Error, Kind, Result};
use rustix::fs::{AtFlags, Gid, Mode, Timespec, Timestamps, Uid, XattrFlags};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::ffi::OsStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;

/// Open folders at a time: each layer in flight keeps so many descriptors.
const OPEN: usize = 48;

/// What an entry says of itself beside its content.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Attributes {
    pub(crate) mode: u32,
    pub(crate) uid: u64,
    pub(crate) gid: u64,
    pub(crate) mtime: i64,
    #[serde(default)]
    pub(crate) mtime_nanos: u32,
}

#[derive(Debug, Default)]
pub(super) struct Folder {
    /// Absent: entries lie in it, but the layer does not speak of it.
    pub(super) stated: Option<Attributes>,
    pub(super) xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    /// Nothing of lower layers shows in it.
    pub(super) opaque: bool,
    pub(super) holds_whiteouts: bool,
    /// Something real lies in it; a folder that only holds whiteouts need not exist at all.
    pub(super) filled: bool,
}

pub(super) struct Folders {
    root: OwnedFd,
    known: BTreeMap<Vec<u8>, Folder>,
    open: HashMap<Vec<u8>, OwnedFd>,
    /// Of the whole layer: most of what a small archive can make of itself are folders.
    pub(super) cost: Cost,
    pub(super) kept: Kept,
}

impl Attributes {
    /// What a folder gets of which no layer speaks.
    pub(super) fn unstated() -> Self {
        Attributes { mode: 0o755, uid: 0, gid: 0, mtime: 0, mtime_nanos: 0 }
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

impl Folders {
    pub(super) fn new(root: OwnedFd, cost: Cost, kept: Kept) -> Self {
        let known = BTreeMap::from([(Vec::new(), Folder::default())]);
        Folders { root, known, open: HashMap::new(), cost, kept }
    }

    pub(super) fn has(&self, path: &[u8]) -> bool {
        self.known.contains_key(path)
    }

    pub(super) fn get(&mut self, path: &[u8]) -> Option<&mut Folder> {
        self.known.get_mut(path)
    }

    pub(super) fn root(&self) -> BorrowedFd<'_> {
        self.root.as_fd()
    }

    /// The folder at `path`, made with all above it if the layer has not spoken of them yet.
    pub(super) fn enter(&mut self, path: &[u8]) -> Result<BorrowedFd<'_>> {
        if path.is_empty() {
            return Ok(self.root.as_fd());
        }
        if !self.open.contains_key(path) {
            if !self.has(path) {
                self.imply(path)?;
            }
            let folder = beneath::folder(self.root.as_fd(), path).map_err(|e| failed("opening", path, e))?;
            if self.open.len() >= OPEN {
                self.open.clear();
            }
            self.open.insert(path.to_vec(), folder);
        }
        Ok(self.open[path].as_fd())
    }

    /// Makes `path` and what is missing above it.
    fn imply(&mut self, path: &[u8]) -> Result<()> {
        let mut missing: Vec<&[u8]> = ancestors(path).take_while(|above| !self.known.contains_key(*above)).collect();
        missing.reverse();
        missing.push(path);
        missing.into_iter().try_for_each(|path| self.make(path))
    }

    /// Makes one folder whose parent is known. What is no folder and stands in its way was made by
    /// this layer: an archive whose names lead through its own links or files is not followed.
    fn make(&mut self, path: &[u8]) -> Result<()> {
        let (parent, name) = split(path);
        self.cost.inode()?;
        self.cost.hold(path.len())?;
        match rustix::fs::mkdirat(self.enter(parent)?, OsStr::from_bytes(name), Mode::RWXU) {
            Ok(()) => {}
            Err(Errno::EXIST) => {
                return Err(hostile(format!("{} is a file or a link, and has entries below it", shown(path))));
            }
            Err(e) => return Err(failed("making the folder", path, e)),
        }
        self.known.insert(path.to_vec(), Folder::default());
        Ok(())
    }

    /// A folder that the archive states: new, or known by then and described now.
    pub(super) fn state(&mut self, path: &[u8], stated: Attributes, xattrs: Vec<(Vec<u8>, Vec<u8>)>) -> Result<()> {
        self.cost.hold(xattrs.iter().map(|(name, value)| name.len() + value.len()).sum())?;
        if !self.has(path) {
            self.put_aside(path)?;
            self.make(path)?;
        }
        if let Some(folder) = self.known.get_mut(path) {
            (folder.stated, folder.xattrs, folder.filled) = (Some(stated), xattrs, true);
        }
        Ok(())
    }

    /// Puts aside what lies at `path` and is no folder, if there is anything: its content belongs to
    /// the layer's stream, though not to its tree.
    pub(super) fn put_aside(&mut self, path: &[u8]) -> Result<()> {
        let (parent, name) = split(path);
        self.enter(parent)?;
        let from = self.open.get(parent).map_or(self.root.as_fd(), |folder| folder.as_fd());
        self.kept.put(from, OsStr::from_bytes(name), path).map_err(|e| failed("replacing", path, e))
    }

    /// Takes away an empty folder, because a file follows under its name.
    pub(super) fn give_way(&mut self, path: &[u8]) -> Result<()> {
        self.open.remove(path);
        let (parent, name) = split(path);
        match rustix::fs::unlinkat(self.enter(parent)?, OsStr::from_bytes(name), AtFlags::REMOVEDIR) {
            Ok(()) => drop(self.known.remove(path)),
            Err(Errno::NOTEMPTY) => {
                return Err(hostile(format!("{} is a folder with entries, and a file too", shown(path))));
            }
            Err(e) => return Err(failed("replacing", path, e)),
        }
        Ok(())
    }

    /// Gives every folder its marks, owner, mode and time: the deepest first, so that a closed
    /// folder does not stand before one that is still to come.
    pub(super) fn finish(mut self, ownership: Ownership) -> Result<BTreeMap<Vec<u8>, Folder>> {
        self.open.clear();
        let mut order: Vec<&Vec<u8>> = self.known.keys().collect();
        order.sort_by_key(|path| std::cmp::Reverse(path.len()));
        let mut filled = HashSet::new();
        for path in order {
            let folder = &self.known[path];
            if folder.filled || filled.contains(path.as_slice()) {
                filled.extend([path.as_slice(), split(path).0]);
            }
            self.settle(path, folder, ownership)?;
        }
        let filled: HashSet<Vec<u8>> = filled.into_iter().map(<[u8]>::to_vec).collect();
        self.known.iter_mut().for_each(|(path, folder)| folder.filled = filled.contains(path));
        Ok(self.known)
    }

    fn settle(&self, path: &[u8], folder: &Folder, ownership: Ownership) -> Result<()> {
        let open = beneath::readable_folder(self.root.as_fd(), path).map_err(|e| failed("opening", path, e))?;
        let unstated = Attributes::unstated();
        let attributes = folder.stated.as_ref().unwrap_or(&unstated);
        let mark = |name: &[u8], value: &[u8]| set_xattr(open.as_fd(), path, name, value);
        if folder.opaque {
            mark(b"user.overlay.opaque", b"y")?;
        }
        if folder.holds_whiteouts {
            // Without it the kernel lists whiteouts of a folder that only this layer has.
            mark(b"user.overlay.origin", b"")?;
        }
        if ownership.keeps_owners() {
            let (uid, gid) = attributes.ids(path)?;
            rustix::fs::fchown(&open, Some(uid), Some(gid)).map_err(|e| chown_failed(path, attributes, e))?;
        }
        folder
            .xattrs
            .iter()
            .filter(|(name, _)| ownership.takes(name))
            .try_for_each(|(name, value)| mark(name, value))?;
        let mode = Mode::from_raw_mode(ownership.mode(attributes.mode));
        rustix::fs::fchmod(&open, mode).map_err(|e| failed("setting the mode of", path, e))?;
        rustix::fs::futimens(&open, &attributes.times()).map_err(|e| failed("setting the time of", path, e))
    }
}

pub(super) fn set_xattr(file: BorrowedFd<'_>, path: &[u8], name: &[u8], value: &[u8]) -> Result<()> {
    rustix::fs::fsetxattr(file, OsStr::from_bytes(name), value, XattrFlags::empty())
        .map_err(|e| failed("setting an extended attribute of", path, e))
}
