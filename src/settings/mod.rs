//! What is wanted of a sandbox: `sandbox.yaml` and the command line below the user's policy, resolved and validated once.

mod asked;
mod backend;
mod bound;
mod change;
mod error;
mod file;
pub(crate) mod json_schema;
mod keys;
mod network;
mod overrides;
mod pin;
mod policy;
pub mod registries;
mod resolve;
mod runtime;
mod schema;
mod suggest;
mod syscalls;
mod units;
mod variable;
mod yaml;

pub use asked::Variable;
pub use backend::{Backend, VARIABLE as BACKEND_VARIABLE};
pub(crate) use change::{Edit, Resource, asked_ttl, line as changed_line, ttl_at_most};
pub use error::{At, Error, Place, Result, Told, printable};
pub use network::{Host, Network};
pub use overrides::Overrides;
pub(crate) use pin::pin;
pub use policy::Policy;
pub use resolve::{DEFAULT_TTL, GRACE};
pub use runtime::Runtime;
pub(crate) use suggest::distance;
pub use units::{TTL, show_bytes, show_duration, show_processors};
pub(crate) use units::{bytes, duration};
pub use variable::fits;

use aido_runtime::{Control, Isolation, Limits, Record, SyscallProfile};
use asked::Asked;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The name of the file that is read without being named.
pub const FILE: &str = "sandbox.yaml";

/// Everything that was wanted, with defaults filled in. Paths and patterns are still as they were written.
#[derive(Clone, Debug)]
pub struct Settings {
    pub name: String,
    pub runtime: Told<Runtime>,
    pub ttl: Duration,
    /// What a task has between the request to end and the kill.
    pub grace: Duration,
    /// `None`: the whole project folder.
    pub inputs: Option<Vec<Told<String>>>,
    pub outputs: Vec<Told<String>>,
    /// Files of the project that are shown, and whose content is kept out of the record.
    pub secrets: Vec<Told<String>>,
    pub env: BTreeMap<String, Told<Variable>>,
    pub limits: Limits,
    pub accept_weaker: BTreeSet<Control>,
    pub filesystem: Filesystem,
    pub network: Network,
    pub syscalls: SyscallProfile,
    pub isolation: Isolation,
    /// How much of what a task does is on record.
    pub record: Record,
    /// Absolute, or relative to `/workspace`.
    pub workdir: Option<Told<String>>,
    pub offline: bool,
    pub insecure_registries: Vec<String>,
    /// The project folder, without links in it.
    pub project: PathBuf,
    /// What messages call the file; `None` where there is none.
    pub file: Option<String>,
    /// What all of this was kept below.
    pub policy: Policy,
    asked: Asked,
}

/// What a task may do to the project.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Filesystem {
    /// Nothing.
    #[default]
    ReadOnly,
    /// Whatever it likes, in a layer of the sandbox's own: nothing of it is seen outside.
    Overlay,
    /// Whatever it likes, to the project itself. Typed, never written in a file.
    Open,
}

fn no_such_file(project: &Path, shown: String) -> Error {
    let remedy = match project.join(FILE).is_file() {
        true => format!("there is {FILE}, which is read without -f"),
        false => format!("without -f no {FILE} is needed: `aido check` shows what holds then"),
    };
    Error::new(At::File(shown), "there is no such file").remedy(remedy)
}

impl Settings {
    /// Reads `file`, or the project's `sandbox.yaml` where it has one.
    pub fn load(project: &Path, file: Option<&Path>, overrides: &Overrides, policy: &Policy) -> Result<Settings> {
        let path = file.map_or_else(|| project.join(FILE), |file| project.join(file));
        let shown = file.map_or_else(|| FILE.to_string(), |file| file.display().to_string());
        let text = file::read(&path, project, &shown)?;
        match text {
            Some(text) => Settings::parse(&text, &shown, project, overrides, policy),
            None if file.is_some() => Err(no_such_file(project, shown)),
            None => {
                if project.join("sandbox.yml").symlink_metadata().is_ok() {
                    let error =
                        Error::new(At::File("sandbox.yml".to_string()), "is not read: aido looks for sandbox.yaml");
                    return Err(error.remedy("rename it, or name it with `-f sandbox.yml`"));
                }
                resolve::settings(Asked::default(), None, project, overrides, policy)
            }
        }
    }

    /// Reads a configuration that is already in memory, such as the copy that a sandbox keeps.
    pub fn parse(text: &str, shown: &str, project: &Path, overrides: &Overrides, policy: &Policy) -> Result<Settings> {
        let asked = schema::read(yaml::read(text, shown)?)?;
        resolve::settings(asked, Some(shown), project, overrides, policy)
    }

    /// For tests of what has nothing to do with a policy.
    #[cfg(test)]
    pub(crate) fn from_text(text: &str, shown: &str, project: &Path, overrides: &Overrides) -> Result<Settings> {
        Settings::parse(text, shown, project, overrides, &Policy::default())
    }

    /// What was asked for, by file and command line together, as a `sandbox.yaml` of its own. Defaults stay out of it, and
    /// so does what belongs to one command: accepted weaknesses, the working folder, registries.
    pub fn to_yaml(&self) -> String {
        self.asked.to_yaml()
    }

    /// One line on what was assumed for want of a file; `None` where there is one.
    pub fn assumed(&self) -> Option<String> {
        if self.file.is_some() {
            return None;
        }
        let inputs = match &self.inputs {
            None => match self.filesystem {
                Filesystem::ReadOnly => "the project folder read-only, without .git, .aido and what looks like secrets",
                Filesystem::Overlay => {
                    "the project folder below a layer for changes, without .git, .aido and what looks like secrets"
                }
                Filesystem::Open => "the project folder itself, without .git, .aido and what looks like secrets",
            },
            Some(inputs) if inputs.is_empty() => "no inputs",
            Some(_) => "the inputs of the command line",
        };
        let ttl = show_duration(self.ttl);
        let runtime = &self.runtime.value;
        let network = match self.network.is_none() {
            true => "no network",
            false => "the network of the command line",
        };
        Some(format!("no {FILE}: runtime {runtime}, ttl {ttl}, {inputs}, results in /outputs, {network}"))
    }
}

#[cfg(test)]
mod tests;
