//! Whether a layer outlives a power cut.
//!
//! Nothing is synced while somebody waits for an image. What one process wrote, every other of the
//! same start of the machine sees, whether the disk has it or not; so a layer comes with a mark that
//! names this start, and under another start it is not believed as it lies there. Once its bytes are
//! on the disk, the mark says so and it is believed for good.
//!
//! A mark is a symbolic link that leads nowhere: its text comes and goes with its name, whole or
//! not at all, without a file whose content could be lost.

use super::{Image, Store, lock::Lock};
use crate::{Error, LayerId, Ownership, Platform, Result, Source, beneath, layer};
use rustix::fs::{AtFlags, CWD};
use rustix::io::Errno;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::{Duration, SystemTime};

/// The mark of a layer that is on the disk.
const SETTLED: &str = "settled";

/// Layers are settled when none came in for so long. The kernel writes out by itself what is half a
/// minute old, so that by then the call finds little to do, and nobody waits for it.
const QUIET: Duration = Duration::from_secs(60);

/// Layers settled at a time: the lock of each is held meanwhile.
const AT_ONCE: usize = 256;

/// What the kernel calls this start of the machine; nothing where it does not say.
pub(super) fn boot() -> Option<&'static str> {
    static BOOT: OnceLock<Option<String>> = OnceLock::new();
    let read = || {
        let text = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
        let id = text.trim_end();
        let plain = id.len() == 36 && id.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-');
        plain.then(|| id.to_owned())
    };
    BOOT.get_or_init(read).as_deref()
}

impl Store {
    fn mark_path(&self, id: &LayerId, ownership: Ownership) -> PathBuf {
        self.flavour(ownership).join(format!("{}.mark", id.0.hex()))
    }

    /// Whether the layer is there, and nothing can have happened to it since it was verified.
    pub(crate) fn has_layer(&self, id: &LayerId, ownership: Ownership) -> bool {
        self.layer_folder(id, ownership).is_dir()
            && read(&self.mark_path(id, ownership)).is_some_and(|mark| mark == SETTLED || Some(&*mark) == boot())
    }

    /// Marks a layer that is whole as written under this start of the machine.
    pub(super) fn mark(&self, boot: Option<&str>, id: &LayerId, ownership: Ownership) -> Result<()> {
        if boot.is_none() {
            // Nothing tells one start of the machine from another, so the bytes come first.
            self.write_out(ownership)?;
        }
        write(&self.mark_path(id, ownership), boot.unwrap_or(SETTLED))
    }

    /// A layer that an earlier start of the machine left without settling it: whole if a look at all
    /// of it says so, and believed from then on. The caller holds its lock, and may read whatever a
    /// layer holds.
    pub(crate) fn survived(&self, id: &LayerId, ownership: Ownership) -> Result<bool> {
        // What cannot be read here is fetched again.
        let whole = self.layer_folder(id, ownership).is_dir()
            && self.layer_record(id, ownership).is_ok()
            && self.layer_list(id, ownership).and_then(layer::check_list).is_ok()
            && self.check_layer(id, ownership).is_ok_and(|wrong| wrong.is_empty());
        if whole {
            self.mark(boot(), id, ownership)?;
        }
        Ok(whole)
    }

    /// The image, if all its layers are whole, those too that an earlier start of the machine left.
    pub(crate) fn recovered(&self, source: &Source, ownership: Ownership, on: &Platform) -> Result<Option<Image>> {
        let Some(means) = self.known(source, on)? else { return Ok(None) };
        let Some(record) = self.image_record(&means.digest)? else { return Ok(None) };
        let _arriving = self.lock_arriving()?;
        for id in &record.layers {
            let _lock = Lock::exclusive(&self.layer_lock_path(id, ownership), || ())?;
            if !self.has_layer(id, ownership) && !self.survived(id, ownership)? {
                return Ok(None);
            }
        }
        self.merge(&record.layers, ownership)?;
        Ok(Some(record.image(source.to_string(), means.top)))
    }

    /// Has the kernel bring to the disk what it still holds of the layers' file system.
    fn write_out(&self, ownership: Ownership) -> Result<()> {
        // Through the folder that holds them: a layer's own root may be closed to us by its mode.
        let flavour = self.flavour(ownership);
        let folder = beneath::own_folder(&flavour)?;
        rustix::fs::syncfs(&folder).map_err(|e| Error::io(format!("writing out `{}`", flavour.display()), e))
    }

    pub(super) fn unmark(&self, id: &LayerId, ownership: Ownership) -> Result<()> {
        super::remove::unlink(&self.mark_path(id, ownership))
    }

    /// Makes what came in since the machine started outlive a power cut, if that costs little by now.
    pub fn settle(&self) -> Result<()> {
        self.settle_after(QUIET)
    }

    pub(crate) fn settle_after(&self, quiet: Duration) -> Result<()> {
        let Some(boot) = boot() else { return Ok(()) };
        // Not while something is removed; and nothing is removed meanwhile.
        let Some(_staying) = Lock::try_shared(&self.lock_path("store"))? else { return Ok(()) };
        for ownership in Ownership::ALL {
            let Some(waiting) = self.unsettled(boot, ownership, quiet)? else { continue };
            // Whoever places a layer holds its lock; a mark that is still the same under it stays so.
            let mut held = Vec::new();
            for id in waiting.into_iter().take(AT_ONCE) {
                let lock = Lock::try_exclusive(&self.layer_lock_path(&id, ownership))?;
                if let Some(lock) = lock.filter(|_| self.has_layer(&id, ownership)) {
                    held.push((id, lock));
                }
            }
            if !held.is_empty() {
                self.write_out(ownership)?;
            }
            held.iter().try_for_each(|(id, _)| write(&self.mark_path(id, ownership), SETTLED))?;
        }
        Ok(())
    }

    /// Layers of this start that are not settled; nothing if one of them is too young for it.
    fn unsettled(&self, boot: &str, ownership: Ownership, quiet: Duration) -> Result<Option<Vec<LayerId>>> {
        let mut found = Vec::new();
        for path in super::remove::listed(&self.flavour(ownership))? {
            if path.extension().is_none_or(|ending| ending != "mark") || read(&path).is_none_or(|mark| mark != boot) {
                continue;
            }
            let made = path.symlink_metadata().and_then(|there| there.modified());
            let age = made.ok().and_then(|made| SystemTime::now().duration_since(made).ok());
            if age.is_none_or(|age| age < quiet) {
                return Ok(None);
            }
            found.extend(super::remove::hex_digest(&path).map(LayerId));
        }
        Ok(Some(found))
    }
}

/// The text of a mark; whatever else stands there is none.
fn read(path: &Path) -> Option<String> {
    rustix::fs::readlinkat(CWD, path, Vec::new()).ok()?.into_string().ok()
}

/// Replaces a mark in one step.
fn write(path: &Path, text: &str) -> Result<()> {
    let failed = |e: Errno| Error::io(format!("writing `{}`", path.display()), e);
    let fresh = super::files::beside(path).ok_or_else(|| failed(Errno::INVAL))?;
    rustix::fs::symlinkat(text, CWD, &fresh).map_err(failed)?;
    rustix::fs::renameat(CWD, &fresh, CWD, path).map_err(|e| {
        let _ = rustix::fs::unlinkat(CWD, &fresh, AtFlags::empty());
        failed(e)
    })
}
