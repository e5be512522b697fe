//! Making a sandbox: under a name that nobody lists, then shown whole.

use crate::clock;
use crate::error::Result;
use crate::folder::Folder;
use crate::id::{Id, Of};
use crate::layers::{self, Handed};
use crate::project::Project;
use crate::sandbox::{Deadline, Keeper, Kind, NewSandbox, OUTPUTS, RUNS, STATE_VERSION, Sandbox, State};
use crate::sandbox::{UNFINISHED, write_state};
use crate::trash;
use serde_json::json;

/// A sandbox that is being made. Gone with the value, unless it is published.
#[derive(Debug)]
pub struct Draft {
    project: Project,
    all: Folder,
    hidden: String,
    folder: Folder,
    state: State,
    published: bool,
}

impl Project {
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
        let all = self.sandboxes_folder()?;
        let hidden = format!("{}{id}", UNFINISHED);
        let folder = all.make(&hidden)?;
        let draft = Draft { project: self.clone(), all, hidden, folder, state, published: false };
        draft.folder.make(OUTPUTS)?;
        draft.folder.make(RUNS)?;
        if let Some(config) = new.config {
            draft.folder.replace("sandbox.yaml", config, false)?;
        }
        if let Some(plan) = new.plan {
            draft.folder.replace("plan.json", plan, false)?;
        }
        Ok(draft)
    }

    /// Removes what a maker of a sandbox left who died; false if the sandbox was published.
    pub fn discard_draft(&self, id: &str) -> Result<bool> {
        let (Some(id), all) = (Id::parse(Of::Sandbox, id), self.sandboxes_folder()?) else { return Ok(false) };
        if all.has(id.as_str())? {
            return Ok(false);
        }
        let hidden = format!("{}{id}", UNFINISHED);
        if all.has(&hidden)? {
            trash::tree(self, &all, &hidden)?;
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
        self.all.rename(&self.hidden, &self.all, id.as_str())?;
        self.published = true;
        self.all.replace_link("latest", id.as_str())?;
        let folder = self.all.sub(id.as_str())?;
        Ok(Sandbox::at(self.project.clone(), id, folder))
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if !self.published {
            let _ = trash::tree(&self.project, &self.all, &self.hidden);
        }
    }
}
