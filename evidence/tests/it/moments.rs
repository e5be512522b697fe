//! Deaths between two steps that belong together: the next one finishes what was begun, once.

use crate::{NEW, begin, close, is_pointed, point, project, sandbox, seal, whole};
use aido_evidence::{Keeper, Kind, NewSandbox, Project};
use serde_json::{Value, json};
use std::fs;

const KEPT: NewSandbox = NewSandbox { kind: Kind::Kept, ..NEW };

fn lines(project: &Project, kind: &str) -> Vec<Value> {
    let all = whole(project.ledger().records().unwrap().unwrap());
    all.into_iter().filter(|line| line.kind == kind).map(|line| line.data).collect()
}

/// Takes the ledger's last line away, as if its writer had died just before.
fn forget_last(project: &Project) {
    let path = project.folder().join("ledger.jsonl");
    let text = fs::read_to_string(&path).unwrap();
    let cut = text.trim_end().rfind('\n').unwrap() + 1;
    fs::write(path, &text[..cut]).unwrap();
}

#[test]
fn a_run_that_was_sealed_without_the_ledgers_line_gets_it_once() {
    for (interrupted, line) in [(false, "run_sealed"), (true, "run_interrupted")] {
        let (_dir, sandbox) = sandbox();
        let project = sandbox.project();
        let recording = begin(&sandbox, 10).unwrap();
        let id = recording.id().clone();
        if interrupted {
            drop(recording);
            close(&project.run(id.as_str()).unwrap()).unwrap();
        } else {
            seal(recording, &json!({}));
        }
        let told = lines(project, line);
        assert_eq!(told.len(), 1);
        forget_last(project);
        point(sandbox.id().as_str(), project.folder().join("unsealed").join(id.as_str()));
        for _ in 0..2 {
            assert!(project.interrupted().unwrap().is_empty());
            assert_eq!(lines(project, line), told);
        }
        assert_eq!(fs::read_dir(project.folder().join("unsealed")).unwrap().count(), 0);
    }
}

#[test]
fn a_run_is_marked_before_it_can_be_seen() {
    let (_dir, sandbox) = sandbox();
    let project = sandbox.project();
    let recording = begin(&sandbox, 10).unwrap();
    let id = recording.id().clone();
    let (runs, mark) = (sandbox.folder().join("runs"), project.folder().join("unsealed").join(id.as_str()));
    let hidden = runs.join(format!(".new-{id}"));
    // Its writer has not given it its name yet: the mark stays for it.
    fs::rename(runs.join(id.as_str()), &hidden).unwrap();
    assert!(project.interrupted().unwrap().is_empty() && is_pointed(&mark));
    // It never will.
    drop(recording);
    assert!(project.interrupted().unwrap().is_empty() && !is_pointed(&mark));
}

#[test]
fn a_sandbox_is_there_whole_or_not_at_all() {
    let (_dir, project) = project();
    let draft = project.draft(&KEPT).unwrap();
    let hidden = project.folder().join(format!("drafts/{}", draft.id()));
    assert!(
        hidden.is_dir() && project.sandboxes().unwrap().is_empty() && project.ledger().records().unwrap().is_none()
    );
    drop(draft);
    assert!(!hidden.exists());

    let draft = project.draft(&KEPT).unwrap();
    let id = draft.id().clone();
    // Its maker was killed.
    std::mem::forget(draft);
    assert!(project.discard_draft(id.as_str()).unwrap());
    assert_eq!(fs::read_dir(project.folder().join("sandboxes")).unwrap().count(), 0);

    let keeper = Some(Keeper { pid: 7, start: 8 });
    let made = project.draft(&KEPT).unwrap().publish(keeper).unwrap();
    assert_eq!(made.state().unwrap().keeper, keeper);
    assert!(!project.discard_draft(made.id().as_str()).unwrap(), "it has its name");
    assert_eq!(project.sandbox_with(made.id().as_str()).unwrap().unwrap().id(), made.id());
    assert!(project.sandbox_with("s000000000000").unwrap().is_none());
}

#[test]
fn the_mark_of_a_sandbox_about_to_be_published_stays() {
    let (_dir, project) = project();
    let draft = project.draft(&KEPT).unwrap();
    let mark = project.folder().join("kept").join(draft.id().as_str());
    point(draft.id().as_str(), &mark);
    assert!(project.kept().unwrap().is_empty() && is_pointed(&mark));
    drop(draft);
    assert!(project.kept().unwrap().is_empty() && !is_pointed(&mark));
}

#[test]
fn an_end_that_was_cut_short_is_finished_once() {
    let (_dir, project) = project();
    let made = project.new_sandbox(&KEPT).unwrap();
    assert!(made.end("over").unwrap());
    let told = lines(&project, "sandbox_ended");
    assert_eq!(told, [json!({"sandbox": made.id(), "why": "over"})]);
    let mark = project.folder().join("kept").join(made.id().as_str());
    // Killed after the ledger's line, or before it.
    for cut in [false, true] {
        point(made.id().as_str(), &mark);
        if cut {
            forget_last(&project);
        }
        let expired = project.expired().unwrap();
        assert_eq!(expired.len(), 1);
        assert!(!expired[0].end("another reason").unwrap());
        assert_eq!(lines(&project, "sandbox_ended"), told);
        assert!(!is_pointed(&mark));
    }
}

#[test]
fn many_who_end_a_sandbox_say_so_once() {
    let (_dir, project) = project();
    let made = project.new_sandbox(&KEPT).unwrap();
    let first: usize = std::thread::scope(|scope| {
        let enders: Vec<_> = (0..8)
            .map(|n| {
                // As another process would find it.
                let mine = crate::reopened(&project);
                let mine = mine.sandbox_with(made.id().as_str()).unwrap().unwrap();
                scope.spawn(move || usize::from(mine.end(&format!("reason {n}")).unwrap()))
            })
            .collect();
        enders.into_iter().map(|ender| ender.join().unwrap()).sum()
    });
    assert_eq!((first, lines(&project, "sandbox_ended").len()), (1, 1));
}

#[test]
fn what_an_older_program_wrote_is_understood() {
    let (_dir, project) = project();
    let made = project.new_sandbox(&KEPT).unwrap();
    let path = made.folder().join("state.json");
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.replace("\"version\": 3", "\"version\": 1")).unwrap();
    let state = made.state().unwrap();
    assert_eq!((state.version, state.keeper), (1, None));
    assert!(made.end("over").unwrap() && made.state().unwrap().ended.is_some());
    fs::write(&path, text.replace("\"version\": 3", "\"version\": 4")).unwrap();
    assert!(made.state().is_err());
}

/// A mark that cannot be made is like a death just before it: then nothing may be seen that has none.
#[test]
fn nothing_is_seen_before_its_mark_is_there() {
    for (folder, run) in [("unsealed", true), ("kept", false)] {
        let (_dir, sandbox) = sandbox();
        let project = sandbox.project();
        let marks = project.folder().join(folder);
        fs::remove_dir_all(&marks).unwrap();
        fs::write(&marks, "in the way").unwrap();
        if run {
            begin(&sandbox, 10).unwrap_err();
            assert!(sandbox.runs().unwrap().is_empty());
        } else {
            project.draft(&KEPT).unwrap().publish(None).unwrap_err();
            assert_eq!(project.sandboxes().unwrap().len(), 1, "only the one from before");
        }
        fs::remove_file(&marks).unwrap();
        let mine = crate::reopened(project);
        assert!(mine.interrupted().unwrap().is_empty() && mine.expired().unwrap().is_empty());
    }
}
