//! A tar file of a whole root file system, as debootstrap's kin and `docker export` write it.
//!
//! It becomes an image of one layer, whose manifest and config are made here: the same file always
//! gives the same.

use super::{Origin, Top};
use crate::decode::{Bounded, Decoder};
use crate::digest::Hashing;
use crate::manifest::Blob;
use crate::{Digest, Error, Kind, Platform, Result};
use serde_json::{Value, json};
use std::fs::File;
use std::io::{self, Cursor, Read};
use std::os::unix::fs::FileExt;
use std::sync::Arc;

/// Where programs are searched for: what Debian's login gives to root.
const PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

pub(super) struct Root {
    file: Arc<File>,
    layer: Digest,
    config: Vec<u8>,
    manifest: Vec<u8>,
}

/// The file from its beginning, without moving anybody's position.
struct Whole {
    file: Arc<File>,
    at: u64,
}

impl Read for Whole {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let got = self.file.read_at(buffer, self.at)?;
        self.at += got as u64;
        Ok(got)
    }
}

impl Root {
    pub(super) fn open(file: File, platform: &Platform) -> Result<Root> {
        let file = Arc::new(file);
        let whole = || Whole { file: file.clone(), at: 0 };
        let failed = |e| Error::io("reading it", e);
        let (layer, size) = Hashing::new(whole()).finish().map_err(failed)?;
        let raw = Hashing::new(whole());
        let meter = raw.meter();
        let tar = Bounded::new(Decoder::new(raw)?, meter);
        let (diff_id, _) = Hashing::new(tar).finish().map_err(failed)?;
        if size == 0 {
            return Err(Error::new(Kind::NoImage, "it is empty"));
        }
        let mut config = json!({"os": platform.os, "architecture": platform.architecture,
            "config": {"Env": [PATH]}, "rootfs": {"type": "layers", "diff_ids": [diff_id]}});
        if !platform.variant.is_empty() {
            config["variant"] = json!(platform.variant);
        }
        let config = bytes(&config);
        // What it is compressed by its first bytes say; nobody else reads this manifest.
        let manifest = json!({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": {"mediaType": "application/vnd.oci.image.config.v1+json",
                       "digest": Digest::of(&config), "size": config.len()},
            "layers": [{"mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": layer, "size": size}]});
        Ok(Root { file, layer, config, manifest: bytes(&manifest) })
    }
}

fn bytes(value: &Value) -> Vec<u8> {
    value.to_string().into_bytes()
}

impl Origin for Root {
    fn top(&self) -> Result<Top> {
        Ok(Top::Document(self.manifest.clone()))
    }

    fn manifest(&self, blob: &Blob) -> Result<Box<dyn Read + Send + '_>> {
        self.blob(blob)
    }

    fn blob(&self, blob: &Blob) -> Result<Box<dyn Read + Send + '_>> {
        if blob.digest == self.layer {
            return Ok(Box::new(Whole { file: self.file.clone(), at: 0 }));
        }
        Ok(Box::new(Cursor::new(&self.config)))
    }
}
