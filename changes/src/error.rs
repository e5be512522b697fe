//! What can go wrong, in words.

use std::io;

/// A failure of this crate.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The system refused something.
    #[error("{doing}: {error}")]
    Io { doing: String, error: io::Error },
    /// A layer says something that this crate does not read: its changes would be told wrong.
    #[error("the layer at `{path}` {what}: its changes cannot be read")]
    Layer { path: String, what: String },
    /// More than is held in memory.
    #[error("more than {limit} {what}: not all of the changes can be held")]
    TooMany { what: &'static str, limit: u64 },
    /// A name that stands for no file below a folder.
    #[error("`{0}` names no file below a folder")]
    Name(String),
    /// A pattern that cannot be read.
    #[error("the pattern {0}")]
    Pattern(String),
    /// A record that cannot be read, or that belongs to another version.
    #[error("the record: {0}")]
    Record(String),
    /// git refused, in its own words.
    #[error("git {doing}: {said}")]
    Git { doing: &'static str, said: String },
    /// What is asked for cannot be done here.
    #[error("{0}")]
    Refused(String),
}

impl Error {
    /// An error of the system, with what was being done.
    pub(crate) fn io(doing: impl Into<String>, error: impl Into<io::Error>) -> Self {
        Error::Io { doing: doing.into(), error: error.into() }
    }
}
