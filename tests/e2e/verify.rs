//! `aido verify`, `export` and `prune`: what was changed is found, and strangers can check what they are given.

use crate::output::Output;
use crate::project::Project;
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The real folder of the last run.
fn last_run(p: &Project) -> PathBuf {
    p.last_run().canonicalize().unwrap()
}

#[track_caller]
fn ran(p: &Project) -> PathBuf {
    p.sh("echo out; echo err >&2; mkdir $AIDO_OUTPUTS/deep; echo r > $AIDO_OUTPUTS/deep/r").ok();
    last_run(p)
}

/// Not verified, and why.
#[track_caller]
fn not_verified(out: &Output, words: &[&str]) {
    out.code(1).prints("not verified");
    words.iter().for_each(|word| {
        out.prints(word);
    });
}

fn public_key(p: &Project) -> PathBuf {
    let keys = fs::read_dir(p.home().join(".local/share/aido/keys")).unwrap().map(|entry| entry.unwrap().path());
    keys.filter(|path| path.to_string_lossy().ends_with(".pub.pem"))
        .max_by_key(|path| path.metadata().unwrap().modified().unwrap())
        .unwrap()
}

fn copy(from: &Path, to: &Path) {
    assert!(Command::new("cp").arg("-a").args([from, to]).status().unwrap().success());
}

#[test]
fn untouched_runs_verify_wherever_they_are_named_from() {
    let p = Project::new();
    let first = ran(&p);
    ran(&p);
    let id = first.file_name().unwrap().to_str().unwrap();
    p.aido(["verify"]).ok().prints("verified").prints("ledger");
    p.aido(["verify", id]).ok().prints(id);
    p.aido(["verify", &id[..8]]).ok().prints(id);
    p.aido(["verify", "--all", "--strict"]).ok().prints(id);
    p.aido(["verify", "--quiet", "--all"]).ok().stdout("");
    for folder in [&first, &first.join("../.."), &p.path(), &p.path().join(".aido")] {
        p.aido(["verify".as_ref(), folder.as_os_str()]).ok().prints(id);
    }
    let json = p.aido(["verify", "--all", "--json"]).ok().json();
    assert_eq!((&json["version"], &json["verified"]), (&Value::from(1), &Value::from(true)));
    assert_eq!(json["runs"].as_array().unwrap().len(), 2);
    assert_eq!(json["runs"][0]["state"], "sealed");
    assert_eq!(json["ledger"]["anchored"], true);
    p.aido(["verify", "nothing-here"]).refused(&["nothing-here"]);
    p.aido(["verify", "/dev/null"]).refused(&["plain file"]);
}

#[test]
fn tampering_is_found_and_what_stands_is_said() {
    let p = Project::new();
    let run = ran(&p);
    let edits: [(&str, &str, &str, &str); 5] = [
        ("events.log", "started", "sterted", "events.log, record "),
        ("summary.json", "\"exit_code\": 0", "\"exit_code\": 1", "summary.json: it is not what was sealed"),
        ("stdout.log", "out", "ouT", "stdout.log"),
        ("plan.json", "workspace", "workSpace", "plan.json: it is not what was sealed"),
        ("../../outputs/deep/r", "r", "R", "outputs/deep/r: it is not what was sealed"),
    ];
    for (name, from, to, said) in edits {
        let path = run.join(name);
        let honest = fs::read_to_string(&path).unwrap();
        fs::write(&path, honest.replacen(from, to, 1)).unwrap();
        let out = p.aido(["verify"]);
        not_verified(&out, &[said, "as sealed:"]);
        fs::write(&path, honest).unwrap();
    }
    // Without the seal the checkpoints still say something.
    fs::rename(run.join("seal.json"), p.path().join("seal")).unwrap();
    not_verified(&p.aido(["verify"]), &["seal.json", "events.log: records 0 to ", "by the checkpoint"]);
    fs::rename(p.path().join("seal"), run.join("seal.json")).unwrap();
    p.aido(["verify"]).ok();
    // The names that a task gives its files do not drive the terminal of who verifies.
    fs::write(run.join("../../outputs/\u{1b}]0;owned\u{7}"), "").unwrap();
    let out = p.aido(["verify"]);
    not_verified(&out, &["\\x1b]0;owned"]);
    assert!(!out.text().contains('\u{1b}'));
}

#[test]
fn runs_in_the_place_of_others_and_other_ledgers_are_found() {
    let p = Project::new();
    let (a, b) = (ran(&p), ran(&p));
    let spare = p.path().join("spare");
    for (from, to) in [(&a, &spare), (&b, &a), (&spare, &b)] {
        fs::rename(from, to).unwrap();
    }
    not_verified(&p.aido(["verify", "--all"]), &["in the place of"]);
    for (from, to) in [(&a, &spare), (&b, &a), (&spare, &b)] {
        fs::rename(from, to).unwrap();
    }
    p.aido(["verify", "--all"]).ok();
    let ledger = p.path().join(".aido/ledger.jsonl");
    let honest = fs::read_to_string(&ledger).unwrap();
    let lines: Vec<&str> = honest.split_inclusive('\n').collect();
    fs::write(&ledger, lines[..lines.len() - 1].concat()).unwrap();
    not_verified(&p.aido(["verify"]), &["its end is missing"]);
    fs::write(&ledger, &honest).unwrap();
    fs::remove_dir_all(a.join("../..")).unwrap();
    not_verified(&p.aido(["verify"]), &["is gone, and it does not say that it was destroyed"]);
    // All of it replaced by what another project has.
    let other = Project::new();
    ran(&other);
    fs::remove_dir_all(p.path().join(".aido")).unwrap();
    copy(&other.path().join(".aido"), &p.path().join(".aido"));
    not_verified(&p.aido(["verify"]), &["another one", "a key that you do not know"]);
}

#[test]
fn evidence_that_was_thrown_away_leaves_a_warning() {
    let p = Project::new();
    ran(&p);
    fs::remove_dir_all(p.path().join(".aido")).unwrap();
    ran(&p);
    p.aido(["verify"]).ok().prints("warning").prints("the ledger before it");
    p.aido(["verify", "--strict"]).code(1).prints("--strict");
}

#[test]
fn an_interrupted_run_verifies_as_such() {
    let p = Project::new();
    let mut running = p.start(["run", "--quiet", "--", "sh", "-c", "echo first; sleep 60"]);
    running.wait_for("first");
    p.aido(["verify"]).ok().prints("still runs").prints("verified so far");
    p.aido(["export"]).code(1).says("still runs");
    let events = p.evidence("events.log");
    let supervised = events.split(|b| *b == b'\n').filter_map(|line| serde_json::from_slice::<Value>(line).ok());
    let pid = supervised.filter(|e| e["type"] == "supervised").find_map(|e| e["data"]["pid"].as_i64()).unwrap();
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid as i32), nix::sys::signal::Signal::SIGKILL).unwrap();
    running.end();
    p.aido(["verify", "--all"]).ok().prints("interrupted").prints("verified");
}

#[test]
fn a_stranger_verifies_a_bundle_with_nothing_but_the_key() {
    let p = Project::new();
    let run = ran(&p);
    let id = run.file_name().unwrap().to_str().unwrap().to_owned();
    p.aido(["export"]).ok();
    let bundle = p.path().join(format!("{id}.aido.tar.zst"));
    p.aido(["export"]).refused(&["is there already", "--force"]);
    p.aido(["export", "--force", "--quiet"]).ok();
    let piped = p.aido(["export", "-o", "-", "--quiet"]).ok().stdout.clone();
    assert_eq!(piped, fs::read(&bundle).unwrap(), "the same run gives the same bytes");

    let stranger = Project::new();
    let key = stranger.path().join("key.pem");
    fs::copy(public_key(&p), &key).unwrap();
    let verify = |more: &[&str]| {
        let bundle = bundle.to_str().unwrap().to_owned();
        stranger.aido(["verify", &bundle].iter().chain(more).copied().collect::<Vec<_>>())
    };
    not_verified(&verify(&[]), &["consistent, but signed by a key you do not know", "pass --key"]);
    verify(&["--key", "key.pem"]).ok().prints(&id).prints("verified");
    assert!(!stranger.path().join(".aido").exists() && !stranger.home().join(".local").exists(), "it only looks");
    let keyid = public_key(&p).file_name().unwrap().to_string_lossy().replace(".pub.pem", "");
    verify(&["--key", &keyid]).ok();
    // Somebody else's key, and no key at all.
    ran(&stranger);
    let wrong = public_key(&stranger);
    not_verified(&verify(&["--key", wrong.to_str().unwrap()]), &["a key you do not know"]);
    not_verified(&p.aido(["verify", "--key", wrong.to_str().unwrap()]), &["a key that you do not know"]);
    stranger.write("bad.pem", "nothing");
    verify(&["--key", "bad.pem"]).refused(&["bad.pem"]);
    let private = wrong.to_string_lossy().replace(".pub.pem", ".pem");
    verify(&["--key", &private]).refused(&["private key"]);

    // On standard input, cut, and with a byte changed.
    let mut bytes = fs::read(&bundle).unwrap();
    stranger.write("cut", &bytes[..bytes.len() / 2]);
    not_verified(&stranger.aido(["verify", "cut", "--key", "key.pem"]), &["ends"]);
    let at = bytes.len() / 2;
    bytes[at] ^= 1;
    stranger.write("changed", &bytes);
    stranger.aido(["verify", "changed", "--key", "key.pem"]).code(1);
    stranger.aido(["verify", "key.pem"]).code(1).prints("no bundle");
}

#[test]
fn what_does_not_verify_is_not_handed_on_unless_it_is_asked_for() {
    let p = Project::new();
    let run = ran(&p);
    fs::write(run.join("stdout.log"), "other\n").unwrap();
    p.aido(["export", "-o", "x.zst"]).code(1).says("does not verify").says("stdout.log");
    let left = fs::read_dir(p.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect::<Vec<_>>();
    assert_eq!(left, [".aido"], "nothing half made stays");
    p.aido(["export", "-o", "x.zst", "--anyway"]).ok();
    not_verified(&p.aido(["verify", "x.zst"]), &["stdout.log"]);
}

#[test]
fn old_signatures_stay_good_after_the_key_was_rotated() {
    let p = Project::new();
    ran(&p);
    let old = public_key(&p);
    p.aido(["export", "-o", "old.zst"]).ok();
    p.aido(["key", "rotate"]).ok();
    ran(&p);
    p.aido(["verify", "--all"]).ok();
    p.aido(["verify", "old.zst", "--key", old.to_str().unwrap()]).ok();
    not_verified(&p.aido(["verify", "--key", old.to_str().unwrap()]), &["a key you do not know"]);
}

#[test]
fn a_sandbox_of_several_runs_keeps_the_outputs_of_the_last() {
    let p = Project::new();
    let sandbox = p.aido(["sandbox", "up", "--quiet"]).word();
    let task = ["run", "--quiet", "--", "sh", "-c", "date +%N > $AIDO_OUTPUTS/t"];
    p.aido(task).ok();
    let first = last_run(&p).file_name().unwrap().to_str().unwrap().to_owned();
    p.aido(task).ok();
    p.aido(["verify", "--all"]).ok().prints("no longer kept");
    p.aido(["export", &first, "-o", "first.zst"]).ok().says("not in it");
    p.aido(["verify", "first.zst"]).ok().prints("left out");
    p.aido(["verify", "first.zst", "--strict"]).code(1);
    p.aido(["sandbox", "destroy", &sandbox]).ok();
    p.aido(["verify"]).ok();
}

#[test]
fn prune_takes_what_is_over_and_the_ledger_remembers() {
    let p = Project::new();
    p.aido(["prune"]).code(125).says("--older-than");
    p.aido(["prune", "--keep", "1"]).ok();
    for _ in 0..3 {
        ran(&p);
    }
    let up = p.aido(["sandbox", "up", "--quiet"]).word();
    p.aido(["run", "--quiet", "--sandbox", &up, "--", "true"]).ok();
    let mut running = p.start(["run", "--quiet", "--sandbox", &up, "--", "sh", "-c", "echo first; sleep 60"]);
    running.wait_for("first");
    let count = || p.aido(["sandbox", "list", "--json"]).ok().json().as_array().unwrap().len();
    p.aido(["prune", "--older-than", "1h"]).ok();
    assert_eq!(count(), 4, "nothing is so old");
    let dry = p.aido(["prune", "--keep", "1", "--dry-run", "--json"]).ok().json();
    assert_eq!((dry["sandboxes"].as_array().unwrap().len(), count()), (2, 4));
    let said = p.aido(["prune", "--keep", "1", "--json"]).ok().json();
    assert!(said["freed"].as_u64().unwrap() > 0 && said["sandboxes"] == dry["sandboxes"], "{said}");
    assert_eq!(count(), 2);
    p.aido(["prune", "--max-size", "0"]).ok().says("removed sandbox");
    assert_eq!(count(), 1, "one that is open, and in which something runs, stays");
    assert!(p.read(".aido/ledger.jsonl").contains("pruned: not among the newest 1"));
    p.aido(["verify", "--all"]).ok();
    running.signal(nix::sys::signal::Signal::SIGINT);
    running.end();
}
