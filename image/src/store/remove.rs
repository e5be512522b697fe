//! Takes images out of the store.

use super::lock::Lock;
use super::records::ImageRecord;
use super::{Image, Name, Store, files};
use crate::layer::LIST;
use crate::recipe::{KEPT, TAPE, beside};
use crate::{Digest, Error, Kind, LayerId, Ownership, Result, Source};
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

/// How long a removal waits for pulls to end.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long it waits for an image: a listing that looks whether one is in use holds it for a moment.
pub(super) const BRIEF: Duration = Duration::from_millis(200);

/// What a removal took away.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Removed {
    /// Names that mean nothing any more.
    pub names: Vec<String>,
    /// The image, if no other name means it.
    pub image: Option<Digest>,
    /// Layers that no other image uses, those of imports that failed among them.
    pub layers: Vec<LayerId>,
    /// Bytes of their files.
    pub bytes: u64,
}

impl Store {
    /// Removes a name, or by its digest (or the start of it) an image with all its names. An image
    /// goes when its last name but those of local files goes; layers stay while another image uses
    /// them. What no image has, an import that failed has left: it goes too. Where layers belong to
    /// a range of ids, the caller must be root of that namespace.
    pub fn remove(&self, name: &str) -> Result<Removed> {
        let alone = self.alone()?;
        self.forget_torn()?;
        let (mut names, record) = self.meant(name)?;
        let own = self.names()?.into_iter().filter(|(_, n)| n.digest == record.digest);
        let others: Vec<_> = own.filter(|(path, _)| !names.iter().any(|(going, _)| going == path)).collect();
        // Folders and files that it was imported from are no reason to keep it.
        let kept = others.iter().any(|(_, n)| n.stamp.is_none());
        if !kept {
            names.extend(others);
        }
        let mut removed = Removed { names: names.iter().map(|(_, n)| n.name.clone()).collect(), ..Removed::default() };
        removed.names.sort();
        removed.names.dedup();
        if kept {
            names.iter().try_for_each(|(path, _)| unlink(path))?;
            let orphans = self.forget_orphans(&mut removed)?;
            return self.delete(alone, &[], &orphans).map(|()| removed);
        }
        let image_lock = self.image_lock_path(&record.digest);
        let _unused = Lock::exclusive_within(&image_lock, BRIEF)?.ok_or_else(|| {
            Error::new(Kind::Busy, format!("a sandbox uses the image `{name}`")).remedy("aido sandbox list")
        })?;
        names.iter().try_for_each(|(path, _)| unlink(path))?;
        let going = self.forget(&record, &mut removed)?;
        let orphans = self.forget_orphans(&mut removed)?;
        unlink(&image_lock)?;
        self.delete(alone, &going, &orphans).map(|()| removed)
    }

    /// Takes away what a power cut left of records, and what killed writers left beside them. The
    /// caller is alone in the store, so nobody is writing one.
    pub(super) fn forget_torn(&self) -> Result<()> {
        for path in ["images", "names"].map(|folder| listed(&self.dir.join(folder))).into_iter().flatten().flatten() {
            let unfinished = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
            if unfinished || files::read(&path)?.is_some_and(|bytes| !files::is_whole(&bytes)) {
                unlink(&path)?;
            }
        }
        Ok(())
    }

    /// Waits until nobody pulls; nobody begins while the lock is held.
    pub(super) fn alone(&self) -> Result<Lock> {
        let busy = || {
            let what =
                "another aido is pulling an image into this store or looking at it, so nothing can be removed now";
            Error::new(Kind::Busy, what).remedy("try again when it is done")
        };
        Lock::exclusive_within(&self.lock_path("store"), PATIENCE)?.ok_or_else(busy)
    }

    /// Deletes folders that nothing points to any more; large trees hold nobody up.
    pub(super) fn delete(&self, alone: Lock, own: &[PathBuf], orphans: &[PathBuf]) -> Result<()> {
        let _clearing = Lock::exclusive(&self.lock_path("clearing"), || ())?;
        drop(alone);
        // Nobody asked for these: what cannot be deleted now is swept later.
        orphans.iter().for_each(|folder| drop(self.clear(folder)));
        own.iter().try_for_each(|folder| self.clear(folder))
    }

    /// Takes layers and documents that no image names out of sight; returns what is to be deleted.
    /// The caller is alone in the store: a pull brings layers in before it writes their image down.
    pub(super) fn forget_orphans(&self, removed: &mut Removed) -> Result<Vec<PathBuf>> {
        let records = self.image_records()?;
        // Who holds an image may know it with other layers than its record has by now.
        let mut unused = Vec::new();
        for digest in records.keys() {
            let Some(lock) = Lock::try_exclusive(&self.image_lock_path(digest))? else { return Ok(Vec::new()) };
            unused.push(lock);
        }
        for path in listed(&self.dir.join("blobs"))? {
            let named = |digest: Digest| records.contains_key(&digest);
            if hex_digest(&path).is_some_and(|digest| !named(digest)) {
                unlink(&path)?;
            }
        }
        let used: BTreeSet<LayerId> = records.values().flat_map(|record| &record.layers).copied().collect();
        let mut going = Vec::new();
        for ownership in Ownership::ALL {
            let found = listed(&self.flavour(ownership))?.into_iter().filter_map(|path| hex_digest(&path).map(LayerId));
            for layer in found.collect::<BTreeSet<_>>().difference(&used) {
                let lock = self.layer_lock_path(layer, ownership);
                let Some(_free) = Lock::try_exclusive(&lock)? else { continue };
                let bytes = self.layer_record(layer, ownership).map_or(0, |record| record.bytes);
                let folder = self.layer_folder(layer, ownership);
                self.unmark(layer, ownership)?;
                if folder.is_dir() {
                    going.push(self.out_of_sight(&folder, layer)?);
                    removed.bytes += bytes;
                    removed.layers.push(*layer);
                }
                self.forget_layer_notes(layer, ownership, &mut going)?;
                unlink(&lock)?;
            }
        }
        removed.layers.sort();
        removed.layers.dedup();
        going.extend(self.forget_merged(records.values().map(|record| &record.layers))?);
        Ok(going)
    }

    /// Takes back layers that only an image brought which was refused. Where somebody else pulls by
    /// now, they may be wanted; a removal finds them later.
    pub(crate) fn take_back(&self, layers: &[LayerId], ownership: Ownership) -> Result<()> {
        let Some(alone) = Lock::exclusive_within(&self.lock_path("store"), BRIEF)? else { return Ok(()) };
        let used: BTreeSet<LayerId> = self.image_records()?.into_values().flat_map(|record| record.layers).collect();
        let mut going = Vec::new();
        for layer in layers.iter().filter(|layer| !used.contains(layer)) {
            let folder = self.layer_folder(layer, ownership);
            self.unmark(layer, ownership)?;
            if folder.is_dir() {
                going.push(self.out_of_sight(&folder, layer)?);
            }
            self.forget_layer_notes(layer, ownership, &mut going)?;
            unlink(&self.layer_lock_path(layer, ownership))?;
        }
        self.delete(alone, &[], &going)
    }

    /// The image that a name of the store or the start of a digest means, whole or not.
    pub fn named(&self, name: &str) -> Result<Image> {
        let (_, record) = self.meant(name)?;
        let digest = record.digest;
        Ok(record.image(name.to_owned(), digest))
    }

    /// The names that go and the image they mean.
    pub(super) fn meant(&self, name: &str) -> Result<(Vec<(PathBuf, Name)>, ImageRecord)> {
        let missing = || {
            let what = format!("no image `{}` is in the store", name.escape_debug());
            Error::new(Kind::Missing, what).remedy("aido image list")
        };
        let names = self.names()?;
        if let Ok(full) = name.parse::<Source>().and_then(|source| source.absolute()) {
            let full = full.to_string();
            let matching: Vec<_> = names.iter().filter(|(_, n)| n.name == full).cloned().collect();
            if let Some((_, first)) = matching.first() {
                let record = self.image_record(&first.digest)?.ok_or_else(missing)?;
                let same = matching.into_iter().filter(|(_, n)| n.digest == record.digest).collect();
                return Ok((same, record));
            }
        }
        let start = name.rsplit_once('@').map_or(name, |(_, digest)| digest);
        let start = start.strip_prefix("sha256:").unwrap_or(start);
        if start.len() < 4 || !start.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(missing());
        }
        // An image's own digest, or that of an index that led to it.
        let led = |record: &ImageRecord| {
            record.spots.iter().any(|spot| spot.rsplit_once(":").is_some_and(|(_, hex)| hex.starts_with(start)))
        };
        let fits = |record: &ImageRecord| record.digest.hex().starts_with(start) || led(record);
        let mut fitting = self.image_records()?.into_values().filter(fits);
        let record = fitting.next().ok_or_else(missing)?;
        if fitting.next().is_some() {
            let what = format!("`{start}` is the start of more than one image's digest");
            return Err(Error::new(Kind::Name, what).remedy("give more of its digits"));
        }
        let own = names.into_iter().filter(|(_, n)| n.digest == record.digest).collect();
        Ok((own, record))
    }

    /// Takes the image and the layers that only it used out of sight; returns what is to be deleted.
    pub(super) fn forget(&self, record: &ImageRecord, removed: &mut Removed) -> Result<Vec<PathBuf>> {
        let others = self.image_records()?.into_values().filter(|other| other.digest != record.digest);
        let used: BTreeSet<LayerId> = others.flat_map(|other| other.layers).collect();
        unlink(&self.dir.join("images").join(format!("{}.json", record.digest.hex())))?;
        ["manifest", "config"].iter().try_for_each(|kind| unlink(&self.blob_path(&record.digest, kind)))?;
        removed.image = Some(record.digest);
        let mut going = Vec::new();
        let own: BTreeSet<LayerId> = record.layers.iter().filter(|layer| !used.contains(layer)).copied().collect();
        for layer in own {
            removed.bytes += self.any_record(&layer).map_or(0, |record| record.bytes);
            for ownership in Ownership::ALL {
                let folder = self.layer_folder(&layer, ownership);
                self.unmark(&layer, ownership)?;
                if folder.is_dir() {
                    going.push(self.out_of_sight(&folder, &layer)?);
                }
                self.forget_layer_notes(&layer, ownership, &mut going)?;
                unlink(&self.layer_lock_path(&layer, ownership))?;
            }
            removed.layers.push(layer);
        }
        Ok(going)
    }

    /// Takes away what lies beside a layer that is out of sight.
    pub(super) fn forget_layer_notes(
        &self,
        layer: &LayerId,
        ownership: Ownership,
        going: &mut Vec<PathBuf>,
    ) -> Result<()> {
        unlink(&self.layer_record_path(layer, ownership))?;
        let folder = self.layer_folder(layer, ownership);
        [TAPE, LIST].iter().try_for_each(|ending| unlink(&beside(&folder, ending)))?;
        let kept = beside(&folder, KEPT);
        if kept.is_dir() {
            going.push(self.out_of_sight(&kept, layer)?);
        }
        Ok(())
    }

    /// Renames within the same folder: a closed folder cannot be moved to another one by its owner.
    pub(super) fn out_of_sight(&self, folder: &std::path::Path, layer: &LayerId) -> Result<PathBuf> {
        let kept = if folder.extension().is_some() { KEPT } else { "" };
        let gone = folder.with_file_name(format!(".gone-{}-{}{kept}", layer.0.hex(), std::process::id()));
        self.clear(&gone)?;
        std::fs::rename(folder, &gone).map_err(|e| Error::io(format!("removing `{}`", folder.display()), e))?;
        Ok(gone)
    }
}

pub(super) fn listed(folder: &std::path::Path) -> Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(folder).and_then(|entries| entries.map(|entry| Ok(entry?.path())).collect());
    entries.map_err(|e| Error::io(format!("listing `{}`", folder.display()), e))
}

/// The digest that an entry of the store is named after, with whatever ending.
pub(super) fn hex_digest(path: &std::path::Path) -> Option<Digest> {
    format!("sha256:{}", path.file_stem()?.to_str()?).parse().ok()
}

pub(super) fn unlink(path: &std::path::Path) -> Result<()> {
    match std::fs::remove_file(path) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
            Err(Error::io(format!("removing `{}`", path.display()), e))
        }
        _ => Ok(()),
    }
}
