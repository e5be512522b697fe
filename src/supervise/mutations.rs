//! A run whose task changes the project itself: the project's states go on record around it.

use super::record::Recorder;
use crate::host::mutated::Before;
use crate::mutation::Mutated;
use aido_evidence::Sandbox;
use aido_runtime::{Error, Plan};
use aido_secrets::Secrets;

/// Before anything starts; none: the task can change nothing.
pub(super) fn before(plan: &Plan, sandbox: &Sandbox, recorder: &mut Recorder) -> Result<Option<Before>, Error> {
    let before = Before::take(plan, sandbox, recorder.recording.id().as_str())?;
    if let Some(before) = &before {
        recorder.note("project_before", before.event())?;
    }
    Ok(before)
}

/// When nothing of the run lives any more.
pub(super) fn after(
    before: Option<Before>,
    sandbox: &Sandbox,
    (plan, secrets): (&Plan, &Secrets),
    recorder: &mut Recorder,
) -> Option<Mutated> {
    let after = before?.after(sandbox, plan.limits.output.value, &mut || recorder.beat());
    recorder.warnings.extend(after.warnings);
    let changes = secrets.bytes(&after.changes).unwrap_or(after.changes);
    let mut digest = None;
    match recorder.recording.changes(&changes) {
        Ok(stored) => digest = Some(stored),
        Err(error) => recorder.warnings.push(format!("what the task changed could not be stored: {error}")),
    }
    for (kind, mut data) in after.events {
        if kind == "changes" {
            data["sha256"] = digest.clone().into();
        }
        if let Err(error) = recorder.note(kind, data) {
            recorder.warnings.push(format!("the record lacks an event `{kind}`: {error}"));
        }
    }
    Some(after.summary)
}
