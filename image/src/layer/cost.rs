//! What unpacking a layer costs, held to its bounds before it is spent.
//!
//! The tar stream alone does not bound it: one entry may imply hundreds of folders, and an empty
//! file still takes an inode and its block.

use crate::{Error, Kind, Result, limits};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Held by the one layer that needs more memory than [`limits::HELD_SHARE`]; others that do wait for
/// it. So all layers in flight are bounded together, and what one may hold is always the same.
static LARGE: Mutex<()> = Mutex::new(());

/// How much a layer may cost.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Budget {
    pub(crate) inodes: u64,
    /// Of files, and [`limits::INODE_BYTES`] for each inode.
    pub(crate) bytes: u64,
    /// Of memory for paths that are remembered until the layer is whole.
    pub(crate) held: u64,
}

#[derive(Debug)]
pub(super) struct Cost {
    budget: Budget,
    pub(super) inodes: u64,
    /// Bytes of files.
    pub(super) bytes: u64,
    /// Bytes of the recipe.
    pub(super) recipe: u64,
    /// Bytes of attributes that wait in a file until the layer is whole.
    aside: u64,
    held: u64,
    large: Option<MutexGuard<'static, ()>>,
}

impl Budget {
    pub(super) const FULL: Budget =
        Budget { inodes: limits::ENTRIES, bytes: limits::LAYER_BYTES, held: limits::HELD_BYTES };
}

impl Cost {
    pub(super) fn new(budget: Budget) -> Self {
        Cost { budget, inodes: 0, bytes: 0, recipe: 0, aside: 0, held: 0, large: None }
    }

    /// One more file, folder, link or whiteout is about to be made.
    pub(super) fn inode(&mut self) -> Result<()> {
        self.inodes += 1;
        if self.inodes > self.budget.inodes {
            let what = format!(
                "it makes more than {} files and folders, those counted that its paths imply",
                self.budget.inodes
            );
            return Err(Error::new(Kind::Limit, what));
        }
        self.check_bytes()
    }

    /// A file of so many bytes is about to be written.
    pub(super) fn write(&mut self, bytes: u64) -> Result<()> {
        self.bytes = self.bytes.saturating_add(bytes);
        self.check_bytes()
    }

    /// The recipe has so many bytes by now.
    pub(super) fn recipe(&mut self, bytes: u64) -> Result<()> {
        self.recipe = bytes;
        self.check_bytes()
    }

    /// Bytes that may still be written.
    pub(super) fn left(&self) -> u64 {
        self.budget.bytes.saturating_sub(self.spent())
    }

    fn spent(&self) -> u64 {
        charge(self.bytes.saturating_add(self.recipe).saturating_add(self.aside), self.inodes)
    }

    /// So many bytes of attributes are put aside on the disk.
    pub(super) fn set_aside(&mut self, bytes: u64) -> Result<()> {
        self.aside = self.aside.saturating_add(bytes);
        self.check_bytes()
    }

    /// So many bytes of memory are about to be had, and kept until the layer is whole.
    pub(super) fn hold(&mut self, bytes: usize) -> Result<()> {
        self.held = self.held.saturating_add(bytes as u64);
        if self.held > self.budget.held {
            let what = format!(
                "to remember the paths of its folders and whiteouts takes more than {} bytes",
                self.budget.held
            );
            return Err(Error::new(Kind::Limit, what));
        }
        if self.held > limits::HELD_SHARE && self.large.is_none() {
            self.large = Some(LARGE.lock().unwrap_or_else(PoisonError::into_inner));
        }
        Ok(())
    }

    fn check_bytes(&self) -> Result<()> {
        if self.spent() > self.budget.bytes {
            let what = format!(
                "its {} files and folders, and its recipe, take more than {} bytes, {} counted for each file",
                self.inodes,
                self.budget.bytes,
                limits::INODE_BYTES
            );
            return Err(Error::new(Kind::Limit, what));
        }
        Ok(())
    }
}

/// What so many bytes in so many inodes count as.
pub(crate) fn charge(bytes: u64, inodes: u64) -> u64 {
    bytes.saturating_add(inodes.saturating_mul(limits::INODE_BYTES))
}
