//! What a supervisor hears beside its engine. Nothing wakes it: the engine asks now and then.

use super::gate::Standing;
use super::link::Link;
use super::process::{Process, was_asked};
use super::view::{Came, Signals};
use aido_runtime::Wake;
use std::cell::Cell;
use std::time::{Duration, Instant};

/// How often it is looked whether another command asks for the run's end.
const LOOK: Duration = Duration::from_millis(200);
const SIGTERM: i32 = 15;

/// Whoever wants the run to end, and three clocks.
pub(crate) struct Ears {
    me: Option<Process>,
    signals: Signals,
    looked: Instant,
    sign: Cell<Option<Instant>>,
    show: Cell<Option<Instant>>,
    beat: Option<Duration>,
    next_beat: Cell<Instant>,
}

impl Ears {
    pub(crate) fn new(_link: &Link, _terminal: bool) -> Result<Ears, aido_runtime::Error> {
        let now = Instant::now();
        let signals = Signals::catch(false)?;
        Ok(Ears {
            me: Process::me(),
            signals,
            looked: now,
            sign: Cell::new(None),
            show: Cell::new(None),
            beat: None,
            next_beat: Cell::new(now),
        })
    }

    /// The next signal that came; never blocks.
    pub(crate) fn signal(&mut self) -> Option<i32> {
        if let Some(Came::End(signal)) = self.signals.next() {
            return Some(signal);
        }
        if self.looked.elapsed() <= LOOK {
            return None;
        }
        self.looked = Instant::now();
        self.me.is_some_and(was_asked).then_some(SIGTERM)
    }

    /// Nobody speaks on the link any more.
    pub(crate) fn forget(&self, _link: &Link) {}

    /// A gateway's lines wait until they are asked for, like everything here.
    pub(crate) fn hear_of(&self, _gateway: &Standing) -> Result<(), aido_runtime::Error> {
        Ok(())
    }

    pub(crate) fn hear_no_more_of(&self, _gateway: &Standing) {}

    /// Sets the time to sign.
    pub(crate) fn sign_in(&self, later: Duration) -> bool {
        self.sign.set(Some(Instant::now() + later));
        true
    }

    pub(crate) fn sign_never(&self) {
        self.sign.set(None);
    }

    pub(crate) fn is_time_to_sign(&self) -> bool {
        self.sign.get().is_some_and(|at| Instant::now() >= at)
    }

    /// Sets the time to show what is held back of a terminal's output.
    pub(crate) fn show_in(&self, later: Duration) {
        self.show.set(Some(Instant::now() + later));
    }

    /// Whether that has come; said once.
    pub(crate) fn is_time_to_show(&self) -> bool {
        let due = self.show.get().is_some_and(|at| Instant::now() >= at);
        if due {
            self.show.set(None);
        }
        due
    }

    pub(crate) fn beat_every(&mut self, pause: Duration) -> bool {
        self.beat = Some(pause);
        true
    }

    /// Whether the command line is to hear that it goes on.
    pub(crate) fn take_beat(&self) -> bool {
        let now = Instant::now();
        let due = self.beat.filter(|_| now >= self.next_beat.get());
        due.is_some_and(|pause| {
            self.next_beat.set(now + pause);
            true
        })
    }

    pub(crate) fn beat_never(&mut self) {
        self.beat = None;
    }

    pub(crate) fn wake(&self) -> Option<Wake<'_>> {
        None
    }
}
