//! Ending a run from outside: another command asks its supervisor to, and does not take silence for an answer.

use crate::backend::Backend;
use crate::process::Process;
use aido_evidence::Run;
use aido_runtime::Error;
use std::time::{Duration, Instant};

/// The grace of a task, and time for the supervisor to bring its outputs out.
const PATIENCE: Duration = Duration::from_secs(60);
/// The same for one that was stopped: it brings nothing out.
const STOPPED: Duration = Duration::from_secs(10);
/// The kernel's time to end a killed process.
const DYING: Duration = Duration::from_secs(10);

/// The type of the event that names the writer of a run.
pub(super) const EVENT: &str = "supervised";

/// How long bringing outputs out may take: a minute, and a second for each eight MiB that there can be.
pub(crate) fn collecting(disk: u64) -> Duration {
    Duration::from_secs(60 + (disk >> 23))
}

/// Who writes a run, by its record.
pub(crate) fn writer(run: &Run) -> Option<Process> {
    serde_json::from_value(supervised(run)?).ok()
}

/// Which engine was to run the task, by its record.
pub(crate) fn backend(run: &Run) -> Option<Backend> {
    supervised(run)?.get("backend")?.as_str()?.parse().ok()
}

fn supervised(run: &Run) -> Option<serde_json::Value> {
    run.events().ok()?.flatten().find(|event| event.kind == EVENT).map(|event| event.data)
}

/// Has the run ended in order, and waits until its record is sealed. A supervisor that does not do so in
/// time is killed, and the sandbox with it: the record is left to be closed.
pub(crate) fn stop(run: &Run) -> Result<(), Error> {
    let failed = |why: String| Error::new(format!("cannot end run {}: {why}", run.id()));
    let alive = || run.alive().map_err(|e| failed(e.to_string()));
    let began = Instant::now();
    // A run that has just begun does not name its supervisor yet.
    let writer = loop {
        match writer(run) {
            Some(writer) => break writer,
            None if !alive()? => return Ok(()),
            None if began.elapsed() > STOPPED => {
                return Err(failed("its record does not say who supervises it".into()));
            }
            None => std::thread::sleep(Duration::from_millis(20)),
        }
    };
    let held = writer.hold();
    if let Some(held) = held.as_ref().filter(|_| alive().unwrap_or(false)) {
        held.ask();
    }
    while alive()? {
        let waited = began.elapsed();
        let stopped = held.as_ref().is_some_and(|held| held.is_stopped());
        if waited > PATIENCE || (stopped && waited > STOPPED) {
            return kill(run, writer, held.as_ref());
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

fn kill(run: &Run, writer: Process, held: Option<&crate::process::Held>) -> Result<(), Error> {
    let failed =
        |why: &str| Error::new(format!("cannot end run {}: its supervisor, process {}, {why}", run.id(), writer.pid));
    let held = held.ok_or_else(|| failed("is gone, but something still holds its record"))?;
    held.kill();
    let until = Instant::now() + DYING;
    while !held.is_gone() || run.alive().unwrap_or(true) {
        if Instant::now() > until {
            return Err(failed("does not even end when it is killed"));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}
