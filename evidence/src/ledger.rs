//! `ledger.jsonl`: one chained line for each sandbox and run that was made or destroyed.

use crate::append::Appender;
use crate::error::{Error, Result};
use crate::folder::{Folder, For, present};
use crate::id::Id;
use crate::lock;
use crate::read::Events;
use serde_json::Value;

const NAME: &str = "ledger.jsonl";

/// A chained file (see [`crate::Record`]) that any number of processes append to.
#[derive(Clone, Debug)]
pub struct Ledger {
    folder: Folder,
}

impl Ledger {
    pub(crate) fn of(folder: &Folder) -> Ledger {
        Ledger { folder: folder.clone() }
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
        if kind == crate::chain::TORN {
            return Err(Error::Reserved(kind.to_owned()));
        }
        let path = self.folder.path().join(NAME);
        let file = self.folder.file(NAME, For::AppendingOrNew)?;
        // The lock goes with the descriptor, also when this process is killed.
        lock::take(&file, &path, lock::PATIENCE)?;
        let mut end = Appender::resume(file, path)?;
        end.append(kind, data)?;
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
