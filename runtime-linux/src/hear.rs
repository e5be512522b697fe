//! Hearing what a task is refused: the filter asks here before it refuses, and gets the profile's own answer.
//!
//! A call is never let through, so nothing depends on what is read of the task in between. When the supervisor is
//! gone the kernel refuses by itself. A call that is allowed never comes here and costs nothing.

use crate::clone::NAMESPACES;
use crate::seccomp::{self, Call, Program};
use crate::sys::filter::{self, Asked};
use aido_runtime::{Cause, Event, Listener, Refusal};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::uio::{RemoteIoVec, process_vm_readv};
use std::io::IoSliceMut;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

/// Kinds that are told apart; what comes after these is counted together.
const MOST_KINDS: usize = 256;
/// Answers of one turn, so that deadline and output have theirs.
const PER_TURN: usize = 32;
/// So many are answered at once. Whoever asks for more waits for each: the supervisor is outside of the task's bounds.
const FREELY: u64 = 4096;
const THEN_EACH: Duration = Duration::from_millis(1);

pub(crate) struct Ear {
    listener: OwnedFd,
    plain: Program,
    known: Vec<Refusal>,
    answered: u64,
    /// Nobody is asked before this.
    rests_until: Option<Instant>,
    /// The filter has nobody under it any more.
    over: bool,
}

impl Ear {
    pub(crate) fn new(listener: OwnedFd, plain: Program) -> Self {
        Ear { listener, plain, known: Vec::new(), answered: 0, rests_until: None, over: false }
    }

    /// The descriptor to wait for; none while it rests.
    pub(crate) fn waits(&self) -> Option<BorrowedFd<'_>> {
        let rests = self.rests_until.is_some_and(|until| Instant::now() < until);
        (!rests && !self.over).then(|| self.listener.as_fd())
    }

    /// When it is to be asked again, if it rests.
    pub(crate) fn rests_until(&self) -> Option<Instant> {
        self.rests_until.filter(|_| !self.over)
    }

    /// A refusal of what the finished sandbox was tried with.
    pub(crate) fn answer_trial(&mut self) {
        if let Ok(asked) = filter::next(self.listener.as_fd()) {
            self.answer(&asked);
        }
    }

    /// Answers those that wait, and tells of each kind once.
    pub(crate) fn listen(&mut self, listener: &mut dyn Listener) {
        for _ in 0..PER_TURN {
            match self.ready() {
                Some(true) => {}
                Some(false) => return,
                None => {
                    self.over = true;
                    return;
                }
            }
            // Whoever asked may be gone by now.
            if let Ok(asked) = filter::next(self.listener.as_fd())
                && let Some(first) = self.note(&asked)
            {
                let _ = listener.event(Event::Refused(first));
            }
            if self.answered > FREELY {
                self.rests_until = Some(Instant::now() + THEN_EACH);
                return;
            }
        }
    }

    /// What was refused, each kind once, with how often.
    pub(crate) fn into_refusals(self) -> Vec<Refusal> {
        self.known
    }

    /// Whether somebody asks; none: nobody ever will again.
    fn ready(&self) -> Option<bool> {
        let mut polled = [PollFd::new(self.listener.as_fd(), PollFlags::POLLIN)];
        let _ = poll(&mut polled, PollTimeout::ZERO);
        let events = polled[0].revents().unwrap_or(PollFlags::empty());
        if events.contains(PollFlags::POLLIN) {
            return Some(true);
        }
        (!events.intersects(PollFlags::POLLHUP | PollFlags::POLLERR)).then_some(false)
    }

    /// Answers, and remembers; the refusal if it is the first of its kind.
    fn note(&mut self, asked: &Asked) -> Option<Refusal> {
        // Read while whoever asked still waits.
        let process = process_name(asked.pid);
        let call = seccomp::name(asked.number as u32);
        let flags = (call == "clone3").then(|| flags_of_clone3(asked));
        let still = filter::waits(self.listener.as_fd(), asked);
        let errno = self.answer(asked);
        self.answered += 1;
        let flags = flags.filter(|_| still).flatten();
        if let Some(flags) = flags
            && flags & NAMESPACES as u64 == 0
        {
            // Libraries try clone3 for every thread, and fall back.
            return None;
        }
        let detail = seccomp::detail(&call, &asked.args, flags);
        let process = if still { process } else { String::new() };
        self.count(Refusal {
            answer: seccomp::errno_name(errno),
            number: i64::from(asked.number),
            pid: asked.pid,
            count: 1,
            call,
            detail,
            process,
            cause: Cause::Profile,
            target: None,
            place: None,
        })
    }

    fn count(&mut self, refusal: Refusal) -> Option<Refusal> {
        let same = |known: &&mut Refusal| {
            known.number == refusal.number && known.detail == refusal.detail && known.process == refusal.process
        };
        if let Some(known) = self.known.iter_mut().find(same) {
            known.count += 1;
            return None;
        }
        if self.known.len() < MOST_KINDS {
            self.known.push(refusal.clone());
            return Some(refusal);
        }
        let others = Refusal { call: "others".into(), number: -1, detail: None, process: String::new(), ..refusal };
        match self.known.last_mut().filter(|last| last.number == -1) {
            Some(last) => {
                last.count += 1;
                None
            }
            None => {
                self.known.push(others.clone());
                Some(others)
            }
        }
    }

    /// Gives the profile's answer; the number of the error.
    fn answer(&self, asked: &Asked) -> i32 {
        let call = Call { arch: asked.arch, number: asked.number as u32, args: asked.args };
        let errno = match self.plain.answer(&call) {
            answer if answer & 0xFFFF_0000 == 0x0005_0000 => (answer & 0xFFFF) as i32,
            // Not a refusal by an error: what the kernel says where nobody listens.
            _ => libc::ENOSYS,
        };
        // Whoever asked may be gone by now.
        let _ = filter::refuse(self.listener.as_fd(), asked, errno);
        errno
    }
}

impl AsFd for Ear {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.listener.as_fd()
    }
}

/// The name that a process goes by: its own choice, at most 15 bytes.
fn process_name(pid: i32) -> String {
    let name = std::fs::read(format!("/proc/{pid}/comm")).unwrap_or_default();
    String::from_utf8_lossy(&name).trim_end_matches('\n').to_string()
}

/// The first word of the structure that clone3 takes.
fn flags_of_clone3(asked: &Asked) -> Option<u64> {
    let mut flags = [0u8; 8];
    let remote = [RemoteIoVec { base: usize::try_from(asked.args[0]).ok()?, len: flags.len() }];
    let read = process_vm_readv(nix::unistd::Pid::from_raw(asked.pid), &mut [IoSliceMut::new(&mut flags)], &remote);
    (read == Ok(flags.len())).then(|| u64::from_ne_bytes(flags))
}
