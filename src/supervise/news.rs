//! What the supervisor and the command line tell each other, whatever carries it.

use aido_runtime::Window;
use serde::{Deserialize, Serialize};

/// From the supervisor.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum News {
    /// The run has a folder.
    Begun { run: String, sandbox: String },
    /// The task is about to start; what is weaker than usual.
    Ready { warnings: Vec<String> },
    /// There is new output in the logs.
    Output,
    /// The task is over and nothing of it lives; its outputs are brought out, and the record is sealed.
    Over,
    /// That goes on; bytes of outputs that were brought out, while they are.
    Closing { collected: Option<u64> },
    /// The run is sealed.
    Ended { exit_code: u8 },
    /// aido failed. Unless `ran`, the task was not started.
    Failed { what: String, remedy: Option<String>, ran: bool },
}

/// From the command line.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) enum Wish {
    /// End the run in order.
    Interrupt { signal: i32 },
    /// Pass a signal on to the task.
    Signal { signal: i32 },
    /// The caller's terminal has this size now.
    Resize { window: Window },
    /// Nobody watches from now on, and that is how it should be.
    Detach,
}

/// What came of looking into a link.
pub(crate) enum Heard<T> {
    Said(T),
    Nothing,
    /// The other end is gone.
    Gone,
}
