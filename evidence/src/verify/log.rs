//! `events.log`: its chain, whose it is, and the signatures in it.

use super::Trust;
use super::hash::Mark;
use super::report::{Finding, FindingKind, SignedBy};
use crate::chain::Record;
use crate::checkpoint::{CHECKPOINT, KEY, OUTPUT, checkpoint_holds};
use crate::files::EVENTS;
use crate::id::{Id, Of};
use crate::key::PublicKey;
use crate::read::Events;
use serde_json::Value;
use std::io::Read;

/// So many faults of one log are told.
const MOST_FAULTS: usize = 20;
/// So many milestones are remembered; of more, every second one.
const MOST_MARKS: usize = 100_000;

/// What the log says, as far as its chain holds.
#[derive(Debug, Default)]
pub(super) struct Log {
    pub(super) records: u64,
    pub(super) head: String,
    pub(super) run: Option<Id>,
    pub(super) sandbox: Option<Id>,
    /// Digest of `plan.json`.
    pub(super) plan: Option<String>,
    /// The keys that sign here, in the order in which they are named.
    pub(super) signers: Vec<SignedBy>,
    key: Option<PublicKey>,
    /// How many checkpoints hold, and the last of them.
    pub(super) checkpoints: u64,
    pub(super) proven: Option<Proven>,
    /// Where somebody else closed it: the first record that is his, and what was proven before that.
    pub(super) closing: Option<u64>,
    pub(super) proven_by_writer: Option<Proven>,
    pub(super) stdout: Vec<Mark>,
    pub(super) stderr: Vec<Mark>,
    /// The chain holds to the end of the file.
    pub(super) whole: bool,
    pub(super) findings: Vec<Finding>,
}

/// A checkpoint that holds.
#[derive(Clone, Debug)]
pub(super) struct Proven {
    /// The last record that it signs.
    pub(super) through: u64,
    pub(super) keyid: String,
}

impl Log {
    /// Reads as far as the chain holds; what follows is left in the stream.
    pub(super) fn read(input: &mut dyn Read, trust: &Trust) -> Log {
        let mut log = Log { whole: true, ..Log::default() };
        let mut events = Events::new(input);
        loop {
            let (before, head) = (events.records(), events.head().to_owned());
            match events.next() {
                None => break,
                Some(Ok(record)) => log.take(&record, before, &head, events.good_line(), trust),
                Some(Err(broken)) => {
                    let finding = Finding::fault(FindingKind::Broken, EVENTS, broken.why);
                    log.findings.push(finding.at(broken.seq, broken.line));
                    log.whole = false;
                }
            }
        }
        (log.records, log.head) = (events.records(), events.head().to_owned());
        log
    }

    fn take(&mut self, record: &Record, before: u64, head: &str, line: u64, trust: &Trust) {
        let text = |name: &str| record.data.get(name).and_then(Value::as_str);
        let told = match record.kind.as_str() {
            "begun" if record.seq == 0 => {
                self.run = text("run").and_then(|id| Id::parse(Of::Run, id));
                self.sandbox = text("sandbox").and_then(|id| Id::parse(Of::Sandbox, id));
                Ok(())
            }
            "begun" => Err("a run begins once".to_owned()),
            "plan" => {
                self.plan = text("digest").map(str::to_owned);
                Ok(())
            }
            KEY => {
                // The first key is the writer's; who closes a run for him brings his own.
                if !self.signers.is_empty() || record.seq > 1 {
                    self.closes(record.seq);
                }
                self.key(&record.data, trust)
            }
            "interrupted" => {
                self.closes(record.seq);
                Ok(())
            }
            CHECKPOINT => self.checkpoint(&record.data, before, head),
            OUTPUT => {
                self.milestone(record);
                Ok(())
            }
            _ => Ok(()),
        };
        if let Err(what) = told
            && self.findings.len() < MOST_FAULTS
        {
            let kind = if record.kind == "begun" { FindingKind::Added } else { FindingKind::Signature };
            self.findings.push(Finding::fault(kind, EVENTS, what).at(record.seq, line));
        }
    }

    fn closes(&mut self, seq: u64) {
        if self.closing.is_none() {
            self.closing = Some(seq);
            self.proven_by_writer = self.proven.clone();
        }
    }

    fn key(&mut self, data: &Value, trust: &Trust) -> Result<(), String> {
        let text = |name: &str| data.get(name).and_then(Value::as_str).unwrap_or_default();
        let key = PublicKey::from_pem(text("public")).map_err(|e| format!("the key that it names: {e}"))?;
        if key.id() != text("keyid") {
            return Err(format!("the key that it names is not {} but {}", text("keyid"), key.id()));
        }
        self.signers.push(SignedBy {
            keyid: key.id().to_owned(),
            known: trust.knows(key.id()),
            kept: data.get("kept").and_then(Value::as_bool).unwrap_or(false),
            public: key.to_pem(),
        });
        self.key = Some(key);
        Ok(())
    }

    fn checkpoint(&mut self, data: &Value, before: u64, head: &str) -> Result<(), String> {
        let (Some(run), Some(key)) = (&self.run, &self.key) else {
            return Err("a checkpoint that no run or no key comes before".to_owned());
        };
        let through = before.saturating_sub(1);
        if !checkpoint_holds(key, run, through, head, data) {
            return Err(format!("the signature of this checkpoint does not hold for run {run} and key {}", key.id()));
        }
        self.checkpoints += 1;
        self.proven = Some(Proven { through, keyid: key.id().to_owned() });
        Ok(())
    }

    fn milestone(&mut self, record: &Record) {
        for (stream, marks) in [("stdout", &mut self.stdout), ("stderr", &mut self.stderr)] {
            let said = &record.data[stream];
            if let (Some(kept), Some(sha256)) = (said["kept"].as_u64(), said["sha256"].as_str()) {
                let sha256 = sha256.strip_prefix("sha256:").unwrap_or(sha256).to_owned();
                marks.push(Mark { record: record.seq, kept, sha256 });
            }
            if marks.len() > MOST_MARKS {
                let mut number = 0;
                marks.retain(|_| {
                    number += 1;
                    number % 2 == 0
                });
            }
        }
    }
}
