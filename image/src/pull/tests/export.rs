//! What goes out is what came in.

use super::*;
use crate::{Compress, Export, Exported, Format, Outlet};

const HOW: Export<'_> = Export { format: Format::Oci, compress: Compress::Not, name: None, progress: &Silent };

/// Layers of several kinds: one with a folder that is only used, one that is given twice, one that
/// replaces within itself.
fn content() -> Content {
    let mut twice = tar(&[("a", "first"), ("d/b", &"many bytes ".repeat(90_000))]);
    twice.truncate(twice.len() - 1024);
    twice.extend(tar(&[("a", "second")]));
    twice.extend([0; 5120]);
    let base = tar(&[("base", "x")]);
    let mut content = Content::default();
    content.image("latest", &[base.clone(), twice, tar(&[("d/c", "y")]), base], &Platform::here());
    content
}

impl Place {
    fn archive(&self, image: &Image, how: &Export<'_>, name: &str) -> (std::path::PathBuf, Exported) {
        let path = self.dir.path().join(name);
        let file = std::fs::File::create(&path).unwrap();
        let exported = self.store.export(image, how, &mut Outlet::archive(file)).unwrap();
        (path, exported)
    }

    fn config(&self, image: &Image) -> Vec<u8> {
        self.store.documents(&image.digest).unwrap().unwrap().1
    }
}

#[test]
fn every_form_comes_back_as_the_same_image() {
    let first = place();
    let image = first.obtain(&content().layout(&first.dir.path().join("layout"))).unwrap();
    first.store.tag(&image, &"tools:7".parse::<Reference>().unwrap()).unwrap();
    for compress in [Compress::Not, Compress::Gzip, Compress::Zstd] {
        for format in [Format::Oci, Format::Docker] {
            let how = Export { format, compress, ..HOW };
            let (path, exported) = first.archive(&image, &how, "out.tar");
            let source = if format == Format::Oci { oci_archive(path) } else { docker_archive(path) };
            let second = place();
            let back = second.obtain(&source).unwrap();
            assert_eq!(back.layers, image.layers, "{compress:?} {format:?}");
            // The config decides what Docker calls the image.
            assert_eq!(second.config(&back), first.config(&image));
            assert_eq!(exported.config, Digest::of(&first.config(&image)));
            assert_eq!(second.read(&back, "a").unwrap(), "second");
            assert!(exported.manifest.is_none_or(|manifest| manifest == back.digest));
            assert!(second.store.verify(&[], &Silent).unwrap().is_sound());
            // And once more: the same layers always give the same bytes.
            let again = second.store.export(&back, &how, &mut Outlet::archive(io::sink())).unwrap();
            assert_eq!((again.layers, again.manifest), (exported.layers, exported.manifest));
        }
    }
}

#[test]
fn a_folder_is_a_layout_and_its_layers_are_the_bytes_of_their_diff_ids() {
    let place = place();
    let image = place.obtain(&content().layout(&place.dir.path().join("layout"))).unwrap();
    place.store.tag(&image, &"tools:7".parse::<Reference>().unwrap()).unwrap();
    let out = place.dir.path().join("out");
    std::fs::create_dir(&out).unwrap();
    let exported = place.store.export(&image, &HOW, &mut Outlet::folder(&out).unwrap()).unwrap();
    assert_eq!(exported.layers.len(), 4);
    assert_eq!(exported.layers[0], exported.layers[3]);
    for digest in exported.layers.iter().chain(&exported.manifest).chain([&exported.config]) {
        let bytes = std::fs::read(out.join("blobs/sha256").join(digest.hex())).unwrap();
        assert_eq!(Digest::of(&bytes), *digest);
    }
    assert_eq!(std::fs::read_dir(out.join("blobs/sha256")).unwrap().count(), 5);
    let index: serde_json::Value = serde_json::from_slice(&std::fs::read(out.join("index.json")).unwrap()).unwrap();
    assert_eq!(index["manifests"][0]["annotations"]["org.opencontainers.image.ref.name"], "7");
    let tagged = Source::OciLayout { dir: out.clone(), which: Which::Named("7".to_owned()) };
    assert_eq!(place.obtain(&tagged).unwrap().layers, image.layers);
    // Nothing is written over.
    assert!(place.store.export(&image, &HOW, &mut Outlet::folder(&out).unwrap()).is_err());
}

#[test]
fn what_is_damaged_does_not_go_out_as_if_it_were_whole() {
    let place = place();
    let image = place.obtain(&content().layout(&place.dir.path().join("layout"))).unwrap();
    let folder = place.store.layer_folder(&image.layers[0], Ownership::Squash);
    let refused = |word: &str| {
        for compress in [Compress::Not, Compress::Zstd] {
            let mut bytes = Vec::new();
            let how = Export { compress, ..HOW };
            let error = place.store.export(&image, &how, &mut Outlet::archive(&mut bytes)).unwrap_err();
            assert!(error.what.contains(word) && error.remedy.is_some(), "{word}: {error}");
            // Without an index it is no image to anybody.
            assert!(!bytes.windows(10).any(|window| window == b"index.json"));
        }
    };
    let file = folder.join("a");
    let whole = std::fs::read(&file).unwrap();
    for damage in ["SECOND", "sec", "second and more"] {
        std::fs::write(&file, damage).unwrap();
        // What only grew gives the same stream, and is found by a look at the store.
        if !damage.starts_with("second") {
            refused("`a`");
        }
    }
    std::fs::remove_file(&file).unwrap();
    refused("`a` is missing");
    std::fs::write(&file, whole).unwrap();
    let tape = beside(&folder, TAPE);
    let bytes = std::fs::read(&tape).unwrap();
    std::fs::write(&tape, &bytes[..bytes.len() - 3]).unwrap();
    refused("recipe is damaged");
    std::fs::remove_file(&tape).unwrap();
    refused("recipe is missing");
    std::fs::write(&tape, bytes).unwrap();
    place.store.export(&image, &HOW, &mut Outlet::archive(io::sink())).unwrap();
    let config = place.dir.path().join(format!("store/blobs/{}.config", image.digest.hex()));
    std::fs::write(config, "{}").unwrap();
    refused("config");
}
