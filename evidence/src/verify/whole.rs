//! Where runs to be verified are found: in a project, in folders that were copied, in bundles.

use super::Trust;
use super::examine::{Examiner, Expected, Outputs};
use super::report::Report;
use crate::bundle::Bundle;
use crate::error::{Error, Result};
use crate::files::EVENTS;
use crate::folder::{Folder, present};
use crate::id::{Id, Of};
use crate::parts::{Far, Stop, Stored, Watched};
use crate::run::Run;
use crate::sandbox::RUNS;
use std::io::BufRead;
use std::path::Path;

impl Run {
    /// Whether this run is as it was signed. Reads all of it.
    pub fn verify(&self, trust: &Trust) -> Result<Report> {
        self.verified(|parts, expected| Examiner::run(&mut { parts }, trust, expected))
    }

    /// The same, for somebody who wants to hear how far it is.
    pub fn verify_heard(&self, trust: &Trust, hears: &mut dyn FnMut(Far)) -> Result<Report> {
        self.verified(|parts, expected| Examiner::run(&mut Watched { parts, hears: &mut *hears }, trust, expected))
    }

    fn verified(&self, mut examine: impl FnMut(Stored, Expected) -> Result<Report>) -> Result<Report> {
        let mut tries = 3;
        loop {
            // Asked before and after: one that is sealed meanwhile is read again.
            let running = self.alive()?;
            let (parts, later) = self.parts()?;
            let expected = Expected {
                run: Some(self.id().to_string()),
                sandbox: Some(self.sandbox().id().to_string()),
                running,
                outputs: later.map_or(Outputs::Here, Outputs::Replaced),
            };
            let report = examine(parts, expected)?;
            tries -= 1;
            if tries == 0 || report.verified || running == self.alive()? && !running {
                return Ok(report);
            }
        }
    }

    /// Its files, and the later run that has replaced the outputs, if there is one.
    pub(crate) fn parts(&self) -> Result<(Stored, Option<String>)> {
        let sandbox = self.sandbox().own_folder();
        let newest = self.sandbox().runs()?.into_iter().next().map(|run| run.id().clone());
        let later = newest.filter(|newest| newest != self.id());
        let here = match later {
            None => present(sandbox.sub(crate::sandbox::OUTPUTS))?,
            Some(_) => None,
        };
        let parts = Stored { run: self.own_folder().clone(), sandbox: Some(sandbox.clone()), outputs: here };
        Ok((parts, later.map(|later| later.to_string())))
    }
}

/// A run in a folder that may lie anywhere: the run's own, one that a bundle was unpacked to, or a sandbox's, which
/// has several. Empty if it is none of these.
pub fn verify_folder(path: &Path, trust: &Trust) -> Result<Vec<Report>> {
    let path = path.canonicalize().map_err(|e| Error::io("find", path, e))?;
    let folder = Folder::open(&path)?;
    let mut reports = Vec::new();
    if folder.has(EVENTS)? || folder.has(crate::files::SEAL)? {
        reports.push(lone(folder, &path, trust)?);
    } else if let Some(run) = present(folder.sub("run"))?
        && run.has(EVENTS)?
    {
        let outputs = present(folder.sub(crate::sandbox::OUTPUTS))?;
        let mut parts = Stored { run, sandbox: present(folder.sub("sandbox"))?, outputs };
        reports.push(Examiner::run(&mut parts, trust, Expected::default())?);
    } else if let Some(runs) = present(folder.sub(RUNS))? {
        let mut ids: Vec<String> = runs.names()?.into_iter().filter(|n| Id::parse(Of::Run, n).is_some()).collect();
        ids.sort();
        for id in ids {
            reports.push(lone(runs.sub(&id)?, &path.join(RUNS).join(&id), trust)?);
        }
    }
    Ok(reports)
}

/// A run's own folder. Where it lies in a sandbox's, that has the rest of it; else the rest may have been copied into it.
fn lone(run: Folder, path: &Path, trust: &Trust) -> Result<Report> {
    let named = |path: &Path, of| path.file_name()?.to_str().and_then(|n| Id::parse(of, n)).map(|id| id.to_string());
    let mut expected = Expected { run: named(path, Of::Run), ..Expected::default() };
    let above = path.parent().filter(|runs| runs.ends_with(RUNS)).and_then(Path::parent);
    let sandbox = above.map(Folder::open).transpose()?;
    let mut parts = Stored { run: run.clone(), sandbox: Some(run.clone()), outputs: None };
    if let (Some(sandbox), Some(above)) = (sandbox, above)
        && sandbox.has("state.json")?
    {
        expected.sandbox = named(above, Of::Sandbox);
        parts.outputs = present(sandbox.sub(crate::sandbox::OUTPUTS))?;
        parts.sandbox = Some(sandbox);
        if let Some(later) = later(&path.with_file_name(""), path)? {
            (parts.outputs, expected.outputs) = (None, Outputs::Replaced(later));
        }
    } else {
        parts.outputs = present(run.sub(crate::sandbox::OUTPUTS))?;
    }
    Examiner::run(&mut parts, trust, expected)
}

/// The newest run beside this one, if that is another.
fn later(runs: &Path, own: &Path) -> Result<Option<String>> {
    let runs = Folder::open(runs)?;
    let mut newest: Option<(String, String)> = None;
    for id in runs.names()?.into_iter().filter(|name| Id::parse(Of::Run, name).is_some()) {
        let time = Run::first_record(&runs.sub(&id)?).map(|begun| begun.time).unwrap_or_default();
        newest = newest.max(Some((time, id)));
    }
    let own = own.file_name().and_then(|name| name.to_str());
    Ok(newest.map(|(_, id)| id).filter(|id| Some(id.as_str()) != own))
}

/// A run in one file. `at_most`: bytes of all its files together. What is wrong with the file is in the report.
pub fn verify_bundle(input: impl BufRead, at_most: u64, trust: &Trust) -> Result<Report> {
    /// Nothing that can be read.
    struct Bad(Option<String>);
    impl crate::parts::Parts for Bad {
        fn each(
            &mut self,
            _: &mut dyn FnMut(crate::parts::Found<'_>) -> std::result::Result<(), Stop>,
        ) -> std::result::Result<(), Stop> {
            Err(Stop::Refused(self.0.take().unwrap_or_default()))
        }
    }
    match Bundle::new(input, at_most) {
        Ok(mut bundle) => Examiner::run(&mut bundle, trust, Expected::default()),
        Err(Stop::Failed(error)) => Err(error),
        Err(Stop::Refused(what)) => Examiner::run(&mut Bad(Some(what)), trust, Expected::default()),
    }
}
