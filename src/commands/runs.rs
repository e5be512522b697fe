//! `aido runs`: the past runs of this project.

use super::past;
use crate::cli::Runs;
use crate::{backend, listing, words};
use aido_evidence::{Project, Run, Status, plain_json};
use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::io::Write;
use std::path::{Path, PathBuf};

/// Which program told the lines that the project's index keeps, and how: others are told anew.
const TOLD_BY: &str = concat!(env!("CARGO_PKG_VERSION"), "-1");

/// One line of the list.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Line {
    #[serde(default = "version")]
    version: u32,
    pub(super) run: String,
    pub(super) sandbox: String,
    pub(super) name: String,
    pub(super) task: Vec<String>,
    /// RFC 3339; empty where the record does not say.
    pub(super) started: String,
    pub(super) took_ms: Option<u64>,
    pub(super) status: Cow<'static, str>,
    /// In words: `exit 0`, `out of memory`, `running` …
    pub(super) end: String,
    pub(super) exit_code: Option<u8>,
    /// Not kept in the index: a project can be moved.
    #[serde(default)]
    folder: PathBuf,
}

/// Of the JSON form. 1: first.
fn version() -> u32 {
    1
}

/// So many are a table for a person.
const SHOWN: usize = 100;

pub(crate) fn runs(dir: &Path, asked: &Runs) -> Result<u8> {
    let most = if asked.all || asked.json { usize::MAX } else { SHOWN };
    let (lines, count) = match Project::open(dir, &backend::own_home())? {
        Some(project) => newest(&project, asked.last.unwrap_or(most))?,
        None => (Vec::new(), 0),
    };
    let text = if asked.json { plain_json(serde_json::to_string_pretty(&lines)? + "\n") } else { table(&lines) };
    if lines.is_empty() && !asked.json {
        eprintln!("aido: no run in this project yet; `aido run TASK` makes one");
    }
    match std::io::stdout().lock().write_all(text.as_bytes()) {
        Err(e) if e.kind() != std::io::ErrorKind::BrokenPipe => {
            return Err(e).context("standard output cannot be written");
        }
        _ => {}
    }
    if asked.last.is_none() && count > lines.len() {
        words::say(&format!("{} more, older: `aido runs --all`", words::count(count - lines.len(), "run")));
    }
    Ok(0)
}

/// All runs, newest first.
pub(super) fn lines(project: &Project) -> Result<Vec<Line>> {
    Ok(newest(project, usize::MAX)?.0)
}

/// The newest runs, and how many there are in all.
fn newest(project: &Project, most: usize) -> Result<(Vec<Line>, usize)> {
    let told = |run: &Run| serde_json::to_string(&line(run)).unwrap_or_default();
    let (listed, count) = project.list(TOLD_BY, &told, most)?;
    let lines = listed.iter().filter_map(|listed| {
        let mut line: Line = match serde_json::from_str(&listed.told) {
            Ok(line) => line,
            // What the index keeps was damaged.
            Err(_) => line(&project.run_in(listed.sandbox.as_str(), listed.run.as_str()).ok()?),
        };
        line.folder = project.place_of(listed);
        Some(line)
    });
    Ok((lines.collect(), count))
}

/// A run that cannot be read is listed as such: it must not hide the others.
fn line(run: &Run) -> Line {
    let begun = run.begun();
    let mut line = Line {
        version: version(),
        run: run.id().to_string(),
        sandbox: run.sandbox().id().to_string(),
        name: String::new(),
        task: Vec::new(),
        started: begun.as_ref().map(|b| b.time.clone()).unwrap_or_default(),
        took_ms: None,
        status: "unreadable".into(),
        end: "unreadable".to_owned(),
        exit_code: None,
        folder: PathBuf::new(),
    };
    let Ok(status) = run.status() else { return line };
    match past::told(run) {
        Err(_) => {}
        Ok(Some(told)) => {
            line.status = past::status_word(status).into();
            line.took_ms = Some(told.outcome.usage.wall_ms);
            line.end = past::ending(&told.outcome.end);
            line.exit_code = Some(told.exit_code);
            (line.name, line.task, line.started) = (told.name, told.task, told.started);
        }
        Ok(None) => {
            line.status = past::status_word(status).into();
            line.end = line.status.to_string();
            line.name = run.sandbox().state().map(|s| s.name).unwrap_or_default();
            line.task = past::planned_task(run).unwrap_or_default();
            let since = |ms: u64| aido_evidence::boottime_ms().saturating_sub(ms);
            line.took_ms = begun.filter(|_| status == Status::Running).map(|b| since(b.mono_ms));
        }
    }
    line
}

fn table(lines: &[Line]) -> String {
    if lines.is_empty() {
        return String::new();
    }
    let head = ["RUN", "SANDBOX", "NAME", "TASK", "STARTED", "TOOK", "END"].map(String::from);
    let rows = lines.iter().map(|line| {
        [
            line.run.clone(),
            line.sandbox.clone(),
            cell(&line.name, 24),
            cell(&words::command_line(&line.task), 40),
            words::since(&line.started).unwrap_or_else(|| "-".to_owned()),
            line.took_ms.map_or_else(|| "-".to_owned(), words::took),
            line.end.clone(),
        ]
    });
    let rows: Vec<[String; 7]> = std::iter::once(head).chain(rows).collect();
    listing::table(&rows)
}

/// Foreign text in a table: harmless, and no wider than its column.
fn cell(text: &str, width: usize) -> String {
    let text = words::inert(text);
    match text.chars().count() {
        0 => "-".to_owned(),
        count if count > width => text.chars().take(width - 1).chain(['…']).collect(),
        _ => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::past::example;

    #[test]
    fn runs_of_every_kind_are_listed_newest_first() {
        let (_dir, project) = example::project();
        let sealed = example::sealed(&project, &example::summary());
        let odd = example::sealed(&project, &serde_json::json!({"version": 99}));
        let interrupted = example::interrupted(&project);
        let running = example::begun(&project);
        let lines: Vec<Line> = lines(&project).unwrap();
        let told: Vec<(&str, &str)> = lines.iter().map(|l| (l.run.as_str(), l.end.as_str())).collect();
        assert_eq!(
            told,
            [
                (running.id().as_str(), "running"),
                (interrupted.id().as_str(), "interrupted"),
                (odd.id().as_str(), "unreadable"),
                (sealed.id().as_str(), "out of memory"),
            ]
        );
        let (two, count) = newest(&project, 2).unwrap();
        assert_eq!((two.iter().map(|l| l.run.as_str()).collect::<Vec<_>>(), count), (vec![told[0].0, told[1].0], 4));
        let text = table(&lines);
        assert_eq!(text.lines().count(), 5, "{text}");
        assert!(text.contains("2m5s") && !text.chars().any(|c| c.is_control() && c != '\n'), "{text:?}");
        let head = text.lines().next().unwrap();
        let column = head.find("END").unwrap();
        assert!(text.lines().skip(1).all(|l| l.chars().nth(column - 1) == Some(' ')), "{text}");
    }

    #[test]
    fn foreign_text_is_harmless_and_fits() {
        assert_eq!(cell("a\u{1b}[2Jb", 20), "a\\x1b[2Jb");
        assert_eq!(cell("", 5), "-");
        assert_eq!(cell("123456", 5), "1234…");
    }
}
