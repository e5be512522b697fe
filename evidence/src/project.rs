//! The `.aido` folder of a project: where its things lie, and nothing of what they are.

use crate::error::{Error, Result};
use crate::fault;
use crate::folder::{Folder, present};
use crate::home::Home;
use crate::id::Id;
use crate::keyring::Keyring;
use crate::ledger::Ledger;
use crate::platform::{Dir, Owner};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

const FOLDER: &str = ".aido";
pub(crate) const SANDBOXES: &str = "sandboxes";
const UNSEALED: &str = "unsealed";
const KEPT: &str = "kept";
/// What editors read, beside the evidence.
const SCHEMA: &str = "sandbox.schema.json";
/// Where trees go before they are removed, so that nobody finds half of one in its place. An entry
/// named like a sandbox is not in the ledger yet; every other name is nothing but rubbish.
const TRASH: &str = "trash";
/// Sandboxes that are being made. A folder of their own: who looks for what a killed maker left lists nothing else.
const DRAFTS: &str = "drafts";

/// The project's evidence: `ledger.jsonl`, `sandboxes/`, and for aido's own use `unsealed/` (a mark
/// for each run that is not sealed, so that leftovers are found without looking at every run),
/// `kept/` (the same for each sandbox that takes runs), `runs.index` (what lists say of runs that
/// change no more), `drafts/` (sandboxes that are being made) and `trash/` (what is being removed).
#[derive(Clone, Debug)]
pub struct Project {
    folder: Folder,
    home: Arc<Home>,
    notes: Notes,
}

/// What went wrong beside the evidence itself, to be told to the user once.
#[derive(Clone, Debug, Default)]
pub(crate) struct Notes(Arc<Mutex<Vec<String>>>);

impl Notes {
    pub(crate) fn add(&self, note: String) {
        let mut notes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !notes.contains(&note) {
            notes.push(note);
        }
    }
}

impl Project {
    /// The evidence of the project in `project_dir`, if it has any.
    pub fn open(project_dir: &Path, home: &Home) -> Result<Option<Project>> {
        let folder = present(Folder::open(&project_dir.join(FOLDER)))?;
        folder.map(|folder| closed(folder, home)).transpose()
    }

    /// The same for somebody who only looks, and is to change nothing: not even the mode of the folder.
    pub fn open_to_look(project_dir: &Path, home: &Home) -> Result<Option<Project>> {
        let Some(folder) = present(Folder::open(&project_dir.join(FOLDER)))? else { return Ok(None) };
        checked(&folder)?;
        Ok(Some(Project { folder, home: Arc::new(home.clone()), notes: Notes::default() }))
    }

    /// What others could have changed of the evidence in `project_dir` or of the user's keys; nothing is mended here.
    pub fn open_to_others(project_dir: &Path, home: &Home) -> Vec<Error> {
        let folder = present(Folder::open(&project_dir.join(FOLDER)));
        let folder = folder.and_then(|folder| match folder {
            Some(folder) => checked(&folder).and_then(|open| open.map_or(Ok(()), |mode| Err(wide(&folder, mode)))),
            None => Ok(()),
        });
        let keys = match home.keys.as_deref().map(Keyring::open) {
            Some(Ok(Some(keys))) => keys.keys().map(drop),
            Some(Err(error)) => Err(error),
            _ => Ok(()),
        };
        [folder, keys].into_iter().filter_map(Result::err).collect()
    }

    /// The same; made if it is not there.
    pub fn create(project_dir: &Path, home: &Home) -> Result<Project> {
        let path = project_dir.join(FOLDER);
        match fault::step("make", &path).and_then(|()| Dir::make_at(&path)) {
            Ok(()) => {}
            Err(e) if e.kind() == ErrorKind::AlreadyExists => {}
            Err(e) => return Err(Error::io("make", &path, e)),
        }
        let project = closed(Folder::open(&path)?, home)?;
        let ignore_all = b"*\n";
        if project.folder.read(".gitignore", 64).ok().as_deref() != Some(ignore_all) {
            project.folder.replace(".gitignore", ignore_all, false)?;
        }
        for name in [SANDBOXES, UNSEALED, KEPT, DRAFTS, TRASH] {
            project.folder.sub_or_new(name)?;
        }
        Ok(project)
    }

    /// Lays a schema beside the evidence, for the user's editor; says where.
    pub fn keep_schema(&self, bytes: &[u8]) -> Result<PathBuf> {
        self.folder.replace(SCHEMA, bytes, false)?;
        Ok(self.folder.path().join(SCHEMA))
    }

    /// The `.aido` folder.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn own_folder(&self) -> &Folder {
        &self.folder
    }

    pub fn ledger(&self) -> Ledger {
        Ledger::of(self, &self.folder)
    }

    /// What the user keeps outside of projects.
    pub fn home(&self) -> &Home {
        &self.home
    }

    pub(crate) fn notes(&self) -> &Notes {
        &self.notes
    }

    /// What went wrong beside the evidence itself since this was last asked: a ledger that is not the one that was
    /// known, a home that cannot be written.
    pub fn take_notes(&self) -> Vec<String> {
        std::mem::take(&mut *self.notes.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Marks a run as not sealed: a link whose target is only ever read as the sandbox's ID.
    pub(crate) fn mark_unsealed(&self, run: &Id, sandbox: &Id) -> Result<()> {
        self.folder.sub_or_new(UNSEALED)?.link(run.as_str(), sandbox.as_str())
    }

    pub(crate) fn unmark(&self, run: &Id) -> Result<()> {
        self.unsealed()?.map_or(Ok(()), |marks| marks.unlink(run.as_str()))
    }

    /// Marks a sandbox as one that takes runs.
    pub(crate) fn mark_kept(&self, sandbox: &Id) -> Result<()> {
        self.folder.sub_or_new(KEPT)?.link(sandbox.as_str(), sandbox.as_str())
    }

    pub(crate) fn is_marked_kept(&self, sandbox: &Id) -> Result<bool> {
        self.folder.sub_or_new(KEPT)?.has(sandbox.as_str())
    }

    pub(crate) fn unmark_kept(&self, sandbox: &Id) -> Result<()> {
        self.folder.sub_or_new(KEPT)?.unlink(sandbox.as_str())
    }

    /// The marks of sandboxes that take runs; None where there never was one.
    pub(crate) fn kept_marks(&self) -> Result<Option<Folder>> {
        present(self.folder.sub(KEPT))
    }

    /// The marks; None where no run was ever begun.
    pub(crate) fn unsealed(&self) -> Result<Option<Folder>> {
        present(self.folder.sub(UNSEALED))
    }

    /// The folder of the sandboxes, not made for this; None if it is not there.
    pub(crate) fn known_sandboxes(&self) -> Result<Option<Folder>> {
        present(self.folder.sub(SANDBOXES))
    }

    pub(crate) fn sandboxes_folder(&self) -> Result<Folder> {
        self.folder.sub_or_new(SANDBOXES)
    }

    pub(crate) fn drafts(&self) -> Result<Folder> {
        self.folder.sub_or_new(DRAFTS)
    }

    pub(crate) fn trash(&self) -> Result<Folder> {
        self.folder.sub_or_new(TRASH)
    }
}

/// The folder is ours alone; its mode where it is open to others all the same. A repository can bring a `.aido` of its
/// own, with wide modes, and where others may write they may have left a sandbox of theirs, which the next run would use.
fn checked(folder: &Folder) -> Result<Option<u32>> {
    let owner = folder.dir().owner().map_err(|e| Error::io("look at", folder.path(), e))?;
    if let Some(Owner { user, me, .. }) = owner.as_ref().filter(|owner| owner.user != owner.me) {
        return Err(Error::Foreign {
            path: folder.path().to_path_buf(),
            why: format!("belongs to user {user}, and this is user {me}"),
            remedy: "run aido as that user, or move the folder away".into(),
        });
    }
    let Some(mode) = owner.map(|owner| owner.mode).filter(|mode| mode & 0o077 != 0) else { return Ok(None) };
    if mode & 0o022 != 0 && folder.dir().keeps_modes() {
        return Err(wide(folder, mode));
    }
    Ok(Some(mode))
}

fn wide(folder: &Folder, mode: u32) -> Error {
    let shown = folder.path().display();
    let can = if mode & 0o022 != 0 { "written" } else { "read" };
    Error::Foreign {
        path: folder.path().to_path_buf(),
        why: format!("can be {can} by others (mode {:03o}), so what lies in it may be theirs", mode & 0o777),
        remedy: format!("look what is in it, then `chmod 700 '{shown}'`; or move it away, and a new one is made"),
    }
}

/// Closes what can only be read by others, and says so.
fn closed(folder: Folder, home: &Home) -> Result<Project> {
    let open = checked(&folder)?;
    let project = Project { folder, home: Arc::new(home.clone()), notes: Notes::default() };
    if let Some(mode) = open {
        let (folder, path) = (project.folder.dir(), project.folder.path());
        folder.close_to_others().map_err(|e| Error::io("make private", path, e))?;
        let stays = folder.owner().ok().flatten().is_some_and(|owner| owner.mode & 0o077 != 0);
        let now = if stays { "this file system knows no modes that would close it" } else { "it is closed now" };
        project.notes.add(format!("{} was open to others (mode {:03o}); {now}", path.display(), mode & 0o777));
    }
    Ok(project)
}
