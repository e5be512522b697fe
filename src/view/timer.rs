//! A clock that goes off, by a descriptor, also when the machine has slept past the moment.

use aido_runtime::Error;
use rustix::time::{Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// One moment at a time.
pub(super) struct Timer(OwnedFd);

impl Timer {
    pub(super) fn new() -> Result<Timer, Error> {
        let flags = TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK;
        let timer = rustix::time::timerfd_create(TimerfdClockId::Boottime, flags);
        timer.map(Timer).map_err(|e| Error::new(format!("cannot make a timer: {e}")))
    }

    /// The moment, in milliseconds since the machine started.
    pub(super) fn set(&self, at_ms: u64) -> Result<(), Error> {
        let when = Timespec { tv_sec: (at_ms / 1000) as i64, tv_nsec: (at_ms % 1000 * 1_000_000) as _ };
        let once = Itimerspec { it_interval: Timespec { tv_sec: 0, tv_nsec: 0 }, it_value: when };
        let set = rustix::time::timerfd_settime(&self.0, TimerfdTimerFlags::ABSTIME, &once);
        set.map(drop).map_err(|e| Error::new(format!("cannot set a timer: {e}")))
    }

    /// Readable from that moment on.
    pub(super) fn wake(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
