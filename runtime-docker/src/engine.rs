//! The runtime's face: the contract, fulfilled by an engine.

use crate::{Endpoint, Found, Progress};
use aido_runtime::{Enforced, Error, Io, Listener, Outcome, Plan, Probe, Runtime};
use std::io::Read;

/// Runs plans in containers of a Docker-compatible engine.
pub struct Docker {
    endpoint: Endpoint,
    name: String,
}

impl Docker {
    /// Talks to nobody yet; `name` tells this run's containers from others.
    pub fn new(endpoint: Endpoint, name: impl Into<String>) -> Docker {
        Docker { endpoint, name: name.into() }
    }

    /// The image of that name, or of that ID, if the engine has it.
    pub fn find(&self, _reference: &str) -> Result<Option<Found>, Error> {
        Err(self.not_yet())
    }

    /// Has the engine pull an image.
    pub fn pull(&self, _reference: &str, _told: &mut dyn FnMut(Progress)) -> Result<Found, Error> {
        Err(self.not_yet())
    }

    /// Gives the engine an image archive: Docker's form, or OCI's where the engine reads that.
    pub fn load(&self, _archive: &mut (dyn Read + Send), _told: &mut dyn FnMut(Progress)) -> Result<Vec<Found>, Error> {
        Err(self.not_yet())
    }

    /// What runs of this user have left in the engine, and whose time is over.
    pub fn leftovers(&self) -> Result<Vec<String>, Error> {
        Err(self.not_yet())
    }

    /// Whether a leftover is one of this kind of engine.
    pub fn is_ours(leftover: &str) -> bool {
        leftover.starts_with("docker ")
    }

    fn not_yet(&self) -> Error {
        Error::new(format!("the engine at {} is not built in yet ({})", self.endpoint, self.name))
    }
}

impl Runtime for Docker {
    fn name(&self) -> &'static str {
        "docker"
    }

    fn probe(&self) -> Probe {
        Probe { facts: Vec::new(), controls: Enforced::default(), advice: Vec::new() }
    }

    fn up(&self, _plan: &Plan) -> Result<Enforced, Error> {
        Err(self.not_yet())
    }

    fn run(&self, _plan: &Plan, _io: Io, _listener: &mut dyn Listener) -> Result<Outcome, Error> {
        Err(self.not_yet())
    }

    fn destroy(&self, _leftover: &str) -> Result<(), Error> {
        Err(self.not_yet())
    }
}
