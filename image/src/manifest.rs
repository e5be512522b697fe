//! Indexes, manifests and configs: what of them aido believes, and what it refuses.

use crate::keys::{self, Keys};
use crate::{Digest, Error, Kind, LayerId, Platform, Result, limits};
use oci_spec::image::{ImageConfiguration, ImageManifest};
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Media types to ask a registry for, images before indexes within each family.
pub(crate) const ACCEPTED: [&str; 4] = [
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
];

const LAYER_TYPES: [&str; 6] = [
    "application/vnd.oci.image.layer.v1.tar",
    "application/vnd.oci.image.layer.v1.tar+gzip",
    "application/vnd.oci.image.layer.v1.tar+zstd",
    "application/vnd.docker.image.rootfs.diff.tar",
    "application/vnd.docker.image.rootfs.diff.tar.gzip",
    "application/vnd.docker.image.rootfs.diff.tar.zstd",
];

const CONFIG_TYPES: [&str; 2] =
    ["application/vnd.oci.image.config.v1+json", "application/vnd.docker.container.image.v1+json"];

/// Annotation that names an entry of an OCI layout.
pub(crate) const REF_NAME: &str = "org.opencontainers.image.ref.name";

/// Annotation of an entry that says something about another one: BuildKit's attestations.
const ABOUT: &str = "vnd.docker.reference.type";

/// A blob: its digest and how many bytes it has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Blob {
    pub(crate) digest: Digest,
    pub(crate) size: u64,
}

#[derive(Debug)]
pub(crate) struct Manifest {
    pub(crate) config: Blob,
    pub(crate) layers: Vec<Blob>,
}

/// One entry of an index.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) blob: Blob,
    pub(crate) platform: Option<Platform>,
    /// The name in an OCI layout.
    pub(crate) name: Option<String>,
}

#[derive(Debug)]
pub(crate) enum Document {
    Manifest(Manifest),
    Index(Vec<Entry>),
}

/// What of an image's config aido honours; labels and the rest are not kept.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Config {
    /// `NAME=VALUE`, in the image's order.
    pub env: Vec<String>,
    pub workdir: Option<String>,
    pub user: Option<String>,
    pub entrypoint: Vec<String>,
    pub cmd: Vec<String>,
    pub os: String,
    pub architecture: String,
    pub variant: Option<String>,
}

/// Tells the kinds of document apart by their shape; the media type must agree with it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Shape {
    schema_version: u64,
    media_type: Option<String>,
    manifests: Option<IgnoredAny>,
    layers: Option<IgnoredAny>,
    config: Option<IgnoredAny>,
}

fn no_image(what: impl Into<String>) -> Error {
    Error::new(Kind::NoImage, what)
}

fn json<'a, T: Deserialize<'a>>(what: &str, bytes: &'a [u8], keys: &Keys) -> Result<T> {
    if parts(bytes) > limits::DOCUMENT_PARTS {
        let why = format!("{what} has more than {} values", limits::DOCUMENT_PARTS);
        return Err(Error::new(Kind::Limit, why));
    }
    keys::check(what, bytes, keys)?;
    serde_json::from_slice(bytes).map_err(|e| no_image(format!("{what} cannot be read: {e}")))
}

/// How many values and pairs a JSON text has at most: what it says is much smaller than what becomes
/// of it in memory, where each of these has its price.
fn parts(json: &[u8]) -> usize {
    let (mut count, mut text, mut escaped) = (0, false, false);
    for byte in json {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if text => escaped = true,
            b'"' => text = !text,
            b':' | b',' | b'[' | b'{' if !text => count += 1,
            _ => {}
        }
    }
    count
}

fn blob(descriptor: &oci_spec::image::Descriptor) -> Result<Blob> {
    Ok(Blob { digest: descriptor.digest().to_string().parse()?, size: descriptor.size() })
}

impl Document {
    pub(crate) fn parse(bytes: &[u8]) -> Result<Document> {
        let shape: Shape = json("the manifest", bytes, &keys::MANIFEST)?;
        if shape.schema_version != 2 {
            let what = format!("its manifest has schema version {}; only version 2 is known", shape.schema_version);
            return Err(no_image(what).remedy("push the image again with a tool of this decade"));
        }
        let stated = shape.media_type.as_deref();
        let index = match (shape.manifests.is_some(), shape.layers.is_some() || shape.config.is_some()) {
            (true, false) => true,
            (false, true) => false,
            _ => return Err(no_image("its manifest is neither an image's nor an index, or claims to be both")),
        };
        let expected = if index { [ACCEPTED[1], ACCEPTED[3]] } else { [ACCEPTED[0], ACCEPTED[2]] };
        if let Some(other) = stated.filter(|stated| !expected.contains(stated)) {
            return Err(no_image(format!("its manifest says that it is `{}`", other.escape_debug())));
        }
        if index { Document::index(bytes) } else { Manifest::parse(bytes).map(Document::Manifest) }
    }

    /// What no image can be is left out: it must neither be chosen nor spoil the choice.
    fn index(bytes: &[u8]) -> Result<Document> {
        let index: Index = json("the index", bytes, &keys::MANIFEST)?;
        let read =
            |entry: serde_json::Value| serde_json::from_value::<Descriptor>(entry).ok().and_then(Descriptor::entry);
        Ok(Document::Index(index.manifests.into_iter().filter_map(read).collect()))
    }
}

#[derive(Deserialize)]
struct Index {
    manifests: Vec<serde_json::Value>,
}

/// An entry of an index as it is written.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Descriptor {
    media_type: Option<String>,
    artifact_type: Option<String>,
    digest: Digest,
    size: u64,
    platform: Option<Written>,
    annotations: Option<BTreeMap<String, String>>,
}

#[derive(Deserialize)]
struct Written {
    #[serde(default)]
    os: String,
    #[serde(default)]
    architecture: String,
    variant: Option<String>,
}

impl Descriptor {
    /// Nothing for artifacts, for what is said about another entry, and for media types that aido does not know.
    fn entry(self) -> Option<Entry> {
        let note = |key: &str| self.annotations.as_ref().and_then(|notes| notes.get(key)).cloned();
        let foreign = self.media_type.as_deref().is_some_and(|kind| !ACCEPTED.contains(&kind));
        if foreign || self.artifact_type.is_some() || note(ABOUT).is_some() {
            return None;
        }
        let platform = self.platform.as_ref().map(|p| Platform {
            os: p.os.clone(),
            architecture: p.architecture.clone(),
            variant: p.variant.clone().unwrap_or_default(),
        });
        Some(Entry { name: note(REF_NAME), blob: Blob { digest: self.digest, size: self.size }, platform })
    }
}

impl Manifest {
    fn parse(bytes: &[u8]) -> Result<Manifest> {
        let manifest: ImageManifest = json("the manifest", bytes, &keys::MANIFEST)?;
        let config_type = manifest.config().media_type().to_string();
        if let Some(artifact) = manifest.artifact_type() {
            return Err(no_image(format!("it is an artifact of type `{artifact}`, not a container image")));
        }
        if !CONFIG_TYPES.contains(&config_type.as_str()) {
            let what =
                format!("its config is of type `{}`: an artifact, not a container image", config_type.escape_debug());
            return Err(no_image(what));
        }
        if manifest.layers().is_empty() {
            let what = "it has no layers, so there is no file in it that could be run";
            return Err(no_image(what).remedy("build the image with at least one file in it"));
        }
        if manifest.layers().len() > limits::LAYERS {
            let what = format!("it has {} layers; the limit is {}", manifest.layers().len(), limits::LAYERS);
            return Err(Error::new(Kind::Limit, what));
        }
        let layers = manifest.layers().iter().map(|layer| {
            let kind = layer.media_type().to_string();
            if !LAYER_TYPES.contains(&kind.as_str()) {
                return Err(no_image(format!(
                    "a layer is of type `{}`, which aido cannot unpack",
                    kind.escape_debug()
                )));
            }
            blob(layer)
        });
        Ok(Manifest { config: blob(manifest.config())?, layers: layers.collect::<Result<_>>()? })
    }
}

/// The entry of an index that fits `platform` best; the first of equals.
pub(crate) fn choose<'a>(entries: &'a [Entry], platform: &Platform) -> Result<&'a Entry> {
    let fitting = entries.iter().filter_map(|e| e.platform.as_ref().and_then(|p| platform.rank(p)).map(|r| (r, e)));
    if let Some((_, entry)) = fitting.min_by_key(|(rank, _)| *rank) {
        return Ok(entry);
    }
    // An index of one entry without a platform is how some tools wrap a single image; its config is checked later.
    if let [only] = entries
        && only.platform.is_none()
    {
        return Ok(only);
    }
    let real = entries.iter().filter_map(|e| e.platform.as_ref()).filter(|p| p.os != "unknown");
    let mut there: Vec<String> = real.map(Platform::to_string).collect();
    there.dedup();
    if entries.is_empty() {
        return Err(no_image(
            "its index leads to no container image, only to artifacts or to types that aido does not know",
        ));
    }
    let there = if there.is_empty() { "none".to_owned() } else { there.join(", ") };
    Err(Error::new(Kind::Platform, format!("it has no image for {platform}; it has: {there}")))
}

/// Reads a config: what aido honours, and the diff IDs of the layers.
pub(crate) fn config(bytes: &[u8], layers: usize, platform: &Platform) -> Result<(Config, Vec<LayerId>)> {
    let full: ImageConfiguration = json("the image's config", bytes, &keys::CONFIG)?;
    let ids: Vec<LayerId> = full.rootfs().diff_ids().iter().map(|id| id.parse().map(LayerId)).collect::<Result<_>>()?;
    if ids.len() != layers {
        let what = format!("its manifest has {layers} layers, but its config has {} diff IDs", ids.len());
        return Err(no_image(what));
    }
    let is = Platform {
        os: full.os().to_string(),
        architecture: full.architecture().to_string(),
        variant: full.variant().clone().unwrap_or_default(),
    };
    if platform.rank(&is).is_none() {
        return Err(Error::new(Kind::Platform, format!("it is an image for {is}, and {platform} is wanted")));
    }
    let given = full.config().clone().unwrap_or_default();
    let filled = |text: &Option<String>| text.clone().filter(|t| !t.is_empty());
    let config = Config {
        env: given.env().clone().unwrap_or_default(),
        workdir: filled(given.working_dir()),
        user: filled(given.user()),
        entrypoint: given.entrypoint().clone().unwrap_or_default(),
        cmd: given.cmd().clone().unwrap_or_default(),
        os: is.os,
        architecture: is.architecture,
        variant: filled(&Some(is.variant)),
    };
    Ok((config, ids))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const D: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    fn parse(value: &serde_json::Value) -> Result<Document> {
        Document::parse(value.to_string().as_bytes())
    }

    fn manifest(config: &str, layer: &str) -> serde_json::Value {
        json!({"schemaVersion": 2, "config": {"mediaType": config, "digest": D, "size": 1},
               "layers": [{"mediaType": layer, "digest": D, "size": 2}]})
    }

    fn here() -> Platform {
        "linux/arm/v7".parse().unwrap()
    }

    #[test]
    fn both_families_are_read() {
        for (config, layer) in [(CONFIG_TYPES[0], LAYER_TYPES[1]), (CONFIG_TYPES[1], LAYER_TYPES[4])] {
            let Document::Manifest(read) = parse(&manifest(config, layer)).unwrap() else { panic!("an index") };
            assert_eq!((read.config.size, read.layers.len(), read.layers[0].size), (1, 1, 2));
        }
    }

    #[test]
    fn what_is_no_image_is_refused_in_words() {
        let good = manifest(CONFIG_TYPES[0], LAYER_TYPES[0]);
        let with = |key: &str, value: serde_json::Value| {
            let mut changed = good.clone();
            changed[key] = value;
            changed
        };
        for wrong in [
            json!({"schemaVersion": 2}),
            json!({"schemaVersion": 1, "fsLayers": []}),
            manifest("application/vnd.cncf.helm.config.v1+json", LAYER_TYPES[0]),
            manifest(CONFIG_TYPES[0], "application/vnd.oci.image.layer.v1.tar+gzip+encrypted"),
            with("artifactType", json!("application/x-thing")),
            with("manifests", json!([])),
            with("layers", json!([])),
            with("mediaType", json!(ACCEPTED[1])),
        ] {
            assert_eq!(parse(&wrong).unwrap_err().kind, Kind::NoImage, "{wrong}");
        }
        assert!(parse(&with("layers", json!([{"mediaType": LAYER_TYPES[0], "digest": D, "size": -1}]))).is_err());
        assert!(parse(&with("config", json!({"mediaType": CONFIG_TYPES[0], "digest": "md5:1", "size": 1}))).is_err());
        let many = vec![json!({"mediaType": LAYER_TYPES[0], "digest": D, "size": 1}); limits::LAYERS + 1];
        assert_eq!(parse(&with("layers", json!(many))).unwrap_err().kind, Kind::Limit);
    }

    fn index(platforms: &[(&str, &str, &str)]) -> Vec<Entry> {
        let entry = |(n, (os, arch, variant)): (usize, &(&str, &str, &str))| {
            json!({"mediaType": ACCEPTED[0], "digest": D, "size": n,
                   "platform": {"os": os, "architecture": arch, "variant": variant}})
        };
        let entries: Vec<_> = platforms.iter().enumerate().map(entry).collect();
        let Document::Index(read) = parse(&json!({"schemaVersion": 2, "manifests": entries})).unwrap() else {
            panic!("no index")
        };
        read
    }

    #[test]
    fn an_index_gives_the_image_that_runs_best_here() {
        let entries = index(&[
            ("unknown", "unknown", ""),
            ("windows", "arm", "v7"),
            ("linux", "arm", "v6"),
            ("linux", "arm", "v7"),
            ("linux", "arm64", "v8"),
        ]);
        assert_eq!(choose(&entries, &here()).unwrap().blob.size, 3);
    }

    #[test]
    fn what_is_no_image_is_neither_chosen_nor_in_the_way() {
        let ours = json!({"os": "linux", "architecture": "arm", "variant": "v7"});
        let entry = |n: u64, changes: serde_json::Value| {
            let mut entry = json!({"mediaType": ACCEPTED[0], "digest": D, "size": n, "platform": ours});
            entry.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
            entry
        };
        let foreign = [
            entry(1, json!({"mediaType": "application/vnd.example.bundle.v1+json"})),
            entry(2, json!({"artifactType": "application/vnd.example.sbom"})),
            entry(3, json!({"annotations": {"vnd.docker.reference.type": "attestation-manifest"}})),
            entry(4, json!({"digest": format!("sha512:{}", "0".repeat(128))})),
            entry(5, json!({"size": -1})),
            entry(6, json!({"platform": {"os": 7}})),
            json!("nonsense"),
        ];
        let read =
            |entries: &[serde_json::Value]| match parse(&json!({"schemaVersion": 2, "manifests": entries})).unwrap() {
                Document::Index(entries) => entries,
                Document::Manifest(_) => panic!("no index"),
            };
        let error = choose(&read(&foreign), &here()).unwrap_err();
        assert!(error.kind == Kind::NoImage && error.what.contains("artifacts"), "{error}");
        let mut mixed = foreign.to_vec();
        mixed.push(entry(9, json!({"mediaType": ACCEPTED[3]})));
        assert_eq!(choose(&read(&mixed), &here()).unwrap().blob.size, 9);
        mixed.push(entry(10, json!({"platform": null})));
        assert_eq!(choose(&read(&mixed), &here()).unwrap().blob.size, 9);
    }

    #[test]
    fn a_missing_platform_names_those_that_exist() {
        let entries = index(&[("unknown", "unknown", ""), ("linux", "amd64", ""), ("linux", "s390x", "")]);
        let error = choose(&entries, &here()).unwrap_err();
        assert_eq!(error.kind, Kind::Platform);
        assert_eq!(error.what, "it has no image for linux/arm/v7; it has: linux/amd64, linux/s390x");
    }

    #[test]
    fn a_document_that_readers_differ_on_is_refused() {
        let good = manifest(CONFIG_TYPES[0], LAYER_TYPES[0]).to_string();
        Document::parse(good.as_bytes()).unwrap();
        let end = good.len() - 1;
        for more in [r#""Layers": []"#, r#""layers": []"#, r#""MediaType": "x""#, r#""Manifests": []"#] {
            let text = format!("{}, {more}}}", &good[..end]);
            assert_eq!(Document::parse(text.as_bytes()).unwrap_err().kind, Kind::Hostile, "{more}");
        }
        let text = format!(r#"{{"schemaVersion": 2, "manifests": [{{"digest": "{D}", "digest": "{D}", "size": 1}}]}}"#);
        assert_eq!(Document::parse(text.as_bytes()).unwrap_err().kind, Kind::Hostile);
        let text =
            r#"{"os": "linux", "architecture": "arm", "rootfs": {"type": "layers", "diff_ids": [], "diff_IDs": []}}"#;
        assert_eq!(config(text.as_bytes(), 0, &here()).unwrap_err().kind, Kind::Hostile);
    }

    #[test]
    fn a_document_that_would_grow_in_memory_is_refused() {
        assert_eq!(parts(br#"{"a:,{[\",": [1, "b"], "c\\": {"d": null}}"#), 8);
        let wide = format!("{{\"schemaVersion\": 2, \"x\": [{}0]}}", "0,".repeat(limits::DOCUMENT_PARTS));
        assert_eq!(Document::parse(wide.as_bytes()).unwrap_err().kind, Kind::Limit);
        assert_eq!(config(wide.as_bytes(), 1, &here()).unwrap_err().kind, Kind::Limit);
        let text = format!("{{\"schemaVersion\": 2, \"x\": \"{}\"}}", ",".repeat(limits::DOCUMENT_PARTS));
        assert_eq!(Document::parse(text.as_bytes()).unwrap_err().kind, Kind::NoImage);
    }

    #[test]
    fn a_config_is_held_to_its_manifest_and_platform() {
        let full = json!({"os": "linux", "architecture": "arm", "variant": "v7", "created": "2024-01-01T00:00:00Z",
            "config": {"Env": ["A=1"], "WorkingDir": "", "User": "1:2", "Entrypoint": null, "Cmd": ["sh"],
                       "Labels": null, "ExposedPorts": {"80/tcp": {}}, "Volumes": null, "Healthcheck": {"Test": []}},
            "history": [{"empty_layer": true}], "rootfs": {"type": "layers", "diff_ids": [D]}});
        let (read, ids) = config(full.to_string().as_bytes(), 1, &here()).unwrap();
        assert_eq!((read.workdir, read.user.as_deref(), read.cmd.len()), (None, Some("1:2"), 1));
        assert_eq!(ids, [LayerId(Digest::of(b""))]);
        assert_eq!(config(full.to_string().as_bytes(), 2, &here()).unwrap_err().kind, Kind::NoImage);
        let other = "linux/amd64".parse().unwrap();
        assert_eq!(config(full.to_string().as_bytes(), 1, &other).unwrap_err().kind, Kind::Platform);
    }
}
