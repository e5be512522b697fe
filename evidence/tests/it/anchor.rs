//! What is known of a ledger outside of its project, and what it finds.

use crate::{HELD, begin, home, project, reopened, seal, whole};
use aido_evidence::{Anchor, Project, ledger_name};
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

fn anchor(project: &Project) -> Anchor {
    project.ledger().anchor().unwrap().unwrap()
}

fn kinds(project: &Project) -> Vec<String> {
    whole(project.ledger().records().unwrap().unwrap()).into_iter().map(|line| line.kind).collect()
}

fn path(project: &Project) -> PathBuf {
    project.folder().join("ledger.jsonl")
}

fn append(project: &Project, count: usize) {
    (0..count).for_each(|n| project.ledger().append("line", &json!(n)).unwrap());
}

#[test]
fn the_anchor_is_the_last_line_and_lies_closed() {
    let (dir, project) = project();
    append(&project, 3);
    let lines = whole(project.ledger().records().unwrap().unwrap());
    let known = anchor(&project);
    assert_eq!((known.seq, known.head.as_str()), (3, lines[3].hash.as_str()));
    assert_eq!(known.ledger, ledger_name(&lines[0]));
    assert_eq!(lines[0].data, json!({"ledger": known.ledger, "follows": null}));
    assert_eq!(Path::new(&known.project), dir.path().canonicalize().unwrap());
    assert!(known.lost.is_empty() && !known.is_of_another_boot().unwrap());
    assert!(project.take_notes().is_empty());
    let folder = dir.path().join("home/ledgers");
    let files: Vec<_> = fs::read_dir(&folder).unwrap().map(|e| e.unwrap().path()).collect();
    assert_eq!(files.len(), 1, "{files:?}");
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    if HELD {
        assert_eq!((mode(&folder), mode(&files[0])), (0o700, 0o600));
    }
}

#[test]
fn a_ledger_that_is_gone_is_missed_for_ever() {
    let (_dir, project) = project();
    append(&project, 4);
    let before = anchor(&project);
    fs::remove_file(path(&project)).unwrap();
    assert_eq!(anchor(&project), before, "it is known as long as nobody writes");
    append(&project, 1);
    let lines = whole(project.ledger().records().unwrap().unwrap());
    assert_eq!(lines[0].data["follows"], json!({"ledger": before.ledger, "seq": before.seq, "head": before.head}));
    let notes = project.take_notes();
    assert!(notes.len() == 1 && notes[0].contains("had 5 records"), "{notes:?}");
    append(&project, 1);
    assert!(project.take_notes().is_empty(), "said once");
    let after = anchor(&project);
    assert_ne!(after.ledger, before.ledger);
    assert_eq!((after.lost.len(), after.lost[0].head.as_str(), after.lost[0].restarted), (1, &*before.head, false));
}

#[test]
fn a_ledger_that_was_cut_or_written_anew_is_found_by_the_next_line() {
    let cut = |text: &str| text.lines().take(3).map(|line| format!("{line}\n")).collect::<String>();
    let (_other_dir, other) = project();
    append(&other, 9);
    let foreign = fs::read_to_string(path(&other)).unwrap();
    for replace in [cut as fn(&str) -> String, |_| String::new()] {
        let (_dir, project) = project();
        append(&project, 5);
        let before = anchor(&project);
        let text = fs::read_to_string(path(&project)).unwrap();
        let new = Some(replace(&text)).filter(|text| !text.is_empty()).unwrap_or_else(|| foreign.clone());
        fs::write(path(&project), new).unwrap();
        append(&project, 2);
        let kinds = kinds(&project);
        assert_eq!(kinds.iter().filter(|kind| *kind == "ledger_differs").count(), 1, "{kinds:?}");
        let after = anchor(&project);
        assert_eq!((after.lost.len(), &after.lost[0].head), (1, &before.head));
        assert_eq!(project.take_notes().len(), 1);
    }
}

/// A writer that dies between its line and the anchor leaves a ledger that is longer than what is known of it.
#[test]
fn a_ledger_that_has_grown_is_the_same() {
    let (dir, project) = project();
    append(&project, 3);
    let file = fs::read_dir(dir.path().join("home/ledgers")).unwrap().next().unwrap().unwrap().path();
    let old = fs::read(&file).unwrap();
    append(&project, 3);
    fs::write(&file, old).unwrap();
    append(&project, 1);
    assert!(!kinds(&project).contains(&"ledger_differs".to_owned()));
    assert!(project.take_notes().is_empty() && anchor(&project).seq == 7);
}

#[test]
fn a_project_that_is_moved_or_copied_takes_its_anchor_along() {
    let dir = tempfile::tempdir().unwrap();
    let (a, b, c) = (dir.path().join("a"), dir.path().join("b"), dir.path().join("c"));
    fs::create_dir(&a).unwrap();
    let project = Project::create(&a, &home(dir.path())).unwrap();
    append(&project, 3);
    fs::rename(&a, &b).unwrap();
    let moved = Project::open(&b, &home(dir.path())).unwrap().unwrap();
    // Also by who has it open, where a folder is more than its name.
    append(if HELD { &project } else { &moved }, 1);
    assert_eq!((anchor(&moved).seq, anchor(&moved).project), (4, b.to_string_lossy().into_owned()));
    let files = || fs::read_dir(dir.path().join("home/ledgers")).unwrap().count();
    assert_eq!(files(), 1, "the place that was left is forgotten");
    // Something new in the old place follows nothing.
    fs::create_dir(&a).unwrap();
    let fresh = Project::create(&a, &home(dir.path())).unwrap();
    append(&fresh, 1);
    assert_eq!(kinds(&fresh), ["ledger_begun", "line"]);
    assert!(anchor(&fresh).lost.is_empty());
    // A copy goes its own way; both are what they were known to be.
    assert!(std::process::Command::new("cp").arg("-a").args([&b, &c]).status().unwrap().success());
    let copy = Project::open(&c, &home(dir.path())).unwrap().unwrap();
    append(&copy, 2);
    append(&moved, 1);
    assert_eq!(files(), 3);
    for one in [&copy, &moved, &fresh] {
        assert!(anchor(one).lost.is_empty() && one.take_notes().is_empty());
    }
}

#[test]
fn where_nothing_can_be_kept_outside_the_ledger_is_written_all_the_same() {
    let (dir, project) = project();
    append(&project, 1);
    let folder = dir.path().join("home/ledgers");
    fs::rename(&folder, dir.path().join("kept")).unwrap();
    fs::write(&folder, "in the way").unwrap();
    append(&project, 2);
    assert_eq!(kinds(&project).len(), 4);
    let notes = project.take_notes();
    assert!(notes.len() == 1 && notes[0].contains("cannot be kept"), "{notes:?}");
    fs::remove_file(&folder).unwrap();
    fs::rename(dir.path().join("kept"), &folder).unwrap();
    append(&project, 1);
    assert_eq!((anchor(&project).seq, project.take_notes().len()), (4, 0));
    // A damaged one is said, and made anew.
    let file = fs::read_dir(&folder).unwrap().next().unwrap().unwrap().path();
    for bad in ["", "{}", "[]", "\0\0\0"] {
        fs::write(&file, bad).unwrap();
        assert!(project.ledger().anchor().is_err());
        append(&reopened(&project), 1);
        assert!(anchor(&project).lost.is_empty());
    }
    let none = Project::open(dir.path(), &aido_evidence::Home::default()).unwrap().unwrap();
    append(&none, 2);
    assert_eq!(none.take_notes().len(), 1);
    assert!(none.ledger().anchor().unwrap().is_none());
}

#[test]
fn every_line_of_a_run_is_anchored() {
    let (_dir, sandbox) = crate::sandbox();
    let sealed = seal(begin(&sandbox, 1).unwrap(), &json!({}));
    let lines = whole(sandbox.project().ledger().records().unwrap().unwrap());
    let known = anchor(sandbox.project());
    assert_eq!(known.head, lines.last().unwrap().hash);
    assert_eq!(lines.last().unwrap().data["run"], Value::from(sealed.run.as_str()));
    sandbox.clone().destroy("test").unwrap();
    assert_eq!(anchor(sandbox.project()).seq, known.seq + 1);
}
