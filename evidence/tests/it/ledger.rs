//! The ledger under many writers, and after a bad end.

use crate::{given_project, other_process, project, whole};
use serde_json::json;
use std::fs::{self, OpenOptions};
use std::io::Write;

#[test]
fn many_processes_and_threads_make_one_chain() {
    let (_dir, project) = project();
    let mut children: Vec<_> = (0..4).map(|_| other_process("ledger::writer", &project)).collect();
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let ledger = project.ledger();
            scope.spawn(move || (0..50).for_each(|n| ledger.append("thread", &json!([thread, n])).unwrap()));
        }
    });
    for child in &mut children {
        assert!(child.wait().unwrap().success());
    }
    let records = whole(project.ledger().records().unwrap().unwrap());
    assert_eq!(records.iter().filter(|r| r.kind == "process").count(), 200);
    assert_eq!(records.iter().filter(|r| r.kind == "thread").count(), 200);
    assert_eq!((records.len(), records[0].kind.as_str()), (401, "ledger_begun"));
}

#[test]
#[ignore = "the other process of many_processes_and_threads_make_one_chain"]
fn writer() {
    let ledger = given_project().ledger();
    (0..50).for_each(|n| ledger.append("process", &json!({"n": n})).unwrap());
}

#[test]
fn a_torn_line_is_owned_up_to_and_nothing_earlier_changes() {
    for tail in ["{\"v\":1,\"se", "\n", "\0\0\0\0", "junk\nmore junk\n", "{}\n"] {
        let (_dir, project) = project();
        let path = project.folder().join("ledger.jsonl");
        project.ledger().append("one", &json!(1)).unwrap();
        OpenOptions::new().append(true).open(&path).unwrap().write_all(tail.as_bytes()).unwrap();
        let before = fs::read(&path).unwrap();
        project.ledger().append("two", &json!(2)).unwrap();
        project.ledger().append("three", &json!(3)).unwrap();
        let after = fs::read(&path).unwrap();
        assert!(after.starts_with(&before), "{tail:?}: earlier bytes changed");
        let records = whole(project.ledger().records().unwrap().unwrap());
        let kinds: Vec<_> = records.iter().map(|r| r.kind.as_str()).collect();
        assert_eq!(kinds, ["ledger_begun", "one", "torn", "two", "three"], "{tail:?}");
        assert_eq!(records[2].data["bytes"], tail.len());
    }
}

#[test]
fn a_record_that_lacks_only_its_newline_is_kept() {
    let (_dir, project) = project();
    let path = project.folder().join("ledger.jsonl");
    project.ledger().append("one", &json!(1)).unwrap();
    project.ledger().append("two", &json!(2)).unwrap();
    let bytes = fs::read(&path).unwrap();
    fs::write(&path, &bytes[..bytes.len() - 1]).unwrap();
    project.ledger().append("three", &json!(3)).unwrap();
    let kinds: Vec<_> = whole(project.ledger().records().unwrap().unwrap()).into_iter().map(|r| r.kind).collect();
    assert_eq!(kinds, ["ledger_begun", "one", "two", "three"]);
}

#[test]
fn a_ledger_that_was_torn_in_its_first_line_goes_on() {
    let (_dir, project) = project();
    fs::write(project.folder().join("ledger.jsonl"), "{\"v\":1").unwrap();
    project.ledger().append("one", &json!(1)).unwrap();
    let records = whole(project.ledger().records().unwrap().unwrap());
    assert_eq!(records.iter().map(|r| r.kind.as_str()).collect::<Vec<_>>(), ["torn", "ledger_begun", "one"]);
}

#[test]
fn a_long_record_before_the_end_is_found() {
    let (_dir, project) = project();
    let ledger = project.ledger();
    ledger.append("long", &json!("x".repeat(3 << 20))).unwrap();
    ledger.append("short", &json!(1)).unwrap();
    ledger.append("long", &json!("x".repeat(3 << 20))).unwrap();
    ledger.append("short", &json!(2)).unwrap();
    assert_eq!(whole(ledger.records().unwrap().unwrap()).len(), 5);
}

#[test]
fn a_ledger_of_rubbish_is_refused_and_says_what_to_do() {
    let (_dir, project) = project();
    let path = project.folder().join("ledger.jsonl");
    fs::File::create(&path).unwrap().set_len(1 << 40).unwrap();
    let said = project.ledger().append("one", &json!(1)).unwrap_err().to_string();
    assert!(said.contains("ledger.jsonl") && said.contains("move it away"), "{said}");
    assert_eq!(fs::metadata(&path).unwrap().len(), 1 << 40);
}
