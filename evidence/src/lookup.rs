//! What a project has: its sandboxes and runs, listed and looked up by name.

use crate::error::Result;
use crate::folder::{Folder, present};
use crate::id::{Id, Of};
use crate::project::Project;
use crate::recover::Settled;
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

    /// The sandbox with this ID, given in full; looks at no other.
    pub fn sandbox_with(&self, id: &str) -> Result<Option<Sandbox>> {
        let (Some(id), Some(all)) = (Id::parse(Of::Sandbox, id), self.known_sandboxes()?) else { return Ok(None) };
        Ok(present(all.sub(id.as_str()))?.map(|own| Sandbox::at(self.clone(), id, own)))
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
        // Of thousands only the newest is asked for most often.
        let all = self.known_runs(if asked == "latest" { 1 } else { usize::MAX })?;
        let found = Id::pick(Of::Run, asked, &all, |listed| &listed.run)?;
        self.run_in(found.sandbox.as_str(), found.run.as_str())
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
        self.known_runs(1)?.first().map(|newest| self.run_in(newest.sandbox.as_str(), newest.run.as_str())).transpose()
    }

    /// The runs whose writer died before it sealed them.
    pub fn interrupted(&self) -> Result<Vec<Run>> {
        let open = self.open_runs()?.into_iter();
        Ok(open.filter(|(_, status)| *status == Status::Interrupted).map(|(run, _)| run).collect())
    }

    /// The runs that are not sealed, whether their writers live or not, and those that are still brought to the disk.
    /// Cheap where there are none.
    pub fn open_runs(&self) -> Result<Vec<(Run, Status)>> {
        let Some(marks) = self.unsealed()? else { return Ok(Vec::new()) };
        let mut found = Vec::new();
        for name in marks.names()? {
            let Some(run) = Id::parse(Of::Run, &name) else { continue };
            match self.find_unsealed(&marks, &run)? {
                Marked::Gone => marks.unlink(&name)?,
                Marked::Beginning => {}
                Marked::There(run) => match run.status()? {
                    // Sealed in the last moment of its writer, who may have died before the ledger knew.
                    Status::Sealed => match run.settle()? {
                        Settled::Done => {}
                        Settled::ByItsWriter => found.push((run, Status::Sealed)),
                    },
                    open => found.push((run, open)),
                },
            }
        }
        Ok(found)
    }

    fn find_unsealed(&self, marks: &Folder, run: &Id) -> Result<Marked> {
        let target = marks.dir().target(run.as_str());
        let Some(sandbox) = target.ok().and_then(|target| Id::parse(Of::Sandbox, &target)) else {
            return Ok(Marked::Gone);
        };
        let Some(folder) = present(self.sandboxes_folder()?.sub(sandbox.as_str()))? else { return Ok(Marked::Gone) };
        let sandbox = Sandbox::at(self.clone(), sandbox, folder);
        let beginning = sandbox.is_beginning(run)?;
        // Looked for last: it may have got its name since.
        match sandbox.run(run)? {
            Some(run) => Ok(Marked::There(run)),
            None if beginning => Ok(Marked::Beginning),
            None => Ok(Marked::Gone),
        }
    }
}

/// What a mark of an unsealed run leads to.
enum Marked {
    There(Run),
    /// Its writer lives and has not given it its name yet.
    Beginning,
    Gone,
}
