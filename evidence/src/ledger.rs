//! `ledger.jsonl`: one chained line for each sandbox and run that was made or destroyed.

use crate::anchor::{Anchor, Lost, ledger_name};
use crate::append::Appender;
use crate::error::{Error, Result};
use crate::folder::{Folder, For, present};
use crate::id::{Id, random_hex};
use crate::lock;
use crate::project::{Notes, Project};
use crate::read::Events;
use serde_json::{Value, json};
use std::path::PathBuf;

pub(crate) const NAME: &str = "ledger.jsonl";

/// Type of the first line.
pub const BEGUN: &str = "ledger_begun";
/// Bytes that hold the first line, as a rule.
const FIRST_LINE: usize = 512;

/// How often an anchor is looked at that changes all the time.
const MOST_LOOKS: usize = 8;

/// Type of a line of a ledger that is not what it was known to be.
pub const DIFFERS: &str = "ledger_differs";

/// A chained file (see [`crate::Record`]) that any number of processes append to.
#[derive(Clone, Debug)]
pub struct Ledger {
    folder: Folder,
    anchors: Option<PathBuf>,
    notes: Notes,
}

impl Ledger {
    pub(crate) fn of(project: &Project, folder: &Folder) -> Ledger {
        Ledger { folder: folder.clone(), anchors: project.home().anchors.clone(), notes: project.notes().clone() }
    }

    /// Adds a line. It outlives this process, but not necessarily a power cut: a run says the same
    /// in its own folder, so that nothing is lost that would have to be known.
    pub fn append(&self, kind: &str, data: &Value) -> Result<()> {
        self.add(kind, data).map(drop)
    }

    /// Adds a line and returns when it is on the disk: for what nothing else will remember.
    pub fn append_durably(&self, kind: &str, data: &Value) -> Result<()> {
        self.add(kind, data)?.sync()
    }

    fn add(&self, kind: &str, data: &Value) -> Result<Appender> {
        if [crate::chain::TORN, BEGUN, DIFFERS].contains(&kind) {
            return Err(Error::Reserved(kind.to_owned()));
        }
        let path = self.folder.path().join(NAME);
        let file = self.folder.file(NAME, For::AppendingOrNew)?;
        // The lock goes with the descriptor, also when this process is killed.
        lock::take(&file, &path, lock::PATIENCE)?;
        let mut end = Appender::resume(file, path)?;
        let mut name = self.name()?;
        // What cannot be known or kept outside of the project is said, and is no reason to fail.
        let known = self.known(name.as_deref()).unwrap_or_else(|e| self.unknown(&e));
        let mut lost = known.as_ref().map(|known| known.lost.clone()).unwrap_or_default();
        let began = end.at()?.seq > 0;
        if let Some(known) = known.as_ref().filter(|known| !self.holds(known, name.as_deref(), &mut end)) {
            lost = self.differs(known)?;
            if began {
                end.append(DIFFERS, &json!({"known": pointer(known)}))?;
            }
        }
        if !began {
            end.append(BEGUN, &json!({"ledger": random_hex()?, "follows": known.as_ref().map(pointer)}))?;
            name = self.name()?;
        }
        end.append(kind, data)?;
        let name = match name {
            Some(name) => name,
            None => self.name()?.unwrap_or_default(),
        };
        if let Err(error) = self.keep(&mut end, name, lost, known.as_ref()) {
            self.unknown(&error);
        }
        Ok(end)
    }

    /// Mends an end that somebody left who was killed, or had no room, in the middle of a line.
    pub(crate) fn mend(&self) -> Result<()> {
        let Some(file) = present(self.folder.file(NAME, For::Reading))? else { return Ok(()) };
        let path = self.folder.path().join(NAME);
        if Appender::resume(file, path.clone())?.is_clean()? {
            return Ok(());
        }
        let file = self.folder.file(NAME, For::AppendingOrNew)?;
        lock::take(&file, &path, lock::PATIENCE)?;
        Appender::resume(file, path)?.mend()
    }

    /// How it is called; None if it is empty or does not begin with a record.
    fn name(&self) -> Result<Option<String>> {
        let Some(file) = present(self.folder.file(NAME, For::Reading))? else { return Ok(None) };
        Ok(Events::new_reading(file, FIRST_LINE).next().and_then(std::result::Result::ok).as_ref().map(ledger_name))
    }

    /// Where this ledger is known to have stood.
    fn known(&self, name: Option<&str>) -> Result<Option<Anchor>> {
        let Some(anchors) = &self.anchors else { return Ok(None) };
        match (Anchor::of(anchors, &self.project()?)?, name) {
            (None, Some(name)) => Anchor::moved(anchors, name),
            (found, _) => Ok(found),
        }
    }

    fn unknown(&self, error: &Error) -> Option<Anchor> {
        self.notes.add(format!("where this project's ledger stands cannot be kept outside of the project: {error}"));
        None
    }

    /// Whether the ledger holds the line that is known of it.
    fn holds(&self, known: &Anchor, name: Option<&str>, end: &mut Appender) -> bool {
        let Ok(at) = end.at() else { return false };
        if name.is_none_or(|name| name != known.ledger) || at.seq <= known.seq {
            return false;
        }
        if at.seq == known.seq + 1 {
            return at.prev == known.head;
        }
        // Somebody died after his line and before its anchor.
        let records = self.records().ok().flatten().into_iter().flatten().map_while(std::result::Result::ok);
        records.into_iter().any(|record| record.seq == known.seq && record.hash == known.head)
    }

    fn differs(&self, known: &Anchor) -> Result<Vec<Lost>> {
        self.notes.add(format!(
            "the ledger of this project is not the one that was known here, which had {} records: it was removed, \
             replaced or shortened",
            known.seq.saturating_add(1)
        ));
        known.with_this_lost()
    }

    /// Keeps outside of the project where the ledger stands now.
    fn keep(&self, end: &mut Appender, name: String, lost: Vec<Lost>, known: Option<&Anchor>) -> Result<()> {
        let Some(anchors) = &self.anchors else {
            self.notes.add("there is no home folder, so nothing outside of the project knows its ledger".to_owned());
            return Ok(());
        };
        let project = self.project()?;
        let next = Anchor::next(&project, name, end.at()?, lost)?;
        next.store(anchors, &project)?;
        if let Some(moved) = known.filter(|known| known.project != next.project) {
            moved.leave(anchors);
        }
        Ok(())
    }

    /// The project's folder as it is called now, without links: it may have been moved since it was opened.
    fn project(&self) -> Result<PathBuf> {
        let mut path =
            self.folder.dir().name_now().map_err(|e| Error::io("find the name of", self.folder.path(), e))?;
        path.pop();
        Ok(path)
    }

    /// What is known of this ledger outside of the project.
    pub fn anchor(&self) -> Result<Option<Anchor>> {
        // Without the ledger's lock it may be written over right now: what two looks agree on is whole.
        let name = self.name()?;
        let mut before = self.known(name.as_deref());
        for _ in 0..MOST_LOOKS {
            let now = self.known(name.as_deref());
            if matches!((&before, &now), (Ok(before), Ok(now)) if before == now) {
                return now;
            }
            before = now;
        }
        before
    }

    /// Whether it has a line of this type about this thing. Reads all of it: for what a crash left only.
    pub(crate) fn has(&self, kind: &str, what: &str, id: &Id) -> Result<bool> {
        let speaks = |data: &Value| data.get(what).and_then(Value::as_str) == Some(id.as_str());
        Ok(self.records()?.into_iter().flatten().flatten().any(|line| line.kind == kind && speaks(&line.data)))
    }

    /// The lines so far, checked while they are read; None if there are none yet.
    pub fn records(&self) -> Result<Option<Events>> {
        match self.folder.file(NAME, For::Reading) {
            Ok(file) => Ok(Some(Events::new(file))),
            Err(e) if e.is_missing() => Ok(None),
            Err(e) => Err(e),
        }
    }
}

fn pointer(known: &Anchor) -> Value {
    json!({"ledger": known.ledger, "seq": known.seq, "head": known.head})
}
