//! `aido verify`: whether evidence is as it was signed.

mod told;
mod trust;

pub(super) use told::faults;
pub(super) use trust::trust;

use super::past;
use crate::backend;
use crate::cli::Verify;
use aido_evidence::{LedgerReport, Level, Project, Report, Run, plain_json, verify_bundle, verify_folder};
use anyhow::{Context, Result, bail};
use serde_json::json;
use std::fs::File;
use std::io::{BufReader, Write};
use std::path::Path;

/// Not 125: aido did what was asked for.
pub(super) const NOT_VERIFIED: u8 = 1;

/// What was looked at.
#[derive(Default)]
struct Looked {
    runs: Vec<Report>,
    ledger: Option<LedgerReport>,
}

pub(crate) fn verify(dir: &Path, typed: &Verify) -> Result<u8> {
    let trust = trust(&typed.key)?;
    let looked = match place(dir, typed.what.as_deref())? {
        Place::Project => {
            super::sweep_in(dir, super::Word::unless(typed.quiet))?;
            in_project(&past::project(dir)?, typed, &trust)?
        }
        Place::Bundle(file) => {
            let input = file.map_or_else(|| Box::new(std::io::stdin()) as Box<dyn std::io::Read>, |f| Box::new(f));
            let report = verify_bundle(BufReader::with_capacity(1 << 17, input), typed.max_size, &trust)?;
            Looked { runs: vec![report], ledger: None }
        }
        Place::Folder(path) => in_folder(&path, &trust)?,
    };
    let counts = |level: Level| level == Level::Fault || (typed.strict && level == Level::Warning);
    let findings = looked.runs.iter().flat_map(|run| &run.findings);
    let findings = findings.chain(looked.ledger.iter().flat_map(|ledger| &ledger.findings));
    let verified = !findings.clone().any(|finding| counts(finding.level));
    let text = match typed.json {
        true => {
            let value = json!({"version": 1, "verified": verified, "runs": looked.runs, "ledger": looked.ledger});
            plain_json(serde_json::to_string_pretty(&value)? + "\n")
        }
        false => told::page(&looked.runs, looked.ledger.as_ref(), verified, typed.quiet),
    };
    match anstream::stdout().lock().write_all(text.as_bytes()) {
        Err(e) if e.kind() != std::io::ErrorKind::BrokenPipe => return Err(e.into()),
        _ => {}
    }
    Ok(if verified { 0 } else { NOT_VERIFIED })
}

/// What verification finds of one run and of the ledger, on a page.
#[cfg(feature = "ui")]
pub(super) fn page(project: &Project, run: &Run) -> Result<String> {
    let (report, ledger) = (run.verify(&trust(&[])?)?, project.verify_ledger()?);
    let verified = !report.findings.iter().chain(&ledger.findings).any(|finding| finding.level == Level::Fault);
    Ok(told::page(&[report], Some(&ledger), verified, false))
}

/// Where what was asked for lies.
enum Place {
    /// In this project.
    Project,
    Folder(std::path::PathBuf),
    /// None: on standard input.
    Bundle(Option<File>),
}

fn place(dir: &Path, what: Option<&str>) -> Result<Place> {
    let Some(what) = what else { return Ok(Place::Project) };
    if what == "-" {
        return Ok(Place::Bundle(None));
    }
    let path = dir.join(what);
    // Only what cannot be an ID is a path, unless it is there and the run is not.
    let is_id = what == "latest" || what.strip_prefix('r').unwrap_or(what).bytes().all(|b| b.is_ascii_hexdigit());
    let known = || Project::open(dir, &backend::own_home()).ok().flatten().is_some_and(|p| p.run(what).is_ok());
    match std::fs::metadata(&path) {
        _ if is_id && known() => Ok(Place::Project),
        Ok(found) if found.is_dir() => Ok(Place::Folder(path)),
        Ok(found) if found.is_file() => {
            Ok(Place::Bundle(Some(File::open(&path).with_context(|| format!("cannot open {what}"))?)))
        }
        Ok(_) => bail!("{what} is neither a folder nor a plain file; `-` reads a bundle from standard input"),
        Err(_) if is_id => Ok(Place::Project),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Err(aido_runtime::Error::new(format!(
            "`{what}` is neither the ID of a run nor a file or folder that is there"
        ))
        .remedy("`aido runs` lists the runs of this project; without a name the last one is checked")
        .into()),
        Err(error) => Err(error).with_context(|| format!("cannot find {what}")),
    }
}

fn in_project(project: &Project, typed: &Verify, trust: &aido_evidence::Trust) -> Result<Looked> {
    let runs = match (typed.all, typed.what.as_deref()) {
        (true, _) => project.runs()?,
        (false, Some(what)) => vec![project.run(what)?],
        // A project in which nothing was run yet has its ledger all the same.
        (false, None) => project.latest_run()?.into_iter().collect(),
    };
    // One that was destroyed while it was read is no run of the project any more: the ledger tells whether it had to go.
    let there = |run: &Run| project.sandbox_with(run.sandbox().id().as_str()).is_ok_and(|sandbox| sandbox.is_some());
    let reports = runs.iter().map(|run| (run, run.verify(trust)));
    let reports = reports.filter(|(run, report)| !typed.all || report.as_ref().is_ok_and(|r| r.verified) || there(run));
    let runs = reports.map(|(_, report)| report).collect::<aido_evidence::Result<_>>()?;
    Ok(Looked { runs, ledger: Some(project.verify_ledger()?) })
}

fn in_folder(path: &Path, trust: &aido_evidence::Trust) -> Result<Looked> {
    let path = path.canonicalize().with_context(|| format!("cannot find {}", path.display()))?;
    let project = if path.ends_with(".aido") { path.parent() } else { Some(&*path) };
    // Others' projects are only looked at: nothing in them is closed or ended.
    if let Some(project) = project.map(|project| Project::open(project, &backend::own_home())).transpose()?.flatten() {
        let runs = project.runs()?.iter().map(|run| run.verify(trust)).collect::<aido_evidence::Result<_>>()?;
        return Ok(Looked { runs, ledger: Some(project.verify_ledger()?) });
    }
    let runs = verify_folder(&path, trust)?;
    if runs.is_empty() {
        bail!("{} is no folder of a run, a sandbox or a project", path.display());
    }
    Ok(Looked { runs, ledger: None })
}
