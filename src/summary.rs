//! `summary.json`: what a run was, how it ended, what held.

use crate::inputs::InputDigest;
use crate::mutation::Mutated;
use crate::reached::Reached;
use crate::redact::Redacted;
use aido_evidence::Facts;
use aido_runtime::{Collected, Enforced, Isolation, Outcome, Root, Task};
use serde::{Deserialize, Serialize};
use serde_json::json;

/// Version of the stored form. 1: first. 2: `isolation`, `outcome.refused`, `enforced.*.proof`, the control `second-wall`.
/// 3: `outcome.executed`, cause, target and place in `outcome.refused`; `change`, `active` and `redacted` in artifacts; `redacted`;
/// `changes`.
pub const SUMMARY_VERSION: u32 = 3;

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Summary {
    pub version: u32,
    pub run: String,
    pub sandbox: String,
    /// The sandbox's name.
    pub name: String,
    /// What was executed: `argv`.
    pub task: Vec<String>,
    /// The root, as the user named it.
    pub runtime: String,
    /// The digest of the image's manifest, where the root is an image.
    pub image_digest: Option<String>,
    pub backend: String,
    /// What kept the task apart from the host.
    #[serde(default)]
    pub isolation: Isolation,
    /// RFC 3339, UTC.
    pub started: String,
    pub ended: String,
    pub outcome: Outcome,
    pub exit_code: u8,
    pub enforced: Enforced,
    pub warnings: Vec<String>,
    pub inputs: Vec<InputDigest>,
    /// Paths of the project that were kept from the task.
    pub hidden: Vec<String>,
    pub outputs: Collected,
    /// What the task did to the project itself, where it could.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mutated: Option<Mutated>,
    pub output: Streams,
    /// What a run with a gateway reached, and what it was refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network: Option<Reached>,
    /// What was replaced in the task's two streams.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub redacted: Vec<Redacted>,
    /// What the tasks of the sandbox changed of the project so far, where they may.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub changes: Option<Changed>,
    pub plan_digest: Option<String>,
    /// The hash of the last event.
    pub chain_head: String,
}

impl Summary {
    /// What the seal repeats, so that it can be believed without the other files.
    pub(crate) fn facts(&self) -> Facts {
        let members = json!({
            "aido": env!("CARGO_PKG_VERSION"),
            "name": self.name,
            "task": self.task,
            "runtime": self.runtime,
            "image_digest": self.image_digest,
            "plan_digest": self.plan_digest,
            "isolation": self.isolation,
            "inputs": self.inputs,
            "enforced": self.enforced,
            "outcome": self.outcome,
            "exit_code": self.exit_code,
            "started": self.started,
            "ended": self.ended,
        });
        let members = members.as_object().cloned().unwrap_or_default();
        let outputs = self.outputs.artifacts.iter();
        Facts { members, outputs: outputs.map(|kept| (kept.path.clone(), kept.digest.clone())).collect() }
    }
}

/// What lies in a sandbox's layers when a run is over; the event `changes` has the names.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Changed {
    /// All that are not as the project has them.
    pub files: u64,
    pub added: u64,
    pub deleted: u64,
    /// `sha256:…` of the whole list.
    pub digest: String,
}

impl Changed {
    /// In words: how many, and where they are to be seen.
    pub(crate) fn words(&self, run: &str) -> String {
        let each = [(self.added, "new"), (self.deleted, "deleted")].into_iter().filter(|(count, _)| *count > 0);
        let each: Vec<String> = each.map(|(count, what)| format!("{count} {what}")).collect();
        let each = if each.is_empty() { String::new() } else { format!(" ({})", each.join(", ")) };
        let files = crate::words::count(usize::try_from(self.files).unwrap_or(usize::MAX), "file");
        format!("{files}{each}; `aido diff{run}` shows them")
    }
}

/// Bytes of the task's two streams.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Streams {
    pub stdout: Bytes,
    pub stderr: Bytes,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Bytes {
    pub kept: u64,
    pub dropped: u64,
    /// `sha256:…` of the log, where its writer lived to the end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
}

/// The root as the user named it, and an image's digest.
pub(crate) fn root_words(root: &Root) -> (String, Option<String>) {
    match root {
        Root::Host => ("host".into(), None),
        Root::Folder { path } => (format!("rootfs:{}", path.display()), None),
        Root::Image { reference, digest, .. } => (reference.clone(), Some(digest.clone())),
    }
}

/// What is executed: the program that was asked for first, and its arguments.
pub(crate) fn argv(task: &Task) -> Vec<String> {
    task.programs.iter().take(1).chain(&task.args).cloned().collect()
}

#[cfg(test)]
#[path = "../fuzz/src/documents.rs"]
#[expect(unreachable_pub, reason = "the fuzzer's own crate exports it")]
mod fuzzed;

#[cfg(test)]
mod tests {
    use super::fuzzed;

    /// What the fuzzers kept, on every machine.
    #[test]
    fn the_corpora_of_the_fuzzers_hold() {
        type Target = (&'static str, fn(&[u8]));
        let targets: [Target; 2] = [("plan", fuzzed::plan), ("summary", fuzzed::summary)];
        for (target, run) in targets {
            let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
            let inputs: Vec<_> = std::fs::read_dir(folder).unwrap().map(|input| input.unwrap().path()).collect();
            assert!(inputs.len() > 5, "{target}: {} inputs", inputs.len());
            for path in inputs {
                let bytes = std::fs::read(&path).unwrap();
                let held = std::panic::catch_unwind(|| run(&bytes));
                assert!(held.is_ok(), "{} breaks a promise", path.display());
            }
        }
    }
}
