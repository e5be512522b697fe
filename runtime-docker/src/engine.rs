//! The runtime's face: the contract, fulfilled by an engine.

use crate::client::{Session, converse};
use crate::{Endpoint, Found, Progress, conduct, image, leftover, probe};
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
    pub fn find(&self, reference: &str) -> Result<Option<Found>, Error> {
        converse(&self.endpoint, async |session: Session| image::find(&session, reference).await)
    }

    /// Has the engine pull an image.
    pub fn pull(&self, reference: &str, told: &mut dyn FnMut(Progress)) -> Result<Found, Error> {
        converse(&self.endpoint, async |session: Session| image::pull(&session, reference, told).await)
    }

    /// Gives the engine an image archive: Docker's form, or OCI's where the engine reads that.
    pub fn load(&self, archive: &mut (dyn Read + Send), told: &mut dyn FnMut(Progress)) -> Result<Vec<Found>, Error> {
        let (send, receive) = tokio::sync::mpsc::channel(8);
        // The thread ends with the archive, or when nobody takes what it reads.
        std::thread::scope(|scope| {
            scope.spawn(move || image::read_archive(archive, &send));
            converse(&self.endpoint, async |session: Session| image::load(&session, receive, told).await)
        })
    }

    /// What runs of this user have left in the engine, and whose time is over.
    pub fn leftovers(&self) -> Result<Vec<String>, Error> {
        converse(&self.endpoint, async |session: Session| leftover::overdue(&session).await)
    }

    /// Whether a leftover is one of this kind of engine.
    pub fn is_ours(leftover: &str) -> bool {
        leftover::parts(leftover).is_some()
    }
}

impl Runtime for Docker {
    fn name(&self) -> &'static str {
        "docker"
    }

    fn probe(&self) -> Probe {
        probe::probe(&self.endpoint)
    }

    fn up(&self, plan: &Plan) -> Result<Enforced, Error> {
        converse(&self.endpoint, async |session: Session| Ok(conduct::prepare(&session, plan).await?.enforced))
    }

    fn run(&self, plan: &Plan, io: Io, listener: &mut dyn Listener) -> Result<Outcome, Error> {
        converse(&self.endpoint, async |session: Session| conduct::run(&session, &self.name, plan, io, listener).await)
    }

    fn destroy(&self, leftover: &str) -> Result<(), Error> {
        let (address, run) = leftover::parts(leftover)
            .ok_or_else(|| Error::new(format!("{leftover:?} is nothing of a container engine")))?;
        // The record has no certificates: where it is the same engine, the way to it is known.
        let named =
            if address == self.endpoint.to_string() { self.endpoint.clone() } else { Endpoint::parse(address)? };
        converse(&named, async |session: Session| leftover::remove(&session, run).await)
    }
}
