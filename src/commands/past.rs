//! What the commands that look back share: the run that was meant, and what its summary tells.

use aido_evidence::{Project, Run, Status};
use aido_runtime::{End, Plan};
use anyhow::{Context, Result, bail};
use serde_json::Value;
use std::path::Path;

use crate::backend;
use crate::summary::{SUMMARY_VERSION, Summary};
use crate::words;

/// The project's evidence.
pub(crate) fn project(dir: &Path) -> Result<Project> {
    match Project::open(dir, &backend::own_home())? {
        Some(project) => Ok(project),
        None => bail!("{} has no .aido folder: nothing was run in it yet; `aido run` does", dir.display()),
    }
}

/// The run that was asked for; without a word the newest, which is the one that runs if one does.
pub(super) fn run(dir: &Path, asked: Option<&str>) -> Result<Run> {
    Ok(project(dir)?.run(asked.unwrap_or("latest"))?)
}

/// What the run's summary tells; None while there is none.
pub(crate) fn told(run: &Run) -> Result<Option<Summary>> {
    let unreadable = || format!("the summary of run {} cannot be read", run.id());
    let Some(stored) = run.summary::<Value>().with_context(unreadable)? else { return Ok(None) };
    match stored.get("version").and_then(Value::as_u64) {
        Some(version) if version == 0 || version > u64::from(SUMMARY_VERSION) => bail!(
            "the summary of run {} has version {version}, and this aido knows version {SUMMARY_VERSION}: another aido wrote it",
            run.id()
        ),
        _ => serde_json::from_value(stored).map(Some).with_context(unreadable),
    }
}

/// The task of a run that has no summary, from its plan.
pub(crate) fn planned_task(run: &Run) -> Option<Vec<String>> {
    let plan: Plan = serde_json::from_slice(&run.plan().ok()??).ok()?;
    Some(plan.task.programs.into_iter().take(1).chain(plan.task.args).collect())
}

/// How a run ended, in a few words.
pub(crate) fn ending(end: &End) -> String {
    match end {
        End::Exited { code } => format!("exit {code}"),
        End::Signalled { signal } => words::signal(*signal),
        End::OutOfMemory { .. } => "out of memory".to_owned(),
        End::OutOfDisk { .. } => "disk limit".to_owned(),
        End::Deadline { .. } => "time limit".to_owned(),
        End::Interrupted { .. } => "interrupted".to_owned(),
        End::NotFound { .. } => "not found".to_owned(),
        End::NotExecutable { .. } => "not executable".to_owned(),
        End::Refused { .. } => "refused".to_owned(),
        // What ended was aido, in the middle of the run: the task's own end is not known.
        End::Lost { .. } => "interrupted".to_owned(),
    }
}

/// The state of a run in one word, for programs.
pub(super) fn status_word(status: Status) -> &'static str {
    match status {
        Status::Running => "running",
        Status::Sealed => "sealed",
        Status::Interrupted => "interrupted",
    }
}

/// Runs to try the commands on.
#[cfg(test)]
pub(crate) mod example {
    use aido_evidence::{Facts, Home, Kind, NewSandbox, Project, Recording, Run, Signer};
    use serde_json::{Value, json};

    pub(crate) fn project() -> (tempfile::TempDir, Project) {
        let dir = tempfile::tempdir().unwrap();
        let project = Project::create(dir.path(), &Home::default()).unwrap();
        (dir, project)
    }

    pub(crate) fn begun(project: &Project) -> Recording {
        let new =
            NewSandbox { name: "n", kind: Kind::Single, ttl_ms: 60_000, config: None, plan: None, backend: "linux" };
        project.new_sandbox(&new).unwrap().begin_run(1000, Signer::of(project.home()).unwrap()).unwrap()
    }

    pub(crate) fn sealed(project: &Project, summary: &Value) -> Run {
        let sealed = begun(project).seal(summary, Facts::default()).unwrap().settle().unwrap();
        project.run(sealed.run.as_str()).unwrap()
    }

    pub(crate) fn interrupted(project: &Project) -> Run {
        let id = begun(project).id().clone();
        project.run(id.as_str()).unwrap()
    }

    pub(crate) fn summary() -> Value {
        let inputs: Vec<Value> = (0..10)
            .map(|n| json!({"path": format!("in{n}"), "digest": "sha256:0", "kind": "file", "entries": 1}))
            .collect();
        json!({
            "version": 1, "run": "r", "sandbox": "s", "name": "test", "task": ["python3", "a b.py"],
            "runtime": "python:3.11", "image_digest": "sha256:abc", "backend": "linux",
            "started": "2025-01-02T03:04:05.000000Z", "ended": "2025-01-02T03:06:10.000000Z",
            "outcome": {
                "end": {"reason": "out_of_memory", "limit": 512 << 20, "peak": 500 << 20},
                "usage": {"wall_ms": 125_000, "cpu_user_us": 1_200_000, "cpu_system_us": 300_000},
            },
            "exit_code": 137,
            "enforced": {
                "syscalls": {"force": "in-force", "by": "seccomp"},
                "cpus": {"force": "weaker", "by": "nice", "why": "no cgroup here", "remedy": "loginctl enable-linger"},
                "pids": {"force": "absent", "by": "", "why": "none"},
            },
            "warnings": ["careful"], "inputs": inputs, "hidden": [".env"],
            "outputs": {
                "artifacts": [{"path": "out/a.json", "size": 1536, "digest": "sha256:1"}],
                "omitted": [{"path": "pipe", "why": "a FIFO"}],
            },
            "output": {"stdout": {"kept": 10, "dropped": 3 << 20}, "stderr": {"kept": 0, "dropped": 0}},
            "plan_digest": "sha256:p", "chain_head": "ff",
        })
    }

    /// Puts what drives a terminal into every text that is not a fixed word.
    pub(crate) fn poison(value: &mut Value) {
        match value {
            Value::String(text)
                if !["in-force", "weaker", "absent", "out_of_memory", "file"].contains(&text.as_str()) =>
            {
                text.push_str("\u{1b}]0;owned\u{7}\u{9b}2J\r\n\u{202e}");
            }
            Value::Array(items) => items.iter_mut().for_each(poison),
            Value::Object(members) => members.values_mut().for_each(poison),
            _ => {}
        }
    }
}
