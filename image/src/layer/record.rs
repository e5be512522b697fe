//! What the store remembers of an unpacked layer.

use super::cost;
use super::folders::{Attributes, Folder};
use crate::{Error, Kind, LayerId, Result};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// Version of the stored form. 1: first.
const VERSION: u32 = 1;

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
    #[serde(default)]
    pub(crate) recipe: u64,
    /// Files, folders, links and whiteouts that were made for it. Records of old do not say.
    #[serde(default)]
    inodes: u64,
    /// Devices, FIFOs and sockets that were not made.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) left_out: Vec<LeftOut>,
    /// Folders by escaped path: what the layer says of them.
    folders: BTreeMap<String, Stored>,
    /// Escaped paths that the layer takes away from those below it.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    hidden: BTreeSet<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LeftOut {
    /// Escaped.
    pub(crate) path: String,
    pub(crate) kind: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Stored {
    /// Absent: the layer has entries in it, but says nothing of the folder itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    stated: Option<Attributes>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    opaque: bool,
    /// It is only there because it holds whiteouts.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    phantom: bool,
}

/// Bytes to text that JSON can hold, and back: names need not be UTF-8.
pub(super) fn escape(path: &[u8]) -> String {
    let mut text = String::with_capacity(path.len());
    for chunk in path.utf8_chunks() {
        text.push_str(&chunk.valid().replace('\\', "\\x5c"));
        chunk.invalid().iter().for_each(|byte| text.push_str(&format!("\\x{byte:02x}")));
    }
    text
}

pub(super) fn unescape(text: &str) -> Option<Vec<u8>> {
    let mut parts = text.split("\\x");
    let mut bytes = parts.next()?.as_bytes().to_vec();
    for part in parts {
        bytes.push(u8::from_str_radix(part.get(..2)?, 16).ok()?);
        bytes.extend_from_slice(&part.as_bytes()[2..]);
    }
    Some(bytes)
}

impl Record {
    pub(super) fn new(
        bytes: u64,
        recipe: u64,
        inodes: u64,
        entries: u64,
        left_out: Vec<LeftOut>,
        folders: BTreeMap<Vec<u8>, Folder>,
        hidden: BTreeSet<Vec<u8>>,
    ) -> Self {
        let stored = |(path, folder): (Vec<u8>, Folder)| {
            let Folder { stated, opaque, filled, .. } = folder;
            let phantom = !filled && !path.is_empty();
            (escape(&path), Stored { stated, opaque, phantom })
        };
        Record {
            version: VERSION,
            id: LayerId(crate::Digest::of(b"")),
            tar_bytes: 0,
            bytes,
            entries,
            recipe,
            inodes,
            left_out,
            folders: folders.into_iter().map(stored).collect(),
            hidden: hidden.iter().map(|path| escape(path)).collect(),
        }
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
        let unreadable = |why: String| Error::new(Kind::Storage, format!("a layer's record cannot be read: {why}"));
        let record: Record = serde_json::from_slice(bytes).map_err(|e| unreadable(e.to_string()))?;
        if record.version == VERSION {
            Ok(record)
        } else {
            Err(unreadable(format!("its version is {}", record.version)))
        }
    }

    /// Folders that it uses without a word on them, escaped.
    pub(super) fn implied(&self) -> impl Iterator<Item = &str> {
        self.folders.iter().filter(|(_, folder)| folder.stated.is_none()).map(|(path, _)| path.as_str())
    }

    pub(super) fn has_folder(&self, path: &str) -> bool {
        self.folders.contains_key(path)
    }

    /// Has it for something else than its whiteouts.
    pub(super) fn fills_folder(&self, path: &str) -> bool {
        self.folders.get(path).is_some_and(|folder| !folder.phantom)
    }

    pub(super) fn stated(&self, path: &str) -> Option<&Attributes> {
        self.folders.get(path).and_then(|folder| folder.stated.as_ref())
    }

    pub(super) fn is_opaque(&self, path: &str) -> bool {
        self.folders.get(path).is_some_and(|folder| folder.opaque)
    }

    pub(super) fn hides(&self, path: &str) -> bool {
        self.hidden.contains(path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_name_survives_its_escaping(path in prop::collection::vec(any::<u8>(), 0..40)) {
            prop_assert_eq!(unescape(&escape(&path)).unwrap(), path);
        }
    }

    #[test]
    fn backslashes_in_names_do_not_become_escapes() {
        assert_eq!(unescape(&escape(br"a\x41b")).unwrap(), br"a\x41b");
        assert_eq!(unescape(r"\xzz"), None);
    }
}
