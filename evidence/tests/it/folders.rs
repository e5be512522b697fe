//! Who may own the folder, what is in it, and how things in it are found.

use crate::{HELD, NEW, begin, home, pointed, project, sandbox};
use aido_evidence::{Error, Kind, NewSandbox, Project, STATE_VERSION};
use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().mode() & 0o7777
}

#[test]
fn the_folder_is_private_and_ignored_by_git() {
    let (dir, project) = project();
    assert!(!HELD || mode(project.folder()) == 0o700);
    assert_eq!(fs::read_to_string(dir.path().join(".aido/.gitignore")).unwrap(), "*\n");
    let sandbox = project.new_sandbox(&NEW).unwrap();
    let recording = begin(&sandbox, 1).unwrap();
    let log = recording.folder().join("stdout.log");
    assert!(log.is_file());
    if HELD {
        assert_eq!((mode(sandbox.folder()), mode(&log)), (0o700, 0o600));
    }
}

#[test]
fn a_project_without_evidence_is_not_given_any_by_looking() {
    let dir = tempfile::tempdir().unwrap();
    assert!(Project::open(dir.path(), &home(dir.path())).unwrap().is_none());
    assert!(fs::read_dir(dir.path()).unwrap().next().is_none());
}

#[test]
fn a_link_in_place_of_the_folder_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let elsewhere = tempfile::tempdir().unwrap();
    symlink(elsewhere.path(), dir.path().join(".aido")).unwrap();
    for said in
        [Project::create(dir.path(), &home(dir.path())).err(), Project::open(dir.path(), &home(dir.path())).err()]
    {
        let said = said.unwrap().to_string();
        assert!(said.contains(".aido is a symbolic link"), "{said}");
    }
    assert!(fs::read_dir(elsewhere.path()).unwrap().next().is_none());
}

#[test]
fn links_that_a_repository_brings_inside_it_are_not_followed() {
    let elsewhere = tempfile::tempdir().unwrap();
    let precious = elsewhere.path().join("precious");
    fs::write(&precious, "mine").unwrap();
    for (name, target) in [
        ("sandboxes", elsewhere.path()),
        ("unsealed", elsewhere.path()),
        ("trash", elsewhere.path()),
        ("ledger.jsonl", &precious),
    ] {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join(".aido")).unwrap();
        symlink(target, dir.path().join(".aido").join(name)).unwrap();
        let made = Project::create(dir.path(), &home(dir.path())).and_then(|p| p.new_sandbox(&NEW));
        let said = made.unwrap_err().to_string();
        assert!(said.contains("symbolic link"), "{name}: {said}");
    }
    assert_eq!(fs::read_to_string(&precious).unwrap(), "mine");
    assert_eq!(fs::read_dir(elsewhere.path()).unwrap().count(), 1);

    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join(".aido")).unwrap();
    symlink(&precious, dir.path().join(".aido/.gitignore")).unwrap();
    Project::create(dir.path(), &home(dir.path())).unwrap();
    assert_eq!(fs::read_to_string(&precious).unwrap(), "mine");
    assert!(!HELD || mode(&dir.path().join(".aido")) == 0o700, "a folder that came with wide modes is closed");
}

#[test]
fn a_fifo_in_place_of_a_file_does_not_hang() {
    let (_dir, sandbox) = sandbox();
    let path = sandbox.folder().join("state.json");
    fs::remove_file(&path).unwrap();
    rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
    let said = sandbox.state().unwrap_err().to_string();
    assert!(said.contains("not a plain file"), "{said}");
}

#[test]
fn somebody_elses_folder_is_refused() {
    if !HELD {
        eprintln!("skipped: owners are not asked for where evidence goes by names");
        return;
    }
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: only root can give a folder away; run the tests as root too");
        return;
    }
    let (dir, project) = project();
    std::os::unix::fs::chown(project.folder(), Some(4711), Some(4711)).unwrap();
    for said in
        [Project::create(dir.path(), &home(dir.path())).err(), Project::open(dir.path(), &home(dir.path())).err()]
    {
        let said = said.unwrap().to_string();
        assert!(said.contains("belongs to user 4711"), "{said}");
    }
}

#[test]
fn a_folder_that_cannot_be_written_says_where() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("gone");
    let said = Project::create(&path, &home(dir.path())).unwrap_err().to_string();
    assert!(said.contains("cannot make") && said.contains("gone/.aido"), "{said}");
    if rustix::process::geteuid().is_root() {
        eprintln!("skipped in part: modes do not bind root; run the tests as an ordinary user too");
        return;
    }
    fs::set_permissions(dir.path(), Permissions::from_mode(0o500)).unwrap();
    let said = Project::create(dir.path(), &home(dir.path())).unwrap_err().to_string();
    assert!(said.contains("Permission denied"), "{said}");
}

#[test]
fn a_sandbox_keeps_what_it_was_made_from() {
    let (_dir, project) = project();
    let new = NewSandbox {
        name: "n",
        kind: Kind::Kept,
        ttl_ms: 60_000,
        config: Some(b"name: n\n"),
        plan: Some(b"{\"version\":1}"),
        backend: "docker",
    };
    let made = project.new_sandbox(&new).unwrap();
    let found = project.sandbox(made.id().as_str()).unwrap();
    let state = found.state().unwrap();
    assert_eq!((state.version, state.name.as_str(), state.kind), (STATE_VERSION, "n", Kind::Kept));
    assert_eq!(state.backend.as_deref(), Some("docker"));
    assert_eq!(found.config().unwrap().unwrap(), b"name: n\n");
    assert_eq!(found.plan().unwrap().unwrap(), b"{\"version\":1}");
    let left = found.left_ms().unwrap();
    assert!(left > 50_000 && left <= 60_000, "{left}");
    assert!(found.outputs().is_dir());
    assert_eq!(pointed(&project.folder().join("sandboxes/latest")), made.id().as_str());
}

#[test]
fn time_is_over_after_the_deadline_the_end_or_a_restart() {
    let (_dir, sandbox) = sandbox();
    let path = sandbox.folder().join("state.json");
    let text = fs::read_to_string(&path).unwrap();
    let boot = sandbox.state().unwrap().deadline.boot_id;
    fs::write(&path, text.replace(&boot, "00000000-0000-0000-0000-000000000000")).unwrap();
    assert_eq!(sandbox.left_ms().unwrap(), 0, "another start of the machine");
    fs::write(&path, &text).unwrap();
    assert!(sandbox.left_ms().unwrap() > 0);
    sandbox.end("done").unwrap();
    sandbox.end("again").unwrap();
    assert_eq!(sandbox.left_ms().unwrap(), 0);
    assert_eq!(sandbox.state().unwrap().ended.unwrap().why, "done");
    let short = sandbox.project().new_sandbox(&NewSandbox { ttl_ms: 0, ..NEW }).unwrap();
    assert_eq!(short.left_ms().unwrap(), 0);
}

#[test]
fn only_sandboxes_that_were_made_to_be_kept_and_have_time_left_take_runs() {
    let (_dir, project) = project();
    let kept = |ttl_ms| project.new_sandbox(&NewSandbox { kind: Kind::Kept, ttl_ms, ..NEW }).unwrap();
    let ids = || project.kept().unwrap().iter().map(|s| s.id().to_string()).collect::<Vec<_>>();
    assert!(ids().is_empty());
    project.new_sandbox(&NEW).unwrap();
    let (first, second, over) = (kept(60_000), kept(60_000), kept(0));
    assert_eq!(ids(), [second.id().to_string(), first.id().to_string()]);
    second.end("done").unwrap();
    assert_eq!(ids(), [first.id().to_string()]);
    // What was ended is not looked at again; what is over waits for somebody to end it.
    let marks = || -> Vec<_> {
        fs::read_dir(project.folder().join("kept")).unwrap().flatten().map(|e| e.file_name()).collect()
    };
    let expired: Vec<_> = project.expired().unwrap().iter().map(|s| s.id().clone()).collect();
    assert_eq!((expired, marks().len()), (vec![over.id().clone()], 2));
    assert!(over.end("its time limit").unwrap() && !over.end("again").unwrap());
    assert!(project.expired().unwrap().is_empty());
    assert_eq!(marks(), [first.id().as_str()]);
    first.destroy("test").unwrap();
    assert!(ids().is_empty());
}

#[test]
fn a_run_of_a_sandbox_is_found_in_that_one_only() {
    let (_dir, project) = project();
    let (one, other) = (project.new_sandbox(&NEW).unwrap(), project.new_sandbox(&NEW).unwrap());
    let run = begin(&one, 1).unwrap().id().to_string();
    assert_eq!(project.run_in(one.id().as_str(), &run).unwrap().id().as_str(), run);
    for sandbox in [other.id().as_str(), "s000000000000", "latest", "../x", ""] {
        assert!(project.run_in(sandbox, &run).is_err(), "{sandbox:?}");
    }
    assert!(project.run_in(one.id().as_str(), &run[..5]).is_err());
}

#[test]
fn a_damaged_state_spoils_only_its_own_sandbox() {
    let (_dir, sandbox) = sandbox();
    let project = sandbox.project();
    for bad in ["", "{", "{\"version\":99}", "[]"] {
        fs::write(sandbox.folder().join("state.json"), bad).unwrap();
        assert!(matches!(sandbox.state(), Err(Error::Damaged { .. })), "{bad}");
        let good = project.new_sandbox(&NEW).unwrap();
        assert!(project.expired().unwrap().is_empty() && project.kept().unwrap().is_empty());
        assert!(project.sandboxes().unwrap().iter().any(|s| s.id() == sandbox.id()));
        assert_eq!(project.sandbox("latest").unwrap().id(), good.id());
    }
}

#[test]
fn things_are_found_by_prefix_and_newest_first() {
    let (_dir, project) = project();
    let made: Vec<_> = (0..20).map(|_| project.new_sandbox(&NEW).unwrap()).collect();
    let listed: Vec<_> = project.sandboxes().unwrap().iter().map(|s| s.id().clone()).collect();
    assert_eq!(listed, made.iter().rev().map(|s| s.id().clone()).collect::<Vec<_>>());
    let one = made[3].id().as_str();
    assert_eq!(project.sandbox(&one[1..]).unwrap().id().as_str(), one);
    assert!(matches!(project.sandbox("s"), Err(Error::Ambiguous { candidates, .. }) if candidates.len() == 20));
    let said = project.run("latest").unwrap_err().to_string();
    assert!(said.contains("no run yet"), "{said}");
    let first = begin(&made[7], 1).unwrap().id().clone();
    let second = begin(&made[2], 1).unwrap().id().clone();
    assert_eq!(project.run("latest").unwrap().id(), &second);
    assert_eq!(project.run(&first.as_str()[1..9]).unwrap().sandbox().id(), made[7].id());
    let said = project.run("nothing").unwrap_err().to_string();
    assert!(said.contains(first.as_str()) && said.contains(second.as_str()), "{said}");
}

#[test]
fn entries_that_are_not_ours_are_not_listed() {
    let (_dir, sandbox) = sandbox();
    let sandboxes = sandbox.folder().parent().unwrap();
    symlink("/", sandboxes.join("s000000000000")).unwrap();
    fs::write(sandboxes.join("s111111111111"), "").unwrap();
    fs::create_dir(sandboxes.join("sandbox")).unwrap();
    assert_eq!(sandbox.project().sandboxes().unwrap().len(), 1);
}
