//! What was asked for, in the file and on the command line together, before any of it is checked or filled in.

use super::Network;
use super::error::Told;
use std::collections::BTreeMap;
use std::fmt::Write;

/// One value for each key of `sandbox.yaml`, as text, with the place where it was said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Asked {
    pub(super) name: Option<Told<String>>,
    pub(super) runtime: Option<Told<String>>,
    /// Whether the runtime was typed by the user, and not read from a file that strangers may have written.
    pub(super) runtime_typed: bool,
    pub(super) ttl: Option<Told<String>>,
    /// `None`: the whole project folder.
    pub(super) inputs: Option<Vec<Told<String>>>,
    pub(super) outputs: Vec<Told<String>>,
    /// Files of the project whose content is a secret.
    pub(super) secrets: Vec<Told<String>>,
    pub(super) env: BTreeMap<String, Told<Variable>>,
    pub(super) filesystem: Option<Told<String>>,
    pub(super) network: Network,
    pub(super) syscalls: Option<Told<String>>,
    pub(super) record: Option<Told<String>>,
    pub(super) resources: Resources,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Resources {
    pub(super) memory: Option<Told<String>>,
    pub(super) cpus: Option<Told<String>>,
    pub(super) pids: Option<Told<String>>,
    pub(super) disk: Option<Told<String>>,
    pub(super) output: Option<Told<String>>,
}

/// The value of an environment variable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Variable {
    Literal(String),
    /// Taken from this variable of the caller.
    From(String),
}

impl Asked {
    /// The same wishes as a `sandbox.yaml`.
    pub(super) fn to_yaml(&self) -> String {
        let mut out = String::new();
        let scalar = |out: &mut String, key: &str, value: &Option<Told<String>>| {
            if let Some(told) = value {
                let _ = writeln!(out, "{key}: {}", quoted(&told.value));
            }
        };
        scalar(&mut out, "name", &self.name);
        scalar(&mut out, "runtime", &self.runtime);
        scalar(&mut out, "ttl", &self.ttl);
        scalar(&mut out, "record", &self.record);
        if let Some(inputs) = &self.inputs {
            let _ = writeln!(out, "inputs: {}", list(inputs));
        }
        let _ = writeln!(out, "outputs: {}", list(&self.outputs));
        if !self.secrets.is_empty() {
            let _ = writeln!(out, "secrets: {}", list(&self.secrets));
        }
        let filesystem = self.filesystem.as_ref().map_or("readonly", |told| told.value.as_str());
        let _ = writeln!(out, "permissions:\n  filesystem: {filesystem}\n  network: {}", self.network.to_yaml());
        scalar(&mut out, "  syscalls", &self.syscalls);
        if !self.env.is_empty() {
            out.push_str("env:\n");
        }
        for (name, told) in &self.env {
            let _ = match &told.value {
                Variable::Literal(value) => writeln!(out, "  {}: {}", quoted(name), quoted(value)),
                Variable::From(from) => writeln!(out, "  {}: {{from: {}}}", quoted(name), quoted(from)),
            };
        }
        let r = &self.resources;
        let entries =
            [("memory", &r.memory), ("cpus", &r.cpus), ("pids", &r.pids), ("disk", &r.disk), ("output", &r.output)];
        if entries.iter().any(|(_, value)| value.is_some()) {
            out.push_str("resources:\n");
        }
        for (key, value) in entries {
            scalar(&mut out, &format!("  {key}"), value);
        }
        out
    }
}

fn list(items: &[Told<String>]) -> String {
    let items: Vec<String> = items.iter().map(|told| quoted(&told.value)).collect();
    format!("[{}]", items.join(", "))
}

/// A JSON string is a double-quoted YAML string.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
