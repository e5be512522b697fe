//! Hearing what a task does and what it is refused: the filter asks here, and what is worth it gets on record.
//!
//! A call that the profile refuses gets the profile's own error; one that it allows goes on ([`judge`]). So nothing
//! depends on what is read of the task in between. When the supervisor is gone the kernel refuses by itself. Calls that
//! are not asked about never come here and cost nothing.
//!
//! A thread of its own answers, so that neither a storm of calls nor a slow disk holds anybody else up. Where none can be
//! made (old filters of containers refuse `clone3` by EPERM, and the C library does not try another way) the supervisor
//! answers between its other duties.

mod calls;
mod judge;
mod listening;
mod memory;
mod near;
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
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
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

/// Who answers from now on.
pub(crate) struct Hearing {
    by: By,
    told: Receiver<Event>,
    /// Rings when there is something to be told.
    bell: Arc<OwnedFd>,
    /// Ends the thread.
    leave: Arc<OwnedFd>,
}

enum By {
    Thread(JoinHandle<Option<Heard>>),
    Turns(Box<Listening>),
}

/// Answers of one turn, so that deadline and output have theirs.
const PER_TURN: usize = 32;

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
        let handed = Arc::new(Mutex::new(Some(listening)));
        let taken = handed.clone();
        let take = |from: &Mutex<Option<Listening>>| from.lock().ok().and_then(|mut handed| handed.take());
        let thread = thread.spawn(move || take(&taken).map(Listening::listen));
        mask.thread_set_mask().map_err(|e| failed(e.into()))?;
        let by = match thread {
            Ok(thread) => By::Thread(thread),
            Err(e) => By::Turns(Box::new(take(&handed).ok_or_else(|| failed(e))?)),
        };
        Ok(Hearing { by, told, bell, leave })
    }
}

impl AsFd for Ear {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl Hearing {
    /// Readable when there is something to be told, or to be answered. Before the task runs nothing is told.
    pub(crate) fn bell(&self, runs: bool) -> Option<BorrowedFd<'_>> {
        match &self.by {
            By::Thread(_) => runs.then(|| self.bell.as_fd()),
            By::Turns(listening) => listening.waits(),
        }
    }

    /// Tells what was heard since the last time.
    pub(crate) fn tell(&mut self, runs: bool, listener: &mut dyn Listener) {
        if let By::Turns(listening) = &mut self.by {
            (0..PER_TURN).all(|_| listening.turn());
        }
        if !runs {
            return;
        }
        let _ = rustix::io::read(&self.bell, &mut [0u8; 8]);
        while let Ok(event) = self.told.try_recv() {
            // The listener remembers what it could not record.
            let _ = listener.event(event);
        }
    }

    /// To be called when nothing of the run lives: what was heard of it.
    pub(crate) fn end(self, listener: &mut dyn Listener) -> Result<Heard, Error> {
        ring(&self.leave);
        let Hearing { by, told, .. } = self;
        let heard = match by {
            By::Thread(thread) => thread.join().ok().flatten(),
            By::Turns(listening) => Some(listening.finish()),
        };
        while let Ok(event) = told.try_recv() {
            let _ = listener.event(event);
        }
        heard.ok_or_else(|| Error::new("what listened to the task broke down"))
    }
}

fn ring(bell: &OwnedFd) {
    // Full only if nobody has looked for a very long time.
    let _ = rustix::io::write(bell, &1u64.to_ne_bytes());
}
