//! The files of one run, one after the other, wherever they lie: in a project, in a folder that was copied, in a bundle.
//!
//! They go by the same names everywhere: `run/…` is what lies in the run's own folder, `sandbox/sandbox.yaml` what the
//! sandbox was made from, `outputs/…` what was collected.

mod stored;
mod watched;

pub(crate) use stored::Stored;
pub use watched::Far;
pub(crate) use watched::Watched;

use crate::error::Error;
use std::io::Read;

pub(crate) const RUN: &str = "run/";
pub(crate) const OUTPUTS: &str = "outputs/";
pub(crate) const CONFIG: &str = "sandbox/sandbox.yaml";

/// More than this many files, or bytes in their names, are no run of ours; a reader's memory is bounded by it.
pub(crate) const MAX_FILES: usize = 1_000_000;
pub(crate) const MAX_NAMES: usize = 64 << 20;

/// One file.
pub(crate) struct Found<'a> {
    pub(crate) name: &'a str,
    pub(crate) content: Content<'a>,
}

pub(crate) enum Content<'a> {
    /// So many bytes, and where to read them.
    Plain(u64, &'a mut dyn Read),
    /// Something that is no plain file, or cannot be read.
    Odd(String),
}

/// Why the files could not be told to their end.
#[derive(Debug)]
pub(crate) enum Stop {
    /// What is there is not what it should be: a damaged or hostile bundle.
    Refused(String),
    /// We could not do our part.
    Failed(Error),
}

impl From<Error> for Stop {
    fn from(error: Error) -> Stop {
        Stop::Failed(error)
    }
}

pub(crate) trait Parts {
    /// Shows every file once, in the order of the bytes of their names.
    fn each(&mut self, take: &mut dyn FnMut(Found<'_>) -> Result<(), Stop>) -> Result<(), Stop>;
}
