//! Ctrl-C in the middle of a pull: it ends at once, and says what became of what had come.

use crate::progress::Shown;
use aido_runtime::Error;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal, raise};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use std::fmt::Display;
use std::io::PipeReader;
use std::os::fd::AsFd;

const ENDING: [Signal; 3] = [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP];

/// The signals that wait while the value lives, in this thread and in what it makes.
pub(crate) struct Held {
    signals: SigSet,
}

impl Held {
    /// Holds back what would end this process; what its caller has it ignore stays ignored.
    pub(crate) fn back() -> Result<Held, Error> {
        let ignored = ignored();
        let mut signals = SigSet::empty();
        ENDING
            .iter()
            .filter(|signal| ignored & (1 << (**signal as u32 - 1)) == 0)
            .for_each(|signal| signals.add(*signal));
        signals.thread_block().map_err(failed)?;
        Ok(Held { signals })
    }

    /// Does `job`, which may be in a process that was forked since. A signal that comes meanwhile ends that process.
    pub(crate) fn during<T>(&self, progress: &Shown, job: impl FnOnce() -> Result<T, Error>) -> Result<T, Error> {
        let signals = SignalFd::with_flags(&self.signals, SfdFlags::SFD_CLOEXEC).map_err(failed)?;
        let (over, end) = std::io::pipe().map_err(failed)?;
        std::thread::scope(|scope| {
            scope.spawn(|| wait(&signals, over, progress));
            let done = job();
            drop(end);
            done
        })
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        // What came meanwhile is delivered now.
        let _ = self.signals.thread_unblock();
    }
}

fn failed(e: impl Display) -> Error {
    Error::new(format!("cannot wait for signals: {e}"))
}

/// The mask of the signals that this process ignores.
fn ignored() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0)
}

/// Until the job is over, or a signal ends the process.
fn wait(signals: &SignalFd, over: PipeReader, progress: &Shown) {
    loop {
        let mut both = [PollFd::new(signals.as_fd(), PollFlags::POLLIN), PollFd::new(over.as_fd(), PollFlags::POLLIN)];
        match poll(&mut both, PollTimeout::NONE) {
            Err(nix::errno::Errno::EINTR) => continue,
            Err(_) => return,
            Ok(_) => {}
        }
        if both[0].any() != Some(true) {
            return;
        }
        let Ok(Some(came)) = signals.read_signal() else { return };
        let Ok(signal) = Signal::try_from(came.ssi_signo.cast_signed()) else { return };
        progress.clear();
        crate::words::say(
            "interrupted; layers that are whole and the beginnings of slow ones are kept, and the same command goes on from there",
        );
        // They are in groups of their own, where no Ctrl-C comes.
        aido_image::end_helpers();
        // As if it had not been held back: whoever waits for this process sees what ended it.
        let mut set = SigSet::empty();
        set.add(signal);
        let _ = set.thread_unblock();
        let _ = raise(signal);
    }
}
