//! What the project had at the paths that changed, kept so that a later change of the project's is noticed.

use crate::read::{self, Budget, Seen};
use crate::{Entry, Error, Folder, Limits, RelPath, Result, entry};
use rustix::fs::Stat;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

/// The form of the record: 1 is the first.
const VERSION: u32 = 1;

/// A time as file systems keep it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Stamp {
    pub seconds: i64,
    pub nanoseconds: i64,
}

/// What the project had at a path, with what tells cheaply whether it still has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Was {
    pub entry: Entry,
    pub inode: u64,
    /// The permissions as they were.
    pub permissions: u32,
    pub modified: Stamp,
    pub changed: Stamp,
    /// It was written while the run that changed it went on: the task may have seen another.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub touched: bool,
}

/// What the project had at each path that changed; `None`: nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Base {
    pub version: u32,
    pub files: BTreeMap<RelPath, Option<Was>>,
}

/// A path where the project is no longer what it was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Drift {
    pub path: RelPath,
    pub was: Option<Entry>,
    pub is: Option<Entry>,
    /// It is the same as in the record, but the file was touched after the given time, maybe before it was recorded.
    pub touched: bool,
}

impl Was {
    pub(crate) fn of(seen: &Seen) -> Self {
        let Stat { st_ino, st_mode, st_mtime, st_mtime_nsec, st_ctime, st_ctime_nsec, .. } = seen.stat;
        Was {
            entry: seen.entry.clone(),
            inode: st_ino,
            permissions: st_mode & 0o7777,
            modified: Stamp { seconds: st_mtime, nanoseconds: st_mtime_nsec as i64 },
            changed: Stamp { seconds: st_ctime, nanoseconds: st_ctime_nsec as i64 },
            touched: false,
        }
    }

    /// What an apply left, where the project has something else by now: no look at it finds it unwritten.
    fn gone(entry: &Entry) -> Self {
        let never = Stamp { seconds: 0, nanoseconds: 0 };
        let entry = entry.clone();
        Was { entry, inode: 0, permissions: 0, modified: never, changed: never, touched: false }
    }

    /// Whether the kernel says that it is the same file, not written since.
    pub(crate) fn is_untouched(&self, other: &Was) -> bool {
        (self.inode, self.entry.size, self.modified, self.changed)
            == (other.inode, other.entry.size, other.modified, other.changed)
    }

    /// Whether it was written, or its mode set, after that time. Folders are touched by whatever happens in them.
    pub(crate) fn is_after(&self, time: SystemTime) -> bool {
        let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
        let time = Stamp { seconds: since.as_secs() as i64, nanoseconds: i64::from(since.subsec_nanos()) };
        self.entry.mode != crate::Mode::Folder && (self.modified > time || self.changed > time)
    }
}

impl Default for Base {
    fn default() -> Self {
        Base { version: VERSION, files: BTreeMap::new() }
    }
}

impl Base {
    /// Takes over what another one knows of paths that this one does not know yet. `began`: the run that changed them.
    pub fn add(&mut self, other: &Base, began: SystemTime) {
        for (path, was) in &other.files {
            self.files
                .entry(path.clone())
                .or_insert_with(|| was.clone().map(|was| Was { touched: was.touched || was.is_after(began), ..was }));
        }
    }

    /// Takes over all of what another one knows.
    pub fn replace(&mut self, other: Base) {
        self.files.extend(other.files);
    }

    /// What the project was left with at a path. Somebody else may have written there since.
    pub(crate) fn left(&mut self, project: &Folder, path: &RelPath, entry: Option<&Entry>) {
        let mut budget = Budget::new(&Limits::default());
        let is = read::look(project, path, &mut budget).ok().flatten().as_ref().map(Was::of);
        let was = match (entry, is) {
            (Some(entry), Some(is)) if is.entry.is_same(entry) => Some(is),
            (entry, _) => entry.map(Was::gone),
        };
        self.files.insert(path.clone(), was);
    }

    /// Where the project is no longer as recorded, or was touched after `started`.
    pub fn since(&self, project: &Folder, started: Option<SystemTime>) -> Result<Vec<Drift>> {
        self.is_readable()?;
        let mut budget = Budget::new(&Limits::default());
        let mut drifts = Vec::new();
        for (path, was) in &self.files {
            drifts.extend(drift(project, path, was.as_ref(), started, &mut budget)?);
        }
        Ok(drifts)
    }

    /// An error for a record of a version that this is not.
    pub(crate) fn is_readable(&self) -> Result<()> {
        match self.version {
            VERSION => Ok(()),
            other => Err(Error::Record(format!("what the project was is of version {other}, and this is {VERSION}"))),
        }
    }
}

/// The difference at one path, if there is one.
pub(crate) fn drift(
    project: &Folder,
    path: &RelPath,
    was: Option<&Was>,
    started: Option<SystemTime>,
    budget: &mut Budget,
) -> Result<Option<Drift>> {
    let is = read::look(project, path, budget)?.as_ref().map(Was::of);
    let entries = (was.map(|was| &was.entry), is.as_ref().map(|is| &is.entry));
    let same = match (was, &is) {
        (Some(was), Some(is)) if was.is_untouched(is) => true,
        _ => entry::same(entries.0, entries.1),
    };
    let late = started.is_some_and(|started| is.as_ref().is_some_and(|is| is.is_after(started)));
    let touched = same && (late || was.is_some_and(|was| was.touched));
    let drifted = !same || touched;
    Ok(drifted.then(|| Drift { path: path.clone(), was: entries.0.cloned(), is: entries.1.cloned(), touched }))
}
