//! The gateway of one run: there is no engine here that it could serve.

use aido_runtime::{Doors, Egress, Error, Gate};
use std::collections::BTreeMap;

/// A gateway that stands: none does.
pub(crate) enum Standing {}

/// What one has to tell.
#[derive(Debug)]
#[expect(dead_code, reason = "none stands here that could tell anything; who reads it is the same on both halves")]
pub(crate) enum Told {
    Event(String, serde_json::Value),
    Nothing,
    Gone,
}

/// Says that it cannot be had.
pub(crate) fn start(_: &Egress, _: &BTreeMap<String, String>) -> Result<Standing, Error> {
    Err(Error::new("on this system there is no gateway to the network").remedy("`--no-network`"))
}

impl Standing {
    pub(crate) fn gate(&self) -> &Gate {
        match *self {}
    }

    pub(crate) fn open(&mut self, _: Doors) -> Result<(), Error> {
        match *self {}
    }

    pub(crate) fn told(&mut self) -> Told {
        match *self {}
    }

    pub(crate) fn finish(&mut self) {
        match *self {}
    }

    pub(crate) fn kill(&mut self) {
        match *self {}
    }
}
