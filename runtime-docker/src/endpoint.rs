//! Where the engine is asked.

use aido_runtime::Error;
use std::fmt;

/// The address of an engine, and how it was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    address: String,
    found_by: String,
}

impl Endpoint {
    /// The engine that the caller's `docker` would talk to, else the first socket that is there.
    pub fn of_the_caller() -> Result<Endpoint, Error> {
        Err(Error::new("the Docker engine is not built in yet"))
    }

    /// An address as `DOCKER_HOST` has it.
    pub fn parse(address: &str) -> Result<Endpoint, Error> {
        Ok(Endpoint { address: address.into(), found_by: "given".into() })
    }

    /// What named it: a variable, a context, or the place itself.
    pub fn found_by(&self) -> &str {
        &self.found_by
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.address)
    }
}
