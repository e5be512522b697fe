//! Files that could not be written, and files that could not be read.

use super::place::{Place, is_hosts_own, locate};
use super::{Explanation, Facts, Kind, Source, by, times};
use crate::inputs::{could_be_output, looks_secret};
use crate::settings::Edit;
use aido_runtime::{Isolation, MountKind, Refusal, Root};

const ELSEWHERE: &str = "write to $AIDO_OUTPUTS (collected), or to /tmp or $HOME (not kept)";

/// Folders that hold what was made, and nothing that a task would read first.
const MADE: [&str; 18] = [
    "results",
    "result",
    "out",
    "output",
    "outputs",
    "build",
    "dist",
    "target",
    "logs",
    "log",
    "tmp",
    "temp",
    "cache",
    "coverage",
    "reports",
    "artifacts",
    "public",
    "site",
];

/// Folders that programs like to fill beside their sources, and do without.
const CACHES: [&str; 6] =
    ["__pycache__", ".pytest_cache", ".mypy_cache", ".ruff_cache", ".ipynb_checkpoints", ".cache"];

pub(super) fn refused_write(facts: &Facts<'_>, refused: &Refusal, path: &str) -> Explanation {
    let (verb, makes_folder) = verb(&refused.call);
    let what = format!("{} could not {verb} {path}: {}{}", by(refused), refused.answer, times(refused.count));
    let changes_what_is_there = ["remove", "rename", "change"].iter().any(|word| verb.starts_with(word));
    write(facts, Source::Record, path, what, makes_folder, changes_what_is_there)
}

/// What the call was to do, and whether that makes a folder.
fn verb(call: &str) -> (&'static str, bool) {
    match call {
        "mkdir" | "mkdirat" => ("make the folder", true),
        "unlink" | "unlinkat" | "rmdir" => ("remove", false),
        "rename" | "renameat" | "renameat2" => ("rename", false),
        "link" | "linkat" | "symlink" | "symlinkat" => ("make the link", false),
        "mknod" | "mknodat" => ("make", false),
        _ if ["chmod", "chown", "utime", "xattr", "futimes"].iter().any(|part| call.contains(part)) => {
            ("change the attributes of", false)
        }
        _ => ("write", false),
    }
}

/// A file of the project could not be written, or nothing could be made there.
pub(super) fn write(
    facts: &Facts<'_>,
    from: Source,
    path: &str,
    what: String,
    folder: bool,
    changes_what_is_there: bool,
) -> Explanation {
    let (path, place) = locate(facts, path);
    let say = |why: &str| Explanation::new(from, Kind::Write, what.clone(), why).target(&path).minor(is_cache(&path));
    match place {
        Place::Workspace | Place::Shown { .. } | Place::Uncovered { .. } if is_layered(facts) => say(
            "the task may change the project here, in a layer, but not this file: its mode or owner forbids it, as it would outside",
        )
        .instead("look at who may write it: `ls -l`"),
        Place::Shown { path } | Place::Uncovered { path } => {
            in_workspace(facts, say, &path, folder, changes_what_is_there)
        }
        Place::Workspace => {
            say("the workspace itself is read-only; only outputs in it can be written").instead(ELSEWHERE)
        }
        Place::Hidden { by } => {
            say(&format!("{by} is kept from the task, and nothing can be made in its place")).instead(ELSEWHERE)
        }
        Place::Output { .. } | Place::Scratch => {
            say("this place can be written, but not this file: its mode or owner, which the task chose, forbids it")
        }
        Place::ProjectOnHost { path } => say("that is the project's folder on the host; here it is /workspace")
            .instead(format!("use the relative path, {path}")),
        Place::Kernel => say("the kernel's own files are never writable").instead("no change allows it"),
        Place::Root => say(&root_is_read_only(facts)).instead(ELSEWHERE),
    }
}

/// Whether the project lies below a layer that takes what the task changes.
fn is_layered(facts: &Facts<'_>) -> bool {
    facts.plan.mounts.iter().any(|mount| matches!(mount.kind, MountKind::Layered { .. }))
}

fn root_is_read_only(facts: &Facts<'_>) -> String {
    match &facts.plan.root {
        Root::Host => "the host's own programs are shown read-only, always".into(),
        Root::Image { reference, .. } => format!("the root, image {reference}, is read-only, always"),
        Root::Folder { .. } => "the root folder is read-only, always".into(),
    }
}

fn in_workspace(
    facts: &Facts<'_>,
    say: impl Fn(&str) -> Explanation,
    path: &str,
    folder: bool,
    changes_what_is_there: bool,
) -> Explanation {
    let why = "the project is read-only, but for what `outputs` names";
    let there = facts.project.join(path).symlink_metadata().is_ok();
    if changes_what_is_there && there {
        return say("what a task finds of the project is never changed")
            .instead("let it work on a copy in /tmp or /outputs; an output of that name would start empty");
    }
    let Some(output) = output_for(facts, path, folder) else { return say(why).instead(ELSEWHERE) };
    let mine = if there || facts.project.join(&output).exists() { "; the project's own is not shown then" } else { "" };
    let exposes = format!("nothing of yours: {output} starts empty and is kept apart from the project{mine}");
    say(why).allowed_by(Edit::Output(output), exposes).instead(ELSEWHERE)
}

/// The smallest output that lets this be made: the outermost folder that the project does not have, a folder of made
/// things, or the file alone.
fn output_for(facts: &Facts<'_>, path: &str, folder: bool) -> Option<String> {
    let parts: Vec<&str> = path.split('/').collect();
    let fits = |written: &String| could_be_output(facts.project, &facts.plan.mounts, written).is_ok();
    for n in 1..=parts.len() {
        let prefix = parts[..n].join("/");
        let found = facts.project.join(&prefix).symlink_metadata().ok();
        let last = n == parts.len();
        let sensible = match &found {
            None => true,
            Some(found) => !last && found.is_dir() && MADE.contains(&parts[n - 1].to_ascii_lowercase().as_str()),
        };
        let written = if last && !folder { prefix } else { format!("{prefix}/") };
        if (sensible || (last && found.is_some_and(|found| found.is_file()))) && fits(&written) && !is_passing(&written)
        {
            return Some(written);
        }
    }
    None
}

/// A file that is made to be renamed: an output of its name would help nobody.
fn is_passing(written: &str) -> bool {
    let name = written.rsplit('/').next().unwrap_or_default().to_ascii_lowercase();
    name.ends_with('~')
        || name.ends_with(".swp")
        || name.split('.').any(|part| part.starts_with("tmp") || part == "temp")
}

fn is_cache(path: &str) -> bool {
    path.split('/').any(|name| CACHES.contains(&name))
}

/// Owner or mode forbid it.
pub(super) fn refused_by_mode(facts: &Facts<'_>, refused: &Refusal, path: &str) -> Explanation {
    let (_, place) = locate(facts, path);
    let what = format!(
        "{} could not {} {path}: {}{}",
        by(refused),
        verb(&refused.call).0,
        refused.answer,
        times(refused.count)
    );
    let kind = if ["open", "openat", "openat2"].contains(&refused.call.as_str()) { Kind::Read } else { Kind::Write };
    let (why, instead) = match place {
        Place::Output { .. } | Place::Scratch => {
            ("its mode or owner, which the task chose, forbids it", "let the task give it another mode")
        }
        Place::Shown { .. } | Place::Uncovered { .. } | Place::Workspace => {
            ("the file's mode or owner in the project forbids it to the task's user", "give the file another mode")
        }
        Place::Kernel => ("the kernel's own files are closed to a task", "no change allows it"),
        _ => ("its mode or owner forbids it to the task's user", ELSEWHERE),
    };
    Explanation::new(Source::Record, kind, what, why).target(path).instead(instead).minor(is_cache(path))
}

/// Something that is not in the sandbox; `None`: it is nowhere else either, or nothing can be said.
pub(super) fn refused_read(facts: &Facts<'_>, refused: &Refusal, path: &str) -> Option<Explanation> {
    let what = format!("{} could not read {path}: {}{}", by(refused), refused.answer, times(refused.count));
    read(facts, Source::Record, path, what)
}

/// The same, whoever says so.
pub(super) fn read(facts: &Facts<'_>, from: Source, path: &str, what: String) -> Option<Explanation> {
    let (full, place) = locate(facts, path);
    let say = |why: String| Explanation::new(from, Kind::Read, what.clone(), why).target(&full);
    match place {
        Place::Hidden { by } => Some(hidden(facts, say, &by)),
        Place::Uncovered { path } => {
            facts.project.join(&path).symlink_metadata().ok()?;
            let why = format!("the project has {path}, and `inputs` does not name it");
            Some(given(facts, say(why), &path))
        }
        Place::Output { path } if facts.project.join(&path).symlink_metadata().is_ok() => Some(
            say(format!("{path} is an output, and outputs start empty: the project's own is not shown"))
                .instead("read it under another path, or write to another"),
        ),
        Place::Shown { path } => link_that_leads_out(facts, &path).map(|target| {
            say(format!("{path} is a link of the project to {target}, outside of it"))
                .instead("no change shows what lies outside of the project: copy it in, and name the copy")
        }),
        Place::ProjectOnHost { path } => Some(
            say("that is the project's folder on the host; here it is /workspace".into())
                .instead(format!("use the relative path, {path}")),
        ),
        Place::Root if is_hosts_own(facts.plan, &full) => Some(
            say("a task sees no file of the host but its root and the project".into())
                .instead("no change shows it: copy it into the project, or take a runtime that has it"),
        ),
        _ => None,
    }
}

fn hidden(facts: &Facts<'_>, say: impl Fn(String) -> Explanation, by: &str) -> Explanation {
    if by.split('/').next() == Some(".aido") {
        return say("the evidence of earlier runs is never shown to a task".into())
            .instead("no change allows it: copy what it needs into the project");
    }
    let real = facts.project.join(by);
    let ordinary = real.metadata().is_ok_and(|found| found.is_file() || found.is_dir());
    if !ordinary || (real.is_dir() && std::fs::read_dir(&real).is_err()) {
        return say(format!("{by} leads to something outside, or is closed to you; neither is ever shown"))
            .instead("no change allows it");
    }
    let found = say(format!("{by} looks like a secret or a tool's own store, and is kept from tasks"));
    let small = real.symlink_metadata().is_ok_and(|it| it.is_file() && it.len() <= aido_secrets::LONGEST as u64);
    if !small || !looks_secret(by) {
        return given(facts, found, by);
    }
    let exposes = format!("the content of {by} to the task; what it prints and leaves is kept without it, as it reads");
    found.allowed_by(Edit::Secret(by.to_string()), exposes)
}

/// An input more: a file with its content, or a folder with all that lies in it.
fn given(facts: &Facts<'_>, found: Explanation, path: &str) -> Explanation {
    let folder = if facts.project.join(path).is_dir() { "all of the folder " } else { "the content of " };
    let exposes = format!("{folder}{path}: the task can print it, and put it into what it leaves");
    found.allowed_by(Edit::Input(path.to_string()), exposes)
}

/// Where a link of the project leads, if that is outside of it.
fn link_that_leads_out(facts: &Facts<'_>, path: &str) -> Option<String> {
    let mut at = facts.project.to_path_buf();
    for part in path.split('/') {
        at.push(part);
        if at.symlink_metadata().ok()?.is_symlink() {
            let target = std::fs::read_link(&at).ok()?;
            let real = at.canonicalize().unwrap_or_else(|_| target.clone());
            let project = facts.project.canonicalize().ok()?;
            if !real.starts_with(&project) && (real.is_absolute() || target.is_absolute()) {
                return Some(target.display().to_string());
            }
        }
    }
    None
}

/// Whether "permission denied" may stand for what elsewhere is "no such file": Landlock closes what mounts leave out.
pub(super) fn closes_by_denying(facts: &Facts<'_>) -> bool {
    facts.plan.isolation == Isolation::Landlock
}
