//! What a layer's stream makes of an empty folder, worked out without one.
//!
//! The applier's rules in a second hand: what the two do not agree on shows as damage of every layer.

use crate::layer::attributes::Attributes;
use crate::layer::cost::{Budget, Cost};
use crate::layer::folders::{KINDS, goes_with_a_folder};
use crate::layer::name::{ancestors, split};
use crate::layer::said::{Said, Xattrs};
use crate::layer::tree::{FILLED, FOLDER, HIDDEN, HOLDS_WHITEOUTS, LEFT_OUT, Node, OPAQUE, ROOT, Tree};
use crate::{Ownership, Result};
use std::os::fd::OwnedFd;
use std::sync::Arc;

/// What lies on the disk where a whiteout should.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum There {
    Nothing,
    Whiteout,
    /// Something that hides as well as a whiteout.
    Else,
}

pub(super) struct Model {
    pub(super) tree: Tree,
    pub(super) said: Said,
    pub(super) cost: Cost,
    /// How many things lie in a folder, by its node.
    children: Vec<u32>,
    ownership: Ownership,
    /// A folder where there may be files without a name.
    scratch: OwnedFd,
}

impl Model {
    pub(super) fn new(ownership: Ownership, scratch: OwnedFd) -> Result<Model> {
        let mut cost = Cost::new(Budget::FULL, &Arc::default());
        let mut tree = Tree::new(&mut cost)?;
        *tree.marks_mut(ROOT) |= FOLDER;
        Ok(Model { tree, said: Said::new(), cost, children: Vec::new(), ownership, scratch })
    }

    pub(super) fn folder(&self, path: &[u8]) -> Option<Node> {
        self.tree.find(ROOT, path).filter(|node| self.tree.marks(*node) & FOLDER != 0)
    }

    pub(super) fn children(&self, node: Node) -> u32 {
        self.children.get(node as usize).copied().unwrap_or(0)
    }

    fn count(&mut self, parent: Node, by: i32) {
        let at = parent as usize;
        if self.children.len() <= at {
            self.children.resize(at + 1, 0);
        }
        self.children[at] = self.children[at].saturating_add_signed(by);
    }

    /// The folder at `path`, with all above it, whether the layer speaks of them or not.
    pub(super) fn enter(&mut self, path: &[u8]) -> Result<Node> {
        if let Some(node) = self.folder(path) {
            return Ok(node);
        }
        let missing: Vec<&[u8]> = ancestors(path).take_while(|above| self.folder(above).is_none()).collect();
        missing.into_iter().rev().try_for_each(|above| self.make(above).map(drop))?;
        self.make(path)
    }

    fn make(&mut self, path: &[u8]) -> Result<Node> {
        self.cost.inode()?;
        let node = self.tree.reach(path, &mut self.cost)?;
        *self.tree.marks_mut(node) |= FOLDER;
        self.count(self.tree.parent(node), 1);
        Ok(node)
    }

    pub(super) fn opaque(&mut self, path: &[u8]) -> Result<()> {
        let node = self.enter(path)?;
        *self.tree.marks_mut(node) |= OPAQUE;
        Ok(())
    }

    /// A folder that the layer describes.
    pub(super) fn state(&mut self, path: &[u8], of: &Attributes, mut xattrs: Xattrs) -> Result<()> {
        let node = self.enter(path)?;
        xattrs.retain(|(name, value)| self.ownership.takes(name, value));
        let (at, bytes) = self.said.put(std::os::fd::AsFd::as_fd(&self.scratch), of, &xattrs)?;
        self.cost.set_aside(bytes)?;
        *self.tree.said_mut(node) = at;
        *self.tree.marks_mut(node) |= FILLED;
        Ok(())
    }

    /// Something else than a folder comes to `path`; whether it stays there is said by `stays`.
    pub(super) fn put(&mut self, path: &[u8], stays: bool) -> Result<()> {
        self.give_way(path);
        let parent = self.enter(split(path).0)?;
        *self.tree.marks_mut(parent) |= FILLED;
        if stays {
            self.count(parent, 1);
        }
        Ok(())
    }

    fn give_way(&mut self, path: &[u8]) {
        let Some(node) = self.folder(path) else { return };
        *self.tree.marks_mut(node) &= HIDDEN | LEFT_OUT;
        *self.tree.said_mut(node) = 0;
        self.count(self.tree.parent(node), -1);
    }

    pub(super) fn hide(&mut self, path: &[u8]) -> Result<()> {
        let node = self.tree.reach(path, &mut self.cost)?;
        *self.tree.marks_mut(node) |= HIDDEN;
        Ok(())
    }

    /// Something was made at `path` after all.
    pub(super) fn made(&mut self, path: &[u8]) {
        if let Some(node) = self.tree.find(ROOT, path) {
            *self.tree.marks_mut(node) &= !LEFT_OUT;
        }
    }

    pub(super) fn left_out(&self, path: &[u8]) -> Option<&'static str> {
        let marks = self.tree.marks(self.tree.find(ROOT, path)?);
        KINDS.get(usize::from((marks & LEFT_OUT) >> LEFT_OUT.trailing_zeros()).wrapping_sub(1)).copied()
    }

    pub(super) fn leave_out(&mut self, path: &[u8], kind: &str) -> Result<()> {
        self.give_way(path);
        self.enter(split(path).0)?;
        let number = KINDS.iter().position(|known| *known == kind).map_or(0, |at| at as u8 + 1);
        let node = self.tree.reach(path, &mut self.cost)?;
        let marks = self.tree.marks_mut(node);
        *marks = *marks & !LEFT_OUT | number << LEFT_OUT.trailing_zeros();
        Ok(())
    }

    /// What a folder is to have: as the layer says, or as all get of which no layer speaks.
    pub(super) fn said(&self, node: Node, path: &[u8]) -> Result<(Attributes, Xattrs)> {
        match self.tree.said(node) {
            0 => Ok((Attributes::unstated(), Xattrs::new())),
            at => self.said.all(at, path),
        }
    }

    /// The stream is over: whiteouts are made, and folders know whether something lies in them.
    /// Returns how many things were left out. `there` looks at the disk.
    pub(super) fn finish(&mut self, mut there: impl FnMut(&[u8]) -> Result<There>) -> Result<u64> {
        let (mut path, mut left_out) = (Vec::new(), 0);
        for node in 0..self.tree.count() {
            let marks = self.tree.marks(node);
            if marks & (HIDDEN | LEFT_OUT) == 0 {
                continue;
            }
            left_out += u64::from(marks & LEFT_OUT != 0);
            if marks & FOLDER != 0 {
                *self.tree.marks_mut(node) |= OPAQUE;
                continue;
            }
            if goes_with_a_folder(&self.tree, node) {
                *self.tree.marks_mut(node) &= !HIDDEN;
                continue;
            }
            self.cost.inode()?;
            self.tree.path(node, &mut path);
            let parent = self.enter(split(&path).0)?;
            if there(&path)? != There::Else {
                *self.tree.marks_mut(parent) |= HOLDS_WHITEOUTS;
                self.count(parent, 1);
            }
        }
        for node in (0..self.tree.count()).rev() {
            let marks = self.tree.marks(node);
            if marks & FOLDER != 0 {
                let parent = self.tree.parent(node);
                *self.tree.marks_mut(parent) |= marks & FILLED;
            }
        }
        Ok(left_out)
    }
}
