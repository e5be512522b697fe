//! What is known of a run before anything is made. It goes on record while the sandbox is being built, and before the task
//! starts; who writes, and what would be left, are told before that.

use super::record::Recorder;
use super::{Draft, laid, stop};
use crate::backend::fault;
use crate::mend;
use crate::process::Process;
use aido_runtime::Error;
use serde_json::{Value, json};

/// Events that come before it: what others need to end a run that has hardly begun.
pub(super) const FIRST: [&str; 2] = [stop::EVENT, "held"];

/// The plan, and what follows from it.
pub(super) struct Due {
    plan: Vec<u8>,
    events: Vec<(&'static str, Value)>,
}

impl Due {
    pub(super) fn of(plan: Vec<u8>, draft: &Draft<'_>) -> Due {
        let inputs = ("inputs", json!({"inputs": draft.inputs, "hidden": draft.hidden}));
        let events = std::iter::once(inputs).chain(laid::before(draft.plan)).collect();
        Due { plan, events }
    }
}

impl Recorder {
    /// Who writes.
    pub(super) fn sign_on(&mut self, backend: &str) -> Result<(), Error> {
        let mut writer = serde_json::to_value(Process::me()).unwrap_or_default();
        writer["backend"] = json!(backend);
        self.note(stop::EVENT, writer)
    }

    /// Records what is due, unless it was.
    pub(super) fn settle_due(&mut self) -> Result<(), Error> {
        let Some(Due { plan, events }) = self.due.take() else { return Ok(()) };
        self.recording.make_latest().map_err(|e| mend::evidence(&e))?;
        self.plan_digest = Some(self.recording.plan(&plan).map_err(|e| mend::evidence(&e))?);
        fault::point("supervise.plan");
        for (kind, data) in events {
            self.note(kind, data)?;
        }
        fault::point("supervise.inputs");
        Ok(())
    }

    /// The digest of the plan. Where the engine did not come so far as to ask for what is due, that is recorded now.
    pub(super) fn plan_digest(&mut self) -> Option<String> {
        if let Err(error) = self.settle_due() {
            self.warnings.push(format!("the record lacks what was known before: {error}"));
        }
        self.plan_digest.take()
    }
}
