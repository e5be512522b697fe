//! `aido apply`: brings into the project what tasks changed in a sandbox, or takes that back; `aido discard` drops it.

mod commit;
mod records;

use crate::cli::{Apply, Discard};
use crate::commands::past;
use crate::host::changed;
use crate::words::{self, inert, say};
use aido_changes::{
    Act, Applied, Branch, Branched, Changes, Doing, Folder, Options, Refusal, RelPath, Selection, Why, undo,
};
use aido_evidence::{Project, Sandbox, plain_json, sha256_hex};
use anyhow::{Result, bail};
use commit::{Committed, commit};
use serde_json::json;
use std::path::Path;

/// Version of the JSON form. 1: first.
const VERSION: u32 = 1;
/// The exit status where nothing was written, and why is said.
const REFUSED: u8 = 1;
const IGNORED: &str = "not in the commit, since git ignores it";

pub(crate) fn apply(dir: &Path, typed: &Apply) -> Result<u8> {
    let project = past::project(dir)?;
    match typed.undo.as_deref() {
        Some("list") => return records::list(&project, typed.json),
        Some(asked) => return take_back(&project, asked, typed),
        None => {}
    }
    let sandbox = changed::sandbox(&project, typed.what.as_deref())?;
    if let Some(run) = sandbox.running()? {
        bail!("run {} still changes things in sandbox {}: wait for it (`aido logs -f {0}`)", run.id(), sandbox.id());
    }
    let changes = changed::some(&sandbox)?;
    let selection = if typed.only.is_empty() { Selection::all() } else { Selection::of(&typed.only)? };
    match &typed.branch {
        Some(name) => branch(&project, &sandbox, &changes, selection, name, typed),
        None => bring_in(&project, &sandbox, &changes, selection, typed),
    }
}

fn bring_in(
    project: &Project,
    sandbox: &Sandbox,
    changes: &Changes,
    selection: Selection,
    typed: &Apply,
) -> Result<u8> {
    let base = changed::base(sandbox)?;
    let record = records::new(project, sandbox)?;
    let options = Options {
        selection,
        base: Some(&base),
        started: Some(changed::began(sandbox)?),
        active: &changed::active,
        allow_active: typed.allow_active,
        allow_links_out: typed.allow_links_out,
        dry_run: typed.dry_run,
        record: &record,
    };
    let applied = changes.apply(&options)?;
    if !typed.dry_run {
        changed::settle(sandbox, &applied.left)?;
    }
    if applied.written {
        let list = serde_json::to_vec(&applied.acts)?;
        let run = sandbox.runs()?.into_iter().next().map(|run| run.id().to_string());
        let line = json!({"sandbox": sandbox.id(), "of_run": run, "files": applied.acts.len(), "refused": applied.refused.len(),
            "digest": format!("sha256:{}", sha256_hex(&list)), "record": record.file_name().map(|n| n.to_string_lossy()), "failed": applied.failed});
        project.ledger().append_durably("changes_applied", &line)?;
    }
    let whole = applied.refused.is_empty() && applied.failed.is_none();
    let committed =
        if applied.written && whole && typed.commit { Some(commit(project, sandbox, &applied, typed)?) } else { None };
    tell(&applied, committed.as_ref(), sandbox, typed)?;
    Ok(if whole { 0 } else { REFUSED })
}

fn tell(applied: &Applied, commit: Option<&Committed>, sandbox: &Sandbox, typed: &Apply) -> Result<()> {
    if typed.json {
        let refused = refused_json(&applied.refused);
        let told = json!({"version": VERSION, "sandbox": sandbox.id(), "written": applied.written, "acts": applied.acts,
            "already": applied.already, "refused": refused, "failed": applied.failed,
            "commit": commit.map(|commit| &commit.id), "ignored": commit.map(|commit| &commit.ignored)});
        words::print(&plain_json(serde_json::to_string_pretty(&told)? + "\n"));
        return Ok(());
    }
    if !typed.quiet {
        applied.acts.iter().for_each(|act| words::print(&format!("{}\n", line(act))));
    }
    refusals(&applied.refused);
    each(IGNORED, commit.map_or(&[], |commit| &commit.ignored));
    if let Some(what) = &applied.failed {
        say(&format!("ended half-way: {}", inert(what)));
        let done = words::count(applied.acts.len(), "change");
        say(&format!("{done} done up to there; `aido apply --undo` takes back what was done"));
        return Ok(());
    }
    match (applied.refused.len(), applied.acts.len(), applied.written) {
        (0, 0, _) if !typed.quiet => say("the project has all of it already"),
        (0, done, true) if !typed.quiet => {
            let committed =
                commit.map(|Committed { id, .. }| format!(", commit {}", &id[..12.min(id.len())])).unwrap_or_default();
            say(&format!("{} done{committed}; `aido apply --undo` takes it back", words::count(done, "change")));
        }
        (0, ..) => {}
        (refused, done, true) => say(&format!(
            "the project changed under way: {} done, {} refused; `aido apply --undo` takes back what was done",
            words::count(done, "change"),
            words::count(refused, "change")
        )),
        (refused, ..) => say(&format!(
            "nothing was written: {} refused; `--only` chooses the others{}",
            words::count(refused, "change"),
            if applied.refused.iter().any(is_active) { ", `--allow-active` takes what your tools act on" } else { "" }
        )),
    }
    Ok(())
}

fn is_active(refused: &Refusal) -> bool {
    matches!(refused.why, Why::Active(_))
}

fn line(act: &Act) -> String {
    let doing = match act.doing {
        Doing::MakeFolder => "make folder",
        Doing::Write => "write",
        Doing::Link => "link",
        Doing::SetMode => "set mode",
        Doing::Remove => "remove",
        Doing::RemoveFolder => "remove folder",
    };
    format!("{doing:<13} {}", inert(&act.path.to_string()))
}

fn each(what: &str, paths: &[RelPath]) {
    paths.iter().for_each(|path| say(&format!("{what}: {}", inert(&path.to_string()))));
}

fn refused_json(refused: &[Refusal]) -> Vec<serde_json::Value> {
    refused.iter().map(|refused| json!({"path": refused.path, "why": refused.why.to_string()})).collect()
}

fn refusals(refused: &[Refusal]) {
    refused.iter().for_each(|refused| say(&format!("refused: {}", inert(&refused.to_string()))));
}

fn branch(
    project: &Project,
    sandbox: &Sandbox,
    changes: &Changes,
    selection: Selection,
    name: &str,
    typed: &Apply,
) -> Result<u8> {
    // A commit has whole files: what the user changed since would be undone by it.
    let base = changed::base(sandbox)?;
    let options = Options {
        selection: selection.clone(),
        base: Some(&base),
        started: Some(changed::began(sandbox)?),
        active: &changed::active,
        allow_active: typed.allow_active,
        allow_links_out: true,
        dry_run: true,
        record: Path::new(""),
    };
    let refused: Vec<Refusal> = changes.apply(&options)?.refused;
    let refused: Vec<Refusal> =
        refused.into_iter().filter(|refused| matches!(refused.why, Why::Changed(_) | Why::Active(_))).collect();
    if !refused.is_empty() {
        refusals(&refused);
        say(&format!(
            "no branch was made: {} refused; `--only` chooses the others",
            words::count(refused.len(), "change")
        ));
        return Ok(REFUSED);
    }
    let message = message(sandbox, typed)?;
    let wanted = Branch { project: changed::project_folder(project), name, message: &message, selection };
    let Branched { commit, ignored, left_out, uncommitted } = changes.branch(&wanted)?;
    let line = json!({"sandbox": sandbox.id(), "branch": name, "commit": commit});
    project.ledger().append_durably("changes_branched", &line)?;
    if typed.json {
        let told = json!({"version": VERSION, "sandbox": sandbox.id(), "branch": name, "commit": commit,
            "ignored": ignored, "left_out": left_out, "uncommitted": uncommitted});
        words::print(&plain_json(serde_json::to_string_pretty(&told)? + "\n"));
        return Ok(0);
    }
    println!("{commit}");
    each(IGNORED, &ignored);
    left_out
        .iter()
        .for_each(|left| say(&format!("not in the commit: {}: {}", inert(&left.path.to_string()), left.why)));
    each("in the commit with what you had not committed", &uncommitted);
    if !typed.quiet {
        say(&format!("branch {name} has it; `git diff HEAD {name}` shows it, `git merge {name}` brings it in"));
    }
    Ok(0)
}

fn message(sandbox: &Sandbox, typed: &Apply) -> Result<String> {
    if let Some(message) = &typed.message {
        return Ok(message.clone());
    }
    let task = sandbox.runs()?.into_iter().next().and_then(|run| past::planned_task(&run)).unwrap_or_default();
    let task: String = inert(&words::command_line(&task)).chars().take(60).collect();
    Ok(format!("{task}\n\nBy a task in aido's sandbox {}.\n", sandbox.id()))
}

/// Takes an apply back: the one that was named, or the last one that no undo has looked at yet.
fn take_back(project: &Project, asked: &str, typed: &Apply) -> Result<u8> {
    let record = records::find(project, asked)?;
    let undone = undo(&record, &Folder::open(changed::project_folder(project))?)?;
    let name = record.file_name().unwrap_or_default().to_string_lossy().into_owned();
    // The sandbox may be gone: then nobody applies it again.
    if let Some(sandbox) = name.split_once('-').and_then(|(_, id)| project.sandbox(id).ok()) {
        changed::settle(&sandbox, &undone.left)?;
    }
    let line =
        json!({"record": name, "files": undone.acts.len(), "refused": undone.refused.len(), "failed": undone.failed});
    project.ledger().append_durably("apply_undone", &line)?;
    if typed.json {
        let refused = refused_json(&undone.refused);
        let told = json!({"version": VERSION, "record": name, "acts": undone.acts, "refused": refused, "failed": undone.failed});
        words::print(&plain_json(serde_json::to_string_pretty(&told)? + "\n"));
    } else {
        if !typed.quiet {
            undone.acts.iter().for_each(|act| words::print(&format!("{}\n", self::line(act))));
        }
        refusals(&undone.refused);
        if let Some(what) = &undone.failed {
            say(&format!("ended half-way: {}; `aido apply --undo {name}` goes on with it", inert(what)));
        }
        match undone.refused.len() {
            0 if typed.quiet || undone.failed.is_some() => {}
            0 => say(&format!("{} taken back", words::count(undone.acts.len(), "change"))),
            left => say(&format!(
                "{} changed since, and left alone: `aido apply --undo {name}` tries again, `aido apply --undo` goes on with the apply before",
                words::count(left, "file")
            )),
        }
    }
    Ok(if undone.refused.is_empty() && undone.failed.is_none() { 0 } else { REFUSED })
}

pub(crate) fn discard(dir: &Path, typed: &Discard) -> Result<u8> {
    let project = past::project(dir)?;
    let sandbox = changed::sandbox(&project, typed.what.as_deref())?;
    let changes = changed::some(&sandbox)?;
    sandbox.discard_changes()?;
    changed::forget_base(&sandbox)?;
    let count = changes.list.len();
    if typed.json {
        words::print(&format!("{}\n", json!({"version": VERSION, "sandbox": sandbox.id(), "dropped": count})));
        return Ok(0);
    }
    say(&format!("dropped what was changed in sandbox {}: {}", sandbox.id(), words::count(count, "file")));
    Ok(0)
}
