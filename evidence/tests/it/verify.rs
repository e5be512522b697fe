//! Every way to change what was signed is found, and what still stands is said.

use crate::{begin, close, project};
use aido_evidence::{
    Facts, FindingKind, Kind, Level, NewSandbox, Project, Report, Run, Sandbox, Stream, Trust, VerifiedState,
    sha256_hex, verify_bundle, verify_folder,
};
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use serde_json::json;
use std::fs;
use std::path::{Path, PathBuf};

const CONFIG: &[u8] = b"name: test\n";

pub(crate) fn new_sandbox(project: &Project, kind: Kind) -> Sandbox {
    let new = NewSandbox { name: "test", kind, ttl_ms: 60_000, config: Some(CONFIG), plan: None, backend: "linux" };
    project.new_sandbox(&new).unwrap()
}

/// The user's own keys.
pub(crate) fn trust(project: &Project) -> Trust {
    let ring = aido_evidence::Keyring::open(project.home().keys.as_ref().unwrap()).unwrap();
    ring.into_iter().flat_map(|ring| ring.keys().unwrap()).map(|known| known.key.id().to_owned()).collect()
}

/// A run with everything: plan, both logs, milestones, checkpoints, outputs.
pub(crate) fn sealed(sandbox: &Sandbox) -> Run {
    let mut recording = begin(sandbox, 1000).unwrap();
    recording.plan(b"{\"plan\":1}\n").unwrap();
    recording.checkpoint().unwrap();
    for n in 0..3 {
        recording.event("started", json!({"pid": n})).unwrap();
        recording.output(Stream::Stdout, b"out\n").unwrap();
        recording.output(Stream::Stderr, b"err\n").unwrap();
        recording.checkpoint().unwrap();
    }
    recording.event("outcome", json!({})).unwrap();
    let outputs = sandbox.outputs();
    fs::create_dir_all(outputs.join("deep")).unwrap();
    let mut facts = Facts::default();
    for (path, content) in [("a.txt", "a"), ("a-b", ""), ("deep/b.bin", "bb")] {
        fs::write(outputs.join(path), content).unwrap();
        facts.outputs.push((path.to_owned(), format!("sha256:{}", sha256_hex(content.as_bytes()))));
    }
    let head = recording.chain_head().unwrap();
    let id = recording.id().clone();
    recording.seal(&json!({"version": 3, "chain_head": head}), facts).unwrap().settle().unwrap();
    sandbox.runs().unwrap().into_iter().find(|run| *run.id() == id).unwrap()
}

/// A project with one such run.
pub(crate) fn one() -> (tempfile::TempDir, Project, Run, Trust) {
    let (dir, project) = project();
    let run = sealed(&new_sandbox(&project, Kind::Single));
    let trust = trust(&project);
    (dir, project, run, trust)
}

fn files(run: &Run) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = fs::read_dir(run.folder()).unwrap().map(|e| e.unwrap().path()).collect();
    files.push(run.sandbox().folder().join("sandbox.yaml"));
    files.extend(["a.txt", "a-b", "deep/b.bin"].map(|name| run.sandbox().outputs().join(name)));
    assert_eq!(files.len(), 11, "{files:?}");
    files
}

#[track_caller]
fn faults(report: &Report) -> Vec<FindingKind> {
    let faults = report.findings.iter().filter(|f| f.level == Level::Fault).map(|f| f.kind).collect::<Vec<_>>();
    assert_eq!(faults.is_empty(), report.verified, "{report:#?}");
    faults
}

#[test]
fn an_untouched_run_holds_and_everything_of_it_can_be_believed() {
    let (_dir, project, run, trust) = one();
    let report = run.verify(&trust).unwrap();
    assert_eq!((report.findings.as_slice(), report.verified, report.state), (&[][..], true, VerifiedState::Sealed));
    assert!(report.checkpoints >= 4 && report.signer.as_ref().unwrap().known, "{report:#?}");
    assert_eq!((report.files, report.trusted.len()), (11, 10), "all but the seal are subjects of it: {report:#?}");
    let ledger = project.verify_ledger().unwrap();
    assert!(ledger.verified && ledger.anchored && ledger.findings.is_empty(), "{ledger:#?}");
    assert_eq!(verify_folder(run.folder(), &trust).unwrap(), std::slice::from_ref(&report));
    assert_eq!(verify_folder(run.sandbox().folder(), &trust).unwrap(), [report]);
}

#[test]
fn every_changed_byte_of_every_file_is_found() {
    let (_dir, _project, run, trust) = one();
    for path in files(&run) {
        let honest = fs::read(&path).unwrap();
        for at in 0..honest.len() {
            let mut other = honest.clone();
            // Every kind of flip somewhere: case, digit, quote, newline.
            other[at] ^= [1, 2, 4, 8, 16, 32, 64, 128, 255][at % 9];
            fs::write(&path, &other).unwrap();
            let report = run.verify(&trust).unwrap();
            assert!(!report.verified, "byte {at} of {}: {report:#?}", path.display());
        }
        fs::write(&path, &honest).unwrap();
    }
    assert!(run.verify(&trust).unwrap().verified);
}

#[test]
fn random_edits_are_found() {
    let (_dir, _project, run, trust) = one();
    let files = files(&run);
    let honest: Vec<Vec<u8>> = files.iter().map(|path| fs::read(path).unwrap()).collect();
    let mut runner = TestRunner::new(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(300) });
    let edit = (0..files.len(), any::<prop::sample::Index>(), 0usize..40, prop::collection::vec(any::<u8>(), 0..40));
    let tried = runner.run(&edit, |(file, at, cut, put)| {
        let mut other = honest[file].clone();
        let at = at.index(other.len() + 1);
        other.splice(at..(at + cut).min(honest[file].len()), put);
        prop_assume!(other != honest[file]);
        fs::write(&files[file], &other).unwrap();
        let report = run.verify(&trust).unwrap();
        fs::write(&files[file], &honest[file]).unwrap();
        prop_assert!(!report.verified);
        Ok(())
    });
    tried.unwrap();
}

/// The file with its lines changed, and what is found then.
fn with_lines(run: &Run, trust: &Trust, change: impl FnOnce(&mut Vec<String>)) -> Report {
    let path = run.folder().join("events.log");
    let honest = fs::read_to_string(&path).unwrap();
    let mut lines: Vec<String> = honest.lines().map(str::to_owned).collect();
    change(&mut lines);
    fs::write(&path, lines.iter().map(|line| format!("{line}\n")).collect::<String>()).unwrap();
    let report = run.verify(trust).unwrap();
    fs::write(&path, honest).unwrap();
    report
}

#[test]
fn records_that_are_removed_doubled_moved_or_cut_off_are_found_with_what_stands() {
    let (_dir, _project, run, trust) = one();
    let count = run.events().unwrap().count();
    assert!(count > 12);
    for at in 0..count {
        let removed = with_lines(&run, &trust, |lines| drop(lines.remove(at)));
        let doubled = with_lines(&run, &trust, |lines| lines.insert(at, lines[at].clone()));
        let cut = with_lines(&run, &trust, |lines| lines.truncate(at));
        let swapped = with_lines(&run, &trust, |lines| {
            let other = (at + 1) % count;
            lines.swap(at, other);
        });
        for (what, report) in [("removed", removed), ("doubled", doubled), ("swapped", swapped), ("cut", cut)] {
            assert!(!report.verified, "{what} {at}: {report:#?}");
            let told = report.findings.iter().find(|f| f.file == "events.log").unwrap();
            assert!(told.level == Level::Fault, "{what} {at}: {told:?}");
            // The part before it stands as far as a checkpoint says so, and no further.
            let stands = report.trusted.iter().find(|t| t.file == "events.log");
            assert!(stands.is_none_or(|t| !t.whole), "{what} {at}: {stands:?}");
            if what == "cut" {
                assert_eq!(report.records, at as u64);
                assert_eq!(stands.is_some(), report.checkpoints > 0, "{report:#?}");
            }
            assert!(report.trusted.iter().any(|t| t.file == "plan.json" && t.whole), "the rest is as it was sealed");
        }
    }
}

#[test]
fn files_that_are_removed_or_added_are_found() {
    let (_dir, _project, run, trust) = one();
    for path in files(&run) {
        let honest = fs::read(&path).unwrap();
        fs::remove_file(&path).unwrap();
        assert!(!faults(&run.verify(&trust).unwrap()).is_empty(), "{} is gone", path.display());
        fs::write(&path, &honest).unwrap();
    }
    let outputs = run.sandbox().outputs();
    for path in [run.folder().join("more.log"), run.folder().join("outputs"), outputs.join("deep/c"), outputs.join("z")]
    {
        fs::write(&path, "x").unwrap();
        assert_eq!(faults(&run.verify(&trust).unwrap()), [FindingKind::Added], "{}", path.display());
        fs::remove_file(&path).unwrap();
        std::os::unix::fs::symlink("/etc/passwd", &path).unwrap();
        assert_eq!(faults(&run.verify(&trust).unwrap()), [FindingKind::Unreadable], "{}", path.display());
        fs::remove_file(&path).unwrap();
    }
    // What was signed and became a link is not followed, wherever it leads.
    let log = run.folder().join("stdout.log");
    fs::rename(&log, run.sandbox().folder().join("kept.log")).unwrap();
    std::os::unix::fs::symlink("../../kept.log", &log).unwrap();
    assert!(faults(&run.verify(&trust).unwrap()).contains(&FindingKind::Unreadable));
}

#[test]
fn parts_of_another_run_are_found() {
    let (_dir, project, run, trust) = one();
    let other = sealed(&new_sandbox(&project, Kind::Single));
    for name in ["seal.json", "events.log", "summary.json", "stdout.log"] {
        let path = run.folder().join(name);
        let honest = fs::read(&path).unwrap();
        let foreign = fs::read(other.folder().join(name)).unwrap();
        if foreign == honest {
            continue;
        }
        fs::write(&path, foreign).unwrap();
        let kinds = faults(&run.verify(&trust).unwrap());
        assert!(!kinds.is_empty(), "{name}");
        assert_eq!(kinds.contains(&FindingKind::Swapped), name != "summary.json", "{name}: {kinds:?}");
        fs::write(&path, honest).unwrap();
    }
    // The checkpoint of another run is none of this one, though the same key made it.
    let foreign = fs::read_to_string(other.folder().join("events.log")).unwrap();
    let sig = |text: &str| text.split("\"sig\":\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
    let report = with_lines(&run, &trust, |lines| {
        let text = lines.join("\n").replacen(&sig(&lines.join("\n")), &sig(&foreign), 1);
        let mut prev = "0".repeat(64);
        *lines = text
            .lines()
            .map(|line| {
                // Chained again, as somebody who knows the format would.
                let covered = &line[..line.len() - 75];
                let covered = format!("{}\"prev\":\"{prev}\"", covered.rsplit_once("\"prev\":").unwrap().0);
                prev = sha256_hex(covered.as_bytes());
                format!("{covered},\"hash\":\"{prev}\"}}")
            })
            .collect();
    });
    assert!(faults(&report).contains(&FindingKind::Signature), "{report:#?}");
}

#[test]
fn runs_and_sandboxes_in_the_place_of_others_are_found() {
    let (_dir, project, run, trust) = one();
    let other = sealed(&new_sandbox(&project, Kind::Single));
    let (a, b) = (run.folder().to_path_buf(), other.folder().to_path_buf());
    let spare = a.with_file_name("spare");
    fs::rename(&a, &spare).unwrap();
    fs::rename(&b, &a).unwrap();
    fs::rename(&spare, &b).unwrap();
    for run in project.runs().unwrap() {
        assert!(faults(&run.verify(&trust).unwrap()).contains(&FindingKind::Swapped));
    }
    assert!(!project.verify_ledger().unwrap().verified);
}

#[test]
fn a_key_that_nobody_vouches_for_is_said_and_nothing_else() {
    let (_dir, project, run, trust) = one();
    let report = run.verify(&Trust::default()).unwrap();
    assert_eq!(faults(&report), [FindingKind::UnknownKey]);
    assert!(report.only_the_key_is_unknown() && !report.signer.unwrap().known);
    // An old key stays good after a rotation.
    aido_evidence::Keyring::open(project.home().keys.as_ref().unwrap()).unwrap().unwrap().rotate().unwrap();
    let after = sealed(&new_sandbox(&project, Kind::Single));
    assert!(!after.verify(&trust).unwrap().verified, "the new key is not among the old ones");
    let both = self::trust(&project);
    assert!(after.verify(&both).unwrap().verified && run.verify(&both).unwrap().verified);
}

#[test]
fn a_run_that_was_interrupted_verifies_as_such_and_before_that_as_far_as_it_was_signed() {
    let (_dir, project) = project();
    let sandbox = new_sandbox(&project, Kind::Single);
    let mut recording = begin(&sandbox, 1000).unwrap();
    recording.plan(b"{}").unwrap();
    recording.output(Stream::Stdout, b"first").unwrap();
    recording.checkpoint().unwrap();
    let trust = trust(&project);
    let run = sandbox.runs().unwrap().remove(0);
    let running = run.verify(&trust).unwrap();
    assert_eq!((running.verified, running.state), (true, VerifiedState::Running), "{running:#?}");
    recording.output(Stream::Stdout, b" second").unwrap();
    drop(recording);
    let killed = run.verify(&trust).unwrap();
    assert_eq!((killed.state, faults(&killed)), (VerifiedState::Unsealed, vec![FindingKind::Unsealed]));
    let what = |report: &Report, file: &str| {
        report.trusted.iter().find(|t| t.file == file).map(|t| t.what.clone()).unwrap_or_default()
    };
    assert!(what(&killed, "events.log").starts_with("records 0 to "), "{killed:#?}");
    assert!(what(&killed, "stdout.log").starts_with("the first 5 bytes"), "{killed:#?}");
    fs::write(run.folder().join("stdout.log"), "fiXst second").unwrap();
    assert!(faults(&run.verify(&trust).unwrap()).contains(&FindingKind::Changed));
    fs::write(run.folder().join("stdout.log"), "first second").unwrap();
    close(&run).unwrap();
    let closed = run.verify(&trust).unwrap();
    assert_eq!((closed.verified, closed.state), (true, VerifiedState::Interrupted), "{closed:#?}");
    assert_eq!(closed.findings, [], "all that was on record was signed");
    assert!(project.verify_ledger().unwrap().verified);
}

#[test]
fn what_a_killed_writer_had_not_signed_is_named() {
    let (_dir, project) = project();
    for (signed, level) in [(true, Level::Note), (false, Level::Warning)] {
        let sandbox = new_sandbox(&project, Kind::Single);
        let mut recording = begin(&sandbox, 1000).unwrap();
        recording.event("one", json!({})).unwrap();
        if signed {
            recording.checkpoint().unwrap();
        }
        recording.event("two", json!({})).unwrap();
        drop(recording);
        let run = sandbox.runs().unwrap().remove(0);
        close(&run).unwrap();
        let closed = run.verify(&trust(&project)).unwrap();
        let told = closed.findings.iter().map(|f| (f.level, f.kind)).collect::<Vec<_>>();
        // A run signs its first records when it begins, or with its first checkpoint.
        assert!(told == [(level, FindingKind::Unsigned)] || (!signed && told[0].0 <= level), "{closed:#?}");
        assert!(closed.verified);
    }
}

#[test]
fn outputs_that_a_later_run_replaced_are_no_fault() {
    let (_dir, project) = project();
    let sandbox = new_sandbox(&project, Kind::Kept);
    let first = sealed(&sandbox);
    sandbox.fresh_outputs().unwrap();
    let second = sealed(&sandbox);
    let trust = trust(&project);
    let report = first.verify(&trust).unwrap();
    let kinds: Vec<FindingKind> = report.findings.iter().map(|f| f.kind).collect();
    assert_eq!((report.verified, kinds), (true, vec![FindingKind::NotKept]));
    assert_eq!(second.verify(&trust).unwrap().findings, []);
    assert_eq!(verify_folder(first.folder(), &trust).unwrap(), [report]);
    let mut bundle = Vec::new();
    assert!(!first.export(&mut bundle, Path::new("x"), "test", &mut |_| {}).unwrap().outputs);
    let report = verify_bundle(&bundle[..], 1 << 20, &trust).unwrap();
    assert!(report.verified && report.findings[0].level == Level::Warning, "{report:#?}");
}

#[test]
fn a_run_that_is_sealed_a_second_time_is_found() {
    let (_dir, project, run, trust) = one();
    // Whoever removes the seal and lets the next command seal what he made of the rest.
    for name in ["seal.json", "summary.json"] {
        fs::remove_file(run.folder().join(name)).unwrap();
    }
    fs::remove_file(run.sandbox().outputs().join("a.txt")).unwrap();
    close(&run).unwrap();
    assert!(run.verify(&trust).unwrap().verified, "by itself it is as its last seal says");
    let report = project.verify_ledger().unwrap();
    assert!(!report.verified && report.findings.iter().any(|f| f.what.contains("more than once")), "{report:#?}");
}

#[test]
fn a_run_from_before_there_were_seals_is_compared_and_never_verified() {
    let (_dir, _project, run, trust) = one();
    let log = run.folder().join("events.log");
    // As an older aido wrote it: the same chain without keys and signatures.
    let lines: Vec<String> = fs::read_to_string(&log).unwrap().lines().map(str::to_owned).collect();
    let (mut prev, mut seq, mut kept) = ("0".repeat(64), 0, String::new());
    for line in lines
        .iter()
        .filter(|l| !["\"key\"", "\"checkpoint\"", "\"output\""].iter().any(|k| l.contains(&format!("\"type\":{k}"))))
    {
        let covered = line[..line.len() - 75].rsplit_once("\"prev\":").unwrap().0;
        let tail = covered.split_once(",\"time\"").unwrap().1;
        let covered = format!("{{\"v\":1,\"seq\":{seq},\"time\"{tail}\"prev\":\"{prev}\"");
        prev = sha256_hex(covered.as_bytes());
        kept.push_str(&format!("{covered},\"hash\":\"{prev}\"}}\n"));
        seq += 1;
    }
    fs::write(&log, kept).unwrap();
    fs::remove_file(run.folder().join("seal.json")).unwrap();
    let digest = |content: &[u8]| format!("sha256:{}", sha256_hex(content));
    let summary = json!({"version": 2, "chain_head": prev, "plan_digest": digest(b"{\"plan\":1}\n"),
        "output": {"stdout": {"kept": 12, "digest": digest(b"out\nout\nout\n")}, "stderr": {"kept": 12}},
        "outputs": {"artifacts": [{"path": "a.txt", "size": 1, "digest": digest(b"a")}]}});
    fs::write(run.folder().join("summary.json"), summary.to_string()).unwrap();
    let report = run.verify(&trust).unwrap();
    assert_eq!((report.state, faults(&report)), (VerifiedState::Older, vec![FindingKind::Unsealed]), "{report:#?}");
    for (path, kind) in [
        (run.folder().join("stdout.log"), FindingKind::Changed),
        (run.folder().join("plan.json"), FindingKind::Changed),
        (run.sandbox().outputs().join("a.txt"), FindingKind::Changed),
    ] {
        let honest = fs::read(&path).unwrap();
        fs::write(&path, "other").unwrap();
        assert!(faults(&run.verify(&trust).unwrap()).contains(&kind), "{}", path.display());
        fs::write(&path, honest).unwrap();
    }
}
