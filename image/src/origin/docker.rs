//! What `docker save` writes: a config, layers and a `manifest.json` of its own form.
//!
//! It has no OCI manifest, so one is made of what it holds: the same archive always gives the same.

use super::archive::Archive;
use super::layout::{Files, read};
use super::{Origin, Top};
use crate::digest::Hashing;
use crate::manifest::Blob;
use crate::{Digest, Error, Kind, Result, limits};
use serde::Deserialize;
use serde_json::json;
use std::collections::HashMap;
use std::io::Read;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Saved {
    config: String,
    repo_tags: Option<Vec<String>>,
    layers: Vec<String>,
}

pub(super) struct Docker {
    archive: Archive,
    manifest: Vec<u8>,
    /// Member names by the digest of their bytes.
    members: HashMap<Digest, String>,
}

impl Docker {
    pub(super) fn open(archive: Archive) -> Result<Docker> {
        let saved: Vec<Saved> = serde_json::from_slice(&read(&archive, "manifest.json", limits::MANIFEST_BYTES)?)
            .map_err(|e| Error::new(Kind::NoImage, format!("its `manifest.json` cannot be read: {e}")))?;
        let [saved] = &saved[..] else {
            let tags: Vec<_> =
                saved.iter().flat_map(|s| s.repo_tags.iter().flatten()).map(|t| t.escape_debug().to_string()).collect();
            let what = format!("it holds {} images, and aido takes one: {}", saved.len(), tags.join(", "));
            return Err(Error::new(Kind::Name, what).remedy("save it again: `docker save -o FILE IMAGE`"));
        };
        if saved.layers.len() > limits::LAYERS {
            let what = format!("it has {} layers; the limit is {}", saved.layers.len(), limits::LAYERS);
            return Err(Error::new(Kind::Limit, what));
        }
        let config = read(&archive, &saved.config, limits::CONFIG_BYTES)?;
        let mut members = HashMap::from([(Digest::of(&config), saved.config.clone())]);
        let mut layers = Vec::new();
        for name in &saved.layers {
            let blob = hashed(&archive, name)?;
            layers.push(json!({"mediaType": "application/vnd.oci.image.layer.v1.tar",
                "digest": blob.digest, "size": blob.size}));
            members.insert(blob.digest, name.clone());
        }
        let manifest = json!({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": {"mediaType": "application/vnd.oci.image.config.v1+json",
                       "digest": Digest::of(&config), "size": config.len()},
            "layers": layers});
        Ok(Docker { archive, manifest: manifest.to_string().into_bytes(), members })
    }
}

/// Such archives state no digests of their layers as they lie there, so they are computed.
fn hashed(archive: &Archive, name: &str) -> Result<Blob> {
    let missing = || Error::new(Kind::NoImage, format!("it has no `{}`", name.escape_debug()));
    let (member, size) = archive.open(name)?.zip(archive.size(name)).ok_or_else(missing)?;
    let (digest, count) = Hashing::new(member).finish().map_err(|e| Error::io("reading a layer", e))?;
    if count == size {
        Ok(Blob { digest, size })
    } else {
        Err(Error::new(Kind::Unverified, "a layer of it is cut off"))
    }
}

impl Origin for Docker {
    fn top(&self) -> Result<Top> {
        Ok(Top::Document(self.manifest.clone()))
    }

    fn manifest(&self, blob: &Blob) -> Result<Box<dyn Read + Send + '_>> {
        self.blob(blob)
    }

    fn blob(&self, blob: &Blob) -> Result<Box<dyn Read + Send + '_>> {
        let missing = || Error::new(Kind::Missing, format!("it has no blob {}", blob.digest));
        let name = self.members.get(&blob.digest).ok_or_else(missing)?;
        self.archive.open(name)?.ok_or_else(missing)
    }
}
