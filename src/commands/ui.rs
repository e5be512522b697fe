//! `aido ui`: the evidence of this project, as `aido-ui` wants to be told of it.

mod joined;

use super::{event, past, runs, sandbox, show, verify};
use crate::recover;
use crate::words;
use aido_evidence::{Kind, Project, Record, Run, Sandbox, State, Status, Stream};
use aido_runtime::{Artifact, Change};
use aido_ui::{Bytes, FileRow, Left, Place, Program, RunRow, SandboxRow, Went, What, Words};
use anyhow::{Context, Result, bail};
use joined::Joined;
use std::collections::HashSet;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

/// What a run's folder may have beside its three logs, and what it is.
const PARTS: [(&str, &str); 4] = [
    ("order.log", "record: the order of the output"),
    ("plan.json", "record: what was asked for"),
    ("summary.json", "record: how it went"),
    ("seal.json", "record: the signature"),
];

pub(super) fn ui(dir: &Path) -> Result<u8> {
    if std::env::var_os("TERM").is_none_or(|kind| kind.is_empty() || kind == "dumb") {
        bail!(
            "`aido ui` needs a terminal that can do more than TERM says; `aido runs`, `aido show` and `aido logs` work on any"
        );
    }
    let colour = std::env::var_os("NO_COLOR").is_none_or(|set| set.is_empty());
    let evidence = Evidence { project: past::project(dir)?, dir: dir.to_path_buf() };
    aido_ui::show(Arc::new(evidence), colour).map_err(anyhow::Error::msg)
}

/// The project's evidence. Nothing in it is closed or ended by being looked at.
struct Evidence {
    project: Project,
    dir: PathBuf,
}

fn said<T>(result: Result<T>) -> Result<T, String> {
    result.map_err(|error| format!("{error:#}"))
}

impl Evidence {
    fn run(&self, place: &Place) -> Result<Run> {
        Ok(self.project.run_in(&place.sandbox, &place.run)?)
    }

    fn all_sandboxes(&self) -> Result<Vec<SandboxRow>> {
        let open = self.project.open_runs()?;
        let running: HashSet<String> = open
            .iter()
            .filter(|(_, status)| *status == Status::Running)
            .map(|(run, _)| run.sandbox().id().to_string())
            .collect();
        let mut rows = Vec::new();
        for sandbox in self.project.sandboxes()? {
            let runs = running.contains(sandbox.id().as_str());
            match sandbox.state() {
                // One that was made for a run that is over is the run's, and listed there.
                Ok(state) if state.kind == Kind::Single && !runs => {}
                Ok(state) => rows.push(row(&sandbox, &state, runs)?),
                Err(error) if error.is_missing() => {}
                Err(error) => rows.push(unreadable(&sandbox, error.to_string())),
            }
        }
        Ok(rows)
    }

    fn all_files(&self, place: &Place) -> Result<Vec<FileRow>> {
        let run = self.run(place)?;
        let mut rows = Vec::new();
        if let Some(told) = past::told(&run)? {
            let newest = is_newest(&run);
            rows.extend(told.outputs.artifacts.iter().map(|artifact| output(artifact, newest)));
        }
        let mut part = |what: What, name: &str, note: &str| {
            if let Ok(file) = open(&run, &what) {
                let row = FileRow { what, name: name.into(), size: file.size(), note: note.into(), alert: false };
                rows.push(row);
            }
        };
        part(What::Part("changes.diff".into()), "changes.diff", "what the task changed");
        part(What::Stdout, "stdout.log", "standard output");
        part(What::Stderr, "stderr.log", "standard error");
        part(What::Events, "events.log", "record: the events");
        for (name, note) in PARTS {
            part(What::Part(name.into()), name, note);
        }
        Ok(rows)
    }
}

impl Program for Evidence {
    fn title(&self) -> String {
        self.dir.display().to_string()
    }

    fn runs(&self) -> Result<Vec<RunRow>, String> {
        let lines = said(runs::lines(&self.project))?;
        Ok(lines.into_iter().map(listed).collect())
    }

    fn sandboxes(&self) -> Result<Vec<SandboxRow>, String> {
        said(self.all_sandboxes())
    }

    fn story(&self, place: &Place) -> Result<String, String> {
        let story = self.run(place).and_then(|run| {
            let status = run.status()?;
            show::screen(&run, status)
        });
        said(story)
    }

    fn files(&self, place: &Place) -> Result<Vec<FileRow>, String> {
        said(self.all_files(place))
    }

    fn open(&self, place: &Place, what: &What) -> Result<Box<dyn Bytes>, String> {
        let opened = self.run(place).and_then(|run| match what {
            What::Both => Joined::open(&run).map(boxed),
            what => open(&run, what).map(boxed),
        });
        said(opened)
    }

    fn verify(&self, place: &Place) -> Result<String, String> {
        said(self.run(place).and_then(|run| verify::page(&self.project, &run)))
    }

    fn destroy(&self, id: &str) -> Result<(), String> {
        let found = self.project.sandbox_with(id).map_err(|error| error.to_string())?;
        // What was asked for is so.
        let Some(found) = found else { return Ok(()) };
        match sandbox::end(found) {
            Err(_) if matches!(self.project.sandbox_with(id), Ok(None)) => Ok(()),
            done => said(done),
        }
    }

    fn watched(&self) -> Vec<PathBuf> {
        ["sandboxes", "unsealed", "kept"].map(|name| self.project.folder().join(name)).to_vec()
    }

    fn folder(&self, place: &Place) -> PathBuf {
        self.project.folder().join("sandboxes").join(&place.sandbox).join("runs").join(&place.run)
    }

    fn words(&self) -> Words {
        Words { took: words::took, ago: words::ago, size: words::size, event: record }
    }
}

/// One line of `events.log`. Whether it is in its place is for verification to say.
fn record(line: &[u8]) -> String {
    match serde_json::from_slice::<Record>(line) {
        Ok(record) => event::line(&record),
        Err(_) => String::from_utf8_lossy(line).into_owned(),
    }
}

fn listed(line: runs::Line) -> RunRow {
    let went = match (&*line.status, line.exit_code) {
        ("running", _) => Went::Running,
        ("sealed", Some(0)) => Went::Well,
        ("sealed", _) => Went::Badly,
        _ => Went::Unknown,
    };
    RunRow {
        began: words::moment(&line.started),
        took_ms: line.took_ms.filter(|_| went != Went::Running),
        task: words::command_line(&line.task),
        place: Place { sandbox: line.sandbox, run: line.run },
        name: line.name,
        end: line.end,
        went,
    }
}

fn row(sandbox: &Sandbox, state: &State, running: bool) -> Result<SandboxRow> {
    let kept = state.kind == Kind::Kept;
    let left = match state.left_ms()? {
        _ if state.ended.is_some() => Left::Over("ended".into()),
        0 => Left::Over("expired".into()),
        left => Left::Until(now() + left),
    };
    let note = match &state.ended {
        Some(ended) => format!("ended: {}", ended.why),
        None if kept && recover::living_keeper(state).is_none() => "its keeper is gone".into(),
        None if !kept => "for this run alone".into(),
        None => String::new(),
    };
    Ok(SandboxRow {
        id: sandbox.id().to_string(),
        name: state.name.clone(),
        created: words::moment(&state.created),
        left,
        running,
        note,
        runs: sandbox.runs()?.len(),
    })
}

/// It must not hide the others.
fn unreadable(sandbox: &Sandbox, why: String) -> SandboxRow {
    let left = Left::Over("unreadable".into());
    let id = sandbox.id().to_string();
    SandboxRow { id, name: String::new(), created: None, left, running: false, note: why, runs: 0 }
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(0))
}

/// Whether the sandbox's outputs are those of this run.
fn is_newest(run: &Run) -> bool {
    run.sandbox().runs().is_ok_and(|runs| runs.first().is_some_and(|newest| newest.id() == run.id()))
}

fn output(artifact: &Artifact, newest: bool) -> FileRow {
    let change = match artifact.change {
        Some(Change::Added) => "new",
        Some(Change::Changed) => "differs from the project's",
        Some(Change::Same) => "as the project has it",
        None => "output",
    };
    let note = match (&artifact.active, newest) {
        (_, false) => "replaced by a later run's".to_owned(),
        (Some(why), _) => format!("{change}; {why}"),
        (None, _) => change.to_owned(),
    };
    FileRow {
        what: What::Output(artifact.path.clone()),
        name: artifact.path.clone(),
        size: artifact.size,
        note,
        alert: artifact.active.is_some() && newest,
    }
}

fn boxed(bytes: impl Bytes + 'static) -> Box<dyn Bytes> {
    Box::new(bytes)
}

fn open(run: &Run, what: &What) -> Result<File> {
    Ok(match what {
        What::Both => bail!("both streams are no file"),
        What::Stdout => run.open_output(Stream::Stdout)?,
        What::Stderr => run.open_output(Stream::Stderr)?,
        What::Events => run.open_part("events.log")?,
        What::Part(name) => run.open_part(name)?,
        What::Output(_) if !is_newest(run) => bail!("a later run in its sandbox has replaced it"),
        What::Output(path) => run.sandbox().open_output(path).context("it cannot be opened")?,
    })
}
