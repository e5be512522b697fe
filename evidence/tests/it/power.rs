//! A power cut. What was synced is there; of the rest each file may be short, end in zeros, be empty or be gone, in any
//! combination. The next command closes the record, and what is left of it before the cut is read as it was.

use crate::{NEW, begin, close, home, kinds, point, project, reopened, seal, whole};
use aido_evidence::{Facts, Project, Run, Settled, Status, Stream};
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};

/// Where a summary lies until it is sealed.
const PREPARED: &str = ".summary.json";

/// A project with a sealed run, and one whose writer is gone.
struct Cut {
    _dir: tempfile::TempDir,
    project: Project,
    run: Run,
    folder: PathBuf,
}

impl Cut {
    fn new() -> Cut {
        let (dir, project) = project();
        seal(begin(&project.new_sandbox(&NEW).unwrap(), 100).unwrap(), &json!({"sealed": 1}));
        let sandbox = project.new_sandbox(&NEW).unwrap();
        let mut recording = begin(&sandbox, 100).unwrap();
        recording.plan(br#"{"plan": 1}"#).unwrap();
        for n in 0..3 {
            recording.event("tick", json!({"n": n, "text": "\u{1b}[2J"})).unwrap();
        }
        recording.output(Stream::Stdout, b"out\n").unwrap();
        recording.checkpoint().unwrap();
        let id = recording.id().to_string();
        drop(recording);
        let run = project.run(&id).unwrap();
        let folder = run.folder().to_path_buf();
        Cut { _dir: dir, project, run, folder }
    }

    fn aido(&self) -> &Path {
        self.project.folder()
    }

    /// The next command.
    fn recover(&self) -> Vec<Run> {
        self.project.sweep().unwrap();
        let mut open = self.project.interrupted().unwrap();
        // One that was sealed but for the last step is only given that.
        open.retain(|run| close(run).is_some());
        assert!(self.project.open_runs().unwrap().is_empty());
        open
    }

    /// All is closed, the ledger says so once for each run, and the project goes on.
    fn check(&self) {
        for run in self.project.runs().unwrap() {
            assert_eq!(run.status().unwrap(), Status::Sealed);
            assert!(run.summary::<Value>().unwrap().is_some());
            let left: Vec<_> = fs::read_dir(run.folder()).unwrap().map(|e| e.unwrap().file_name()).collect();
            let odd = |name: &str| name.starts_with(".new-") || name == ".summary.json";
            assert!(left.iter().all(|name| !odd(&name.to_string_lossy())), "{left:?}");
            assert!(run.folder().join("seal.json").exists(), "{} has no seal", run.id());
        }
        let again = seal(begin(&self.project.new_sandbox(&NEW).unwrap(), 1).unwrap(), &json!({}));
        let ledger = whole(self.project.ledger().records().unwrap().unwrap());
        for run in self.project.runs().unwrap() {
            let closings = ledger.iter().filter(|line| line.data["run"] == json!(run.id()));
            let closings = closings.filter(|line| line.kind != "run_begun").count();
            assert_eq!(closings, 1, "{} in {ledger:#?}", run.id());
        }
        assert_eq!(ledger.last().unwrap().data["run"], json!(again.run));
        assert_eq!(fs::read_dir(self.aido().join("unsealed")).unwrap().count(), 0);
    }

    /// As if the machine had been started since the last command.
    fn restart(&self) {
        fs::write(self.aido().join("boot"), "another start").unwrap();
    }
}

/// What a file may look like: a prefix, then some zeros.
fn left(whole: &[u8], keep: usize, zeros: usize) -> Vec<u8> {
    let keep = keep.min(whole.len());
    [&whole[..keep], &vec![0; zeros]].concat()
}

/// Every place to cut at; before zeros, those around the ends of lines and some between.
fn places(bytes: &[u8], zeros: usize) -> Vec<usize> {
    let near = |at: &usize| (at.saturating_sub(1)..=at + 1).any(|at| bytes.get(at) == Some(&b'\n'));
    (0..=bytes.len()).filter(|at| zeros == 0 || at.is_multiple_of(41) || near(at)).collect()
}

#[test]
fn the_events_of_a_run_can_be_cut_at_every_byte_and_end_in_zeros() {
    let cut = Cut::new();
    let log = cut.folder.join("events.log");
    let bytes = fs::read(&log).unwrap();
    let before: Vec<_> = cut.run.events().unwrap().map(|e| e.unwrap()).collect();
    for zeros in [0, 1, 100] {
        for keep in places(&bytes, zeros) {
            fs::write(&log, left(&bytes, keep, zeros)).unwrap();
            ["summary.json", "seal.json"].iter().for_each(|name| drop(fs::remove_file(cut.folder.join(name))));
            let sealed = close(&cut.run).unwrap();
            let after: Vec<_> = cut.run.events().unwrap().map(|e| e.unwrap()).collect();
            let lines = before.iter().scan(0, |at, r| {
                *at += r.stored.len() + 1;
                // Without its newline, but with all else, a record is whole.
                (*at - 1 <= keep).then_some(())
            });
            let kept = if zeros == 0 { lines.count() } else { bytes[..keep].iter().filter(|b| **b == b'\n').count() };
            assert_eq!(after[..kept], before[..kept], "cut at {keep} with {zeros} zeros");
            let end: Vec<&str> = after[after.len() - 2..].iter().map(|record| record.kind.as_str()).collect();
            assert_eq!(
                (end.as_slice(), &after[after.len() - 1].hash),
                (["key", "interrupted"].as_slice(), &sealed.chain_head)
            );
            assert!(after.len() <= kept + 3, "cut at {keep} with {zeros} zeros: {:?}", kinds(&cut.run));
            assert!(fs::read(&log).unwrap().starts_with(&left(&bytes, keep, zeros)), "earlier bytes were changed");
        }
    }
}

#[test]
fn the_ledger_can_be_cut_at_every_byte_and_end_in_zeros() {
    let cut = Cut::new();
    let path = cut.aido().join("ledger.jsonl");
    let bytes = fs::read(&path).unwrap();
    let before = whole(cut.project.ledger().records().unwrap().unwrap());
    for zeros in [0, 1, 4096] {
        for keep in places(&bytes, zeros) {
            fs::write(&path, left(&bytes, keep, zeros)).unwrap();
            cut.project.sweep().unwrap();
            let mended = whole(cut.project.ledger().records().unwrap().unwrap());
            cut.project.ledger().append("test", &json!({})).unwrap();
            let after = whole(cut.project.ledger().records().unwrap().unwrap());
            // What was cut is known outside of the project, and said once it is gone.
            let added: Vec<&str> = after[mended.len()..].iter().map(|record| record.kind.as_str()).collect();
            assert!(after.starts_with(&mended) && added.last() == Some(&"test"), "{added:?}");
            assert!(
                added[..added.len() - 1].iter().all(|kind| ["ledger_differs", "ledger_begun"].contains(kind)),
                "{added:?}"
            );
            let kept = bytes[..keep].iter().filter(|b| **b == b'\n').count();
            assert_eq!(after[..kept], before[..kept], "cut at {keep} with {zeros} zeros");
        }
    }
}

#[test]
fn a_line_of_the_ledger_or_a_mark_that_a_power_cut_took_is_found_missing_after_the_restart() {
    let cut = Cut::new();
    cut.recover();
    let path = cut.aido().join("ledger.jsonl");
    let text = fs::read_to_string(&path).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    // The last two say that the second run was begun and closed.
    fs::write(&path, lines[..lines.len() - 2].join("\n") + "\n").unwrap();
    assert!(cut.recover().is_empty(), "without a restart nobody looks");
    cut.restart();
    cut.recover();
    cut.check();

    let cut = Cut::new();
    fs::remove_file(cut.aido().join("unsealed").join(cut.run.id().as_str())).unwrap();
    cut.restart();
    assert_eq!(cut.recover().len(), 1);
    cut.check();
}

/// What befalls a file that was not synced.
#[derive(Clone, Debug)]
enum Fate {
    Whole,
    Gone,
    Left { keep: prop::sample::Index, zeros: usize },
}

fn fate() -> impl Strategy<Value = Fate> {
    let left = (any::<prop::sample::Index>(), prop_oneof![Just(0usize), Just(1), 0usize..5000]);
    prop_oneof![
        2 => Just(Fate::Whole),
        1 => Just(Fate::Gone),
        4 => left.prop_map(|(keep, zeros)| Fate::Left { keep, zeros }),
    ]
}

fn befall(path: &Path, fate: &Fate) {
    let Ok(bytes) = fs::read(path) else { return };
    match fate {
        Fate::Whole => {}
        Fate::Gone => fs::remove_file(path).unwrap(),
        Fate::Left { keep, zeros } => fs::write(path, left(&bytes, keep.index(bytes.len() + 1), *zeros)).unwrap(),
    }
}

/// What is not synced while a run goes on: all of its files, the state of its sandbox, the ledger's last lines.
#[test]
fn files_of_a_running_run_can_be_lost_in_any_combination() {
    let files = ["events.log", "order.log", "plan.json", "stdout.log", "stderr.log"];
    let fates =
        (prop::collection::vec(fate(), files.len()), fate(), any::<prop::sample::Index>(), any::<bool>(), 0usize..3);
    let config = ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(200) };
    let tried = TestRunner::new(config).run(&fates, |(fates, state, ledger, mark, halves)| {
        let cut = Cut::new();
        files.iter().zip(&fates).for_each(|(name, fate)| befall(&cut.folder.join(name), fate));
        befall(&cut.run.sandbox().folder().join("state.json"), &state);
        // Earlier lines were written before the machine last slept; the sealed run's may be lost, too.
        let path = cut.aido().join("ledger.jsonl");
        let bytes = fs::read(&path).unwrap();
        fs::write(&path, left(&bytes, ledger.index(bytes.len() + 1), 0)).unwrap();
        if mark {
            fs::remove_file(cut.aido().join("unsealed").join(cut.run.id().as_str())).unwrap();
        }
        for n in 0..halves {
            fs::write(cut.folder.join(format!(".new-{n}")), "half of a file").unwrap();
        }
        cut.restart();
        assert_eq!(cut.recover().len(), 1);
        assert!(cut.run.sandbox().is_over().unwrap());
        cut.check();
        cut.run.sandbox().clone().destroy("test").unwrap();
        Ok(())
    });
    tried.unwrap();
}

/// Its last line, and what is known of it outside of the project, as they are, gone, or half there.
fn befall_the_ledger(cut: &Cut, ledger: usize, anchor: usize) {
    let path = cut.aido().join("ledger.jsonl");
    let bytes = fs::read(&path).unwrap();
    let last = bytes[..bytes.len() - 1].iter().rposition(|b| *b == b'\n').unwrap() + 1;
    match ledger {
        0 => {}
        1 => fs::write(&path, &bytes[..last]).unwrap(),
        2 => fs::write(&path, &bytes[..last + 20]).unwrap(),
        _ => fs::write(&path, left(&bytes, last, bytes.len() - last)).unwrap(),
    }
    let anchors = home(cut.aido().parent().unwrap()).anchors.unwrap();
    let known = fs::read_dir(anchors).unwrap().next().unwrap().unwrap().path();
    match anchor {
        0 => {}
        1 => fs::remove_file(&known).unwrap(),
        _ => fs::write(&known, "").unwrap(),
    }
}

/// The steps of a sealing are on the disk one after the other; where it was cut, the ledger, its anchor and the mark may
/// be as they were before or after.
#[test]
fn a_sealing_can_be_cut_after_every_step() {
    let steps: [&[(&str, bool)]; 5] = [
        &[("seal.json", false), ("summary.json", false)],
        &[("seal.json", false), ("summary.json", false), (PREPARED, true)],
        &[("seal.json", true), ("summary.json", false), (PREPARED, true)],
        &[("seal.json", true), ("summary.json", true)],
        &[("seal.json", true), ("summary.json", true), (".new-0123456789ab", true)],
    ];
    for (step, ledger, anchor, mark, restarted) in
        (0..steps.len()).flat_map(|s| (0..4).flat_map(move |l| (0..3).map(move |a| (s, l, a)))).flat_map(|(s, l, a)| {
            [(false, false), (false, true), (true, false), (true, true)].map(|(m, r)| (s, l, a, m, r))
        })
    {
        // The ledger hears of it last, when the names in the run's folder are on the disk: nothing half-written is there.
        if step != 3 && ledger == 0 {
            continue;
        }
        let cut = Cut::new();
        close(&cut.run).unwrap();
        let summary = fs::read(cut.folder.join("summary.json")).unwrap();
        for (name, there) in steps[step] {
            let path = cut.folder.join(name);
            match (*there, path.exists()) {
                (false, _) => fs::remove_file(path).unwrap(),
                (true, false) => fs::write(path, &summary).unwrap(),
                (true, true) => {}
            }
        }
        befall_the_ledger(&cut, ledger, anchor);
        // The mark goes last of all, and nothing was synced for it.
        if step < 3 || mark {
            let mark = cut.aido().join("unsealed").join(cut.run.id().as_str());
            point(cut.run.sandbox().id().as_str(), mark);
        }
        // Without a mark only a restart makes anybody look.
        if restarted || !(step < 3 || mark) {
            cut.restart();
        }
        let what = format!("step {step}, ledger {ledger}, anchor {anchor}, mark {mark}, restarted {restarted}");
        let open =
            Cut { project: reopened(&cut.project), run: cut.run.clone(), folder: cut.folder.clone(), _dir: cut._dir };
        let closed = open.recover();
        assert_eq!(closed.len(), usize::from(step < 2), "{what}: closed again, or not at all");
        open.check();
        let told = kinds(&open.run).iter().filter(|kind| *kind == "interrupted").count();
        assert_eq!(told, if step < 2 { 2 } else { 1 }, "{what}");
    }
}

/// A run that is sealed, and not yet on the disk: each of its files may be lost. What is whole is only given the
/// ledger's line; of what is not, nothing is believed but what holds, and the run is closed as interrupted.
#[test]
fn files_of_a_sealed_run_that_is_not_on_the_disk_yet_can_be_lost_in_any_combination() {
    let files = ["events.log", "order.log", "plan.json", "stdout.log", "summary.json", "seal.json"];
    let fates = (prop::collection::vec(fate(), files.len()), any::<bool>());
    let config = ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(200) };
    let tried = TestRunner::new(config).run(&fates, |(fates, mark)| {
        let (dir, project) = project();
        let mut recording = begin(&project.new_sandbox(&NEW).unwrap(), 100).unwrap();
        recording.plan(br#"{"plan": 1}"#).unwrap();
        recording.output(Stream::Stdout, b"out\n").unwrap();
        // Its writer dies with the machine, before it has brought anything to the disk.
        let sealed = recording.seal(&json!({"sealed": 1}), Facts::default()).unwrap().sealed().clone();
        let (run, folder) = (project.run(sealed.run.as_str()).unwrap(), sealed.folder.clone());
        let before: Vec<_> = files.iter().map(|name| fs::read(folder.join(name)).unwrap()).collect();
        files.iter().zip(&fates).for_each(|(name, fate)| befall(&folder.join(name), fate));
        let same = |(name, before): (&&str, &Vec<u8>)| fs::read(folder.join(name)).is_ok_and(|now| now == *before);
        let whole = files.iter().zip(&before).all(same);
        if mark {
            fs::remove_file(project.folder().join("unsealed").join(run.id().as_str())).unwrap();
        }
        let cut = Cut { _dir: dir, project: reopened(&project), run, folder };
        cut.restart();
        assert_eq!(cut.recover().is_empty(), whole, "{fates:?}");
        cut.check();
        let kind = if whole { "run_sealed" } else { "run_interrupted" };
        let ledger = self::whole(cut.project.ledger().records().unwrap().unwrap());
        assert!(ledger.iter().any(|line| line.kind == kind && line.data["run"] == json!(cut.run.id())));
        let report = cut.run.verify(&crate::verify::trust(&cut.project)).unwrap();
        assert!(!whole || report.verified, "{report:#?}");
        Ok(())
    });
    tried.unwrap();
}

/// Who brings a run to the disk holds nobody up: it is sealed for everybody, the next run begins, and it can be removed.
#[test]
fn a_run_on_its_way_to_the_disk_is_in_nobodys_way() {
    let (_dir, project) = project();
    let sandbox = project.new_sandbox(&NEW).unwrap();
    let unsettled = begin(&sandbox, 1).unwrap().seal(&json!({}), Facts::default()).unwrap();
    let (run, mark) =
        (sandbox.runs().unwrap().remove(0), project.folder().join("unsealed").join(unsettled.sealed().run.as_str()));
    assert_eq!((run.status().unwrap(), sandbox.running().unwrap().is_none()), (Status::Sealed, true));
    assert_eq!(project.open_runs().unwrap().iter().map(|(_, status)| *status).collect::<Vec<_>>(), [Status::Sealed]);
    assert_eq!(run.settle().unwrap(), Settled::ByItsWriter);
    assert!(mark.symlink_metadata().is_ok(), "its mark stays until it is there");
    drop(begin(&sandbox, 1).unwrap());
    sandbox.destroy("test").unwrap();
    unsettled.settle().unwrap();
    assert!(mark.symlink_metadata().is_err() && project.open_runs().unwrap().is_empty());
}

/// Nobody has a seal removed by changing what it speaks of and marking the run, and nothing is told of a run that lies
/// under another one's name.
#[test]
fn a_seal_that_does_not_fit_stays_whoever_marks_its_run() {
    let (_dir, project) = project();
    let runs: Vec<Run> = (0..2)
        .map(|_| {
            let mut recording = begin(&project.new_sandbox(&NEW).unwrap(), 100).unwrap();
            recording.output(Stream::Stdout, b"out\n").unwrap();
            project.run(seal(recording, &json!({"sealed": 1})).run.as_str()).unwrap()
        })
        .collect();
    let (first, second) = (&runs[0], &runs[1]);
    // What a restart of the machine may have done was looked at by an earlier command.
    project.sweep().unwrap();
    fs::write(first.folder().join("stdout.log"), "what somebody else wrote\n").unwrap();
    fs::remove_dir_all(second.folder()).unwrap();
    fs::create_dir(second.folder()).unwrap();
    for file in fs::read_dir(first.folder()).unwrap().flatten() {
        fs::copy(file.path(), second.folder().join(file.file_name())).unwrap();
    }
    let seal_of = |run: &Run| fs::read(run.folder().join("seal.json")).unwrap();
    let (sealed, ledger) = (seal_of(first), fs::read(project.folder().join("ledger.jsonl")).unwrap());
    for run in &runs {
        point(run.sandbox().id().as_str(), project.folder().join("unsealed").join(run.id().as_str()));
    }
    project.sweep().unwrap();
    assert!(project.interrupted().unwrap().is_empty());
    assert_eq!((seal_of(first), seal_of(second)), (sealed.clone(), sealed));
    assert_eq!(fs::read(project.folder().join("ledger.jsonl")).unwrap(), ledger);
    assert!(!first.verify(&crate::verify::trust(&project)).unwrap().verified);
}
