//! What a project has: its sandboxes and runs, listed and looked up by name.

use crate::error::Result;
use crate::folder::{Folder, present};
use crate::id::{Id, Of};
use crate::project::Project;
use crate::run::{Run, Status, sort};
use crate::sandbox::Sandbox;

impl Project {
    /// All sandboxes that are not destroyed, newest first.
    pub fn sandboxes(&self) -> Result<Vec<Sandbox>> {
        let Some(folder) = self.known_sandboxes()? else { return Ok(Vec::new()) };
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

    /// The sandboxes that take runs now, newest first. Costs nothing for those that ended long ago.
    pub fn kept(&self) -> Result<Vec<Sandbox>> {
        let (Some(marks), Some(folder)) = (self.kept_marks()?, self.known_sandboxes()?) else {
            return Ok(Vec::new());
        };
        let mut open = Vec::new();
        for name in marks.names()? {
            let Some(id) = Id::parse(Of::Sandbox, &name) else { continue };
            let sandbox = present(folder.sub(id.as_str()))?.map(|own| Sandbox::at(self.clone(), id, own));
            match sandbox.and_then(|sandbox| Some((sandbox.state().ok()?, sandbox))) {
                Some((state, sandbox)) if state.left_ms()? > 0 => open.push((state.created, sandbox)),
                // Destroyed, or its time is over: that does not change any more.
                _ => marks.unlink(&name)?,
            }
        }
        open.sort_by(|(a, x), (b, y)| b.cmp(a).then_with(|| y.id().cmp(x.id())));
        Ok(open.into_iter().map(|(_, sandbox)| sandbox).collect())
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
        sort(&mut found);
        Ok(found)
    }

    /// The run with this ID, a unique prefix of it, or `latest`.
    pub fn run(&self, asked: &str) -> Result<Run> {
        let all = self.runs()?;
        Id::pick(Of::Run, asked, &all, Run::id).cloned()
    }

    /// The same where both IDs are known in full: looks at no other.
    pub fn run_in(&self, sandbox: &str, run: &str) -> Result<Run> {
        let mut found = Vec::new();
        if let (Some(id), Some(of), Some(all)) =
            (Id::parse(Of::Run, run), Id::parse(Of::Sandbox, sandbox), self.known_sandboxes()?)
            && let Some(folder) = present(all.sub(of.as_str()))?
        {
            found.extend(Sandbox::at(self.clone(), of, folder).run(&id)?);
        }
        Id::pick(Of::Run, run, &found, Run::id).cloned()
    }

    /// The newest run.
    pub fn latest_run(&self) -> Result<Option<Run>> {
        Ok(self.runs()?.into_iter().next())
    }

    /// The runs whose writer died before it sealed them. Cheap where there are none.
    pub fn interrupted(&self) -> Result<Vec<Run>> {
        let Some(marks) = self.unsealed()? else { return Ok(Vec::new()) };
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

    fn find_unsealed(&self, marks: &Folder, run: &Id) -> Result<Option<Run>> {
        let target = rustix::fs::readlinkat(marks.fd(), run.as_str(), Vec::new());
        let Some(sandbox) = target.ok().and_then(|t| Id::parse(Of::Sandbox, t.to_str().ok()?)) else {
            return Ok(None);
        };
        let Some(folder) = present(self.sandboxes_folder()?.sub(sandbox.as_str()))? else { return Ok(None) };
        Sandbox::at(self.clone(), sandbox, folder).run(run)
    }
}
