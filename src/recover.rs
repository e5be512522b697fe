//! Closing what a crash left open: unsealed runs of dead supervisors, and what they held.

use crate::summary::{self, Bytes, SUMMARY_VERSION, Streams, Summary};
use aido_evidence::{Project, Remains, Run};
use aido_runtime::{Collected, End, Enforced, Event, Outcome, Plan, Runtime, Usage};

/// Ends the leftovers of interrupted runs and closes their records; what was closed comes back as
/// sentences. Called first by every command that looks at the project.
pub(crate) fn sweep(project: &Project, engine: &dyn Runtime) -> Vec<String> {
    let runs = match project.interrupted() {
        Ok(runs) => runs,
        Err(error) => return vec![format!("cannot look for interrupted runs: {error}")],
    };
    let mut said = Vec::new();
    for run in runs {
        for leftover in held(&run) {
            if let Err(error) = engine.destroy(&leftover) {
                said.push(format!("run {}: {error}", run.id()));
            }
        }
        match run.close_interrupted(|remains| closing(&run, remains, engine.name())) {
            Ok(Some(_)) => {
                said.push(format!("run {} was interrupted; its record is closed now", run.id()));
                let _ = run.sandbox().end("its run was interrupted");
            }
            Ok(None) => {}
            Err(error) => said.push(format!("run {} was interrupted and cannot be closed: {error}", run.id())),
        }
    }
    said
}

/// What the run's record says that it held outside its own processes.
fn held(run: &Run) -> Vec<String> {
    let events = run.events().into_iter().flatten().flatten();
    events
        .filter(|event| event.kind == "held")
        .filter_map(|event| event.data.get("leftover")?.as_str().map(str::to_string))
        .collect()
}

fn controls(run: &Run) -> Option<Enforced> {
    let events = run.events().into_iter().flatten().flatten();
    let told = events.filter(|event| event.kind == "enforced").last()?;
    let mut data = told.data;
    data.as_object_mut()?.insert("type".into(), "enforced".into());
    match serde_json::from_value(data).ok()? {
        Event::Enforced { controls } => Some(controls),
        _ => None,
    }
}

fn closing(run: &Run, remains: &Remains, backend: &str) -> Summary {
    let stored = run.plan().ok().flatten();
    let plan: Option<Plan> = stored.as_deref().and_then(|bytes| serde_json::from_slice(bytes).ok());
    let moment = |moment: &Option<(String, u64)>| moment.clone().unwrap_or_default();
    let ((started, began_ms), (ended, last_ms)) = (moment(&remains.first), moment(&remains.last));
    let (runtime, image_digest) =
        plan.as_ref().map_or(("unknown".to_string(), None), |plan| summary::root_words(&plan.root));
    let end = End::Lost { why: "the process that recorded this run was killed".into() };
    let task = plan.as_ref().map(|plan| summary::argv(&plan.task));
    Summary {
        version: SUMMARY_VERSION,
        run: remains.run.to_string(),
        sandbox: remains.sandbox.to_string(),
        name: plan.as_ref().map(|plan| plan.name.clone()).unwrap_or_default(),
        task: task.unwrap_or_default(),
        runtime,
        image_digest,
        backend: backend.to_string(),
        started,
        ended,
        exit_code: end.exit_code(),
        outcome: Outcome {
            end,
            usage: Usage { wall_ms: last_ms.saturating_sub(began_ms), ..Usage::default() },
            refused: Vec::new(),
        },
        enforced: controls(run).unwrap_or_default(),
        warnings: remains.broken.iter().map(|broken| format!("the record is damaged: {broken}")).collect(),
        inputs: Vec::new(),
        hidden: Vec::new(),
        outputs: Collected::default(),
        output: Streams {
            stdout: Bytes { kept: remains.stdout_bytes, ..Bytes::default() },
            stderr: Bytes { kept: remains.stderr_bytes, ..Bytes::default() },
        },
        plan_digest: stored.map(|bytes| format!("sha256:{}", aido_evidence::sha256_hex(&bytes))),
        chain_head: remains.chain_head.clone(),
    }
}
