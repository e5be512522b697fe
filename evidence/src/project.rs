//! The `.aido` folder of a project.

use crate::error::{Error, Result};
use crate::folder::Folder;
use crate::id::{Id, Of};
use crate::ledger::Ledger;
use crate::remove;
use crate::run::{Run, Status};
use crate::sandbox::{NewSandbox, Sandbox};
use rustix::fs::Mode;
use std::path::Path;

const FOLDER: &str = ".aido";
const SANDBOXES: &str = "sandboxes";
const UNSEALED: &str = "unsealed";

/// The project's evidence: `ledger.jsonl`, `sandboxes/`, and for aido's own use `unsealed/` (a mark
/// for each run that is not sealed, so that leftovers are found without looking at every run) and
/// `trash/` (what is being removed).
#[derive(Clone, Debug)]
pub struct Project {
    folder: Folder,
}

impl Project {
    /// The evidence of the project in `project_dir`, if it has any.
    pub fn open(project_dir: &Path) -> Result<Option<Project>> {
        match Folder::open(&project_dir.join(FOLDER)) {
            Ok(folder) => checked(folder).map(Some),
            Err(e) if e.is_missing() => Ok(None),
            Err(e) => Err(e),
        }
    }

    /// The same; made if it is not there.
    pub fn create(project_dir: &Path) -> Result<Project> {
        let path = project_dir.join(FOLDER);
        match rustix::fs::mkdir(&path, Mode::RWXU) {
            Ok(()) | Err(rustix::io::Errno::EXIST) => {}
            Err(e) => return Err(Error::io("make", &path, e)),
        }
        let project = checked(Folder::open(&path)?)?;
        let ignore_all = b"*\n";
        if project.folder.read(".gitignore", 64).ok().as_deref() != Some(ignore_all) {
            project.folder.replace(".gitignore", ignore_all, false)?;
        }
        for name in [SANDBOXES, UNSEALED, remove::TRASH] {
            project.folder.sub_or_new(name)?;
        }
        Ok(project)
    }

    /// The `.aido` folder.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub fn ledger(&self) -> Ledger {
        Ledger::of(&self.folder)
    }

    pub fn new_sandbox(&self, new: &NewSandbox) -> Result<Sandbox> {
        Sandbox::make(self, new)
    }

    /// All sandboxes that are not destroyed, newest first.
    pub fn sandboxes(&self) -> Result<Vec<Sandbox>> {
        let Some(folder) = present(self.folder.sub(SANDBOXES))? else { return Ok(Vec::new()) };
        let mut found = Vec::new();
        for id in folder.names()?.iter().filter_map(|name| Id::parse(Of::Sandbox, name)) {
            // Gone meanwhile, or a link that wears the name of one: not ours to list.
            if let Ok(own) = folder.sub(id.as_str()) {
                let sandbox = Sandbox::at(self.clone(), id, own);
                let created = sandbox.state().map(|s| s.created).unwrap_or_default();
                found.push((created, sandbox));
            }
        }
        found.sort_by(|(a, x), (b, y)| b.cmp(a).then_with(|| y.id().cmp(x.id())));
        Ok(found.into_iter().map(|(_, sandbox)| sandbox).collect())
    }

    /// The sandbox with this ID, a unique prefix of it, or `latest`.
    pub fn sandbox(&self, asked: &str) -> Result<Sandbox> {
        let all = self.sandboxes()?;
        Id::pick(Of::Sandbox, asked, &all, Sandbox::id).cloned()
    }

    /// The newest sandbox.
    pub fn latest_sandbox(&self) -> Result<Option<Sandbox>> {
        Ok(self.sandboxes()?.into_iter().next())
    }

    /// All runs of all sandboxes, newest first.
    pub fn runs(&self) -> Result<Vec<Run>> {
        let mut found = Vec::new();
        for sandbox in self.sandboxes()? {
            found.extend(sandbox.runs()?);
        }
        crate::run::sort(&mut found);
        Ok(found)
    }

    /// The run with this ID, a unique prefix of it, or `latest`.
    pub fn run(&self, asked: &str) -> Result<Run> {
        let all = self.runs()?;
        Id::pick(Of::Run, asked, &all, Run::id).cloned()
    }

    /// The newest run.
    pub fn latest_run(&self) -> Result<Option<Run>> {
        Ok(self.runs()?.into_iter().next())
    }

    /// The runs whose writer died before it sealed them. Cheap where there are none.
    pub fn interrupted(&self) -> Result<Vec<Run>> {
        let Some(marks) = present(self.folder.sub(UNSEALED))? else { return Ok(Vec::new()) };
        let mut found = Vec::new();
        for name in marks.names()? {
            let Some(run) = Id::parse(Of::Run, &name) else { continue };
            match self.find_unsealed(&marks, &run)? {
                Some(run) if run.status()? == Status::Interrupted => found.push(run),
                Some(run) if run.status()? == Status::Running => {}
                // Sealed in the last moment of its writer, or destroyed.
                _ => marks.unlink(&name)?,
            }
        }
        Ok(found)
    }

    /// Ends removals that were cut short.
    pub fn sweep(&self) -> Result<()> {
        remove::sweep(self)
    }

    fn find_unsealed(&self, marks: &Folder, run: &Id) -> Result<Option<Run>> {
        let target = rustix::fs::readlinkat(marks.fd(), run.as_str(), Vec::new());
        let Some(sandbox) = target.ok().and_then(|t| Id::parse(Of::Sandbox, t.to_str().ok()?)) else {
            return Ok(None);
        };
        let Some(folder) = present(self.sandboxes_folder()?.sub(sandbox.as_str()))? else { return Ok(None) };
        Sandbox::at(self.clone(), sandbox, folder).run(run)
    }

    /// Marks a run as not sealed: a link whose target is only ever read as the sandbox's ID.
    pub(crate) fn mark_unsealed(&self, run: &Id, sandbox: &Id) -> Result<()> {
        self.folder.sub_or_new(UNSEALED)?.replace_link(run.as_str(), sandbox.as_str())
    }

    pub(crate) fn unmark(&self, run: &Id) -> Result<()> {
        self.folder.sub_or_new(UNSEALED)?.unlink(run.as_str())
    }

    pub(crate) fn sandboxes_folder(&self) -> Result<Folder> {
        self.folder.sub_or_new(SANDBOXES)
    }

    pub(crate) fn trash(&self) -> Result<Folder> {
        self.folder.sub_or_new(remove::TRASH)
    }
}

/// What is not there is None.
pub(crate) fn present<T>(looked: Result<T>) -> Result<Option<T>> {
    match looked {
        Ok(found) => Ok(Some(found)),
        Err(e) if e.is_missing() => Ok(None),
        Err(e) => Err(e),
    }
}

/// The folder is ours alone. A repository can bring a `.aido` of its own, with wide modes.
fn checked(folder: Folder) -> Result<Project> {
    let stat = rustix::fs::fstat(folder.fd()).map_err(|e| Error::io("look at", folder.path(), e))?;
    let me = rustix::process::geteuid().as_raw();
    if stat.st_uid != me {
        return Err(Error::Foreign {
            path: folder.path().to_path_buf(),
            why: format!("belongs to user {}, and this is user {me}", stat.st_uid),
            remedy: "run aido as that user, or move the folder away".into(),
        });
    }
    if stat.st_mode & 0o077 != 0 {
        rustix::fs::fchmod(folder.fd(), Mode::RWXU).map_err(|e| Error::io("make private", folder.path(), e))?;
    }
    Ok(Project { folder })
}
