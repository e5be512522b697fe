//! What the tasks of a sandbox changed of the project goes on record before the seal: an event with counts, names and a
//! digest, and the changes themselves, as a patch or, where that would be too long, by name.

use super::link::News;
use super::record::Recorder;
use crate::host::changed;
use crate::summary::Changed;
use aido_evidence::Sandbox;
use aido_runtime::{MountKind, Plan};
use aido_secrets::Secrets;
use anyhow::Result;
use serde_json::{Value, json};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

/// The event's type.
const EVENT: &str = "changes";
/// How often the command line hears that reading goes on.
const BEAT: Duration = Duration::from_secs(1);

/// Whether a plan's task may change the project in a layer.
fn is_layered(plan: &Plan) -> bool {
    plan.mounts.iter().any(|mount| matches!(mount.kind, MountKind::Layered { .. }))
}

/// Before anything starts.
pub(super) fn begin(sandbox: &Sandbox, plan: &Plan) -> std::result::Result<(), aido_runtime::Error> {
    if !is_layered(plan) {
        return Ok(());
    }
    changed::run_begins(sandbox).map_err(|error| aido_runtime::Error::new(format!("{error:#}")))
}

/// Records what lies in the sandbox's layers now. None where the task could change nothing.
pub(super) fn note(recorder: &mut Recorder, sandbox: &Sandbox, plan: &Plan, secrets: &Secrets) -> Option<Changed> {
    if !is_layered(plan) {
        return None;
    }
    let noted = read(recorder, sandbox, plan.limits.output.value, secrets)
        .and_then(|found| found.map(|found| store(recorder, found)).transpose());
    noted.unwrap_or_else(|error| {
        recorder.warnings.push(format!("the record lacks what was changed of the project: {error:#}"));
        None
    })
}

/// What is to be stored.
pub(crate) struct Found {
    pub(crate) changed: Changed,
    pub(crate) event: Value,
    /// `changes.diff`
    pub(crate) text: Vec<u8>,
}

/// Reads the layers apart, so that the command line goes on hearing of this process.
fn read(recorder: &Recorder, sandbox: &Sandbox, bound: u64, secrets: &Secrets) -> Result<Option<Found>> {
    std::thread::scope(|scope| {
        let (done, waits) = channel();
        let reading = scope.spawn(move || {
            let found = changed::looked_at(sandbox, bound, secrets);
            drop(done);
            found
        });
        while waits.recv_timeout(BEAT) == Err::<(), _>(RecvTimeoutError::Timeout) {
            recorder.tell(&News::Closing { collected: None });
        }
        reading.join().unwrap_or_else(|_| anyhow::bail!("reading it failed"))
    })
}

fn store(recorder: &mut Recorder, found: Found) -> Result<Changed> {
    let Found { changed, mut event, text } = found;
    if !text.is_empty() {
        event["sha256"] = json!(recorder.recording.changes(&text)?);
    }
    recorder.note(EVENT, event).map_err(|error| anyhow::anyhow!(error.what))?;
    Ok(changed)
}
