//! What the store remembers of an unpacked layer. What it remembers of the layer's folders can be
//! long, and lies beside it as a [list](super::list).

use super::cost;
use crate::{Error, Kind, LayerId, Result};
use serde::{Deserialize, Serialize};

/// Version of the stored form. 1: first, with all folders in it. 2: the folders in a list beside it.
const VERSION: u32 = 2;

/// The record of one layer; the same for every ownership.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Record {
    version: u32,
    pub(crate) id: LayerId,
    /// Bytes of the uncompressed tar stream.
    pub(crate) tar_bytes: u64,
    /// Bytes that its files hold.
    pub(crate) bytes: u64,
    pub(crate) entries: u64,
    /// Bytes of its recipe.
    pub(crate) recipe: u64,
    /// Files, folders, links and whiteouts that were made for it.
    inodes: u64,
    /// Devices and FIFOs that were not made; the list names them.
    pub(crate) left_out: u64,
}

impl Record {
    pub(super) fn new(bytes: u64, recipe: u64, inodes: u64, entries: u64, left_out: u64) -> Self {
        let id = LayerId(crate::Digest::of(b""));
        Record { version: VERSION, id, tar_bytes: 0, bytes, entries, recipe, inodes, left_out }
    }

    /// The record of a stream that was verified.
    pub(crate) fn verified(mut self, id: LayerId, tar_bytes: u64) -> Self {
        (self.id, self.tar_bytes) = (id, tar_bytes);
        self
    }

    /// What it counts as against the bound on an image.
    pub(crate) fn charge(&self) -> u64 {
        cost::charge(self.bytes.saturating_add(self.recipe), self.inodes)
    }

    pub(crate) fn parse(bytes: &[u8]) -> Result<Record> {
        let unreadable = |why: String| {
            let what = format!("a layer's record cannot be read: {why}");
            Error::new(Kind::Storage, what).remedy("remove the image with `aido image remove`, then pull it again")
        };
        let record: Record = serde_json::from_slice(bytes).map_err(|e| unreadable(e.to_string()))?;
        if record.version == VERSION {
            Ok(record)
        } else {
            Err(unreadable(format!("its version is {}", record.version)))
        }
    }
}
