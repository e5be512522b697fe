//! Finds out whether what lies in the store is what was put there, and takes away what is not.

use super::lock::Lock;
use super::records::ImageRecord;
use super::remove::{BRIEF, hex_digest, listed, unlink};
use super::{Name, Store, files};
use crate::manifest::{self, Document};
use crate::{Digest, LayerId, Ownership, Progress, Result, Silent, Step, beneath, layer, limits};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::sync::Mutex;

/// Why something damaged stays.
const IN_USE: &str = "a sandbox uses it: `aido sandbox list` shows which";

/// What a look at the store found.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Report {
    pub images: Vec<CheckedImage>,
    pub layers: Vec<CheckedLayer>,
    /// Files that should say what an image or a name is, and do not.
    pub records: Vec<CheckedRecord>,
}

/// The documents of one image, and what the store remembers of it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct CheckedImage {
    pub names: Vec<String>,
    pub digest: Digest,
    pub layers: Vec<LayerId>,
    /// What is wrong, in words.
    pub damage: Vec<String>,
    pub removed: bool,
    /// Why it is still there, though it was to be removed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kept: Option<String>,
}

/// One layer, in one of the ways it is unpacked.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct CheckedLayer {
    pub layer: LayerId,
    /// `squash`, `keep`, `keep-set-id`.
    #[serde(with = "flavour")]
    pub unpacked: Ownership,
    /// Names or digests of the images that have it.
    pub images: Vec<String>,
    /// Of its stream.
    pub bytes: u64,
    /// What is wrong, in words.
    pub damage: Vec<String>,
    /// Why it could not be looked at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unread: Option<String>,
    pub removed: bool,
    /// Why it is still there, though it was to be removed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kept: Option<String>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct CheckedRecord {
    pub path: PathBuf,
    pub damage: String,
    pub removed: bool,
}

/// An ownership by the name of its folder.
mod flavour {
    use crate::Ownership;
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(super) fn serialize<S: Serializer>(ownership: &Ownership, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(ownership.flavour())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Ownership, D::Error> {
        let name = String::deserialize(from)?;
        let named = Ownership::ALL.into_iter().find(|ownership| ownership.flavour() == name);
        named.ok_or_else(|| D::Error::custom(format!("no way of unpacking is called {name}")))
    }
}

impl Report {
    /// Nothing is damaged, and all was looked at.
    pub fn is_sound(&self) -> bool {
        self.records.is_empty()
            && self.images.iter().all(|image| image.damage.is_empty())
            && self.layers.iter().all(|layer| layer.damage.is_empty() && layer.unread.is_none())
    }
}

impl Store {
    /// What is wrong with a layer, in words; nothing if it is as it was unpacked. An error is what kept
    /// this process from looking: it must be one that may read whatever the layer holds.
    pub fn check_layer(&self, id: &LayerId, ownership: Ownership) -> Result<Vec<String>> {
        self.look_at(id, ownership, &Silent)
    }

    fn look_at(&self, id: &LayerId, ownership: Ownership, progress: &dyn Progress) -> Result<Vec<String>> {
        let folder = self.layer_folder(id, ownership);
        let place = format!("layer {id}");
        if let Err(e) = self.layer_list(id, ownership).and_then(layer::check_list) {
            return Ok(vec![e.what]);
        }
        let record = match files::read(&self.layer_record_path(id, ownership)) {
            Ok(Some(bytes)) => layer::Record::parse(&bytes),
            Ok(None) => return Ok(vec!["its record is missing".to_owned()]),
            Err(e) => return Err(e.within(place)),
        };
        match record {
            Ok(record) => layer::check(&folder, id, ownership, &record, progress).map_err(|e| e.within(place)),
            Err(e) => Ok(vec![e.what]),
        }
    }

    /// Looks at the images that are named, or at all there is. Changes nothing. The caller must be one
    /// who may read whatever a layer holds.
    pub fn verify(&self, names: &[String], progress: &dyn Progress) -> Result<Report> {
        let _staying = self.lock_arriving()?;
        let (records, torn) = self.readable::<ImageRecord>("images")?;
        let (known, lost) = self.readable::<Name>("names")?;
        let mut report = Report::default();
        let chosen: BTreeSet<Digest> = if names.is_empty() {
            report.records.extend(torn.into_iter().chain(lost));
            records.iter().map(|record| record.digest).collect()
        } else {
            names.iter().map(|name| Ok(self.meant(name)?.1.digest)).collect::<Result<_>>()?
        };
        let called = |digest: &Digest| -> Vec<String> {
            let own: BTreeSet<&String> = known.iter().filter(|n| n.digest == *digest).map(|n| &n.name).collect();
            own.into_iter().cloned().collect()
        };
        for record in records.iter().filter(|record| chosen.contains(&record.digest)) {
            let (damage, layers) = (self.check_image(record)?, record.layers.clone());
            let names = called(&record.digest);
            report.images.push(CheckedImage {
                names,
                digest: record.digest,
                layers,
                damage,
                removed: false,
                kept: None,
            });
        }
        report.images.sort_by(|a, b| (&a.names, a.digest).cmp(&(&b.names, b.digest)));
        let mut wanted = self.wanted(&report.images, names.is_empty())?;
        for layer in &mut wanted {
            let users = records.iter().filter(|record| record.layers.contains(&layer.layer));
            let word =
                |record: &ImageRecord| called(&record.digest).into_iter().next().unwrap_or(record.digest.to_string());
            layer.images = users.map(word).collect();
        }
        report.layers = self.check_layers(wanted, progress);
        Ok(report)
    }

    /// Every record of a folder that can be read, and those that cannot.
    fn readable<T: serde::de::DeserializeOwned>(&self, folder: &str) -> Result<(Vec<T>, Vec<CheckedRecord>)> {
        let (mut good, mut bad) = (Vec::new(), Vec::new());
        for path in listed(&self.dir().join(folder))? {
            if path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b".")) {
                continue;
            }
            let damage = match files::read_json::<T>(&path) {
                Ok(Some(record)) => {
                    good.push(record);
                    continue;
                }
                Ok(None) => "it is cut off".to_owned(),
                Err(e) => e.what,
            };
            bad.push(CheckedRecord { path, damage, removed: false });
        }
        Ok((good, bad))
    }

    /// What is wrong with an image beside its layers.
    fn check_image(&self, record: &ImageRecord) -> Result<Vec<String>> {
        let Some((manifest, config)) = self.documents(&record.digest)? else {
            return Ok(vec!["its manifest or its config is missing".to_owned()]);
        };
        if Digest::of(&manifest) != record.digest {
            return Ok(vec![format!("its manifest has the digest {}", Digest::of(&manifest))]);
        }
        let parsed = match Document::parse(&manifest) {
            Ok(Document::Manifest(parsed)) => parsed,
            _ => return Ok(vec!["its manifest is none".to_owned()]),
        };
        if Digest::of(&config) != parsed.config.digest {
            return Ok(vec![format!(
                "its config has the digest {}, and not {}",
                Digest::of(&config),
                parsed.config.digest
            )]);
        }
        let mut damage = Vec::new();
        match manifest::config(&config, parsed.layers.len(), &record.platform()) {
            Ok((config, ids)) => {
                if config != record.config {
                    damage.push("its record says something else than its config".to_owned());
                }
                if !self.is_stack_of(&record.layers, &ids) {
                    damage.push("its record has other layers than its config".to_owned());
                }
            }
            Err(e) => damage.push(e.what),
        }
        let whole = |o: &Ownership| record.layers.iter().all(|layer| self.layer_folder(layer, *o).is_dir());
        if !Ownership::ALL.iter().any(whole) {
            let here = |id: &&LayerId| !Ownership::ALL.iter().any(|o| self.layer_folder(id, *o).is_dir());
            match record.layers.iter().find(here) {
                Some(id) => damage.push(format!("its layer {id} is missing")),
                None => damage.push("no way of unpacking it is whole: some layers are missing".to_owned()),
            }
        }
        Ok(damage)
    }

    /// Whether an image of these diff IDs is stacked as `layers`: each where it lies highest, and on
    /// top a mending one if they need it.
    fn is_stack_of(&self, layers: &[LayerId], ids: &[LayerId]) -> bool {
        let mut seen = BTreeSet::new();
        let mut meant: Vec<LayerId> = ids.iter().rev().filter(|id| seen.insert(**id)).copied().collect();
        meant.reverse();
        let whole = |o: &Ownership| meant.iter().all(|layer| self.layer_folder(layer, *o).is_dir());
        let Some(ownership) = Ownership::ALL.into_iter().find(whole) else {
            return layers.starts_with(&meant) && layers.len() <= meant.len() + 1;
        };
        let open = |height: usize| self.layer_list(&meant[height], ownership);
        let mending = beneath::own_folder(self.dir()).and_then(|dir| layer::mend(meant.len(), open, dir.as_fd()));
        match mending {
            Ok(Some(mending)) => layers == [&meant[..], &[LayerId(mending.digest)]].concat(),
            Ok(None) => layers == meant,
            // A damaged list is told of its layer.
            Err(_) => layers.starts_with(&meant) && layers.len() <= meant.len() + 1,
        }
    }

    /// The layers of these images, and of the whole store those that no image has.
    fn wanted(&self, images: &[CheckedImage], all: bool) -> Result<Vec<CheckedLayer>> {
        let mut wanted: BTreeMap<(LayerId, Ownership), CheckedLayer> = BTreeMap::new();
        let mut add = |layer: LayerId, unpacked: Ownership| {
            let bytes = self.layer_record(&layer, unpacked).map_or(0, |record| record.tar_bytes);
            let (images, damage) = (Vec::new(), Vec::new());
            let checked =
                CheckedLayer { layer, unpacked, images, bytes, damage, unread: None, removed: false, kept: None };
            wanted.insert((layer, unpacked), checked);
        };
        for ownership in Ownership::ALL {
            let there = listed(&self.flavour(ownership))?;
            let here: BTreeSet<LayerId> = there
                .iter()
                .filter(|path| path.extension().is_none())
                .filter_map(|path| hex_digest(path).map(LayerId))
                .collect();
            let of_images = images.iter().flat_map(|image| &image.layers).filter(|layer| here.contains(layer));
            of_images.for_each(|layer| add(*layer, ownership));
            if all {
                here.iter().for_each(|layer| add(*layer, ownership));
            }
        }
        Ok(wanted.into_values().collect())
    }

    /// Several at a time; the largest first.
    fn check_layers(&self, mut wanted: Vec<CheckedLayer>, progress: &dyn Progress) -> Vec<CheckedLayer> {
        progress.step(Step::Working { doing: "verifying", bytes: wanted.iter().map(|layer| layer.bytes).sum() });
        wanted.sort_by_key(|layer| layer.bytes);
        let workers = wanted.len().min(limits::LAYERS_AT_ONCE);
        let (queue, done) = (Mutex::new(wanted), Mutex::new(Vec::new()));
        let next = || queue.lock().ok().and_then(|mut queue| queue.pop());
        let work = || {
            while let Some(mut layer) = next() {
                match self.look_at(&layer.layer, layer.unpacked, progress) {
                    Ok(damage) => layer.damage = damage,
                    Err(e) => layer.unread = Some(e.what),
                }
                if let Ok(mut done) = done.lock() {
                    done.push(layer);
                }
            }
        };
        std::thread::scope(|scope| (0..workers).for_each(|_| drop(scope.spawn(work))));
        let mut done = done.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
        done.sort_by_key(|layer| (layer.layer, layer.unpacked));
        done
    }

    /// Takes damaged layers, documents and records out of the store, so that the next pull brings them
    /// and nothing else. What a sandbox uses stays.
    pub fn drop_damaged(&self, report: &mut Report) -> Result<()> {
        let alone = self.alone()?;
        for record in &mut report.records {
            unlink(&record.path)?;
            record.removed = true;
        }
        for image in report.images.iter_mut().filter(|image| !image.damage.is_empty()) {
            // Without its record nobody would know which layers a sandbox has of it.
            let Some(_unused) = Lock::exclusive_within(&self.image_lock_path(&image.digest), BRIEF)? else {
                image.kept = Some(IN_USE.to_owned());
                continue;
            };
            ["manifest", "config"].iter().try_for_each(|kind| unlink(&self.blob_path(&image.digest, kind)))?;
            // A name without a record is asked for again.
            unlink(&self.dir().join("images").join(format!("{}.json", image.digest.hex())))?;
            image.removed = true;
        }
        let records = self.readable::<ImageRecord>("images")?.0;
        let mut going = Vec::new();
        for layer in report.layers.iter_mut().filter(|layer| !layer.damage.is_empty()) {
            let mut locks = Vec::new();
            for record in records.iter().filter(|record| record.layers.contains(&layer.layer)) {
                locks.push(Lock::exclusive_within(&self.image_lock_path(&record.digest), BRIEF)?);
            }
            let own = Lock::try_exclusive(&self.layer_lock_path(&layer.layer, layer.unpacked))?;
            if own.is_none() || locks.iter().any(Option::is_none) {
                layer.kept = Some(IN_USE.to_owned());
                continue;
            }
            let folder = self.layer_folder(&layer.layer, layer.unpacked);
            self.unmark(&layer.layer, layer.unpacked)?;
            if folder.symlink_metadata().is_ok() {
                going.push(self.out_of_sight(&folder, &layer.layer)?);
            }
            self.forget_layer_notes(&layer.layer, layer.unpacked, &mut going)?;
            layer.removed = true;
        }
        self.delete(alone, &going, &[])
    }
}
