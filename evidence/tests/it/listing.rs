//! A list of runs says what the runs themselves would say, whatever its index holds.

use super::*;
use aido_evidence::Listed;
use std::cell::RefCell;
use std::fs;
use std::path::PathBuf;

/// More than are looked at each time.
const MANY: usize = 40;

fn index(project: &Project) -> PathBuf {
    project.folder().join("runs.index")
}

fn sealed(project: &Project, number: usize) -> Run {
    let recording = begin(&project.new_sandbox(&NEW).unwrap(), 1000).unwrap();
    let sealed = seal(recording, &json!({"number": number}));
    project.run(sealed.run.as_str()).unwrap()
}

/// What is told of a run: the number in its summary.
fn number(run: &Run) -> String {
    run.summary::<Value>().unwrap().map_or("none yet".to_owned(), |summary| summary["number"].to_string())
}

/// The list, and how many runs were looked at for it.
fn list(project: &Project, version: &str) -> (Vec<Listed>, usize) {
    let asked = RefCell::new(0);
    let tell = |run: &Run| {
        *asked.borrow_mut() += 1;
        number(run)
    };
    let (told, count) = project.list(version, &tell, usize::MAX).unwrap();
    assert_eq!(told.len(), count);
    (told, asked.into_inner())
}

/// What the list must be.
fn truth(project: &Project) -> Vec<(String, String)> {
    project.runs().unwrap().iter().map(|run| (run.id().to_string(), number(run))).collect()
}

fn told(list: &[Listed]) -> Vec<(String, String)> {
    list.iter().map(|listed| (listed.run.to_string(), listed.told.clone())).collect()
}

fn many() -> (tempfile::TempDir, Project) {
    let (dir, project) = project();
    (0..MANY).for_each(|number| drop(sealed(&project, number)));
    (dir, project)
}

#[test]
fn what_changes_no_more_is_looked_at_once() {
    let (_dir, project) = many();
    let (first, asked) = list(&project, "1");
    assert_eq!((told(&first), asked), (truth(&project), MANY));
    let (second, asked) = list(&reopened(&project), "1");
    assert_eq!((&second, asked), (&first, 0));
    let (newest, count) = project.list("1", &number, 3).unwrap();
    assert_eq!((&newest[..], count), (&first[..3], MANY));
    for listed in &first {
        assert!(project.place_of(listed).join("summary.json").is_file());
    }
}

#[test]
fn what_came_and_went_since_is_seen() {
    let (_dir, project) = many();
    list(&project, "1");
    let new = sealed(&project, 1000);
    let running = begin(&project.new_sandbox(&NEW).unwrap(), 1000).unwrap();
    let (now, asked) = list(&project, "1");
    assert_eq!((told(&now), asked), (truth(&project), 2));
    assert_eq!(now[0].told, "none yet");
    let id = running.id().clone();
    seal(running, &json!({"number": 7}));
    let (now, _) = list(&project, "1");
    assert_eq!((now[0].run.clone(), now[0].told.as_str()), (id.clone(), "7"), "a run that has ended is told of anew");
    assert_eq!(project.latest_run().unwrap().unwrap().id(), &id);
    for gone in [id.as_str(), new.id().as_str()] {
        project.run(gone).unwrap().sandbox().clone().destroy("test").unwrap();
    }
    let (now, asked) = list(&project, "1");
    assert_eq!((told(&now), now.len(), asked), (truth(&project), MANY, 0));
    assert!(project.run(id.as_str()).is_err(), "what is gone is not found by its ID");
}

#[test]
fn runs_of_a_sandbox_that_stays_are_looked_at_each_time() {
    let (_dir, project) = many();
    let kept = project.new_sandbox(&NewSandbox { kind: Kind::Kept, ..NEW }).unwrap();
    seal(begin(&kept, 1000).unwrap(), &json!({"number": 1}));
    list(&project, "1");
    seal(begin(&kept, 1000).unwrap(), &json!({"number": 2}));
    let (now, asked) = list(&project, "1");
    assert_eq!((told(&now), asked), (truth(&project), 2));
}

#[test]
fn another_program_and_another_start_of_the_machine_tell_anew() {
    let (_dir, project) = many();
    list(&project, "1");
    assert_eq!(list(&project, "2").1, MANY);
    assert_eq!(list(&project, "2").1, 0);
    let text = fs::read_to_string(index(&project)).unwrap();
    let (head, lines) = text.split_once('\n').unwrap();
    let boot = head.split(' ').nth(1).unwrap();
    let other = boot.replace(|c: char| c.is_ascii_hexdigit(), "0");
    fs::write(index(&project), format!("{}\n{lines}", head.replace(boot, &other))).unwrap();
    assert_eq!(list(&project, "2").1, MANY, "what was seen may have been lost in a power cut");
}

#[test]
fn an_index_that_only_looks_for_runs_tells_nothing() {
    let (_dir, project) = many();
    project.latest_run().unwrap();
    assert!(index(&project).exists());
    let (now, asked) = list(&project, "1");
    assert_eq!((told(&now), asked), (truth(&project), MANY));
    project.latest_run().unwrap();
    assert_eq!(list(&project, "1").1, 0);
}

#[test]
fn a_damaged_index_hides_no_run_and_invents_none() {
    let (_dir, project) = many();
    list(&project, "1");
    let whole = fs::read(index(&project)).unwrap();
    let known: Vec<String> = truth(&project).into_iter().map(|(run, _)| run).collect();
    let mut damaged: Vec<Vec<u8>> = (0..whole.len()).step_by(97).map(|end| whole[..end].to_vec()).collect();
    damaged.extend((0..whole.len()).step_by(101).map(|at| {
        let mut bytes = whole.clone();
        bytes[at] = [0, b'\n', b' ', 0xff, b'z'][at % 5];
        bytes
    }));
    damaged.push([&whole[..], &whole[..]].concat());
    for bytes in damaged {
        fs::write(index(&project), bytes).unwrap();
        let found: Vec<String> = list(&project, "1").0.iter().map(|listed| listed.run.to_string()).collect();
        let mut sorted = (found.clone(), known.clone());
        sorted.0.sort();
        sorted.1.sort();
        assert_eq!(sorted.0, sorted.1);
    }
}

#[test]
fn an_index_that_is_a_link_is_not_read_and_not_written_through() {
    if !HELD {
        return;
    }
    let (dir, project) = many();
    list(&project, "1");
    let elsewhere = dir.path().join("elsewhere");
    fs::rename(index(&project), &elsewhere).unwrap();
    point(elsewhere.to_str().unwrap(), index(&project));
    let before = fs::read(&elsewhere).unwrap();
    assert_eq!(list(&project, "1").1, MANY);
    assert_eq!(fs::read(&elsewhere).unwrap(), before);
    assert!(!is_pointed(&index(&project)), "the link is replaced by a file");
}
