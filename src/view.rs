//! The command line as a viewer: shows a run's output while it is written, passes signals and
//! standard input on. It owns nothing; if it dies, the supervisor knows.

use crate::supervise::link::{Heard, Link, News, Wish};
use crate::words::Inert;
use aido_runtime::{Error, exit};
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use std::fs::File;
use std::io::{IsTerminal, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

/// So much is written at once: a pipe that is ready takes it without blocking.
const PIECE: usize = 4096;

/// How a watched run ended.
pub(crate) enum Ended {
    /// Sealed, with this exit status.
    Sealed { run: String, exit_code: u8 },
    /// aido failed; unless `ran`, the task was not started.
    Failed { run: Option<String>, error: Error, ran: bool },
    /// The supervisor is gone without a word.
    Lost,
}

/// What is to be shown.
pub(crate) struct Show<'a> {
    /// Whether bytes pass to a terminal as they are.
    pub(crate) raw: bool,
    /// Whether the task's output goes to the caller's streams.
    pub(crate) output: bool,
    /// Where the caller's standard input goes.
    pub(crate) stdin: Option<OwnedFd>,
    /// Finds the folder of a run and hears the warnings.
    pub(crate) begun: &'a mut dyn FnMut(&str, &str) -> Option<std::path::PathBuf>,
    pub(crate) ready: &'a mut dyn FnMut(&[String]),
}

/// One log and where it goes.
struct Tail {
    log: Option<File>,
    target: OwnedFd,
    pending: Vec<u8>,
    /// The target takes no more: why.
    closed: Option<nix::errno::Errno>,
    /// Makes harmless what could drive a terminal; none where bytes pass as they are.
    inert: Option<Inert>,
}

/// Catches the signals that are meant for the run. Before the supervisor is made, so that none is lost.
pub(crate) fn catch_signals() -> Result<SignalFd, Error> {
    let mut set = SigSet::empty();
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP, Signal::SIGQUIT] {
        set.add(signal);
    }
    let failed = |e| Error::new(format!("cannot catch signals: {e}"));
    set.thread_block().map_err(failed)?;
    SignalFd::with_flags(&set, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK).map_err(failed)
}

/// Waits until the task is about to start: for those who do not stay.
pub(crate) fn until_ready(
    link: &Link,
    begun: &mut dyn FnMut(&str),
    ready: &mut dyn FnMut(&[String]),
) -> Result<(), Error> {
    loop {
        match link.hear() {
            Heard::Said(News::Begun { run, .. }) => begun(&run),
            Heard::Said(News::Ready { warnings }) => {
                ready(&warnings);
                return Ok(());
            }
            Heard::Said(News::Failed { what, remedy, .. }) => return Err(Error { what, remedy }),
            Heard::Said(News::Ended { .. }) => return Ok(()),
            Heard::Said(News::Output) => {}
            Heard::Gone => return Err(Error::new("the run's supervisor was killed")),
            Heard::Nothing => {
                let mut polled = [PollFd::new(link.as_fd(), PollFlags::POLLIN)];
                match poll(&mut polled, PollTimeout::NONE) {
                    Ok(_) | Err(nix::errno::Errno::EINTR) => {}
                    Err(e) => return Err(Error::new(format!("cannot wait for the run: {e}"))),
                }
            }
        }
    }
}

/// Watches a run to its end.
pub(crate) fn watch(link: &Link, signals: &mut SignalFd, show: Show<'_>) -> Result<Ended, Error> {
    let mut viewer = Viewer {
        link,
        tails: [Tail::new(std::io::stdout().as_fd(), show.raw)?, Tail::new(std::io::stderr().as_fd(), show.raw)?],
        input: Input { target: show.stdin, pending: Vec::new() },
        output: show.output,
        run: None,
        ended: None,
    };
    viewer.turns(signals, show.begun, show.ready)
}

struct Viewer<'a> {
    link: &'a Link,
    tails: [Tail; 2],
    input: Input,
    output: bool,
    run: Option<String>,
    ended: Option<News>,
}

impl Viewer<'_> {
    fn turns(
        &mut self,
        signals: &mut SignalFd,
        begun: &mut dyn FnMut(&str, &str) -> Option<std::path::PathBuf>,
        ready: &mut dyn FnMut(&[String]),
    ) -> Result<Ended, Error> {
        loop {
            loop {
                match self.link.hear() {
                    Heard::Said(News::Begun { run, sandbox }) => {
                        if let (Some(folder), true) = (begun(&run, &sandbox), self.output) {
                            self.tails[0].follow(&folder.join("stdout.log"))?;
                            self.tails[1].follow(&folder.join("stderr.log"))?;
                        }
                        self.run = Some(run);
                    }
                    Heard::Said(News::Ready { warnings }) => ready(&warnings),
                    Heard::Said(News::Output) => {}
                    Heard::Said(ended) => self.ended = Some(ended),
                    Heard::Nothing => break,
                    Heard::Gone => return self.finish(signals),
                }
            }
            if self.ended.is_some() {
                return self.finish(signals);
            }
            self.pass_output(false)?;
            self.wait(signals)?;
            self.pass_signals(signals);
            self.input.pass();
        }
    }

    /// Shows what is left of the output; a second signal ends even that.
    fn finish(&mut self, signals: &mut SignalFd) -> Result<Ended, Error> {
        while self.pass_output(true)? {
            if signals.read_signal().ok().flatten().is_some() {
                break;
            }
        }
        for tail in &mut self.tails {
            tail.complete();
        }
        let run = self.run.take();
        Ok(match self.ended.take() {
            Some(News::Ended { exit_code }) => match run {
                Some(run) => Ended::Sealed { run, exit_code },
                None => Ended::Lost,
            },
            Some(News::Failed { what, remedy, ran }) => Ended::Failed { run, error: Error { what, remedy }, ran },
            _ => Ended::Lost,
        })
    }

    fn wait(&self, signals: &SignalFd) -> Result<(), Error> {
        let mut polled =
            vec![PollFd::new(self.link.as_fd(), PollFlags::POLLIN), PollFd::new(signals.as_fd(), PollFlags::POLLIN)];
        polled
            .extend(self.tails.iter().filter(|t| t.waits()).map(|t| PollFd::new(t.target.as_fd(), PollFlags::POLLOUT)));
        let stdin = std::io::stdin();
        if let Some(target) = self.input.waits_for_room() {
            polled.push(PollFd::new(target, PollFlags::POLLOUT));
        } else if self.input.reads() {
            polled.push(PollFd::new(stdin.as_fd(), PollFlags::POLLIN));
        }
        match poll(&mut polled, PollTimeout::NONE) {
            Ok(_) | Err(nix::errno::Errno::EINTR) => Ok(()),
            Err(e) => Err(Error::new(format!("cannot wait for the run: {e}"))),
        }
    }

    fn pass_signals(&mut self, signals: &mut SignalFd) {
        while let Ok(Some(signal)) = signals.read_signal() {
            self.link.say(&Wish::Interrupt { signal: signal.ssi_signo as i32 });
        }
    }

    /// Copies new output as far as the targets take it; true if it may have more to copy.
    fn pass_output(&mut self, patiently: bool) -> Result<bool, Error> {
        let mut more = false;
        for tail in &mut self.tails {
            more |= tail.pass(patiently)?;
            if let (Some(errno), Some(_)) = (tail.closed, tail.log.take_if(|_| tail.closed.is_some())) {
                if errno != nix::errno::Errno::EPIPE {
                    return Err(Error::new(format!("cannot write the task's output: {errno}")));
                }
                // As in any pipeline: nobody reads on, so there is no point in going on.
                self.link.say(&Wish::Interrupt { signal: nix::libc::SIGPIPE });
            }
        }
        Ok(more)
    }
}

impl Tail {
    fn new(target: BorrowedFd<'_>, raw: bool) -> Result<Tail, Error> {
        let inert = (!raw && target.is_terminal()).then(Inert::default);
        let target = target.try_clone_to_owned().map_err(|e| Error::new(format!("cannot use this stream: {e}")))?;
        Ok(Tail { log: None, target, pending: Vec::new(), closed: None, inert })
    }

    fn follow(&mut self, path: &Path) -> Result<(), Error> {
        let log = File::open(path).map_err(|e| Error::new(format!("cannot follow {}: {e}", path.display())))?;
        self.log = Some(log);
        Ok(())
    }

    fn waits(&self) -> bool {
        !self.pending.is_empty()
    }

    /// Copies until the log has no more for now, or the target is full; true in the second case.
    fn pass(&mut self, patiently: bool) -> Result<bool, Error> {
        loop {
            if self.pending.is_empty() {
                let Some(log) = &mut self.log else { return Ok(false) };
                let mut piece = vec![0; PIECE];
                let length = log.read(&mut piece).map_err(|e| Error::new(format!("cannot read the log: {e}")))?;
                if length == 0 {
                    return Ok(false);
                }
                piece.truncate(length);
                self.pending = match &mut self.inert {
                    Some(inert) => {
                        let mut shown = String::new();
                        inert.push(&piece, &mut shown);
                        shown.into_bytes()
                    }
                    None => piece,
                };
                continue;
            }
            let timeout = if patiently { PollTimeout::from(200u16) } else { PollTimeout::ZERO };
            let mut polled = [PollFd::new(self.target.as_fd(), PollFlags::POLLOUT)];
            if poll(&mut polled, timeout).is_ok_and(|ready| ready == 0) {
                return Ok(true);
            }
            match nix::unistd::write(&self.target, &self.pending[..self.pending.len().min(PIECE)]) {
                Ok(length) => drop(self.pending.drain(..length)),
                Err(nix::errno::Errno::EINTR | nix::errno::Errno::EAGAIN) => {}
                Err(errno) => {
                    self.closed = Some(errno);
                    self.pending.clear();
                    return Ok(false);
                }
            }
        }
    }
}

impl Tail {
    /// A terminal is shown the beginning of a character that never came to its end, too.
    fn complete(&mut self) {
        if let (Some(inert), None) = (&mut self.inert, self.closed) {
            let mut shown = String::new();
            inert.finish(&mut shown);
            let _ = nix::unistd::write(&self.target, shown.as_bytes());
        }
    }
}

/// The caller's standard input on its way to the task.
struct Input {
    target: Option<OwnedFd>,
    pending: Vec<u8>,
}

impl Input {
    fn reads(&self) -> bool {
        self.target.is_some() && self.pending.is_empty()
    }

    fn waits_for_room(&self) -> Option<BorrowedFd<'_>> {
        self.target.as_ref().filter(|_| !self.pending.is_empty()).map(AsFd::as_fd)
    }

    /// One step: from the caller into memory, or from memory to the task.
    fn pass(&mut self) {
        let Some(target) = &self.target else { return };
        if self.pending.is_empty() {
            let stdin = std::io::stdin();
            let mut polled = [PollFd::new(stdin.as_fd(), PollFlags::POLLIN)];
            if !poll(&mut polled, PollTimeout::ZERO).is_ok_and(|ready| ready > 0) {
                return;
            }
            let mut piece = vec![0; 1 << 16];
            match nix::unistd::read(stdin.as_fd(), &mut piece) {
                Ok(length) if length > 0 => {
                    piece.truncate(length);
                    self.pending = piece;
                }
                Err(nix::errno::Errno::EINTR | nix::errno::Errno::EAGAIN) => {}
                // The end, or a broken terminal: the task sees the end.
                _ => self.target = None,
            }
            return;
        }
        match nix::unistd::write(target, &self.pending) {
            Ok(length) => drop(self.pending.drain(..length)),
            Err(nix::errno::Errno::EINTR | nix::errno::Errno::EAGAIN) => {}
            // The task reads no more.
            Err(_) => self.target = None,
        }
    }
}

/// A pipe for standard input: the task's end, and ours, which never blocks.
pub(crate) fn input_pipe() -> Result<(OwnedFd, OwnedFd), Error> {
    let failed = |e| Error::new(format!("cannot make a pipe: {e}"));
    let (theirs, ours) = nix::unistd::pipe2(OFlag::O_CLOEXEC).map_err(failed)?;
    fcntl(&ours, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).map_err(failed)?;
    Ok((theirs, ours))
}

/// The exit status of a command line whose run has this end.
pub(crate) fn exit_code(ended: &Ended) -> u8 {
    match ended {
        Ended::Sealed { exit_code, .. } => *exit_code,
        Ended::Failed { .. } | Ended::Lost => exit::AIDO_FAILED,
    }
}
