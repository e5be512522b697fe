//! Gives an image of the store away: its layers as the bytes that their diff IDs stand for, its config
//! as it came, and a manifest that fits both.

mod outlet;

pub use outlet::Outlet;

use crate::digest::{Exactly, Hashing};
use crate::manifest::{self, Document, REF_NAME};
use crate::recipe::Replay;
use crate::store::{Image, Store};
use crate::{Digest, Error, Kind, LayerId, Ownership, Progress, Reference, Result, Step, beneath};
use flate2::{Compression, GzBuilder};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, Read, Seek};

/// What an image is given away as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// An OCI image layout: a folder, or the same as a tar archive.
    Oci,
    /// What `docker load` takes, of old too.
    Docker,
}

/// How layers are compressed on their way out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compress {
    Not,
    Gzip,
    Zstd,
}

/// How an image is to be given away.
pub struct Export<'a> {
    pub format: Format,
    pub compress: Compress,
    /// What it is called there, instead of by the names that the store has for it.
    pub name: Option<&'a Reference>,
    pub progress: &'a dyn Progress,
}

/// What an image is to others, whatever it is called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The digest of its config: what Docker calls the image's ID.
    pub config: Digest,
    /// Its own layers, lowest first.
    pub layers: Vec<LayerId>,
}

/// What was written.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Exported {
    /// Of the new manifest; a Docker archive has none.
    pub manifest: Option<Digest>,
    /// Of the config: what Docker calls the image's ID.
    pub config: Digest,
    /// As they lie in the export, lowest first.
    pub layers: Vec<Digest>,
    /// Bytes of layers, config and manifest.
    pub bytes: u64,
}

/// A layer as it lies in the export.
#[derive(Clone, Copy)]
struct Given {
    digest: Digest,
    size: u64,
}

const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";

impl Compress {
    fn media_type(self) -> String {
        match self {
            Compress::Not => LAYER.to_owned(),
            Compress::Gzip => format!("{LAYER}+gzip"),
            Compress::Zstd => format!("{LAYER}+zstd"),
        }
    }
}

/// Documents of an image, and its layers in order.
struct Parts {
    config: Vec<u8>,
    layers: Vec<LayerId>,
}

impl Store {
    /// Writes an image of the store to `outlet`. What is damaged in the store is noticed on the way:
    /// then this fails, and what was written is not whole.
    pub fn export(&self, image: &Image, how: &Export<'_>, outlet: &mut Outlet<'_>) -> Result<Exported> {
        self.give(image, how, outlet).map_err(|e| {
            let place = format!("image `{}`", image.reference);
            let damaged = e.kind == Kind::Unverified && e.remedy.is_none();
            let e = e.within(place);
            if damaged { e.remedy("aido image verify --remove, then pull the image again") } else { e }
        })
    }

    /// What the image is to others; nothing of its layers is read.
    pub fn identity(&self, image: &Image) -> Result<Identity> {
        let parts = self.parts(image).map_err(|e| e.within(format!("image `{}`", image.reference)))?;
        Ok(Identity { config: Digest::of(&parts.config), layers: parts.layers })
    }

    fn give(&self, image: &Image, how: &Export<'_>, outlet: &mut Outlet<'_>) -> Result<Exported> {
        let parts = self.parts(image)?;
        let unique: BTreeSet<LayerId> = parts.layers.iter().copied().collect();
        let mut total = 0;
        for id in &unique {
            total += self.layer_record(id, self.flavour_of(id)?)?.tar_bytes;
        }
        how.progress.step(Step::Working { doing: "writing", bytes: total });
        let oci = how.format == Format::Oci;
        if oci {
            outlet.put("oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#)?;
        }
        let mut given: BTreeMap<LayerId, Given> = BTreeMap::new();
        let mut bytes = parts.config.len() as u64;
        for id in &parts.layers {
            if given.contains_key(id) {
                continue;
            }
            let layer = self.give_layer(id, how, outlet).map_err(|e| e.within(format!("layer {id}")))?;
            bytes += layer.size;
            given.insert(*id, layer);
        }
        let layers: Vec<Given> = parts.layers.iter().map(|id| given[id]).collect();
        let config = Digest::of(&parts.config);
        let mut exported =
            Exported { manifest: None, config, layers: layers.iter().map(|layer| layer.digest).collect(), bytes };
        let names = match how.name {
            Some(name) => vec![name.clone()],
            None => self.names_of(&image.digest)?,
        };
        if oci {
            let manifest = oci_manifest(&parts.config, &layers, how.compress);
            outlet.put(&blob(&config), &parts.config)?;
            outlet.put(&blob(&Digest::of(&manifest)), &manifest)?;
            // Last: without it the rest is no image.
            outlet.put("index.json", &index(image, &manifest, &names))?;
            exported.manifest = Some(Digest::of(&manifest));
            exported.bytes += manifest.len() as u64;
        } else {
            let file = format!("{}.json", config.hex());
            outlet.put(&file, &parts.config)?;
            let tars: Vec<String> = layers.iter().map(|layer| format!("{}.tar", layer.digest.hex())).collect();
            let saved =
                json!([{"Config": file, "RepoTags": names.iter().map(tagged).collect::<Vec<_>>(), "Layers": tars}]);
            outlet.put("manifest.json", saved.to_string().as_bytes())?;
        }
        outlet.finish().map(|()| exported)
    }

    /// The documents, held to their digests.
    fn parts(&self, image: &Image) -> Result<Parts> {
        let gone = |what: &str| {
            let remedy = format!("aido image pull {}", image.reference);
            Error::new(Kind::Unverified, format!("its {what} in the store is missing or damaged")).remedy(remedy)
        };
        let (manifest, config) = self.documents(&image.digest)?.ok_or_else(|| gone("manifest or config"))?;
        if Digest::of(&manifest) != image.digest {
            return Err(gone("manifest"));
        }
        let Document::Manifest(parsed) = Document::parse(&manifest)? else { return Err(gone("manifest")) };
        if Digest::of(&config) != parsed.config.digest {
            return Err(gone("config"));
        }
        let platform = crate::Platform {
            os: image.config.os.clone(),
            architecture: image.config.architecture.clone(),
            variant: image.config.variant.clone().unwrap_or_default(),
        };
        let (_, layers) = manifest::config(&config, parsed.layers.len(), &platform)?;
        Ok(Parts { config, layers })
    }

    /// An ownership in which the store has the layer; the stream is the same in each.
    fn flavour_of(&self, id: &LayerId) -> Result<Ownership> {
        let here = Ownership::ALL.into_iter().find(|ownership| self.layer_folder(id, *ownership).is_dir());
        here.ok_or_else(|| Error::new(Kind::Missing, format!("the layer {id} is not in the store")))
    }

    fn give_layer(&self, id: &LayerId, how: &Export<'_>, outlet: &mut Outlet<'_>) -> Result<Given> {
        let ownership = self.flavour_of(id)?;
        let size = self.layer_record(id, ownership)?.tar_bytes;
        let replay = Replay::open(&self.layer_folder(id, ownership), false)?.within(size);
        let watched = Watched { inner: Exactly::new(replay, size), progress: how.progress };
        let mut stream = Hashing::new(watched);
        let name = |digest: &Digest| match how.format {
            Format::Oci => blob(digest),
            Format::Docker => format!("{}.tar", digest.hex()),
        };
        if how.compress == Compress::Not {
            outlet.stream(&name(&id.0), size, &mut stream)?;
            same(id, stream)?;
            return Ok(Given { digest: id.0, size });
        }
        let mut spool = self.compressed(&mut stream, how.compress)?;
        same(id, stream)?;
        let failed = |e: io::Error| Error::io("reading what was compressed", e);
        spool.rewind().map_err(failed)?;
        let (digest, size) = Hashing::new(&spool).finish().map_err(failed)?;
        spool.rewind().map_err(failed)?;
        outlet.stream(&name(&digest), size, &mut spool)?;
        Ok(Given { digest, size })
    }

    /// A file without a name: the size must be known before the first byte goes out.
    fn compressed(&self, stream: &mut impl Read, how: Compress) -> Result<File> {
        let failed = |e: io::Error| Error::io("compressing it", e);
        let folder = beneath::own_folder(self.dir())?;
        let mut spool = beneath::nameless(std::os::fd::AsFd::as_fd(&folder)).map_err(|e| failed(e.into()))?;
        match how {
            Compress::Zstd => {
                let mut encoder = zstd::Encoder::new(&mut spool, 3).map_err(failed)?;
                io::copy(stream, &mut encoder).and_then(|_| encoder.finish()).map_err(failed)?;
            }
            _ => {
                // No time and no name in its header: the same layer always gives the same bytes.
                let mut encoder = GzBuilder::new().write(&mut spool, Compression::default());
                io::copy(stream, &mut encoder).and_then(|_| encoder.finish()).map_err(failed)?;
            }
        }
        Ok(spool)
    }

    /// The names of a registry by which the store knows an image.
    fn names_of(&self, digest: &Digest) -> Result<Vec<Reference>> {
        let mut names: Vec<Reference> = self
            .names()?
            .into_iter()
            .filter(|(_, name)| name.digest == *digest && name.stamp.is_none())
            .filter_map(|(_, name)| name.name.parse().ok())
            .collect();
        names.sort_by_key(Reference::to_string);
        names.dedup_by_key(|name| name.to_string());
        Ok(names)
    }
}

/// Believes a stream that has gone by only if it was the layer's.
fn same(id: &LayerId, stream: Hashing<impl Read>) -> Result<()> {
    match stream.finish().map_err(|e| Error::io("reading it", e))? {
        (found, _) if found == id.0 => Ok(()),
        (found, _) => Err(Error::new(Kind::Unverified, format!("its files make a stream with the digest {found}"))),
    }
}

fn blob(digest: &Digest) -> String {
    format!("blobs/sha256/{}", digest.hex())
}

fn oci_manifest(config: &[u8], layers: &[Given], compress: Compress) -> Vec<u8> {
    let kind = compress.media_type();
    let layers: Vec<Value> =
        layers.iter().map(|layer| json!({"mediaType": kind, "digest": layer.digest, "size": layer.size})).collect();
    let config = json!({"mediaType": CONFIG, "digest": Digest::of(config), "size": config.len()});
    json!({"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": layers}).to_string().into_bytes()
}

fn tag(name: &Reference) -> String {
    name.tag.clone().unwrap_or_else(|| "latest".to_owned())
}

/// Registry, repository and tag: Docker takes no digest in a name.
fn tagged(name: &Reference) -> String {
    format!("{}/{}:{}", name.registry, name.repository, tag(name))
}

/// One entry for each name, since some tools find images by tag alone.
fn index(image: &Image, manifest: &[u8], names: &[Reference]) -> Vec<u8> {
    let mut platform = json!({"os": image.config.os, "architecture": image.config.architecture});
    if let Some(variant) = &image.config.variant {
        platform["variant"] = json!(variant);
    }
    let entry = |annotations: Value| {
        json!({"mediaType": MANIFEST, "digest": Digest::of(manifest), "size": manifest.len(),
               "platform": platform, "annotations": annotations})
    };
    let mut tags = BTreeSet::new();
    let mut entries: Vec<Value> = names
        .iter()
        .filter(|name| tags.insert(tag(name)))
        .map(|name| entry(json!({REF_NAME: tag(name), "io.containerd.image.name": tagged(name)})))
        .collect();
    if entries.is_empty() {
        entries.push(entry(json!({REF_NAME: "latest"})));
    }
    json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": entries}).to_string().into_bytes()
}

/// Tells of progress.
struct Watched<'a, R> {
    inner: R,
    progress: &'a dyn Progress,
}

impl<R: Read> Read for Watched<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let got = self.inner.read(buffer)?;
        self.progress.step(Step::Passed { bytes: got as u64 });
        Ok(got)
    }
}
