//! What a run's writer keeps, and what it refuses to lose silently.

use crate::{begin, kinds, pointed, sandbox, seal};
use aido_evidence::{Captured, Error, Facts, Status, Stream, sha256_hex};
use serde_json::{Value, json};
use std::fs;

#[test]
fn a_run_is_recorded_and_read_back() {
    let (_dir, sandbox) = sandbox();
    let mut recording = begin(&sandbox, 1000).unwrap();
    let run = sandbox.project().run("latest").unwrap();
    assert_eq!(run.id(), recording.id());
    assert_eq!(run.status().unwrap(), Status::Running);
    assert!(sandbox.running().unwrap().is_some());
    let plan = b"{\"version\":1}";
    assert_eq!(recording.plan(plan).unwrap(), format!("sha256:{}", sha256_hex(plan)));
    recording.event("started", json!({"pid": 7})).unwrap();
    let head = recording.chain_head().unwrap();
    let sealed = seal(recording, &json!({"version": 1, "chain_head": head}));
    assert_eq!(sealed.chain_head, head);
    assert_eq!(run.status().unwrap(), Status::Sealed);
    assert_eq!(run.summary::<Value>().unwrap().unwrap()["chain_head"], json!(head));
    assert_eq!(run.plan().unwrap().unwrap(), plan);
    assert_eq!(kinds(&run), ["begun", "key", "plan", "started"]);
    let begun = run.begun().unwrap();
    assert_eq!(begun.data["run"], json!(run.id()));
    assert_eq!(begun.data["sandbox"], json!(sandbox.id()));
    assert_eq!(sealed.summary_sha256, sha256_hex(&fs::read(run.folder().join("summary.json")).unwrap()));
    assert_eq!(pointed(&sandbox.folder().join("runs/latest")), run.id().as_str());
    assert!(sandbox.project().interrupted().unwrap().is_empty());
    assert!(fs::read_dir(sandbox.project().folder().join("unsealed")).unwrap().next().is_none());
}

#[test]
fn output_is_kept_to_the_byte_and_to_the_limit() {
    let (_dir, sandbox) = sandbox();
    let mut recording = begin(&sandbox, 300).unwrap();
    let bytes: Vec<u8> = (0..=255).collect();
    let all = recording.output(Stream::Stdout, &bytes).unwrap();
    assert_eq!(all, Captured { kept: 256, dropped: 0 });
    assert_eq!(recording.output(Stream::Stdout, &bytes).unwrap(), Captured { kept: 44, dropped: 212 });
    assert_eq!(recording.output(Stream::Stdout, b"x").unwrap(), Captured { kept: 0, dropped: 1 });
    assert_eq!(recording.output(Stream::Stderr, b"\x1b[31m\n").unwrap(), Captured { kept: 6, dropped: 0 });
    assert_eq!(recording.captured(Stream::Stdout), Captured { kept: 300, dropped: 213 });
    let run = sandbox.project().run("latest").unwrap();
    let twice = [bytes.clone(), bytes].concat();
    assert_eq!(fs::read(run.output_path(Stream::Stdout)).unwrap(), twice[..300]);
    assert_eq!(fs::read(run.output_path(Stream::Stderr)).unwrap(), b"\x1b[31m\n");
}

#[test]
fn nothing_is_kept_under_a_limit_of_nothing() {
    let (_dir, sandbox) = sandbox();
    let mut recording = begin(&sandbox, 0).unwrap();
    assert_eq!(recording.output(Stream::Stdout, b"abc").unwrap(), Captured { kept: 0, dropped: 3 });
    assert_eq!(fs::read(recording.folder().join("stdout.log")).unwrap(), b"");
}

#[test]
fn the_name_that_the_chain_uses_is_refused() {
    let (_dir, sandbox) = sandbox();
    let mut recording = begin(&sandbox, 0).unwrap();
    assert!(matches!(recording.event("torn", json!({})), Err(Error::Reserved(_))));
    seal(recording, &json!({}));
    assert_eq!(kinds(&sandbox.project().run("latest").unwrap()), ["begun", "key"]);
}

/// `/dev/full` cannot stand in for a log that is made anew, so the disk is made full by a limit on
/// the size of files: a child shell sets it, for itself only.
#[test]
fn a_full_disk_tears_a_record_and_the_next_run_of_the_writer_mends_it() {
    let (_dir, sandbox) = sandbox();
    let exe = std::env::current_exe().unwrap();
    let status = std::process::Command::new("sh")
        // 4 KiB for each file; the signal is ignored, so that write(2) comes back short, then EFBIG.
        .args(["-c", "ulimit -f 8; trap '' XFSZ; exec \"$0\" \"$@\""])
        .arg(exe)
        .args(["--exact", "recording::writer_with_a_full_disk", "--ignored", "--nocapture"])
        .env("AIDO_TEST_PROJECT", sandbox.project().folder().parent().unwrap())
        .stdout(std::process::Stdio::null())
        .status()
        .unwrap();
    assert!(status.success());
    let run = sandbox.project().run("latest").unwrap();
    assert_eq!(run.status().unwrap(), Status::Interrupted);
    let closed = run
        .close_interrupted(|r| (json!({"torn": r.torn_bytes, "broken": r.broken.is_some()}), Facts::default()))
        .unwrap();
    assert!(closed.is_some());
    let summary: Value = run.summary().unwrap().unwrap();
    assert_eq!(summary["broken"], false);
    assert!(summary["torn"].as_u64().unwrap() > 0);
    let kinds = kinds(&run);
    assert_eq!(kinds[kinds.len() - 3..], ["torn", "key", "interrupted"]);
    let out = fs::read(run.output_path(Stream::Stdout)).unwrap();
    assert_eq!(out, vec![b'x'; 4096], "kept output is a beginning without a hole");
}

#[test]
#[ignore = "the other process of a_full_disk_tears_a_record_and_the_next_run_of_the_writer_mends_it"]
fn writer_with_a_full_disk() {
    let sandbox = crate::given_project().sandbox("latest").unwrap();
    let mut recording = begin(&sandbox, 1 << 20).unwrap();
    let failed = (0..100).find(|_| recording.event("e", json!({"x": "y".repeat(100)})).is_err());
    assert!(failed.is_some(), "the disk was never full");
    assert!(recording.event("e", json!({})).is_err(), "still full, still an error");
    assert!(recording.output(Stream::Stdout, &[b'x'; 5000]).is_err());
    let later = recording.output(Stream::Stdout, b"z").unwrap();
    assert_eq!(later, Captured { kept: 0, dropped: 1 });
    assert_eq!(recording.captured(Stream::Stdout), Captured { kept: 4096, dropped: 905 });
}
