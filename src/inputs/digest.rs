//! Digests of the inputs, for the evidence.
//!
//! A file's digest is the SHA-256 of its content. A folder's is the SHA-256 over a record of each entry that the task can see,
//! depth first, names in the order of their bytes. Lengths are eight bytes, little endian, so that no two folders make one text:
//!
//! ```text
//! tree:      "aido-tree-1\n" then for each entry
//!            "d" LEN PATH
//!            "f" LEN PATH ("x" if somebody may execute it, else "-") SHA256-OF-CONTENT (32 bytes);
//!                ("?" and the digest of nothing for a file that this user cannot read)
//!            "l" LEN PATH LEN TARGET
//! metadata:  "aido-metadata-1\n" then for each entry
//!            TYPE ("d", "f", "l") LEN PATH MODE (4 bytes) SIZE (8) MTIME-SECONDS (8) MTIME-NANOSECONDS (8)
//! ```
//!
//! A folder of at most 4096 entries and 32 MiB gets the first, a larger one the second, over its first 65,536 entries; a file
//! of more than 256 MiB is treated as such a folder's only entry, with the empty path.

use super::select::Entry;
use super::walk::{Budget, Kind, walk};
use crate::settings::{At, Error, Result};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::HashSet;
use std::fs::{File, Metadata};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

const TREE_ENTRIES: usize = 4096;
const TREE_BYTES: u64 = 32 << 20;
const FILE_BYTES: u64 = 256 << 20;
const METADATA_ENTRIES: usize = 65_536;
const MOST_THREADS: usize = 4;
/// How far a file system's times are behind the clock at most: one tick of the slowest kernels.
const TICK: Duration = Duration::from_millis(10);

/// What an input was when the run began.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InputDigest {
    /// Relative to the project; empty for the project folder itself.
    pub path: String,
    pub kind: InputKind,
    /// `sha256:…`; empty for a secret, which its digest could give away.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub digest: String,
    /// Files, folders and links that the digest covers.
    pub entries: usize,
    /// Whether there were more of them.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub partial: bool,
    /// Whether it was still to be taken when this was written: it is missing where no later event has it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub pending: bool,
    /// Whether something of it changed after the run had begun and before the digest was taken.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub changed_during: bool,
    /// Whether its content is kept out of the record.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub secret: bool,
    /// Bytes, of a secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
}

impl InputDigest {
    /// Stands from here on where it was pending.
    pub(crate) fn take_its_place(self, inputs: &mut [InputDigest]) {
        if let Some(place) = inputs.iter_mut().find(|input| input.pending && input.path == self.path) {
            *place = self;
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InputKind {
    File,
    Tree,
    Metadata,
}

/// One digest for each input, and the large folders whose digests wait for [`digest_late`], where any may; reads the files.
pub fn digests(inputs: &[Entry], may_wait: bool) -> Result<(Vec<InputDigest>, Vec<Entry>)> {
    let mut later = Vec::new();
    let mut one = |entry: &Entry| {
        if !may_wait || !is_large(entry)? {
            return digest(entry, MOST_THREADS, None);
        }
        later.push(entry.clone());
        Ok(InputDigest { pending: true, ..told(entry, InputKind::Metadata, String::new(), 0, false) })
    };
    let told = inputs.iter().map(&mut one).collect::<Result<_>>()?;
    Ok((told, later))
}

/// The digests that waited. What cannot be read stays missing; what has changed since now is told. Uses one thread.
pub fn digest_late(folders: &[Entry]) -> Vec<InputDigest> {
    // The file system's times are the clock's as of its last tick.
    let now = SystemTime::now().checked_sub(TICK);
    folders.iter().filter_map(|folder| digest(folder, 1, now).ok()).collect()
}

/// Whether a folder holds more entries than a digest of contents covers: no more of it is listed than that.
fn is_large(entry: &Entry) -> Result<bool> {
    if !entry.folder {
        return Ok(false);
    }
    let hidden: HashSet<&str> = entry.hidden.iter().map(String::as_str).collect();
    let mut seen = 0;
    walk(&entry.source, &mut Budget::new(), &mut |path, kind| {
        let shown = !matches!(kind, Kind::Other | Kind::Closed);
        if shown && seen <= TREE_ENTRIES && !path.to_str().is_some_and(|path| hidden.contains(path)) {
            seen += 1;
            return Ok(seen <= TREE_ENTRIES);
        }
        Ok(false)
    })?;
    Ok(seen > TREE_ENTRIES)
}

fn told(entry: &Entry, kind: InputKind, digest: String, entries: usize, partial: bool) -> InputDigest {
    let path = entry.path.clone();
    let (pending, changed_during, secret, size) = (false, false, false, None);
    InputDigest { path, kind, digest, entries, partial, pending, changed_during, secret, size }
}

/// `since`: what changed after it is told.
pub(super) fn digest(entry: &Entry, threads: usize, since: Option<SystemTime>) -> Result<InputDigest> {
    let done = |kind, hash: Sha256, entries, partial| told(entry, kind, hex(&hash.finalize()), entries, partial);
    if !entry.folder {
        let metadata = entry.source.symlink_metadata().map_err(|e| unreadable(&entry.source, &e))?;
        let mut hash = Sha256::new();
        if metadata.len() > FILE_BYTES {
            hash.update(b"aido-metadata-1\n");
            add_metadata(&mut hash, b'f', Path::new(""), &metadata);
            return Ok(done(InputKind::Metadata, hash, 1, false));
        }
        add_content(&mut hash, &entry.source)?;
        return Ok(done(InputKind::File, hash, 1, false));
    }
    let (seen, partial) = list(entry, threads)?;
    let bytes: u64 = seen.iter().map(|s| s.metadata.len()).sum();
    let mut hash = Sha256::new();
    if partial || seen.len() > TREE_ENTRIES || bytes > TREE_BYTES {
        hash.update(b"aido-metadata-1\n");
        for s in &seen {
            add_metadata(&mut hash, s.letter, &s.path, &s.metadata);
        }
        let changed_during = since.is_some_and(|since| {
            let root = entry.source.symlink_metadata();
            root.iter().chain(seen.iter().map(|s| &s.metadata)).any(|metadata| changed(metadata) >= Some(since))
        });
        return Ok(InputDigest { changed_during, ..done(InputKind::Metadata, hash, seen.len(), partial) });
    }
    hash.update(b"aido-tree-1\n");
    for s in &seen {
        add_entry(&mut hash, entry, s)?;
    }
    Ok(done(InputKind::Tree, hash, seen.len(), false))
}

struct Seen {
    letter: u8,
    path: PathBuf,
    metadata: Metadata,
}

/// What the task can see of a folder, and whether that was cut.
fn list(entry: &Entry, threads: usize) -> Result<(Vec<Seen>, bool)> {
    let (mut names, mut partial) = (Vec::new(), false);
    let hidden: HashSet<&str> = entry.hidden.iter().map(String::as_str).collect();
    walk(&entry.source, &mut Budget::new(), &mut |path, kind| {
        let letter = match kind {
            Kind::File => b'f',
            Kind::Folder => b'd',
            Kind::Link => b'l',
            Kind::Other | Kind::Closed => return Ok(false),
        };
        if partial || path.to_str().is_some_and(|path| hidden.contains(path)) {
            return Ok(false);
        }
        partial = names.len() == METADATA_ENTRIES;
        if partial {
            return Ok(false);
        }
        names.push((letter, path.to_path_buf()));
        Ok(true)
    })?;
    Ok((look(&entry.source, names, threads), partial))
}

/// Looks at each of many names, on all processors where that pays.
fn look(root: &Path, names: Vec<(u8, PathBuf)>, most: usize) -> Vec<Seen> {
    let one = |(letter, path): (u8, PathBuf)| {
        // What went away between two looks is not part of the input.
        let metadata = root.join(&path).symlink_metadata().ok()?;
        Some(Seen { letter, path, metadata })
    };
    // How many there are is some twenty system calls.
    let many = most > 1 && names.len() > TREE_ENTRIES;
    let threads = if many { std::thread::available_parallelism().map_or(1, usize::from).min(most) } else { 1 };
    if threads == 1 {
        return names.into_iter().filter_map(one).collect();
    }
    let part = names.len().div_ceil(threads);
    let mut names = names.into_iter();
    std::thread::scope(|scope| {
        let parts: Vec<Vec<(u8, PathBuf)>> = (0..threads).map(|_| names.by_ref().take(part).collect()).collect();
        let at_work: Vec<_> = parts
            .into_iter()
            .map(|part| scope.spawn(move || part.into_iter().filter_map(one).collect::<Vec<Seen>>()))
            .collect();
        at_work.into_iter().flat_map(|part| part.join().unwrap_or_default()).collect()
    })
}

fn add_entry(hash: &mut Sha256, entry: &Entry, seen: &Seen) -> Result<()> {
    let full = entry.source.join(&seen.path);
    hash.update([seen.letter]);
    add_text(hash, &seen.path);
    match seen.letter {
        b'f' => {
            let mut content = Sha256::new();
            let readable = add_content(&mut content, &full).is_ok();
            hash.update(match (readable, mode(&seen.metadata) & 0o111) {
                (false, _) => b"?",
                (true, 0) => b"-",
                (true, _) => b"x",
            });
            hash.update(if readable { content } else { Sha256::new() }.finalize());
        }
        b'l' => add_text(hash, &std::fs::read_link(&full).map_err(|e| unreadable(&full, &e))?),
        _ => {}
    }
    Ok(())
}

fn add_metadata(hash: &mut Sha256, letter: u8, path: &Path, metadata: &Metadata) {
    let time = metadata.modified().ok().and_then(|t| t.duration_since(std::time::UNIX_EPOCH).ok()).unwrap_or_default();
    let size = if letter == b'd' { 0 } else { metadata.len() };
    hash.update([letter]);
    add_text(hash, path);
    hash.update(mode(metadata).to_le_bytes());
    hash.update(size.to_le_bytes());
    hash.update(time.as_secs().to_le_bytes());
    hash.update(u64::from(time.subsec_nanos()).to_le_bytes());
}

fn add_text(hash: &mut Sha256, text: &Path) {
    let bytes = text.as_os_str().as_encoded_bytes();
    hash.update((bytes.len() as u64).to_le_bytes());
    hash.update(bytes);
}

fn add_content(hash: &mut Sha256, path: &Path) -> Result<()> {
    let file = File::open(path).map_err(|e| unreadable(path, &e))?;
    add_all(hash, file, path)
}

/// Of a file that somebody writes while it is read, as fast as it is read, this has an end, too.
fn add_all(hash: &mut Sha256, file: impl Read, path: &Path) -> Result<()> {
    let mut file = file.take(FILE_BYTES);
    let mut buffer = vec![0; 64 << 10];
    loop {
        match file.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(n) => hash.update(&buffer[..n]),
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
            Err(e) => return Err(unreadable(path, &e)),
        }
    }
}

fn unreadable(path: &Path, e: &std::io::Error) -> Error {
    Error::new(At::Nowhere, format!("the input {} cannot be read: {e}", path.display()))
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold("sha256:".to_string(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// When the inode changed last, which nobody can set.
#[cfg(unix)]
fn changed(metadata: &Metadata) -> Option<SystemTime> {
    use std::os::unix::fs::MetadataExt;
    let (seconds, nanoseconds) = (u64::try_from(metadata.ctime()).ok()?, u32::try_from(metadata.ctime_nsec()).ok()?);
    Some(SystemTime::UNIX_EPOCH + Duration::new(seconds, nanoseconds))
}

#[cfg(not(unix))]
fn changed(metadata: &Metadata) -> Option<SystemTime> {
    metadata.modified().ok()
}

#[cfg(unix)]
fn mode(metadata: &Metadata) -> u32 {
    std::os::unix::fs::MetadataExt::mode(metadata) & 0o7777
}

#[cfg(not(unix))]
fn mode(_: &Metadata) -> u32 {
    0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_never_ends_is_digested_to_its_bound() {
        let mut hash = Sha256::new();
        add_all(&mut hash, std::io::repeat(7), Path::new("growing")).unwrap();
        let mut bound = Sha256::new();
        let piece = vec![7; 1 << 20];
        (0..FILE_BYTES >> 20).for_each(|_| bound.update(&piece));
        assert_eq!(hash.finalize(), bound.finalize());
    }
}
