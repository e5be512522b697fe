//! A layer and what belongs to it, put in place and taken away together.

use super::{Lock, Store, mark::boot};
use crate::layer::LIST;
use crate::recipe::{KEPT, TAPE, beside};
use crate::{Digest, Error, LayerId, Ownership, Result};
use std::io;
use std::path::Path;

impl Store {
    /// Puts a layer that is whole in its place. The caller holds its lock.
    pub(crate) fn place(&self, growing: &Path, id: &LayerId, ownership: Ownership) -> Result<()> {
        self.place_under(boot(), growing, id, ownership)
    }

    /// The folder's name is the last step: where it is, its recipe is too. Whoever stops before it
    /// leaves a mark without a folder, which means nothing; and no folder of before ever stands
    /// beside a mark of now.
    pub(crate) fn place_under(
        &self,
        boot: Option<&str>,
        growing: &Path,
        id: &LayerId,
        ownership: Ownership,
    ) -> Result<()> {
        let layer = self.layer_folder(id, ownership);
        let placed = |from: &Path, to: &Path| match std::fs::rename(from, to) {
            Err(e) => Err(Error::io(format!("placing `{}`", to.display()), e)),
            Ok(()) => Ok(()),
        };
        self.unmark(id, ownership)?;
        let old = if layer.symlink_metadata().is_ok() { Some(self.out_of_sight(&layer, id)?) } else { None };
        self.mark(boot, id, ownership)?;
        let (kept, new) = (beside(&layer, KEPT), beside(growing, KEPT));
        self.clear(&kept)?;
        if new.is_dir() {
            placed(&new, &kept)?;
        }
        for ending in [TAPE, LIST] {
            placed(&beside(growing, ending), &beside(&layer, ending))?;
        }
        placed(growing, &layer)?;
        // What cannot be deleted now is swept later.
        let _ = old.map(|old| self.clear(&old));
        Ok(())
    }

    /// Deletes a layer that grows, or what a killed process left of one.
    pub(crate) fn clear_layer(&self, growing: &Path) -> Result<()> {
        for note in [TAPE, LIST].map(|ending| beside(growing, ending)) {
            match std::fs::remove_file(&note) {
                Err(e) if e.kind() != io::ErrorKind::NotFound => {
                    return Err(Error::io(format!("deleting `{}`", note.display()), e));
                }
                _ => {}
            }
        }
        self.clear(&beside(growing, KEPT))?;
        self.clear(growing)
    }

    /// Deletes records and recipes whose layer is gone: whoever placed or removed it was killed on
    /// the way. Only what lies there for `path`, which is no layer.
    pub(super) fn clear_stray(&self, path: &Path, ownership: Ownership) -> Result<()> {
        let hex = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
        let Ok(digest) = format!("sha256:{hex}").parse::<Digest>() else { return Ok(()) };
        let id = LayerId(digest);
        // A layer that is not believed any more is still there to be checked.
        let gone = || !self.layer_folder(&id, ownership).is_dir();
        if path.extension().is_none() || !gone() {
            return Ok(());
        }
        if let Some(_held) = Lock::try_exclusive(&self.layer_lock_path(&id, ownership))?
            && gone()
        {
            // What cannot be deleted now is tried again next time.
            let _ = self.clear(path);
        }
        Ok(())
    }
}
