//! The ledger against what is there, and against what the user's state knows.

use crate::verify::{new_sandbox, one, sealed};
use crate::{pointed, reopened};
use aido_evidence::{FindingKind, Kind, Level, Project};
use std::fs;
use std::path::Path;

/// What is found in the ledger once `change` was done to the project.
fn ledger_after(change: impl FnOnce(&Path)) -> Vec<(Level, FindingKind)> {
    let (_dir, project, _run, _trust) = one();
    sealed(&new_sandbox(&project, Kind::Single));
    change(project.folder());
    let report = reopened(&project).verify_ledger().unwrap();
    let findings: Vec<_> = report.findings.iter().map(|f| (f.level, f.kind)).collect();
    assert_eq!(report.verified, findings.iter().all(|(level, _)| *level < Level::Fault), "{report:#?}");
    findings
}

fn edited(folder: &Path, change: impl FnOnce(&mut Vec<String>)) {
    let path = folder.join("ledger.jsonl");
    let mut lines: Vec<String> = fs::read_to_string(&path).unwrap().lines().map(str::to_owned).collect();
    change(&mut lines);
    fs::write(&path, lines.iter().map(|line| format!("{line}\n")).collect::<String>()).unwrap();
}

#[test]
fn a_ledger_that_is_edited_cut_or_replaced_is_found() {
    use FindingKind::*;
    assert_eq!(ledger_after(|_| {}), []);
    let fault = |kind| (Level::Fault, kind);
    for at in 0..7 {
        let removed = ledger_after(|folder| edited(folder, |lines| drop(lines.remove(at))));
        assert!(!removed.is_empty() && removed.iter().any(|(level, _)| *level == Level::Fault), "{at}: {removed:?}");
        let swapped = ledger_after(|folder| edited(folder, |lines| lines.swap(at, at + 1 - 2 * (at / 6))));
        assert!(swapped.contains(&fault(Broken)), "{at}: {swapped:?}");
        let cut = ledger_after(|folder| edited(folder, |lines| lines.truncate(at)));
        assert!(cut.contains(&fault(Ledger)), "{at}: {cut:?}");
    }
    let gone = ledger_after(|folder| fs::remove_file(folder.join("ledger.jsonl")).unwrap());
    assert!(gone.contains(&fault(Ledger)), "{gone:?}");
    // A whole other ledger, consistent in itself, with all that it speaks of.
    let (_other_dir, other, ..) = one();
    let replaced = ledger_after(|folder| {
        fs::remove_dir_all(folder).unwrap();
        assert!(std::process::Command::new("cp").arg("-a").args([other.folder(), folder]).status().unwrap().success());
    });
    assert_eq!(replaced, [fault(Ledger)]);
}

#[test]
fn a_ledger_that_was_begun_anew_says_so_for_ever() {
    let (dir, project, ..) = one();
    fs::remove_dir_all(project.folder()).unwrap();
    let project = Project::create(dir.path(), project.home()).unwrap();
    sealed(&new_sandbox(&project, Kind::Single));
    for _ in 0..2 {
        let report = project.verify_ledger().unwrap();
        let findings: Vec<_> = report.findings.iter().map(|f| (f.level, f.kind)).collect();
        assert_eq!(findings, [(Level::Warning, FindingKind::Ledger)], "{report:#?}");
        sealed(&new_sandbox(&project, Kind::Single));
    }
}

#[test]
fn what_the_ledger_and_the_folders_do_not_agree_on_is_found() {
    use FindingKind::*;
    let fault = |kind| (Level::Fault, kind);
    let sandbox = |folder: &Path| {
        let found = fs::read_dir(folder.join("sandboxes")).unwrap().map(|e| e.unwrap().path());
        found.filter(|path| path.is_dir() && !path.is_symlink()).min().unwrap()
    };
    let runs = |folder: &Path| {
        let runs = sandbox(folder).canonicalize().unwrap().join("runs");
        runs.join(pointed(&runs.join("latest")))
    };
    assert_eq!(ledger_after(|folder| fs::remove_dir_all(sandbox(folder)).unwrap()), [fault(Missing)]);
    assert_eq!(ledger_after(|folder| fs::remove_dir_all(runs(folder)).unwrap()), [fault(Missing)]);
    let copied = ledger_after(|folder| {
        let to = runs(folder).with_file_name("r0123456789ab");
        assert!(std::process::Command::new("cp").arg("-a").args([&runs(folder), &to]).status().unwrap().success());
    });
    assert_eq!(copied, [fault(Added)]);
    for name in ["seal.json", "summary.json"] {
        let changed = ledger_after(|folder| fs::write(runs(folder).join(name), "{}\n").unwrap());
        assert_eq!(changed, [fault(Changed)], "{name}");
    }
    let destroyed = ledger_after(|folder| {
        let from = sandbox(folder);
        let spare = folder.parent().unwrap().join("spare");
        assert!(std::process::Command::new("cp").arg("-a").args([&from, &spare]).status().unwrap().success());
        let dir = folder.parent().unwrap();
        let project = Project::open(dir, &crate::home(dir)).unwrap().unwrap();
        project.sandbox(from.file_name().unwrap().to_str().unwrap()).unwrap().destroy("test").unwrap();
        assert!(project.verify_ledger().unwrap().verified, "what was destroyed is not missing");
        fs::rename(spare, from).unwrap();
    });
    assert_eq!(destroyed, [fault(Added)]);
}
