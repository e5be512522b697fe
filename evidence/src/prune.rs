//! Retention: which sandboxes may go, and what they take up.

use crate::error::Result;
use crate::folder::{Folder, Kind as Thing, present};
use crate::id::Id;
use crate::project::Project;
use crate::sandbox::{Kind, Sandbox};

/// Deeper trees are counted as far as that: each level costs a descriptor.
const MAX_DEPTH: usize = 64;

/// A sandbox in which nothing lives any more.
#[derive(Clone, Debug)]
pub struct Over {
    pub sandbox: Sandbox,
    /// When something last happened to it: RFC 3339, UTC.
    pub last: String,
    pub runs: Vec<Id>,
    /// Bytes on the disk.
    pub bytes: u64,
}

/// What is to be kept. Nothing given: everything.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Retention {
    /// Sandboxes in which nothing happened for longer may go. Milliseconds.
    pub older_than_ms: Option<u64>,
    /// So many of the newest stay, whatever else is said; if nothing else is said the others may go.
    pub keep: Option<usize>,
    /// The oldest may go until what is over takes up no more than so many bytes.
    pub max_bytes: Option<u64>,
}

/// Why a sandbox may go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    Age,
    Count,
    Size,
}

impl Project {
    /// The sandboxes that are over, newest first. One that is open, or in which something runs, is none of them, and
    /// neither is one that cannot be read: nobody knows what it is.
    pub fn over(&self) -> Result<Vec<Over>> {
        let mut over = Vec::new();
        for sandbox in self.sandboxes()? {
            over.extend(present(look(&sandbox))?.flatten());
        }
        over.sort_by(|a, b| (&b.last, b.sandbox.id()).cmp(&(&a.last, a.sandbox.id())));
        Ok(over)
    }
}

fn look(sandbox: &Sandbox) -> Result<Option<Over>> {
    let state = sandbox.state()?;
    // A kept one whose end is not on record is still being ended.
    if !sandbox.is_over()? || sandbox.running()?.is_some() || (state.kind == Kind::Kept && state.ended.is_none()) {
        return Ok(None);
    }
    let runs = sandbox.runs()?;
    let begun = runs.iter().filter_map(|run| run.begun()).map(|begun| begun.time);
    let last = begun.chain(state.ended.map(|ended| ended.time)).max().unwrap_or_default().max(state.created);
    let runs = runs.iter().map(|run| run.id().clone()).collect();
    Ok(Some(Over { last, runs, bytes: disk_bytes(sandbox.own_folder(), 0), sandbox: sandbox.clone() }))
}

impl Retention {
    /// Which of them (newest first) may go, and why. `age`: milliseconds since a moment of the record, if it can be told.
    pub fn choose<'a>(&self, over: &'a [Over], age: impl Fn(&str) -> Option<u64>) -> Vec<(&'a Over, Reason)> {
        let only_count = self.older_than_ms.is_none() && self.max_bytes.is_none();
        let Some(protected) = self.keep.or((!only_count).then_some(0)) else { return Vec::new() };
        let mut left: u64 = over.iter().map(|one| one.bytes).sum();
        let mut chosen = Vec::new();
        // The oldest first, since size is counted down.
        for one in over.iter().skip(protected).rev() {
            let old = self.older_than_ms.is_some_and(|most| age(&one.last).is_some_and(|age| age > most));
            let reason = match self.max_bytes.is_some_and(|most| left > most) {
                _ if old => Reason::Age,
                true => Reason::Size,
                false if only_count => Reason::Count,
                false => continue,
            };
            left -= one.bytes;
            chosen.push((one, reason));
        }
        chosen
    }
}

/// What a tree takes up, as far as it can be looked at: a task may have closed folders.
fn disk_bytes(folder: &Folder, depth: usize) -> u64 {
    let mut bytes = 0;
    for (name, kind) in folder.entries().unwrap_or_default() {
        bytes += folder.dir().look(&name).map_or(0, |look| look.weight);
        if let (Thing::Folder, Some(name), true) = (kind, name.to_str(), depth < MAX_DEPTH) {
            bytes += folder.sub(name).map_or(0, |below| disk_bytes(&below, depth + 1));
        }
    }
    bytes
}
