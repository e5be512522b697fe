//! Two sandboxes, or two runs, beside each other: what they made of the project, how they ended, what they were denied,
//! what they used.

use super::VERSION;
use crate::cli::Diff;
use crate::commands::past;
use crate::host::changed;
use crate::summary::Summary;
use crate::words::{self, size, took};
use aido_changes::{Difference, compare as differences};
use aido_evidence::{Project, Run, Sandbox, plain_json};
use anyhow::{Result, bail};
use serde::Serialize;
use serde_json::json;

/// One of the two.
struct Side {
    sandbox: Sandbox,
    run: Option<Run>,
    told: Option<Summary>,
}

/// How a run went, to be held against another.
#[derive(Serialize)]
struct Went {
    sandbox: String,
    run: Option<String>,
    task: Vec<String>,
    end: Option<String>,
    exit_code: Option<u8>,
    denied: usize,
    took_ms: Option<u64>,
    memory_peak: Option<u64>,
    cpu_us: Option<u64>,
}

pub(super) fn compare(project: &Project, [one, other]: [&String; 2], typed: &Diff) -> Result<u8> {
    let sides = [side(project, one)?, side(project, other)?];
    let changes = [changed::of(&sides[0].sandbox)?, changed::of(&sides[1].sandbox)?];
    let files = match &changes {
        [Some(a), Some(b)] => differences(a, b),
        [None, None] => Vec::new(),
        _ => bail!("one of the two may change the project, and the other may not: there is nothing to compare"),
    };
    let went = sides.each_ref().map(Went::of);
    if typed.json {
        let told = json!({"version": VERSION, "sides": went, "files": files});
        words::print(&plain_json(serde_json::to_string_pretty(&told)? + "\n"));
        return Ok(0);
    }
    words::print(&page(&went, &files));
    Ok(0)
}

/// A run stands for itself and for its sandbox; a sandbox for its newest run.
fn side(project: &Project, asked: &str) -> Result<Side> {
    let sandbox = changed::sandbox(project, Some(asked))?;
    let run = match asked.starts_with('r') {
        true => Some(project.run(asked)?),
        false => sandbox.runs()?.into_iter().next(),
    };
    let told = run.as_ref().map(past::told).transpose()?.flatten();
    Ok(Side { sandbox, run, told })
}

impl Went {
    fn of(side: &Side) -> Went {
        let usage = side.told.as_ref().map(|told| told.outcome.usage);
        let cpu = usage.and_then(|usage| Some(usage.cpu_user_us? + usage.cpu_system_us?));
        Went {
            sandbox: side.sandbox.id().to_string(),
            run: side.run.as_ref().map(|run| run.id().to_string()),
            task: side.told.as_ref().map(|told| told.task.clone()).unwrap_or_default(),
            end: side.told.as_ref().map(|told| past::ending(&told.outcome.end)),
            exit_code: side.told.as_ref().map(|told| told.exit_code),
            denied: side.told.as_ref().map_or(0, |told| told.outcome.refused.len()),
            took_ms: usage.map(|usage| usage.wall_ms),
            memory_peak: usage.and_then(|usage| usage.memory_peak),
            cpu_us: cpu,
        }
    }
}

fn page(went: &[Went; 2], files: &[Difference]) -> String {
    let none = || "-".to_string();
    let row = |name: &str, value: &dyn Fn(&Went) -> String| [name.to_string(), value(&went[0]), value(&went[1])];
    let mut rows = vec![
        row("SANDBOX", &|side| side.sandbox.clone()),
        row("run", &|side| side.run.clone().unwrap_or_else(none)),
        row("task", &|side| words::inert(&words::command_line(&side.task)).chars().take(40).collect()),
        row("end", &|side| side.end.clone().unwrap_or_else(none)),
        row("denied", &|side| side.denied.to_string()),
        row("took", &|side| side.took_ms.map_or_else(none, took)),
        row("processor", &|side| side.cpu_us.map_or_else(none, |us| took(us / 1000))),
        row("memory", &|side| side.memory_peak.map_or_else(none, size)),
    ];
    rows.retain(|row| row[1] != "-" || row[2] != "-");
    let mut text = crate::listing::table(&rows);
    if files.is_empty() {
        text.push_str("\nboth leave the project the same\n");
        return text;
    }
    let what = |entry: &Option<aido_changes::Entry>| match entry {
        None => "absent".to_string(),
        Some(entry) => match &entry.digest {
            Some(digest) => format!("{} ({})", size(entry.size), &digest[..12.min(digest.len())]),
            None => size(entry.size),
        },
    };
    let head = ["FILE".to_string(), went[0].sandbox.clone(), went[1].sandbox.clone()];
    let listed = files.iter().map(|file| [file.path.to_string(), what(&file.a), what(&file.b)]);
    text.push('\n');
    text.push_str(&crate::listing::table(&std::iter::once(head).chain(listed).collect::<Vec<_>>()));
    text
}
