//! What is asked of the host, and what it answers. Names no other module of this room.

use aido_runtime::{Control, Standing};
use std::fmt::Display;
use std::io;
use std::path::Path;

/// The bounds on the run as a whole; absent ones are not set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Want {
    /// Bytes.
    pub(crate) memory: Option<u64>,
    /// Thousandths of a processor.
    pub(crate) cpus_milli: Option<u64>,
    /// Processes and threads.
    pub(crate) pids: Option<u64>,
}

/// How far one control holds on this host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Held {
    pub(crate) control: Control,
    pub(crate) standing: Standing,
}

/// Why something cannot be had here, and the command that mends it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Lack {
    pub(super) why: String,
    pub(super) remedy: Option<String>,
}

/// The controls of this room with the kernel's name for each controller.
pub(super) const CONTROLLERS: [(Control, &str); 3] =
    [(Control::Memory, "memory"), (Control::Cpus, "cpu"), (Control::Pids, "pids")];

impl Want {
    pub(super) fn of(&self, control: Control) -> Option<u64> {
        match control {
            Control::Memory => self.memory,
            Control::Cpus => self.cpus_milli,
            Control::Pids => self.pids,
            _ => None,
        }
    }

    /// The same reason for every control that is wanted.
    pub(super) fn all_lack(&self, lack: &Lack) -> Vec<Held> {
        CONTROLLERS.into_iter().filter(|(c, _)| self.of(*c).is_some()).map(|(c, _)| lack.held(c)).collect()
    }
}

impl Held {
    pub(super) fn new(control: Control, standing: Standing) -> Self {
        Held { control, standing }
    }
}

impl Lack {
    pub(super) fn new(why: impl Into<String>) -> Self {
        Lack { why: why.into(), remedy: None }
    }

    pub(super) fn at(path: &Path, error: &io::Error) -> Self {
        Lack::new(format!("{}: {error}", path.display()))
    }

    pub(super) fn remedy(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = Some(remedy.into());
        self
    }

    /// What was tried before, in front of this.
    pub(super) fn after(mut self, first: impl Display) -> Self {
        self.why = format!("{first}; {}", self.why);
        self
    }

    pub(super) fn standing(&self) -> Standing {
        Standing::absent(&self.why, self.remedy.clone())
    }

    pub(super) fn held(&self, control: Control) -> Held {
        Held::new(control, self.standing())
    }
}
