//! What may go, and what never does.

use crate::verify::new_sandbox;
use crate::{begin, project, seal};
use aido_evidence::{Kind, Over, Reason, Retention, Sandbox};
use serde_json::json;
use std::fs;

fn over(sandbox: &Sandbox, bytes: usize) {
    let recording = begin(sandbox, 0).unwrap();
    seal(recording, &json!({}));
    fs::write(sandbox.outputs().join("big"), vec![1; bytes]).unwrap();
    sandbox.end("test").unwrap();
}

fn chosen(over: &[Over], retention: Retention) -> Vec<(usize, Reason)> {
    // Newest first: the first is a day old, the second two …
    let age = |last: &str| {
        let at = over.iter().position(|one| one.last == last).unwrap() as u64;
        Some((at + 1) * 86_400_000)
    };
    let place = |one: &Over| over.iter().position(|other| other.sandbox.id() == one.sandbox.id()).unwrap();
    retention.choose(over, age).into_iter().map(|(one, why)| (place(one), why)).collect()
}

#[test]
fn only_what_is_over_is_listed_the_newest_first_and_each_bound_takes_the_oldest() {
    let (_dir, project) = project();
    let finished: Vec<Sandbox> = (0..4).map(|_| new_sandbox(&project, Kind::Single)).collect();
    finished.iter().for_each(|sandbox| over(sandbox, 1 << 20));
    let open = new_sandbox(&project, Kind::Kept);
    seal(begin(&open, 0).unwrap(), &json!({}));
    let busy = new_sandbox(&project, Kind::Single);
    let running = begin(&busy, 0).unwrap();
    let damaged = new_sandbox(&project, Kind::Single);
    over(&damaged, 0);
    fs::remove_file(damaged.folder().join("state.json")).unwrap();

    let listed = project.over().unwrap();
    let ids: Vec<_> = listed.iter().map(|one| one.sandbox.id().clone()).collect();
    assert_eq!(ids, finished.iter().rev().map(|one| one.id().clone()).collect::<Vec<_>>());
    assert!(listed.iter().all(|one| one.bytes >= 1 << 20 && one.bytes < 2 << 20 && one.runs.len() == 1), "{listed:?}");

    let none = Retention::default();
    assert_eq!(chosen(&listed, none), []);
    let days = |n: u64| Some(n * 86_400_000);
    assert_eq!(chosen(&listed, Retention { older_than_ms: days(2), ..none }), [(3, Reason::Age), (2, Reason::Age)]);
    assert_eq!(chosen(&listed, Retention { older_than_ms: days(9), ..none }), []);
    assert_eq!(chosen(&listed, Retention { keep: Some(3), ..none }), [(3, Reason::Count)]);
    assert_eq!(chosen(&listed, Retention { keep: Some(9), ..none }), []);
    assert_eq!(chosen(&listed, Retention { keep: Some(3), older_than_ms: days(1), ..none }), [(3, Reason::Age)]);
    let most = Some(listed[0].bytes + listed[1].bytes);
    assert_eq!(chosen(&listed, Retention { max_bytes: most, ..none }), [(3, Reason::Size), (2, Reason::Size)]);
    assert_eq!(chosen(&listed, Retention { max_bytes: most, keep: Some(3), ..none }), [(3, Reason::Size)]);
    assert_eq!(chosen(&listed, Retention { max_bytes: Some(0), ..none }).len(), 4);
    assert!(listed[0].sandbox.clone().destroy("pruned: test").is_ok() && busy.destroy("pruned: test").is_err());
    drop(running);
    assert!(project.verify_ledger().unwrap().findings.iter().all(|f| f.level < aido_evidence::Level::Fault));
}
