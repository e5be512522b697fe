//! The trait that every engine implements, and what it is given.

use crate::{Doors, Enforced, Error, Event, Gate, Outcome, Plan};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// An engine that runs plans.
pub trait Runtime {
    /// The name in evidence, such as `linux`.
    fn name(&self) -> &'static str;

    /// What this host can hold. Changes nothing that lasts.
    fn probe(&self) -> Probe;

    /// Checks that the plan can be held here, before anything is written or started.
    fn up(&self, plan: &Plan) -> Result<Enforced, Error>;

    /// Runs the plan's task to its end. When it returns, no process of the run exists. An error
    /// means that the task was not started.
    fn run(&self, plan: &Plan, io: Io, listener: &mut dyn Listener) -> Result<Outcome, Error>;

    /// Ends what [`Event::Held`] named, if it is still there. Not an error if it is gone.
    fn destroy(&self, leftover: &str) -> Result<(), Error>;
}

/// What a run is given beside its plan.
pub struct Io {
    /// Values of the variables that the plan takes from the caller; never stored.
    pub secrets: BTreeMap<String, String>,
    /// Content of the inputs that the plan marks as secret, by their paths; never stored.
    pub secret_files: BTreeMap<String, Vec<u8>>,
    /// Where the outputs are collected: an existing folder.
    pub outputs: PathBuf,
    /// Where the changes of the plan's layered mount go.
    pub layer: Option<Layer>,
    /// What becomes the task's standard input, or is typed at its terminal.
    pub stdin: Option<std::io::PipeReader>,
    /// The size that the task's terminal begins with.
    pub window: Option<Window>,
    /// The gateway of a plan that has one.
    pub gate: Option<Gate>,
}

/// Where a sandbox keeps what its tasks changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layer {
    /// An existing folder of the sandbox's own, with a folder `upper` in it.
    pub folder: PathBuf,
    /// Layers that change no more and lie between this one and the project, topmost first: the same kind of folder.
    pub below: Vec<PathBuf>,
}

/// The size of a terminal, in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Window {
    pub columns: u16,
    pub rows: u16,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    Stdout,
    Stderr,
}

impl Stream {
    pub fn name(self) -> &'static str {
        match self {
            Stream::Stdout => "stdout",
            Stream::Stderr => "stderr",
        }
    }
}

/// What the person at the other end wants of a running task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// Pass this signal to the task and let it go on.
    Signal(i32),
    /// End the run in order: ask, wait for the grace, kill.
    Interrupt(i32),
    /// The terminal has another size now.
    Resize(Window),
}

/// Hears what happens, and is asked for what is wanted.
pub trait Listener {
    fn event(&mut self, event: Event) -> Result<(), Error>;

    /// Bytes of the task, as they came.
    fn output(&mut self, stream: Stream, bytes: &[u8]);

    /// The sandbox is being made, or is about to be: time for what must be done before the task starts and need not be done
    /// before that. An error means that the task is not started. Who stands between an engine and a listener passes it on.
    fn building(&mut self) -> Result<(), Error> {
        Ok(())
    }

    /// The task is over, and so many bytes of its outputs were brought out so far. Who stands between an engine and a
    /// listener passes it on.
    fn collected_so_far(&mut self, _bytes: u64) {}

    /// The next command, if there is one; never blocks.
    fn command(&mut self) -> Option<Command>;

    /// The sandbox of a plan with a gateway stands, and this is all that leads out of it. When it comes back, the
    /// gateway serves; an error, as of a listener that has none, means that the task is not started.
    fn doors(&mut self, _doors: Doors) -> Result<(), Error> {
        Err(Error::new("there is no gateway for the sandbox's network"))
    }

    /// Readable when [`Listener::command`] has something to say; None: it has to be asked now and then.
    fn wake(&self) -> Option<Wake<'_>>;
}

/// What an engine can wait for beside its own work.
#[cfg(unix)]
pub type Wake<'a> = std::os::fd::BorrowedFd<'a>;
/// Here there is nothing of the kind.
#[cfg(not(unix))]
pub type Wake<'a> = &'a std::convert::Infallible;

/// What a host can hold, and how to make it hold more.
pub struct Probe {
    /// Name and value of what was looked at: kernel, cgroup version, id ranges …
    pub facts: Vec<(String, String)>,
    pub controls: Enforced,
    /// What is no control, but worse here than it could be.
    pub advice: Vec<Advice>,
}

/// Something that a person may want to mend.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Advice {
    pub about: String,
    pub why: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
}
