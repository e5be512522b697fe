use super::*;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use tempfile::TempDir;

/// A root that belongs to whoever runs the test, and somebody who may do what the owner may.
fn places(root: &Path, reads: bool) -> Places {
    Places {
        root: fs::File::open(root).unwrap().into(),
        mounts: vec!["/workspace".into(), "/workspace/out".into(), "/tmp".into()],
        alone: None,
        view: None,
        doors: None,
        rights: Rights { uid: rustix::process::geteuid().as_raw(), groups: vec![rustix::process::getegid().as_raw()] },
        reads,
        near: Default::default(),
    }
}

fn root() -> TempDir {
    let root = tempfile::tempdir().unwrap();
    fs::create_dir(root.path().join("tmp")).unwrap();
    for (name, mode) in [("open", 0o644), ("closed", 0o000), ("kept", 0o444), ("program", 0o755)] {
        fs::write(root.path().join("tmp").join(name), "").unwrap();
        fs::set_permissions(root.path().join("tmp").join(name), fs::Permissions::from_mode(mode)).unwrap();
    }
    nix::unistd::mkfifo(&root.path().join("tmp/pipe"), nix::sys::stat::Mode::empty()).unwrap();
    symlink("/tmp/kept", root.path().join("link")).unwrap();
    symlink("/nowhere/new", root.path().join("tmp/dangling")).unwrap();
    symlink("round", root.path().join("round")).unwrap();
    symlink("../../../../..", root.path().join("up")).unwrap();
    root
}

const CREATE: u64 = (libc::O_WRONLY | libc::O_CREAT) as u64;

#[test]
fn what_can_be_done_is_nothing_to_tell() {
    let root = root();
    let places = places(root.path(), false);
    for path in ["/tmp/open", "/tmp/new", "tmp/new", "/tmp/../tmp/new", "//tmp//new", "/up/up/tmp/new"] {
        assert_eq!(places.opening(path.as_bytes(), CREATE), None, "{path}");
        assert_eq!(places.making(path.as_bytes()), None, "{path}");
        assert_eq!(places.removing(path.as_bytes()), None, "{path}");
        assert_eq!(places.altering(path.as_bytes()), None, "{path}");
    }
    // Nobody waits for the other end of a pipe, and nothing follows a circle.
    for path in ["/tmp/pipe", "/round", "/round/x", "/tmp", "/", "", "..", ".", "/tmp/.", "/tmp/..", "///"] {
        assert_eq!(places.opening(path.as_bytes(), CREATE), None, "{path}");
        assert_eq!(places.making(path.as_bytes()), None, "{path}");
    }
    assert_eq!(places.opening(b"/tmp/\xff\xfe", CREATE), None);
    assert_eq!(places.opening(&[b'/'; 5000], CREATE), None);
    assert_eq!(places.opening(b"/tmp/a\0b", CREATE), None);
    assert_eq!(places.opening(b"/no/such/folder/x", CREATE), None, "another error than one of rights");
}

#[test]
fn what_is_remembered_of_a_folder_hides_no_refusal() {
    let root = root();
    let places = places(root.path(), false);
    let at = |name: &str| root.path().join("tmp").join(name);
    let mode = |name: &str, mode: u32| fs::set_permissions(at(name), fs::Permissions::from_mode(mode)).unwrap();
    let target = || places.opening(b"/tmp/here/new", CREATE).map(|found| (found.errno, found.cause));
    let denied = Some((libc::EACCES, Cause::Denied));
    for name in ["here", "other"] {
        fs::create_dir(at(name)).unwrap();
    }
    mode("other", 0o555);
    assert_eq!(target(), None);
    // By its descriptor, of which nobody hears.
    mode("here", 0o555);
    assert_eq!(target(), denied);
    mode("here", 0o755);
    assert_eq!(target(), None);
    fs::write(at("here/new"), "").unwrap();
    mode("here/new", 0o444);
    assert_eq!(target(), denied, "what is there is looked at by itself");
    fs::remove_file(at("here/new")).unwrap();
    assert_eq!(target(), None);
    // Each call is asked about before it is made.
    assert_eq!(places.moving(b"/tmp/here", b"/tmp/away"), None);
    fs::rename(at("here"), at("away")).unwrap();
    symlink("other", at("here")).unwrap();
    assert_eq!(target(), denied, "another folder of that name");
    assert_eq!(places.removing(b"/tmp/here"), None);
    fs::remove_file(at("here")).unwrap();
    fs::create_dir(at("here")).unwrap();
    assert_eq!(target(), None, "a link went, a folder came");
    assert_eq!(places.moving(b"/tmp/away", b"/tmp/here"), None);
    fs::rename(at("away"), at("here")).unwrap();
    mode("here", 0o555);
    assert_eq!(target(), denied, "one folder replaced another");
    mode("here", 0o755);
    // Who is not heard is believed for a moment only.
    assert_eq!(target(), None);
    fs::rename(at("here"), at("away")).unwrap();
    symlink("other", at("here")).unwrap();
    std::thread::sleep(std::time::Duration::from_millis(60));
    assert_eq!(target(), denied);
    mode("other", 0o755);
}

#[test]
fn a_folder_is_remembered_while_files_come_and_go() {
    let root = root();
    let places = places(root.path(), false);
    places.near.borrow_mut().longest = std::time::Duration::from_secs(3600);
    let here = root.path().join("tmp/here");
    fs::create_dir(&here).unwrap();
    for name in ["one", "two"] {
        fs::write(here.join(name), "").unwrap();
    }
    assert_eq!(places.opening(b"/tmp/here/new", CREATE), None);
    let known = places.near.borrow_mut().folder(b"/tmp/here/", || None).map(|folder| folder.place.as_raw_fd());
    for found in [
        places.moving(b"/tmp/here/one", b"/tmp/here/two"),
        places.removing(b"/tmp/here/two"),
        places.altering(b"/tmp/here/two"),
        places.making(b"/tmp/here/three"),
    ] {
        assert_eq!(found, None);
    }
    let now = places.near.borrow_mut().folder(b"/tmp/here/", || None).map(|folder| folder.place.as_raw_fd());
    assert!(known.is_some() && now == known);
    assert_eq!(places.altering(b"/tmp"), None);
    assert!(places.near.borrow_mut().folder(b"/tmp/here/", || None).is_none(), "nobody may enter by now");
}

#[test]
fn a_closed_mode_is_told_with_the_file_that_it_is() {
    let root = root();
    let places = places(root.path(), true);
    let seen = |found: Option<Found>| {
        let found = found.unwrap();
        (
            found.errno,
            found.cause,
            found.target.rsplit('/').next().unwrap().to_string(),
            found.detail.unwrap_or_default(),
        )
    };
    let detail = format!("mode 0444, of user {}", rustix::process::geteuid());
    let kept = (libc::EACCES, Cause::Denied, "kept".to_string(), detail);
    assert_eq!(seen(places.opening(b"/tmp/kept", CREATE)), kept);
    assert_eq!(seen(places.opening(b"/link", libc::O_RDWR as u64)), kept, "what a link leads to");
    assert_eq!(places.opening(b"/tmp/kept", CREATE | libc::O_EXCL as u64), None, "it is there: another error");
    assert_eq!(places.opening(b"/tmp/kept", libc::O_RDONLY as u64), None);
    assert_eq!(places.opening(b"/tmp/kept", libc::O_PATH as u64 | 1), None);
    assert_eq!(seen(places.opening(b"/tmp/closed", 0)).2, "closed");
    assert_eq!(seen(places.opening(b"/tmp/none", 0)).1, Cause::Absent);
    assert!(matches!(places.executing(b"/tmp/program"), Execution::Runs));
    assert!(matches!(places.executing(b"/tmp/open"), Execution::Refused(Found { cause: Cause::Denied, .. })));
    for path in [&b"/tmp"[..], b"/tmp/pipe"] {
        assert!(matches!(places.executing(path), Execution::Fails));
    }
    fs::set_permissions(root.path().join("tmp"), fs::Permissions::from_mode(0o555)).unwrap();
    assert_eq!(seen(places.making(b"/tmp/new")).2, "new");
    assert_eq!(seen(places.removing(b"/tmp/open")).2, "open");
    assert_eq!(places.removing(b"/tmp/none"), None);
    fs::set_permissions(root.path().join("tmp"), fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn what_is_read_only_is_told_with_its_place() {
    // Wherever the test runs, /proc can be changed by nobody; as a mount it is read-only in a sandbox alone.
    let places = places(Path::new("/"), false);
    let found = places.opening(b"/proc/self/oom_score_adj", libc::O_WRONLY as u64).unwrap();
    assert_eq!((found.cause, found.errno, found.place.as_deref()), (Cause::ReadOnly, libc::EROFS, Some("/proc")));
    for path in ["/proc/self/fd/1", "/proc/self/cwd/x", "/proc/self/../../tmp/x", "/proc/thread-self/root/tmp/x"] {
        assert_eq!(places.opening(path.as_bytes(), CREATE), None, "{path} leads elsewhere");
    }
    for (target, place) in [
        ("/workspace/out/x", "/workspace/out"),
        ("/workspace/outer", "/workspace"),
        ("/tmpx", "/"),
        ("/dev/shm/a", "/dev/shm"),
    ] {
        assert_eq!(places.place(target), place);
    }
}

#[test]
fn without_mounts_the_rules_say_what_is_read_only() {
    let root = root();
    let real = root.path().canonicalize().unwrap();
    let path = |name: &str| real.join(name).to_str().unwrap().to_string();
    let mut places = places(Path::new("/"), false);
    places.alone =
        Some(vec![Writable { path: path("tmp"), folder: true }, Writable { path: path("one"), folder: false }]);
    places.view = Some(real.to_str().unwrap().to_string());
    fs::write(real.join("one"), "").unwrap();
    fs::write(real.join("other"), "").unwrap();
    assert_eq!(places.opening(path("tmp/new").as_bytes(), CREATE), None);
    assert_eq!(places.opening(path("one").as_bytes(), CREATE), None);
    for found in [
        places.opening(path("other").as_bytes(), CREATE),
        places.removing(path("other").as_bytes()),
        places.making(path("fresh").as_bytes()),
    ] {
        let found = found.unwrap();
        assert_eq!((found.cause, found.errno), (Cause::ReadOnly, libc::EACCES));
        assert!(["/other", "/fresh"].contains(&found.target.as_str()), "as the plan calls it: {found:?}");
    }
    assert_eq!(places.removing(path("nothing").as_bytes()), None);
}
