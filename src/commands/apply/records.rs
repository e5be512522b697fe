//! The records of applies: which there are, and which one was meant.

use crate::words;
use aido_changes::{State, state};
use aido_evidence::{Project, Sandbox, plain_json};
use anyhow::{Context, Result, bail};
use serde_json::json;
use std::path::PathBuf;

/// Below the project's evidence: the records of applies.
const RECORDS: &str = "applied";

/// A folder for the record of an apply: sorted by time.
pub(super) fn new(project: &Project, sandbox: &Sandbox) -> Result<PathBuf> {
    let all = project.folder().join(RECORDS);
    std::fs::create_dir_all(&all).with_context(|| all.display().to_string())?;
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default().as_nanos();
    Ok(all.join(format!("{now:020}-{}", sandbox.id())))
}

/// All records, the newest first.
fn all(project: &Project) -> Result<Vec<PathBuf>> {
    let all = project.folder().join(RECORDS);
    let mut found: Vec<PathBuf> = match std::fs::read_dir(&all) {
        Ok(entries) => entries.flatten().map(|entry| entry.path()).collect(),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Vec::new(),
        Err(e) => return Err(e).with_context(|| all.display().to_string()),
    };
    found.sort();
    found.reverse();
    Ok(found)
}

/// The record of that name; `last`: the newest that no undo has looked at. A newer one that was taken back in part is
/// taken again by its name alone, so that the ones before it are within reach.
pub(super) fn find(project: &Project, asked: &str) -> Result<PathBuf> {
    for record in all(project)? {
        let is_it = match asked {
            "last" => !state(&record)?.is_touched(),
            name => record.file_name().is_some_and(|is| is == name),
        };
        if is_it && state(&record)?.whole {
            bail!("{asked} was taken back already");
        }
        if is_it {
            return Ok(record);
        }
    }
    match asked {
        "last" => bail!("there is no apply to take back; `aido apply --undo list` names those that there were"),
        name => bail!("there is no record `{}`; `aido apply --undo list` names all", words::inert(name)),
    }
}

/// Says which records there are, and how far each was taken back.
pub(super) fn list(project: &Project, as_json: bool) -> Result<u8> {
    let mut rows = vec![["RECORD", "CHANGES", "TAKEN BACK"].map(str::to_string)];
    let mut told = Vec::new();
    for record in all(project)? {
        let name = record.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let state = state(&record)?;
        rows.push([words::inert(&name), state.steps.to_string(), back(state)]);
        told.push(json!({"record": name, "state": state}));
    }
    match as_json {
        true => words::print(&plain_json(
            serde_json::to_string_pretty(&json!({"version": super::VERSION, "records": told}))? + "\n",
        )),
        false => words::print(&crate::listing::table(&rows)),
    }
    Ok(0)
}

fn back(state: State) -> String {
    match (state.whole, state.tried) {
        (true, _) => "yes".to_string(),
        (false, true) => format!("{} of them", state.undone),
        (false, false) => "no".to_string(),
    }
}
