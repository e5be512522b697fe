//! Sandboxes that stay: made, listed, used, destroyed.

use crate::host::{assert_gone, marker, wait_for};
use crate::project::Project;

#[test]
fn up_prints_the_id_alone_and_runs_go_into_it() {
    let p = Project::with(&[
        ("sandbox.yaml", "name: kept\nttl: 10m\noutputs: [out/]\n"),
        ("a.sh", "#!/bin/sh\necho in > out/x\n"),
    ]);
    let id = p.aido(["sandbox", "up"]).word();
    assert!(p.path().join(".aido/sandboxes").join(&id).is_dir());
    p.aido(["run", "--quiet", "--sandbox", &id, "a.sh"]).ok();
    assert_eq!(p.output("out/x"), "in\n");
    let runs = std::fs::read_dir(p.path().join(".aido/sandboxes").join(&id).join("runs")).unwrap();
    assert_eq!(runs.flatten().filter(|e| e.file_name() != "latest").count(), 1);
}

#[test]
fn ids_can_be_short_and_latest_is_one() {
    let p = Project::new();
    let first = p.aido(["sandbox", "up", "--quiet"]).word();
    let second = p.aido(["sandbox", "up", "--quiet"]).word();
    assert_ne!(first, second);
    p.aido(["run", "--quiet", "--sandbox", &first[..8], "--", "echo", "one"]).ok().stdout("one\n");
    p.aido(["run", "--quiet", "--sandbox", "latest", "--", "echo", "two"]).ok().stdout("two\n");
    let out = p.aido(["run", "--sandbox", "s", "--", "true"]);
    out.refused(&[&first, &second]);
    p.aido(["run", "--sandbox", "sfffffffffff", "--", "true"]).refused(&["sfffffffffff"]);
}

#[test]
fn list_shows_the_time_that_is_left() {
    let p = Project::new();
    assert_eq!(p.aido(["sandbox", "list", "--json"]).ok().json().to_string(), "[]");
    let id = p.aido(["sandbox", "up", "--ttl", "10m", "--quiet"]).word();
    p.aido(["sandbox", "list"]).ok().prints(&id).prints("9m");
    let listed = p.aido(["sandbox", "list", "--json"]).ok().json();
    assert!(listed.to_string().contains(&id), "{listed}");
    // A sandbox of a single run is gone with it.
    p.sh("true").ok();
    assert_eq!(p.aido(["sandbox", "list", "--json"]).ok().json().as_array().unwrap().len(), 1);
}

#[test]
fn destroy_removes_the_sandbox_and_all_it_kept() {
    let p = Project::new();
    let ids: Vec<String> = (0..3).map(|_| p.aido(["sandbox", "up", "--quiet"]).word()).collect();
    p.aido(["run", "--quiet", "--sandbox", &ids[0], "--", "true"]).ok();
    p.aido(["sandbox", "destroy", &ids[0][..9]]).ok();
    assert!(!p.path().join(".aido/sandboxes").join(&ids[0]).exists());
    p.aido(["run", "--sandbox", &ids[0], "--", "true"]).refused(&[&ids[0]]);
    p.aido(["sandbox", "destroy", &ids[0]]).refused(&[&ids[0]]);
    p.aido(["sandbox", "destroy", "--all"]).ok();
    assert_eq!(p.aido(["sandbox", "list", "--json"]).ok().json().to_string(), "[]");
}

#[test]
fn destroy_ends_what_runs_in_it() {
    let p = Project::new();
    let mark = marker();
    let id = p.aido(["sandbox", "up", "--quiet"]).word();
    let script = format!("trap '' TERM INT; echo up; while :; do sleep {mark}; done");
    let mut running = p.start(["run", "--quiet", "--sandbox", &id, "--", "sh", "-c", &script]);
    running.wait_for("up");
    p.aido(["sandbox", "destroy", &id]).ok();
    let out = running.end();
    assert!(out.code.is_some_and(|c| c != 0), "{out}");
    assert_gone(&mark);
    assert!(!p.path().join(".aido/sandboxes").join(&id).exists());
}

#[test]
fn the_time_of_a_sandbox_is_over_for_its_runs_too() {
    let p = Project::new();
    let mark = marker();
    let id = p.aido(["sandbox", "up", "--ttl", "3s", "--quiet"]).word();
    let out = p.aido(["run", "--quiet", "--sandbox", &id, "--", "sleep", &mark]);
    out.code(124);
    assert!(out.took.as_secs() < 12, "{out}");
    assert_gone(&mark);
    wait_for("the end of the sandbox's time", || {
        (p.aido(["run", "--sandbox", &id, "--", "true"]).code == Some(125)).then_some(())
    });
    // The evidence stays until it is destroyed.
    assert!(p.path().join(".aido/sandboxes").join(&id).join("runs/latest/summary.json").is_file());
    p.aido(["sandbox", "destroy", "--expired"]).ok();
    assert!(!p.path().join(".aido/sandboxes").join(&id).exists());
}

#[test]
fn one_project_does_not_know_the_sandboxes_of_another() {
    let (p, q) = (Project::new(), Project::new());
    let id = p.aido(["sandbox", "up", "--quiet"]).word();
    q.aido(["run", "--sandbox", &id, "--", "true"]).refused(&[]);
    assert_eq!(q.aido(["sandbox", "list", "--json"]).ok().json().to_string(), "[]");
}

#[test]
fn the_project_can_be_named_from_elsewhere() {
    let (p, q) = (Project::with(&[("a.sh", "#!/bin/sh\necho here\n")]), Project::new());
    let at = p.path().display().to_string();
    q.aido(["-C", &at, "run", "--quiet", "a.sh"]).ok().stdout("here\n");
    assert!(p.last_run().exists() && !q.path().join(".aido").exists());
}
