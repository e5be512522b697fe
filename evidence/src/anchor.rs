//! Where a project's ledger stood, kept outside of the project: a ledger that is replaced or shortened is found.

use crate::chain::{Head, NO_HASH, Record, sha256_hex};
use crate::clock;
use crate::error::{Error, Result};
use crate::folder::{Folder, present};
use crate::home::{private, private_or_new};
use serde::{Deserialize, Serialize};
use std::path::Path;

/// Version of an anchor. 1: first.
pub const ANCHOR_VERSION: u32 = 1;

/// The longest file of one, in bytes.
const MAX_ANCHOR: u64 = 64 * 1024;
/// How many ledgers that are gone are remembered; the oldest stay.
const MAX_LOST: usize = 32;
/// How many files are looked at for a project that was moved.
const MAX_LOOKED_AT: usize = 20_000;

/// The last line of a project's ledger that this user's aido wrote. The ledger must hold it; it may have grown since,
/// by somebody who died before he could say so here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Anchor {
    pub version: u32,
    /// The project's folder.
    pub project: String,
    /// Name of the ledger, see [`ledger_name`].
    pub ledger: String,
    /// Number and hash of the line.
    pub seq: u64,
    pub head: String,
    /// Which start of the machine this was: what a power cut took is no attack.
    pub boot_id: String,
    /// Ledgers of this project that are gone, or no longer what they were.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lost: Vec<Lost>,
}

/// A ledger as it was known when another was found in its place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lost {
    pub ledger: String,
    pub seq: u64,
    pub head: String,
    /// When that was found. RFC 3339, UTC.
    pub time: String,
    /// The machine was started in between, so that a power cut may be the reason.
    pub restarted: bool,
}

/// How the ledger with this first line is called: `ledger` in a line `ledger_begun`. An older one has no such line and
/// goes by the first twelve digits of its first hash.
pub fn ledger_name(first: &Record) -> String {
    let told = (first.kind == crate::ledger::BEGUN).then(|| first.data.get("ledger")?.as_str().map(str::to_owned));
    told.flatten().unwrap_or_else(|| first.hash.chars().take(12).collect())
}

impl Anchor {
    pub(crate) fn parse(bytes: &[u8]) -> std::result::Result<Anchor, String> {
        let anchor: Anchor = serde_json::from_slice(bytes).map_err(|e| e.to_string())?;
        match anchor.version {
            ANCHOR_VERSION => Ok(anchor),
            other => Err(format!("it has version {other}, and this program knows version {ANCHOR_VERSION}")),
        }
    }

    /// The anchor of the project at this path; None if there is none.
    pub(crate) fn of(anchors: &Path, project: &Path) -> Result<Option<Anchor>> {
        match private(anchors)? {
            Some(folder) => read(&folder, &file_name(project)),
            None => Ok(None),
        }
    }

    /// The anchor of a ledger whose project is not where it was; and the path that it was at.
    pub(crate) fn moved(anchors: &Path, ledger: &str) -> Result<Option<Anchor>> {
        let Some(folder) = private(anchors)? else { return Ok(None) };
        let mut found: Option<Anchor> = None;
        for name in folder.names()?.iter().filter(|name| name.ends_with(".json")).take(MAX_LOOKED_AT) {
            // One that is damaged is no reason not to find another.
            if let Ok(Some(anchor)) = read(&folder, name)
                && anchor.ledger == ledger
                && found.as_ref().is_none_or(|best| best.seq < anchor.seq)
            {
                found = Some(anchor);
            }
        }
        Ok(found)
    }

    /// Stores it as that of the project at this path.
    pub(crate) fn store(&self, anchors: &Path, project: &Path) -> Result<()> {
        let folder = private_or_new(anchors)?;
        let name = file_name(project);
        let mut bytes = serde_json::to_vec(self).map_err(|e| Error::damaged(&anchors.join(&name), e))?;
        bytes.push(b'\n');
        // Under the ledger's lock, so there is one writer.
        folder.overwrite(&name, &bytes)
    }

    /// The anchor of a project that was moved away from where it says: that place has no ledger any more.
    pub(crate) fn leave(&self, anchors: &Path) {
        let old = Path::new(&self.project);
        let gone = !old.join(".aido").join("ledger.jsonl").exists();
        if let (true, Ok(Some(folder))) = (gone, private(anchors)) {
            let _ = folder.unlink(&file_name(old));
        }
    }

    /// Whether the machine was started since.
    pub fn is_of_another_boot(&self) -> Result<bool> {
        Ok(!clock::is_this_boot(&self.boot_id)?)
    }

    /// The next anchor, after a line was added.
    pub(crate) fn next(project: &Path, ledger: String, at: &Head, lost: Vec<Lost>) -> Result<Anchor> {
        Ok(Anchor {
            version: ANCHOR_VERSION,
            project: project.to_string_lossy().into_owned(),
            ledger,
            seq: at.seq.saturating_sub(1),
            head: if at.seq == 0 { NO_HASH.to_owned() } else { at.prev.clone() },
            boot_id: clock::boot_id()?,
            lost,
        })
    }

    /// The ledgers that are gone, this one among them.
    pub(crate) fn with_this_lost(&self) -> Result<Vec<Lost>> {
        let mut lost = self.lost.clone();
        if lost.len() < MAX_LOST {
            lost.push(Lost {
                ledger: self.ledger.clone(),
                seq: self.seq,
                head: self.head.clone(),
                time: clock::now(),
                restarted: self.is_of_another_boot()?,
            });
        }
        Ok(lost)
    }
}

fn file_name(project: &Path) -> String {
    format!("{}.json", sha256_hex(project.as_os_str().as_encoded_bytes()))
}

fn read(folder: &Folder, name: &str) -> Result<Option<Anchor>> {
    let Some(bytes) = present(folder.read(name, MAX_ANCHOR))? else { return Ok(None) };
    let path = folder.path().join(name);
    Anchor::parse(&bytes).map(Some).map_err(|why| Error::damaged(&path, why))
}
