//! Standard streams and the terminal.

use std::io::{self, Stdout};
use std::time::Instant;

/// Whether standard error takes something before the moment: nobody can say so here, and a write waits.
pub(crate) fn stderr_hears(_until: Instant) -> bool {
    true
}

/// The same of standard output.
pub(crate) fn stdout_hears(_until: Instant) -> bool {
    true
}

/// Standard output for bytes.
pub(crate) fn plain_stdout() -> io::Result<Stdout> {
    Ok(io::stdout())
}

/// Rows and columns of the terminal.
pub(crate) fn terminal_size() -> Option<(usize, usize)> {
    let (width, height) = terminal_size::terminal_size()?;
    Some((height.0.into(), width.0.into()))
}

/// The name of a signal of Linux, as tasks have them, where it has one that people know.
pub(crate) fn signal_name(number: i32) -> Option<&'static str> {
    const NAMES: [&str; 31] = [
        "SIGHUP",
        "SIGINT",
        "SIGQUIT",
        "SIGILL",
        "SIGTRAP",
        "SIGABRT",
        "SIGBUS",
        "SIGFPE",
        "SIGKILL",
        "SIGUSR1",
        "SIGSEGV",
        "SIGUSR2",
        "SIGPIPE",
        "SIGALRM",
        "SIGTERM",
        "SIGSTKFLT",
        "SIGCHLD",
        "SIGCONT",
        "SIGSTOP",
        "SIGTSTP",
        "SIGTTIN",
        "SIGTTOU",
        "SIGURG",
        "SIGXCPU",
        "SIGXFSZ",
        "SIGVTALRM",
        "SIGPROF",
        "SIGWINCH",
        "SIGIO",
        "SIGPWR",
        "SIGSYS",
    ];
    NAMES.get(usize::try_from(number).ok()?.checked_sub(1)?).copied()
}
