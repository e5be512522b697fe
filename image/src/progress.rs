//! What a pull tells while it works.

use crate::LayerId;
use std::time::Duration;

/// Hears the steps of a pull; called from several threads.
pub trait Progress: Sync {
    fn step(&self, step: Step<'_>);
}

#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Step<'a> {
    /// The origin is being asked what this name means.
    Resolving { name: &'a str },
    /// So many more bytes of an archive were read, to find out what it holds.
    Reading { bytes: u64 },
    /// These layers will be fetched, with their compressed sizes; `present` more are here already.
    Planned { layers: &'a [(LayerId, u64)], present: usize },
    /// So many more compressed bytes of this layer went through.
    Advanced { layer: &'a LayerId, bytes: u64 },
    /// Something of the network failed; it is tried again after a while.
    Retrying { why: &'a str, wait: Duration },
    /// Another process is unpacking this layer; this one waits for it.
    Waiting { layer: &'a LayerId },
    /// Something else that goes over so many bytes is about to begin.
    Working { doing: &'static str, bytes: u64 },
    /// So many more of these went by.
    Passed { bytes: u64 },
    /// This layer is whole, verified and in the store.
    Unpacked { layer: &'a LayerId },
}

/// Listens to nothing.
pub struct Silent;

impl Progress for Silent {
    fn step(&self, _: Step<'_>) {}
}
