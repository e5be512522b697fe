//! The caller's terminal while it is the task's: what is typed goes there key by key, and whatever ends that, the
//! terminal is as it was before.

use super::show::USUAL;
use aido_runtime::{Error, Window};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal, raise};
use rustix::termios::{OptionalActions, QueueSelector, Termios};
use std::io::IsTerminal;
use std::os::fd::AsFd;

/// The terminal on standard input.
pub(crate) struct Terminal {
    before: Termios,
    /// Keys pass to the task as they are.
    raw: bool,
    /// The task has shown itself on it.
    used: bool,
}

impl Terminal {
    /// An error where there is none.
    pub(crate) fn of_the_caller() -> Result<Terminal, Error> {
        let before = rustix::termios::tcgetattr(std::io::stdin()).map_err(|_| {
            Error::new("-t needs a terminal, and standard input is none")
                .remedy("leave -t out: `aido run -i` passes a pipe or a file on")
        })?;
        Ok(Terminal { before, raw: false, used: false })
    }

    /// How large it is, where it says so.
    pub(crate) fn window(&self) -> Option<Window> {
        let size = rustix::termios::tcgetwinsize(std::io::stdin()).ok()?;
        (size.ws_col > 0 && size.ws_row > 0).then_some(Window { columns: size.ws_col, rows: size.ws_row })
    }

    /// The task shows itself here from now on, and `keys` are its own, Ctrl-C and Ctrl-Z too. Not while another job has
    /// the terminal.
    pub(super) fn take(&mut self, keys: bool) {
        if !std::mem::replace(&mut self.used, true) && keys {
            restored_in_panic(self.before.clone());
        }
        let ours = rustix::termios::tcgetpgrp(std::io::stdin()).is_ok_and(|group| group == rustix::process::getpgrp());
        if !(keys && ours) {
            return;
        }
        let mut raw = self.before.clone();
        raw.make_raw();
        self.raw = rustix::termios::tcsetattr(std::io::stdin(), OptionalActions::Drain, &raw).is_ok();
    }

    /// Whether the task has shown itself on it.
    pub(super) fn is_taken(&self) -> bool {
        self.used
    }

    /// Stops this process, as the signal would that was caught, and goes on when it is continued.
    pub(super) fn suspend(&mut self) {
        self.give_back();
        let mut stop = SigSet::empty();
        stop.add(Signal::SIGTSTP);
        let _ = raise(Signal::SIGTSTP);
        let _ = stop.thread_unblock();
        let _ = stop.thread_block();
    }

    fn give_back(&mut self) {
        if std::mem::take(&mut self.raw) {
            let _ = rustix::termios::tcsetattr(std::io::stdin(), OptionalActions::Now, &self.before);
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        if !self.used {
            return;
        }
        let stdout = std::io::stdout();
        let knows = std::env::var_os("TERM").is_some_and(|kind| !kind.is_empty() && kind != "dumb");
        let mut polled = [PollFd::new(stdout.as_fd(), PollFlags::POLLOUT)];
        // One that was stopped is not waited for.
        if knows && stdout.is_terminal() && poll(&mut polled, PollTimeout::from(200u16)).is_ok_and(|ready| ready > 0) {
            let _ = nix::unistd::write(&stdout, USUAL);
        }
        // What was meant for the task, and what the terminal itself answered to it, is not for the caller's shell.
        if self.raw {
            let _ = rustix::termios::tcflush(std::io::stdin(), QueueSelector::IFlush);
        }
        self.give_back();
    }
}

/// A release is built to abort in a panic, and then nothing is dropped.
fn restored_in_panic(before: Termios) {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        let _ = rustix::termios::tcsetattr(std::io::stdin(), OptionalActions::Now, &before);
        usual(panic);
    }));
}
