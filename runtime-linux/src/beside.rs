//! A job beside a run: a child process works it out while its parent goes on, and its answer comes by a pipe.

use crate::{collect, sys};
use aido_runtime::Error;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::unistd::Pid;
use std::io::{Read, Write};
use std::os::fd::{AsFd, AsRawFd};
use std::time::{Duration, Instant};

/// How often the parent is asked for a sign of life while it waits.
const BEAT: Duration = Duration::from_millis(500);

/// A job at work. Dropped, it is killed; it dies with its parent, too.
pub struct Beside {
    pid: Pid,
    answer: std::fs::File,
}

impl Beside {
    /// Starts the job in a child, which yields to everybody else. The caller has one thread.
    pub fn start(job: impl FnOnce() -> Vec<u8>) -> Result<Beside, Error> {
        let failed = |e: std::io::Error| Error::new(format!("cannot start a process beside the run: {e}"));
        let (answer, writer) =
            rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).map_err(|e| failed(e.into()))?;
        let parent = std::process::id();
        let pid = sys::fork().map_err(|e| failed(e.into()))?;
        if pid == 0 {
            // It holds copies of the supervisor's descriptors, the link and the record's lock among them.
            let alone = sys::close_all_but(3, &mut [writer.as_raw_fd()]).is_ok() && collect::with_its_parent(parent);
            let _ = rustix::process::nice(10);
            let told = alone && std::fs::File::from(writer).write_all(&job()).is_ok();
            sys::leave(if told { 0 } else { 1 })
        }
        Ok(Beside { pid: Pid::from_raw(pid), answer: std::fs::File::from(answer) })
    }

    /// Its answer; `None` where it died or does not come within `patience`. `beat` is called while it is waited for.
    pub fn finish(mut self, patience: Duration, beat: &mut dyn FnMut()) -> Option<Vec<u8>> {
        let until = Instant::now() + patience;
        let (mut text, mut piece) = (Vec::new(), vec![0; 1 << 16]);
        loop {
            let left = until.checked_duration_since(Instant::now())?.min(BEAT);
            let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::ZERO);
            match poll(&mut [PollFd::new(self.answer.as_fd(), PollFlags::POLLIN)], timeout) {
                Ok(1..) => match self.answer.read(&mut piece) {
                    Ok(0) => return Some(text).filter(|text| !text.is_empty()),
                    Ok(length) => text.extend_from_slice(&piece[..length]),
                    Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
                    Err(_) => return None,
                },
                _ => beat(),
            }
        }
    }
}

impl Drop for Beside {
    fn drop(&mut self) {
        let _ = nix::sys::signal::kill(self.pid, nix::sys::signal::Signal::SIGKILL);
        let _ = nix::sys::wait::waitpid(self.pid, None);
    }
}
