//! What a seal says: an in-toto Statement about one run.

use crate::id::Id;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// `payloadType` of the seal's envelope.
pub const STATEMENT_TYPE: &str = "application/vnd.in-toto+json";
/// `_type` of the statement.
pub const STATEMENT: &str = "https://in-toto.io/Statement/v1";
/// `predicateType`.
pub const PREDICATE_TYPE: &str = "urn:aido:run:1";
/// Version of the predicate. 1: first.
pub const PREDICATE_VERSION: u32 = 1;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Statement {
    #[serde(rename = "_type")]
    pub kind: String,
    /// Sorted by name.
    pub subject: Vec<Subject>,
    #[serde(rename = "predicateType")]
    pub predicate_type: String,
    pub predicate: Predicate,
}

/// A file and its digest. Names are those in the run's folder; `sandbox.yaml` is the sandbox's, `outputs/…` are its outputs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Subject {
    pub name: String,
    pub digest: Digest,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Digest {
    /// 64 hex digits.
    pub sha256: String,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Predicate {
    pub version: u32,
    pub run: Id,
    pub sandbox: Id,
    pub closed_by: ClosedBy,
    pub key: SealKey,
    pub chain: ChainEnd,
    /// Where the outputs lie, seen from the run's folder. The next run of the same sandbox replaces them.
    pub outputs_of: String,
    /// What the summary says as well: plan, image, inputs, what was enforced, how it ended.
    #[serde(flatten)]
    pub facts: Map<String, Value>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClosedBy {
    /// Who wrote the run saw it to its end.
    Writer,
    /// The writer died, and somebody else closed what was left.
    Recovery,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SealKey {
    pub id: String,
    /// PEM.
    pub public: String,
    /// False: the key lived in the memory of one process only, since none could be stored.
    pub kept: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChainEnd {
    /// Hash of the last record of `events.log`.
    pub head: String,
    /// How many records there are.
    pub records: u64,
}

/// What the caller knows of a run and the seal is to say.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// Members of the predicate. Those that the seal makes itself are not taken from here.
    pub members: Map<String, Value>,
    /// The outputs: path below the outputs folder, and SHA-256 with or without `sha256:`.
    pub outputs: Vec<(String, String)>,
}

impl Subject {
    pub(crate) fn new(name: impl Into<String>, sha256: &str) -> Subject {
        let sha256 = sha256.strip_prefix("sha256:").unwrap_or(sha256).to_owned();
        Subject { name: name.into(), digest: Digest { sha256 } }
    }
}

impl Statement {
    pub(crate) fn new(mut subject: Vec<Subject>, predicate: Predicate) -> Statement {
        subject.sort_by(|a, b| a.name.cmp(&b.name));
        Statement { kind: STATEMENT.to_owned(), subject, predicate_type: PREDICATE_TYPE.to_owned(), predicate }
    }

    /// Reads a payload. The error says what is wrong with it.
    pub fn read(payload: &[u8]) -> Result<Statement, String> {
        let statement: Statement = serde_json::from_slice(payload).map_err(|e| format!("it is no statement: {e}"))?;
        let known = statement.kind == STATEMENT && statement.predicate_type == PREDICATE_TYPE;
        if !known || statement.predicate.version != PREDICATE_VERSION {
            return Err(format!(
                "it is a {:?} of version {}, and this program knows {PREDICATE_TYPE} of version {PREDICATE_VERSION}",
                statement.predicate_type, statement.predicate.version
            ));
        }
        Ok(statement)
    }

    /// The digest of a subject.
    pub fn sha256(&self, name: &str) -> Option<&str> {
        self.subject.iter().find(|subject| subject.name == name).map(|subject| subject.digest.sha256.as_str())
    }
}
