//! What ends programs, and what stops them at a terminal, caught by a thread that waits for it.

use super::Came;
use aido_runtime::Error;
use nix::sys::signal::{SigSet, Signal};
use std::sync::mpsc::{Receiver, channel};

/// Signals that came.
pub(crate) struct Signals(Receiver<Came>);

impl Signals {
    /// `terminal`: those of a terminal that is the task's, too. Threads that are there already hear them as before, so
    /// this comes before them.
    pub(crate) fn catch(terminal: bool) -> Result<Signals, Error> {
        let failed = |e: String| Error::new(format!("cannot catch signals: {e}"));
        let set = hold(terminal).map_err(|e| failed(e.to_string()))?;
        let (tell, came) = channel();
        let wait = move || {
            while let Ok(signal) = set.wait() {
                let next = match signal {
                    Signal::SIGTSTP => Came::Suspend,
                    Signal::SIGCONT => Came::Continued,
                    // These four have the same numbers everywhere.
                    end => Came::End(end as i32),
                };
                if tell.send(next).is_err() {
                    return;
                }
                super::wake();
            }
        };
        std::thread::Builder::new().name("signals".into()).spawn(wait).map_err(|e| failed(e.to_string()))?;
        Ok(Signals(came))
    }

    /// The next one that came; never blocks.
    pub(crate) fn next(&mut self) -> Option<Came> {
        self.0.try_recv().ok()
    }
}

/// Has them wait until they are caught, in this thread and in those that it makes.
pub(crate) fn hold(terminal: bool) -> nix::Result<SigSet> {
    let mut set: SigSet = [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP, Signal::SIGQUIT].into_iter().collect();
    if terminal {
        set.extend([Signal::SIGTSTP, Signal::SIGCONT]);
    }
    set.thread_block().map(|()| set)
}
