//! A moment that is waited for with whatever is waited for.

use aido_runtime::Error;
use std::cell::Cell;
use std::time::Duration;

/// One moment at a time.
pub(super) struct Timer(Cell<u64>);

impl Timer {
    pub(super) fn new() -> Result<Timer, Error> {
        Ok(Timer(Cell::new(0)))
    }

    /// The moment, in milliseconds since the machine started.
    pub(super) fn set(&self, at_ms: u64) -> Result<(), Error> {
        self.0.set(at_ms);
        Ok(())
    }

    /// How long it is until then.
    pub(super) fn left(&self) -> Duration {
        Duration::from_millis(self.0.get().saturating_sub(aido_evidence::boottime_ms()))
    }
}
