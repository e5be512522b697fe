//! The ledger: its own chain, its end against what the user's state knows, and its lines against what is there.

use super::report::{Finding, FindingKind, LedgerReport, Level, clean};
use crate::anchor::{Anchor, ledger_name};
use crate::chain::{Record, sha256_hex};
use crate::error::Result;
use crate::files::{MAX_SUMMARY, SEAL, SUMMARY};
use crate::folder::present;
use crate::ledger::{BEGUN, DIFFERS, NAME};
use crate::project::Project;
use crate::run::Run;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// What the ledger says of one run.
#[derive(Debug, Default)]
struct Known {
    sandbox: String,
    /// The lines that say how it ended; one is right.
    ends: Vec<End>,
}

#[derive(Debug)]
struct End {
    record: u64,
    line: u64,
    summary: Option<String>,
    seal: Option<String>,
}

#[derive(Debug, Default)]
struct Lines {
    runs: BTreeMap<String, Known>,
    /// Whether it was destroyed.
    sandboxes: BTreeMap<String, bool>,
    name: Option<String>,
    records: u64,
    whole: bool,
    /// The hash of the line that the anchor speaks of.
    anchored: Option<String>,
    findings: Vec<Finding>,
}

impl Project {
    /// Whether the ledger is whole and speaks of what is there. Does not read the runs; [`Run::verify`] does.
    pub fn verify_ledger(&self) -> Result<LedgerReport> {
        let mut tries = 3;
        loop {
            let report = self.look()?;
            tries -= 1;
            // Others make and remove things while one looks.
            if report.verified || tries == 0 {
                return Ok(report);
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    fn look(&self) -> Result<LedgerReport> {
        let mut findings = Vec::new();
        // Before the lines: the ledger only grows.
        let anchor = self.ledger().anchor().unwrap_or_else(|error| {
            let what = format!("what the user's state knows of it cannot be read: {error}");
            findings.push(Finding::new(Level::Warning, FindingKind::NoAnchor, NAME, what));
            None
        });
        let sandboxes = self.sandboxes()?;
        let mut runs = Vec::new();
        for sandbox in &sandboxes {
            runs.extend(sandbox.runs()?);
        }
        let mut lines = Lines::read(self, anchor.as_ref())?;
        findings.append(&mut lines.findings);
        lines.end(anchor.as_ref(), &mut findings)?;
        for run in &runs {
            findings.extend(lines.run(run)?);
        }
        for sandbox in &sandboxes {
            let id = sandbox.id().as_str();
            let what = match lines.sandboxes.get(id) {
                Some(false) => continue,
                Some(true) => format!("it says that sandbox {id} was destroyed, and it is there"),
                None => format!("sandbox {id} is there, and it does not know it"),
            };
            findings.push(Finding::fault(FindingKind::Added, NAME, what));
        }
        // Where the chain breaks, nothing is known of what came later.
        if lines.whole {
            findings.extend(lines.gone(self));
        }
        Ok(LedgerReport { verified: clean(&findings), lines: lines.records, anchored: anchor.is_some(), findings })
    }
}

impl Lines {
    fn read(project: &Project, anchor: Option<&Anchor>) -> Result<Lines> {
        let mut lines = Lines { whole: true, ..Lines::default() };
        let Some(mut records) = project.ledger().records()? else { return Ok(lines) };
        while let Some(record) = records.next() {
            match record {
                Ok(record) => lines.take(&record, records.good_line(), anchor),
                Err(broken) => {
                    lines.whole = false;
                    let finding = match broken.torn_end {
                        // Its writer was killed; the next one owns up to it.
                        true => Finding::new(Level::Warning, FindingKind::Broken, NAME, broken.why),
                        false => Finding::fault(FindingKind::Broken, NAME, broken.why),
                    };
                    lines.findings.push(finding.at(broken.seq, broken.line));
                }
            }
        }
        lines.records = records.records();
        Ok(lines)
    }

    fn take(&mut self, record: &Record, line: u64, anchor: Option<&Anchor>) {
        if record.seq == 0 {
            self.name = Some(ledger_name(record));
        }
        if anchor.is_some_and(|anchor| anchor.seq == record.seq) {
            self.anchored = Some(record.hash.clone());
        }
        let text = |name: &str| record.data.get(name).and_then(Value::as_str).map(str::to_owned);
        let (run, sandbox) = (text("run"), text("sandbox").unwrap_or_default());
        match (record.kind.as_str(), run) {
            ("run_begun", Some(run)) => {
                let known = self.runs.entry(run.clone()).or_default();
                if !known.sandbox.is_empty() {
                    let finding = Finding::fault(FindingKind::Added, NAME, format!("run {run} begins a second time"));
                    self.findings.push(finding.at(record.seq, line));
                }
                known.sandbox = sandbox;
            }
            ("run_sealed" | "run_interrupted", Some(run)) => {
                let known = self.runs.entry(run).or_default();
                if known.sandbox.is_empty() {
                    known.sandbox = sandbox;
                }
                let end = End { record: record.seq, line, summary: text("summary_sha256"), seal: text("seal_sha256") };
                known.ends.push(end);
            }
            ("sandbox_created", _) => _ = self.sandboxes.entry(sandbox).or_insert(false),
            ("sandbox_destroyed", _) => _ = self.sandboxes.insert(sandbox, true),
            (BEGUN, _) => self.follows(record, line),
            (DIFFERS, _) => {
                let what = "aido found another ledger here than the one that it knew, or a shorter one";
                self.findings.push(Finding::fault(FindingKind::Ledger, NAME, what).at(record.seq, line));
            }
            _ => {}
        }
    }

    /// A ledger that began after another was gone says so.
    fn follows(&mut self, record: &Record, line: u64) {
        let before = &record.data["follows"];
        if let (Some(name), Some(seq)) = (before["ledger"].as_str(), before["seq"].as_u64()) {
            let what = format!(
                "it was begun when the ledger before it ({name}, {} records) was gone, with all that it spoke of",
                seq.saturating_add(1)
            );
            self.findings.push(Finding::new(Level::Warning, FindingKind::Ledger, NAME, what).at(record.seq, line));
        }
    }

    /// Its end against what the user's state knows.
    fn end(&self, anchor: Option<&Anchor>, findings: &mut Vec<Finding>) -> Result<()> {
        let Some(anchor) = anchor else {
            if findings.iter().all(|finding| finding.kind != FindingKind::NoAnchor) {
                let what = "nothing outside of the project speaks of it: lines that were cut off its end are not found";
                findings.push(Finding::new(Level::Warning, FindingKind::NoAnchor, NAME, what));
            }
            return Ok(());
        };
        for lost in anchor.lost.iter().filter(|lost| Some(&lost.ledger) != self.name.as_ref()) {
            let told = findings.iter().any(|finding| finding.what.contains(&lost.ledger));
            if !told {
                let records = lost.seq.saturating_add(1);
                let what = format!(
                    "a ledger of this project ({}, {records} records) is gone since {}",
                    lost.ledger, lost.time
                );
                findings.push(Finding::new(Level::Warning, FindingKind::Ledger, NAME, what));
            }
        }
        let known = anchor.seq.saturating_add(1);
        let same = self.name.as_deref() == Some(&anchor.ledger);
        let what = match &self.anchored {
            Some(hash) if same && *hash == anchor.head => return Ok(()),
            _ if self.name.is_some() && !same => {
                format!("it is another one than that of {known} records that was written here")
            }
            // Told already: what stands behind the break is not known.
            None if !self.whole => return Ok(()),
            None if self.records == 0 => format!("it is gone; it had {known} records"),
            None => format!("its end is missing: it has {} records, and had {known}", self.records),
            Some(_) => format!("its first {known} records are others than those that were written here"),
        };
        let restart = match anchor.is_of_another_boot()? {
            true => "; the machine was started since, so a power cut may have taken what was not on the disk yet",
            false => "",
        };
        findings.push(Finding::fault(FindingKind::Ledger, NAME, format!("{what}{restart}")));
        Ok(())
    }

    /// What it says of a run that is there.
    fn run(&self, run: &Run) -> Result<Option<Finding>> {
        let id = run.id();
        let fault = |kind, what: String| Ok(Some(Finding::fault(kind, NAME, what)));
        // Whoever writes it is about to say what is missing.
        if run.alive()? {
            return Ok(None);
        }
        let Some(known) = self.runs.get(id.as_str()) else {
            return match self.whole {
                true => fault(FindingKind::Added, format!("run {id} is there, and it does not know it")),
                false => Ok(None),
            };
        };
        if known.sandbox != run.sandbox().id().as_str() {
            let (there, said) = (run.sandbox().id(), &known.sandbox);
            return fault(FindingKind::Swapped, format!("run {id} is in sandbox {there}, and it says {said}"));
        }
        let sha256 = |name| Ok(present(run.own_folder().read(name, MAX_SUMMARY))?.map(|bytes| sha256_hex(&bytes)));
        let (summary, seal) = (sha256(SUMMARY)?, sha256(SEAL)?);
        match &known.ends[..] {
            [] if summary.is_some() && self.whole => {
                fault(FindingKind::Added, format!("run {id} has a summary, and it knows no end of it"))
            }
            [] => Ok(None),
            [end] => {
                let what = match (summary == end.summary, seal == end.seal) {
                    (true, true) => return Ok(None),
                    (false, _) => "summary",
                    (true, false) => "seal",
                };
                let what = format!("run {id} has another {what} than it says");
                Ok(Some(Finding::fault(FindingKind::Changed, NAME, what).at(end.record, end.line)))
            }
            [.., last] => {
                let what = format!("it says more than once how run {id} ended");
                Ok(Some(Finding::fault(FindingKind::Added, NAME, what).at(last.record, last.line)))
            }
        }
    }

    /// What it speaks of, and what is not there.
    fn gone(&self, project: &Project) -> Vec<Finding> {
        let mut findings = Vec::new();
        let destroyed = |id: &str| self.sandboxes.get(id).copied().unwrap_or(false);
        let mut with_runs = BTreeSet::new();
        for (id, known) in &self.runs {
            let sandbox = known.sandbox.as_str();
            with_runs.insert(sandbox);
            if !destroyed(sandbox) && project.run_in(sandbox, id).is_err() {
                let what = format!("run {id} of sandbox {sandbox} is gone, and it does not say that it was destroyed");
                findings.push(Finding::fault(FindingKind::Missing, NAME, what));
            }
        }
        let here = |id: &str| matches!(project.sandbox_with(id), Ok(Some(_)));
        for id in self.sandboxes.keys().filter(|id| !destroyed(id) && !with_runs.contains(id.as_str()) && !here(id)) {
            let what = format!(
                "sandbox {id}, in which nothing was run, is gone: its maker was killed, or somebody removed it"
            );
            findings.push(Finding::new(Level::Note, FindingKind::Missing, NAME, what));
        }
        findings
    }
}
