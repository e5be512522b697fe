//! Processes that are on record, by number and start time.

use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use std::time::{Duration, Instant};
use sysinfo::{Pid, ProcessRefreshKind, ProcessStatus, ProcessesToUpdate, System};

/// A number, and when the process with it began, in seconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Process {
    pub(crate) pid: i32,
    pub(crate) start: u64,
}

impl Process {
    pub(crate) fn me() -> Option<Process> {
        Process::with(std::process::id().cast_signed())
    }

    /// The process that has this number now.
    pub(crate) fn with(pid: i32) -> Option<Process> {
        look(pid, |process| Process { pid, start: process.start_time() })
    }

    /// Holds the process, if it still lives.
    pub(crate) fn hold(&self) -> Option<Held> {
        let held = Held(*self);
        (!held.is_gone()).then_some(held)
    }
}

/// A process that is known by both, and looked for again at each step.
pub(crate) struct Held(Process);

impl Held {
    /// Asks it to end: it looks for that file, since not every platform has signals between processes.
    pub(crate) fn ask(&self) {
        if let Some(place) = asked(self.0) {
            let made = place.parent().map(std::fs::create_dir_all);
            let _ = made.map(|_| std::fs::write(place, b""));
        }
    }

    pub(crate) fn kill(&self) {
        if self.lives(|process| process.kill()) == Some(true)
            && let Some(place) = asked(self.0)
        {
            let _ = std::fs::remove_file(place);
        }
    }

    pub(crate) fn is_gone(&self) -> bool {
        self.lives(|process| matches!(process.status(), ProcessStatus::Zombie | ProcessStatus::Dead)) != Some(false)
    }

    /// Waits for its end; a process that hangs in the kernel is not waited for any longer.
    pub(crate) fn is_gone_within(&self, patience: Duration) -> bool {
        let until = Instant::now() + patience;
        while !self.is_gone() {
            if Instant::now() > until {
                return false;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        true
    }

    /// Whether somebody has stopped it, so that it does nothing, not even end.
    pub(crate) fn is_stopped(&self) -> bool {
        self.lives(|process| matches!(process.status(), ProcessStatus::Stop | ProcessStatus::Tracing)) == Some(true)
    }

    fn lives<T>(&self, tell: impl FnOnce(&sysinfo::Process) -> T) -> Option<T> {
        look(self.0.pid, |process| (process.start_time() == self.0.start).then(|| tell(process))).flatten()
    }
}

fn look<T>(pid: i32, tell: impl FnOnce(&sysinfo::Process) -> T) -> Option<T> {
    let pid = Pid::from_u32(u32::try_from(pid).ok()?);
    let mut system = System::new();
    system.refresh_processes_specifics(ProcessesToUpdate::Some(&[pid]), true, ProcessRefreshKind::nothing());
    system.process(pid).map(tell)
}

/// The file by which a process is asked to end. It lies in the user's own state, where nobody else writes.
fn asked(process: Process) -> Option<PathBuf> {
    Some(crate::backend::state()?.join("ending").join(format!("{}-{}", process.pid, process.start)))
}

/// Whether this process was asked to end; said once.
pub(super) fn was_asked(me: Process) -> bool {
    asked(me).is_some_and(|place| std::fs::remove_file(place).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    #[test]
    fn a_process_is_ended_only_if_it_is_the_one_that_was_recorded() {
        let mut child = Command::new("sleep").arg("60").spawn().unwrap();
        let recorded = Process::with(child.id().cast_signed()).unwrap();
        let another = Process { start: recorded.start + 1, ..recorded };
        assert!(another.hold().is_none(), "another began with this number");
        let held = recorded.hold().unwrap();
        assert!(!held.is_gone_within(Duration::from_millis(20)) && !held.is_stopped());
        held.kill();
        assert!(held.is_gone_within(Duration::from_secs(10)));
        assert!(recorded.hold().is_none());
        child.wait().unwrap();
        assert!(recorded.hold().is_none());
    }
}
