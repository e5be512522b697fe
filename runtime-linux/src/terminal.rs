//! The task's terminal, from the supervisor's side: its size, and what is typed at it.

use aido_runtime::{Error, Window};
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use rustix::io::Errno;
use rustix::pty::OpenptFlags;
use rustix::termios::{LocalModes, SpecialCodeIndex, Winsize};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// So much is read at once of what is to be typed.
const PIECE: usize = 4096;

/// What every terminal was once, for who does not say how large it is.
pub(crate) const USUAL: Window = Window { columns: 80, rows: 24 };

/// What keeps a terminal up, and where what is typed at it comes from.
pub(crate) struct Terminal {
    /// The task's own end. With a copy of it open the terminal outlives everybody who closes it, so that nothing is
    /// lost of who opens it again.
    _theirs: OwnedFd,
    input: Option<OwnedFd>,
}

impl Terminal {
    /// From our end, as it came out of the sandbox. From now on it never blocks.
    pub(crate) fn new(ours: &OwnedFd, input: Option<OwnedFd>) -> Result<Terminal, Error> {
        let failed = |e: std::io::Error| Error::new(format!("cannot use the task's terminal: {e}"));
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let theirs = rustix::pty::ioctl_tiocgptpeer(ours, flags).map_err(|e| failed(e.into()))?;
        fcntl(ours, FcntlArg::F_SETFL(OFlag::O_RDWR | OFlag::O_NONBLOCK)).map_err(|e| failed(e.into()))?;
        Ok(Terminal { _theirs: theirs, input })
    }
}

/// Gives a terminal another size; the kernel tells who is in its foreground.
pub(crate) fn resize(ours: BorrowedFd<'_>, window: Window) {
    let size = Winsize { ws_row: window.rows, ws_col: window.columns, ws_xpixel: 0, ws_ypixel: 0 };
    // Of use to the task only: what cannot be told it is no reason to end it.
    let _ = rustix::termios::tcsetwinsize(ours, size);
}

/// What is on its way to the terminal.
pub(crate) struct Typing<'a> {
    ours: BorrowedFd<'a>,
    input: Option<BorrowedFd<'a>>,
    pending: Vec<u8>,
    /// The byte that was typed last.
    last: u8,
}

impl<'a> Typing<'a> {
    /// Where nobody types, the first who reads finds the end.
    pub(crate) fn new(ours: &'a OwnedFd, terminal: &'a Terminal) -> Typing<'a> {
        let mut typing = Typing {
            ours: ours.as_fd(),
            input: terminal.input.as_ref().map(AsFd::as_fd),
            pending: Vec::new(),
            last: b'\n',
        };
        if typing.input.is_none() {
            typing.end();
        }
        typing
    }

    /// Where the next comes from, if there is room for it.
    pub(crate) fn reads(&self) -> Option<BorrowedFd<'_>> {
        self.input.filter(|_| self.pending.is_empty())
    }

    /// What it waits for, if it has something to type.
    pub(crate) fn waits_for_room(&self) -> Option<BorrowedFd<'_>> {
        (!self.pending.is_empty()).then_some(self.ours)
    }

    /// One step, told what is possible.
    pub(crate) fn step(&mut self, readable: bool, room: bool) {
        if room {
            self.write();
        } else if readable {
            self.read();
        }
    }

    /// Takes what is there.
    fn read(&mut self) {
        let Some(input) = self.input else { return };
        let mut piece = vec![0; PIECE];
        match rustix::io::read(input, &mut piece) {
            Ok(length) if length > 0 => {
                piece.truncate(length);
                self.last = piece.last().copied().unwrap_or(self.last);
                self.pending = piece;
                self.write();
            }
            Err(Errno::INTR | Errno::AGAIN) => {}
            _ => self.end(),
        }
    }

    /// Types as much as the terminal takes now.
    fn write(&mut self) {
        match rustix::io::write(self.ours, &self.pending) {
            Ok(length) => drop(self.pending.drain(..length)),
            Err(Errno::INTR | Errno::AGAIN) => {}
            Err(_) => (self.input, self.pending) = (None, Vec::new()),
        }
    }

    /// Says what a person would: the terminal's key for the end of the input. In the middle of a line the first only
    /// sends off what stands there. Who takes keys as they come has no such end.
    fn end(&mut self) {
        self.input = None;
        let Ok(modes) = rustix::termios::tcgetattr(self.ours) else { return };
        if modes.local_modes.contains(LocalModes::ICANON) {
            let key = modes.special_codes[SpecialCodeIndex::VEOF];
            self.pending = vec![key; if self.last == b'\n' { 1 } else { 2 }];
            self.write();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};

    /// A terminal of this host, with what is typed at it and what a task would read.
    fn terminal(input: Option<OwnedFd>) -> (OwnedFd, Terminal, std::fs::File) {
        let ours = rustix::pty::openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        rustix::pty::unlockpt(&ours).unwrap();
        let task = rustix::pty::ioctl_tiocgptpeer(&ours, OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        let terminal = Terminal::new(&ours, input).unwrap();
        (ours, terminal, task.into())
    }

    fn typed(text: &[u8]) -> Vec<u8> {
        let (from, mut to) = std::io::pipe().unwrap();
        let (ours, terminal, mut task) = terminal(Some(from.into()));
        let mut typing = Typing::new(&ours, &terminal);
        to.write_all(text).unwrap();
        drop(to);
        while typing.reads().is_some() {
            typing.read();
        }
        assert!(typing.waits_for_room().is_none());
        let (mut all, mut piece) = (Vec::new(), [0; 64]);
        loop {
            match task.read(&mut piece).unwrap() {
                0 => return all,
                length => all.extend_from_slice(&piece[..length]),
            }
        }
    }

    #[test]
    fn the_end_of_what_is_typed_is_an_end_to_who_reads() {
        assert_eq!(typed(b""), b"");
        assert_eq!(typed(b"line\n"), b"line\n");
        assert_eq!(typed(b"line\nno line end"), b"line\nno line end");
    }

    #[test]
    fn where_nobody_types_the_first_reader_finds_the_end() {
        let (ours, terminal, mut task) = terminal(None);
        let typing = Typing::new(&ours, &terminal);
        assert!(typing.reads().is_none() && typing.waits_for_room().is_none());
        assert_eq!(task.read(&mut [0; 8]).unwrap(), 0);
    }

    #[test]
    fn a_full_terminal_holds_nobody_up_and_loses_nothing() {
        let (from, mut to) = std::io::pipe().unwrap();
        let (ours, terminal, mut task) = terminal(Some(from.into()));
        let mut raw = rustix::termios::tcgetattr(&task).unwrap();
        raw.make_raw();
        rustix::termios::tcsetattr(&task, rustix::termios::OptionalActions::Now, &raw).unwrap();
        let text: Vec<u8> = (0..300_000u32).map(|n| (n % 251) as u8).collect();
        let sent = text.clone();
        let writer = std::thread::spawn(move || to.write_all(&sent));
        let mut typing = Typing::new(&ours, &terminal);
        // Nobody reads: it is full soon, and says so instead of waiting.
        while typing.waits_for_room().is_none() {
            typing.read();
        }
        let mut got = Vec::new();
        let mut piece = [0; 4096];
        while got.len() < text.len() {
            let length = task.read(&mut piece).unwrap();
            got.extend_from_slice(&piece[..length]);
            if typing.waits_for_room().is_some() { typing.write() } else { typing.read() }
        }
        assert!(got == text, "what was typed came in another form");
        writer.join().unwrap().unwrap();
    }

    #[test]
    fn a_size_is_seen_from_the_other_end() {
        let (ours, _terminal, task) = terminal(None);
        resize(ours.as_fd(), Window { columns: 132, rows: 43 });
        let seen = rustix::termios::tcgetwinsize(&task).unwrap();
        assert_eq!((seen.ws_col, seen.ws_row), (132, 43));
    }
}
