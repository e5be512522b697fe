//! What is to be run, and what it may touch. Stored as evidence (`plan.json`).

use crate::{Control, Egress, Error};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

/// Version of the stored form. 1: first. 2: `isolation`; profiles of system calls `strict` and `file`. 3: `record`,
/// `exact_output`, secret inputs. 4: `task.tty`, layered and open folders. 5: `network.gateway`.
pub const PLAN_VERSION: u32 = 5;

/// Everything an engine needs to know to run one task; no secret is in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    pub version: u32,
    /// The sandbox's name; also the host name that the task sees.
    pub name: String,
    pub root: Root,
    /// In order: later ones lie over earlier ones.
    pub mounts: Vec<Mount>,
    pub task: Task,
    pub identity: Identity,
    pub limits: Limits,
    pub network: Network,
    pub syscalls: SyscallProfile,
    #[serde(default)]
    pub isolation: Isolation,
    pub deadline: Deadline,
    #[serde(default)]
    pub record: Record,
    /// What the task writes is kept byte for byte: no secret and nothing that looks like one is replaced.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub exact_output: bool,
    /// Controls of which the user said, by name, that a weaker form will do.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub accept_weaker: BTreeSet<Control>,
}

/// The read-only file system that the task finds at `/`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Root {
    /// The host's own toolchains.
    Host,
    /// An image, by what it is and not by what it is called.
    Image {
        /// The name the user gave.
        reference: String,
        /// The manifest's digest, `sha256:…`.
        digest: String,
        /// Digests of the uncompressed layers (diff IDs), lowest first.
        layers: Vec<String>,
    },
    /// A folder of the host that holds a whole root file system.
    Folder { path: PathBuf },
}

/// One thing laid into the root.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mount {
    /// Absolute path inside the sandbox.
    pub target: String,
    pub kind: MountKind,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum MountKind {
    /// A file or folder of the host, read-only.
    Input {
        source: PathBuf,
        /// Paths below it that the task must not find at all, relative to the source.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        hidden: Vec<String>,
        /// A file whose content must not get into the record.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        secret: bool,
    },
    /// A folder of the host that the task may change as it likes: what it changes goes to a layer of the sandbox's own,
    /// and the folder stays as it is. A plan has one such mount at most.
    Layered {
        source: PathBuf,
        /// Paths below it that the task must not find at all, relative to the source.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        hidden: Vec<String>,
    },
    /// A folder of the host that the task changes itself. A plan has one such mount at most.
    Open {
        source: PathBuf,
        /// Paths below it that the task finds empty and cannot change, relative to the source.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        hidden: Vec<String>,
        /// Paths below it that the task can read and cannot change.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        kept: Vec<String>,
    },
    /// A folder that starts empty, is writable and is collected as `path` of the outputs
    /// (the empty path: the outputs folder itself).
    OutputFolder { path: String },
    /// The same for a single file.
    OutputFile { path: String },
    /// A folder that starts empty, is writable and is thrown away.
    Scratch { mode: u32 },
    /// An empty read-only folder: a place for the mounts below it.
    Empty,
    /// A small read-only file with this text.
    Text { content: String },
}

/// What is started.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Task {
    /// Names or absolute paths, tried in this order; a name is searched for in `PATH` of `env`.
    pub programs: Vec<String>,
    /// What follows `argv[0]`.
    pub args: Vec<String>,
    /// Absolute path inside the sandbox.
    pub workdir: String,
    /// The whole environment of the task.
    pub env: BTreeMap<String, EnvValue>,
    /// Whether the caller's standard input is passed on.
    pub stdin: bool,
    /// Whether the task's three streams are a terminal of its own; what it shows there counts as standard output.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub tty: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum EnvValue {
    Literal(String),
    /// Passed on from this variable of the caller; the value is handed over apart from the plan.
    From {
        from: String,
    },
}

/// Who the task is, in the sandbox's own numbers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Identity {
    pub uid: u32,
    pub gid: u32,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<u32>,
}

/// The bounds on what the run may use as a whole.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Bytes of memory.
    pub memory: Limit,
    /// Thousandths of a processor.
    pub cpus: Limit,
    /// Processes and threads.
    pub pids: Limit,
    /// Bytes in all writable places together.
    pub disk: Limit,
    /// Bytes kept of standard output and of standard error, each.
    pub output: Limit,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limit {
    pub value: u64,
    pub origin: Origin,
}

/// Who wanted a limit: what was asked for is required, a default is held where the host can.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    Asked,
    Default,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Network {
    /// The sandbox's own loopback and nothing else.
    None,
    /// What this names, by a gateway that decides and tells of each connection; there is no way round it.
    Gateway(Egress),
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum SyscallProfile {
    /// `seccomp-profiles/default.json`: what ordinary programs need.
    Default,
    /// `seccomp-profiles/strict.json`: what a plain script interpreter needs.
    Strict,
    /// The user's own, in the JSON form of the OCI runtime specification or of Docker.
    File {
        /// Where it was read.
        path: PathBuf,
        /// The text itself, so that the evidence says what was in force.
        profile: String,
    },
}

/// The mechanism that keeps the task apart from the host. Never chosen silently.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Isolation {
    /// The engine's whole sandbox.
    #[default]
    Full,
    /// For hosts that allow no namespaces: rules on files and system calls alone, on the host's own root.
    Landlock,
}

/// How much of what the task does is on record, from the cheapest on; each holds what the one before it holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Record {
    /// System calls that the profile refuses, and connections that lead nowhere.
    Refusals,
    /// Programs that are executed, and refused changes of files, too.
    #[default]
    Standard,
    /// Refused reads of files, too.
    Full,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Deadline {
    /// How long the task may run, in milliseconds of monotonic time.
    pub ttl_ms: u64,
    /// How long it then has between the request to end and the kill, in milliseconds.
    pub grace_ms: u64,
}

impl Network {
    /// The same, letting nothing through: what the task asks for is only put on record.
    pub fn learning(self) -> Network {
        let asked = match self {
            Network::None => Egress::default(),
            Network::Gateway(egress) => egress,
        };
        Network::Gateway(Egress { learn: true, ..asked })
    }
}

impl Task {
    /// The whole environment, with the values that are handed over apart from the plan.
    pub fn environment(&self, secrets: &BTreeMap<String, String>) -> Result<BTreeMap<String, String>, Error> {
        let value = |name: &String, value: &EnvValue| match value {
            EnvValue::Literal(text) => Ok((name.clone(), text.clone())),
            EnvValue::From { from } => match secrets.get(from) {
                Some(text) => Ok((name.clone(), text.clone())),
                None => Err(Error::new(format!("the variable {from}, which the task gets as {name}, is not set"))
                    .remedy(format!("set it: export {from}=…"))),
            },
        };
        self.env.iter().map(|(name, from)| value(name, from)).collect()
    }
}

impl Limit {
    pub fn asked(value: u64) -> Self {
        Limit { value, origin: Origin::Asked }
    }

    pub fn default(value: u64) -> Self {
        Limit { value, origin: Origin::Default }
    }
}
