//! Why an image could not be had. Names no other module.

use std::{fmt, io};

/// What sort of failure it was, for callers that act on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Kind {
    /// A reference or a source that cannot be read.
    Name,
    /// No such image, at the origin or in the store.
    Missing,
    /// It would take the network, and the network is forbidden.
    Offline,
    /// The image exists, but not for this platform.
    Platform,
    /// What was found is no container image.
    NoImage,
    /// Bytes that do not match their digest or size.
    Unverified,
    /// A layer that tries what no honest layer does; a layer or document that two readers would read differently.
    Hostile,
    /// A bound of [`crate::limits`] was reached.
    Limit,
    /// The registry, or the way to it, failed.
    Registry,
    /// Another process holds what is needed.
    Busy,
    /// This machine failed: a full disk, a missing right.
    Storage,
    /// A file or folder is closed to the caller by its mode. Root of a user namespace in which its owner is
    /// may open it all the same; what came in until then stays for another try.
    Closed,
}

/// A failure, in words for a person, with what mends it.
#[derive(Debug)]
pub struct Error {
    pub kind: Kind,
    /// What failed, where and why, in one sentence.
    pub what: String,
    /// The command or setting that mends it.
    pub remedy: Option<String>,
}

/// What helps where the store cannot be written.
pub(crate) const ELSEWHERE: &str = "make that folder writable, or keep images elsewhere: `XDG_DATA_HOME=DIR aido …`";

impl Error {
    pub(crate) fn new(kind: Kind, what: impl Into<String>) -> Self {
        Error { kind, what: what.into(), remedy: None }
    }

    pub(crate) fn remedy(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = Some(remedy.into());
        self
    }

    /// An input or output error with what was being done. One of ours that travelled through a
    /// [`io::Read`] comes out as it went in.
    pub(crate) fn io(doing: impl fmt::Display, error: impl Into<io::Error>) -> Self {
        let error = error.into();
        if error.get_ref().is_some_and(|inner| inner.is::<Error>()) {
            let inner = error.into_inner().and_then(|inner| inner.downcast::<Error>().ok());
            return inner.map_or_else(|| Error::new(Kind::Storage, doing.to_string()), |inner| *inner);
        }
        let full = error.kind() == io::ErrorKind::StorageFull || error.kind() == io::ErrorKind::QuotaExceeded;
        let made = Error::new(Kind::Storage, format!("{doing}: {error}"));
        match error.kind() {
            _ if full => made.remedy("free some space, or remove images with `aido image remove`"),
            io::ErrorKind::ReadOnlyFilesystem => made.remedy(ELSEWHERE),
            _ => made,
        }
    }

    /// Puts the place in front: `layer sha256:…: …`.
    pub(crate) fn within(mut self, place: impl fmt::Display) -> Self {
        self.what = format!("{place}: {}", self.what);
        self
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

impl std::error::Error for Error {}

impl From<Error> for io::Error {
    fn from(error: Error) -> Self {
        io::Error::other(error)
    }
}
