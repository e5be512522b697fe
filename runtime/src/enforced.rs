//! What was really in force, control by control.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

/// Something that a sandbox promises; named for the promise, not for the mechanism.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Control {
    /// The task is nobody on the host that it was not before.
    Identity,
    /// No capability in any set and no way to gain one.
    Privileges,
    /// The allow list of system calls.
    Syscalls,
    /// No host file but the root and the inputs.
    Files,
    /// Root and inputs cannot be changed.
    ReadOnly,
    /// A second mechanism that refuses what mounts refuse, should one of them fail.
    SecondWall,
    /// No process outside the run is seen or signalled.
    Processes,
    /// No shared memory, queue or semaphore of the host.
    Ipc,
    /// No network but what the plan grants.
    Network,
    /// No variable and no descriptor that was not given.
    Environment,
    Memory,
    Cpus,
    Pids,
    Disk,
    Output,
    Deadline,
}

/// How far one control holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    pub force: Force,
    /// The mechanism, with its figures, such as `cgroup v2 memory.max=536870912`.
    pub by: String,
    /// What a trial in the finished sandbox showed before the task started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proof: Option<String>,
    /// Why it is weaker than asked, or absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// The command or setting that mends it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Force {
    InForce,
    Weaker,
    Absent,
}

/// The answer to a plan, or to a probe.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Enforced(pub BTreeMap<Control, Standing>);

impl Control {
    pub const ALL: [Control; 16] = [
        Control::Identity,
        Control::Privileges,
        Control::Syscalls,
        Control::Files,
        Control::ReadOnly,
        Control::SecondWall,
        Control::Processes,
        Control::Ipc,
        Control::Network,
        Control::Environment,
        Control::Memory,
        Control::Cpus,
        Control::Pids,
        Control::Disk,
        Control::Output,
        Control::Deadline,
    ];

    /// The name in files and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Control::Identity => "identity",
            Control::Privileges => "privileges",
            Control::Syscalls => "syscalls",
            Control::Files => "files",
            Control::ReadOnly => "read-only",
            Control::SecondWall => "second-wall",
            Control::Processes => "processes",
            Control::Ipc => "ipc",
            Control::Network => "network",
            Control::Environment => "environment",
            Control::Memory => "memory",
            Control::Cpus => "cpus",
            Control::Pids => "pids",
            Control::Disk => "disk",
            Control::Output => "output",
            Control::Deadline => "deadline",
        }
    }
}

impl fmt::Display for Control {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Control {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Control::ALL
            .into_iter()
            .find(|c| c.name() == text)
            .ok_or_else(|| format!("`{text}` is no control; they are: {}", Control::ALL.map(Control::name).join(", ")))
    }
}

impl Standing {
    pub fn in_force(by: impl Into<String>) -> Self {
        Standing { force: Force::InForce, by: by.into(), proof: None, why: None, remedy: None }
    }

    pub fn weaker(by: impl Into<String>, why: impl Into<String>, remedy: Option<String>) -> Self {
        Standing { force: Force::Weaker, by: by.into(), proof: None, why: Some(why.into()), remedy }
    }

    pub fn absent(why: impl Into<String>, remedy: Option<String>) -> Self {
        Standing { force: Force::Absent, by: String::new(), proof: None, why: Some(why.into()), remedy }
    }
}

impl Enforced {
    pub fn set(&mut self, control: Control, standing: Standing) {
        self.0.insert(control, standing);
    }

    /// Adds what a trial showed of a control that is there.
    pub fn prove(&mut self, control: Control, shown: impl Into<String>) {
        if let Some(standing) = self.0.get_mut(&control) {
            standing.proof = Some(shown.into());
        }
    }

    pub fn get(&self, control: Control) -> Option<&Standing> {
        self.0.get(&control)
    }

    /// The controls that do not hold in full.
    pub fn lacking(&self) -> impl Iterator<Item = (Control, &Standing)> {
        self.0.iter().filter(|(_, s)| s.force != Force::InForce).map(|(c, s)| (*c, s))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_control_is_named_as_it_is_stored() {
        for control in Control::ALL {
            let stored = serde_json::to_string(&control).unwrap();
            assert_eq!(stored, format!("\"{}\"", control.name()));
            assert_eq!(control.name().parse::<Control>(), Ok(control));
        }
    }
}
