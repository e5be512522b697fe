//! What a power cut may take, and what may not be believed after one.

use super::*;
use std::os::unix::fs::symlink;
use std::path::PathBuf;

/// A start of the machine that was never this one.
const BEFORE: &str = "00000000-1111-2222-3333-444444444444";

impl Place {
    fn mark(&self, id: &LayerId) -> PathBuf {
        self.dir.path().join(format!("store/layers/squash/{}.mark", id.0.hex()))
    }

    fn marked(&self, image: &Image) -> Vec<String> {
        let read = |id| std::fs::read_link(self.mark(id)).unwrap().into_os_string().into_string().unwrap();
        image.layers.iter().map(read).collect()
    }

    /// As if the machine had gone down after the image came in, and nobody had settled it.
    fn restart(&self, image: &Image) {
        for mark in image.layers.iter().map(|id| self.mark(id)) {
            std::fs::remove_file(&mark).unwrap();
            symlink(BEFORE, mark).unwrap();
        }
    }

    fn file(&self, image: &Image, path: &str) -> PathBuf {
        self.store.layer_folder(&image.layers[0], Ownership::Squash).join(path)
    }
}

/// Whether the file has bytes that the kernel has not yet given a place on the disk; nothing where
/// the file system or the machine cannot say.
fn waits_for_the_disk(file: &Path) -> Option<bool> {
    let said = std::process::Command::new("filefrag").arg("-v").arg(file).output().ok()?;
    said.status.success().then(|| String::from_utf8_lossy(&said.stdout).contains("delalloc"))
}

#[test]
fn what_counts_as_settled_is_on_the_disk() {
    let place = place();
    let text = "content ".repeat(4000);
    let source = Content::simple(&[&[("f", &text)]]).layout(&place.dir.path().join("layout"));
    let image = place.obtain(&source).unwrap();
    let this = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
    assert_eq!(place.marked(&image), [this.trim_end()]);
    place.store.settle().unwrap();
    assert_eq!(place.marked(&image), [this.trim_end()], "what has just come in is not waited for");
    place.store.settle_after(std::time::Duration::ZERO).unwrap();
    assert_eq!(place.marked(&image), ["settled"]);
    let beside = ["json", "folders", "tape"].map(|ending| place.mark(&image.layers[0]).with_extension(ending));
    for file in [place.file(&image, "f")].iter().chain(&beside) {
        assert!(file.is_file(), "{}", file.display());
        // Elsewhere than on ext4 and its like nobody can tell, and nothing is claimed.
        assert_ne!(waits_for_the_disk(file), Some(true), "{} may be empty after a power cut", file.display());
    }
}

#[test]
fn after_a_power_cut_a_layer_is_believed_if_it_is_settled_or_all_of_it_is_there() {
    let server = Server::start(Content::simple(&[&[("a", "content"), ("b", "more")]]));
    let place = place();
    let source = server.source("app");
    let image = place.obtain(&source).unwrap();
    let offline = Options { offline: true, ..Options::new(Ownership::Squash) };
    let beside = |ending: &str| place.mark(&image.layers[0]).with_extension(ending);
    let lost: [&dyn Fn(); 5] = [
        &|| std::fs::write(place.file(&image, "a"), "").unwrap(),
        &|| std::fs::remove_file(place.file(&image, "b")).unwrap(),
        &|| std::fs::write(beside("json"), "").unwrap(),
        &|| std::fs::write(beside("folders"), "").unwrap(),
        &|| std::fs::write(beside("tape"), "").unwrap(),
    ];
    for (n, lose) in lost.iter().enumerate() {
        place.restart(&image);
        lose();
        assert_eq!(place.store.find(&source, Ownership::Squash).unwrap(), None, "{n}");
        assert_eq!(place.store.hold(&image, Ownership::Squash).unwrap_err().kind, Kind::Missing, "{n}");
        assert_eq!(place.store.obtain(&source, &offline).unwrap_err().kind, Kind::Offline, "{n}");
        let asked = server.asked();
        assert_eq!(place.obtain(&source).unwrap().layers, image.layers, "{n}");
        assert!(server.asked() > asked, "{n}: what is lost was not fetched");
        assert_eq!(place.read(&image, "a").unwrap(), "content", "{n}");
        assert_eq!(place.read(&image, "b").unwrap(), "more", "{n}");
        assert!(place.layers().iter().all(|name| !name.starts_with('.')), "{:?}", place.layers());
    }
    // A machine that went down in good order costs nobody an image, the one without a network neither.
    let asked = server.asked();
    for options in [&offline, &Options::new(Ownership::Squash)] {
        place.restart(&image);
        assert_eq!(place.store.find(&source, Ownership::Squash).unwrap(), None);
        assert_eq!(place.store.obtain(&source, options).unwrap().layers, image.layers);
        assert!(place.store.find(&source, Ownership::Squash).unwrap().is_some());
    }
    place.store.settle_after(std::time::Duration::ZERO).unwrap();
    assert_eq!(place.marked(&image), ["settled"]);
    assert_eq!(server.asked(), asked);
}

#[test]
fn a_layer_without_its_mark_is_not_there_and_a_mark_without_its_layer_means_nothing() {
    let place = place();
    let source = Content::simple(&[&[("a", "content")]]).layout(&place.dir.path().join("layout"));
    let image = place.obtain(&source).unwrap();
    std::fs::remove_file(place.mark(&image.layers[0])).unwrap();
    assert_eq!(place.store.find(&source, Ownership::Squash).unwrap(), None);
    place.obtain(&source).unwrap();
    std::fs::remove_dir_all(place.file(&image, "")).unwrap();
    assert_eq!(place.store.find(&source, Ownership::Squash).unwrap(), None);
    // What a power cut left is not made whole by settling it.
    place.store.settle_after(std::time::Duration::ZERO).unwrap();
    assert_ne!(place.marked(&image), ["settled"]);
    place.obtain(&source).unwrap();
    assert_eq!(place.read(&image, "a").unwrap(), "content");
    std::fs::remove_file(place.mark(&image.layers[0])).unwrap();
    std::fs::write(place.mark(&image.layers[0]), "settled").unwrap();
    assert_eq!(place.store.find(&source, Ownership::Squash).unwrap(), None, "a file is no mark");
    place.obtain(&source).unwrap();
}

#[test]
fn without_a_name_for_this_start_of_the_machine_the_disk_is_waited_for() {
    let place = place();
    let source = Content::simple(&[&[("a", "content")]]).layout(&place.dir.path().join("layout"));
    let image = place.obtain(&source).unwrap();
    let growing = place.dir.path().join("store/layers/squash/.new-x");
    std::fs::create_dir(&growing).unwrap();
    std::fs::write(growing.join("a"), "b").unwrap();
    [".tape", ".folders"].iter().for_each(|ending| std::fs::write(beside(&growing, ending), "").unwrap());
    place.store.place_under(None, &growing, &image.layers[0], Ownership::Squash).unwrap();
    assert_eq!(place.marked(&image), ["settled"]);
    assert_eq!(place.read(&image, "a").unwrap(), "b");
    assert_ne!(waits_for_the_disk(&place.file(&image, "a")), Some(true));
}

#[test]
fn records_that_a_power_cut_cut_short_are_none() {
    let place = place();
    let source = Content::simple(&[&[("a", "content")]]).layout(&place.dir.path().join("layout"));
    let image = place.obtain(&source).unwrap();
    for folder in ["images", "names", "blobs"] {
        for entry in std::fs::read_dir(place.dir.path().join("store").join(folder)).unwrap() {
            let path = entry.unwrap().path();
            let whole = std::fs::read(&path).unwrap();
            for part in [&[][..], &whole[..whole.len() / 2], &vec![0; whole.len()]] {
                std::fs::write(&path, part).unwrap();
                if folder != "blobs" {
                    assert_eq!(place.store.find(&source, Ownership::Squash).unwrap(), None);
                }
                place.store.list().unwrap();
                assert_eq!(place.obtain(&source).unwrap().layers, image.layers);
                let again = Options { refresh: true, ..Options::new(Ownership::Squash) };
                assert_eq!(place.store.obtain(&source, &again).unwrap().layers, image.layers);
                assert_eq!(std::fs::read(&path).unwrap().len(), whole.len(), "{}", path.display());
            }
        }
    }
    std::fs::write(place.dir.path().join("store/store.json"), "").unwrap();
    Store::open(&place.dir.path().join("store")).unwrap();
    assert!(place.store.find(&source, Ownership::Squash).unwrap().is_some());
}

#[test]
fn removal_takes_along_what_a_power_cut_left_of_records() {
    let place = place();
    let source = Content::simple(&[&[("a", "content")]]).layout(&place.dir.path().join("layout"));
    let image = place.obtain(&source).unwrap();
    let left = ["images/0.json", "names/0.json", "names/.0.json-1-1"].map(|n| place.dir.path().join("store").join(n));
    left.iter().for_each(|path| std::fs::write(path, "{").unwrap());
    place.store.remove(&image.digest.to_string()).unwrap();
    assert!(left.iter().all(|path| !path.exists()));
}

#[test]
fn nothing_is_settled_while_its_layer_or_the_store_is_in_somebodys_hands() {
    let place = place();
    let source = Content::simple(&[&[("a", "content")], &[("b", "more")]]).layout(&place.dir.path().join("layout"));
    let image = place.obtain(&source).unwrap();
    let settle = || place.store.settle_after(std::time::Duration::ZERO).unwrap();
    let removing = Lock::exclusive(&place.dir.path().join("store/locks/store"), || ()).unwrap();
    settle();
    drop(removing);
    assert!(place.marked(&image).iter().all(|mark| mark != "settled"));
    let placing = Lock::exclusive(&place.store.layer_lock_path(&image.layers[0], Ownership::Squash), || ()).unwrap();
    settle();
    drop(placing);
    assert_eq!(place.marked(&image).iter().map(|mark| mark == "settled").collect::<Vec<_>>(), [false, true]);
}
