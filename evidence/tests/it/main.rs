//! Tries to break what the evidence promises, through its public face only.

mod anchor;
mod bundles;
mod chain;
mod crash;
mod folders;
mod keys;
mod ledger;
mod listing;
mod moments;
mod power;
mod recording;
mod removal;
mod retention;
mod signing;
mod verify;
mod verify_ledger;

use aido_evidence::{Facts, Home, Kind, NewSandbox, Project, Record, Recording, Run, Sandbox, Sealed, Signer};
use serde_json::{Value, json};
use std::path::Path;
use std::process::{Child, Command, Stdio};

const NEW: NewSandbox =
    NewSandbox { name: "test", kind: Kind::Single, ttl_ms: 60_000, config: None, plan: None, backend: "linux" };

/// What Windows does not have, nor the half of it that is tried here (`--cfg aido_portable`): folders that are held open,
/// closed by modes, and told from those of others by their owners.
const HELD: bool = cfg!(all(unix, not(aido_portable)));

/// Makes a name that says another one, as this platform does.
#[track_caller]
fn point(target: &str, at: impl AsRef<Path>) {
    if HELD {
        std::os::unix::fs::symlink(target, at).unwrap();
    } else {
        std::fs::write(at, target).unwrap();
    }
}

/// What such a name says.
#[track_caller]
fn pointed(at: &Path) -> String {
    if HELD {
        std::fs::read_link(at).unwrap().to_str().unwrap().to_owned()
    } else {
        std::fs::read_to_string(at).unwrap()
    }
}

/// Whether there is such a name.
fn is_pointed(at: &Path) -> bool {
    std::fs::symlink_metadata(at).is_ok_and(|found| found.is_symlink() == HELD)
}

/// A project in a folder that vanishes.
fn project() -> (tempfile::TempDir, Project) {
    let dir = tempfile::tempdir().unwrap();
    let project = Project::create(dir.path(), &home(dir.path())).unwrap();
    (dir, project)
}

/// What the user keeps outside of the project: here inside of it, so that it vanishes too.
fn home(dir: &Path) -> Home {
    Home { keys: Some(dir.join("home/keys")), anchors: Some(dir.join("home/ledgers")) }
}

/// The project as another process would find it.
fn reopened(project: &Project) -> Project {
    let dir = project.folder().parent().unwrap();
    Project::open(dir, &home(dir)).unwrap().unwrap()
}

fn begin(sandbox: &Sandbox, limit: u64) -> aido_evidence::Result<Recording> {
    let recording = sandbox.begin_run(limit, Signer::of(sandbox.project().home())?)?;
    recording.make_latest().map(|()| recording)
}

fn seal(recording: Recording, summary: &Value) -> Sealed {
    recording.seal(summary, Facts::default()).unwrap().settle().unwrap()
}

fn close(run: &Run) -> Option<Sealed> {
    run.close_interrupted(|_| (json!({}), Facts::default())).unwrap()
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
    let dir = std::env::var_os("AIDO_TEST_PROJECT").unwrap();
    Project::open(Path::new(&dir), &home(Path::new(&dir))).unwrap().unwrap()
}
