//! What can go wrong with evidence. Names no other module.

use std::path::{Path, PathBuf};
use std::{fmt, io};

pub type Result<T> = std::result::Result<T, Error>;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("cannot {doing} {}: {source}", .path.display())]
    Io { doing: &'static str, path: PathBuf, source: io::Error },
    /// Something in the place of our folder or file that we must not trust.
    #[error("{} {why}; {remedy}", .path.display())]
    Foreign { path: PathBuf, why: String, remedy: String },
    /// A stored file that does not say what it should.
    #[error("{} is damaged: {why}", .path.display())]
    Damaged { path: PathBuf, why: String },
    #[error("there is no {what} `{asked}` here; {}{}", Known(.known, .what), Other(.asked, .what))]
    Unknown { what: &'static str, asked: String, known: Vec<String> },
    #[error("`{asked}` could be more than one {what}: {}; type more of it", .candidates.join(", "))]
    Ambiguous { what: &'static str, asked: String, candidates: Vec<String> },
    #[error("sandbox {sandbox} is in use by run {run}; end that run first")]
    Busy { sandbox: String, run: String },
    /// Somebody has the lock, and does not let go of it.
    #[error("another aido process has held {} for {seconds} s; it may be stopped: end it, or let it go on", .path.display())]
    Held { path: PathBuf, seconds: u64 },
    #[error("an event may not be called `{0}`: the chain itself uses this name")]
    Reserved(String),
}

impl Error {
    pub(crate) fn io(doing: &'static str, path: &Path, source: impl Into<io::Error>) -> Self {
        Error::Io { doing, path: path.to_path_buf(), source: source.into() }
    }

    pub(crate) fn damaged(path: &Path, why: impl fmt::Display) -> Self {
        Error::Damaged { path: path.to_path_buf(), why: why.to_string() }
    }

    pub(crate) fn foreign(path: &Path, why: impl Into<String>, remedy: impl Into<String>) -> Self {
        Error::Foreign { path: path.to_path_buf(), why: why.into(), remedy: remedy.into() }
    }

    /// Whether the thing simply is not there.
    pub fn is_missing(&self) -> bool {
        matches!(self, Error::Io { source, .. } if source.kind() == io::ErrorKind::NotFound)
    }
}

/// That the ID is of the other kind, where it looks so.
struct Other<'a>(&'a str, &'a str);

impl fmt::Display for Other<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Some(first), rest) = (self.0.chars().next(), self.0.get(1..).unwrap_or_default()) else { return Ok(()) };
        let other = match (self.1, first) {
            ("run", 's') => "a sandbox",
            ("sandbox", 'r') => "a run",
            _ => return Ok(()),
        };
        match !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            true => write!(f, " (an ID that begins with {first} is that of {other})"),
            false => Ok(()),
        }
    }
}

/// The things that exist, in a sentence that stays short.
struct Known<'a>(&'a [String], &'a str);

impl fmt::Display for Known<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN: usize = 8;
        let Known(all, what) = self;
        if all.is_empty() {
            return write!(f, "this project has no {what} yet");
        }
        let are = if all.len() == 1 { "is" } else { "are" };
        write!(f, "there {are} {}", all[..all.len().min(SHOWN)].join(", "))?;
        if all.len() > SHOWN { write!(f, " and {} older", all.len() - SHOWN) } else { Ok(()) }
    }
}
