//! `aido apply`: brings into the project what tasks changed in a sandbox, or takes that back; `aido discard` drops it.

use crate::cli::{Apply, Discard};
use crate::commands::past;
use crate::host::changed;
use crate::words::{self, inert, say};
use aido_changes::{Act, Applied, Branch, Branched, Changes, Doing, Folder, Options, Refusal, Selection, Why, undo};
use aido_evidence::{Project, Sandbox, plain_json, sha256_hex};
use anyhow::{Context, Result, bail};
use serde_json::json;
use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Version of the JSON form. 1: first.
const VERSION: u32 = 1;
/// The exit status where nothing was written, and why is said.
const REFUSED: u8 = 1;
/// Below the project's evidence: the records of applies.
const RECORDS: &str = "applied";
/// Of a record: it was taken back.
const UNDONE: &str = "undone";

pub(crate) fn apply(dir: &Path, typed: &Apply) -> Result<u8> {
    let project = past::project(dir)?;
    if typed.undo {
        return take_back(&project, typed);
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
    let record = new_record(project, sandbox)?;
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
            "digest": format!("sha256:{}", sha256_hex(&list)), "record": record.file_name().map(|n| n.to_string_lossy())});
        project.ledger().append_durably("changes_applied", &line)?;
    }
    let committed = if applied.written && applied.refused.is_empty() && typed.commit {
        Some(commit(project, sandbox, &applied, typed)?)
    } else {
        None
    };
    tell(&applied, committed.as_deref(), sandbox, typed)?;
    Ok(if applied.refused.is_empty() { 0 } else { REFUSED })
}

fn tell(applied: &Applied, commit: Option<&str>, sandbox: &Sandbox, typed: &Apply) -> Result<()> {
    if typed.json {
        let refused: Vec<_> = applied
            .refused
            .iter()
            .map(|refused| json!({"path": refused.path, "why": refused.why.to_string()}))
            .collect();
        let told = json!({"version": VERSION, "sandbox": sandbox.id(), "written": applied.written, "acts": applied.acts,
            "already": applied.already, "refused": refused, "commit": commit});
        words::print(&plain_json(serde_json::to_string_pretty(&told)? + "\n"));
        return Ok(());
    }
    if !typed.quiet {
        applied.acts.iter().for_each(|act| words::print(&format!("{}\n", line(act))));
    }
    refusals(&applied.refused);
    match (applied.refused.len(), applied.acts.len(), applied.written) {
        (0, 0, _) if !typed.quiet => say("the project has all of it already"),
        (0, done, true) if !typed.quiet => {
            let committed = commit.map(|id| format!(", commit {}", &id[..12.min(id.len())])).unwrap_or_default();
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
    let each = |what: &str, paths: &[aido_changes::RelPath]| {
        paths.iter().for_each(|path| say(&format!("{what}: {}", inert(&path.to_string()))));
    };
    each("not in the commit, since git ignores it", &ignored);
    left_out
        .iter()
        .for_each(|left| say(&format!("not in the commit: {}: {}", inert(&left.path.to_string()), left.why)));
    each("in the commit with what you had not committed", &uncommitted);
    if !typed.quiet {
        say(&format!("branch {name} has it; `git diff HEAD {name}` shows it, `git merge {name}` brings it in"));
    }
    Ok(0)
}

/// Commits what was brought in and nothing else, whatever else is in the index.
fn commit(project: &Project, sandbox: &Sandbox, applied: &Applied, typed: &Apply) -> Result<String> {
    let folder = changed::project_folder(project);
    let mut paths = Vec::new();
    let tracked = tracked(folder)?;
    // What git never knew it cannot forget.
    let known = |act: &&Act| act.doing != Doing::Remove || tracked.contains(act.path.as_bytes());
    let files = applied.acts.iter().filter(|act| !matches!(act.doing, Doing::MakeFolder | Doing::RemoveFolder));
    for act in files.filter(known) {
        paths.extend_from_slice(act.path.as_bytes());
        paths.push(0);
    }
    if paths.is_empty() {
        bail!("the changes are in the project, and git keeps none of them: they are folders alone");
    }
    let git = |args: &[&str]| -> Result<Vec<u8>> {
        let mut child = Command::new("git")
            .arg("-C")
            .arg(folder)
            .args(["--literal-pathspecs"])
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .context("git")?;
        // Only to one that reads it: a pipe without a reader would end aido.
        if let Some(mut stdin) = child.stdin.take().filter(|_| args.contains(&"--pathspec-file-nul")) {
            std::io::Write::write_all(&mut stdin, &paths).context("git")?;
        }
        let done = child.wait_with_output().context("git")?;
        if !done.status.success() {
            let said = String::from_utf8_lossy(&done.stderr);
            bail!("the changes are in the project, and git did not commit them: {}", inert(said.trim()));
        }
        Ok(done.stdout)
    };
    let from = ["--pathspec-from-file=-", "--pathspec-file-nul"];
    git(&["add", "--all", "--force", from[0], from[1]])?;
    git(&["commit", "--quiet", "--only", "-m", &message(sandbox, typed)?, from[0], from[1]])?;
    Ok(String::from_utf8_lossy(&git(&["rev-parse", "HEAD"])?).trim().to_string())
}

/// The files in git's index.
fn tracked(folder: &Path) -> Result<HashSet<Vec<u8>>> {
    let listed = Command::new("git").arg("-C").arg(folder).args(["ls-files", "-z"]).output().context("git")?;
    if !listed.status.success() {
        let said = String::from_utf8_lossy(&listed.stderr);
        bail!("the changes are in the project, and git did not commit them: {}", inert(said.trim()));
    }
    Ok(listed.stdout.split(|byte| *byte == 0).map(<[u8]>::to_vec).collect())
}

fn message(sandbox: &Sandbox, typed: &Apply) -> Result<String> {
    if let Some(message) = &typed.message {
        return Ok(message.clone());
    }
    let task = sandbox.runs()?.into_iter().next().and_then(|run| past::planned_task(&run)).unwrap_or_default();
    let task: String = inert(&words::command_line(&task)).chars().take(60).collect();
    Ok(format!("{task}\n\nBy a task in aido's sandbox {}.\n", sandbox.id()))
}

/// Takes the last apply back that was not taken back yet.
fn take_back(project: &Project, typed: &Apply) -> Result<u8> {
    let Some(record) = last_record(project)? else { bail!("there is no apply to take back") };
    let undone = undo(&record, &Folder::open(changed::project_folder(project))?)?;
    let name = record.file_name().unwrap_or_default().to_string_lossy().into_owned();
    // The sandbox may be gone: then nobody applies it again.
    if let Some(sandbox) = name.split_once('-').and_then(|(_, id)| project.sandbox(id).ok()) {
        changed::settle(&sandbox, &undone.left)?;
    }
    let line = json!({"record": name, "files": undone.acts.len(), "refused": undone.refused.len()});
    project.ledger().append_durably("apply_undone", &line)?;
    if typed.json {
        let refused: Vec<_> = undone
            .refused
            .iter()
            .map(|refused| json!({"path": refused.path, "why": refused.why.to_string()}))
            .collect();
        let told = json!({"version": VERSION, "record": name, "acts": undone.acts, "refused": refused});
        words::print(&plain_json(serde_json::to_string_pretty(&told)? + "\n"));
    } else {
        if !typed.quiet {
            undone.acts.iter().for_each(|act| words::print(&format!("{}\n", self::line(act))));
        }
        refusals(&undone.refused);
        match undone.refused.len() {
            0 if typed.quiet => {}
            0 => say(&format!("{} taken back", words::count(undone.acts.len(), "change"))),
            left => say(&format!("{} changed since, and left alone", words::count(left, "file"))),
        }
    }
    Ok(if undone.refused.is_empty() { 0 } else { REFUSED })
}

/// A folder for the record of an apply: sorted by time.
fn new_record(project: &Project, sandbox: &Sandbox) -> Result<PathBuf> {
    let all = project.folder().join(RECORDS);
    std::fs::create_dir_all(&all).with_context(|| all.display().to_string())?;
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default().as_nanos();
    Ok(all.join(format!("{now:020}-{}", sandbox.id())))
}

fn last_record(project: &Project) -> Result<Option<PathBuf>> {
    let all = project.folder().join(RECORDS);
    let mut found: Vec<PathBuf> = match std::fs::read_dir(&all) {
        Ok(entries) => entries.flatten().map(|entry| entry.path()).collect(),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Vec::new(),
        Err(e) => return Err(e).with_context(|| all.display().to_string()),
    };
    found.sort();
    Ok(found.into_iter().rev().find(|record| !record.join(UNDONE).exists()))
}

pub(crate) fn discard(dir: &Path, typed: &Discard) -> Result<u8> {
    let project = past::project(dir)?;
    let sandbox = changed::sandbox(&project, typed.what.as_deref())?;
    let changes = changed::some(&sandbox)?;
    sandbox.discard_changes()?;
    changed::forget_base(&sandbox)?;
    say(&format!("dropped what was changed in sandbox {}: {}", sandbox.id(), words::count(changes.list.len(), "file")));
    Ok(0)
}
