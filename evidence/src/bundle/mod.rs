//! One file that holds a run: `run.aido.tar.zst`.
//!
//! A tar archive in one zstd frame. There is one way to write the same run, and a reader takes no other: entries sorted
//! by name, each once, plain files only, every header byte as [`form::head`] makes it, nothing after the end.

mod form;
mod read;
mod write;

pub(crate) use read::Bundle;
pub(crate) use write::write;

use serde::{Deserialize, Serialize};

/// Version of the bundle. 1: first.
pub const BUNDLE_VERSION: u32 = 1;

/// What the bundle says of itself: the first entry.
pub(crate) const ABOUT: &str = "aido-bundle.json";
/// The public key that the run says it was signed with. A convenience: it proves nothing.
pub(crate) const KEY: &str = "key.pub.pem";
/// The longest of the two.
pub(crate) const MAX_NOTE: u64 = 64 * 1024;

/// `aido-bundle.json`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct About {
    pub(crate) version: u32,
    pub(crate) run: String,
    pub(crate) sandbox: String,
    /// Whether the outputs are in it. Those of an earlier run of a sandbox are not kept.
    pub(crate) outputs: bool,
    /// The program and its version.
    pub(crate) made_by: String,
}

/// What went into a bundle.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Packed {
    pub files: u64,
    /// Bytes in these files.
    pub bytes: u64,
    /// Whether the outputs are among them.
    pub outputs: bool,
}
