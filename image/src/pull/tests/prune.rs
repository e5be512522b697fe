//! What goes when it is nobody's, and what stays.

use super::*;
use crate::{Prune, Pruned};
use std::time::Duration;

const AGE: Option<Duration> = Some(Duration::from_secs(30 * 86400));

/// Sets when an image was fetched and last used, in days before now; 0: never used.
fn aged(place: &Place, image: &Image, fetched: u64, used: u64) {
    let path = place.dir.path().join(format!("store/images/{}.json", image.digest.hex()));
    let mut record: serde_json::Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    let now = SystemTime::now();
    let at = |days: u64| now - Duration::from_secs(days * 86400);
    record["fetched"] = json!(at(fetched).duration_since(UNIX_EPOCH).unwrap().as_secs());
    std::fs::write(&path, record.to_string() + "\n").unwrap();
    let time = if used == 0 { UNIX_EPOCH } else { at(used) };
    std::fs::File::options().write(true).open(&path).unwrap().set_modified(time).unwrap();
}

fn three() -> (Server, Place, [Image; 3]) {
    let base = tar(&[("base", "shared")]);
    let mut content = Content::default();
    for name in ["a", "b", "c"] {
        content.image(name, &[base.clone(), tar(&[("x", name)])], &Platform::here());
    }
    let server = Server::start(content);
    let place = place();
    let images = ["a", "b", "c"].map(|name| place.obtain(&server.source(&format!("app:{name}"))).unwrap());
    (server, place, images)
}

fn digests(pruned: &Pruned) -> Vec<Digest> {
    let mut all: Vec<Digest> = pruned.images.iter().map(|gone| gone.digest).collect();
    all.sort();
    all
}

fn sorted(images: &[&Image]) -> Vec<Digest> {
    let mut all: Vec<Digest> = images.iter().map(|image| image.digest).collect();
    all.sort();
    all
}

#[test]
fn a_listing_knows_when_an_image_was_used_and_whether_it_is() {
    let (server, place, [a, ..]) = three();
    let find = || place.store.list().unwrap().into_iter().find(|listed| listed.digest == a.digest).unwrap();
    assert_eq!((find().used, find().in_use), (None, false));
    let hold = place.store.hold(&a, Ownership::Squash).unwrap();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    assert!(find().in_use && find().used.is_some_and(|used| now - used < 5), "{:?}", find());
    drop(hold);
    let used = find().used;
    assert!(!find().in_use);
    // Another name, and the same image again, are no use of it.
    aged(&place, &a, 90, 60);
    let before = find().used;
    place.store.tag(&a, &"mine:1".parse().unwrap()).unwrap();
    let again = Options { refresh: true, ..Options::new(Ownership::Squash) };
    place.store.obtain(&server.source("app:a"), &again).unwrap();
    assert!(find().used == before && before != used && find().names.len() == 2);
    let name = format!("{}/app:a", server.address);
    assert_eq!(find().resolved[&name], a.resolved);
}

#[test]
fn only_images_without_a_name_go_unless_more_is_asked_for() {
    let (server, place, [a, b, c]) = three();
    assert_eq!(place.store.prune(Prune::default()).unwrap(), Pruned::default());
    // `a` moves on to what `b` is, and leaves an image without a name.
    let mut content = server.content.lock().unwrap();
    let other = content.tags["b"].clone();
    content.tags.insert("a".to_owned(), other);
    drop(content);
    place.store.pull(&server.source("app:a"), &Options::new(Ownership::Squash), true).unwrap();
    let dry = Prune { dry: true, ..Prune::default() };
    let foreseen = place.store.prune(dry).unwrap();
    assert_eq!((digests(&foreseen), foreseen.bytes), (sorted(&[&a]), 1));
    assert_eq!(place.store.list().unwrap().len(), 3, "a dry run took something away");
    assert_eq!(place.store.prune(Prune::default()).unwrap(), foreseen);
    assert_eq!(place.read(&b, "base").unwrap(), "shared");
    // Neither what is used, however much is asked for.
    let hold = place.store.hold(&b, Ownership::Squash).unwrap();
    let all = Prune { all: true, ..Prune::default() };
    let foreseen = place.store.prune(Prune { dry: true, ..all }).unwrap();
    let pruned = place.store.prune(all).unwrap();
    assert_eq!((&pruned, digests(&pruned)), (&foreseen, sorted(&[&c])));
    assert_eq!(pruned.in_use, [b.digest]);
    assert_eq!(place.read(&b, "x").unwrap(), "b");
    drop(hold);
    assert_eq!(place.store.prune(all).unwrap().bytes, 7);
    assert!(place.layers().is_empty() && place.store.list().unwrap().is_empty());
    assert_eq!(std::fs::read_dir(place.dir.path().join("store/names")).unwrap().count(), 0);
    assert_eq!(std::fs::read_dir(place.dir.path().join("store/blobs")).unwrap().count(), 0);
}

#[test]
fn age_counts_from_the_last_use_and_else_from_the_arrival() {
    let (_server, place, [a, b, c]) = three();
    aged(&place, &a, 90, 0);
    aged(&place, &b, 90, 29);
    aged(&place, &c, 90, 31);
    let pruned = place.store.prune(Prune { older_than: AGE, ..Prune::default() }).unwrap();
    assert_eq!(digests(&pruned), sorted(&[&a, &c]));
    assert_eq!(pruned.images.iter().map(|gone| gone.names.len()).collect::<Vec<_>>(), [1, 1]);
    assert_eq!(place.store.list().unwrap()[0].digest, b.digest);
    // A young one stays, with a name or without.
    place.store.hold(&b, Ownership::Squash).unwrap();
    let old = Prune { older_than: AGE, all: true, dry: false };
    assert_eq!(place.store.prune(old).unwrap(), Pruned::default());
}

#[test]
fn the_name_of_a_file_that_changed_or_is_gone_is_none() {
    let place = place();
    let dir = place.dir.path().join("layout");
    let image = place.obtain(&Content::simple(&[&[("a", "x")]]).layout(&dir)).unwrap();
    assert_eq!(place.store.prune(Prune::default()).unwrap(), Pruned::default());
    std::fs::remove_dir_all(&dir).unwrap();
    assert_eq!(digests(&place.store.prune(Prune::default()).unwrap()), sorted(&[&image]));
}

#[test]
fn what_failed_imports_left_goes_too_and_a_pull_is_waited_for() {
    let place = place();
    let orphan = place.store.layer_folder(&LayerId(Digest::of(b"orphan")), Ownership::Squash);
    std::fs::create_dir_all(orphan.join("a")).unwrap();
    let mut head = place.store.new_head(&Digest::of(b"blob")).unwrap().unwrap();
    head.append(b"12345").unwrap();
    let dry = Prune { dry: true, ..Prune::default() };
    assert_eq!(place.store.prune(dry).unwrap().partial, 0, "what a pull goes on with counts as left");
    drop(head);
    let foreseen = place.store.prune(dry).unwrap();
    assert_eq!((foreseen.partial, foreseen.bytes, foreseen.layers.len()), (1, 5, 1));
    assert_eq!(place.store.prune(Prune { older_than: AGE, ..dry }).unwrap().partial, 0);
    let arriving = place.store.lock_arriving().unwrap();
    let store = place.store.clone();
    let pruning = std::thread::spawn(move || store.prune(Prune::default()).unwrap());
    std::thread::sleep(Duration::from_millis(300));
    assert!(orphan.is_dir(), "a layer was taken from under a pull");
    drop(arriving);
    assert_eq!(pruning.join().unwrap(), foreseen);
    assert!(!orphan.exists() && place.store.leftovers().unwrap().is_empty());
}
