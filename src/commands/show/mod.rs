//! `aido show`: one run on one screen.

mod denied;
mod held;
mod page;

use super::{explained, past};
use crate::cli::Show;
use crate::collected;
use crate::explain::Explanation;
use crate::reached::Host;
use crate::summary::{Bytes, Summary};
use crate::words::{self, count, inert, size, took};
use aido_evidence::{ClosedBy, Envelope, MAX_SEAL, Predicate, Run, Statement, Status, plain_json};
use aido_runtime::{Artifact, Change, End, Executed, Isolation, Usage};
use anyhow::{Context, Result};
use owo_colors::OwoColorize;
use page::Page;
use serde_json::{Value, json};
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::path::Path;

/// Programs that are named.
const PROGRAMS: usize = 6;
/// Hosts that are named.
const HOSTS: usize = 8;

pub(crate) fn show(dir: &Path, asked: &Show) -> Result<u8> {
    let run = past::run(dir, asked.run.as_deref())?;
    let status = run.status()?;
    let text = if asked.json { as_json(&run, status)? } else { screen(&run, status)? };
    // Everything foreign in the text is inert by now; what is left of escapes are our own colours.
    match anstream::stdout().lock().write_all(text.as_bytes()) {
        Err(e) if e.kind() != std::io::ErrorKind::BrokenPipe => Err(e.into()),
        _ => Ok(0),
    }
}

pub(super) fn screen(run: &Run, status: Status) -> Result<String> {
    let mut page = Page::default();
    match past::told(run)? {
        Some(told) => sealed(&mut page, run, &told, &explained::of(run, &told)),
        None => unsealed(&mut page, run, status),
    }
    Ok(page.text)
}

/// The summary as it is stored, with explanations; for a run without one what is known.
fn as_json(run: &Run, status: Status) -> Result<String> {
    let stored: Option<Value> =
        run.summary().with_context(|| format!("the summary of run {} cannot be read", run.id()))?;
    let value = match stored {
        // One that this version does not know is passed on as it is.
        Some(stored) => match past::told(run) {
            Ok(Some(told)) => explained::beside(stored, &explained::of(run, &told)),
            _ => stored,
        },
        None => json!({
            "run": run.id(),
            "sandbox": run.sandbox().id(),
            "status": past::status_word(status),
            "task": past::planned_task(run),
            "started": run.begun().map(|b| b.time),
        }),
    };
    Ok(plain_json(serde_json::to_string_pretty(&value)? + "\n"))
}

/// The story in its order: what ran, how it went, what it did, what was denied, what it left.
fn sealed(page: &mut Page, run: &Run, told: &Summary, explanations: &[Explanation]) {
    page.title(run, &format!("{}{}", sentence(&told.outcome.end), alone(told)));
    if let Some(mutated) = &told.mutated {
        let words = format!("was open to the task itself (--dangerous-allow-mutations): {}", mutated.words());
        page.row(&"project".red().to_string(), words);
    }
    page.row("task", inert(&words::command_line(&told.task)));
    page.row("sandbox", format!("{} ({})", run.sandbox().id(), inert(&told.name)));
    let image = told.image_digest.as_deref().map(|digest| format!(" = {}", inert(digest))).unwrap_or_default();
    page.row("runtime", format!("{}{image}, by {}", inert(&told.runtime), inert(&told.backend)));
    page.row("started", moment(&told.started));
    page.sentence("used", "", &usage(&told.outcome.usage));
    page.row("status", format!("aido ended with {}", told.exit_code));
    page.sentence("executed", "", &executed(&told.outcome.executed));
    reached(page, told);
    denied::put(page, explanations);
    outputs(page, run, told);
    held::put(page, told);
    page.list("warnings", &told.warnings.iter().map(|w| inert(w)).collect::<Vec<_>>());
    evidence(page, run, Some(told));
}

/// Hosts, and how much went there and came back.
fn reached(page: &mut Page, told: &Summary) {
    let Some(reached) = &told.network else { return };
    let line = |host: &Host| {
        let requests =
            if host.requests > 0 { format!(", {}", counted(host.requests, "request")) } else { String::new() };
        let connections = counted(host.connections, "connection");
        let bytes = format!("{} sent, {} received", size(host.sent), size(host.received));
        format!("{}:{} ({connections}{requests}, {bytes})", inert(&host.host), host.port)
    };
    let mut lines: Vec<String> = reached.hosts.iter().take(HOSTS).map(line).collect();
    if lines.is_empty() {
        lines.push("no host".to_string());
    }
    if reached.hosts.len() > HOSTS {
        lines.push(format!("{} more, which `aido show --json` has", reached.hosts.len() - HOSTS));
    }
    page.list("reached", &lines);
}

fn counted(number: u64, one: &str) -> String {
    count(usize::try_from(number).unwrap_or(usize::MAX), one)
}

fn unsealed(page: &mut Page, run: &Run, status: Status) {
    page.title(
        run,
        match status {
            Status::Running => "is still running; `aido logs --follow` shows what it writes",
            _ => "was interrupted: the process that recorded it died, and how the task ended is not known",
        },
    );
    if let Some(task) = past::planned_task(run) {
        page.row("task", inert(&words::command_line(&task)));
    }
    let state = run.sandbox().state().ok();
    let name = state.as_ref().map(|s| format!(" ({})", inert(&s.name))).unwrap_or_default();
    page.row("sandbox", format!("{}{name}", run.sandbox().id()));
    page.row("started", run.begun().map(|b| moment(&b.time)).unwrap_or_default());
    if status == Status::Running
        && let Some(left) = state.and_then(|s| s.left_ms().ok())
    {
        page.row("time left", took(left));
    }
    evidence(page, run, None);
}

fn sentence(end: &End) -> String {
    match end {
        End::Exited { code: 0 } => "succeeded".green().to_string(),
        End::Exited { code } => format!("exited with status {code}"),
        End::Signalled { signal } => format!("was ended by {}", words::signal(*signal)),
        End::OutOfMemory { limit, peak } => {
            let peak = peak.map(|p| format!(", it had used {}", size(p))).unwrap_or_default();
            format!("ran out of memory: the limit is {}{peak}", size(*limit))
        }
        End::OutOfDisk { limit, bytes, files } => format!(
            "was ended by its disk limit of {}: {} in {} had been changed or made",
            size(*limit),
            size(*bytes),
            words::count(*files as usize, "file")
        ),
        End::Deadline { ttl_ms } => format!("was ended by its time limit of {}", took(*ttl_ms)),
        End::Interrupted { signal } => format!("was interrupted by {}", words::signal(*signal)),
        End::NotFound { program } => format!("did not start: there is no program `{}` in the sandbox", inert(program)),
        End::NotExecutable { program, why } => {
            format!("did not start: `{}` cannot be executed: {}", inert(program), inert(why))
        }
        End::Refused { why } => format!("was refused, nothing ran: {}", inert(why)),
        End::Lost { why } => format!("was interrupted, and nothing of it lives: {}", inert(why)),
    }
}

fn usage(usage: &Usage) -> String {
    let mut parts = vec![format!("{} in all", took(usage.wall_ms))];
    if let (Some(user), Some(system)) = (usage.cpu_user_us, usage.cpu_system_us) {
        let (user, system) = (took(user / 1000), took(system / 1000));
        parts.push(format!("processor {user} for itself and {system} in the kernel"));
    }
    parts.extend(usage.memory_peak.map(|bytes| format!("memory {} at the highest", size(bytes))));
    parts.extend(usage.pids_peak.map(|n| format!("{n} processes at the highest")));
    parts.extend(usage.pids_refused.filter(|n| *n > 0).map(|n| format!("{n} refused forks")));
    parts.extend(usage.cpu_throttled.filter(|n| *n > 0).map(|n| format!("held back {n} times")));
    parts.join(", ")
}

/// The first thing to know of a run that was not kept apart by a whole sandbox.
fn alone(told: &Summary) -> String {
    if told.isolation == Isolation::Full {
        return String::new();
    }
    let lacking: Vec<&str> = told.enforced.lacking().map(|(control, _)| control.name()).collect();
    format!("; kept apart by Landlock alone, which holds less of: {}", lacking.join(", "))
}

/// The programs that were executed most often, by their names.
fn executed(programs: &[Executed]) -> String {
    let mut sorted: Vec<&Executed> = programs.iter().collect();
    sorted.sort_by_key(|program| std::cmp::Reverse(program.count));
    let name = |program: &str| inert(program.rsplit('/').next().unwrap_or(program));
    let one = |program: &&Executed| match program.count {
        1 => name(&program.program),
        many => format!("{} ({many} times)", name(&program.program)),
    };
    let mut parts: Vec<String> = sorted.iter().take(PROGRAMS).map(one).collect();
    if sorted.len() > PROGRAMS {
        parts.push(format!("and {} more", sorted.len() - PROGRAMS));
    }
    parts.join(", ")
}

fn outputs(page: &mut Page, run: &Run, told: &Summary) {
    let kept = &told.outputs;
    page.list("outputs", &kept.artifacts.iter().map(artifact).collect::<Vec<_>>());
    if !kept.artifacts.is_empty() {
        let total = kept.artifacts.iter().fold(0u64, |sum, a| sum.saturating_add(a.size));
        let newest = run.sandbox().runs().is_ok_and(|runs| runs.first().is_some_and(|r| r.id() == run.id()));
        let place = match newest {
            true => format!("in {}", inert(&run.sandbox().outputs().display().to_string())),
            false => "replaced by those of a later run".to_owned(),
        };
        page.row("", format!("{}, {}, {place}", count(kept.artifacts.len(), "file"), size(total)));
    }
    if let Some(changed) = told.changes.as_ref().filter(|changed| changed.files > 0) {
        page.row("changed", changed.words(&format!(" {}", run.id())));
    }
    let active: Vec<String> =
        collected::active(kept).map(|(path, why)| format!("{}: {}", inert(path), inert(why))).collect();
    page.list(&"active".yellow().to_string(), &active);
    page.list(
        "left out",
        &kept.omitted.iter().map(|o| format!("{}: {}", inert(&o.path), inert(&o.why))).collect::<Vec<_>>(),
    );
    let captured = |name, c: &Bytes| {
        let dropped =
            if c.dropped > 0 { format!(" ({} more were over the limit)", size(c.dropped)) } else { String::new() };
        format!("{} of standard {name}{dropped}", size(c.kept))
    };
    let (out, err) = (&told.output.stdout, &told.output.stderr);
    page.row("wrote", format!("{}, {}", captured("output", out), captured("error", err)));
    let times = |count: u64| if count > 1 { format!(", {count} times") } else { String::new() };
    let redacted: Vec<String> =
        told.redacted.iter().map(|found| format!("{}{}", inert(&found.what), times(found.count))).collect();
    page.list("redacted", &redacted);
}

/// A file that came out, and how it stands to the project's own.
fn artifact(artifact: &Artifact) -> String {
    let change = match artifact.change {
        Some(Change::Added) => ", new",
        Some(Change::Changed) => ", differs from the project's",
        Some(Change::Same) => ", as the project has it",
        None => "",
    };
    let redacted = match artifact.redacted {
        0 => String::new(),
        many => format!(", {} replaced", count(usize::try_from(many).unwrap_or(usize::MAX), "secret")),
    };
    format!("{} ({}{change}{redacted})", inert(&artifact.path), size(artifact.size))
}

fn evidence(page: &mut Page, run: &Run, told: Option<&Summary>) {
    page.row("evidence", inert(&run.folder().display().to_string()));
    if let Some(told) = told {
        let plan = told.plan_digest.as_deref().map(|digest| format!("plan {}, ", short(digest))).unwrap_or_default();
        page.row("", format!("{plan}events end with {}", short(&told.chain_head)));
        page.row("", seal(run).unwrap_or_else(|| "not sealed".to_owned()));
    }
}

/// Who signed the run, by the seal's own words.
fn seal(run: &Run) -> Option<String> {
    let mut bytes = Vec::new();
    File::open(run.folder().join("seal.json")).ok()?.take(MAX_SEAL).read_to_end(&mut bytes).ok()?;
    let payload = Envelope::read(&bytes).and_then(|envelope| envelope.payload());
    let Ok(Predicate { key, closed_by, .. }) = payload.and_then(|it| Statement::read(&it)).map(|it| it.predicate)
    else {
        return Some("its seal cannot be read".to_owned());
    };
    let id: String = key.id.chars().take(16).collect();
    let kept = if key.kept { "" } else { ", which this run alone had" };
    let by = if closed_by == ClosedBy::Recovery { " when a crash was cleared up" } else { "" };
    Some(format!("sealed{by}, by key {}{kept}; not checked here", inert(&id)))
}

/// Enough of a digest to tell it from others; the summary has all of it.
fn short(digest: &str) -> String {
    let (kind, hex) = digest.split_once(':').map_or(("", digest), |(kind, hex)| (kind, hex));
    let start: String = hex.chars().take(12).collect();
    let cut = if start.len() < hex.len() { "…" } else { "" };
    inert(&if kind.is_empty() { format!("{start}{cut}") } else { format!("{kind}:{start}{cut}") })
}

/// To the second; the summary has the rest.
fn moment(time: &str) -> String {
    let ago = words::since(time).map(|ago| format!(" ({ago})")).unwrap_or_default();
    let second = match time.split_once('.') {
        Some((second, rest)) if rest.ends_with('Z') => format!("{second}Z"),
        _ => time.to_string(),
    };
    if time.is_empty() { String::new() } else { format!("{}{ago}", inert(&second)) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::past::example;

    #[test]
    fn one_screen_tells_it_all() {
        let (_dir, project) = example::project();
        let run = example::sealed(&project, &example::summary());
        let text = anstream::adapter::strip_str(&screen(&run, Status::Sealed).unwrap()).to_string();
        for told in [
            "ran out of memory: the limit is 512 MiB, it had used 500 MiB",
            "python3 'a b.py'",
            "python:3.11 = sha256:abc, by linux",
            "2m5s in all",
            "1.2s for itself and 300ms in the kernel",
            "aido ended with 137",
            "in force   syscalls",
            "weaker     cpus by nice: no cgroup here",
            "to mend it: loginctl enable-linger",
            "absent     pids: none",
            "and 2 more",
            ".env",
            "out/a.json (1.5 KiB)",
            "1 file, 1.5 KiB, in ",
            "left out   pipe: a FIFO",
            "10 B of standard output (3 MiB more were over the limit), 0 B of standard error",
            "warnings   careful",
            run.id().as_str(),
            "plan sha256:p, events end with ff",
        ] {
            assert!(text.contains(told), "{told:?} is not in\n{text}");
        }
        assert!(text.lines().count() < 40, "{text}");
    }

    #[test]
    fn nothing_foreign_reaches_the_terminal_as_it_is() {
        let (_dir, project) = example::project();
        let mut summary = example::summary();
        example::poison(&mut summary);
        let run = example::sealed(&project, &summary);
        let shown = screen(&run, Status::Sealed).unwrap();
        let text = anstream::adapter::strip_str(&shown).to_string();
        assert!(text.contains("\\x1b]0;owned"), "the test's poison is not in\n{text}");
        // Nothing but our own colours was an escape.
        let ours = shown.matches('\u{1b}').count();
        let clean = example::sealed(&project, &example::summary());
        assert_eq!(ours, screen(&clean, Status::Sealed).unwrap().matches('\u{1b}').count());
        assert!(!text.chars().any(|c| (c.is_control() && c != '\n') || c == '\u{202e}'), "{text:?}");
        let json = as_json(&run, Status::Sealed).unwrap();
        assert!(!json.chars().any(|c| (c.is_control() && c != '\n') || c == '\u{202e}'), "{json:?}");
        let mut read: Value = serde_json::from_str(&json).unwrap();
        let beside = ["explanations", "explanations_version"].map(|name| read.as_object_mut().unwrap().remove(name));
        assert_eq!((read, beside), (summary, [Some(json!([])), Some(json!(1))]));
    }

    #[test]
    fn a_run_without_summary_tells_what_is_known() {
        let (_dir, project) = example::project();
        let run = example::interrupted(&project);
        let text = screen(&run, run.status().unwrap()).unwrap();
        assert!(text.contains("was interrupted") && text.contains("evidence"), "{text}");
        let recording = example::begun(&project);
        let run = project.run("latest").unwrap();
        assert_eq!(run.id(), recording.id());
        let text = screen(&run, run.status().unwrap()).unwrap();
        assert!(text.contains("still running") && text.contains("time left"), "{text}");
        let json: Value = serde_json::from_str(&as_json(&run, Status::Running).unwrap()).unwrap();
        assert_eq!(json["status"], "running");
    }

    #[test]
    fn a_summary_of_a_later_version_is_refused_with_words() {
        let (_dir, project) = example::project();
        let run = example::sealed(&project, &json!({"version": 99}));
        let said = screen(&run, Status::Sealed).unwrap_err().to_string();
        assert!(said.contains("version 99") && said.contains("another aido"), "{said}");
    }
}
