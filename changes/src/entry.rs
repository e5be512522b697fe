//! What lies at a path: as much of it as git would keep.

use crate::Raw;
use serde::{Deserialize, Serialize};

/// What an entry is, with the one bit of its mode that counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Mode {
    #[serde(rename = "644")]
    File,
    #[serde(rename = "755")]
    Executable,
    #[serde(rename = "link")]
    Link,
    #[serde(rename = "folder")]
    Folder,
    /// A pipe, a socket or a device: shown, and neither put into a patch nor applied.
    #[serde(rename = "special")]
    Special,
}

impl Mode {
    /// As git writes it; `None` for what git does not keep.
    pub fn git(self) -> Option<&'static str> {
        match self {
            Mode::File => Some("100644"),
            Mode::Executable => Some("100755"),
            Mode::Link => Some("120000"),
            Mode::Folder | Mode::Special => None,
        }
    }

    /// Whether it is a regular file.
    pub fn is_file(self) -> bool {
        matches!(self, Mode::File | Mode::Executable)
    }
}

/// What lies at a path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    pub mode: Mode,
    /// Bytes of content; of a link, of its target.
    pub size: u64,
    /// SHA-256 of the content or of the link's target, in hexadecimal; `None` for folders and what was not read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<Raw>,
    /// A zero byte in the first 8000: what git takes for binary.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub binary: bool,
    /// The file asks to run as its owner or group. That is never brought along.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub setid: bool,
    /// Why it can be neither put into a patch nor applied.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unfit: Option<String>,
}

impl Entry {
    /// A folder.
    pub(crate) const fn folder() -> Self {
        Entry::bare(Mode::Folder, 0)
    }

    pub(crate) const fn bare(mode: Mode, size: u64) -> Self {
        Entry { mode, size, digest: None, target: None, binary: false, setid: false, unfit: None }
    }

    /// Something that only can be shown.
    pub(crate) fn unfit(mode: Mode, size: u64, why: impl Into<String>) -> Self {
        Entry { unfit: Some(why.into()), ..Entry::bare(mode, size) }
    }

    /// Whether both are known to be the same in kind, executable bit and content.
    pub fn is_same(&self, other: &Entry) -> bool {
        self.mode == other.mode && self.is_same_content(other)
    }

    pub(crate) fn is_same_content(&self, other: &Entry) -> bool {
        match (self.mode, other.mode) {
            (Mode::Folder, Mode::Folder) => true,
            (Mode::Special, _) | (_, Mode::Special) | (Mode::Folder, _) | (_, Mode::Folder) => false,
            _ => {
                self.digest.is_some()
                    && self.digest == other.digest
                    && (self.mode == Mode::Link) == (other.mode == Mode::Link)
            }
        }
    }

    /// In words: `a file of 12 bytes`.
    pub(crate) fn words(&self) -> String {
        let short = self.digest.as_deref().map(|d| format!(", sha256 {}…", &d[..12.min(d.len())])).unwrap_or_default();
        match self.mode {
            Mode::File => format!("a file of {} bytes{short}", self.size),
            Mode::Executable => format!("an executable file of {} bytes{short}", self.size),
            Mode::Link => format!("a link to `{}`", self.target.as_ref().map(Raw::to_string).unwrap_or_default()),
            Mode::Folder => "a folder".to_string(),
            Mode::Special => self.unfit.clone().unwrap_or_else(|| "a special file".to_string()),
        }
    }
}

/// Whether nothing is there before and after, or the same.
pub(crate) fn same(a: Option<&Entry>, b: Option<&Entry>) -> bool {
    match (a, b) {
        (None, None) => true,
        (Some(a), Some(b)) => a.is_same(b),
        _ => false,
    }
}

/// In words, also where nothing is.
pub(crate) fn words(entry: Option<&Entry>) -> String {
    entry.map_or_else(|| "nothing".to_string(), Entry::words)
}
