//! The folders of a layer that is being unpacked: made usable at once, made right at the end.

use super::Ownership;
use super::attributes::{Attributes, chown_failed, failed, set_xattr};
use super::cost::Cost;
use super::list::{self, Writer};
use super::name::{ancestors, split};
use super::said::{Said, Xattrs};
use super::tree::{FILLED, FOLDER, HIDDEN, HOLDS_WHITEOUTS, LEFT_OUT, Marks, Node, OPAQUE, ROOT, Tree};
use crate::beneath;
use crate::recipe::Kept;
use crate::tape::{hostile, shown};
use crate::{Error, Result};
use rustix::fs::{AtFlags, FileType, Mode};
use rustix::io::Errno;
use std::collections::HashMap;
use std::ffi::OsStr;
use std::io::Write;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;

/// Open folders at a time: each layer in flight keeps so many descriptors.
const OPEN: usize = 48;

/// What is not made, by the number of its kind.
pub(super) const KINDS: [&str; 3] = ["character device", "block device", "fifo"];

pub(super) struct Folders {
    root: OwnedFd,
    ownership: Ownership,
    tree: Tree,
    said: Said,
    /// The last folder that was looked for: most entries lie where the one before them lies.
    recent: (Vec<u8>, Node),
    open: HashMap<Node, OwnedFd>,
    /// Of the whole layer: most of what a small archive can make of itself are folders.
    pub(super) cost: Cost,
    pub(super) kept: Kept,
}

impl Folders {
    pub(super) fn new(root: OwnedFd, ownership: Ownership, mut cost: Cost, kept: Kept) -> Result<Self> {
        let mut tree = Tree::new(&mut cost)?;
        *tree.marks_mut(ROOT) |= FOLDER;
        let recent = (Vec::new(), ROOT);
        Ok(Folders { root, ownership, tree, said: Said::new(), recent, open: HashMap::new(), cost, kept })
    }

    fn node(&mut self, path: &[u8]) -> Option<Node> {
        let (parent, name) = split(path);
        if parent != self.recent.0 {
            let node = self.tree.find(ROOT, parent)?;
            self.recent.0.clear();
            self.recent.0.extend_from_slice(parent);
            self.recent.1 = node;
        }
        self.tree.find(self.recent.1, name)
    }

    fn folder(&mut self, path: &[u8]) -> Option<Node> {
        self.node(path).filter(|node| self.tree.marks(*node) & FOLDER != 0)
    }

    pub(super) fn has(&mut self, path: &[u8]) -> bool {
        self.folder(path).is_some()
    }

    /// Marks a folder; false if it is none.
    pub(super) fn mark(&mut self, path: &[u8], mark: Marks) -> bool {
        let folder = self.folder(path);
        folder.map(|node| *self.tree.marks_mut(node) |= mark).is_some()
    }

    /// Whatever lower layers have at `path` is to be gone.
    pub(super) fn hide(&mut self, path: &[u8]) -> Result<()> {
        let node = self.tree.reach(path, &mut self.cost)?;
        *self.tree.marks_mut(node) |= HIDDEN;
        Ok(())
    }

    /// What is not made at `path`, if that is so.
    pub(super) fn left_out(&mut self, path: &[u8]) -> Option<&'static str> {
        let node = self.node(path)?;
        let kind = (self.tree.marks(node) & LEFT_OUT) >> LEFT_OUT.trailing_zeros();
        KINDS.get(usize::from(kind).wrapping_sub(1)).copied()
    }

    /// Something of this kind is not made at `path`, or with no kind: something is made after all.
    pub(super) fn leave_out(&mut self, path: &[u8], kind: Option<&'static str>) -> Result<()> {
        let number =
            kind.and_then(|kind| KINDS.iter().position(|known| *known == kind)).map_or(0, |at| at as Marks + 1);
        let node = match kind {
            Some(_) => self.tree.reach(path, &mut self.cost)?,
            None => match self.node(path) {
                Some(node) => node,
                None => return Ok(()),
            },
        };
        let marks = self.tree.marks_mut(node);
        *marks = *marks & !LEFT_OUT | number << LEFT_OUT.trailing_zeros();
        Ok(())
    }

    pub(super) fn root(&self) -> BorrowedFd<'_> {
        self.root.as_fd()
    }

    /// The folder at `path`, made with all above it if the layer has not spoken of them yet.
    pub(super) fn enter(&mut self, path: &[u8]) -> Result<BorrowedFd<'_>> {
        if path.is_empty() {
            return Ok(self.root.as_fd());
        }
        let node = match self.folder(path) {
            Some(node) => node,
            None => self.imply(path)?,
        };
        if !self.open.contains_key(&node) {
            let folder = beneath::folder(self.root.as_fd(), path).map_err(|e| failed("opening", path, e))?;
            if self.open.len() >= OPEN {
                self.open.clear();
            }
            self.open.insert(node, folder);
        }
        Ok(self.open[&node].as_fd())
    }

    /// Makes `path` and what is missing above it.
    fn imply(&mut self, path: &[u8]) -> Result<Node> {
        let mut missing = Vec::new();
        for above in ancestors(path) {
            if self.has(above) {
                break;
            }
            missing.push(above);
        }
        missing.into_iter().rev().try_for_each(|above| self.make(above).map(drop))?;
        self.make(path)
    }

    /// Makes one folder whose parent is known. What is no folder and stands in its way was made by
    /// this layer: an archive whose names lead through its own links or files is not followed.
    fn make(&mut self, path: &[u8]) -> Result<Node> {
        let (parent, name) = split(path);
        self.cost.inode()?;
        let node = self.tree.reach(path, &mut self.cost)?;
        match rustix::fs::mkdirat(self.enter(parent)?, OsStr::from_bytes(name), Mode::RWXU) {
            Ok(()) => {}
            Err(Errno::EXIST) => {
                return Err(hostile(format!("{} is a file or a link, and has entries below it", shown(path))));
            }
            Err(e) => return Err(failed("making the folder", path, e)),
        }
        *self.tree.marks_mut(node) |= FOLDER;
        Ok(node)
    }

    /// A folder that the archive states: new, or known by then and described now.
    pub(super) fn state(&mut self, path: &[u8], stated: &Attributes, mut xattrs: Xattrs) -> Result<()> {
        let node = match self.folder(path) {
            Some(node) => node,
            None => {
                self.put_aside(path)?;
                self.make(path)?
            }
        };
        xattrs.retain(|(name, value)| self.ownership.takes(name, value));
        let (at, bytes) = self.said.put(self.root.as_fd(), stated, &xattrs)?;
        self.cost.set_aside(bytes)?;
        *self.tree.said_mut(node) = at;
        *self.tree.marks_mut(node) |= FILLED;
        Ok(())
    }

    /// Puts aside what lies at `path` and is no folder, if there is anything: its content belongs to
    /// the layer's stream, though not to its tree.
    pub(super) fn put_aside(&mut self, path: &[u8]) -> Result<()> {
        let (parent, name) = split(path);
        self.enter(parent)?;
        let from = self.folder(parent).and_then(|node| self.open.get(&node)).map_or(self.root.as_fd(), AsFd::as_fd);
        self.kept.put(from, OsStr::from_bytes(name), path).map_err(|e| failed("replacing", path, e))
    }

    /// Takes away an empty folder, because a file follows under its name.
    pub(super) fn give_way(&mut self, path: &[u8]) -> Result<()> {
        let Some(node) = self.folder(path) else { return Ok(()) };
        self.open.remove(&node);
        let (parent, name) = split(path);
        match rustix::fs::unlinkat(self.enter(parent)?, OsStr::from_bytes(name), AtFlags::REMOVEDIR) {
            Ok(()) => {
                *self.tree.marks_mut(node) &= HIDDEN | LEFT_OUT;
                *self.tree.said_mut(node) = 0;
                Ok(())
            }
            Err(Errno::NOTEMPTY) => Err(hostile(format!("{} is a folder with entries, and a file too", shown(path)))),
            Err(e) => Err(failed("replacing", path, e)),
        }
    }

    /// Makes whiteouts, gives every folder its marks, owner, mode and time, and writes the list.
    /// Returns how many entries were left out.
    pub(super) fn finish(mut self, list: impl Write) -> Result<(Cost, u64)> {
        let mut path = Vec::new();
        let mut left_out = 0;
        // Whiteouts may make folders, which come after all that are there now.
        for node in 0..self.tree.count() {
            if self.tree.marks(node) & (HIDDEN | LEFT_OUT) != 0 {
                left_out += u64::from(self.tree.marks(node) & LEFT_OUT != 0);
                self.tree.path(node, &mut path);
                self.white_out(node, &path)?;
            }
        }
        self.open = HashMap::new();
        // From the end: a closed folder does not stand before one that is still to come.
        for node in (0..self.tree.count()).rev() {
            let marks = self.tree.marks(node);
            if marks & FOLDER != 0 {
                let parent = self.tree.parent(node);
                *self.tree.marks_mut(parent) |= marks & FILLED;
                self.tree.path(node, &mut path);
                self.settle(node, &path)?;
            }
        }
        write_list(&mut self.tree, &self.said, list).map_err(|e| Error::io("writing the list of its folders", e))?;
        Ok((self.cost, left_out))
    }

    /// Hides what lower layers have at `path`. Where this layer has a folder of that name, the
    /// folder is new and shows nothing of theirs; where it has a file, that hides enough.
    fn white_out(&mut self, node: Node, path: &[u8]) -> Result<()> {
        if self.tree.marks(node) & FOLDER != 0 {
            *self.tree.marks_mut(node) |= OPAQUE;
            return Ok(());
        }
        if goes_with_a_folder(&self.tree, node) {
            *self.tree.marks_mut(node) &= !HIDDEN;
            return Ok(());
        }
        let (above, name) = split(path);
        self.cost.inode()?;
        let parent = self.enter(above)?;
        // Device 0:0 is overlayfs' whiteout, and the one device that everybody may make (Linux 5.8).
        match rustix::fs::mknodat(parent, OsStr::from_bytes(name), FileType::CharacterDevice, Mode::empty(), 0) {
            Ok(()) => {}
            Err(Errno::EXIST) => return Ok(()),
            Err(e) => return Err(failed("making a whiteout for", path, e)),
        }
        let parent = self.tree.parent(node);
        *self.tree.marks_mut(parent) |= HOLDS_WHITEOUTS;
        Ok(())
    }

    fn settle(&self, node: Node, path: &[u8]) -> Result<()> {
        let open = beneath::readable_folder(self.root.as_fd(), path).map_err(|e| failed("opening", path, e))?;
        let (attributes, xattrs) = match self.tree.said(node) {
            0 => (Attributes::unstated(), Xattrs::new()),
            at => self.said.all(at, path)?,
        };
        let mark = |name: &[u8], value: &[u8]| set_xattr(open.as_fd(), path, name, value);
        if self.tree.marks(node) & OPAQUE != 0 {
            mark(b"user.overlay.opaque", b"y")?;
        }
        if self.tree.marks(node) & HOLDS_WHITEOUTS != 0 {
            // Without it the kernel lists whiteouts of a folder that only this layer has.
            mark(b"user.overlay.origin", b"")?;
        }
        if self.ownership.keeps_owners() {
            let (uid, gid) = attributes.ids(path)?;
            rustix::fs::fchown(&open, Some(uid), Some(gid)).map_err(|e| chown_failed(path, &attributes, e))?;
        }
        xattrs.iter().try_for_each(|(name, value)| mark(name, value))?;
        let mode = Mode::from_raw_mode(attributes.kept_mode(self.ownership));
        rustix::fs::fchmod(&open, mode).map_err(|e| failed("setting the mode of", path, e))?;
        rustix::fs::futimens(&open, &attributes.times()).map_err(|e| failed("setting the time of", path, e))
    }
}

/// Whether a folder above is hidden itself, and not there again: with it goes all below it.
pub(super) fn goes_with_a_folder(tree: &Tree, node: Node) -> bool {
    let mut at = node;
    while tree.marks(at) & FOLDER == 0 {
        at = tree.parent(at);
        if tree.marks(at) & (FOLDER | HIDDEN | LEFT_OUT) == HIDDEN {
            return tree.marks(node) & LEFT_OUT == 0;
        }
    }
    false
}

/// Writes what is known of folders and whiteouts. No path can be found or made any more.
pub(super) fn write_list(tree: &mut Tree, said: &Said, out: impl Write) -> std::io::Result<()> {
    let mut out = Writer::new(out)?;
    tree.sort();
    let (mut walk, mut path) = (Vec::new(), Vec::new());
    while let Some(node) = tree.after(&mut walk) {
        let marks = tree.marks(node);
        if marks & (FOLDER | HIDDEN | LEFT_OUT) == 0 {
            continue;
        }
        let is = |mark: Marks, listed: list::Marks| if marks & mark != 0 { listed } else { 0 };
        let folder = marks & FOLDER != 0;
        let at = Some(tree.said(node)).filter(|at| folder && *at != 0);
        let stated = at.map(|at| said.attributes(at)).transpose()?;
        let mut listed = is(FOLDER, list::FOLDER) | is(HIDDEN | LEFT_OUT, list::HIDDEN);
        listed |= list::Marks::from((marks & LEFT_OUT) >> LEFT_OUT.trailing_zeros()) << list::LEFT_OUT_SHIFT;
        if folder {
            listed |= is(OPAQUE, list::OPAQUE);
            listed |= if stated.is_none() { list::IMPLIED } else { 0 };
            listed |= if marks & FILLED == 0 && node != ROOT { list::PHANTOM } else { 0 };
        }
        tree.path(node, &mut path);
        out.add(&path, listed, stated.as_ref())?;
    }
    out.finish().map(drop)
}
