//! Closing what a crash left open: unsealed runs of dead supervisors, what they held, sandboxes of dead keepers.

mod told;

use crate::backend::{self, Backend, SCRATCH, fault};
use crate::host::mutated::Before;
use crate::mutation::Mutated;
use crate::process::{Held, Process};
use crate::redact;
use crate::summary::{self, Bytes, SUMMARY_VERSION, Streams, Summary};
use crate::supervise::stop;
use aido_evidence::{Project, Remains, Run, Sandbox, State, Status};
use aido_runtime::{End, EnvValue, Error, Mount, MountKind, Outcome, Plan, Usage};
use std::time::{Duration, Instant};
use told::Told;

/// Why a kept sandbox was ended.
pub(crate) const TIME_IS_OVER: &str = "its time limit";

/// Runs in the sandbox have the same limit: their supervisors may end them in order, outputs and all.
const RUNS_MAY_END: Duration = Duration::from_secs(30);

/// So long after its time a sandbox is its keeper's to end, if that one lives.
const KEEPERS_TURN_MS: u64 = 120_000;

/// Ends the leftovers of interrupted runs and closes their records, and ends sandboxes whose time is over
/// and whose keeper is gone; what was done comes back as sentences. Called first by every command that
/// looks at the project.
pub(crate) fn sweep(project: &Project) -> Vec<String> {
    let mut said = Vec::new();
    match project.open_runs() {
        Ok(runs) => runs.iter().for_each(|(run, status)| {
            said.extend(match status {
                Status::Interrupted => close(run, None),
                Status::Sealed => settle_overdue(run),
                Status::Running => end_overdue(run),
            });
        }),
        Err(error) => said.push(format!("cannot look for interrupted runs: {error}")),
    }
    match project.expired() {
        Ok(over) => over.iter().for_each(|sandbox| said.extend(expire(sandbox))),
        Err(error) => said.push(format!("cannot look for sandboxes whose time is over: {error}")),
    }
    said
}

/// A sealed run whose supervisor was stopped on the way to the disk: nobody waits for it, and it shall not stay for ever.
fn settle_overdue(run: &Run) -> Vec<String> {
    const PATIENCE: Duration = Duration::from_secs(60);
    let sealed = run.open_part("summary.json").map(|file| file.metadata().and_then(|meta| meta.modified()).ok());
    let overdue = sealed.ok().flatten().is_some_and(|at| at.elapsed().is_ok_and(|since| since > PATIENCE));
    let held = overdue.then(|| stop::writer(run)?.hold().filter(|held| held.is_stopped())).flatten();
    if let Some(held) = held {
        held.kill();
        held.is_gone_within(Duration::from_secs(5));
        // What it left is found by its mark.
        return run.settle().err().map(|error| format!("run {}: {error}", run.id())).into_iter().collect();
    }
    Vec::new()
}

/// Ends a run that nobody watches and whose supervisor does not do what it should: one that was stopped is past
/// hope as soon as its time is over, another may still be bringing outputs out.
fn end_overdue(run: &Run) -> Vec<String> {
    const MARGIN_MS: u64 = 15_000;
    let plan: Option<Plan> = run.plan().ok().flatten().and_then(|bytes| serde_json::from_slice(&bytes).ok());
    let (Some(plan), Some(begun), Some(writer)) = (plan, run.begun(), stop::writer(run)) else { return Vec::new() };
    let building = backend::building_ms(backend_of(run));
    // The task starts when that is on record; before it the sandbox is built.
    let ready = run.events().into_iter().flatten().flatten().find(|event| event.kind == "enforced");
    let from = ready.map_or(begun.mono_ms + building, |event| event.mono_ms);
    let limit = plan.deadline.ttl_ms.saturating_add(plan.deadline.grace_ms).saturating_add(MARGIN_MS);
    let late = aido_evidence::boottime_ms().saturating_sub(from).saturating_sub(limit);
    let may_take = u64::try_from(stop::collecting(plan.limits.disk.value).as_millis()).unwrap_or(u64::MAX);
    let Some(held) = writer.hold().filter(|held| late > 0 && (held.is_stopped() || late > may_take + building)) else {
        return Vec::new();
    };
    held.kill();
    if !held.is_gone_within(Duration::from_secs(5)) {
        return vec![format!(
            "run {}: its supervisor, process {}, does not even end when it is killed",
            run.id(),
            writer.pid
        )];
    }
    let mut said = vec![format!("run {} was not ended by its supervisor at its time limit", run.id())];
    said.extend(close(run, Some(End::Deadline { ttl_ms: plan.deadline.ttl_ms })));
    said
}

/// Ends what an interrupted run held, by the engine that held it, and closes its record. `end`: how it ended, where
/// that is known better than by the record.
pub(crate) fn close(run: &Run, end: Option<End>) -> Vec<String> {
    let mut said = Vec::new();
    for leftover in held(run) {
        if let Err(error) = backend::destroy(&leftover) {
            said.push(format!("run {}: {error}", run.id()));
        }
    }
    if !said.is_empty() && is_fresh(run) {
        // What does not end at once ends soon: the next command tries again. Once closed, nobody would.
        return said;
    }
    let left: Vec<String> = said.iter().map(|error| format!("not ended when the record was closed: {error}")).collect();
    if let Err(error) = run.sandbox().discard(SCRATCH) {
        said.push(format!("run {}: {error}", run.id()));
    }
    fault::point("recover.held");
    let mutated = mutated(run);
    let closed = run.close_interrupted(|remains| {
        let mut summary = closing(run, remains, end);
        summary.warnings.extend(left);
        if let Some((mutated, warnings)) = mutated {
            summary.mutated = Some(mutated);
            summary.warnings.extend(warnings);
        }
        let facts = summary.facts();
        (summary, facts)
    });
    match closed {
        Ok(Some(_)) => {
            fault::point("recover.closed");
            said.push(format!("run {} was interrupted; its record is closed now", run.id()));
        }
        Ok(None) => {}
        Err(error) => said.push(format!("run {} was interrupted and cannot be closed: {error}", run.id())),
    }
    said
}

/// What a task that could change the project itself did to it, as far as that can be told now.
fn mutated(run: &Run) -> Option<(Mutated, Vec<String>)> {
    let before = Before::of(run.sandbox(), run.id().as_str())?;
    let plan: Plan = run.plan().ok().flatten().and_then(|bytes| serde_json::from_slice(&bytes).ok())?;
    let after = before.after(run.sandbox(), plan.limits.output.value, &mut || {});
    let mut warnings = vec![
        "the run was interrupted, and the project may be half-changed; the changes were looked at when the record was closed"
            .to_string(),
    ];
    warnings.extend(after.warnings);
    // The values of its secrets are not known any more, so what would be taken out of a diff cannot be.
    let secret = |mount: &Mount| matches!(mount.kind, MountKind::Input { secret: true, .. });
    let entrusted =
        plan.mounts.iter().any(secret) || plan.task.env.values().any(|value| matches!(value, EnvValue::From { .. }));
    let changes = match entrusted {
        true => after.list,
        false => {
            redact::secrets(&Default::default(), &Default::default()).bytes(&after.changes).unwrap_or(after.changes)
        }
    };
    if let Err(error) = run.leave_changes(&changes) {
        warnings.push(format!("what the task changed could not be stored: {error}"));
    }
    Some((after.summary, warnings))
}

/// Asks the supervisors of running tasks to end them, and waits until their records are closed.
pub(crate) fn end_runs(sandbox: &Sandbox) -> Result<Vec<String>, Error> {
    let mut said = Vec::new();
    while let Some(run) = sandbox.running().map_err(|e| Error::new(e.to_string()))? {
        stop::stop(&run)?;
        // A supervisor that had to be killed has left that to us.
        said.extend(close(&run, None));
    }
    Ok(said)
}

/// Ends the keeper of a sandbox, if there is one; its number may be somebody else's by now.
pub(crate) fn end_keeper(state: &State) {
    if let Some(keeper) = living_keeper(state) {
        keeper.kill();
        keeper.is_gone_within(Duration::from_secs(10));
    }
}

/// The keeper of a sandbox, held, if it lives.
pub(crate) fn living_keeper(state: &State) -> Option<Held> {
    let keeper = state.keeper.filter(|_| state.is_of_this_boot().unwrap_or(false))?;
    Process { pid: keeper.pid, start: keeper.start }.hold()
}

/// The keeper's work: ends what still runs in the sandbox, and says that it is over. A full disk may be a passing thing.
pub(crate) fn end_at_its_time(sandbox: &Sandbox) -> Result<(), Error> {
    fault::point("keeper.due");
    let until = Instant::now() + RUNS_MAY_END;
    while sandbox.running().is_ok_and(|run| run.is_some()) && Instant::now() < until {
        std::thread::sleep(Duration::from_millis(50));
    }
    let mut result = Ok(false);
    for pause in [1, 5, 0] {
        result = end_runs(sandbox).and_then(|_| {
            sweep(sandbox.project());
            sandbox.end(TIME_IS_OVER).map_err(|e| Error::new(e.to_string()))
        });
        if let Ok(first) = result {
            // Nobody would miss more than a sentence.
            let _ = first.then(|| sandbox.project().leave_word_of(sandbox.id()));
            fault::point("keeper.ended");
            break;
        }
        std::thread::sleep(Duration::from_secs(pause));
    }
    result.map(drop)
}

/// Ends a sandbox that should have been ended by its keeper.
fn expire(sandbox: &Sandbox) -> Vec<String> {
    let Ok(state) = sandbox.state() else { return Vec::new() };
    let restarted = !state.is_of_this_boot().unwrap_or(true);
    let keeper = living_keeper(&state);
    let overdue = aido_evidence::boottime_ms().saturating_sub(state.deadline.boottime_ms);
    if state.ended.is_none() && keeper.is_some() && overdue < KEEPERS_TURN_MS {
        return Vec::new();
    }
    let (why, since) = match (restarted, keeper.is_some()) {
        (true, _) => ("the machine was started again", "the machine was started again".to_owned()),
        (false, true) => (TIME_IS_OVER, "its time limit has passed, and its keeper did nothing".to_owned()),
        (false, false) => (TIME_IS_OVER, "its time limit has passed, and its keeper was gone".to_owned()),
    };
    end_keeper(&state);
    fault::point("recover.expired");
    let ended = end_runs(sandbox).map_err(|e| e.to_string());
    match ended.and_then(|said| Ok((said, sandbox.end(why).map_err(|e| e.to_string())?))) {
        Ok((mut said, first)) => {
            said.extend(first.then(|| format!("sandbox {} is ended now: {since}", sandbox.id())));
            said
        }
        // Destroyed meanwhile: nothing is left to be ended.
        Err(_) if sandbox.project().sandbox(sandbox.id().as_str()).is_err() => Vec::new(),
        Err(error) => vec![format!("sandbox {} is over and cannot be ended: {error}", sandbox.id())],
    }
}

/// The engine that was to run the task; records of before there was a choice do not name it.
fn backend_of(run: &Run) -> Backend {
    stop::backend(run).unwrap_or(Backend::Linux)
}

/// What the run's record says that it held outside its own processes.
fn held(run: &Run) -> Vec<String> {
    let events = run.events().into_iter().flatten().flatten();
    events
        .filter(|event| event.kind == "held")
        .filter_map(|event| event.data.get("leftover")?.as_str().map(str::to_string))
        .collect()
}

/// Whether the run was alive a short while ago.
fn is_fresh(run: &Run) -> bool {
    const A_WHILE_MS: u64 = 600_000;
    let here = aido_evidence::boot_id().unwrap_or_default();
    let this_boot = run.begun().is_some_and(|begun| begun.data.get("boot_id").is_some_and(|boot| *boot == *here));
    let last = run.events().into_iter().flatten().flatten().last();
    this_boot && last.is_some_and(|last| aido_evidence::boottime_ms().saturating_sub(last.mono_ms) < A_WHILE_MS)
}

/// How it ended, by its record: as that says, or by the time limit if it was reached, whoever died then.
fn outcome(told: &mut Told, plan: Option<&Plan>, lasted_ms: u64, end: Option<End>) -> Outcome {
    if let (Some(outcome), None) = (told.outcome.take(), &end) {
        return outcome;
    }
    let end = end.unwrap_or_else(|| match plan.filter(|_| told.deadline_reached) {
        Some(plan) => End::Deadline { ttl_ms: plan.deadline.ttl_ms },
        None => End::Lost { why: "the process that recorded this run was killed".into() },
    });
    // A writer that was stopped recorded nothing of the time until its run was ended.
    let wall_ms = match &end {
        End::Deadline { ttl_ms } => *ttl_ms.max(&lasted_ms),
        _ => lasted_ms,
    };
    Outcome {
        end,
        usage: Usage { wall_ms, ..Usage::default() },
        refused: std::mem::take(&mut told.refused),
        executed: std::mem::take(&mut told.executed),
    }
}

fn closing(run: &Run, remains: &Remains, end: Option<End>) -> Summary {
    let stored = run.plan().ok().flatten();
    let plan: Option<Plan> = stored.as_deref().and_then(|bytes| serde_json::from_slice(bytes).ok());
    let moment = |moment: &Option<(String, u64)>| moment.clone().unwrap_or_default();
    let ((started, began_ms), (ended, last_ms)) = (moment(&remains.first), moment(&remains.last));
    let (runtime, image_digest) =
        plan.as_ref().map_or(("unknown".to_string(), None), |plan| summary::root_words(&plan.root));
    let mut told = Told::by(run);
    let outcome = outcome(&mut told, plan.as_ref(), last_ms.saturating_sub(began_ms), end);
    let task = plan.as_ref().map(|plan| summary::argv(&plan.task));
    let found = stored.map(|bytes| format!("sha256:{}", aido_evidence::sha256_hex(&bytes)));
    let warnings = warnings(remains, told.plan_digest.as_deref().filter(|digest| found.as_deref() != Some(*digest)));
    Summary {
        version: SUMMARY_VERSION,
        run: remains.run.to_string(),
        sandbox: remains.sandbox.to_string(),
        name: plan.as_ref().map(|plan| plan.name.clone()).unwrap_or_default(),
        task: task.unwrap_or_default(),
        runtime,
        image_digest,
        backend: backend_of(run).to_string(),
        isolation: plan.as_ref().map(|plan| plan.isolation).unwrap_or_default(),
        started,
        ended,
        exit_code: outcome.end.exit_code(),
        outcome,
        enforced: told.controls.unwrap_or_default(),
        warnings,
        inputs: told.inputs,
        hidden: told.hidden,
        outputs: told.collected,
        mutated: None,
        output: Streams {
            stdout: Bytes { kept: remains.stdout_bytes, ..Bytes::default() },
            stderr: Bytes { kept: remains.stderr_bytes, ..Bytes::default() },
        },
        changes: None,
        network: None,
        redacted: told.redacted,
        plan_digest: told.plan_digest.or(found),
        chain_head: remains.chain_head.clone(),
    }
}

/// `lost`: the digest of a plan that is not the one that is there.
fn warnings(remains: &Remains, lost: Option<&str>) -> Vec<String> {
    let interrupted = "the process that recorded this run was killed before it sealed it; another closed the record";
    let mut said = vec![interrupted.to_owned()];
    said.extend(remains.broken.iter().map(|broken| format!("the record is damaged: {broken}")));
    said.extend(
        lost.map(|digest| format!("plan.json is not the plan that was recorded, which has the digest {digest}")),
    );
    said
}
