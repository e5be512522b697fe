//! Making the supervisor by a fork: it begins with all that the command line knows.

#[path = "fork.rs"]
mod fork;

use crate::host::link::Link;
use crate::host::native::{self, fault};
use crate::process::Held;
use crate::supervise::{Job, supervise};
use aido_runtime::Error;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::time::Duration;

/// The supervisor of a run, as its parent sees it.
pub(crate) struct Supervisor {
    pub(crate) process: Child,
    pub(crate) link: Link,
    /// The command line's end of the task's standard input.
    pub(crate) input: Option<OwnedFd>,
}

/// Its process. Nobody else waits for it, so that its number stays its own.
pub(crate) struct Child(Option<Held>);

/// Starts the supervisor. The job is its own from here on.
pub(crate) fn start(job: Job, input: Option<OwnedFd>) -> Result<Supervisor, Error> {
    let (link, theirs) = Link::pair()?;
    // What a killed supervisor leaves becomes a child of this process, which can end it.
    native::adopt_orphans();
    fault::point("run.forking");
    match fork::fork() {
        Ok(Some(pid)) => {
            fault::point("run.forked");
            Ok(Supervisor { process: Child(Held::number(pid.as_raw())), link, input })
        }
        Ok(None) => {
            // What is the command line's alone.
            drop((link, input));
            silence();
            native::share_one_heap();
            fault::point("supervise.forked");
            let status = supervise(job, theirs).unwrap_or(aido_runtime::exit::AIDO_FAILED);
            std::process::exit(i32::from(status))
        }
        Err(e) => Err(Error::new(format!("cannot start the supervisor: {e}"))),
    }
}

impl Child {
    /// Readable when it has ended. Its end of the link can outlive it: in a sandbox that was stopped at birth.
    pub(crate) fn wake(&self) -> Option<BorrowedFd<'_>> {
        self.0.as_ref().map(Held::end)
    }

    pub(crate) fn is_gone(&self) -> bool {
        self.0.as_ref().is_some_and(Held::is_gone)
    }

    /// Waits for its end; one that has said its last word and does not end is killed. Says whether it is gone.
    pub(crate) fn dismiss(&self) -> bool {
        let patience = Duration::from_secs(10);
        let gone = self.0.as_ref().is_none_or(|process| process.is_gone_within(patience));
        gone || self.end()
    }

    /// Kills it, and with it the sandbox. Says whether it is gone: the kernel may hold it for a while.
    pub(crate) fn end(&self) -> bool {
        let gone = self.0.as_ref().is_none_or(|process| {
            process.kill();
            process.is_gone_within(Duration::from_secs(10))
        });
        self.end_orphans();
        gone
    }

    /// A sandbox's first process dies with its supervisor, unless it was stopped before it could ask for that. One
    /// without a PID namespace of its own ends the task's family, which may be stopped, too.
    fn end_orphans(&self) {
        native::end_descendants();
    }
}

/// The caller's streams are not the supervisor's: whoever waits for their end must not wait for it.
fn silence() {
    let Ok(null) = std::fs::OpenOptions::new().read(true).write(true).open("/dev/null") else { return };
    let _ = nix::unistd::dup2_stdin(&null);
    let _ = nix::unistd::dup2_stdout(&null);
    let _ = nix::unistd::dup2_stderr(&null);
}
