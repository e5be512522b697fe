//! The streams between the caller and the task. No caller can hold this process up by not reading.

use crate::words::Inert;
use aido_runtime::Error;
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::fs::{File, OpenOptions};
use std::io::{IsTerminal, PipeReader, Read};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::Path;
use std::time::Duration;

/// So much is written at once: a pipe that is ready takes it without blocking.
const PIECE: usize = 4096;
/// The same for what never blocks: a file, `/dev/null`, and a pipe that was opened once more.
const LARGE_PIECE: usize = 128 * 1024;
/// The kernel hands on so much at once; after so many times signals have their turn.
const HANDED_ON: usize = 1 << 20;
const TIMES: usize = 16;

/// One log and where it goes.
pub(super) struct Tail {
    log: Option<File>,
    target: OwnedFd,
    /// How much is read and written at once.
    piece: usize,
    /// The kernel takes bytes from the log to the target by itself: they pass as they are, and this process sees none.
    handed_on: bool,
    /// The target took no more when it was tried last, or enough for one turn.
    full: bool,
    /// Bytes of the log that were read so far.
    read: u64,
    pending: Vec<u8>,
    /// The target takes no more: why.
    closed: Option<Errno>,
    /// Makes harmless what could drive a terminal; none where bytes pass as they are.
    inert: Option<Inert>,
    /// A terminal stands in the middle of a line.
    in_a_line: bool,
}

impl Tail {
    pub(super) fn new(target: BorrowedFd<'_>, raw: bool) -> Result<Tail, Error> {
        let inert = (!raw && target.is_terminal()).then(Inert::default);
        let own = unblocked(target);
        let large = !target.is_terminal() && (own.is_some() || never_blocks(target));
        let target = match own {
            Some(own) => own,
            None => target.try_clone_to_owned().map_err(|e| Error::new(format!("cannot use this stream: {e}")))?,
        };
        let piece = if large { LARGE_PIECE } else { PIECE };
        Ok(Tail {
            log: None,
            target,
            piece,
            handed_on: large,
            full: false,
            read: 0,
            pending: Vec::new(),
            closed: None,
            inert,
            in_a_line: false,
        })
    }

    pub(super) fn follow(&mut self, path: &Path) -> Result<(), Error> {
        let log = File::open(path).map_err(|e| Error::new(format!("cannot follow {}: {e}", path.display())))?;
        self.log = Some(log);
        Ok(())
    }

    /// Whether what was written last to a terminal is a line without its end.
    pub(super) fn is_in_a_line(&self) -> bool {
        self.in_a_line
    }

    /// What it waits for, if it has something to write.
    pub(super) fn waits_for(&self) -> Option<BorrowedFd<'_>> {
        (self.full || !self.pending.is_empty()).then(|| self.target.as_fd())
    }

    /// Bytes that nothing has taken so far. Nobody misses what a closed target would have got.
    pub(super) fn unseen(&self) -> u64 {
        let Some(log) = &self.log else { return 0 };
        let length = log.metadata().map_or(self.read, |meta| meta.len());
        length.saturating_sub(self.read) + self.pending.len() as u64
    }

    /// Bytes of the log that were passed on so far, or are about to be.
    pub(super) fn passed(&self) -> u64 {
        self.read
    }

    /// Whether the target has just been found to be closed; an error if it failed.
    pub(super) fn take_end(&mut self) -> Result<bool, Error> {
        match (self.closed, self.log.take_if(|_| self.closed.is_some())) {
            (Some(Errno::EPIPE), Some(_)) => Ok(true),
            (Some(errno), Some(_)) => Err(Error::new(format!("cannot write the task's output: {errno}"))),
            _ => Ok(false),
        }
    }

    /// Copies until the log has no more for now, or the target is full; true in the second case.
    pub(super) fn pass(&mut self, patiently: bool) -> Result<bool, Error> {
        if self.handed_on
            && let Some(full) = self.hand_on(patiently)
        {
            return Ok(full);
        }
        loop {
            if self.pending.is_empty() {
                let Some(log) = &mut self.log else { return Ok(false) };
                let mut piece = vec![0; self.piece];
                let length = log.read(&mut piece).map_err(|e| Error::new(format!("cannot read the log: {e}")))?;
                if length == 0 {
                    return Ok(false);
                }
                piece.truncate(length);
                self.read += length as u64;
                self.pending = match &mut self.inert {
                    Some(inert) => {
                        let mut shown = String::new();
                        inert.push(&piece, &mut shown);
                        shown.into_bytes()
                    }
                    None => piece,
                };
                self.in_a_line = self.pending.last().is_some_and(|last| *last != b'\n') && self.target.is_terminal();
                continue;
            }
            if !self.has_room(patiently) {
                return Ok(true);
            }
            match nix::unistd::write(&self.target, &self.pending[..self.pending.len().min(self.piece)]) {
                Ok(length) => drop(self.pending.drain(..length)),
                Err(Errno::EINTR) => {}
                Err(Errno::EAGAIN) => {
                    std::thread::sleep(Duration::from_millis(20));
                    return Ok(true);
                }
                Err(errno) => {
                    self.closed = Some(errno);
                    self.pending.clear();
                    return Ok(false);
                }
            }
        }
    }

    /// The same by the kernel; none: it does not do that for this target, which is nothing but a matter of time.
    fn hand_on(&mut self, patiently: bool) -> Option<bool> {
        let (mut waited, mut times) = (false, 0);
        while let Some(log) = &self.log {
            if times == TIMES {
                self.full = true;
                return Some(true);
            }
            times += 1;
            match rustix::fs::sendfile(&self.target, log, None, HANDED_ON) {
                Ok(0) => break,
                Ok(length) => {
                    self.read += length as u64;
                    waited = false;
                }
                Err(rustix::io::Errno::INTR) => {}
                Err(rustix::io::Errno::AGAIN) => {
                    if waited {
                        std::thread::sleep(Duration::from_millis(20));
                    }
                    if waited || !self.has_room(patiently) {
                        self.full = true;
                        return Some(true);
                    }
                    waited = true;
                }
                // What is appended to, for one. Where it stands in the log is known to the log alone.
                Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOSYS) => {
                    (self.handed_on, self.full) = (false, false);
                    return None;
                }
                Err(errno) => {
                    self.closed = Some(Errno::from_raw(errno.raw_os_error()));
                    break;
                }
            }
        }
        self.full = false;
        Some(false)
    }

    fn has_room(&self, patiently: bool) -> bool {
        let timeout = if patiently { PollTimeout::from(200u16) } else { PollTimeout::ZERO };
        let mut polled = [PollFd::new(self.target.as_fd(), PollFlags::POLLOUT)];
        !poll(&mut polled, timeout).is_ok_and(|ready| ready == 0)
    }
}

impl Tail {
    /// A terminal is shown the beginning of a character that never came to its end, too.
    pub(super) fn complete(&mut self) {
        if let (Some(inert), None) = (&mut self.inert, self.closed) {
            let mut shown = String::new();
            inert.finish(&mut shown);
            let _ = nix::unistd::write(&self.target, shown.as_bytes());
        }
    }
}

/// A terminal or pipe of the caller's, opened once more, so that our writes to it never block and those of
/// others stay as they are. A terminal that was stopped with Ctrl-S can have room for less than is written.
fn unblocked(target: BorrowedFd<'_>) -> Option<OwnedFd> {
    let path = format!("/proc/self/fd/{}", target.as_raw_fd());
    let kind = std::fs::metadata(&path).ok()?.file_type();
    if !kind.is_fifo() && !target.is_terminal() {
        return None;
    }
    let flags = nix::libc::O_NONBLOCK | nix::libc::O_NOCTTY;
    OpenOptions::new().write(true).custom_flags(flags).open(path).ok().map(OwnedFd::from)
}

/// Whether writing to it waits for nobody but the disk.
fn never_blocks(target: BorrowedFd<'_>) -> bool {
    let Ok(stat) = nix::sys::stat::fstat(target) else { return false };
    let kind = stat.st_mode & nix::libc::S_IFMT;
    kind == nix::libc::S_IFREG || (kind == nix::libc::S_IFCHR && stat.st_rdev == nix::libc::makedev(1, 3))
}

/// The caller's standard input on its way to the task.
pub(super) struct Input {
    target: Option<OwnedFd>,
    pending: Vec<u8>,
}

impl Input {
    pub(super) fn new(target: Option<OwnedFd>) -> Input {
        Input { target, pending: Vec::new() }
    }

    /// Whether the task still takes something.
    pub(super) fn is_open(&self) -> bool {
        self.target.is_some()
    }

    pub(super) fn reads(&self) -> bool {
        self.target.is_some() && self.pending.is_empty()
    }

    pub(super) fn waits_for_room(&self) -> Option<BorrowedFd<'_>> {
        self.target.as_ref().filter(|_| !self.pending.is_empty()).map(AsFd::as_fd)
    }

    /// One step: from the caller into memory, or from memory to the task.
    pub(super) fn pass(&mut self) {
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
                Err(Errno::EINTR | Errno::EAGAIN) => {}
                // The end, or a broken terminal: the task sees the end.
                _ => self.target = None,
            }
            return;
        }
        match nix::unistd::write(target, &self.pending) {
            Ok(length) => drop(self.pending.drain(..length)),
            Err(Errno::EINTR | Errno::EAGAIN) => {}
            // The task reads no more.
            Err(_) => self.target = None,
        }
    }
}

/// The command line's end of the task's standard input.
pub(crate) type Sink = OwnedFd;

/// A pipe for standard input: the task's end, and ours, which never blocks.
pub(crate) fn input_pipe() -> Result<(Option<PipeReader>, Sink), Error> {
    let failed = |e| Error::new(format!("cannot make a pipe: {e}"));
    let (theirs, ours) = nix::unistd::pipe2(OFlag::O_CLOEXEC).map_err(failed)?;
    fcntl(&ours, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).map_err(failed)?;
    Ok((Some(theirs.into()), ours))
}
