//! What `docker save` writes: a config, layers and a `manifest.json` of its own form.
//!
//! It has no OCI manifest, so one is made of what it holds: the same archive always gives the same.

use super::archive::Archive;
use super::layout::{Files, absent, listed, read, several};
use super::{Origin, Top};
use crate::digest::Hashing;
use crate::keys;
use crate::manifest::Blob;
use crate::{Digest, Error, Kind, Reference, Result, Which, limits};
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
    pub(super) fn open(archive: Archive, which: &Which) -> Result<Docker> {
        let list = read(&archive, "manifest.json", limits::MANIFEST_BYTES)?;
        keys::check("its `manifest.json`", &list, &keys::SAVED)?;
        let saved: Vec<Saved> = serde_json::from_slice(&list)
            .map_err(|e| Error::new(Kind::NoImage, format!("its `manifest.json` cannot be read: {e}")))?;
        let saved = chosen(saved, which)?;
        if saved.layers.len() > limits::LAYERS {
            let what = format!("it has {} layers; the limit is {}", saved.layers.len(), limits::LAYERS);
            return Err(Error::new(Kind::Limit, what));
        }
        let config = read(&archive, &saved.config, limits::CONFIG_BYTES)?;
        if let Which::Digest(digest) = which
            && Digest::of(&config) != *digest
        {
            let what = format!("its `{}` has the digest {}", saved.config.escape_debug(), Digest::of(&config));
            return Err(Error::new(Kind::Unverified, what));
        }
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

/// The one that is meant. Configs are called by their digest, which is checked when they are read.
fn chosen(saved: Vec<Saved>, which: &Which) -> Result<Saved> {
    let tags = |saved: &Saved| saved.repo_tags.clone().unwrap_or_default();
    let all: Vec<String> = saved.iter().flat_map(tags).collect();
    let there = listed(all.iter().map(String::as_str));
    let mut meant = saved.into_iter().filter(|saved| match which {
        Which::Only => true,
        Which::Named(name) => tags(saved).iter().any(|tag| same(tag, name)),
        Which::Digest(digest) => saved.config.contains(&digest.hex()),
    });
    match (meant.next(), meant.next(), which) {
        (Some(one), None, _) => Ok(one),
        (None, _, Which::Only) => Err(Error::new(Kind::NoImage, "its `manifest.json` names no image")),
        (None, ..) => Err(absent(which, &there)),
        (Some(_), Some(_), Which::Only) => Err(several(&there, all.first().map(String::as_str))),
        // Readers differ on which of them wins.
        (Some(_), Some(_), _) => Err(Error::new(Kind::Hostile, format!("two images of it are called `{which}`"))),
    }
}

/// Names are compared in full: `tiny` is `docker.io/library/tiny:latest`.
fn same(tag: &str, name: &str) -> bool {
    let full = |text: &str| text.parse::<Reference>().ok();
    tag == name || full(tag).is_some_and(|tag| full(name) == Some(tag))
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
