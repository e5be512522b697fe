//! What there is in the store, and when it was used.

use super::records::ImageRecord;
use super::{Lock, Name, Store};
use crate::{Digest, Error, LayerId, Ownership, Result};
use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, UTIME_NOW, UTIME_OMIT, utimensat};
use serde::Serialize;
use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// One image in a listing.
#[derive(Debug, Clone, Serialize)]
pub struct Listed {
    /// The names that mean it; empty if all of them mean something else by now.
    pub names: Vec<String>,
    pub digest: Digest,
    pub platform: String,
    /// Bytes that its files hold, unpacked.
    pub size: u64,
    /// Of these, in layers that other images use too.
    pub shared: u64,
    /// When it came in, in seconds since 1970.
    pub fetched: u64,
    /// When a sandbox was last started from it; none if that never was.
    pub used: Option<u64>,
    /// Whether a sandbox uses it now.
    pub in_use: bool,
    /// By name, the digest that it led to: the manifest's, or that of the index it was chosen from.
    pub resolved: BTreeMap<String, Digest>,
    /// How its layers are unpacked here: `squash`, `keep`, `keep-set-id`.
    pub unpacked: Vec<String>,
}

impl Store {
    /// All images, by name.
    pub fn list(&self) -> Result<Vec<Listed>> {
        let (records, names) = (self.image_records()?, self.names()?);
        let mut uses: BTreeMap<LayerId, usize> = BTreeMap::new();
        records.values().flat_map(|record| &record.layers).for_each(|layer| *uses.entry(*layer).or_default() += 1);
        let mut listed: Vec<Listed> = records.values().map(|record| self.listed(record, &names, &uses)).collect();
        listed.sort_by(|a, b| (a.names.is_empty(), &a.names, a.digest).cmp(&(b.names.is_empty(), &b.names, b.digest)));
        Ok(listed)
    }

    fn listed(&self, record: &ImageRecord, names: &[(PathBuf, Name)], uses: &BTreeMap<LayerId, usize>) -> Listed {
        let mut own: Vec<String> =
            names.iter().filter(|(_, n)| n.digest == record.digest).map(|(_, n)| n.name.clone()).collect();
        own.sort();
        let means = names.iter().filter(|(_, n)| n.digest == record.digest);
        let resolved = means.map(|(_, n)| (n.name.clone(), n.top)).collect();
        let bytes = |layer: &LayerId| self.any_record(layer).map_or(0, |record| record.bytes);
        let shared = record.layers.iter().filter(|layer| uses.get(layer).is_some_and(|n| *n > 1)).map(bytes).sum();
        let unpacked = |o: &Ownership| record.layers.iter().all(|layer| self.has_layer(layer, *o));
        Listed {
            names: own,
            used: self.used(&record.digest),
            in_use: Lock::is_held(&self.image_lock_path(&record.digest)),
            resolved,
            digest: record.digest,
            platform: record.platform().to_string(),
            size: record.size,
            shared,
            fetched: record.fetched,
            unpacked: Ownership::ALL.iter().filter(|o| unpacked(o)).map(|o| o.flavour().to_owned()).collect(),
        }
    }

    /// When an image was last held. The time of its record says it: nothing else changes with use, and
    /// a record that nobody held bears none.
    pub(super) fn used(&self, image: &Digest) -> Option<u64> {
        let time = std::fs::metadata(self.image_path(image)).ok()?.mtime();
        u64::try_from(time).ok().filter(|seconds| *seconds > 0)
    }

    /// Notes that the image is used now. Nothing depends on it but the choice of what to prune, so it
    /// is not waited for, and a failure is none.
    pub(super) fn touch(&self, image: &Digest) {
        let _ = stamp(&self.image_path(image), UTIME_NOW, 0);
    }

    /// Writes a record; when the image was used stays as it was.
    pub(super) fn keep_image(&self, record: &ImageRecord) -> Result<()> {
        let (path, used) = (self.image_path(&record.digest), self.used(&record.digest));
        super::files::write_json(&path, record)?;
        let seconds = used.and_then(|seconds| i64::try_from(seconds).ok()).unwrap_or(0);
        stamp(&path, 0, seconds).map_err(|e| Error::io(format!("`{}`", path.display()), e))
    }
}

fn stamp(path: &Path, nanoseconds: rustix::fs::Nsecs, seconds: i64) -> rustix::io::Result<()> {
    let times = Timestamps {
        last_access: Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT },
        last_modification: Timespec { tv_sec: seconds, tv_nsec: nanoseconds },
    };
    utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW)
}
