//! Hearing what a task does and what it is refused: the filter asks here, and what is worth it gets on record.
//!
//! A call that the profile refuses gets the profile's own error; one that it allows goes on ([`judge`]). So nothing
//! depends on what is read of the task in between. When the supervisor is gone the kernel refuses by itself. Calls that
//! are not asked about never come here and cost nothing.
//!
//! A thread of its own answers, so that neither a storm of calls nor a slow disk holds anybody else up.

mod calls;
mod judge;
mod listening;
mod memory;
mod places;
mod process;
mod scene;
mod sockets;
mod tally;

pub(crate) use scene::Scene;

use crate::seccomp::Program;
use aido_runtime::{Error, Event, Executed, Listener, Refusal};
use judge::Judge;
use listening::Listening;
use nix::sys::signal::{SigSet, SigmaskHow};
use rustix::event::{EventfdFlags, eventfd};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::thread::JoinHandle;

/// What it needs is little, and known.
const STACK: usize = 256 << 10;

/// Answers while the sandbox is tried; afterwards it listens.
pub(crate) struct Ear(Judge);

/// What was heard of a whole run.
#[derive(Debug, Default)]
pub(crate) struct Heard {
    pub(crate) refused: Vec<Refusal>,
    pub(crate) executed: Vec<Executed>,
}

/// A thread that answers.
pub(crate) struct Hearing {
    thread: JoinHandle<Heard>,
    told: Receiver<Event>,
    /// Rings when there is something to be told.
    bell: Arc<OwnedFd>,
    /// Ends the thread.
    leave: Arc<OwnedFd>,
}

impl Ear {
    pub(crate) fn new(listener: OwnedFd, plain: Program) -> Self {
        Ear(Judge::new(listener, plain))
    }

    /// A call of what the finished sandbox is tried with: that is no doing of the task's.
    pub(crate) fn answer_trial(&self) {
        if let Some(waiting) = self.0.next() {
            self.0.answer(&waiting);
        }
    }

    /// Listens to the task from now on.
    pub(crate) fn listen(self, scene: Scene) -> Result<Hearing, Error> {
        let failed = |e: std::io::Error| Error::new(format!("cannot listen to the task: {e}"));
        let bell = || eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK).map(Arc::new);
        let (bell, leave) = (bell().map_err(|e| failed(e.into()))?, bell().map_err(|e| failed(e.into()))?);
        let (tell, told) = channel();
        let listening = Listening::new(self.0, scene, leave.clone(), bell.clone(), tell);
        let thread = std::thread::Builder::new().name("aido-hears".into()).stack_size(STACK);
        // Signals are for the thread that waits for them.
        let mask = SigSet::all().thread_swap_mask(SigmaskHow::SIG_BLOCK).map_err(|e| failed(e.into()))?;
        let thread = thread.spawn(move || listening.listen());
        mask.thread_set_mask().map_err(|e| failed(e.into()))?;
        let thread = thread.map_err(failed)?;
        Ok(Hearing { thread, told, bell, leave })
    }
}

impl AsFd for Ear {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl Hearing {
    /// Readable when there is something to be told.
    pub(crate) fn bell(&self) -> BorrowedFd<'_> {
        self.bell.as_fd()
    }

    /// Tells what was heard since the last time.
    pub(crate) fn tell(&self, listener: &mut dyn Listener) {
        let _ = rustix::io::read(&self.bell, &mut [0u8; 8]);
        while let Ok(event) = self.told.try_recv() {
            // The listener remembers what it could not record.
            let _ = listener.event(event);
        }
    }

    /// To be called when nothing of the run lives: what was heard of it.
    pub(crate) fn end(self, listener: &mut dyn Listener) -> Result<Heard, Error> {
        ring(&self.leave);
        let Hearing { thread, told, .. } = self;
        let heard = thread.join();
        while let Ok(event) = told.try_recv() {
            let _ = listener.event(event);
        }
        heard.map_err(|_| Error::new("what listened to the task broke down"))
    }
}

fn ring(bell: &OwnedFd) {
    // Full only if nobody has looked for a very long time.
    let _ = rustix::io::write(bell, &1u64.to_ne_bytes());
}
