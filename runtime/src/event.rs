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
    /// A process of the task executes a program.
    Executed(Execution),
    /// The task was refused something: the first of its kind by this program.
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

/// A program that was executed, as the process that did it said.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Execution {
    /// The process's number on the host.
    pub pid: i32,
    /// Its parent's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<i32>,
    /// The path that was executed.
    pub program: String,
    /// The arguments, `argv[0]` first, as they were passed: nothing vouches for them.
    pub args: Vec<String>,
    /// There were more arguments, or longer ones.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub cut: bool,
}

/// What was brought out of the sandbox.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Collected {
    pub artifacts: Vec<Artifact>,
    pub omitted: Vec<Omission>,
}

impl Collected {
    /// Stands for all of the outputs.
    const ALL: &str = ".";

    /// Nothing could be brought out, or not all of it was: what lies there is not listed.
    pub fn lost(why: impl std::fmt::Display) -> Collected {
        let why = format!("the outputs could not be collected: {why}");
        Collected { artifacts: Vec::new(), omitted: vec![Omission { path: Self::ALL.into(), why }] }
    }

    pub fn is_lost(&self) -> bool {
        self.omitted.iter().any(|omitted| omitted.path == Self::ALL)
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Artifact {
    /// Relative to the outputs folder.
    pub path: String,
    /// Bytes.
    pub size: u64,
    /// `sha256:…` of the content.
    pub digest: String,
    /// Against the project's own file in that place, where it is an output of the project.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub change: Option<Change>,
    /// Why a tool of the user may act on it by itself, where one does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub active: Option<String>,
    /// How many secrets were replaced in it.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub redacted: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// The project has no such file.
    Added,
    Changed,
    Same,
}

fn is_zero(count: &u64) -> bool {
    *count == 0
}

/// Something that was not brought out, or not as it was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Omission {
    pub path: String,
    pub why: String,
}
