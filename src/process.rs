//! Processes that are on record: told apart from those that get their numbers later, and ended by descriptor.

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use rustix::process::{PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use serde::{Deserialize, Serialize};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

/// A number, and when the process with it began, in clock ticks since the machine did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Process {
    pub(crate) pid: i32,
    pub(crate) start: u64,
}

impl Process {
    pub(crate) fn me() -> Option<Process> {
        Process::with(std::process::id() as i32)
    }

    /// The process that has this number now.
    pub(crate) fn with(pid: i32) -> Option<Process> {
        Some(Process { pid, start: field(pid, 22)?.parse().ok()? })
    }

    /// Holds the process, if it still lives.
    pub(crate) fn hold(&self) -> Option<Held> {
        let held = Held::number(self.pid)?;
        // The descriptor holds whoever has the number; only now is that compared with who was recorded.
        (Process::with(self.pid) == Some(*self) && !held.is_gone()).then_some(held)
    }
}

/// A process that is held by a descriptor: no other can come in its place.
pub(crate) struct Held {
    pid: i32,
    fd: OwnedFd,
}

impl Held {
    /// Whoever has this number now: for children that nobody has waited for.
    pub(crate) fn number(pid: i32) -> Option<Held> {
        let fd = pidfd_open(rustix::process::Pid::from_raw(pid)?, PidfdFlags::empty()).ok()?;
        Some(Held { pid, fd })
    }

    /// Readable when the process has ended.
    pub(crate) fn end(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    pub(crate) fn ask(&self) {
        let _ = pidfd_send_signal(&self.fd, Signal::TERM);
    }

    pub(crate) fn kill(&self) {
        let _ = pidfd_send_signal(&self.fd, Signal::KILL);
    }

    pub(crate) fn is_gone(&self) -> bool {
        self.is_gone_within(Duration::ZERO)
    }

    /// Waits for its end; a process that hangs in the kernel is not waited for any longer.
    pub(crate) fn is_gone_within(&self, patience: Duration) -> bool {
        let until = Instant::now() + patience;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
            match poll(&mut [PollFd::new(self.fd.as_fd(), PollFlags::POLLIN)], timeout) {
                Ok(ready) => return ready > 0,
                Err(nix::errno::Errno::EINTR) => {}
                Err(_) => return false,
            }
        }
    }

    /// Whether somebody has stopped it, so that it does nothing, not even end.
    pub(crate) fn is_stopped(&self) -> bool {
        matches!(field(self.pid, 3).as_deref(), Some("T" | "t")) && !self.is_gone()
    }
}

/// A field of `/proc/PID/stat`, counted as in its manual; the second may hold anything, up to the last `)`.
fn field(pid: i32, number: usize) -> Option<String> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(')')?.1.split_whitespace().nth(number - 3).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    #[test]
    fn a_process_is_ended_only_if_it_is_the_one_that_was_recorded() {
        let mut child = Command::new("sleep").arg("60").spawn().unwrap();
        let recorded = Process::with(child.id() as i32).unwrap();
        let another = Process { start: recorded.start + 1, ..recorded };
        assert!(another.hold().is_none(), "another began with this number");
        let held = recorded.hold().unwrap();
        assert!(!held.is_gone_within(Duration::from_millis(20)) && !held.is_stopped());
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(recorded.pid), nix::sys::signal::Signal::SIGSTOP).unwrap();
        while !held.is_stopped() {
            std::thread::sleep(Duration::from_millis(1));
        }
        held.kill();
        assert!(held.is_gone_within(Duration::from_secs(10)));
        // Not waited for yet, so the number is still its own; but it does not live.
        assert!(recorded.hold().is_none() && !held.is_stopped());
        child.wait().unwrap();
        assert!(recorded.hold().is_none());
    }
}
