//! What the store remembers of images and of names.

use crate::{Config, Digest, Error, LayerId, Platform, Result, Source};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::os::unix::fs::MetadataExt;

/// Version of the stored forms. 1: first. 2: a name knows the digest at its top, an image where it came from.
const VERSION: u32 = 2;

/// An image that is whole in the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// The name it was asked for by.
    pub reference: String,
    /// Of its manifest.
    pub digest: Digest,
    /// What the name led to: the manifest, or the index that it was chosen from. Held to this digest the
    /// name means the same image for ever, and on other platforms theirs.
    pub resolved: Digest,
    pub config: Config,
    /// Lowest first. The topmost may be one of aido's own making, which puts right the modes of
    /// folders that a layer uses without describing them.
    pub layers: Vec<LayerId>,
    /// Bytes that its files hold, unpacked.
    pub size: u64,
    /// Seconds since 1970.
    pub fetched: u64,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ImageRecord {
    #[serde(deserialize_with = "this_version")]
    version: u32,
    pub(super) digest: Digest,
    pub(super) config: Config,
    pub(super) layers: Vec<LayerId>,
    pub(super) size: u64,
    pub(super) fetched: u64,
    /// `REGISTRY/REPOSITORY@DIGEST` of manifests and indexes that led to it: a digest is known in the
    /// repository that it came from, and in no other.
    #[serde(default)]
    pub(super) spots: BTreeSet<String>,
}

/// What a name means.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Name {
    #[serde(deserialize_with = "this_version")]
    version: u32,
    pub(crate) name: String,
    pub(crate) platform: String,
    /// Of the platform's manifest.
    pub(crate) digest: Digest,
    /// Of the manifest or index that the name led to.
    pub(crate) top: Digest,
    /// Given here, by hand: no registry was asked for it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) given: bool,
    /// Which state of a local source that was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) stamp: Option<Stamp>,
}

/// What a name leads to: at the top, and from there for one platform.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Meaning {
    pub(crate) digest: Digest,
    pub(crate) top: Digest,
}

/// The state of a file: one that was changed or replaced has another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    changed: (i64, i64),
}

fn this_version<'de, D: serde::Deserializer<'de>>(from: D) -> std::result::Result<u32, D::Error> {
    match u32::deserialize(from)? {
        VERSION => Ok(VERSION),
        other => Err(serde::de::Error::custom(format!("its version is {other}; this aido knows {VERSION}"))),
    }
}

impl ImageRecord {
    pub(super) fn of(image: &Image) -> Self {
        let Image { digest, config, layers, size, fetched, .. } = image.clone();
        ImageRecord { version: VERSION, digest, config, layers, size, fetched, spots: BTreeSet::new() }
    }

    pub(super) fn image(self, reference: String, resolved: Digest) -> Image {
        let ImageRecord { digest, config, layers, size, fetched, .. } = self;
        Image { reference, digest, resolved, config, layers, size, fetched }
    }

    pub(super) fn platform(&self) -> Platform {
        Platform {
            os: self.config.os.clone(),
            architecture: self.config.architecture.clone(),
            variant: self.config.variant.clone().unwrap_or_default(),
        }
    }

    pub(super) fn fits(&self, platform: &Platform) -> bool {
        platform.rank(&self.platform()).is_some()
    }
}

impl Name {
    pub(crate) fn new(source: &Source, on: &Platform, means: Meaning) -> Result<Name> {
        let (name, platform, stamp) = (source.absolute()?.to_string(), on.to_string(), Stamp::of(source)?);
        Ok(Name { version: VERSION, name, platform, digest: means.digest, top: means.top, given: false, stamp })
    }
}

impl Name {
    pub(super) fn given(self) -> Name {
        Name { given: true, ..self }
    }
}

impl Stamp {
    /// Of the file that says what a local source holds; registries have none.
    pub(crate) fn of(source: &Source) -> Result<Option<Stamp>> {
        let path = match source {
            Source::Registry(_) => return Ok(None),
            Source::OciLayout { dir, .. } => dir.join("index.json"),
            Source::OciArchive { .. } | Source::DockerArchive { .. } if source.is_standard_input() => return Ok(None),
            Source::OciArchive { file, .. } | Source::DockerArchive { file, .. } => file.clone(),
            Source::RootArchive(file) => file.clone(),
        };
        let file = std::fs::metadata(&path).map_err(|e| Error::io(format!("`{}`", path.display()), e))?;
        let changed = (file.ctime(), file.ctime_nsec());
        Ok(Some(Stamp { device: file.dev(), inode: file.ino(), size: file.size(), changed }))
    }
}
