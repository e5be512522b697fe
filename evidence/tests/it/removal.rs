//! Nothing a task leaves behind defeats cleaning up.

use crate::{sandbox, whole};
use aido_evidence::Sandbox;
use rustix::fs::{CWD, Mode, OFlags};
use serde_json::json;
use std::ffi::OsStr;
use std::fs::{self, Permissions};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};

fn is_clean(sandbox: Sandbox) {
    let (project, id) = (sandbox.project().clone(), sandbox.id().clone());
    sandbox.destroy("the test says so").unwrap();
    assert!(fs::read_dir(project.folder().join("trash")).unwrap().next().is_none(), "rubbish is left");
    assert!(!project.folder().join("sandboxes").join(id.as_str()).exists());
    assert!(fs::symlink_metadata(project.folder().join("sandboxes/latest")).is_err(), "a link to nothing is left");
    let ledger = whole(project.ledger().records().unwrap().unwrap());
    let last = ledger.last().unwrap();
    assert_eq!((last.kind.as_str(), &last.data["sandbox"]), ("sandbox_destroyed", &json!(id)));
    assert_eq!(last.data["why"], "the test says so");
}

#[test]
fn a_tree_deeper_than_any_path_goes() {
    let (_dir, sandbox) = sandbox();
    let mut at = rustix::fs::openat(CWD, sandbox.outputs(), OFlags::DIRECTORY, Mode::empty()).unwrap();
    let name = "d".repeat(200);
    for _ in 0..300 {
        rustix::fs::mkdirat(&at, &name, Mode::RWXU).unwrap();
        at = rustix::fs::openat(&at, &name, OFlags::DIRECTORY, Mode::empty()).unwrap();
    }
    drop(at);
    is_clean(sandbox);
}

#[test]
fn modes_names_and_links_do_not_matter() {
    let (_dir, sandbox) = sandbox();
    let elsewhere = tempfile::tempdir().unwrap();
    fs::write(elsewhere.path().join("mine"), "mine").unwrap();
    let out = sandbox.outputs();
    let closed = out.join("closed/inner");
    fs::create_dir_all(&closed).unwrap();
    fs::write(closed.join("file"), "x").unwrap();
    for name in [&b"\xff\xfe\n"[..], b"-rf", b" ", b"\x1b[2J", &[b'n'; 255]] {
        fs::write(out.join(OsStr::from_bytes(name)), "x").unwrap();
        fs::create_dir_all(out.join("names").join(OsStr::from_bytes(name)).join("sub")).unwrap();
    }
    symlink(elsewhere.path(), out.join("link")).unwrap();
    symlink("/", closed.join("root")).unwrap();
    // A folder named like a sandbox must not be taken for one.
    fs::create_dir_all(out.join("s000000000000/sub")).unwrap();
    for path in [&closed, closed.parent().unwrap(), &out] {
        fs::set_permissions(path, Permissions::from_mode(0o000)).unwrap();
    }
    is_clean(sandbox);
    assert_eq!(fs::read_to_string(elsewhere.path().join("mine")).unwrap(), "mine");
}

#[test]
fn many_entries_in_one_folder_go() {
    let (_dir, sandbox) = sandbox();
    for n in 0..1200 {
        fs::write(sandbox.outputs().join(n.to_string()), "").unwrap();
        if n % 8 == 0 {
            fs::create_dir_all(sandbox.outputs().join(format!("d{n}/sub"))).unwrap();
        }
    }
    is_clean(sandbox);
}

#[test]
fn outputs_are_empty_for_the_next_run() {
    let (_dir, sandbox) = sandbox();
    assert_eq!(sandbox.fresh_outputs().unwrap(), sandbox.outputs());
    fs::create_dir_all(sandbox.outputs().join("a/b")).unwrap();
    fs::set_permissions(sandbox.outputs().join("a"), Permissions::from_mode(0o000)).unwrap();
    sandbox.fresh_outputs().unwrap();
    assert!(fs::read_dir(sandbox.outputs()).unwrap().next().is_none());
    assert!(fs::read_dir(sandbox.project().folder().join("trash")).unwrap().next().is_none());
}

#[test]
fn a_removal_that_was_cut_short_is_ended_and_in_the_ledger() {
    let (_dir, sandbox) = sandbox();
    let project = sandbox.project();
    let trash = project.folder().join("trash");
    fs::create_dir_all(trash.join("xabc/deep/er")).unwrap();
    fs::rename(sandbox.folder(), trash.join(sandbox.id().as_str())).unwrap();
    fs::create_dir(project.folder().join("drafts/sabc")).unwrap();
    project.sweep().unwrap();
    assert!(fs::read_dir(&trash).unwrap().next().is_none());
    let ledger = whole(project.ledger().records().unwrap().unwrap());
    let last = ledger.last().unwrap();
    assert_eq!((last.kind.as_str(), &last.data["sandbox"]), ("sandbox_destroyed", &json!(sandbox.id())));
    assert!(project.folder().join("drafts/sabc").exists(), "somebody may be making it just now");
}
