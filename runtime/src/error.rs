//! Why a plan could not be run. Names no other module.

use std::fmt;

/// A failure before the task was started. Nothing ran, and nothing is left behind.
#[derive(Debug)]
pub struct Error {
    /// What failed and why, in one sentence.
    pub what: String,
    /// What mends it: a command, a setting, a line of the configuration.
    pub remedy: Option<String>,
}

impl Error {
    pub fn new(what: impl Into<String>) -> Self {
        Error { what: what.into(), remedy: None }
    }

    pub fn remedy(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = Some(remedy.into());
        self
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

impl std::error::Error for Error {}
