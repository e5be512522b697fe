//! What verification tells.

use serde::Serialize;

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// Good to know.
    Note,
    /// May be what somebody did who had the right to, and may be an attack.
    Warning,
    /// The evidence is not what it should be.
    Fault,
}

/// What kind of thing was found, for programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FindingKind {
    /// Other bytes than those that were signed or stated.
    Changed,
    Missing,
    Added,
    /// It belongs to another run, sandbox or ledger.
    Swapped,
    /// A chain that does not hold.
    Broken,
    /// A signature that does not hold, or a form that nothing can be believed of.
    Signature,
    /// Consistent, and signed by a key that nobody vouches for.
    UnknownKey,
    /// Nothing is signed.
    Unsealed,
    /// Written by one who was killed before he signed it.
    Unsigned,
    /// It cannot be read, or is refused.
    Unreadable,
    /// A ledger whose end or beginning is not the one that the user's state knows.
    Ledger,
    /// Nothing outside of the project speaks of its ledger.
    NoAnchor,
    /// A later run replaced it, as it may.
    NotKept,
    /// It is still being written.
    Running,
    /// What a writer that was killed left behind.
    Leftover,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    pub level: Level,
    pub kind: FindingKind,
    /// As a person would look for it: `events.log`, `outputs/a.txt`, `ledger.jsonl`; empty for the whole.
    pub file: String,
    /// The number of the record, counted from 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub record: Option<u64>,
    /// Counted from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<u64>,
    /// A sentence without a full stop. Quotes strangers: it is to be made harmless before it is shown.
    pub what: String,
}

impl Finding {
    pub(super) fn new(level: Level, kind: FindingKind, file: &str, what: impl Into<String>) -> Finding {
        Finding { level, kind, file: file.to_owned(), record: None, line: None, what: what.into() }
    }

    pub(super) fn fault(kind: FindingKind, file: &str, what: impl Into<String>) -> Finding {
        Finding::new(Level::Fault, kind, file, what)
    }

    pub(super) fn at(self, record: u64, line: u64) -> Finding {
        Finding { record: Some(record), line: Some(line), ..self }
    }
}

/// How far a run has come, by its own account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum VerifiedState {
    /// Its writer sealed it.
    Sealed,
    /// Its writer died, and somebody else sealed what was left.
    Interrupted,
    /// It is being written.
    Running,
    /// It has no seal.
    Unsealed,
    /// Made before there were seals.
    Older,
}

/// Who signed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SignedBy {
    /// The name of the key: the SHA-256 of its public half.
    pub keyid: String,
    /// Whether somebody vouches for it.
    pub known: bool,
    /// False: it lived as long as one process.
    pub kept: bool,
    /// The public half, PEM.
    pub public: String,
}

/// Something that is as it was signed, whatever else was found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Trusted {
    pub file: String,
    /// All of it, as sealed.
    pub whole: bool,
    /// In words: how much of it, and what says so.
    pub what: String,
    /// The key that signed it.
    pub keyid: String,
}

/// One run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    /// As the record says; empty where nothing says so.
    pub run: String,
    pub sandbox: String,
    pub state: VerifiedState,
    /// Whether nothing speaks against it.
    pub verified: bool,
    /// Who signed the seal; without a seal who signed the checkpoints.
    pub signer: Option<SignedBy>,
    /// Records of `events.log` that hold.
    pub records: u64,
    /// Signatures among them that hold.
    pub checkpoints: u64,
    /// Files that were read, and their bytes.
    pub files: u64,
    pub bytes: u64,
    pub findings: Vec<Finding>,
    /// What can be believed; everything where nothing is wrong.
    pub trusted: Vec<Trusted>,
}

impl Report {
    /// Whether the only thing against it is that nobody vouches for who signed.
    pub fn only_the_key_is_unknown(&self) -> bool {
        let mut faults = self.findings.iter().filter(|f| f.level == Level::Fault).peekable();
        faults.peek().is_some() && faults.all(|f| f.kind == FindingKind::UnknownKey)
    }
}

/// The project's ledger, and what it says of the runs that are there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LedgerReport {
    pub verified: bool,
    /// Lines that hold.
    pub lines: u64,
    /// Whether something outside of the project holds its end.
    pub anchored: bool,
    pub findings: Vec<Finding>,
}

/// Whether nothing is found that is a fault.
pub(super) fn clean(findings: &[Finding]) -> bool {
    findings.iter().all(|finding| finding.level < Level::Fault)
}
