//! Brings chosen changes into the project. Everything is checked before the first write; what was there is kept before
//! it is changed; each file is replaced in one step; what is deleted goes last.

mod carry;
mod plan;
mod record;
#[cfg(test)]
mod tests;
mod words;

use crate::{Base, Changes, Entry, Folder, RelPath, Result, Selection, Stack};
use carry::{Carry, Content};
use record::Record;
use serde::{Deserialize, Serialize};
use std::collections::HashSet;
use std::path::Path;
use std::time::SystemTime;

/// What is brought into the project, and what is let pass.
pub struct Options<'a> {
    pub selection: Selection,
    /// What the project was when the run that changed it was over, or what an apply since has left there.
    pub base: Option<&'a Base>,
    /// Of paths that the base does not know: a file touched after this time may never have been what the task saw.
    pub started: Option<SystemTime>,
    /// Why a person's tools would act on a file at this path by themselves.
    pub active: &'a dyn Fn(&RelPath) -> Option<String>,
    pub allow_active: bool,
    /// Links that lead out of the project, or into `.git`.
    pub allow_links_out: bool,
    /// Checks and tells everything, and writes nothing.
    pub dry_run: bool,
    /// A folder that does not exist yet: there lies what is needed to undo or finish this.
    pub record: &'a Path,
}

/// One thing that is done in the project.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Act {
    pub path: RelPath,
    pub doing: Doing,
    /// Bytes written.
    pub bytes: u64,
    /// SHA-256 of the content or of the link's target that is there now, in hexadecimal; `None`: nothing, or a folder.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
}

/// What is done at a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Doing {
    MakeFolder,
    Write,
    Link,
    SetMode,
    Remove,
    RemoveFolder,
}

/// A path at which nothing was done, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Refusal {
    pub path: RelPath,
    pub why: Why,
}

/// Why a change is not brought in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Why {
    /// In a `.git` folder: never.
    Git,
    /// The task was not shown what the project has there.
    Hidden,
    /// A person's tools would act on it.
    Active(String),
    /// A special file, or one that was not read.
    Unfit(String),
    /// A link that leads out of the project, or into `.git`.
    LeadsOut(String),
    /// The project has a link or another file system on the way.
    Through(String),
    /// Something that was not chosen is in the way.
    InTheWay(String),
    /// The project is not what it was.
    Changed(Box<Clash>),
}

/// Three sides of a path where the project is not what it was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Clash {
    pub was: Option<Entry>,
    pub is: Option<Entry>,
    pub becomes: Option<Entry>,
    /// It is as it was when it was first looked at, but touched after the sandbox started.
    pub touched: bool,
}

/// What was done, or would be. Where the check refuses something, nothing is written. Where the project changes under
/// way, `written` holds beside a refusal: the record can be undone, or finished.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Applied {
    /// In their order. After a refusal or a dry run: what would be done without the refused ones.
    pub acts: Vec<Act>,
    pub refused: Vec<Refusal>,
    /// The project is there already.
    pub already: Vec<RelPath>,
    pub written: bool,
    /// What the project has now at the paths that were chosen, for the base of the next time.
    #[serde(skip)]
    pub left: Base,
}

/// What was put back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Undone {
    pub acts: Vec<Act>,
    /// Files that are no longer as they were applied; they were left alone.
    pub refused: Vec<Refusal>,
    /// What the project has now where something was put back.
    #[serde(skip)]
    pub left: Base,
}

/// One move of a path from one state to another, as the record has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Step {
    path: RelPath,
    from: Option<Entry>,
    to: Option<Entry>,
    /// Permissions before, if there was a file or folder.
    permissions: u32,
    /// Permissions after.
    becomes: u32,
    /// Which layer has the content.
    layer: Option<usize>,
}

impl Changes {
    /// Brings the chosen changes into the project, all of them or, where one is refused, none.
    pub fn apply(&self, options: &Options<'_>) -> Result<Applied> {
        let plan = plan::Plan::make(self, options)?;
        let acts: Vec<Act> = plan.steps.iter().map(Step::act).collect();
        let left = plan.left(&self.project);
        let applied = Applied { acts, refused: plan.refused, already: plan.already, written: false, left };
        if options.dry_run || !applied.refused.is_empty() || plan.steps.is_empty() {
            return Ok(applied);
        }
        let record = Record::make(options.record, &self.project, plan.steps)?;
        let (acts, refused) = forth(&record, &self.project, &self.stack)?;
        let mut left = applied.left;
        left.replace(ends(&record.steps, &acts, &self.project));
        Ok(Applied { written: true, acts, refused, left, ..applied })
    }
}

/// Puts back what an apply changed, also one that was ended half-way. Files that are not as they were applied are
/// refused and left alone; the others are restored.
pub fn undo(record: &Path, project: &Folder) -> Result<Undone> {
    let record = Record::read(record)?;
    let steps: Vec<Step> = record.steps.iter().rev().map(Step::reversed).collect();
    let mut carry = Carry::new(project, &record.id, Content::Record(&record));
    let (acts, refused) = carry.all(&steps, true)?;
    if refused.is_empty() {
        record.mark("undone")?;
    }
    let left = ends(&steps, &acts, project);
    Ok(Undone { acts, refused, left })
}

/// What the steps that were taken have left.
fn ends(steps: &[Step], acts: &[Act], project: &Folder) -> Base {
    let mut left = Base::default();
    let taken: HashSet<&RelPath> = acts.iter().map(|act| &act.path).collect();
    for step in steps.iter().filter(|step| taken.contains(&step.path)) {
        left.left(project, &step.path, step.to.as_ref());
    }
    left
}

/// Finishes an apply that was ended half-way.
pub fn finish(record: &Path, project: &Folder, stack: &Stack) -> Result<Vec<Refusal>> {
    Ok(forth(&Record::read(record)?, project, stack)?.1)
}

/// What was done, and what was refused under way.
fn forth(record: &Record, project: &Folder, stack: &Stack) -> Result<(Vec<Act>, Vec<Refusal>)> {
    let mut carry = Carry::new(project, &record.id, Content::Layers(stack));
    let (acts, refused) = carry.all(&record.steps, false)?;
    if refused.is_empty() {
        record.mark("applied")?;
    }
    Ok((acts, refused))
}

impl Step {
    fn act(&self) -> Act {
        use crate::Mode;
        let bytes = |entry: &Entry| if entry.mode == Mode::Folder { 0 } else { entry.size };
        let (doing, bytes) = match (&self.from, &self.to) {
            (_, Some(to)) if to.mode == Mode::Folder => (Doing::MakeFolder, 0),
            (Some(from), None) if from.mode == Mode::Folder => (Doing::RemoveFolder, 0),
            (_, None) => (Doing::Remove, 0),
            (_, Some(to)) if to.mode == Mode::Link => (Doing::Link, bytes(to)),
            (Some(_), Some(_)) if self.is_mode_only() => (Doing::SetMode, 0),
            (_, Some(to)) => (Doing::Write, bytes(to)),
        };
        let sha256 = self.to.as_ref().and_then(|to| to.digest.clone());
        Act { path: self.path.clone(), doing, bytes, sha256 }
    }

    fn is_mode_only(&self) -> bool {
        let files = |a: &Entry, b: &Entry| a.mode.is_file() && b.mode.is_file() && a.is_same_content(b);
        self.from.as_ref().zip(self.to.as_ref()).is_some_and(|(from, to)| files(from, to))
    }

    fn reversed(&self) -> Step {
        Step {
            path: self.path.clone(),
            from: self.to.clone(),
            to: self.from.clone(),
            permissions: self.becomes,
            becomes: self.permissions,
            layer: None,
        }
    }
}
