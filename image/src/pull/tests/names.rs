//! What names mean, and for how long.

use super::*;
use crate::{News, Pulled};

fn pull(place: &Place, source: &Source, update: bool) -> Pulled {
    place.store.pull(source, &Options::new(Ownership::Squash), update).unwrap()
}

fn one(text: &str) -> Content {
    Content::simple(&[&[("f", text)]])
}

/// An index over an image for this platform and one for another; returns both manifests' digests.
fn indexed(content: &mut Content, tag: &str, text: &str) -> [Digest; 2] {
    let platforms = [Platform::here(), "linux/s390x".parse().unwrap()];
    let entries = platforms.map(|platform| {
        let mut blob = content.image("any", &[tar(&[("f", &format!("{text} {}", platform.architecture))])], &platform);
        blob["platform"] =
            json!({"os": platform.os, "architecture": platform.architecture, "variant": platform.variant});
        blob
    });
    content.document(tag, INDEX, &json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": entries}));
    entries.map(|blob| blob["digest"].as_str().unwrap().parse().unwrap())
}

#[test]
fn a_warm_pull_is_one_manifest_request() {
    for mute in [false, true] {
        let mut content = one("1");
        let digest = content.tags["latest"].clone();
        content.tags.insert("1.0".to_owned(), digest);
        content.mute = mute;
        let server = Server::start(content);
        let (place, source) = (place(), server.source("app:1.0"));
        assert_eq!(pull(&place, &source, false).news, News::Fetched);
        server.heard();
        for update in [false, true] {
            assert_eq!(pull(&place, &source, update).news, News::Same);
            // A registry that says no digest has to be asked for the document.
            let expected: &[&str] = if mute { &["HEAD", "GET"] } else { &["HEAD"] };
            let expected: Vec<String> = expected.iter().map(|how| format!("{how} /v2/app/manifests/1.0")).collect();
            assert_eq!(server.heard(), expected, "update: {update}");
        }
    }
}

#[test]
fn a_tag_that_moved_is_told_and_followed_only_when_asked() {
    let server = Server::start(one("old"));
    let (place, source) = (place(), server.source("app"));
    let old = pull(&place, &source, false).image;
    *server.content.lock().unwrap() = one("new");
    let now = server.content.lock().unwrap().tags["latest"].parse().unwrap();
    server.heard();
    let told = pull(&place, &source, false);
    assert_eq!((told.news, &told.image), (News::Moved(now), &old));
    assert_eq!(server.heard(), ["HEAD /v2/app/manifests/latest"]);
    assert_eq!(place.obtain(&source).unwrap(), old);
    assert_eq!(server.heard(), [""; 0], "an image that is here was asked for");
    let followed = pull(&place, &source, true);
    assert_eq!((followed.news, followed.image.digest), (News::Updated(old.digest), now));
    assert_eq!(place.read(&place.obtain(&source).unwrap(), "f").unwrap(), "new");
    // The old one stays, without a name, and goes by its digest still.
    let listed = place.store.list().unwrap();
    assert_eq!(listed.iter().map(|l| l.names.len()).collect::<Vec<_>>(), [1, 0]);
    let pinned = server.source(&format!("app:latest@{}", old.digest));
    assert_eq!(place.obtain(&pinned).unwrap().digest, old.digest);
    server.heard();
    assert_eq!(pull(&place, &pinned, true).news, News::Pinned);
    assert_eq!(server.heard(), [""; 0]);
}

#[test]
fn a_present_image_needs_no_registry_and_an_update_does() {
    let server = Server::start(one("1"));
    let (place, source) = (place(), server.source("app"));
    let image = pull(&place, &source, false).image;
    let offline = Options { offline: true, ..Options::new(Ownership::Squash) };
    assert_eq!(place.store.pull(&source, &offline, true).unwrap().news, News::Offline);
    *server.content.lock().unwrap() = Content::default();
    let Pulled { image: kept, news: News::Unreachable(why) } = pull(&place, &source, false) else { panic!() };
    assert!(kept == image && why.contains("app"), "{why}");
    let error = place.store.pull(&source, &Options::new(Ownership::Squash), true).unwrap_err();
    assert_eq!(error.kind, Kind::Missing, "{error}");
    assert_eq!(place.obtain(&source).unwrap(), image);
}

#[test]
fn a_digest_is_known_at_the_index_and_at_the_manifest_in_its_own_repository() {
    let mut content = Content::default();
    let [ours, theirs] = indexed(&mut content, "1", "x");
    let top: Digest = content.tags["1"].parse().unwrap();
    let server = Server::start(content);
    let (place, tag) = (place(), server.source("team/app:1"));
    let image = place.obtain(&tag).unwrap();
    assert_eq!((image.digest, image.resolved), (ours, top));
    assert_eq!(place.store.resolved(&tag).unwrap(), Some(top));
    server.heard();
    for digest in [top, ours] {
        for tag in [":1", "", ":other"] {
            let pinned = server.source(&format!("team/app{tag}@{digest}"));
            let found = place.store.find(&pinned, Ownership::Squash).unwrap().unwrap();
            assert_eq!((found.digest, found.resolved, found.reference), (ours, digest, pinned.to_string()));
        }
        // What another repository says of itself it has to prove.
        assert_eq!(place.store.find(&server.source(&format!("other/app@{digest}")), Ownership::Squash).unwrap(), None);
    }
    assert_eq!(place.store.find(&server.source(&format!("team/app@{theirs}")), Ownership::Squash).unwrap(), None);
    assert_eq!(server.heard(), [""; 0]);
    // Under a name that was given here it is known there too.
    place.store.tag(&image, &"mine:1".parse().unwrap()).unwrap();
    for digest in [top, ours] {
        let found = place.store.find(&format!("mine:1@{digest}").parse().unwrap(), Ownership::Squash).unwrap();
        assert_eq!(found.unwrap().digest, ours);
    }
    assert!(place.store.tag(&image, &format!("mine:2@{theirs}").parse().unwrap()).is_err());
    // The same index serves the other platform.
    let other = Options { platform: "linux/s390x".parse().unwrap(), ..Options::new(Ownership::Squash) };
    let source = server.source(&format!("team/app:1@{top}"));
    assert_eq!(place.store.obtain(&source, &other).unwrap().digest, theirs);
}

#[test]
fn only_tags_that_were_pulled_are_updated_with_all() {
    let server = Server::start(one("1"));
    let place = place();
    let image = place.obtain(&server.source("app")).unwrap();
    place.obtain(&server.source(&format!("app:latest@{}", image.digest))).unwrap();
    place.obtain(&one("2").layout(&place.dir.path().join("layout"))).unwrap();
    place.store.tag(&image, &"mine:1".parse().unwrap()).unwrap();
    let tags: Vec<String> = place.store.tags().unwrap().iter().map(Reference::to_string).collect();
    assert_eq!(tags, [format!("{}/app:latest", server.address)]);
    assert_eq!(pull(&place, &"mine:1".parse().unwrap(), false).news, News::Given);
}

#[test]
fn indexes_in_indexes_are_followed_so_far_and_no_further() {
    let here = Platform::here();
    let mut content = Content::default();
    let image = content.image("0", &[tar(&[("f", "deep")])], &here);
    let wrap = |content: &mut Content, tag: &str, mut inner: serde_json::Value| {
        inner["platform"] = json!({"os": here.os, "architecture": here.architecture, "variant": here.variant});
        let foreign = json!({"mediaType": "application/vnd.example+json", "digest": inner["digest"], "size": 1,
            "platform": inner["platform"]});
        content.document(tag, INDEX, &json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": [foreign, inner]}))
    };
    let mut outer = image;
    for depth in 1..=limits::INDEX_DEPTH + 1 {
        outer = wrap(&mut content, &depth.to_string(), outer);
    }
    let server = Server::start(content);
    let place = place();
    let deepest = place.obtain(&server.source(&format!("app:{}", limits::INDEX_DEPTH))).unwrap();
    assert_eq!(place.read(&deepest, "f").unwrap(), "deep");
    let error = place.obtain(&server.source(&format!("app:{}", limits::INDEX_DEPTH + 1))).unwrap_err();
    assert!(error.kind == Kind::Limit && error.what.contains("nested"), "{error}");
}

#[test]
fn a_tar_file_of_a_root_is_an_image_of_one_layer() {
    let place = place();
    let root = tar(&[("etc/os-release", "ID=mine"), ("bin/sh", "x")]);
    let (plain, packed) = (place.dir.path().join("root.tar"), place.dir.path().join("root.tar.gz"));
    std::fs::write(&plain, &root).unwrap();
    std::fs::write(&packed, gzip(&root)).unwrap();
    let [plain, packed]: [Source; 2] =
        [plain, packed].map(|path| format!("rootfs-archive:{}", path.display()).parse().unwrap());
    let image = place.obtain(&plain).unwrap();
    assert_eq!(place.read(&image, "etc/os-release").unwrap(), "ID=mine");
    assert_eq!(image.layers, [LayerId(Digest::of(&root))]);
    assert!(image.config.env[0].starts_with("PATH=/") && image.config.architecture == Platform::here().architecture);
    let packed = place.obtain(&packed).unwrap();
    assert_eq!((packed.layers, packed.config), (image.layers, image.config));
    for (bytes, kind) in [(&b""[..], Kind::NoImage), (b"no tar at all".repeat(90).as_slice(), Kind::Hostile)] {
        let path = place.dir.path().join("wrong.tar");
        std::fs::write(&path, bytes).unwrap();
        let error = place.obtain(&Source::RootArchive(path)).unwrap_err();
        assert!(error.kind == kind && error.what.contains("wrong.tar"), "{:?} {error}", error.kind);
    }
    let error = place.obtain(&Source::RootArchive(place.dir.path().join("none"))).unwrap_err();
    assert!(error.what.contains("none"), "{error}");
}
