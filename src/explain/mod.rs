//! Why something was denied to a task, the smallest change of `sandbox.yaml` that would allow it, and what that would
//! give away; or that nothing allows it, and what to do instead.
//!
//! Drawn up when somebody asks, from the summary, the plan and the kept output of a run, and never stored: it is advice
//! and no evidence. What aido itself refused comes from the record. What only the task's own messages tell is marked
//! as such: a task may print what it likes, and nothing here is a verdict.

mod call;
mod file;
pub(crate) mod heard;
mod limit;
mod network;
mod place;
mod program;
mod refused;
mod said;

use crate::settings::{Backend, Edit, Policy, changed_line};
use crate::summary::Summary;
use aido_runtime::{Cause, Plan, Refusal};
use serde::Serialize;
use std::path::Path;

/// Version of the JSON form. 1: first.
pub(crate) const EXPLANATIONS_VERSION: u32 = 1;

/// Explanations of one run; what is beyond is counted in the last.
const MOST: usize = 64;
/// Characters of a message of the task's that are repeated.
const QUOTED: usize = 160;

/// What is known of a run.
pub(crate) struct Facts<'a> {
    pub(crate) summary: &'a Summary,
    pub(crate) plan: &'a Plan,
    /// The `sandbox.yaml` that its sandbox was made with.
    pub(crate) config: &'a str,
    /// The project's folder, as it is now.
    pub(crate) project: &'a Path,
    pub(crate) policy: &'a Policy,
    /// The ends of standard error and of standard output.
    pub(crate) tails: [&'a [u8]; 2],
}

impl Facts<'_> {
    /// Whether it ran in a container of an engine: what is this host's own was no part of it.
    fn in_container(&self) -> bool {
        self.summary.backend == Backend::Docker.name()
    }
}

/// Who says that something was denied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Source {
    /// aido's own record.
    Record,
    /// The task's words, which prove nothing.
    Output,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Kind {
    Write,
    Read,
    Network,
    /// A system call.
    Call,
    Limit,
    Program,
}

/// One thing that was denied.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Explanation {
    pub(crate) from: Source,
    pub(crate) kind: Kind,
    /// A path in the sandbox, an address, a call, a limit, a program.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) target: Option<String>,
    /// What was denied, to whom, how often.
    pub(crate) what: String,
    pub(crate) why: String,
    /// What programs try and do without. It is not counted as denied.
    pub(crate) minor: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) change: Option<Change>,
    /// What the change would give to the task.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) exposes: Option<String>,
    /// What can be done without a change.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) instead: Option<String>,
    #[serde(skip)]
    edit: Option<Edit>,
}

/// A change of the `sandbox.yaml`.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Change {
    /// The whole line: it takes the place of the key's own, or is added. Changes of one key are one line.
    pub(crate) yaml: String,
    /// Options of `aido run` that do the same once; empty where none does.
    pub(crate) options: String,
}

impl Explanation {
    fn new(from: Source, kind: Kind, what: impl Into<String>, why: impl Into<String>) -> Explanation {
        Explanation {
            from,
            kind,
            target: None,
            what: what.into(),
            why: why.into(),
            minor: false,
            change: None,
            exposes: None,
            instead: None,
            edit: None,
        }
    }

    fn target(mut self, target: &str) -> Explanation {
        self.target = Some(target.to_string());
        self
    }

    fn allowed_by(mut self, edit: Edit, exposes: impl Into<String>) -> Explanation {
        self.edit = Some(edit);
        self.exposes = Some(exposes.into());
        self
    }

    fn instead(mut self, instead: impl Into<String>) -> Explanation {
        self.instead = Some(instead.into());
        self
    }

    fn minor(mut self, minor: bool) -> Explanation {
        self.minor = minor;
        self
    }
}

/// All that can be said of a run: limits first, then what aido refused, then what the task says.
pub(crate) fn explain(facts: &Facts<'_>) -> Vec<Explanation> {
    let mut all = limit::explain(facts);
    all.extend(program::explain(facts));
    for refused in &facts.summary.outcome.refused {
        all.extend(recorded(facts, refused));
    }
    all.extend(facts.summary.network.iter().flat_map(|reached| &reached.refused).map(refused::explain));
    for found in said::explain(facts) {
        // aido's own account of the same thing is the better one.
        if !all.iter().any(|known| is_same(known, &found)) {
            all.push(found);
        }
    }
    let mut all = together(all);
    all.sort_by_key(|found| found.minor);
    all.truncate(MOST);
    draw_up(facts, &mut all);
    all
}

fn recorded(facts: &Facts<'_>, refused: &Refusal) -> Option<Explanation> {
    let path = refused.target.as_deref().filter(|target| target.starts_with('/'));
    match (refused.cause, path) {
        (Cause::Profile, _) => Some(call::explain(facts, refused)),
        (Cause::ReadOnly, Some(path)) => Some(file::refused_write(facts, refused, path)),
        (Cause::Denied, Some(path)) => Some(file::refused_by_mode(facts, refused, path)),
        (Cause::Absent, Some(path)) => file::refused_read(facts, refused, path),
        _ => Some(network::explain(facts, refused)),
    }
}

fn is_same(known: &Explanation, found: &Explanation) -> bool {
    let target = known.target.is_some() && known.target == found.target;
    let edit = known.edit.is_some() && known.edit == found.edit;
    known.kind == found.kind && (target || edit || known.kind == Kind::Network)
}

/// What has the same cause and the same way out is one thing: a build that writes a hundred files was denied one folder.
fn together(all: Vec<Explanation>) -> Vec<Explanation> {
    let mut merged: Vec<(Explanation, usize)> = Vec::new();
    for found in all {
        let same = |(known, _): &&mut (Explanation, usize)| {
            let alike = known.edit.is_some() || (known.why == found.why && known.instead == found.instead);
            known.kind == found.kind
                && known.from == found.from
                && known.edit == found.edit
                && alike
                && known.minor == found.minor
        };
        match merged.iter_mut().find(same) {
            Some((_, more)) => *more += 1,
            None => merged.push((found, 0)),
        }
    }
    let counted = |(mut found, more): (Explanation, usize)| {
        if more > 0 {
            found.what.push_str(&format!(", and {more} more of this kind"));
        }
        found
    };
    merged.into_iter().map(counted).collect()
}

/// The line of each key, with all that this run would need there.
fn draw_up(facts: &Facts<'_>, all: &mut [Explanation]) {
    let edits: Vec<Edit> = all.iter().filter(|found| !found.minor).filter_map(|found| found.edit.clone()).collect();
    for found in all.iter_mut() {
        let Some(edit) = &found.edit else { continue };
        let mut of_key: Vec<Edit> = edits.iter().filter(|other| other.key() == edit.key()).cloned().collect();
        if !of_key.contains(edit) {
            of_key.push(edit.clone());
        }
        let options: Vec<String> = of_key.iter().map(Edit::option).filter(|option| !option.is_empty()).collect();
        found.change = changed_line(facts.config, &of_key).ok().map(|yaml| Change { yaml, options: options.join(" ") });
    }
}

/// How often, where it was more than once.
fn times(count: u64) -> String {
    if count > 1 { format!(", {count} times") } else { String::new() }
}

/// Who did it, by the name that the process goes by.
fn by(refused: &Refusal) -> &str {
    if refused.process.is_empty() { "a process" } else { &refused.process }
}

/// A line of the task's, as far as it is repeated.
fn quoted(line: &str) -> String {
    let line = line.trim();
    match line.char_indices().nth(QUOTED) {
        Some((at, _)) => format!("{}…", &line[..at]),
        None => line.to_string(),
    }
}

#[cfg(test)]
pub(crate) mod tests;
