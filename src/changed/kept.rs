//! What the record keeps of the changes: an event, and a patch or a list.

use super::{run_is_over, within};
use crate::summary::Changed;
use crate::supervise::Found;
use aido_changes::{Change, Changes, Hashes, Kind, Limits};
use aido_evidence::{Sandbox, sha256_hex};
use aido_secrets::{Redactor, Secrets};
use anyhow::{Context, Result};
use serde_json::json;
use std::io::{self, Write};

/// Paths that the event names before it only counts.
const NAMED: usize = 256;

/// What is read of the changes: the seal must not wait for gigabytes. `aido diff` reads all.
fn limits() -> Limits {
    Limits { file_bytes: 256 << 20, all_bytes: 2 << 30, ..Limits::default() }
}

/// Reads what a run left in the sandbox's layers. Bytes: the most that is kept of it.
pub(crate) fn looked_at(sandbox: &Sandbox, bound: u64, secrets: &Secrets) -> Result<Option<Found>> {
    let Some(changes) = within(sandbox, &limits())? else { return Ok(None) };
    run_is_over(sandbox, &changes)?;
    found(&changes, bound, secrets).map(Some)
}

fn found(changes: &Changes, bound: u64, secrets: &Secrets) -> Result<Found> {
    let shown: Vec<&Change> = changes.shown().collect();
    let digest = format!("sha256:{}", sha256_hex(&serde_json::to_vec(&changes.list)?));
    let bound = usize::try_from(bound).unwrap_or(usize::MAX);
    let (form, text) = match patch(changes, bound, secrets)? {
        Ok(patch) => ("patch", patch),
        Err(why) => ("names", listing(changes, bound, secrets, why)?),
    };
    let mut named = 0;
    let mut of = |kind: &str| {
        let all: Vec<String> =
            shown.iter().filter(|change| word(&change.kind) == kind).map(|change| change.path.to_string()).collect();
        let paths: Vec<&String> = all.iter().take(NAMED - named).collect();
        named += paths.len();
        json!({"count": all.len(), "paths": paths})
    };
    let mut event = json!({"count": shown.len(), "digest": digest, "form": form});
    for kind in ["deleted", "added", "modified", "renamed", "mode", "link", "type"] {
        event[kind] = of(kind);
    }
    let count = |kind: &str| shown.iter().filter(|change| word(&change.kind) == kind).count() as u64;
    let changed = Changed { files: shown.len() as u64, added: count("added"), deleted: count("deleted"), digest };
    Ok(Found { changed, event, text })
}

fn word(kind: &Kind) -> &'static str {
    match kind {
        Kind::Deleted => "deleted",
        Kind::Added => "added",
        Kind::Modified => "modified",
        Kind::Renamed { .. } => "renamed",
        Kind::Mode => "mode",
        Kind::Link => "link",
        Kind::Type => "type",
    }
}

/// The patch without secrets, or why it is not kept.
fn patch(changes: &Changes, bound: usize, secrets: &Secrets) -> Result<std::result::Result<Vec<u8>, String>> {
    if !secrets.is_empty() && changes.list.iter().any(|change| change.binary) {
        return Ok(Err("binary content could hold a secret in a form that nobody finds".to_string()));
    }
    let mut kept = Bounded { bytes: Vec::new(), bound };
    match changes.patch(&mut kept, Hashes::default()) {
        Err(aido_changes::Error::Io { error, .. }) if error.kind() == io::ErrorKind::FileTooLarge => {
            return Ok(Err(format!("the patch is larger than {bound} bytes")));
        }
        other => other.context("the patch")?,
    };
    let clean = without(secrets, &kept.bytes);
    // A secret of several lines: in a patch each of them begins with a sign.
    let bare: Vec<u8> = clean.split_inclusive(|byte| *byte == b'\n').flat_map(|line| &line[1..]).copied().collect();
    if without(secrets, &bare) != bare {
        return Ok(Err("it holds a secret of several lines".to_string()));
    }
    Ok(if clean.len() > bound { Err(format!("the patch is larger than {bound} bytes")) } else { Ok(clean) })
}

/// Which files, one a line. What does not fit is counted: the digest in the event is of all.
fn listing(changes: &Changes, bound: usize, secrets: &Secrets, why: String) -> Result<Vec<u8>> {
    let mut all = Vec::new();
    changes.name_status(&mut all).context("the list")?;
    let all = without(secrets, &all);
    let mut text = format!("# No patch is kept: {why}. What was changed:\n").into_bytes();
    let room = bound.saturating_sub(LAST);
    let mut left = 0_u64;
    for line in all.split_inclusive(|byte| *byte == b'\n') {
        if left > 0 || text.len() + line.len() > room {
            left += 1;
        } else {
            text.extend_from_slice(line);
        }
    }
    if left > 0 {
        text.extend(format!("# and {left} more; the digest in the event is of all\n").bytes());
    }
    Ok(text)
}

/// Room for the last line of a list that did not fit.
const LAST: usize = 80;

fn without(secrets: &Secrets, bytes: &[u8]) -> Vec<u8> {
    let (mut redactor, mut clean) = (Redactor::new(secrets, true), Vec::new());
    redactor.push(bytes, &mut clean);
    redactor.finish(&mut clean);
    clean
}

/// Takes so much and no more.
struct Bounded {
    bytes: Vec<u8>,
    bound: usize,
}

impl Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.bytes.len() + bytes.len() > self.bound {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
