use super::*;
use std::os::unix::fs::symlink;

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().mode() & 0o777
}

#[test]
fn only_its_owner_may_enter_the_store() {
    let scratch = tempfile::tempdir().unwrap();
    let dir = scratch.path().join("a/store");
    Store::open(&dir).unwrap();
    assert_eq!(mode(&dir), 0o700);
    std::fs::set_permissions(&dir, std::fs::Permissions::from_mode(0o755)).unwrap();
    Store::open(&dir).unwrap();
    assert_eq!(mode(&dir), 0o700);
}

#[test]
fn a_store_of_another_version_is_not_touched() {
    let scratch = tempfile::tempdir().unwrap();
    Store::open(scratch.path()).unwrap();
    std::fs::write(scratch.path().join("store.json"), r#"{"version": 99}"#).unwrap();
    let error = Store::open(scratch.path()).unwrap_err();
    assert!(error.what.contains("99") && error.remedy.is_some(), "{error}");
}

#[test]
fn a_prune_takes_what_a_killed_pull_left_and_nothing_that_grows() {
    let scratch = tempfile::tempdir().unwrap();
    let store = Store::open(scratch.path()).unwrap();
    let [left, grows] = ["left", "grows"].map(|name| LayerId(Digest::of(name.as_bytes())));
    for (id, ownership) in
        [(&left, Ownership::Squash), (&left, Ownership::Keep { set_id: true }), (&grows, Ownership::Squash)]
    {
        let folder = store.growing(id, ownership);
        std::fs::create_dir_all(folder.join("etc")).unwrap();
        std::fs::write(folder.join("etc/half"), "x").unwrap();
        std::fs::write(beside(&folder, LIST), "x").unwrap();
    }
    let held = Lock::exclusive(&store.layer_lock_path(&grows, Ownership::Squash), || ()).unwrap();
    let half = || {
        let folders = Ownership::ALL.map(|ownership| std::fs::read_dir(store.flavour(ownership)).unwrap());
        folders.into_iter().flatten().count()
    };
    assert_eq!(half(), 6);
    store.prune(Prune { dry: true, ..Prune::default() }).unwrap();
    assert_eq!(half(), 6, "a dry run removes nothing");
    store.prune(Prune::default()).unwrap();
    assert!(half() == 2 && store.growing(&grows, Ownership::Squash).join("etc/half").exists());
    drop(held);
    store.prune(Prune::default()).unwrap();
    assert_eq!(half(), 0);
}

#[test]
fn a_store_that_cannot_be_written_says_what_helps() {
    let scratch = tempfile::tempdir().unwrap();
    std::fs::write(scratch.path().join("file"), "").unwrap();
    let errors = [
        Store::open(&scratch.path().join("file/store")).unwrap_err(),
        Error::io("locking `x`", std::io::ErrorKind::ReadOnlyFilesystem),
    ];
    for error in errors {
        assert!(error.remedy.as_deref().is_some_and(|remedy| remedy.contains("XDG_DATA_HOME")), "{error}");
    }
}

/// An image of layers that `plant` makes, lowest first.
fn planted(plants: &[fn(&Path)]) -> (tempfile::TempDir, Store, Image) {
    let scratch = tempfile::tempdir().unwrap();
    let store = Store::open(scratch.path()).unwrap();
    let layers: Vec<LayerId> = (0..plants.len()).map(|n| LayerId(Digest::of(&[n as u8]))).collect();
    for (layer, plant) in layers.iter().zip(plants) {
        let folder = store.layer_folder(layer, Ownership::Squash);
        std::fs::create_dir_all(folder.join("etc")).unwrap();
        plant(&folder);
        store.mark(mark::boot(), layer, Ownership::Squash).unwrap();
    }
    let digest = Digest::of(b"manifest");
    let config = crate::Config::default();
    let image = Image { reference: "x".to_owned(), digest, resolved: digest, config, layers, size: 0, fetched: 0 };
    (scratch, store, image)
}

fn whiteout(path: &Path) {
    use rustix::fs::{CWD, FileType, Mode, mknodat};
    mknodat(CWD, path, FileType::CharacterDevice, Mode::empty(), 0).unwrap();
}

fn opaque(path: &Path) {
    rustix::fs::setxattr(path, "user.overlay.opaque", b"y", rustix::fs::XattrFlags::empty()).unwrap();
}

#[test]
fn files_are_read_as_the_stack_shows_them() {
    let lower: fn(&Path) = |dir| {
        for name in ["kept", "gone", "over", "hidden"] {
            std::fs::write(dir.join("etc").join(name), "lower").unwrap();
        }
        std::fs::create_dir(dir.join("etc/new")).unwrap();
        std::fs::write(dir.join("etc/new/f"), "lower").unwrap();
    };
    let upper: fn(&Path) = |dir| {
        whiteout(&dir.join("etc/gone"));
        std::fs::write(dir.join("etc/over"), "upper").unwrap();
        std::fs::create_dir(dir.join("etc/new")).unwrap();
        opaque(&dir.join("etc/new"));
        std::fs::write(dir.join("etc/new/own"), "own").unwrap();
    };
    let (_scratch, store, image) = planted(&[lower, upper]);
    let read = |path: &str| store.read_file(&image, path, 5).unwrap().map(|b| String::from_utf8(b).unwrap());
    assert_eq!(read("/etc/kept").unwrap(), "lower");
    assert_eq!(read("/etc/over").unwrap(), "upper");
    assert_eq!(read("/etc/new/own").unwrap(), "own");
    for path in ["/etc/gone", "/etc/gone/x", "/etc/new/f", "/etc/none", "/none/f", "/etc/kept/x"] {
        assert_eq!(read(path), None, "{path}");
    }
    assert_eq!(store.read_file(&image, "/etc/kept", 4).unwrap_err().kind, Kind::Limit);
}

#[test]
fn an_opaque_root_ends_the_search() {
    let lower: fn(&Path) = |dir| std::fs::write(dir.join("f"), "lower").unwrap();
    let upper: fn(&Path) = |dir| opaque(dir);
    let (_scratch, store, image) = planted(&[lower, upper]);
    assert_eq!(store.read_file(&image, "/f", 9).unwrap(), None);
}

#[test]
fn links_and_odd_files_of_an_image_are_not_read() {
    let plant: fn(&Path) = |dir| {
        symlink("/etc/passwd", dir.join("etc/passwd")).unwrap();
        symlink("/etc", dir.join("up")).unwrap();
        std::fs::create_dir(dir.join("etc/group")).unwrap();
        rustix::fs::mknodat(rustix::fs::CWD, dir.join("fifo"), rustix::fs::FileType::Fifo, 0o644.into(), 0).unwrap();
    };
    let (_scratch, store, image) = planted(&[plant]);
    for path in ["/etc/passwd", "/up/passwd", "/fifo", "/etc/group"] {
        assert_eq!(store.read_file(&image, path, 1 << 20).unwrap_err().kind, Kind::Hostile, "{path}");
    }
    for path in ["", "/", "/etc/../../x"] {
        assert_eq!(store.read_file(&image, path, 9).unwrap_err().kind, Kind::Name, "{path}");
    }
}
