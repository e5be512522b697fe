//! From the word to start the task to a confined process that waits for the last word.
//!
//! The task's process says that it is confined, tries what must fail, and says what became of that. Whatever comes
//! out of turn is an error, and nothing is waited for longer than [`PATIENCE`].

use crate::failure;
use crate::hear::Ear;
use crate::script::Script;
use crate::seccomp::Filters;
use crate::spawn::{self, Live};
use crate::sys::Errno;
use crate::wire::{LENGTH, Order, Report, Trial};
use aido_runtime::Error;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags};
use std::io::IoSliceMut;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

/// How long a process may take to confine itself before it counts as stuck.
const PATIENCE: Duration = Duration::from_secs(20);

/// A task that waits to be executed.
pub(crate) struct Ready {
    /// The number of its process on the host, as the kernel told it.
    pub(crate) pid: i32,
    pub(crate) trial: Trial,
    /// Hears what the task is refused; none: its profile has no room for that.
    pub(crate) ear: Option<Ear>,
}

/// Has the task's process made and confined. An error means that the task never executed.
pub(crate) fn ready(live: &Live, script: &Script, filters: &Filters) -> Result<Ready, Error> {
    let mut handshake = Handshake { live, script, until: Instant::now() + PATIENCE };
    spawn::order(&live.control, Order::Start)?;
    let (confined, from, listener) = handshake.next(None)?;
    let (Report::Confined, Some(pid), true) = (confined, from, listener.is_some() == script.exec.heard) else {
        return Err(out_of_turn());
    };
    let ear = listener.map(|listener| Ear::new(listener, filters.plain));
    match handshake.next(ear.as_ref())? {
        (Report::Tried(trial), Some(again), None) if again == pid => Ok(Ready { pid, trial, ear }),
        _ => Err(out_of_turn()),
    }
}

/// The last word: what is in force is on record.
pub(crate) fn execute(live: &Live) -> Result<(), Error> {
    spawn::order(&live.started, Order::Execute)
}

fn out_of_turn() -> Error {
    Error::new("the task's process spoke out of turn while it confined itself")
}

struct Handshake<'a> {
    live: &'a Live,
    script: &'a Script,
    until: Instant,
}

impl Handshake<'_> {
    /// The next report, who sent it, and what came with it. Meanwhile refusals get their answers.
    fn next(&mut self, ear: Option<&Ear>) -> Result<(Report, Option<i32>, Option<OwnedFd>), Error> {
        loop {
            let heard = ear.map(AsFd::as_fd);
            let [task, guard, gone, asks] = self.wait(heard)?;
            if asks && let Some(ear) = ear {
                // What the trials are refused is no doing of the task's.
                ear.answer_trial();
                continue;
            }
            if guard && let (Report::Failed { step, index, errno }, _, _) = receive(self.live.control.as_fd())? {
                return Err(failure::words(self.script, step, index, Errno(errno)));
            }
            if task {
                return match receive(self.live.started.as_fd())? {
                    (Report::Failed { step, index, errno }, _, _) => {
                        Err(failure::words(self.script, step, index, Errno(errno)))
                    }
                    report => Ok(report),
                };
            }
            if guard || gone {
                return Err(Error::new("the sandbox's first process died while the task was being confined"));
            }
        }
    }

    /// Which have something to say: the task, the guard, the guard's end, the filter.
    fn wait(&self, ear: Option<BorrowedFd<'_>>) -> Result<[bool; 4], Error> {
        let listen = |fd| PollFd::new(fd, PollFlags::POLLIN);
        let mut polled = vec![
            listen(self.live.started.as_fd()),
            listen(self.live.control.as_fd()),
            listen(self.live.guard.pidfd.as_fd()),
        ];
        polled.extend(ear.map(listen));
        loop {
            let left = self.until.saturating_duration_since(Instant::now());
            match poll(&mut polled, PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX)) {
                Ok(0) => return Err(Error::new(format!("the task was not confined after {PATIENCE:?}"))),
                Ok(_) => break,
                Err(nix::errno::Errno::EINTR) => {}
                Err(e) => return Err(Error::new(format!("cannot wait for the task's process: {e}"))),
            }
        }
        let any = |at: usize| polled.get(at).and_then(|p| p.revents()).is_some_and(|r| !r.is_empty());
        // A filter that nobody is under any more hangs up, and has nothing to say.
        let asks = polled.get(3).and_then(|p| p.revents()).is_some_and(|r| r.contains(PollFlags::POLLIN));
        Ok([any(0), any(1), any(2), asks])
    }
}

/// One packet with what the kernel says of its sender, and a descriptor where one came.
fn receive(socket: BorrowedFd<'_>) -> Result<(Report, Option<i32>, Option<OwnedFd>), Error> {
    let mut packet = [0u8; LENGTH];
    let mut room = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1), ScmCredentials(1))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut room);
    let mut parts = [IoSliceMut::new(&mut packet)];
    let length = rustix::net::recvmsg(socket, &mut parts, &mut ancillary, RecvFlags::CMSG_CLOEXEC)
        .map_err(|e| Error::new(format!("cannot hear the sandbox: {e}")))?
        .bytes;
    let (mut from, mut descriptor) = (None, None);
    for message in ancillary.drain() {
        match message {
            RecvAncillaryMessage::ScmRights(mut descriptors) => descriptor = descriptors.next(),
            RecvAncillaryMessage::ScmCredentials(sender) => from = Some(sender.pid.as_raw_nonzero().get()),
            _ => {}
        }
    }
    match packet.get(..length).and_then(Report::decode) {
        Some(report) => Ok((report, from, descriptor)),
        None if length == 0 => Err(Error::new("the task's process died while it was being confined")),
        None => Err(out_of_turn()),
    }
}
