//! Folders and archives with several images; imports that fail.

use super::*;
use std::collections::BTreeSet;
use std::path::PathBuf;

pub(super) fn oci_archive(file: PathBuf) -> Source {
    Source::OciArchive { file, which: Which::Only }
}

pub(super) fn docker_archive(file: PathBuf) -> Source {
    Source::DockerArchive { file, which: Which::Only }
}

fn at(path: &Path, scheme: &str, which: &str) -> Source {
    format!("{scheme}:{}{which}", path.display()).parse().unwrap()
}

fn packed(dir: &Path, options: &str) -> PathBuf {
    let file = dir.with_extension("tar");
    let args = [options, file.to_str().unwrap(), "-C", dir.to_str().unwrap(), "."];
    assert!(std::process::Command::new("tar").args(args).status().unwrap().success());
    file
}

#[test]
fn the_images_of_a_layout_are_told_apart_by_name_and_digest() {
    let place = place();
    let mut content = Content::default();
    let here = Platform::here();
    content.image("one", &[tar(&[("f", "1")])], &here);
    content.image("registry.example/app:two", &[tar(&[("f", "2")])], &here);
    content.image("other.example/app:two", &[tar(&[("f", "3")])], &here);
    let dir = place.dir.path().join("layout");
    content.layout(&dir);
    let file = packed(&dir, "-cf");
    let digest = &content.tags["other.example/app:two"];
    for (scheme, path) in [("oci", &dir), ("oci-archive", &file)] {
        let error = place.obtain(&at(path, scheme, "")).unwrap_err();
        let all = "it holds several images: one, other.example/app:two, registry.example/app:two";
        assert!(error.kind == Kind::Name && error.what.contains(all), "{error}");
        assert!(error.remedy.unwrap().contains("`…:one`"));
        let error = place.obtain(&at(path, scheme, ":three")).unwrap_err();
        assert!(error.kind == Kind::Missing && error.what.contains("`three`; it has: one, other"), "{error}");
        // A tag that two names end in is nobody's.
        assert_eq!(place.obtain(&at(path, scheme, ":two")).unwrap_err().kind, Kind::Name);
        let read = |which: &str| {
            let image = place.obtain(&at(path, scheme, which)).unwrap();
            place.read(&image, "f").unwrap()
        };
        assert_eq!((read(":one"), read(&format!("@{digest}"))), ("1".to_owned(), "3".to_owned()));
        let absent = format!("@{}", Digest::of(b"absent"));
        assert_eq!(place.obtain(&at(path, scheme, &absent)).unwrap_err().kind, Kind::Missing);
    }
    let image = place.obtain(&at(&file, "oci-archive", ":registry.example/app:two")).unwrap();
    assert_eq!(place.read(&image, "f").unwrap(), "2");
}

#[test]
fn the_images_of_a_docker_archive_are_told_apart_by_name_and_id() {
    let place = place();
    let dir = place.dir.path().join("saved");
    std::fs::create_dir_all(&dir).unwrap();
    let here = Platform::here();
    let mut saved = Vec::new();
    let mut ids = Vec::new();
    for (n, tags) in
        [("1", json!(["app:1", "app:latest"])), ("2", json!(["registry.example/app:2"])), ("3", json!(null))]
    {
        let layer = tar(&[("f", n)]);
        let config = json!({"os": here.os, "architecture": here.architecture,
            "rootfs": {"type": "layers", "diff_ids": [Digest::of(&layer)]}});
        let id = Digest::of(config.to_string().as_bytes());
        std::fs::write(dir.join(format!("{}.json", id.hex())), config.to_string()).unwrap();
        std::fs::write(dir.join(n), &layer).unwrap();
        saved.push(json!({"Config": format!("{}.json", id.hex()), "RepoTags": tags, "Layers": [n]}));
        ids.push(id);
    }
    let write = |saved: &[serde_json::Value]| {
        std::fs::write(dir.join("manifest.json"), json!(saved).to_string()).unwrap();
        packed(&dir, "-czf")
    };
    let file = write(&saved);
    let error = place.obtain(&docker_archive(file.clone())).unwrap_err();
    assert!(error.what.contains("several images: app:1, app:latest, registry.example/app:2"), "{error}");
    for (which, content) in [
        (":app:1".to_owned(), "1"),
        (":app".to_owned(), "1"),
        (":docker.io/library/app".to_owned(), "1"),
        (":registry.example/app:2".to_owned(), "2"),
        (format!("@{}", ids[2]), "3"),
    ] {
        let image = place.obtain(&at(&file, "docker-archive", &which)).unwrap();
        assert_eq!(place.read(&image, "f").unwrap(), content, "{which}");
    }
    let refused = |which: &str| place.obtain(&at(&file, "docker-archive", which)).unwrap_err().kind;
    assert_eq!(refused(":app:2"), Kind::Missing);
    assert_eq!(refused(&format!("@{}", Digest::of(b"absent"))), Kind::Missing);
    // A config that is called by another's digest, two images of one name, and none at all.
    std::fs::write(dir.join(format!("{}.json", ids[2].hex())), "{}").unwrap();
    write(&saved);
    assert_eq!(refused(&format!("@{}", ids[2])), Kind::Unverified);
    saved[1]["RepoTags"] = json!(["app:1"]);
    write(&saved);
    assert_eq!(refused(":app:1"), Kind::Hostile);
    write(&[]);
    assert_eq!(refused(""), Kind::NoImage);
}

/// Files of the store by path, but for locks and what a version needs.
fn stored(dir: &Path) -> BTreeSet<PathBuf> {
    let mut found = BTreeSet::new();
    for folder in ["blobs", "images", "names", "layers/squash"] {
        let Ok(entries) = std::fs::read_dir(dir.join(folder)) else { continue };
        found.extend(entries.map(|entry| Path::new(folder).join(entry.unwrap().file_name())));
    }
    found
}

#[test]
fn an_import_that_is_refused_leaves_nothing() {
    let place = place();
    let good = tar(&[("f", "good")]);
    let mut climbing = ::tar::Header::new_gnu();
    climbing.set_size(0);
    climbing.as_old_mut().name[..8].copy_from_slice(b"../climb");
    climbing.set_cksum();
    let bad = climbing.as_bytes().to_vec();
    let mut content = Content::default();
    content.image("latest", &[good.clone(), bad], &Platform::here());
    let dir = place.dir.path().join("layout");
    let source = content.layout(&dir);
    let store = place.store.dir().to_owned();
    let before = stored(&store);
    for source in [source, oci_archive(packed(&dir, "-cf")), oci_archive(packed(&dir, "-czf"))] {
        assert_eq!(place.obtain(&source).unwrap_err().kind, Kind::Hostile);
        assert_eq!(stored(&store), before);
    }
    // No image, no archive, nothing.
    for bytes in [&b""[..], b"no archive", &gzip(b"no archive"), &good] {
        let file = place.dir.path().join("odd.tar");
        std::fs::write(&file, bytes).unwrap();
        for source in [oci_archive(file.clone()), docker_archive(file.clone())] {
            let error = place.obtain(&source).unwrap_err();
            assert!(matches!(error.kind, Kind::NoImage | Kind::Hostile), "{error}");
        }
    }
    assert_eq!(stored(&store), before);
}
