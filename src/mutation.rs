//! `--dangerous-allow-mutations` in data and words: what the task of a run may change, and what it did.

use aido_runtime::{MountKind, Plan};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::path::Path;

/// One sentence for a plan whose task may change the project itself.
pub(crate) fn warning(plan: &Plan) -> Option<String> {
    open(plan).map(|(source, _, kept)| {
        let kept = match kept.len() {
            1 => "1 place that tools obey is".to_string(),
            many => format!("{many} places that tools obey are"),
        };
        format!(
            "--dangerous-allow-mutations: the task writes into {} itself, and nothing undoes that; {kept} kept from it",
            source.display()
        )
    })
}

/// The folder that a plan leaves open to its task, with what is hidden in it and what is kept as it is.
pub(crate) fn open(plan: &Plan) -> Option<(&Path, &[String], &[String])> {
    plan.mounts.iter().find_map(|mount| match &mount.kind {
        MountKind::Open { source, hidden, kept } => Some((source.as_path(), hidden.as_slice(), kept.as_slice())),
        _ => None,
    })
}

/// What a run did to the project; in its summary.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Mutated {
    pub added: usize,
    pub modified: usize,
    pub deleted: usize,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) set_aside: Vec<Aside>,
}

/// All that is to be told of it.
#[derive(Default)]
pub(crate) struct After {
    pub(crate) summary: Mutated,
    /// `changes.diff`
    pub(crate) changes: Vec<u8>,
    /// The same as a list of names.
    pub(crate) list: Vec<u8>,
    pub(crate) events: Vec<(&'static str, Value)>,
    pub(crate) warnings: Vec<String>,
}

/// One thing that was found, and what became of it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Aside {
    /// Relative to the project.
    pub(crate) path: String,
    pub(crate) why: String,
    /// Where it lies now, relative to the sandbox's folder; none: it could not be taken out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) at: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) error: Option<String>,
}

impl Mutated {
    /// In one line.
    pub(crate) fn words(&self) -> String {
        let all = self.added + self.modified + self.deleted;
        match all {
            0 => "nothing in it was changed".to_string(),
            _ => format!(
                "{} in it changed (+{} new, {} deleted); changes.diff of the run has them",
                if all == 1 { "1 entry".to_string() } else { format!("{all} entries") },
                self.added,
                self.deleted
            ),
        }
    }

    /// What was taken out of the project, and what could not be.
    pub(crate) fn taken_out(&self) -> Vec<String> {
        let mut said = Vec::new();
        for aside in &self.set_aside {
            said.push(match (&aside.at, &aside.error) {
                (Some(at), _) => {
                    format!(
                        "{} was taken out of the project: {}; it lies in {at} of the sandbox's folder",
                        aside.path, aside.why
                    )
                }
                (None, None) => format!("{}: {}", aside.path, aside.why),
                (None, error) => format!(
                    "{} is new in the project, and could not be taken out: {}; {}",
                    aside.path,
                    aside.why,
                    error.as_deref().unwrap_or_default()
                ),
            });
        }
        said
    }
}
