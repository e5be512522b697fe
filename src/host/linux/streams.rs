//! Standard streams and the terminal.

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Instant;

/// Whether standard error takes something before the moment.
pub(crate) fn stderr_hears(until: Instant) -> bool {
    hears(io::stderr().as_fd(), until)
}

/// The same of standard output.
pub(crate) fn stdout_hears(until: Instant) -> bool {
    hears(io::stdout().as_fd(), until)
}

fn hears(stream: BorrowedFd<'_>, until: Instant) -> bool {
    loop {
        let left = until.saturating_duration_since(Instant::now());
        let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
        match poll(&mut [PollFd::new(stream, PollFlags::POLLOUT)], timeout) {
            Ok(ready) => return ready > 0,
            Err(Errno::EINTR) => {}
            Err(_) => return true,
        }
    }
}

/// Standard output, not through the standard library's buffer, which looks for the ends of lines.
pub(crate) fn plain_stdout() -> io::Result<File> {
    Ok(io::stdout().as_fd().try_clone_to_owned()?.into())
}

/// Rows and columns of the terminal that standard error is.
pub(crate) fn terminal_size() -> Option<(usize, usize)> {
    let told = rustix::termios::tcgetwinsize(io::stderr()).ok().filter(|size| size.ws_row > 0 && size.ws_col > 0);
    told.map(|size| (size.ws_row.into(), size.ws_col.into()))
}

/// The name of a signal, where it has one that people know.
pub(crate) fn signal_name(number: i32) -> Option<&'static str> {
    nix::sys::signal::Signal::try_from(number).ok().map(|known| known.as_str())
}
