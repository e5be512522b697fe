//! The files of a run, as its writer and its readers name them.

/// The longest `summary.json` and `plan.json` that are written and read.
pub const MAX_SUMMARY: u64 = 64 << 20;

pub(crate) const EVENTS: &str = "events.log";
pub(crate) const SUMMARY: &str = "summary.json";
pub(crate) const SEAL: &str = "seal.json";
/// The summary before its seal is there. Whoever finds both finishes what the writer could not.
pub(crate) const PREPARED: &str = ".summary.json";
/// In which order output came.
pub(crate) const ORDER: &str = "order.log";
pub(crate) const PLAN: &str = "plan.json";
/// What the task changed in the project.
pub(crate) const CHANGES: &str = "changes.diff";
/// Of the sandbox: what was asked for.
pub(crate) const CONFIG: &str = "sandbox.yaml";

/// The longest `seal.json`: it repeats the summary's longest parts, in base64.
pub const MAX_SEAL: u64 = 2 * MAX_SUMMARY;

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
