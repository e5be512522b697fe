//! What all layers of an image may take together, with bounds small enough to reach.

use super::*;
use std::collections::BTreeSet;
use std::sync::atomic::AtomicU64;

/// Files that do not compress, so many bytes in all.
fn noise(name: &str, bytes: usize) -> Vec<u8> {
    let mut state = Digest::of(name.as_bytes()).hex().bytes().fold(1_u64, |a, b| a.wrapping_mul(31) + u64::from(b));
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        char::from(b' ' + (state >> 58) as u8)
    };
    let text: String = (0..bytes).map(|_| next()).collect();
    tar(&[(name, &text)])
}

fn image(layers: &[&[u8]]) -> Content {
    let mut content = Content::default();
    content.image("latest", &layers.iter().map(|layer| layer.to_vec()).collect::<Vec<_>>(), &Platform::here());
    content
}

impl Place {
    fn held_to(self, bytes: u64) -> Place {
        Place { store: self.store.held_to(bytes), ..self }
    }

    /// All that a pull could leave, but for locks.
    fn left(&self) -> BTreeSet<String> {
        let mut all = BTreeSet::new();
        for folder in ["blobs", "images", "names", "layers/squash", "partial", "merged/squash"] {
            let Ok(entries) = std::fs::read_dir(self.dir.path().join("store").join(folder)) else { continue };
            let name = |entry: std::fs::DirEntry| entry.file_name().into_string().unwrap();
            all.extend(entries.map(|entry| format!("{folder}/{}", name(entry.unwrap()))));
        }
        all
    }

    fn charge(&self, image: &Image) -> u64 {
        image.layers.iter().map(|id| self.store.layer_record(id, Ownership::Squash).unwrap().charge()).sum()
    }
}

/// Counts the compressed bytes that came in.
#[derive(Default)]
struct Came(AtomicU64);

impl Progress for Came {
    fn step(&self, step: Step<'_>) {
        if let Step::Advanced { bytes, .. } = step {
            self.0.fetch_add(bytes, Ordering::Relaxed);
        }
    }
}

#[test]
fn layers_are_held_to_their_sum_and_a_refused_image_leaves_nothing() {
    let layers: Vec<Vec<u8>> = (0..5).map(|n| noise(&format!("f{n}"), 20_000 + n)).collect();
    let content = image(&layers.iter().map(|layer| &layer[..]).collect::<Vec<_>>());
    let whole = place();
    let source = content.layout(&whole.dir.path().join("layout"));
    let sum = whole.charge(&whole.obtain(&source).unwrap());
    assert!(place().held_to(sum).obtain(&source).is_ok());
    for short in [1, limits::INODE_BYTES, sum / 2, sum - 1] {
        let tight = place().held_to(sum - short);
        let before = tight.left();
        let error = tight.obtain(&source).unwrap_err();
        let most = format!("more than {} bytes", sum - short);
        assert!(error.kind == Kind::Limit && error.what.contains(&most), "{error}");
        assert_eq!(tight.left(), before, "a refused image left something, {short} bytes short");
    }
    // What lies in the store counts as well, and a layer of another image stays.
    let (shared, own) = (image(&[&layers[0]]), image(&[&layers[0], &layers[1], &layers[2]]));
    let place = place();
    let (shared, own) = (shared.layout(&place.dir.path().join("shared")), own.layout(&place.dir.path().join("own")));
    let kept = place.obtain(&shared).unwrap();
    let bound = place.charge(&kept) * 2;
    let place = place.held_to(bound);
    let before = place.left();
    assert_eq!(place.obtain(&own).unwrap_err().kind, Kind::Limit);
    assert_eq!(place.left(), before);
    assert_eq!(place.obtain(&shared).unwrap(), kept);
    assert_eq!(place.read(&kept, "f0").unwrap().len(), 20_000);
}

#[test]
fn a_pull_ends_as_soon_as_the_sum_passes() {
    let large = noise("large", 6 << 20);
    let content = image(&[&noise("small", 10_000), &large, &noise("middle", 3 << 20)]);
    let place = place().held_to(1 << 20);
    for source in [content.layout(&place.dir.path().join("layout")), Server::start(content.clone()).source("app")] {
        let came = Came::default();
        let options = Options { progress: &came, ..Options::new(Ownership::Squash) };
        assert_eq!(place.store.obtain(&source, &options).unwrap_err().kind, Kind::Limit);
        let came = came.0.into_inner();
        assert!(came < 4 << 20, "{came} bytes came in of an image that was too large after the first ones");
        assert!(place.left().is_empty(), "{:?}", place.left());
    }
    // A sum that is passed before anything is fetched asks for no layer at all.
    let held = place.held_to(u64::MAX);
    held.obtain(&image(&[&large]).layout(&held.dir.path().join("one"))).unwrap();
    let server = Server::start(content);
    let held = held.held_to(1 << 20);
    assert_eq!(held.obtain(&server.source("app")).unwrap_err().kind, Kind::Limit);
    let blobs = server.heard().iter().filter(|line| line.contains("/blobs/")).count();
    assert_eq!(blobs, 1, "more than the config was fetched");
}

#[test]
fn what_failed_on_the_way_keeps_whole_layers_and_what_is_refused_does_not() {
    let layers: Vec<Vec<u8>> = (0..5).map(|n| noise(&format!("f{n}"), 90_000 - 10_000 * n)).collect();
    let mut content = image(&layers.iter().map(|layer| &layer[..]).collect::<Vec<_>>());
    let good = content.clone();
    // The smallest one comes last, when at least two are whole.
    let wanted = Digest::of(content.layer(4)).to_string();
    content.blobs.remove(&wanted);
    let server = Server::start(content.clone());
    let place = place();
    assert_eq!(place.obtain(&server.source("app")).unwrap_err().kind, Kind::Missing);
    let came = place.layers().len();
    assert!(came >= 2, "{came} layers stay for the next try");
    server.heard();
    server.content.lock().unwrap().blobs = good.blobs.clone();
    let image = place.obtain(&server.source("app")).unwrap();
    let blobs = server.heard().iter().filter(|line| line.contains("/blobs/")).count();
    assert_eq!(blobs, 1 + 5 - came, "the config and what was missing");
    // The same with a layer that is not what it says: another try would be no better.
    place.store.remove(&server.source("app").to_string()).unwrap();
    drop(image);
    let before = place.left();
    let mut bad = good;
    *bad.layer(4) = gzip(b"something else");
    let source = bad.layout(&place.dir.path().join("bad"));
    assert_eq!(place.obtain(&source).unwrap_err().kind, Kind::Unverified);
    assert_eq!(place.left(), before);
}

#[test]
fn a_refused_image_takes_nothing_from_a_pull_that_goes_on() {
    let place = place();
    let layers = [noise("a", 30_000), noise("b", 20_000)];
    let mut content = image(&[&layers[0], &layers[1]]);
    *content.layer(1) = gzip(b"something else");
    let source = content.layout(&place.dir.path().join("layout"));
    // Another pull may have seen the layer that is whole, and count on it.
    let other = place.store.lock_arriving().unwrap();
    assert_eq!(place.obtain(&source).unwrap_err().kind, Kind::Unverified);
    assert!(place.layers().iter().all(|name| !name.starts_with('.')));
    drop(other);
    let left = place.layers().len();
    assert_eq!(place.store.prune(crate::Prune::default()).unwrap().layers.len(), left);
    assert!(place.left().is_empty());
}
