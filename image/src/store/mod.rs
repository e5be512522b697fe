//! The store: one folder per user.
//!
//! ```text
//! store.json                 version of this layout
//! blobs/HEX.{manifest,config} both as they came, by manifest digest
//! images/HEX.json            one record for each image, by manifest digest
//! names/HEX.json             what a name means on a platform, by the digest of both
//! layers/FLAVOUR/HEX         one unpacked layer, by diff ID; HEX.json beside it is its record,
//!                            HEX.mark says whether it outlives a power cut, HEX.folders is the list
//!                            of its folders, HEX.tape its recipe, HEX.kept what it replaces within itself
//! layers/empty               nothing
//! merged/FLAVOUR/HEX         the lowest layers of an image that has too many, as one; HEX.json says which
//! partial/HEX                the beginning of a blob that came slowly and is not yet a layer
//! locks/NAME                 held while a layer is unpacked, an image is used, something is removed
//! ```
//!
//! Names that start with a dot are in the making or on their way out; nobody but the holder of the
//! lock looks at them.

mod files;
mod list;
mod lock;
mod look;
mod mark;
mod merged;
mod names;
mod partial;
mod placing;
mod prune;
mod records;
mod remove;
mod verify;

pub use list::Listed;
pub use lock::Hold;
pub use partial::Leftover;
pub use prune::{Gone, Prune, Pruned};
pub use records::Image;
pub use remove::Removed;
pub use verify::{CheckedImage, CheckedLayer, CheckedRecord, Report};

pub(crate) use lock::Lock;
pub(crate) use partial::Head;
pub(crate) use records::{Meaning, Name};

use crate::error::ELSEWHERE;
use crate::layer::{LIST, Record};
use crate::recipe::beside;
use crate::{Digest, Error, Kind, LayerId, Ownership, Result, beneath, limits};
use records::ImageRecord;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// Version of the layout. 1: first. 2: the lists of layers' folders are files of their own; names and
/// images remember the digests that led to them; layers have marks, and without one none is believed.
const VERSION: u32 = 2;

/// The images of one user.
#[derive(Debug, Clone)]
pub struct Store {
    dir: PathBuf,
    /// What all layers of one image may take.
    image_bytes: u64,
}

#[derive(Serialize, Deserialize)]
struct Layout {
    version: u32,
}

impl Store {
    /// Opens the store in `dir`, and makes it if it is not there. Only its owner may enter.
    pub fn open(dir: &Path) -> Result<Store> {
        let dir = std::path::absolute(dir).map_err(|e| Error::io(format!("`{}`", dir.display()), e))?;
        let failed = |e| {
            let made = Error::io(format!("opening the image store `{}`", dir.display()), e);
            if made.remedy.is_none() { made.remedy(ELSEWHERE) } else { made }
        };
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&dir).map_err(failed)?;
        let found = std::fs::metadata(&dir).map_err(failed)?;
        if found.uid() != rustix::process::geteuid().as_raw() {
            let what = format!("the image store `{}` belongs to user {}", dir.display(), found.uid());
            return Err(Error::new(Kind::Storage, what).remedy("give aido a data folder of its own user"));
        }
        if found.mode() & 0o777 != 0o700 {
            std::fs::set_permissions(&dir, std::fs::Permissions::from_mode(0o700)).map_err(failed)?;
        }
        let store = Store { dir, image_bytes: limits::IMAGE_BYTES };
        for folder in ["blobs", "images", "names", "locks"] {
            files::folder(&store.dir.join(folder))?;
        }
        Ownership::ALL.iter().try_for_each(|o| files::folder(&store.flavour(*o)))?;
        files::folder(&store.empty_folder())?;
        store.check_version()?;
        Ok(store)
    }

    pub(crate) fn image_bytes(&self) -> u64 {
        self.image_bytes
    }

    #[cfg(test)]
    pub(crate) fn held_to(&self, image_bytes: u64) -> Store {
        Store { image_bytes, ..self.clone() }
    }

    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    fn check_version(&self) -> Result<()> {
        let path = self.dir.join("store.json");
        let Some(layout) = files::read_json::<Layout>(&path)? else {
            return files::write_json(&path, &Layout { version: VERSION });
        };
        if layout.version == VERSION {
            return Ok(());
        }
        let what = format!(
            "the image store `{}` has version {}; this aido knows {VERSION}",
            self.dir.display(),
            layout.version
        );
        Err(Error::new(Kind::Storage, what).remedy("use the aido that made it, or remove the folder and pull again"))
    }

    fn flavour(&self, ownership: Ownership) -> PathBuf {
        self.dir.join("layers").join(ownership.flavour())
    }

    /// Where a layer lies, or would lie.
    pub fn layer_folder(&self, id: &LayerId, ownership: Ownership) -> PathBuf {
        self.flavour(ownership).join(id.0.hex())
    }

    fn empty_folder(&self) -> PathBuf {
        self.dir.join("layers").join("empty")
    }

    pub(crate) fn layer_record_path(&self, id: &LayerId, ownership: Ownership) -> PathBuf {
        self.flavour(ownership).join(format!("{}.json", id.0.hex()))
    }

    /// The list of a layer's folders.
    pub(crate) fn layer_list(&self, id: &LayerId, ownership: Ownership) -> Result<File> {
        let path = beside(&self.layer_folder(id, ownership), LIST);
        File::open(&path).map_err(|e| Error::io(format!("opening `{}`", path.display()), e))
    }

    /// Where a layer grows before it is whole.
    pub(crate) fn growing(&self, id: &LayerId, ownership: Ownership) -> PathBuf {
        self.flavour(ownership).join(format!(".new-{}", id.0.hex()))
    }

    pub(crate) fn layer_record(&self, id: &LayerId, ownership: Ownership) -> Result<Record> {
        let path = self.layer_record_path(id, ownership);
        let bytes = std::fs::read(&path).map_err(|e| Error::io(format!("reading `{}`", path.display()), e))?;
        Record::parse(&bytes).map_err(|e| e.within(path.display()))
    }

    fn blob_path(&self, manifest: &Digest, kind: &str) -> PathBuf {
        self.dir.join("blobs").join(format!("{}.{kind}", manifest.hex()))
    }

    /// Manifest and config of an image that came by earlier; their digests are yet to be checked.
    pub(crate) fn documents(&self, manifest: &Digest) -> Result<Option<(Vec<u8>, Vec<u8>)>> {
        let both =
            (files::read(&self.blob_path(manifest, "manifest"))?, files::read(&self.blob_path(manifest, "config"))?);
        Ok(both.0.zip(both.1))
    }

    pub(crate) fn keep_documents(&self, digest: &Digest, manifest: &[u8], config: &[u8]) -> Result<()> {
        files::write(&self.blob_path(digest, "config"), config)?;
        files::write(&self.blob_path(digest, "manifest"), manifest)
    }

    pub(crate) fn keep_record(&self, record: &Record, ownership: Ownership) -> Result<()> {
        files::write_json(&self.layer_record_path(&record.id, ownership), record)
    }

    fn image_records(&self) -> Result<BTreeMap<Digest, ImageRecord>> {
        let records = files::read_all::<ImageRecord>(&self.dir.join("images"))?;
        Ok(records.into_iter().map(|(_, record)| (record.digest, record)).collect())
    }

    fn any_record(&self, layer: &LayerId) -> Option<Record> {
        Ownership::ALL.iter().find_map(|ownership| self.layer_record(layer, *ownership).ok())
    }

    fn lock_path(&self, name: &str) -> PathBuf {
        self.dir.join("locks").join(name)
    }

    /// Held while layers come in, so that nobody removes one between its arrival and its image.
    pub(crate) fn lock_arriving(&self) -> Result<Lock> {
        Lock::shared(&self.lock_path("store"))
    }

    pub(crate) fn layer_lock_path(&self, id: &LayerId, ownership: Ownership) -> PathBuf {
        self.lock_path(&format!("{}-{}", ownership.flavour(), id.0.hex()))
    }

    /// Deletes what killed processes left half-made or half-deleted, as far as this one may.
    pub(crate) fn sweep(&self, ownership: Ownership) -> Result<()> {
        let _ = self.remove_leftovers(partial::KEPT);
        self.sweep_layers(ownership)
    }

    fn sweep_layers(&self, ownership: Ownership) -> Result<()> {
        let flavour = self.flavour(ownership);
        let failed = |e| Error::io(format!("listing `{}`", flavour.display()), e);
        for entry in std::fs::read_dir(&flavour).map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            let lock = match name.strip_prefix(".new-").and_then(|name| name.split('.').next()) {
                Some(hex) => self.lock_path(&format!("{}-{hex}", ownership.flavour())),
                None if name.starts_with(".gone-") => self.lock_path("clearing"),
                None => {
                    self.clear_stray(&path, ownership)?;
                    continue;
                }
            };
            // What somebody holds is no leftover; what cannot be deleted now is tried again next time.
            if let Some(_held) = Lock::try_exclusive(&lock)? {
                let _ = self.clear(&path);
            }
        }
        Ok(())
    }

    /// Deletes a tree of the store. The caller holds the lock that covers it.
    pub(crate) fn clear(&self, path: &Path) -> Result<()> {
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else { return Ok(()) };
        let parent = beneath::own_folder(parent)?;
        beneath::delete(std::os::fd::AsFd::as_fd(&parent), name)
            .map_err(|e| Error::io(format!("deleting `{}`", path.display()), e))
    }
}

#[cfg(test)]
mod tests;
