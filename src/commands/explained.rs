//! The explanations of a run, from its folder and the project as they are now.

use crate::explain::heard::LOOKED_AT;
use crate::explain::{EXPLANATIONS_VERSION, Explanation, Facts, explain};
use crate::settings::Policy;
use crate::summary::Summary;
use aido_evidence::{Run, Stream};
use aido_runtime::Plan;
use serde_json::{Value, json};
use std::io::{Read, Seek, SeekFrom};

/// What was denied to a run; nothing where its plan cannot be read, since then nothing can be said.
pub(super) fn of(run: &Run, told: &Summary) -> Vec<Explanation> {
    let Some(plan) = run.plan().ok().flatten().and_then(|plan| serde_json::from_slice::<Plan>(&plan).ok()) else {
        return Vec::new();
    };
    let config = run.sandbox().config().ok().flatten().and_then(|text| String::from_utf8(text).ok());
    let tails = [Stream::Stderr, Stream::Stdout].map(|stream| tail(run, stream).unwrap_or_default());
    let evidence = run.sandbox().project().folder();
    explain(&Facts {
        summary: told,
        plan: &plan,
        config: config.as_deref().unwrap_or_default(),
        project: evidence.parent().unwrap_or(evidence),
        policy: &Policy::of_the_user().unwrap_or_default(),
        tails: [&tails[0], &tails[1]],
    })
}

/// The summary as it is stored, and what is drawn up of it.
pub(super) fn beside(mut stored: Value, explanations: &[Explanation]) -> Value {
    if let Some(members) = stored.as_object_mut() {
        members.insert("explanations_version".into(), json!(EXPLANATIONS_VERSION));
        members.insert("explanations".into(), json!(explanations));
    }
    stored
}

fn tail(run: &Run, stream: Stream) -> Option<Vec<u8>> {
    let mut log = run.open_output(stream).ok()?;
    let length = log.metadata().ok()?.len();
    log.seek(SeekFrom::Start(length.saturating_sub(LOOKED_AT as u64))).ok()?;
    let mut bytes = Vec::new();
    log.take(LOOKED_AT as u64).read_to_end(&mut bytes).ok()?;
    Some(bytes)
}
