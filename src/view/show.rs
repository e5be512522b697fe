//! What is shown of a run, and how a watched run ended: the same on every platform.

use super::{Overdue, Sink, Terminal};
use crate::progress::{DELAY, Shown};
use aido_runtime::Error;
use std::path::PathBuf;
use std::time::Instant;

/// How a watched run ended.
pub(crate) enum Ended {
    /// Sealed: its summary tells the rest.
    Sealed { run: String, exit_code: u8 },
    /// aido failed; unless `ran`, the task was not started.
    Failed { run: Option<String>, error: Error, ran: bool },
    /// The supervisor is gone without a word.
    Lost,
    /// The supervisor is there, and does not do what it should.
    Overdue { why: Overdue },
}

/// What came of watching a run.
pub(crate) struct Watched {
    pub(crate) ended: Ended,
    /// Bytes of each stream that nothing has taken.
    pub(crate) unseen: [u64; 2],
    /// The terminal stands in the middle of a line that the task has left.
    pub(crate) unfinished: bool,
}

/// What is to be shown.
pub(crate) struct Show<'a> {
    /// Whether bytes pass to a terminal as they are.
    pub(crate) raw: bool,
    /// Whether the task's output goes to the caller's streams.
    pub(crate) output: bool,
    /// Where the caller's standard input goes.
    pub(crate) stdin: Option<Sink>,
    /// The caller's terminal, which becomes the task's when it starts.
    pub(crate) terminal: Option<Terminal>,
    /// Finds the folder of a run and hears the warnings.
    pub(crate) begun: &'a mut dyn FnMut(&str, &str) -> Option<PathBuf>,
    pub(crate) ready: &'a mut dyn FnMut(&[String]),
    /// Where it is shown how far outputs are brought out.
    pub(crate) progress: &'a Shown,
}

/// What is seen of the time between a task's end and the seal.
pub(crate) struct Closing<'a> {
    progress: &'a Shown,
    /// Bytes that were told so far.
    told: u64,
    /// When the task was over.
    since: Option<Instant>,
    /// What is said stands at the beginning of a line.
    begun: bool,
}

impl<'a> Closing<'a> {
    pub(crate) fn shown(progress: &'a Shown) -> Closing<'a> {
        Closing { progress, told: 0, since: None, begun: false }
    }

    pub(crate) fn is_silent(&self) -> bool {
        self.progress.is_silent()
    }

    /// The task is over.
    pub(crate) fn begin(&mut self) {
        self.since = Some(Instant::now());
        self.progress.work("collecting outputs", 0);
    }

    /// So many bytes were brought out by now; none when all of them are. `unfinished`: the task left a line without its
    /// end, which drawing over would take away.
    pub(crate) fn goes_on(&mut self, collected: Option<u64>, unfinished: bool) {
        if self.since.is_none_or(|since| since.elapsed() < DELAY) {
            return;
        }
        if unfinished && !std::mem::replace(&mut self.begun, true) {
            eprintln!();
        }
        match collected {
            Some(bytes) => self.progress.passed(bytes.saturating_sub(std::mem::replace(&mut self.told, bytes))),
            None => {
                self.progress.clear();
                self.progress.say("closing the record".to_owned());
            }
        }
    }

    pub(crate) fn has_ended_the_line(&self) -> bool {
        self.begun
    }

    pub(crate) fn end(&self) {
        self.progress.clear();
    }
}

/// What a program that was ended in the middle may have left switched on at a terminal: the other screen, mouse reports,
/// pastes in brackets, keys that send something else, a hidden cursor, colours.
pub(super) const USUAL: &[u8] =
    b"\x1b[?47l\x1b[?1000l\x1b[?1002l\x1b[?1003l\x1b[?1006l\x1b[?2004l\x1b[?1l\x1b>\x1b[>4m\x1b[?25h\x1b[0m";
