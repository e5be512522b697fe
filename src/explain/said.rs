//! What the task's own messages say was denied, as far as the plan bears it out.

use super::heard::{Error, Heard, listen};
use super::place::{Place, locate};
use super::{Explanation, Facts, Kind, Source, file, limit, network, program, quoted};
use aido_runtime::End;

pub(super) fn explain(facts: &Facts<'_>) -> Vec<Explanation> {
    let heard = facts.tails.iter().flat_map(|tail| listen(tail));
    heard.filter_map(|heard| one(facts, &heard)).collect()
}

fn one(facts: &Facts<'_>, heard: &Heard) -> Option<Explanation> {
    let what = quoted(&heard.line);
    let from = Source::Output;
    match heard.error {
        Error::ReadOnly => written(facts, heard, what),
        // Where the folder cannot be made either, that is the cause.
        Error::AbsentFolder => {
            let name = heard.names.first()?;
            let (_, place) = locate(facts, name);
            matches!(place, Place::Shown { .. } | Place::Uncovered { .. })
                .then(|| file::write(facts, from, name, what, false, false))
        }
        Error::Absent => read(facts, heard, &what),
        Error::Denied => denied(facts, heard, what),
        Error::NotRepository => file::read(facts, from, ".git", what),
        Error::NoSpace => Some(limit::disk(facts, from, what)),
        Error::NoMemory => Some(limit::memory(facts, from, what, 0)),
        Error::NoProcesses => Some(limit::processes(facts, from, what)),
        Error::TooManyFiles => {
            if facts.in_container() {
                let why = "a task may open as many files as the engine lets a container";
                let found = Explanation::new(from, Kind::Limit, what, why).target("open files");
                return Some(found.instead("raise `default-ulimits` of the engine (daemon.json)"));
            }
            let why = "a task may open as many files as whoever started aido";
            let found = Explanation::new(from, Kind::Limit, what, why).target("open files");
            Some(found.instead("raise the hard limit of your shell (`ulimit -Hn`) before `aido run`"))
        }
        Error::Unreachable => Some(network::said(facts, heard.names.first().map(String::as_str), what)),
        Error::NoProgram => {
            // How the run itself ended says it better.
            if matches!(facts.summary.outcome.end, End::NotFound { .. }) {
                return None;
            }
            let name = heard.names.first()?;
            Some(program::missing(facts, from, name, what))
        }
    }
}

/// The first name that a place of the plan can be said of; a message names more than files.
fn written(facts: &Facts<'_>, heard: &Heard, what: String) -> Option<Explanation> {
    let made = ["directory", "mkdir"].iter().any(|word| heard.line.contains(word)) && !heard.line.contains("No such");
    let changed = ["remove", "unlink", "rmdir", "rename", "chmod", "changing", "chown"];
    let changed = changed.iter().any(|word| heard.line.contains(word));
    let readable =
        |name: &&String| !matches!(locate(facts, name).1, Place::Workspace | Place::Output { .. } | Place::Scratch);
    let name = heard.names.iter().find(readable)?;
    Some(file::write(facts, Source::Output, name, what, made, changed))
}

fn read(facts: &Facts<'_>, heard: &Heard, what: &str) -> Option<Explanation> {
    let env = heard.line.starts_with("env: ") || heard.line.starts_with("/usr/bin/env: ");
    if env && let Some(name) = heard.names.iter().find(|name| !name.contains(['/', ' '])) {
        return Some(program::missing(facts, Source::Output, name, what.to_string()));
    }
    heard.names.iter().find_map(|name| file::read(facts, Source::Output, name, what.to_string()))
}

/// "Permission denied" has many causes; only where the plan shows one is it explained.
fn denied(facts: &Facts<'_>, heard: &Heard, what: String) -> Option<Explanation> {
    for name in heard.names.iter().filter(|name| name.contains(['/', '.']) || !name.contains(' ')) {
        let (path, place) = locate(facts, name);
        let from = Source::Output;
        match place {
            Place::Hidden { .. } | Place::ProjectOnHost { .. } => return file::read(facts, from, name, what),
            Place::Kernel => {
                let why = "the kernel's own files, and most devices, are closed to a task";
                let found = Explanation::new(from, Kind::Read, what, why).target(&path);
                return Some(found.instead("no change allows it"));
            }
            Place::Root if name.starts_with('/') => return Some(file::write(facts, from, name, what, false, false)),
            Place::Uncovered { .. } | Place::Shown { .. } if file::closes_by_denying(facts) => {
                let found = file::read(facts, from, name, what.clone());
                return Some(found.unwrap_or_else(|| file::write(facts, from, name, what, false, false)));
            }
            _ => {}
        }
    }
    None
}
