//! Tries to break what the evidence promises, through its public face only.

mod chain;
mod crash;
mod folders;
mod ledger;
mod moments;
mod power;
mod recording;
mod removal;

use aido_evidence::{Kind, NewSandbox, Project, Record, Run, Sandbox};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

const NEW: NewSandbox = NewSandbox { name: "test", kind: Kind::Single, ttl_ms: 60_000, config: None, plan: None };

/// A project in a folder that vanishes.
fn project() -> (tempfile::TempDir, Project) {
    let dir = tempfile::tempdir().unwrap();
    let project = Project::create(dir.path()).unwrap();
    (dir, project)
}

fn sandbox() -> (tempfile::TempDir, Sandbox) {
    let (dir, project) = project();
    let sandbox = project.new_sandbox(&NEW).unwrap();
    (dir, sandbox)
}

fn kinds(run: &Run) -> Vec<String> {
    run.events().unwrap().map(|e| e.unwrap().kind).collect()
}

fn whole(records: aido_evidence::Events) -> Vec<Record> {
    records.map(|r| r.unwrap()).collect()
}

/// Starts another process of this test program that runs one ignored test on a project.
fn other_process(test: &str, project: &Project) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--ignored", "--nocapture", "--test-threads=1"])
        .env("AIDO_TEST_PROJECT", project.folder().parent().unwrap())
        .stdout(Stdio::null())
        .stderr(Stdio::inherit())
        .spawn()
        .unwrap()
}

/// What the other process was given.
fn given_project() -> Project {
    Project::open(&PathBuf::from(std::env::var_os("AIDO_TEST_PROJECT").unwrap())).unwrap().unwrap()
}
