//! How a run ended, from the kernel's account alone.

use serde::{Deserialize, Serialize};

/// The exit statuses of `aido` that are not the task's own.
pub mod exit {
    /// The time limit ended the run.
    pub const DEADLINE: u8 = 124;
    /// aido itself failed: nothing ran.
    pub const AIDO_FAILED: u8 = 125;
    /// The command was found but could not be executed.
    pub const NOT_EXECUTABLE: u8 = 126;
    /// The command was not found.
    pub const NOT_FOUND: u8 = 127;
    /// Added to the number of the signal that ended the task.
    pub const SIGNALLED: u8 = 128;
    /// The memory limit ended the run (128 + SIGKILL).
    pub const OUT_OF_MEMORY: u8 = 137;
    /// The bound on what is written ended the run (128 + SIGXFSZ).
    pub const OUT_OF_DISK: u8 = 153;
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    pub end: End,
    pub usage: Usage,
    /// What was refused, each kind once.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub refused: Vec<Refusal>,
    /// The programs that were executed, each once, in the order of their first time.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub executed: Vec<Executed>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Executed {
    /// Its path, or `others` from the 257th on.
    pub program: String,
    pub count: u64,
}

/// Something that was asked for, refused and heard of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// The call's name on this machine, or `syscall N`.
    pub call: String,
    pub number: i64,
    /// What it asked for, where that decided, such as `CLONE_NEWUSER` or `AF_VSOCK`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// The error that the task got, such as `EPERM`.
    pub answer: String,
    #[serde(default)]
    pub cause: Cause,
    /// What it was about: a path in the sandbox, an address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// The place of the plan that refused it, such as the mount that is read-only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<String>,
    /// The name of the process, which it may choose itself.
    pub process: String,
    /// Its number on the host, of the first time.
    pub pid: i32,
    /// How often, so far.
    pub count: u64,
}

/// Why something was refused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cause {
    /// The profile of system calls.
    #[default]
    Profile,
    /// A place that can be read only.
    ReadOnly,
    /// It is not in the sandbox.
    Absent,
    /// There is no way to it: no network but the sandbox's own loopback.
    Network,
    /// Owner or mode.
    Denied,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "reason", rename_all = "snake_case")]
pub enum End {
    Exited {
        code: u8,
    },
    Signalled {
        signal: i32,
    },
    /// `limit` and `peak` in bytes.
    OutOfMemory {
        limit: u64,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        peak: Option<u64>,
    },
    /// What was written to a layer went over `limit` bytes, or over as many files as go with it: `bytes` and `files`
    /// were there when that was seen.
    OutOfDisk {
        limit: u64,
        bytes: u64,
        files: u64,
    },
    /// The time limit of `ttl_ms` milliseconds.
    Deadline {
        ttl_ms: u64,
    },
    /// The user, or the death of the command line, ended it; `signal` is what was asked for.
    Interrupted {
        signal: i32,
    },
    NotFound {
        program: String,
    },
    NotExecutable {
        program: String,
        why: String,
    },
    /// aido failed before the task was started.
    Refused {
        why: String,
    },
    /// The run's own guard died; what became of the task is not known, but nothing of it lives.
    Lost {
        why: String,
    },
}

/// What the run used as a whole. Absent: the host could not say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// Milliseconds from the start of the task to its end.
    pub wall_ms: u64,
    /// Microseconds of processor time in user mode.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu_user_us: Option<u64>,
    /// Microseconds of processor time in the kernel.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu_system_us: Option<u64>,
    /// Bytes, at the highest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_peak: Option<u64>,
    /// Processes and threads, at the highest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pids_peak: Option<u64>,
    /// How often a fork was refused by the limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pids_refused: Option<u64>,
    /// How often the processor limit held the run back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu_throttled: Option<u64>,
}

impl End {
    /// The exit status that `aido run` ends with.
    pub fn exit_code(&self) -> u8 {
        match self {
            End::Exited { code } => *code,
            End::Signalled { signal } | End::Interrupted { signal } => exit::SIGNALLED.saturating_add(*signal as u8),
            End::OutOfMemory { .. } => exit::OUT_OF_MEMORY,
            End::OutOfDisk { .. } => exit::OUT_OF_DISK,
            End::Deadline { .. } => exit::DEADLINE,
            End::NotFound { .. } => exit::NOT_FOUND,
            End::NotExecutable { .. } => exit::NOT_EXECUTABLE,
            End::Refused { .. } | End::Lost { .. } => exit::AIDO_FAILED,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_are_the_documented_ones() {
        assert_eq!(End::Exited { code: 3 }.exit_code(), 3);
        assert_eq!(End::Signalled { signal: 15 }.exit_code(), 143);
        assert_eq!(End::Interrupted { signal: 2 }.exit_code(), 130);
        assert_eq!(End::OutOfMemory { limit: 1, peak: None }.exit_code(), 137);
        assert_eq!(End::OutOfDisk { limit: 1, bytes: 2, files: 1 }.exit_code(), 153);
        assert_eq!(End::Deadline { ttl_ms: 1 }.exit_code(), 124);
        assert_eq!(End::Refused { why: String::new() }.exit_code(), 125);
        assert_eq!(End::NotExecutable { program: String::new(), why: String::new() }.exit_code(), 126);
        assert_eq!(End::NotFound { program: String::new() }.exit_code(), 127);
    }
}
