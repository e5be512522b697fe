//! What an engine tells while it works.

use crate::{Enforced, Refusal};
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Event {
    /// Something outside this process exists that must go even if this process dies: what
    /// [`crate::Runtime::destroy`] needs to find it.
    Held { leftover: String },
    /// The sandbox stands and the task is about to start.
    Enforced { controls: Enforced },
    /// The task runs; `pid` is its guard's number on the host, where there is one.
    Started {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pid: Option<i32>,
    },
    /// The task made a system call that its profile refuses: the first of its kind by this program.
    Refused(Refusal),
    /// A signal was passed on to the task.
    Signalled { signal: i32 },
    /// The time limit was reached; the task was asked to end.
    DeadlineReached { ttl_ms: u64 },
    /// Something was cut short: `stream` went over its limit of bytes.
    OutputTruncated { stream: String, limit: u64, dropped: u64 },
    /// The task is over and nothing of the run lives.
    Ended,
    /// The outputs were copied out.
    Collected(Collected),
}

/// What was brought out of the sandbox.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Collected {
    pub artifacts: Vec<Artifact>,
    pub omitted: Vec<Omission>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Artifact {
    /// Relative to the outputs folder.
    pub path: String,
    /// Bytes.
    pub size: u64,
    /// `sha256:…` of the content.
    pub digest: String,
}

/// Something that was not brought out, or not as it was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Omission {
    pub path: String,
    pub why: String,
}
