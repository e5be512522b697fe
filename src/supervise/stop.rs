//! Ending a run from outside: another command asks its supervisor to.

use aido_evidence::Run;
use aido_runtime::Error;
use serde::{Deserialize, Serialize};
use std::time::{Duration, Instant};

/// The grace of a task, and time for the supervisor to bring its outputs out.
const PATIENCE: Duration = Duration::from_secs(60);

/// Who writes a run, so that a number that was given to somebody else since is told apart.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Writer {
    pub(super) pid: i32,
    /// When the process began, in clock ticks since the machine did.
    pub(super) start: u64,
}

/// The type of the event that names the writer.
pub(super) const EVENT: &str = "supervised";

impl Writer {
    pub(super) fn me() -> Option<Writer> {
        let pid = std::process::id() as i32;
        Some(Writer { pid, start: start_of(pid)? })
    }
}

/// Field 22 of `/proc/PID/stat`; the second may hold anything, up to the last `)`.
fn start_of(pid: i32) -> Option<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(')')?.1.split_whitespace().nth(22 - 3)?.parse().ok()
}

/// Has the run ended in order, and waits until its record is sealed.
pub(crate) fn stop(run: &Run) -> Result<(), Error> {
    let failed = |why: String| Error::new(format!("cannot end run {}: {why}", run.id()));
    let alive = || run.alive().map_err(|e| failed(e.to_string()));
    let events = run.events().map_err(|e| failed(e.to_string()))?;
    let writer = events.flatten().find(|event| event.kind == EVENT);
    let writer: Option<Writer> = writer.and_then(|event| serde_json::from_value(event.data).ok());
    let Some(writer) = writer else { return Err(failed("its record does not say who supervises it".into())) };
    let process = rustix::process::Pid::from_raw(writer.pid)
        .and_then(|pid| rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty()).ok());
    // The descriptor holds the process; only now is it compared with the one that was recorded.
    if let Some(process) = process.filter(|_| start_of(writer.pid) == Some(writer.start))
        && alive()?
    {
        rustix::process::pidfd_send_signal(&process, rustix::process::Signal::TERM)
            .map_err(|e| failed(e.to_string()))?;
    }
    let until = Instant::now() + PATIENCE;
    while alive()? {
        if Instant::now() > until {
            return Err(failed(format!("its supervisor, process {}, does not end", writer.pid)));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}
