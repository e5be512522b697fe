//! Making the supervisor: this program executed anew, in a process group of its own.

use super::handover::Handover;
use super::link::{Link, News};
use super::native::part;
use super::view::{self, Sink};
use crate::supervise::{Job, supervise};
use aido_runtime::{Error, exit};
use std::io::{BufRead, BufReader, Write};
use std::process::{ExitCode, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The first argument by which it knows what it is.
pub(super) const PART: &str = "aido-supervisor";
const PATIENCE: Duration = Duration::from_secs(10);

/// The supervisor of a run, as its parent sees it.
pub(crate) struct Supervisor {
    pub(crate) process: Child,
    pub(crate) link: Link,
    /// The command line's end of the task's standard input.
    pub(crate) input: Option<Sink>,
}

/// Its process. Nobody else waits for it, so that its number stays its own.
pub(crate) struct Child(Mutex<std::process::Child>);

/// Starts the supervisor. The job is its own from here on.
pub(crate) fn start(job: Job, input: Option<Sink>) -> Result<Supervisor, Error> {
    let failed = |e: std::io::Error| Error::new(format!("cannot start the supervisor: {e}"));
    let mut line = serde_json::to_vec(&Handover::of(job, input.is_some())).map_err(|e| failed(e.into()))?;
    line.push(b'\n');
    let mut command = part(PART);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().map_err(failed)?;
    let (Some(mut to), Some(from)) = (child.stdin.take(), child.stdout.take()) else {
        return Err(Error::new("the supervisor has no streams"));
    };
    // One that does not read its job ends, and the link tells so.
    let _ = to.write_all(&line);
    let link = Link::over(BufReader::new(from), to, None);
    Ok(Supervisor { process: Child(Mutex::new(child)), link, input })
}

/// The supervisor's whole life.
pub(super) fn main() -> ExitCode {
    // Before the link's threads are made. They wait already if the command line had them wait.
    let _ = view::hold(false);
    let mut stdin = BufReader::new(std::io::stdin());
    let mut line = Vec::new();
    let handover = stdin.read_until(b'\n', &mut line).ok().and_then(|_| serde_json::from_slice::<Handover>(&line).ok());
    // Whoever types this name gets nothing of it.
    let Some(handover) = handover else { return ExitCode::from(exit::AIDO_FAILED) };
    drop(line);
    let (theirs, ours) = match handover.interactive.then(std::io::pipe) {
        Some(Ok((theirs, ours))) => (Some(theirs), Some(ours)),
        _ => (None, None),
    };
    let link = Link::over(stdin, std::io::stdout(), ours);
    let status = match handover.into_job(theirs) {
        Ok(job) => supervise(job, link).unwrap_or(exit::AIDO_FAILED),
        Err(error) => {
            link.insist(&News::Failed { what: error.what, remedy: error.remedy, ran: false });
            exit::AIDO_FAILED
        }
    };
    ExitCode::from(status)
}

impl Child {
    pub(crate) fn is_gone(&self) -> bool {
        self.lock().try_wait().map_or(true, |status| status.is_some())
    }

    /// Waits for its end; one that has said its last word and does not end is killed. Says whether it is gone.
    pub(crate) fn dismiss(&self) -> bool {
        self.is_gone_within(PATIENCE) || self.end()
    }

    /// Kills it. Says whether it is gone; what an engine holds of its run is ended by who closes the record.
    pub(crate) fn end(&self) -> bool {
        let _ = self.lock().kill();
        self.is_gone_within(PATIENCE)
    }

    fn is_gone_within(&self, patience: Duration) -> bool {
        let until = Instant::now() + patience;
        while !self.is_gone() {
            if Instant::now() > until {
                return false;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        true
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, std::process::Child> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
