//! Every way to tamper with a chained file is found, and what comes before it stays readable.

use crate::{begin, close, sandbox, seal};
use aido_evidence::{Broken, Record, Run, sha256_hex};
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use serde_json::json;
use std::fs;
use std::path::PathBuf;

/// A finished run with the events `e2`…`e10` after `begun` and `key`.
fn run() -> (tempfile::TempDir, Run, PathBuf) {
    let (dir, sandbox) = sandbox();
    let mut recording = begin(&sandbox, 100).unwrap();
    for n in 2..=10 {
        recording.event(&format!("e{n}"), json!({"n": n, "text": "line\nline"})).unwrap();
    }
    seal(recording, &json!({}));
    let run = sandbox.runs().unwrap().remove(0);
    let path = run.folder().join("events.log");
    (dir, run, path)
}

fn read(run: &Run) -> (Vec<Record>, Option<Broken>) {
    let mut good = Vec::new();
    let mut events = run.events().unwrap();
    for event in &mut events {
        match event {
            Ok(event) => good.push(event),
            Err(broken) => {
                assert!(events.next().is_none(), "nothing follows a broken record");
                return (good, Some(broken));
            }
        }
    }
    (good, None)
}

/// Rewrites the log's lines and says where it breaks.
fn tampered(change: impl FnOnce(&mut Vec<String>)) -> (usize, Option<Broken>) {
    let (_dir, run, path) = run();
    let mut lines: Vec<String> = fs::read_to_string(&path).unwrap().lines().map(str::to_owned).collect();
    assert_eq!(lines.len(), 11);
    change(&mut lines);
    fs::write(&path, lines.join("\n") + "\n").unwrap();
    let (good, broken) = read(&run);
    (good.len(), broken)
}

/// A line with its hash made right again, as somebody who knows the format would.
fn rehashed(line: &str) -> String {
    let covered = &line[..line.len() - 75];
    format!("{covered},\"hash\":\"{}\"}}", sha256_hex(covered.as_bytes()))
}

#[test]
fn an_untouched_log_holds() {
    let (good, broken) = tampered(|_| {});
    assert_eq!((good, broken), (11, None));
}

#[test]
fn the_documented_rule_is_enough_to_check_it() {
    let (_dir, _run, path) = run();
    let mut prev = "0".repeat(64);
    for (n, line) in fs::read_to_string(path).unwrap().lines().enumerate() {
        let (covered, hash) = line.split_at(line.len() - 75);
        let hash = &hash[",\"hash\":\"".len()..][..64];
        assert_eq!(sha256_hex(covered.as_bytes()), hash);
        assert!(line.starts_with(&format!("{{\"v\":1,\"seq\":{n},\"time\":\"")), "{line}");
        assert!(covered.ends_with(&format!(",\"prev\":\"{prev}\"")), "{line}");
        prev = hash.to_owned();
    }
}

#[test]
fn an_edit_is_found() {
    let (good, broken) = tampered(|lines| lines[4] = lines[4].replace("\"n\":4", "\"n\":5"));
    let broken = broken.unwrap();
    assert_eq!((good, broken.line, broken.seq, broken.torn_end), (4, 5, 4, false));
    assert!(broken.why.contains("changed"), "{broken}");
}

#[test]
fn an_edit_with_its_hash_mended_is_found_at_the_next_record() {
    let (good, broken) = tampered(|lines| lines[4] = rehashed(&lines[4].replace("\"n\":4", "\"n\":5")));
    assert_eq!((good, broken.unwrap().line), (5, 6));
}

#[test]
fn a_missing_a_doubled_and_a_moved_record_are_found() {
    let (good, broken) = tampered(|lines| drop(lines.remove(3)));
    assert_eq!((good, broken.unwrap().line), (3, 4));
    let (good, broken) = tampered(|lines| lines.insert(3, lines[2].clone()));
    assert_eq!((good, broken.unwrap().line), (3, 4));
    let (good, broken) = tampered(|lines| lines.swap(5, 6));
    assert_eq!((good, broken.unwrap().line), (5, 6));
    let (good, broken) = tampered(|lines| drop(lines.remove(0)));
    assert_eq!((good, broken.unwrap().line), (0, 1));
}

#[test]
fn foreign_lines_are_found_wherever_they_stand() {
    for at in [0, 5, 11] {
        for foreign in ["", "{}", "not json", "\u{1b}[2J"] {
            let (good, broken) = tampered(|lines| lines.insert(at, foreign.to_owned()));
            let broken = broken.unwrap();
            assert_eq!((good, broken.line, broken.torn_end), (at, at as u64 + 1, at == 11), "{foreign:?}");
        }
    }
}

#[test]
fn a_cut_inside_the_last_record_is_a_torn_end() {
    let (good, broken) = tampered(|lines| {
        let last = lines.last_mut().unwrap();
        last.truncate(last.len() / 2);
    });
    let broken = broken.unwrap();
    assert_eq!((good, broken.line, broken.torn_end), (10, 11, true));
}

#[test]
fn a_cut_between_records_shows_against_the_ledger() {
    let (_dir, run, path) = run();
    let text = fs::read_to_string(&path).unwrap();
    let keep = text.lines().take(10).map(|l| l.len() + 1).sum();
    fs::write(&path, &text[..keep]).unwrap();
    let (good, broken) = read(&run);
    assert_eq!((good.len(), broken), (10, None), "a shorter chain is a chain");
    let ledger = crate::whole(run.sandbox().project().ledger().records().unwrap().unwrap());
    let sealed = ledger.iter().find(|r| r.kind == "run_sealed").unwrap();
    assert_ne!(sealed.data["chain_head"], json!(good.last().unwrap().hash));
}

#[test]
fn a_torn_record_needs_the_torn_bytes_and_the_torn_bytes_need_it() {
    let torn = |run: &Run, path: &PathBuf| {
        // Write half a record as a dying writer would, and let the next one mend it.
        let mut bytes = fs::read(path).unwrap();
        fs::remove_file(run.folder().join("summary.json")).unwrap();
        bytes.extend_from_slice(b"{\"v\":1,\"seq\":11,\"time");
        fs::write(path, &bytes).unwrap();
        close(run).unwrap();
        fs::read_to_string(path).unwrap()
    };
    let (_dir, run, path) = run();
    let mended = torn(&run, &path);
    let (good, broken) = read(&run);
    assert_eq!(broken, None);
    assert_eq!(good[11].kind, "torn");
    assert_eq!(good[11].data["bytes"], 21);
    assert_eq!(good.len(), 14);

    fs::write(&path, mended.replace("{\"v\":1,\"seq\":11,\"time\n", "")).unwrap();
    let (good, broken) = read(&run);
    assert_eq!(good.len(), 11);
    assert!(broken.unwrap().why.contains("torn end that is not there"));

    fs::write(&path, mended.replace("{\"v\":1,\"seq\":11,\"time\n", "{\"v\":1,\"seq\":11,\"tame\n")).unwrap();
    assert_eq!(read(&run).0.len(), 11, "other bytes than those that were owned up to");

    let lines: Vec<&str> = mended.lines().filter(|l| !l.contains("\"torn\"")).collect();
    fs::write(&path, lines.join("\n") + "\n").unwrap();
    assert_eq!(read(&run).0.len(), 11);
}

#[test]
fn hostile_files_cost_little_memory_and_end() {
    let (_dir, run, path) = run();
    // A terabyte without a newline, nothing of it on the disk.
    let file = fs::File::create(&path).unwrap();
    file.set_len(1 << 40).unwrap();
    let (good, broken) = read(&run);
    assert_eq!(good.len(), 0);
    assert!(broken.unwrap().why.contains("longer"));
    assert!(run.begun().is_none());
    fs::write(&path, "\n".repeat(9 << 20)).unwrap();
    let (good, broken) = read(&run);
    assert!(good.is_empty() && !broken.unwrap().torn_end);
    let file = fs::File::create(run.folder().join("summary.json")).unwrap();
    file.set_len(1 << 40).unwrap();
    assert!(run.summary::<serde_json::Value>().unwrap_err().to_string().contains("longer"));
}

/// Tries many changes of one log: whatever is believed was written, in this place.
fn changed<S: Strategy>(strategy: S, change: impl Fn(&mut Vec<u8>, S::Value), holds: impl Fn(usize, Option<Broken>)) {
    let (_dir, run, path) = run();
    let honest = read(&run).0;
    let bytes = fs::read(&path).unwrap();
    let mut runner = TestRunner::new(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(200) });
    let tried = runner.run(&strategy, |value| {
        let mut other = bytes.clone();
        change(&mut other, value);
        fs::write(&path, &other).unwrap();
        let (good, broken) = read(&run);
        assert_eq!(&good[..], &honest[..good.len()]);
        holds(good.len(), broken);
        Ok(())
    });
    tried.unwrap();
}

#[test]
fn no_changed_byte_is_believed() {
    changed(
        (any::<prop::sample::Index>(), 1u8..),
        |bytes, (at, flip)| {
            let at = at.index(bytes.len());
            bytes[at] ^= flip;
        },
        |good, broken| assert!(broken.is_some() && good < 11),
    );
}

#[test]
fn a_cut_anywhere_leaves_a_true_prefix() {
    changed(
        any::<prop::sample::Index>(),
        |bytes, at| bytes.truncate(at.index(bytes.len())),
        |_, broken| assert!(broken.is_none_or(|b| b.torn_end)),
    );
}

#[test]
fn a_growing_file_is_read_on_from_the_last_good_record() {
    let (_dir, run, path) = run();
    let whole = fs::read(&path).unwrap();
    fs::write(&path, "").unwrap();
    let mut events = run.events().unwrap();
    let mut seen = Vec::new();
    for end in (0..whole.len()).step_by(61).chain([whole.len() - 1, whole.len()]) {
        fs::write(&path, &whole[..end]).unwrap();
        events.again().unwrap();
        for event in &mut events {
            match event {
                Ok(event) => seen.push(event.seq),
                Err(broken) => assert!(broken.torn_end, "{broken}"),
            }
        }
    }
    assert_eq!(seen, (0..11).collect::<Vec<u64>>());
}
