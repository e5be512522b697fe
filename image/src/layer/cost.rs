//! What unpacking a layer costs, held to its bounds before it is spent.
//!
//! The tar stream alone does not bound it: one entry may imply hundreds of folders, and an empty
//! file still takes an inode and its block.

use crate::{Error, Kind, Result, limits};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

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

/// What all layers of one image may cost together, while some of them still come in.
#[derive(Debug)]
pub(crate) struct Total {
    most: u64,
    taken: AtomicU64,
    passed: AtomicBool,
}

/// A layer's part of the total; what is dropped is given back.
#[derive(Debug)]
struct Share {
    total: Arc<Total>,
    bytes: u64,
}

#[derive(Debug)]
pub(super) struct Cost {
    budget: Budget,
    share: Share,
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
    pub(crate) const FULL: Budget =
        Budget { inodes: limits::ENTRIES, bytes: limits::LAYER_BYTES, held: limits::HELD_BYTES };
}

impl Default for Total {
    fn default() -> Self {
        Total::new(limits::IMAGE_BYTES)
    }
}

impl Total {
    pub(crate) fn new(most: u64) -> Self {
        Total { most, taken: AtomicU64::new(0), passed: AtomicBool::new(false) }
    }

    /// Takes so many bytes more, if there are so many; otherwise the image is too large.
    pub(crate) fn take(&self, bytes: u64) -> Result<()> {
        let sum = |taken: u64| taken.checked_add(bytes).filter(|sum| *sum <= self.most);
        if self.taken.fetch_update(Ordering::Relaxed, Ordering::Relaxed, sum).is_ok() {
            return Ok(());
        }
        self.passed.store(true, Ordering::Relaxed);
        let (each, most) = (limits::INODE_BYTES, self.most);
        let what = format!("with it, the image's layers take more than {most} bytes, {each} counted for each file");
        Err(Error::new(Kind::Limit, what))
    }

    /// Whether the image was found to be too large.
    pub(crate) fn passed(&self) -> bool {
        self.passed.load(Ordering::Relaxed)
    }
}

impl Share {
    fn grow_to(&mut self, bytes: u64) -> Result<()> {
        self.total.take(bytes.saturating_sub(self.bytes))?;
        self.bytes = self.bytes.max(bytes);
        Ok(())
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.total.taken.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

impl Cost {
    pub(super) fn new(budget: Budget, total: &Arc<Total>) -> Self {
        let share = Share { total: Arc::clone(total), bytes: 0 };
        Cost { budget, share, inodes: 0, bytes: 0, recipe: 0, aside: 0, held: 0, large: None }
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

    fn check_bytes(&mut self) -> Result<()> {
        if self.spent() > self.budget.bytes {
            let what = format!(
                "its {} files and folders, and its recipe, take more than {} bytes, {} counted for each file",
                self.inodes,
                self.budget.bytes,
                limits::INODE_BYTES
            );
            return Err(Error::new(Kind::Limit, what));
        }
        self.share.grow_to(self.spent())
    }
}

/// What so many bytes in so many inodes count as.
pub(crate) fn charge(bytes: u64, inodes: u64) -> u64 {
    bytes.saturating_add(inodes.saturating_mul(limits::INODE_BYTES))
}
