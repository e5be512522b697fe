//! The thread that answers: reads what a call is about while the task waits, lets it have its answer, and tells.

use super::calls::{About, At, Calls, Flags};
use super::judge::{Judge, Waiting};
use super::places::{Execution, Found};
use super::process::Status;
use super::scene::{First, Scene};
use super::tally::Tally;
use super::{Heard, memory, process, ring, sockets};
use crate::clone::NAMESPACES;
use crate::seccomp;
use crate::sys::filter::Asked;
use aido_runtime::{Cause, Event, Execution as Executed, Refusal};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::time::Instant;

/// So many refusals by the profile are given at once; whoever asks for more waits for each.
const FREELY: u64 = 4096;
/// Calls that are looked at and go on: so many at once, and so many more in each second. This thread is outside of the
/// task's bounds.
const LOOKS: f64 = 100_000.0;
const LOOKS_PER_SECOND: f64 = 25_000.0;
const THEN_EACH: u16 = 1;
/// Executions that are told one by one; those after them are counted.
const MOST_TOLD: u64 = 4096;

pub(super) struct Listening {
    judge: Judge,
    places: super::places::Places,
    first: Option<First>,
    calls: Calls,
    tally: Tally,
    leave: Arc<OwnedFd>,
    bell: Arc<OwnedFd>,
    tell: Sender<Event>,
    refused: u64,
    executed: u64,
    looks: f64,
    filled: Instant,
    /// After this answer there is a rest.
    tired: bool,
    /// The filter has nobody under it any more.
    over: bool,
}

/// What a call turned out to be.
enum Noted {
    Nothing,
    Executed(Executed),
    Refused(Refusal),
}

/// What a wait ended with.
enum Woken {
    Asked,
    /// Nobody is left who could ask, or nobody wants to know.
    Over,
    Silence,
}

impl Listening {
    pub(super) fn new(
        judge: Judge,
        scene: Scene,
        leave: Arc<OwnedFd>,
        bell: Arc<OwnedFd>,
        tell: Sender<Event>,
    ) -> Listening {
        let Scene { places, first } = scene;
        Listening {
            judge,
            places,
            first: Some(first),
            calls: Calls::here(),
            tally: Tally::default(),
            leave,
            bell,
            tell,
            refused: 0,
            executed: 0,
            looks: LOOKS,
            filled: Instant::now(),
            tired: false,
            over: false,
        }
    }

    pub(super) fn listen(mut self) -> Heard {
        while let Woken::Asked = self.wait(PollTimeout::NONE) {
            if !self.one() {
                break;
            }
        }
        self.finish()
    }

    /// The descriptor to wait for, where there is no thread to do so.
    pub(super) fn waits(&self) -> Option<BorrowedFd<'_>> {
        (!self.over).then(|| self.judge.as_fd())
    }

    /// One question, if there is one; false: that is all for now.
    pub(super) fn turn(&mut self) -> bool {
        match self.wait(PollTimeout::ZERO) {
            // Whoever has to wait for the rest, the others have their turn.
            Woken::Asked => self.one() && !self.tired,
            Woken::Over => {
                self.over = true;
                false
            }
            Woken::Silence => false,
        }
    }

    pub(super) fn finish(self) -> Heard {
        let (refused, executed) = self.tally.into_lists();
        Heard { refused, executed }
    }

    /// Answers one; false: it is over meanwhile.
    fn one(&mut self) -> bool {
        // Whoever asked may be gone by now.
        let Some(waiting) = self.judge.next() else { return true };
        let noted = match waiting.refused() {
            Some(errno) => self.refusal(&waiting, errno),
            None => self.look(waiting.asked()),
        };
        // Who is answered has waited all the time: what was read was its own. Who was disturbed asks again.
        if self.judge.answer(&waiting) {
            self.keep(noted);
        }
        self.count(waiting.refused().is_some());
        !self.tired || self.rest()
    }

    fn wait(&self, timeout: PollTimeout) -> Woken {
        let listen = |fd| PollFd::new(fd, PollFlags::POLLIN);
        let mut polled = [listen(self.judge.as_fd()), listen(self.leave.as_fd())];
        loop {
            let _ = poll(&mut polled, timeout);
            let [asks, leaves] = [&polled[0], &polled[1]].map(|p| p.revents().unwrap_or(PollFlags::empty()));
            if asks.contains(PollFlags::POLLIN) {
                return Woken::Asked;
            }
            if !leaves.is_empty() || asks.intersects(PollFlags::POLLHUP | PollFlags::POLLERR) {
                return Woken::Over;
            }
            if timeout == PollTimeout::ZERO {
                return Woken::Silence;
            }
        }
    }

    fn count(&mut self, refused: bool) {
        if refused {
            self.refused += 1;
            self.tired = self.refused > FREELY;
            return;
        }
        let now = Instant::now();
        let since = now.duration_since(self.filled).as_secs_f64();
        self.filled = now;
        self.looks = (self.looks + since * LOOKS_PER_SECOND).min(LOOKS) - 1.0;
        self.tired = self.looks < 0.0;
    }

    /// False: it is over meanwhile.
    fn rest(&self) -> bool {
        let mut polled = [PollFd::new(self.leave.as_fd(), PollFlags::POLLIN)];
        poll(&mut polled, PollTimeout::from(THEN_EACH)) != Ok(1)
    }

    /// What the profile refuses.
    fn refusal(&self, waiting: &Waiting, errno: i32) -> Noted {
        let asked = waiting.asked();
        let call = seccomp::name(asked.number as u32);
        // The first word of the structure that clone3 takes.
        let flags = (call == "clone3").then(|| memory::word(asked.pid, asked.args[0])).flatten();
        if flags.is_some_and(|flags| flags & NAMESPACES as u64 == 0) {
            // Libraries try clone3 for every thread, and fall back.
            return Noted::Nothing;
        }
        Noted::Refused(Refusal {
            answer: seccomp::errno_name(errno),
            number: i64::from(asked.number),
            pid: asked.pid,
            count: 1,
            detail: seccomp::detail(&call, &asked.args, flags),
            call,
            process: process::name(asked.pid),
            cause: Cause::Profile,
            target: None,
            place: None,
        })
    }

    /// What the profile allows, which may fail for another reason.
    fn look(&mut self, asked: &Asked) -> Noted {
        let Some(about) = self.calls.about(asked.number) else { return Noted::Nothing };
        let (pid, places) = (asked.pid, &self.places);
        let mut begins = None;
        let mut path = |at: At| path(asked, at, &mut begins);
        let found = match about {
            About::Execution { at, args } => return self.execution(asked, at, args),
            About::Opening { at, flags } => flags_of(asked, flags).and_then(|flags| places.opening(&path(at)?, flags)),
            About::Making(at) => path(at).and_then(|path| places.making(&path)),
            About::Removing(at) => path(at).and_then(|path| places.removing(&path)),
            About::Moving(from, to) => path(from).and_then(|from| places.moving(&from, &path(to)?)),
            About::Altering(at) => path(at).and_then(|path| places.altering(&path)),
            About::Connecting(at) => sockets::connecting(places, asked, at),
            About::Binding(at) => sockets::binding(places, asked, at),
        };
        found.map_or(Noted::Nothing, |found| Noted::Refused(refused(asked, process::name(pid), found)))
    }

    fn execution(&mut self, asked: &Asked, at: At, args: usize) -> Noted {
        // What executes once more is a program, and can be read.
        let ours = self.first.as_ref().filter(|first| first.pid == asked.pid);
        let ours = ours.and_then(|first| first.execution(asked.args[at.path], asked.args[args]));
        let (path, given) = match ours {
            Some((path, args)) => (path.into_bytes(), Some(args)),
            None => match executed_path(asked, at) {
                Some(path) => (path, None),
                None => return Noted::Nothing,
            },
        };
        // By a descriptor alone: it may have no name.
        let runs =
            match at.folder.is_some() && memory::path(asked.pid, asked.args[at.path]).is_some_and(|p| p.is_empty()) {
                true => Execution::Runs,
                false => self.places.executing(&path),
            };
        match runs {
            Execution::Refused(found) => Noted::Refused(refused(asked, process::name(asked.pid), found)),
            Execution::Fails => Noted::Nothing,
            Execution::Runs => {
                let told = self.executed < MOST_TOLD;
                let (args, cut) = match given {
                    Some(args) => (args, false),
                    None if told => memory::args(asked.pid, asked.args[args]),
                    None => (Vec::new(), true),
                };
                let status = if told { Status::of(asked.pid) } else { None };
                Noted::Executed(Executed {
                    pid: status.as_ref().and_then(Status::process).unwrap_or(asked.pid),
                    parent: status.as_ref().and_then(Status::parent),
                    program: String::from_utf8_lossy(&path).into_owned(),
                    args,
                    cut,
                })
            }
        }
    }

    /// After the answer: the task does not wait for this.
    fn keep(&mut self, noted: Noted) {
        let event = match noted {
            Noted::Nothing => return,
            Noted::Executed(execution) => {
                self.first = self.first.take().filter(|first| first.pid != execution.pid);
                self.tally.executed(&execution.program);
                self.executed += 1;
                if self.executed > MOST_TOLD {
                    return;
                }
                Event::Executed(execution)
            }
            Noted::Refused(refusal) => match self.tally.refused(refusal) {
                Some(first) => Event::Refused(first),
                None => return,
            },
        };
        // Nobody is left to hear it only when the run is over.
        let _ = self.tell.send(event);
        ring(&self.bell);
    }
}

fn refused(asked: &Asked, process: String, found: Found) -> Refusal {
    let Found { errno, cause, target, place, detail } = found;
    Refusal {
        call: seccomp::name(asked.number as u32),
        number: i64::from(asked.number),
        detail,
        answer: seccomp::errno_name(errno),
        cause,
        target: Some(target),
        place,
        process,
        pid: asked.pid,
        count: 1,
    }
}

/// The folder that a relative path of a call began at: the place of its descriptor, and its own path.
type Begins = Option<(Option<usize>, Vec<u8>)>;

/// A path from the task's root on. Two of one call mostly begin at the same folder.
fn path(asked: &Asked, at: At, begins: &mut Begins) -> Option<Vec<u8>> {
    let path = memory::path(asked.pid, *asked.args.get(at.path)?)?;
    match path.first()? {
        b'/' => Some(path),
        _ => {
            let here = |begins: &Begins| begins.as_ref().is_some_and(|(place, _)| same(asked, *place, at.folder));
            if !here(begins) {
                let folder = process::folder(asked.pid, at.folder.map(|place| asked.args[place]))?;
                *begins = Some((at.folder, folder));
            }
            let folder = &begins.as_ref()?.1;
            let mut name = &path[..];
            while let Some(rest) = name.strip_prefix(b"./") {
                name = rest;
            }
            Some([&folder[..], b"/", name].concat())
        }
    }
}

/// Whether two places of descriptors have the same one.
fn same(asked: &Asked, one: Option<usize>, other: Option<usize>) -> bool {
    one.map(|place| asked.args[place] as i32) == other.map(|place| asked.args[place] as i32)
}

/// The same for a program, which may be named by its descriptor alone.
fn executed_path(asked: &Asked, at: At) -> Option<Vec<u8>> {
    path(asked, at, &mut None).or_else(|| process::folder(asked.pid, Some(asked.args[at.folder?])))
}

fn flags_of(asked: &Asked, flags: Flags) -> Option<u64> {
    match flags {
        // The kernel takes 32 bits of it.
        Flags::Argument(at) => Some(asked.args.get(at)? & 0xFFFF_FFFF),
        Flags::Behind(at) => memory::word(asked.pid, *asked.args.get(at)?),
        Flags::Creating => Some((libc::O_WRONLY | libc::O_CREAT | libc::O_TRUNC) as u64),
    }
}
