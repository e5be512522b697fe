//! Digests of large folders, taken while the task runs. What the task sees of them it cannot change, so that they are
//! as true late as early; what somebody else changed meanwhile is told.

use crate::backend::Backend;
use crate::inputs::{Entry, InputDigest, digest_late};
use aido_runtime::{Isolation, MountKind, Plan};
use aido_runtime_linux::Beside;
use std::time::Duration;

/// How long the end of a run waits for them.
const PATIENCE: Duration = Duration::from_secs(20);

/// Whether digests may wait: the task cannot write into the project, and nobody takes a child of the supervisor for
/// one of the task's (without namespaces the engine ends all of them).
pub(crate) fn is_possible(plan: &Plan, backend: Backend) -> bool {
    let open = plan.mounts.iter().any(|mount| matches!(mount.kind, MountKind::Open { .. }));
    backend == Backend::Linux && plan.isolation != Isolation::Landlock && !open
}

/// A process that takes digests.
pub(crate) struct Late(Option<Beside>);

impl Late {
    /// Begins with the digests that wait, if there are any.
    pub(crate) fn begin(folders: &[Entry]) -> Late {
        if folders.is_empty() {
            return Late(None);
        }
        // Where no process can be had the digests are missing, and the record says so.
        let took = || serde_json::to_vec(&digest_late(folders)).unwrap_or_default();
        Late(Beside::start(took).ok())
    }

    /// What was found; nothing where it took too long. `beat` is called meanwhile.
    pub(crate) fn finish(self, beat: &mut dyn FnMut()) -> Vec<InputDigest> {
        let answer = self.0.and_then(|beside| beside.finish(PATIENCE, beat));
        answer.and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default()
    }
}
