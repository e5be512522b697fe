//! A writer that is really killed.

use crate::{begin, close, given_project, kinds, other_process, sandbox, whole};
use aido_evidence::{Error, Facts, Run, Sandbox, Status, Stream};
use serde_json::{Value, json};
use std::fs;
use std::time::{Duration, Instant};

/// A run whose writer writes as fast as it can and was killed in the middle of it.
fn killed(sandbox: &Sandbox, after: Duration) -> Run {
    let mut child = other_process("crash::writer", sandbox.project());
    let patience = Instant::now() + Duration::from_secs(20);
    let run = loop {
        match sandbox.running().unwrap() {
            Some(run) => break run,
            None => std::thread::sleep(Duration::from_millis(1)),
        }
        assert!(Instant::now() < patience, "the writer never began");
    };
    std::thread::sleep(after);
    assert_eq!(run.status().unwrap(), Status::Running);
    assert!(close(&run).is_none(), "a living run is not closed");
    child.kill().unwrap();
    child.wait().unwrap();
    run
}

#[test]
#[ignore = "the other process of the tests in this file"]
fn writer() {
    let sandbox = given_project().sandbox("latest").unwrap();
    let mut recording = begin(&sandbox, u64::MAX).unwrap();
    for n in 0.. {
        recording.event("tick", json!({ "n": n })).unwrap();
        recording.output(Stream::Stdout, b"tick\n").unwrap();
    }
}

#[test]
fn a_killed_writer_leaves_a_run_that_is_interrupted_and_can_be_closed_once() {
    let (_dir, sandbox) = sandbox();
    let project = sandbox.project();
    let run = killed(&sandbox, Duration::from_millis(50));
    assert_eq!(run.status().unwrap(), Status::Interrupted);
    assert!(run.summary::<Value>().unwrap().is_none());
    let found = project.interrupted().unwrap();
    assert_eq!(found.iter().map(Run::id).collect::<Vec<_>>(), [run.id()]);

    let before = fs::read(run.folder().join("events.log")).unwrap();
    let sealed = run
        .close_interrupted(|r| {
            assert!(r.first.is_some() && r.first.as_ref().unwrap().1 <= r.last.as_ref().unwrap().1);
            assert!(r.stdout_bytes > 0 && r.broken.is_none());
            (json!({"interrupted": true, "chain_head": r.chain_head}), Facts::default())
        })
        .unwrap()
        .unwrap();
    let after = fs::read(run.folder().join("events.log")).unwrap();
    assert!(after.starts_with(&before));
    assert_eq!(kinds(&run).last().unwrap(), "interrupted");
    assert_eq!(run.status().unwrap(), Status::Sealed);
    assert_eq!(run.summary::<Value>().unwrap().unwrap()["chain_head"], json!(sealed.chain_head));
    assert!(project.interrupted().unwrap().is_empty());
    assert!(close(&run).is_none(), "closed once");
    assert!(whole(project.ledger().records().unwrap().unwrap()).iter().any(|r| r.kind == "run_interrupted"));
}

#[test]
fn a_record_torn_anywhere_is_mended_without_touching_what_is_before_it() {
    let (_dir, sandbox) = sandbox();
    let run = killed(&sandbox, Duration::from_millis(5));
    let path = run.folder().join("events.log");
    let whole = fs::read(&path).unwrap();
    let lines: Vec<usize> = whole.iter().enumerate().filter(|(_, b)| **b == b'\n').map(|(at, _)| at + 1).collect();
    let (start, end) = (lines[2], lines[3]);
    for cut in (start..end).step_by(7).chain([start, end - 1]) {
        fs::write(&path, &whole[..cut]).unwrap();
        let _ = fs::remove_file(run.folder().join("summary.json"));
        close(&run).unwrap();
        assert!(fs::read(&path).unwrap().starts_with(&whole[..cut]));
        let middle: &[&str] = match cut {
            _ if cut == start => &[],
            _ if cut == end - 1 => &["tick"],
            _ => &["torn"],
        };
        let expected = [&["begun", "key", "tick"], middle, &["key", "interrupted"]].concat();
        assert_eq!(kinds(&run), expected, "cut at {cut}");
    }
}

#[test]
fn many_who_close_the_same_run_close_it_once() {
    let (_dir, sandbox) = sandbox();
    let run = killed(&sandbox, Duration::from_millis(5));
    let closed: usize = std::thread::scope(|scope| {
        let all: Vec<_> = (0..8).map(|_| scope.spawn(|| close(&run).is_some() as usize)).collect();
        all.into_iter().map(|one| one.join().unwrap()).sum()
    });
    assert_eq!(closed, 1);
    assert_eq!(kinds(&run).iter().filter(|k| *k == "interrupted").count(), 1);
}

#[test]
fn a_sandbox_in_use_is_not_destroyed() {
    let (_dir, sandbox) = sandbox();
    let recording = begin(&sandbox, 0).unwrap();
    let refused = sandbox.clone().destroy("test").unwrap_err();
    assert!(matches!(refused, Error::Busy { .. }));
    assert!(refused.to_string().contains(recording.id().as_str()));
    drop(recording);
    sandbox.destroy("test").unwrap();
}
