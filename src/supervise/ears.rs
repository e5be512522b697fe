//! What a supervisor hears beside its engine, by one descriptor that is readable when any of it has something to say.

use crate::gate::Standing;
use crate::host::link::Link;
use aido_runtime::Wake;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::time::TimeSpec;
use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};
use std::os::fd::AsFd;
use std::time::Duration;

/// Signals from other commands, and three clocks.
pub(crate) struct Ears {
    signals: SignalFd,
    wake: Epoll,
    sign: TimerFd,
    beat: Option<TimerFd>,
    /// Goes off when a terminal's output has stood still; none: nobody waits for single bytes.
    show: Option<TimerFd>,
}

impl Ears {
    pub(crate) fn new(link: &Link, terminal: bool) -> nix::Result<Ears> {
        let mut set = SigSet::empty();
        set.add(Signal::SIGTERM);
        set.add(Signal::SIGINT);
        set.thread_block()?;
        let signals = SignalFd::with_flags(&set, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)?;
        let wake = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        let sign = timer()?;
        wake.add(&signals, readable())?;
        wake.add(link, readable())?;
        wake.add(&sign, readable())?;
        let show = terminal.then(timer).transpose()?;
        show.as_ref().map_or(Ok(()), |show| wake.add(show, readable()))?;
        Ok(Ears { signals, wake, sign, beat: None, show })
    }

    /// The next signal that came; never blocks.
    pub(crate) fn signal(&mut self) -> Option<i32> {
        self.signals.read_signal().ok().flatten().map(|signal| signal.ssi_signo as i32)
    }

    /// Nobody speaks on the link any more.
    pub(crate) fn forget(&self, link: &Link) {
        let _ = self.wake.delete(link);
    }

    /// The gateway of the run may have something to tell.
    pub(crate) fn hear_of(&self, gateway: &Standing) -> nix::Result<()> {
        self.wake.add(gateway, readable())
    }

    pub(crate) fn hear_no_more_of(&self, gateway: &Standing) {
        let _ = self.wake.delete(gateway);
    }

    /// Sets the time to sign; false where that cannot be had.
    pub(crate) fn sign_in(&self, later: Duration) -> bool {
        self.sign.set(Expiration::OneShot(TimeSpec::from_duration(later)), TimerSetTimeFlags::empty()).is_ok()
    }

    /// Sets it back, also where it went off just now.
    pub(crate) fn sign_never(&self) {
        let _ = self.sign.unset();
    }

    pub(crate) fn is_time_to_sign(&self) -> bool {
        poll(&mut [PollFd::new(self.sign.as_fd(), PollFlags::POLLIN)], PollTimeout::ZERO) == Ok(1)
    }

    /// Sets the time to show what is held back of a terminal's output.
    pub(crate) fn show_in(&self, later: Duration) {
        if let Some(show) = &self.show {
            let _ = show.set(Expiration::OneShot(TimeSpec::from_duration(later)), TimerSetTimeFlags::empty());
        }
    }

    /// Whether that has come; said once.
    pub(crate) fn is_time_to_show(&self) -> bool {
        // Never blocks, and fails where it has not gone off.
        matches!(self.show.as_ref().map(TimerFd::wait), Some(Ok(())))
    }

    /// Wakes so often from now on. Without it the command line's patience is shorter; that is no reason to fail.
    pub(crate) fn beat_every(&mut self, pause: Duration) -> bool {
        let Ok(timer) = timer() else { return false };
        let every = Expiration::Interval(TimeSpec::from_duration(pause));
        let set = timer.set(every, TimerSetTimeFlags::empty()).is_ok() && self.wake.add(&timer, readable()).is_ok();
        self.beat = set.then_some(timer);
        set
    }

    /// Whether the command line is to hear that it goes on.
    pub(crate) fn take_beat(&self) -> bool {
        // Never blocks; what it says is only how often.
        self.beat.as_ref().map(TimerFd::wait).is_some()
    }

    pub(crate) fn beat_never(&mut self) {
        self.beat = None;
    }

    pub(crate) fn wake(&self) -> Option<Wake<'_>> {
        Some(self.wake.0.as_fd())
    }
}

fn readable() -> EpollEvent {
    EpollEvent::new(EpollFlags::EPOLLIN, 0)
}

fn timer() -> nix::Result<TimerFd> {
    TimerFd::new(ClockId::CLOCK_MONOTONIC, TimerFlags::TFD_CLOEXEC | TimerFlags::TFD_NONBLOCK)
}
