//! Making a sandbox: in a folder that nobody lists, then shown whole.

use crate::clock;
use crate::error::Result;
use crate::folder::Folder;
use crate::id::{Id, Of};
use crate::layers::{self, Handed};
use crate::project::Project;
use crate::sandbox::write_state;
use crate::sandbox::{Deadline, Keeper, Kind, LATEST, NewSandbox, OUTPUTS, RUNS, STATE_VERSION, Sandbox, State};
use crate::trash;
use serde_json::json;

/// A sandbox that is being made. Gone with the value, unless it is published.
#[derive(Debug)]
pub struct Draft {
    project: Project,
    drafts: Folder,
    folder: Folder,
    state: State,
    published: bool,
}

impl Project {
    /// One for a single run, which gives both their link `latest` ([`crate::Recording::make_latest`]).
    pub fn new_sandbox(&self, new: &NewSandbox) -> Result<Sandbox> {
        self.draft(new)?.publish(None)
    }

    /// Makes all of a sandbox but its name. Its time runs from here on.
    pub fn draft(&self, new: &NewSandbox) -> Result<Draft> {
        let id = Id::random(Of::Sandbox)?;
        let state = State {
            version: STATE_VERSION,
            id: id.clone(),
            name: new.name.to_owned(),
            kind: new.kind,
            created: clock::now(),
            ttl_ms: new.ttl_ms,
            deadline: Deadline {
                boot_id: clock::boot_id()?,
                boottime_ms: clock::boottime_ms().saturating_add(new.ttl_ms),
            },
            backend: Some(new.backend.to_owned()),
            keeper: None,
            ended: None,
        };
        let drafts = self.drafts()?;
        let folder = drafts.make(id.as_str())?;
        let draft = Draft { project: self.clone(), drafts, folder, state, published: false };
        draft.folder.make(OUTPUTS)?;
        draft.folder.make(RUNS)?;
        if let Some(config) = new.config {
            draft.folder.fresh("sandbox.yaml", config)?;
        }
        if let Some(plan) = new.plan {
            draft.folder.fresh("plan.json", plan)?;
        }
        Ok(draft)
    }

    /// Removes what a maker of a sandbox left who died; false if the sandbox was published.
    pub fn discard_draft(&self, id: &str) -> Result<bool> {
        let (Some(id), drafts) = (Id::parse(Of::Sandbox, id), self.drafts()?) else { return Ok(false) };
        if self.sandboxes_folder()?.has(id.as_str())? {
            return Ok(false);
        }
        if drafts.has(id.as_str())? {
            trash::tree(self, &drafts, id.as_str())?;
        }
        Ok(true)
    }
}

impl Draft {
    pub fn id(&self) -> &Id {
        &self.state.id
    }

    /// Lets it begin with what another sandbox changed.
    pub fn over(&self, handed: &Handed) -> Result<()> {
        layers::put_below(&self.folder, handed)
    }

    /// When its time is over, on the clock of [`crate::boottime_ms`].
    pub fn deadline_ms(&self) -> u64 {
        self.state.deadline.boottime_ms
    }

    /// Gives the sandbox its name. From here on it is there for others.
    pub fn publish(mut self, keeper: Option<Keeper>) -> Result<Sandbox> {
        let (id, kind) = (self.state.id.clone(), self.state.kind);
        self.state.keeper = keeper;
        write_state(&self.folder, &self.state)?;
        let line = json!({"sandbox": id, "name": self.state.name, "kind": kind, "ttl_ms": self.state.ttl_ms});
        self.project.ledger().append("sandbox_created", &line)?;
        if kind == Kind::Kept {
            // Before the name: whoever is killed in between leaves no sandbox that nobody would end.
            self.project.mark_kept(&id)?;
        }
        let all = self.project.sandboxes_folder()?;
        self.drafts.rename(id.as_str(), &all, id.as_str())?;
        self.published = true;
        if kind == Kind::Kept {
            all.replace_link(LATEST, id.as_str())?;
        }
        let folder = all.sub(id.as_str())?;
        Ok(Sandbox::at(self.project.clone(), id, folder))
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if !self.published {
            let _ = trash::tree(&self.project, &self.drafts, self.state.id.as_str());
        }
    }
}
