//! The changes as a patch that `git apply` takes, written piece by piece.

mod binary;
mod text;

use crate::beneath::Folder;
use crate::path::quote;
use crate::read::{self, hex};
use crate::{Change, Changes, Entry, Error, Kind, Mode, RelPath, Result};
use sha1::{Digest, Sha1};
use sha2::Sha256;
use std::collections::HashSet;
use std::io::{self, Write};

pub(crate) use text::{Counted, count};

/// Longer text is put into a patch as binary: a diff of lines holds both sides in memory.
pub(crate) const LONGEST_TEXT: u64 = 8 << 20;

/// How the repository that takes the patch names contents.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Hashes {
    #[default]
    Sha1,
    Sha256,
}

/// A change that a patch, or a branch, cannot hold.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct LeftOut {
    pub path: RelPath,
    pub why: String,
}

/// One side of a changed file.
#[derive(Clone, Copy)]
pub(crate) struct Side<'a> {
    pub(crate) folder: &'a Folder,
    pub(crate) path: &'a RelPath,
    pub(crate) entry: &'a Entry,
}

impl Changes {
    /// Writes the changes as git writes a patch, whole names of contents and binary contents included; returns what no
    /// patch can hold.
    pub fn patch(&self, out: &mut dyn Write, hashes: Hashes) -> Result<Vec<LeftOut>> {
        let mut left_out = Vec::new();
        let filled = self.folders_told();
        for change in &self.list {
            match self.is_left_out(change) {
                Some(why) => left_out.push(LeftOut { path: change.path.clone(), why }),
                None if is_folder(change) => {
                    if !filled.contains(&change.path) {
                        left_out.push(LeftOut { path: change.path.clone(), why: "git keeps no empty folder".into() });
                    }
                }
                None => self.sections(change, hashes, out)?,
            }
        }
        Ok(left_out)
    }

    /// Why a change is in no patch and in no commit.
    pub(crate) fn is_left_out(&self, change: &Change) -> Option<String> {
        if change.path.is_in_git() || matches!(&change.kind, Kind::Renamed { from, .. } if from.is_in_git()) {
            return Some("it lies in `.git`".to_string());
        }
        if change.hidden {
            return Some("the task was not shown what the project has there".to_string());
        }
        change.unfit().map(str::to_string)
    }

    /// The folders that other changes tell of: their own deletion needs no line.
    pub(crate) fn folders_told(&self) -> HashSet<RelPath> {
        let gone = self.list.iter().filter_map(|change| match &change.kind {
            Kind::Deleted => Some(&change.path),
            Kind::Renamed { from, .. } => Some(from),
            _ => None,
        });
        gone.flat_map(RelPath::above).collect()
    }

    pub(crate) fn before<'a>(&'a self, change: &'a Change) -> Option<Side<'a>> {
        let path = if let Kind::Renamed { from, .. } = &change.kind { from } else { &change.path };
        let entry = change.before.as_ref()?;
        Some(Side { folder: &self.project, path, entry })
    }

    pub(crate) fn after<'a>(&'a self, change: &'a Change) -> Option<Side<'a>> {
        let (entry, layer) = (change.after.as_ref()?, change.layer?);
        Some(Side { folder: self.stack.layer(layer), path: &change.path, entry })
    }

    fn sections(&self, change: &Change, hashes: Hashes, out: &mut dyn Write) -> Result<()> {
        let (before, after) = (self.before(change), self.after(change));
        match change.kind {
            // As git has it: the old file goes, and another comes.
            Kind::Type => {
                section(before, None, 100, hashes, out)?;
                section(None, after, 100, hashes, out)
            }
            Kind::Renamed { similarity, .. } => section(before, after, similarity, hashes, out),
            _ => section(before, after, 100, hashes, out),
        }
    }
}

/// Whether a change is that of a folder alone.
pub(crate) fn is_folder(change: &Change) -> bool {
    [&change.before, &change.after].iter().all(|entry| entry.as_ref().is_none_or(|entry| entry.mode == Mode::Folder))
}

impl Side<'_> {
    fn mode(&self) -> &'static str {
        self.entry.mode.git().unwrap_or("100644")
    }

    /// Sends the content on, and fails where it is not what was read.
    pub(crate) fn copy(&self, to: &mut dyn Write) -> Result<()> {
        match &self.entry.target {
            Some(target) => to.write_all(&target.0).map_err(|e| Error::io(format!("copying `{}`", self.path), e)),
            None => read::copy(self.folder, self.path, self.entry, to),
        }
    }

    pub(crate) fn bytes(&self) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.copy(&mut bytes)?;
        Ok(bytes)
    }

    pub(crate) fn is_text(&self) -> bool {
        !self.entry.binary && self.entry.size <= LONGEST_TEXT
    }

    /// git's name of the content.
    pub(crate) fn id(&self, hashes: Hashes) -> Result<String> {
        let mut hash = match hashes {
            Hashes::Sha1 => Hash::Sha1(Sha1::new()),
            Hashes::Sha256 => Hash::Sha256(Sha256::new()),
        };
        hash.take(format!("blob {}\0", self.entry.size).as_bytes());
        self.copy(&mut hash)?;
        Ok(match hash {
            Hash::Sha1(hash) => hex(&hash.finalize()),
            Hash::Sha256(hash) => hex(&hash.finalize()),
        })
    }
}

enum Hash {
    Sha1(Sha1),
    Sha256(Sha256),
}

impl Hash {
    fn take(&mut self, bytes: &[u8]) {
        match self {
            Hash::Sha1(hash) => hash.update(bytes),
            Hash::Sha256(hash) => hash.update(bytes),
        }
    }
}

impl Write for Hash {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.take(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn section(
    before: Option<Side<'_>>,
    after: Option<Side<'_>>,
    similarity: u8,
    hashes: Hashes,
    out: &mut dyn Write,
) -> Result<()> {
    let Some((from, to)) = before.or(after).zip(after.or(before)) else { return Ok(()) };
    let mut head = Vec::new();
    line(&mut head, &[b"diff --git ", &quote(b"a/", from.path), b" ", &quote(b"b/", to.path)]);
    let mut mode = String::new();
    match (before, after) {
        (Some(before), Some(after)) if before.mode() == after.mode() => mode = format!(" {}", after.mode()),
        (Some(before), Some(after)) => {
            line(&mut head, &[b"old mode ", before.mode().as_bytes()]);
            line(&mut head, &[b"new mode ", after.mode().as_bytes()]);
        }
        (None, _) => line(&mut head, &[b"new file mode ", to.mode().as_bytes()]),
        (_, None) => line(&mut head, &[b"deleted file mode ", from.mode().as_bytes()]),
    }
    if from.path != to.path {
        line(&mut head, &[format!("similarity index {similarity}%").as_bytes()]);
        line(&mut head, &[b"rename from ", &from.path.quoted()]);
        line(&mut head, &[b"rename to ", &to.path.quoted()]);
    }
    let same = before.zip(after).is_some_and(|(before, after)| before.entry.is_same_content(after.entry));
    if !same {
        let nothing = "0".repeat(if hashes == Hashes::Sha1 { 40 } else { 64 });
        let id = |side: Option<Side<'_>>| side.map_or_else(|| Ok(nothing.clone()), |side| side.id(hashes));
        let ids = format!("index {}..{}{mode}", id(before)?, id(after)?);
        line(&mut head, &[ids.as_bytes()]);
    }
    write(out, &head)?;
    if same { Ok(()) } else { content(before, after, out) }
}

fn content(before: Option<Side<'_>>, after: Option<Side<'_>>, out: &mut dyn Write) -> Result<()> {
    let sides = [before, after];
    if sides.iter().flatten().all(|side| side.is_text()) {
        let bytes = |side: Option<Side<'_>>| side.map_or_else(|| Ok(Vec::new()), |side| side.bytes());
        let (old, new) = (bytes(before)?, bytes(after)?);
        if let Some(hunks) = text::hunks(&old, &new) {
            if hunks.is_empty() {
                return Ok(());
            }
            let mut head = Vec::new();
            line(&mut head, &[b"--- ", &named(b"a/", before)]);
            line(&mut head, &[b"+++ ", &named(b"b/", after)]);
            write(out, &head)?;
            return write(out, &hunks);
        }
    }
    write(out, b"GIT binary patch\n")?;
    binary::literal(after, out)?;
    binary::literal(before, out)
}

/// The name in a `---` or `+++` line: a tab closes one with a space in it.
fn named(prefix: &[u8], side: Option<Side<'_>>) -> Vec<u8> {
    let Some(side) = side else { return b"/dev/null".to_vec() };
    let mut name = quote(prefix, side.path);
    if !name.starts_with(b"\"") && name.contains(&b' ') {
        name.push(b'\t');
    }
    name
}

fn line(to: &mut Vec<u8>, parts: &[&[u8]]) {
    parts.iter().for_each(|part| to.extend_from_slice(part));
    to.push(b'\n');
}

pub(crate) fn write(out: &mut dyn Write, bytes: &[u8]) -> Result<()> {
    out.write_all(bytes).map_err(|e| Error::io("writing the patch", e))
}
