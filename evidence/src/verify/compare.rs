//! A run against its seal; without one against what its record says.

use super::examine::{Examiner, Outputs};
use super::older;
use super::report::{Finding, FindingKind, Level, VerifiedState};
use super::seal::Sealed;
use crate::files::{EVENTS, SEAL};
use crate::statement::ClosedBy;

impl Examiner<'_> {
    /// Holds everything against the seal.
    pub(super) fn compare(&mut self, sealed: &Sealed) {
        let said = &sealed.statement.predicate;
        for (what, found, own) in
            [("run", &said.run, self.log.run.clone()), ("sandbox", &said.sandbox, self.log.sandbox.clone())]
        {
            if own.is_some_and(|own| own != *found) {
                self.fault(FindingKind::Swapped, SEAL, format!("it is the seal of {what} {found}"));
            }
        }
        self.chain(said.chain.records, &said.chain.head);
        let mut missing = Vec::new();
        for subject in &sealed.statement.subject {
            let name = subject.name.as_str();
            let is_output = name.starts_with(crate::parts::OUTPUTS);
            match self.files.digest(name) {
                Some(found) if *found == subject.digest.sha256 => {}
                // The chain has said more of it.
                Some(_) if name == EVENTS && self.findings.iter().any(|f| f.file == EVENTS) => {}
                Some(_) => self.fault(FindingKind::Changed, name, "it is not what was sealed"),
                None if is_output => missing.push(name),
                None if self.findings.iter().any(|f| f.file == name) => {}
                None => self.fault(FindingKind::Missing, name, "it was sealed, and is not there"),
            }
        }
        self.outputs(&missing);
        self.added(sealed);
        if said.closed_by == ClosedBy::Recovery {
            self.unsigned();
        }
    }

    /// What is there and was not sealed.
    fn added(&mut self, sealed: &Sealed) {
        // A run that was interrupted while its outputs were brought out leaves some that nobody looked at.
        let unlooked = sealed.statement.predicate.closed_by == ClosedBy::Recovery;
        let subjects = &sealed.statement;
        let added: Vec<String> =
            self.files.0.keys().filter(|name| *name != SEAL && !has(subjects, name)).cloned().collect();
        for name in added {
            match unlooked && name.starts_with(crate::parts::OUTPUTS) {
                true => {
                    let what = "it is there, and was not sealed: the run was interrupted";
                    self.findings.push(Finding::new(Level::Warning, FindingKind::Added, &name, what));
                }
                false => self.fault(FindingKind::Added, &name, "it is there, and was not sealed"),
            }
        }
    }

    fn chain(&mut self, records: u64, head: &str) {
        let known = self.log.records;
        if !self.log.whole || known == 0 || (known == records && self.log.head == head) {
            return;
        }
        let what = match known.cmp(&records) {
            std::cmp::Ordering::Less => format!("its last {} of {records} records are missing", records - known),
            std::cmp::Ordering::Greater => format!("{} records were added at its end", known - records),
            std::cmp::Ordering::Equal => "its last record is another than the sealed one".to_owned(),
        };
        self.fault(FindingKind::Changed, EVENTS, what);
    }

    fn outputs(&mut self, missing: &[&str]) {
        match (&self.expected.outputs, missing) {
            (_, []) => {}
            (Outputs::Replaced(by), _) => {
                let what =
                    format!("{} of it are no longer kept: run {by} of the same sandbox replaced them", missing.len());
                self.findings.push(Finding::new(Level::Note, FindingKind::NotKept, "outputs", what));
            }
            (Outputs::LeftOut, _) => {
                let what = format!("{} of it were sealed and left out of this bundle", missing.len());
                self.findings.push(Finding::new(Level::Warning, FindingKind::NotKept, "outputs", what));
            }
            (Outputs::Here, _) => {
                missing
                    .iter()
                    .for_each(|name| self.fault(FindingKind::Missing, name, "it was sealed, and is not there"));
            }
        }
    }

    pub(super) fn unsealed(&mut self, state: VerifiedState) {
        let here = self.expected.outputs == Outputs::Here;
        if let Some(summary) = older::summary(self.summary.as_deref(), &self.log) {
            self.findings.extend(older::check(&summary, &self.log, &self.files, here));
            return;
        }
        if let Some(digest) = &self.log.plan
            && self.files.digest("plan.json") != digest.strip_prefix("sha256:")
        {
            self.fault(FindingKind::Changed, "plan.json", "it is not what the record says");
        }
        match state {
            VerifiedState::Running => {
                let what = "it still runs; what is on record so far was checked";
                self.findings.push(Finding::new(Level::Note, FindingKind::Running, "", what));
            }
            // A seal that cannot be believed was told already.
            _ if self.files.digest(SEAL).is_some() => {}
            _ => self.fault(
                FindingKind::Unsealed,
                SEAL,
                "it is not there: the writer was killed before it sealed, or somebody removed it",
            ),
        }
    }

    /// What a writer that was killed had not signed yet.
    fn unsigned(&mut self) {
        let Some(closing) = self.log.closing else { return };
        let from = self.log.proven_by_writer.as_ref().map_or(1, |proven| proven.through + 2);
        if from < closing {
            let level = if self.log.proven_by_writer.is_some() { Level::Note } else { Level::Warning };
            let what = format!(
                "records {from} to {} were not signed when the writer was killed: the command that sealed them found them so",
                closing - 1
            );
            self.findings.push(Finding::new(level, FindingKind::Unsigned, EVENTS, what));
        }
    }
}

fn has(statement: &crate::statement::Statement, name: &str) -> bool {
    statement.subject.binary_search_by(|subject| subject.name.as_str().cmp(name)).is_ok()
}
