//! What is shown of a run, and how a watched run ended: the same on every platform.

use super::{Overdue, Sink, Terminal};
use aido_runtime::Error;
use std::path::PathBuf;

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
}

/// What a program that was ended in the middle may have left switched on at a terminal: the other screen, mouse reports,
/// pastes in brackets, keys that send something else, a hidden cursor, colours.
pub(super) const USUAL: &[u8] =
    b"\x1b[?47l\x1b[?1000l\x1b[?1002l\x1b[?1003l\x1b[?1006l\x1b[?2004l\x1b[?1l\x1b>\x1b[>4m\x1b[?25h\x1b[0m";
