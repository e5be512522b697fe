//! The end of a sandbox, said once: by its keeper, by a command that comes later, by several at once.

use crate::clock;
use crate::error::{Error, Result};
use crate::folder::present;
use crate::id::{Id, Of};
use crate::lock;
use crate::project::Project;
use crate::sandbox::{Ended, Kind, Sandbox, State, write_state};
use serde_json::json;

/// What the ledger calls the end of a kept sandbox.
const LINE: &str = "sandbox_ended";
/// Among the marks of kept sandboxes: one that ended while no person looked.
const WORD: &str = ".ended-";
/// The same while somebody says so.
const TAKEN: &str = ".told-";

impl Sandbox {
    /// Says that nothing of the sandbox lives any more. The first reason stays; true if it was this one.
    /// A kept sandbox gets its line in the ledger, and its mark goes last: whoever stops in between leaves
    /// something that the next one finishes.
    pub fn end(&self, why: &str) -> Result<bool> {
        // A lock of this call alone: other values share their descriptor.
        let own = self.own_folder().sub(".")?;
        lock::take(&own, own.path(), lock::PATIENCE)?;
        if !self.project().sandboxes_folder()?.has(self.id().as_str())? {
            // Destroyed while this waited: the ledger has its last line.
            return Ok(false);
        }
        let mut state = self.state()?;
        let first = state.ended.is_none();
        if first {
            state.ended = Some(Ended { time: clock::now(), why: why.to_owned() });
            write_state(self.own_folder(), &state)?;
        }
        if state.kind == Kind::Kept && self.project().is_marked_kept(self.id())? {
            let why = state.ended.map(|ended| ended.why).unwrap_or_default();
            if first || !self.is_in_ledger()? {
                self.project().ledger().append_durably(LINE, &json!({"sandbox": self.id(), "why": why}))?;
            }
            self.project().unmark_kept(self.id())?;
        }
        Ok(first)
    }

    fn is_in_ledger(&self) -> Result<bool> {
        self.project().ledger().has(LINE, "sandbox", self.id())
    }

    /// Whether nothing of it can live: its end is on record, its time is over, or its only run is.
    pub fn is_over(&self) -> Result<bool> {
        /// Between the making of a sandbox and its run lie milliseconds.
        const MAKING_MS: u64 = 60_000;
        // One that was destroyed while one looked has ended, too.
        let state = match present(self.state()) {
            Ok(Some(state)) => state,
            Ok(None) => return Ok(true),
            // A power cut can take what a single run wrote; what lives shows in its runs.
            Err(Error::Damaged { .. }) => return Ok(self.running()?.is_none()),
            Err(error) => return Err(error),
        };
        if state.ended.is_some() || state.left_ms()? == 0 {
            return Ok(true);
        }
        if state.kind == Kind::Kept || self.running()?.is_some() {
            return Ok(false);
        }
        let made = state.deadline.boottime_ms.saturating_sub(state.ttl_ms);
        Ok(!self.runs()?.is_empty() || clock::boottime_ms().saturating_sub(made) > MAKING_MS)
    }
}

impl Project {
    /// Leaves word that a sandbox ended while no person looked, for whoever comes next.
    pub fn leave_word_of(&self, sandbox: &Id) -> Result<()> {
        match self.kept_marks()? {
            Some(marks) => marks.link(&format!("{WORD}{sandbox}"), sandbox.as_str()),
            None => Ok(()),
        }
    }

    /// The sandboxes that word was left of; each is told to one caller alone.
    pub fn take_word(&self) -> Result<Vec<Sandbox>> {
        let (Some(marks), Some(all)) = (self.kept_marks()?, self.known_sandboxes()?) else { return Ok(Vec::new()) };
        let mut found = Vec::new();
        for name in marks.names()? {
            let Some(id) = name.strip_prefix(WORD).and_then(|id| Id::parse(Of::Sandbox, id)) else { continue };
            let taken = format!("{TAKEN}{id}-{}", std::process::id());
            // Somebody else was first.
            if marks.rename(&name, &marks, &taken).is_err() {
                continue;
            }
            marks.unlink(&taken)?;
            found.extend(present(all.sub(id.as_str()))?.map(|own| Sandbox::at(self.clone(), id.clone(), own)));
        }
        Ok(found)
    }

    /// The sandboxes that take runs now, newest first. Costs nothing for those that ended long ago.
    pub fn kept(&self) -> Result<Vec<Sandbox>> {
        let mut open = Vec::new();
        for (state, sandbox) in self.marked()? {
            if state.left_ms()? > 0 {
                open.push((state.created, sandbox));
            }
        }
        open.sort_by(|(a, x), (b, y)| b.cmp(a).then_with(|| y.id().cmp(x.id())));
        Ok(open.into_iter().map(|(_, sandbox)| sandbox).collect())
    }

    /// Kept sandboxes whose time is over, and whose end is not said in full.
    pub fn expired(&self) -> Result<Vec<Sandbox>> {
        let mut over = Vec::new();
        for (state, sandbox) in self.marked()? {
            if state.left_ms()? == 0 {
                over.push(sandbox);
            }
        }
        Ok(over)
    }

    /// The sandboxes with a mark that they take runs; marks of those that are gone go too.
    fn marked(&self) -> Result<Vec<(State, Sandbox)>> {
        let (Some(marks), Some(all)) = (self.kept_marks()?, self.known_sandboxes()?) else { return Ok(Vec::new()) };
        let mut found = Vec::new();
        for id in marks.names()?.iter().filter_map(|name| Id::parse(Of::Sandbox, name)) {
            let sandbox = present(all.sub(id.as_str()))?.map(|own| Sandbox::at(self.clone(), id.clone(), own));
            match sandbox.and_then(|sandbox| Some((sandbox.state().ok()?, sandbox))) {
                Some(marked) => found.push(marked),
                // About to get its name. It may have got it while one looked: then its mark must stay as well.
                None if self.drafts()?.has(id.as_str())? || all.has(id.as_str())? => {}
                // Destroyed.
                None => marks.unlink(id.as_str())?,
            }
        }
        Ok(found)
    }
}
