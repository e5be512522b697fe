//! One sandbox's folder: what it is, until when it lives, where its outputs lie.

use crate::clock;
use crate::error::{Error, Result};
use crate::files::MAX_SUMMARY;
use crate::folder::{Folder, For, present};
use crate::id::Id;
use crate::project::Project;
use crate::trash;
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::ErrorKind;
use std::path::{Component, Path, PathBuf};

/// Version of `state.json`. 1: first. 2: `keeper`. 3: `backend`.
pub const STATE_VERSION: u32 = 3;
/// The oldest that is still understood.
const FIRST_VERSION: u32 = 1;

/// How the names of sandboxes and runs begin that are still being made.
pub(crate) const UNFINISHED: &str = ".new-";

const STATE: &str = "state.json";
pub(crate) const OUTPUTS: &str = "outputs";
pub(crate) const RUNS: &str = "runs";
/// Links to the newest, for people who look into the folders: no command asks them.
pub(crate) const LATEST: &str = "latest";
const MAX_STATE: u64 = 64 * 1024;

#[derive(Clone, Debug)]
pub struct Sandbox {
    project: Project,
    id: Id,
    folder: Folder,
}

/// What a new sandbox is to be.
#[derive(Clone, Debug)]
pub struct NewSandbox<'a> {
    pub name: &'a str,
    pub kind: Kind,
    pub ttl_ms: u64,
    /// The `sandbox.yaml` it is made from, to be kept beside it.
    pub config: Option<&'a [u8]>,
    /// `plan.json`.
    pub plan: Option<&'a [u8]>,
    /// The engine that it is made for.
    pub backend: &'a str,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Made by `sandbox up`: takes runs until its time is over.
    Kept,
    /// Made for a single run.
    Single,
}

/// `state.json`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    pub version: u32,
    pub id: Id,
    pub name: String,
    pub kind: Kind,
    /// RFC 3339, UTC.
    pub created: String,
    pub ttl_ms: u64,
    pub deadline: Deadline,
    /// The engine that it was made for; before version 3 there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backend: Option<String>,
    /// Who ends a kept sandbox when its time is over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keeper: Option<Keeper>,
    /// Set when nothing of the sandbox lives any more; its evidence may stay.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<Ended>,
}

/// A moment that every process of this start of the machine can compare with its own clock.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deadline {
    pub boot_id: String,
    pub boottime_ms: u64,
}

/// A process, and when it began in clock ticks since the machine did: its number may be another's later.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Keeper {
    pub pid: i32,
    pub start: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ended {
    /// RFC 3339, UTC.
    pub time: String,
    pub why: String,
}

impl State {
    pub(crate) fn parse(bytes: &[u8]) -> std::result::Result<State, String> {
        let state: State = serde_json::from_slice(bytes).map_err(|e| e.to_string())?;
        match state.version {
            FIRST_VERSION..=STATE_VERSION => Ok(state),
            other => Err(format!("it has version {other}, and this program knows versions up to {STATE_VERSION}")),
        }
    }

    /// Whether it was made since the machine started.
    pub fn is_of_this_boot(&self) -> Result<bool> {
        clock::is_this_boot(&self.deadline.boot_id)
    }

    /// How long the sandbox may still live. Nothing outlives a restart of the machine.
    pub fn left_ms(&self) -> Result<u64> {
        if self.ended.is_some() || !self.is_of_this_boot()? {
            return Ok(0);
        }
        Ok(self.deadline.boottime_ms.saturating_sub(clock::boottime_ms()))
    }
}

impl Sandbox {
    pub(crate) fn at(project: Project, id: Id, folder: Folder) -> Sandbox {
        Sandbox { project, id, folder }
    }

    pub fn id(&self) -> &Id {
        &self.id
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn own_folder(&self) -> &Folder {
        &self.folder
    }

    pub fn project(&self) -> &Project {
        &self.project
    }

    /// Read each time: another process may have ended the sandbox.
    pub fn state(&self) -> Result<State> {
        let path = self.folder.path().join(STATE);
        let bytes = self.folder.read(STATE, MAX_STATE)?;
        let state = State::parse(&bytes).map_err(|why| Error::damaged(&path, why))?;
        if state.id != self.id {
            return Err(Error::damaged(&path, format_args!("it is that of {}", state.id)));
        }
        Ok(state)
    }

    pub fn left_ms(&self) -> Result<u64> {
        self.state()?.left_ms()
    }

    /// The copy of the `sandbox.yaml` it was made from.
    pub fn config(&self) -> Result<Option<Vec<u8>>> {
        present(self.folder.read("sandbox.yaml", 1 << 20))
    }

    /// `plan.json`
    pub fn plan(&self) -> Result<Option<Vec<u8>>> {
        present(self.folder.read("plan.json", MAX_SUMMARY))
    }

    /// Where the outputs of the last run lie.
    pub fn outputs(&self) -> PathBuf {
        self.folder.path().join(OUTPUTS)
    }

    /// A file among the outputs of the last run, by its path below them; no link is followed on the way.
    pub fn open_output(&self, path: &str) -> Result<File> {
        let mut folder = self.folder.sub(OUTPUTS)?;
        let (above, name) = path.rsplit_once('/').unwrap_or(("", path));
        for part in above.split('/').filter(|_| !above.is_empty()) {
            folder = folder.sub(one_name(folder.path(), part)?)?;
        }
        folder.file(one_name(folder.path(), name)?, For::Reading)
    }

    /// Removes something beside the outputs that a run left there which was killed.
    pub fn discard(&self, name: &str) -> Result<()> {
        if self.folder.has(name)? { trash::tree(&self.project, &self.folder, name) } else { Ok(()) }
    }

    /// The same folder, empty, for the next run.
    pub fn fresh_outputs(&self) -> Result<PathBuf> {
        let old = self.folder.sub_or_new(OUTPUTS)?;
        if trash::is_empty(&old)? {
            return Ok(self.outputs());
        }
        trash::tree(&self.project, &self.folder, OUTPUTS)?;
        self.folder.make(OUTPUTS)?;
        Ok(self.outputs())
    }
}

/// A name of an entry, and no way to somewhere else.
pub(crate) fn one_name<'n>(folder: &Path, name: &'n str) -> Result<&'n str> {
    let mut parts = Path::new(name).components();
    match (parts.next(), parts.next()) {
        (Some(Component::Normal(only)), None) if only == name => Ok(name),
        _ => Err(Error::io("open", &folder.join(name), std::io::Error::from(ErrorKind::InvalidInput))),
    }
}

/// Nothing is synced on the way to a single run: after a power cut nothing of it lives. A kept
/// sandbox was promised to somebody, so its state is on the disk before its ID is printed.
pub(crate) fn write_state(folder: &Folder, state: &State) -> Result<()> {
    let bytes = serde_json::to_vec_pretty(state).map_err(|e| Error::damaged(folder.path(), e))?;
    match state.kind {
        Kind::Kept => folder.replace(STATE, &bytes, true),
        // In a draft nobody reads it before the draft has its name.
        Kind::Single if !folder.has(STATE)? => folder.fresh(STATE, &bytes).map(drop),
        Kind::Single => folder.replace(STATE, &bytes, false),
    }
}
