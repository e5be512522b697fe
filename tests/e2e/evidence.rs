//! What a run leaves: complete, exact, chained, and readable by others.

use crate::chain::{check, kinds};
use crate::host::{assert_gone, marker};
use crate::output::find;
use crate::project::Project;
use serde_json::Value;
use std::fs;

#[test]
fn a_run_leaves_everything_that_is_promised() {
    let p = Project::with(&[("data.txt", "abc"), ("sandbox.yaml", "name: kept\ninputs: [data.txt]\n")]);
    p.sh("echo out; echo err >&2; echo result > $AIDO_OUTPUTS/r; exit 4").code(4);
    for name in ["stdout.log", "stderr.log", "order.log", "summary.json", "events.log", "plan.json"] {
        assert!(p.last_run().join(name).is_file(), "{name} is missing");
    }
    assert!(p.last_sandbox().join("sandbox.yaml").is_file());
    let ignore = p.read(".aido/.gitignore");
    assert!(ignore.lines().any(|l| l.trim() == "*"), "{ignore:?}");
    let summary = p.summary();
    assert!(find(&summary, "version").is_some_and(Value::is_u64), "a stored format has a version: {summary}");
    assert_eq!(find(&summary, "code").unwrap(), 4);
    assert!(find(&summary, "wall_ms").is_some_and(Value::is_u64), "{summary}");
    // The SHA-256 of "abc": the input is tied to the run by what it was.
    assert!(
        summary.to_string().contains("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
        "{summary}"
    );
    // And the SHA-256 of what it wrote, "out" and a line end.
    let written = &summary["output"]["stdout"]["digest"];
    assert_eq!(written, "sha256:54034ac5c6e9ea95734ec2b729fd6d62abf64af34a9f9ce5d466cb788191a73d");
    for control in ["files", "read-only", "network", "privileges", "syscalls", "deadline"] {
        let standing = find(&summary, control).unwrap_or_else(|| panic!("{control} is not recorded: {summary}"));
        assert!(standing.to_string().contains("in-force"), "{control}: {standing}");
    }
    let plan: Value = serde_json::from_slice(&p.evidence("plan.json")).unwrap();
    assert_eq!((&plan["version"], &plan["name"]), (&Value::from(5), &Value::from("kept")));
}

#[test]
fn events_are_chained_and_in_order() {
    let p = Project::new();
    p.sh("echo x; exit 1").code(1);
    let records = check(&p.evidence("events.log")).unwrap();
    let kinds = kinds(&records);
    let place = |kind: &str| kinds.iter().position(|k| *k == kind).unwrap_or_else(|| panic!("no {kind} in {kinds:?}"));
    assert_eq!(place("begun"), 0);
    assert!(place("enforced") < place("started") && place("started") < place("ended"), "{kinds:?}");
    assert!(records.windows(2).all(|w| w[0]["mono_ms"].as_u64() <= w[1]["mono_ms"].as_u64()));
}

#[test]
fn our_own_reader_finds_every_kind_of_edit() {
    let p = Project::new();
    p.sh("true").ok();
    let whole = p.evidence("events.log");
    check(&whole).unwrap();
    let lines: Vec<&[u8]> = whole.split_inclusive(|b| *b == b'\n').collect();
    assert!(lines.len() > 3);
    let cut_inside = [&lines[..1], &lines[2..]].concat().concat();
    let swapped = [&lines[..1], &[lines[2], lines[1]], &lines[3..]].concat().concat();
    let doubled = [&lines[..2], &lines[1..]].concat().concat();
    let mut flipped = whole.clone();
    flipped[lines[0].len() + 30] ^= 1;
    for (what, bytes) in [("cut", cut_inside), ("swapped", swapped), ("doubled", doubled), ("flipped", flipped)] {
        assert!(check(&bytes).is_err(), "{what} was not found");
    }
}

#[test]
fn the_ledger_tells_of_every_sandbox_and_run_and_survives_their_removal() {
    let p = Project::new();
    p.sh("true").ok();
    let sandbox = p.aido(["sandbox", "up", "--quiet"]).word();
    p.aido(["run", "--quiet", "--sandbox", &sandbox, "--", "true"]).ok();
    p.aido(["sandbox", "destroy", &sandbox]).ok();
    let records = check(&fs::read(p.path().join(".aido/ledger.jsonl")).unwrap()).unwrap();
    let kinds = kinds(&records);
    assert_eq!(kinds.iter().filter(|k| **k == "sandbox_created").count(), 2, "{kinds:?}");
    assert_eq!(kinds.iter().filter(|k| **k == "run_begun").count(), 2, "{kinds:?}");
    assert!(kinds.iter().any(|k| k.contains("destroyed") || k.contains("removed")), "{kinds:?}");
    assert!(!p.path().join(".aido/sandboxes").join(&sandbox).exists());
}

#[test]
fn the_task_cannot_write_to_its_own_record() {
    let p = Project::with(&[("sandbox.yaml", "inputs: []\n")]);
    let script =
        "ls -A /workspace; printf '{\"v\":1,\"seq\":0}\\n'; find / -name events.log -o -name .aido 2>/dev/null; true";
    let out = p.sh(script);
    assert!(!out.text().contains("events.log") && !out.text().contains(".aido"), "{out}");
    check(&p.evidence("events.log")).unwrap();
}

#[test]
fn logs_show_what_was_written_live() {
    let p = Project::new();
    let mark = marker();
    let mut running = p.start([
        "run",
        "--quiet",
        "--",
        "sh",
        "-c",
        &format!("echo first; sleep 1; echo second; echo bad >&2; : {mark}"),
    ]);
    running.wait_for("first");
    // On the disk while the task still runs.
    crate::host::wait_for("the live log", || (p.evidence("stdout.log") == b"first\n").then_some(()));
    p.aido(["logs"]).ok().stdout("first\n");
    p.aido(["logs", "--follow"]).ok().stdout("first\nsecond\n");
    running.end().ok();
    p.aido(["logs", "--stderr"]).ok().stdout("bad\n");
    assert_gone(&mark);
}

#[test]
fn logs_of_a_named_run_events_and_json() {
    let p = Project::new();
    p.sh("echo one").ok();
    let first = fs::read_link(p.last_run()).unwrap().display().to_string();
    p.sh("echo two").ok();
    p.aido(["logs", &first]).ok().stdout("one\n");
    p.aido(["logs", &first[..6]]).ok().stdout("one\n");
    p.aido(["logs", "latest"]).ok().stdout("two\n");
    p.aido(["logs", "--events"]).ok().prints("started");
    for line in p.aido(["logs", "--events", "--json"]).ok().text().lines() {
        serde_json::from_str::<Value>(line).unwrap_or_else(|e| panic!("{e}: {line}"));
    }
    p.aido(["logs", "rfffffffffff"]).refused(&["rfffffffffff"]);
}

#[test]
fn a_hostile_log_does_not_steer_a_reader() {
    let p = Project::new();
    p.sh(r"printf '\033]0;owned\007\033[2Jhello\r\n'").ok();
    assert!(p.evidence("stdout.log").contains(&0x1b), "kept as it was");
    let shown = p.aido(["show"]).ok().text();
    assert!(!shown.contains('\x1b'), "{shown:?}");
}

#[test]
fn runs_and_show_tell_the_story() {
    let p = Project::new();
    p.sh("exit 0").ok();
    p.sh("exit 9").code(9);
    let out = p.aido(["runs"]);
    assert!(out.ok().text().lines().count() >= 2, "{out}");
    assert_eq!(p.aido(["runs", "-n", "1"]).ok().text().lines().count(), 2);
    let listed = p.aido(["runs", "--json"]).ok().json();
    let newest = fs::read_link(p.last_run()).unwrap().display().to_string();
    assert!(listed.to_string().contains(&newest), "{listed}");
    let shown = p.aido(["show", "--json"]).ok().json();
    assert_eq!(find(&shown, "code").unwrap(), 9);
    p.aido(["show"]).ok().prints("9");
    assert_eq!(p.aido(["show", "latest", "--json"]).ok().json(), shown);
}

#[test]
fn an_edited_event_does_not_break_the_commands_that_read() {
    let p = Project::new();
    p.sh("echo x").ok();
    let file = p.last_run().join("events.log");
    let text = fs::read_to_string(&file).unwrap().replacen("started", "sterted", 1);
    fs::write(&file, text).unwrap();
    let out = p.aido(["logs", "--events"]);
    assert_ne!(out.code, Some(0), "the edit went unnoticed{out}");
    p.aido(["logs"]).ok().stdout("x\n");
}
