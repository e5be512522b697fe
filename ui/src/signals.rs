//! Signals, as events: whatever is sent to this process, the terminal is given back.

use crate::model::Event;
use std::sync::mpsc::Sender;

/// From now on signals are events. Called before any other thread begins.
#[cfg(unix)]
pub(crate) fn listen(to: Sender<Event>) {
    use nix::sys::signal::{SigSet, Signal};
    use std::time::Duration;

    /// So long the screen has to leave by itself: it may wait for a terminal that does not read.
    const PATIENCE: Duration = Duration::from_secs(2);

    let mut set = SigSet::empty();
    let ends = [Signal::SIGTERM, Signal::SIGHUP, Signal::SIGINT, Signal::SIGQUIT];
    ends.into_iter().chain([Signal::SIGTSTP, Signal::SIGCONT]).for_each(|signal| set.add(signal));
    if set.thread_block().is_err() {
        return;
    }
    std::thread::spawn(move || {
        while let Ok(signal) = set.wait() {
            let event = match signal {
                Signal::SIGTSTP => Event::Suspend,
                Signal::SIGCONT => Event::Resumed,
                _ => Event::End(128 + signal as i32 as u8),
            };
            if to.send(event).is_err() {
                return;
            }
            if ends.contains(&signal) {
                std::thread::sleep(PATIENCE);
                let _ = crossterm::terminal::disable_raw_mode();
                std::process::exit(128 + signal as i32);
            }
        }
    });
}

#[cfg(not(unix))]
pub(crate) fn listen(_to: Sender<Event>) {}

/// Stops this process as Ctrl-Z does, and comes back when it is continued.
#[cfg(unix)]
pub(crate) fn suspend() {
    use nix::sys::signal::{SigSet, Signal, raise};

    let mut stop = SigSet::empty();
    stop.add(Signal::SIGTSTP);
    // Blocked, it would only be an event again. A process that no shell watches over is not stopped by it.
    let _ = raise(Signal::SIGTSTP);
    let _ = stop.thread_unblock();
    let _ = stop.thread_block();
}

#[cfg(not(unix))]
pub(crate) fn suspend() {}
