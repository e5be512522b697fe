//! Takes out of the store what nobody needs: images by name and age, and what failed pulls left.

use super::lock::Lock;
use super::records::{ImageRecord, Stamp};
use super::remove::{BRIEF, Removed, hex_digest, listed, unlink};
use super::{Name, Store};
use crate::{Digest, LayerId, Ownership, Result, Source};
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// What is to go.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Prune {
    /// Images with a name too.
    pub all: bool,
    /// Images, with a name or without, that were neither fetched nor used for so long, and no others.
    pub older_than: Option<Duration>,
    /// Look only.
    pub dry: bool,
}

/// An image that went, or in a dry run would go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gone {
    pub names: Vec<String>,
    pub digest: Digest,
    /// Bytes of the layers that only it used.
    pub bytes: u64,
}

/// What went, or in a dry run would go.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pruned {
    pub images: Vec<Gone>,
    /// Images that were to go, but that a sandbox uses.
    pub in_use: Vec<Digest>,
    /// Layers that no image has. They stay while any image is in use: who holds one may know it with
    /// other layers than its record has by now.
    pub layers: Vec<LayerId>,
    /// Beginnings of blobs that pulls left, which the next pull would have gone on from. Those are older
    /// than the age that was asked for too.
    pub partial: usize,
    /// Bytes of everything.
    pub bytes: u64,
}

/// Images and names as they stand while nobody else changes them.
struct Inventory {
    records: BTreeMap<Digest, ImageRecord>,
    names: Vec<(PathBuf, Name)>,
}

impl Store {
    /// Removes images that are not in use, by default those without a name, and what failed pulls and
    /// imports left. A name of a local file that is gone or has changed is none. Runs go on meanwhile,
    /// pulls wait or are waited for. Where layers belong to a range of ids, the caller must be root of
    /// that namespace.
    pub fn prune(&self, what: Prune) -> Result<Pruned> {
        let alone = self.alone()?;
        if !what.dry {
            self.forget_torn()?;
            // Layers that a pull did not get to finish: the next one would begin them anew.
            Ownership::ALL.iter().try_for_each(|ownership| self.sweep_layers(*ownership))?;
        }
        let mut names = self.names()?;
        let stale: Vec<_> = names.iter().filter(|(_, name)| is_stale(name)).cloned().collect();
        names.retain(|(path, _)| !stale.iter().any(|(gone, _)| gone == path));
        let there = Inventory { records: self.image_records()?, names };
        let mut done = Pruned::default();
        let going = self.candidates(&there, what, &mut done)?;
        if what.dry {
            self.foresee(&there, going, &mut done)?;
            let old = self.leftovers()?.into_iter().filter(|head| head.age >= what.older_than.unwrap_or_default());
            old.for_each(|head| (done.partial, done.bytes) = (done.partial + 1, done.bytes + head.bytes));
            return Ok(done);
        }
        stale.iter().try_for_each(|(path, _)| unlink(path))?;
        let mut folders = Vec::new();
        for (record, _unused) in &going {
            let mut removed = Removed::default();
            let own = there.names.iter().filter(|(_, name)| name.digest == record.digest);
            own.clone().try_for_each(|(path, _)| unlink(path))?;
            folders.extend(self.forget(record, &mut removed)?);
            unlink(&self.image_lock_path(&record.digest))?;
            done.images.push(gone(record, own, removed.bytes));
            done.bytes += removed.bytes;
        }
        drop(going);
        let mut orphans = Removed::default();
        let lost = self.forget_orphans(&mut orphans)?;
        let (partial, bytes) = self.remove_leftovers(what.older_than.unwrap_or_default())?;
        (done.layers, done.partial) = (orphans.layers, partial);
        done.bytes += orphans.bytes + bytes;
        self.delete(alone, &folders, &lost)?;
        Ok(done)
    }

    /// The images that go, each with the lock that keeps it from being used.
    fn candidates(&self, there: &Inventory, what: Prune, done: &mut Pruned) -> Result<Vec<(ImageRecord, Lock)>> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let mut going = Vec::new();
        for record in there.records.values() {
            let named = there.names.iter().any(|(_, name)| name.digest == record.digest);
            let last = self.used(&record.digest).unwrap_or(0).max(record.fetched);
            let old = |age: Duration| now.saturating_sub(Duration::from_secs(last)) >= age;
            let goes = what.older_than.map_or(what.all || !named, old);
            if !goes {
                continue;
            }
            match Lock::exclusive_within(&self.image_lock_path(&record.digest), BRIEF)? {
                Some(lock) => going.push((record.clone(), lock)),
                None => done.in_use.push(record.digest),
            }
        }
        Ok(going)
    }

    /// What a prune of these would free.
    fn foresee(&self, there: &Inventory, going: Vec<(ImageRecord, Lock)>, done: &mut Pruned) -> Result<()> {
        let mut left: BTreeMap<Digest, ImageRecord> = there.records.clone();
        for (record, _) in &going {
            left.remove(&record.digest);
            let used = layers_of(left.values());
            let own: BTreeSet<LayerId> = record.layers.iter().copied().filter(|layer| !used.contains(layer)).collect();
            let bytes = own.iter().filter_map(|layer| self.any_record(layer)).map(|record| record.bytes).sum();
            let names = there.names.iter().filter(|(_, name)| name.digest == record.digest);
            done.images.push(gone(record, names, bytes));
            done.bytes += bytes;
        }
        if left.keys().any(|digest| Lock::is_held(&self.image_lock_path(digest))) {
            return Ok(());
        }
        let used = layers_of(there.records.values());
        let mut orphans = BTreeSet::new();
        for ownership in Ownership::ALL {
            let found = listed(&self.flavour(ownership))?.into_iter().filter(|path| path.is_dir());
            orphans.extend(found.filter_map(|path| hex_digest(&path).map(LayerId)).filter(|id| !used.contains(id)));
        }
        done.bytes += orphans.iter().filter_map(|id| self.any_record(id)).map(|record| record.bytes).sum::<u64>();
        done.layers = orphans.into_iter().collect();
        Ok(())
    }
}

fn layers_of<'a>(records: impl Iterator<Item = &'a ImageRecord>) -> BTreeSet<LayerId> {
    records.flat_map(|record| &record.layers).copied().collect()
}

fn gone<'a>(record: &ImageRecord, names: impl Iterator<Item = &'a (PathBuf, Name)>, bytes: u64) -> Gone {
    let mut names: Vec<String> = names.map(|(_, name)| name.name.clone()).collect();
    names.sort();
    names.dedup();
    Gone { names, digest: record.digest, bytes }
}

/// Whether a name is that of a local file which is no longer what was imported.
fn is_stale(name: &Name) -> bool {
    let now = || name.name.parse::<Source>().and_then(|source| Stamp::of(&source));
    name.stamp.as_ref().is_some_and(|stamp| now().ok().flatten().as_ref() != Some(stamp))
}
