//! The reading side of one run. Its files are believed only as far as they can be checked.

use crate::chain::Record;
use crate::error::{Error, Result};
use crate::files::{CHANGES, EVENTS, MAX_SUMMARY, SUMMARY, Stream};
use crate::folder::{Folder, For, present};
use crate::id::{Id, Of};
use crate::platform;
use crate::read::Events;
use crate::sandbox::{RUNS, Sandbox, UNFINISHED, one_name};
use serde::de::DeserializeOwned;
use std::cmp::Reverse;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

#[derive(Clone, Debug)]
pub struct Run {
    sandbox: Sandbox,
    id: Id,
    folder: Folder,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// Its writer lives.
    Running,
    /// It has a summary.
    Sealed,
    /// Its writer died before it wrote one.
    Interrupted,
}

impl Sandbox {
    /// Its runs, newest first.
    pub fn runs(&self) -> Result<Vec<Run>> {
        let Some(folder) = present(self.own_folder().sub(RUNS))? else { return Ok(Vec::new()) };
        let ids = folder.names()?;
        let mut runs: Vec<Run> = ids
            .iter()
            .filter_map(|name| Id::parse(Of::Run, name))
            .filter_map(|id| Some(Run::at(self.clone(), id.clone(), folder.sub(id.as_str()).ok()?)))
            .collect();
        sort(&mut runs);
        Ok(runs)
    }

    pub(crate) fn run(&self, id: &Id) -> Result<Option<Run>> {
        let Some(runs) = present(self.own_folder().sub(RUNS))? else { return Ok(None) };
        Ok(present(runs.sub(id.as_str()))?.map(|folder| Run::at(self.clone(), id.clone(), folder)))
    }

    /// Whether this run is being made. What a dead maker left is not in anybody's way.
    pub(crate) fn is_beginning(&self, id: &Id) -> Result<bool> {
        let Some(runs) = present(self.own_folder().sub(RUNS))? else { return Ok(false) };
        let hidden = present(runs.sub(&format!("{UNFINISHED}{id}")))?;
        hidden.map_or(Ok(false), |folder| Run::at(self.clone(), id.clone(), folder).alive())
    }

    /// The run that is being written now, if there is one.
    pub fn running(&self) -> Result<Option<Run>> {
        for run in self.runs()? {
            if run.is_running()? {
                return Ok(Some(run));
            }
        }
        Ok(None)
    }
}

impl Run {
    fn at(sandbox: Sandbox, id: Id, folder: Folder) -> Run {
        Run { sandbox, id, folder }
    }

    pub fn id(&self) -> &Id {
        &self.id
    }

    pub fn sandbox(&self) -> &Sandbox {
        &self.sandbox
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Stores what the task of an interrupted run changed in the project (`changes.diff`), before its record is closed.
    pub fn leave_changes(&self, bytes: &[u8]) -> Result<()> {
        self.folder.replace(CHANGES, bytes, false)
    }

    pub(crate) fn own_folder(&self) -> &Folder {
        &self.folder
    }

    /// Whether its writer lives.
    pub fn alive(&self) -> Result<bool> {
        let Some(file) = present(self.folder.file(EVENTS, For::Reading))? else { return Ok(false) };
        // Shared: two who ask at once do not take each other for the writer.
        let locked = platform::try_lock_shared(&file);
        locked.map(|locked| !locked).map_err(|e| Error::io("lock", &self.folder.path().join(EVENTS), e))
    }

    /// Whether its writer lives and goes on writing: who still brings a sealed run to the disk does not.
    pub fn is_running(&self) -> Result<bool> {
        Ok(self.alive()? && !self.is_sealed()?)
    }

    pub fn status(&self) -> Result<Status> {
        if self.is_sealed()? {
            return Ok(Status::Sealed);
        }
        if self.alive()? {
            return Ok(Status::Running);
        }
        // The writer seals before it lets go: look again now that it is known to be gone.
        Ok(if self.is_sealed()? { Status::Sealed } else { Status::Interrupted })
    }

    pub(crate) fn is_sealed(&self) -> Result<bool> {
        self.folder.has(SUMMARY)
    }

    /// The first event: when the run began (RFC 3339), and with what.
    pub fn begun(&self) -> Option<Record> {
        Run::first_record(&self.folder)
    }

    pub(crate) fn first_record(folder: &Folder) -> Option<Record> {
        const LONGEST: u64 = 16 * 1024;
        let file = folder.file(EVENTS, For::Reading).ok()?;
        let mut line = Vec::new();
        BufReader::with_capacity(1024, file.take(LONGEST)).read_until(b'\n', &mut line).ok()?;
        line.pop();
        Record::decode(&line).ok()
    }

    /// The events, checked while they are read.
    pub fn events(&self) -> Result<Events> {
        Ok(Events::new(self.folder.file(EVENTS, For::Reading)?))
    }

    /// `summary.json`; None if the run has none yet.
    pub fn summary<T: DeserializeOwned>(&self) -> Result<Option<T>> {
        let Some(bytes) = present(self.folder.read(SUMMARY, MAX_SUMMARY))? else { return Ok(None) };
        serde_json::from_slice(&bytes).map(Some).map_err(|e| Error::damaged(&self.folder.path().join(SUMMARY), e))
    }

    /// `plan.json` of this run.
    pub fn plan(&self) -> Result<Option<Vec<u8>>> {
        present(self.folder.read("plan.json", MAX_SUMMARY))
    }

    pub fn output_path(&self, stream: Stream) -> PathBuf {
        self.folder.path().join(stream.file_name())
    }

    /// A file of the run's folder by its name, to be read from the start.
    pub fn open_part(&self, name: &str) -> Result<File> {
        self.folder.file(one_name(self.folder.path(), name)?, For::Reading)
    }

    /// What the task wrote, to be read from the start.
    pub fn open_output(&self, stream: Stream) -> Result<File> {
        self.folder.file(stream.file_name(), For::Reading)
    }
}

/// Newest first.
pub(crate) fn sort(runs: &mut [Run]) {
    runs.sort_by_cached_key(|run| Reverse((run.begun().map(|b| b.time).unwrap_or_default(), run.id().clone())));
}
