//! A project whose past must stay as it is, whatever happens to aido in it, and commands that stop half-way.

use crate::family;
use crate::project::Project;
use crate::running::Running;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::thread;
use std::time::{Duration, Instant};

pub(crate) fn debug_build() -> bool {
    // In a release build the variable means nothing.
    let p = Project::new();
    let mut command = p.command(["--version"]);
    command.env("AIDO_FAULT", "none");
    Running::start(command).end().code == Some(125)
}

/// A project whose first run must stay as it is.
pub(crate) struct Ground {
    pub(crate) project: Project,
    before: BTreeMap<PathBuf, Vec<u8>>,
}

impl Ground {
    pub(crate) fn new() -> Ground {
        Ground::with(Project::new())
    }

    pub(crate) fn in_folder(folder: &Path) -> Ground {
        Ground::with(Project::in_folder(folder))
    }

    pub(crate) fn with(project: Project) -> Ground {
        project.sh("echo first").ok();
        let run = fs::canonicalize(project.last_run()).unwrap();
        let files = fs::read_dir(&run).unwrap().flatten().map(|entry| entry.path());
        let before = files.map(|path| (path.clone(), fs::read(path).unwrap())).collect();
        Ground { project, before }
    }

    /// What must be so when everything is over: the next command closes what is left, and all that is recorded is true.
    pub(crate) fn check(&self, what: &str) -> Result<(), String> {
        let p = &self.project;
        let runs = p.aido(["runs", "--json"]);
        if runs.code != Some(0) {
            return Err(format!("{what}: the next command fails: {runs}"));
        }
        for (path, bytes) in &self.before {
            if fs::read(path).ok().as_ref() != Some(bytes) {
                return Err(format!("{what}: {} has changed", path.display()));
            }
        }
        let aido = p.path().join(".aido");
        crate::chain::check(&fs::read(aido.join("ledger.jsonl")).unwrap())
            .map_err(|e| format!("{what}: ledger: {e}"))?;
        let names = |entry: fs::DirEntry| entry.path().display().to_string();
        let marks = |name: &str| fs::read_dir(aido.join(name)).into_iter().flatten().flatten().map(names);
        let left = || -> Vec<String> { marks("unsealed").chain(marks("trash")).collect() };
        // Nobody waits for a sealed run to reach the disk.
        if until(Duration::from_secs(20), || left().is_empty().then_some(())).is_none() {
            return Err(format!("{what}: marks or rubbish are left: {:?}; the command said{runs}", left()));
        }
        for run in runs.json().as_array().unwrap() {
            self.check_run(run).map_err(|e| format!("{what}: {e}"))?;
        }
        self.check_sandboxes(what)?;
        // What was recorded before the blow, what was closed after it, the ledger and what is known of it elsewhere.
        let verified = p.aido(["verify", "--all"]);
        if verified.code != Some(0) {
            return Err(format!("{what}: {verified}"));
        }
        let again = p.sh("echo again");
        if (again.code, again.stdout.as_slice()) != (Some(0), b"again\n") {
            return Err(format!("{what}: the project does not work on: {again}"));
        }
        Ok(())
    }

    fn check_run(&self, run: &Value) -> Result<(), String> {
        let folder = PathBuf::from(run["folder"].as_str().unwrap());
        let id = run["run"].as_str().unwrap();
        let events = crate::chain::check(&fs::read(folder.join("events.log")).unwrap())
            .map_err(|e| format!("events of {id}: {e}"))?;
        if run["status"] != "sealed" {
            return Err(format!("run {id} is {}", run["status"]));
        }
        let summary: Value = serde_json::from_slice(&fs::read(folder.join("summary.json")).unwrap()).unwrap();
        if summary["chain_head"] != events.last().unwrap()["hash"] {
            return Err(format!("the summary of {id} does not speak of its last event"));
        }
        if let Some(group) = family::groups(id).first() {
            return Err(format!("{} is left of {id}", group.display()));
        }
        let ledger = crate::chain::check(self.project.read(".aido/ledger.jsonl").as_bytes()).unwrap();
        let closing = |line: &&Value| ["run_sealed", "run_interrupted"].contains(&line["type"].as_str().unwrap());
        let closed = ledger.iter().filter(closing).filter(|line| line["data"]["run"] == id).count();
        if closed != 1 {
            return Err(format!("the ledger closes {id} {closed} times"));
        }
        Ok(())
    }

    /// None of a single run still has time left; the others are as they say.
    fn check_sandboxes(&self, what: &str) -> Result<(), String> {
        let listed = self.project.aido(["sandbox", "list", "--all"]).text();
        let folders = fs::read_dir(self.project.path().join(".aido/sandboxes")).unwrap().flatten();
        for folder in folders.filter(|f| f.file_name().to_str().is_some_and(|name| name.starts_with('s'))) {
            let state: Value = serde_json::from_slice(&fs::read(folder.path().join("state.json")).unwrap()).unwrap();
            let id = folder.file_name().into_string().unwrap();
            let line = listed.lines().find(|line| line.starts_with(&id)).unwrap_or_default();
            if state["kind"] == "single" && folder.path().join("runs/latest").exists() && !line.contains("ended") {
                return Err(format!("{what}: {line}"));
            }
        }
        let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
        if mounts.contains(self.project.path().to_str().unwrap()) {
            return Err(format!("{what}: a mount is left"));
        }
        Ok(())
    }
}

pub(crate) fn send(pid: i32, signal: Signal) {
    let _ = kill(Pid::from_raw(pid), signal);
}

/// Starts a command that stops at the point; its streams lead nowhere, so that nothing can hold it up.
pub(crate) fn start(p: &Project, point: &str, args: &[&str]) -> Child {
    let mut command = p.command(args);
    command.env("AIDO_FAULT", point).stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().unwrap()
}

pub(crate) fn ended(child: &mut Child, patience: Duration) -> bool {
    let until = Instant::now() + patience;
    while child.try_wait().unwrap().is_none() {
        if Instant::now() > until {
            return false;
        }
        thread::sleep(Duration::from_millis(20));
    }
    true
}

pub(crate) fn until<T>(patience: Duration, mut found: impl FnMut() -> Option<T>) -> Option<T> {
    let end = Instant::now() + patience;
    loop {
        match found() {
            None if Instant::now() < end => thread::sleep(Duration::from_millis(10)),
            other => return other,
        }
    }
}
