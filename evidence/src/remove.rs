//! Removing sandboxes: nothing of them stays but what the ledger says.

use crate::error::{Error, Result};
use crate::folder::Folder;
use crate::id::{Id, Of, random_hex};
use crate::layers;
use crate::lock;
use crate::project::Project;
use crate::sandbox::{LATEST, Sandbox};
use crate::trash;
use serde_json::json;
use std::ffi::OsStr;
use std::io::ErrorKind;
use std::time::{SystemTime, UNIX_EPOCH};

impl Sandbox {
    /// Removes the sandbox and the evidence of its runs; the ledger keeps a line. Refused while a run
    /// is being written.
    pub fn destroy(self, why: &str) -> Result<()> {
        if let Some(run) = self.running()? {
            return Err(Error::Busy { sandbox: self.id().to_string(), run: run.id().to_string() });
        }
        sandbox(&self, why)
    }
}

impl Project {
    /// Mends the ledger's end, and ends removals that were cut short.
    pub fn sweep(&self) -> Result<()> {
        // Who appends next mends it as well; somebody who only looks must not fail for want of room.
        let _ = self.ledger().mend();
        let _ = self.look_again_after_a_restart();
        sweep(self)
    }
}

/// Destroys a sandbox. Only the ledger will remember it, so its line is on the disk before the first
/// byte of evidence is removed.
fn sandbox(sandbox: &Sandbox, why: &str) -> Result<()> {
    let project = sandbox.project();
    let runs: Vec<Id> = sandbox.runs()?.iter().map(|run| run.id().clone()).collect();
    let trash = trash::locked(project)?;
    let id = sandbox.id().as_str();
    // Who says its end meanwhile says it before this, or not at all.
    let own = sandbox.own_folder().sub(".")?;
    lock::take(&own, own.path(), lock::PATIENCE)?;
    project.sandboxes_folder()?.rename(id, &trash, id)?;
    let line = json!({"sandbox": id, "why": why, "runs": runs});
    project.ledger().append_durably("sandbox_destroyed", &line)?;
    for run in &runs {
        project.unmark(run)?;
    }
    relink_latest(project)?;
    let rubbish = format!("x{}", random_hex()?);
    trash.rename(id, &trash, &rubbish)?;
    layers::collect(project)?;
    trash::clear(&trash)
}

/// Ends what a killed process left half done.
fn sweep(project: &Project) -> Result<()> {
    // Who removes something now sweeps as well; a command that only looks does not wait for it.
    let Some(trash) = trash::locked_now(project)? else { return Ok(()) };
    for id in trash.names()?.iter().filter_map(|name| Id::parse(Of::Sandbox, name)) {
        let line = json!({"sandbox": id, "why": "left over from a removal that was cut short"});
        project.ledger().append_durably("sandbox_destroyed", &line)?;
        trash.rename(id.as_str(), &trash, &format!("x{}", random_hex()?))?;
    }
    let drafts = project.drafts()?;
    for name in drafts.names()? {
        if is_old(&drafts, &name)? {
            drafts.rename(&name, &trash, &format!("x{}", random_hex()?))?;
        }
    }
    trash::clear(&trash)
}

/// Making a sandbox takes milliseconds; what is unfinished after an hour has no maker any more.
fn is_old(folder: &Folder, name: &str) -> Result<bool> {
    const AN_HOUR: i64 = 3600;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs().cast_signed());
    match folder.dir().look(OsStr::new(name)) {
        Ok(look) => Ok(look.changed < now - AN_HOUR),
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(false),
        Err(e) => Err(Error::io("look at", &folder.path().join(name), e)),
    }
}

/// `latest` must not point at what is gone.
fn relink_latest(project: &Project) -> Result<()> {
    let folder = project.sandboxes_folder()?;
    match project.latest_sandbox()? {
        Some(newest) => folder.replace_link(LATEST, newest.id().as_str()),
        None => folder.unlink(LATEST),
    }
}
