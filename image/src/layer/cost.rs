//! What unpacking a layer costs, held to its bounds before it is spent.
//!
//! The tar stream alone does not bound it: one entry may imply hundreds of folders, and an empty
//! file still takes an inode and its block.

use crate::{Error, Kind, Result, limits};

/// How much a layer may cost.
#[derive(Debug, Clone, Copy)]
pub(super) struct Budget {
    pub(super) inodes: u64,
    /// Of files, and [`limits::INODE_BYTES`] for each inode.
    pub(super) bytes: u64,
    /// Of names and attributes that stay in memory until the layer is whole.
    pub(super) held: u64,
}

#[derive(Debug)]
pub(super) struct Cost {
    budget: Budget,
    pub(super) inodes: u64,
    /// Bytes of files.
    pub(super) bytes: u64,
    /// Bytes of the recipe.
    pub(super) recipe: u64,
    held: u64,
}

impl Budget {
    pub(super) const FULL: Budget =
        Budget { inodes: limits::ENTRIES, bytes: limits::LAYER_BYTES, held: limits::HELD_BYTES };
}

impl Cost {
    pub(super) fn new(budget: Budget) -> Self {
        Cost { budget, inodes: 0, bytes: 0, recipe: 0, held: 0 }
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
        charge(self.bytes.saturating_add(self.recipe), self.inodes)
    }

    /// So many bytes of names or attributes are about to be kept in memory.
    pub(super) fn hold(&mut self, bytes: usize) -> Result<()> {
        self.held = self.held.saturating_add(bytes as u64);
        if self.held > self.budget.held {
            let what = format!(
                "the paths and attributes of its folders and whiteouts take more than {} bytes",
                self.budget.held
            );
            return Err(Error::new(Kind::Limit, what));
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
pub(super) fn charge(bytes: u64, inodes: u64) -> u64 {
    bytes.saturating_add(inodes.saturating_mul(limits::INODE_BYTES))
}
