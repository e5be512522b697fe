//! The files of a run, as its writer and its readers name them.

/// The longest `summary.json` and `plan.json` that are written and read.
pub const MAX_SUMMARY: u64 = 64 << 20;

pub(crate) const EVENTS: &str = "events.log";
pub(crate) const SUMMARY: &str = "summary.json";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    Stdout,
    Stderr,
}

impl Stream {
    pub fn file_name(self) -> &'static str {
        match self {
            Stream::Stdout => "stdout.log",
            Stream::Stderr => "stderr.log",
        }
    }
}
