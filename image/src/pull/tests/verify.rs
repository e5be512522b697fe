//! Damage in the store is found, named, and mended by a pull.

use super::*;
use crate::Report;

impl Place {
    fn checked(&self, names: &[&str]) -> Report {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        self.store.verify(&names, &Silent).unwrap()
    }

    fn in_store(&self, path: &str) -> std::path::PathBuf {
        self.dir.path().join("store").join(path)
    }
}

fn two() -> Content {
    let mut content = Content::default();
    let base = tar(&[("base", "shared")]);
    content.image("one", &[base.clone(), tar(&[("x", "1")])], &Platform::here());
    content.image("two", &[base, tar(&[("y", "2")])], &Platform::here());
    content
}

#[test]
fn damage_is_named_with_its_images_and_a_pull_brings_just_that() {
    let place = place();
    let server = Server::start(two());
    let (one, two) = (server.source("app:one"), server.source("app:two"));
    let image = place.obtain(&one).unwrap();
    place.obtain(&two).unwrap();
    assert!(place.checked(&[]).is_sound());
    std::fs::write(place.store.layer_folder(&image.layers[1], Ownership::Squash).join("x"), "7").unwrap();
    let report = place.checked(&[]);
    let hurt: Vec<_> = report.layers.iter().filter(|layer| !layer.damage.is_empty()).collect();
    assert_eq!((hurt.len(), hurt[0].layer, hurt[0].images.clone()), (1, image.layers[1], vec![one.to_string()]));
    assert!(hurt[0].damage.join(" ").contains("`x` has other content") && report.layers.len() == 3, "{report:?}");
    // Looking changes nothing, and the other image is sound.
    assert!(place.checked(&[&two.to_string()]).is_sound());
    assert_eq!(place.checked(&[&one.to_string()]).layers.len(), 2);
    assert_eq!(place.store.verify(&["none".to_owned()], &Silent).unwrap_err().kind, Kind::Missing);
    let mut report = place.checked(&[]);
    place.store.drop_damaged(&mut report).unwrap();
    assert!(report.layers.iter().all(|layer| layer.removed != layer.damage.is_empty()));
    assert_eq!(place.layers().len(), 2);
    assert!(place.store.find(&one, Ownership::Squash).unwrap().is_none());
    assert!(!place.checked(&[]).is_sound(), "a layer that is missing is not noticed");
    server.heard();
    assert_eq!(place.obtain(&one).unwrap().layers, image.layers);
    let fetched = server.heard();
    assert_eq!(fetched.iter().filter(|line| line.contains("/blobs/")).count(), 1, "{fetched:?}");
    assert_eq!(place.read(&image, "x").unwrap(), "1");
    assert!(place.checked(&[]).is_sound());
}

#[test]
fn what_a_sandbox_uses_is_told_and_not_taken_away() {
    let place = place();
    let source = two().layout(&place.dir.path().join("layout"));
    let Source::OciLayout { dir, .. } = source else { panic!("no layout") };
    let image = place.obtain(&Source::OciLayout { dir, which: Which::Named("one".to_owned()) }).unwrap();
    std::fs::remove_file(place.store.layer_folder(&image.layers[0], Ownership::Squash).join("base")).unwrap();
    let manifest = place.in_store(&format!("blobs/{}.manifest", image.digest.hex()));
    std::fs::write(&manifest, "{}").unwrap();
    let hold = place.store.hold(&image, Ownership::Squash).unwrap();
    let mut report = place.checked(&[]);
    place.store.drop_damaged(&mut report).unwrap();
    let layer = report.layers.iter().find(|layer| !layer.damage.is_empty()).unwrap();
    assert!(!layer.removed && layer.kept.as_ref().unwrap().contains("aido sandbox list"));
    assert!(!report.images[0].removed && report.images[0].kept.is_some());
    assert!(place.layers().len() == 2 && manifest.exists());
    drop(hold);
    place.store.drop_damaged(&mut place.checked(&[])).unwrap();
    assert!(place.layers().len() == 1 && !manifest.exists());
}

#[test]
fn documents_and_records_are_held_to_their_digests() {
    let place = place();
    let server = Server::start(Content::simple(&[&[("a", "x")]]));
    let source = server.source("app");
    let image = place.obtain(&source).unwrap();
    let hex = image.digest.hex();
    let (manifest, config) = (format!("blobs/{hex}.manifest"), format!("blobs/{hex}.config"));
    let record = format!("images/{hex}.json");
    let edit = |path: &str, from: &str, to: &str| {
        let text = std::fs::read_to_string(place.in_store(path)).unwrap();
        assert!(text.contains(from), "{text}");
        std::fs::write(place.in_store(path), text.replace(from, to)).unwrap();
    };
    let other = Digest::of(b"other").to_string();
    let own = image.layers[0].to_string();
    let cases: [(&str, &dyn Fn()); 8] = [
        ("manifest has the digest", &|| edit(&manifest, "{", " {")),
        ("config has the digest", &|| edit(&config, "A=1", "A=2")),
        ("missing", &|| std::fs::remove_file(place.in_store(&config)).unwrap()),
        ("another than its config", &|| edit(&record, "A=1", "A=2")),
        ("layers", &|| edit(&record, &own, &other)),
        ("cut off", &|| std::fs::write(place.in_store(&record), "{").unwrap()),
        ("cannot be read", &|| edit(&record, "\"version\":", "\"version\":9")),
        ("missing", &|| {
            let folder = place.store.layer_folder(&image.layers[0], Ownership::Squash);
            std::fs::remove_dir_all(folder).unwrap();
        }),
    ];
    for (word, damage) in cases {
        damage();
        let mut report = place.checked(&[]);
        let found = format!("{report:?}");
        assert!(!report.is_sound() && (found.contains(word) || word.starts_with("another")), "{word}: {found}");
        place.store.drop_damaged(&mut report).unwrap();
        place.obtain(&source).unwrap();
        let report = place.checked(&[]);
        assert!(report.is_sound(), "{word}: not mended: {report:?}");
    }
}

#[test]
fn layers_that_no_image_has_are_looked_at_too_and_links_are_not_followed() {
    let place = place();
    let source = Content::simple(&[&[("a", "x")]]).layout(&place.dir.path().join("layout"));
    let image = place.obtain(&source).unwrap();
    let stray = place.in_store(&format!("layers/squash/{}", Digest::of(b"stray").hex()));
    std::os::unix::fs::symlink("/etc", &stray).unwrap();
    let pipe = place.in_store(&format!("images/{}.json", Digest::of(b"pipe").hex()));
    rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, rustix::fs::Mode::RUSR, 0).unwrap();
    let mut report = place.checked(&[]);
    assert_eq!((report.records.len(), report.layers.len()), (1, 2));
    let layer = report.layers.iter().find(|layer| layer.layer.0 == Digest::of(b"stray")).unwrap();
    assert!(!layer.damage.is_empty() && layer.images.is_empty());
    place.store.drop_damaged(&mut report).unwrap();
    assert!(stray.symlink_metadata().is_err() && pipe.symlink_metadata().is_err() && Path::new("/etc").is_dir());
    assert!(place.checked(&[]).is_sound());
    assert_eq!(place.read(&image, "a").unwrap(), "x");
}
