//! `aido show`: one run on one screen.

use super::past;
use crate::cli::Show;
use crate::inputs::{InputDigest, InputKind};
use crate::summary::{Bytes, Summary};
use crate::words::{self, count, inert, size, took};
use aido_evidence::{Run, Status, plain_json};
use aido_runtime::{End, Force, Isolation, Refusal, Usage};
use anyhow::{Context, Result};
use owo_colors::OwoColorize;
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;

/// Entries of a list before it is cut: the whole stands in the summary.
const SHOWN: usize = 8;

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

fn screen(run: &Run, status: Status) -> Result<String> {
    let mut page = Page::default();
    match past::told(run)? {
        Some(told) => sealed(&mut page, run, &told),
        None => unsealed(&mut page, run, status),
    }
    Ok(page.text)
}

/// The summary as it is stored; for a run without one what is known.
fn as_json(run: &Run, status: Status) -> Result<String> {
    let stored: Option<Value> =
        run.summary().with_context(|| format!("the summary of run {} cannot be read", run.id()))?;
    let value = stored.unwrap_or_else(|| {
        json!({
            "run": run.id(),
            "sandbox": run.sandbox().id(),
            "status": past::status_word(status),
            "task": past::planned_task(run),
            "started": run.begun().map(|b| b.time),
        })
    });
    Ok(plain_json(serde_json::to_string_pretty(&value)? + "\n"))
}

/// Lines with a name in front of them.
#[derive(Default)]
struct Page {
    text: String,
}

impl Page {
    fn title(&mut self, run: &Run, ending: &str) {
        let _ = writeln!(self.text, "{} {ending}", format_args!("Run {}", run.id()).bold());
    }

    fn row(&mut self, name: &str, value: impl AsRef<str>) {
        let value = value.as_ref();
        if !value.is_empty() {
            let _ = writeln!(self.text, "  {name:<10} {value}");
        }
    }

    /// A list under its name, cut where it grows too long for a screen.
    fn list(&mut self, name: &str, items: &[String]) {
        for (n, item) in items.iter().take(SHOWN).enumerate() {
            self.row(if n == 0 { name } else { "" }, item);
        }
        if items.len() > SHOWN {
            self.row("", format!("and {} more", items.len() - SHOWN));
        }
    }
}

fn sealed(page: &mut Page, run: &Run, told: &Summary) {
    page.title(run, &format!("{}{}", sentence(&told.outcome.end), alone(told)));
    page.row("task", inert(&words::command_line(&told.task)));
    page.row("sandbox", format!("{} ({})", run.sandbox().id(), inert(&told.name)));
    let image = told.image_digest.as_deref().map(|digest| format!(" = {}", inert(digest))).unwrap_or_default();
    page.row("runtime", format!("{}{image}, by {}", inert(&told.runtime), inert(&told.backend)));
    page.row("started", moment(&told.started));
    page.row("ended", moment(&told.ended));
    page.row("used", usage(&told.outcome.usage));
    page.list("refused", &told.outcome.refused.iter().map(refusal).collect::<Vec<_>>());
    page.row("status", format!("aido ended with {}", told.exit_code));
    enforced(page, told);
    files(page, run, told);
    page.list("warnings", &told.warnings.iter().map(|w| inert(w)).collect::<Vec<_>>());
    evidence(page, run, Some(told));
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

/// A system call that was not made, by whom, and what it got.
fn refusal(refused: &Refusal) -> String {
    let detail = refused.detail.as_deref().map(|detail| format!(" ({detail})")).unwrap_or_default();
    let times = if refused.count > 1 { format!(", {} times", refused.count) } else { String::new() };
    let by = if refused.process.is_empty() { "a process" } else { &refused.process };
    inert(&format!("{}{detail} by {by}: {}{times}", refused.call, refused.answer))
}

fn enforced(page: &mut Page, told: &Summary) {
    let held: Vec<&str> =
        told.enforced.0.iter().filter(|(_, s)| s.force == Force::InForce).map(|(c, _)| c.name()).collect();
    page.row("in force", held.join(", "));
    for (control, standing) in told.enforced.lacking() {
        let (name, by) = match standing.force {
            Force::Absent => ("absent".red().to_string(), String::new()),
            _ => ("weaker".yellow().to_string(), format!(" by {}", inert(&standing.by))),
        };
        // The colour takes no room: pad by hand.
        let why = standing.why.as_deref().map(|why| format!(": {}", inert(why))).unwrap_or_default();
        let _ = writeln!(page.text, "  {name}     {control}{by}{why}");
        if let Some(remedy) = &standing.remedy {
            page.row("", format!("to mend it: {}", inert(remedy)));
        }
    }
}

fn files(page: &mut Page, run: &Run, told: &Summary) {
    let inputs: Vec<String> = told.inputs.iter().map(input).collect();
    page.list("inputs", &inputs);
    page.list("hidden", &told.hidden.iter().map(|path| inert(path)).collect::<Vec<_>>());
    let artifacts: Vec<String> =
        told.outputs.artifacts.iter().map(|a| format!("{} ({})", inert(&a.path), size(a.size))).collect();
    page.list("outputs", &artifacts);
    if !artifacts.is_empty() {
        let total = told.outputs.artifacts.iter().fold(0u64, |sum, a| sum.saturating_add(a.size));
        let newest = run.sandbox().runs().is_ok_and(|runs| runs.first().is_some_and(|r| r.id() == run.id()));
        let place = match newest {
            true => format!("in {}", inert(&run.sandbox().outputs().display().to_string())),
            false => "replaced by those of a later run".to_owned(),
        };
        page.row("", format!("{}, {}, {place}", count(artifacts.len(), "file"), size(total)));
    }
    let omitted: Vec<String> =
        told.outputs.omitted.iter().map(|o| format!("{}: {}", inert(&o.path), inert(&o.why))).collect();
    page.list("left out", &omitted);
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

/// An input, and how well its digest covers it.
fn input(input: &InputDigest) -> String {
    let path = if input.path.is_empty() { "the project folder".to_owned() } else { inert(&input.path) };
    let more = if input.partial { " and more" } else { "" };
    match input.kind {
        InputKind::File if input.secret => {
            format!("{path} (a secret of {}, kept out of the record)", size(input.size.unwrap_or_default()))
        }
        InputKind::File => path,
        InputKind::Tree => format!("{path} ({} entries{more})", input.entries),
        InputKind::Metadata => format!("{path} ({} entries{more}, by name, size and time only)", input.entries),
    }
}

fn evidence(page: &mut Page, run: &Run, told: Option<&Summary>) {
    page.row("evidence", inert(&run.folder().display().to_string()));
    if let Some(told) = told {
        let plan = told.plan_digest.as_deref().map(|digest| format!("plan {}, ", inert(digest))).unwrap_or_default();
        page.row("", format!("{plan}events end with {}", inert(&told.chain_head)));
    }
}

fn moment(time: &str) -> String {
    let ago = words::since(time).map(|ago| format!(" ({ago})")).unwrap_or_default();
    if time.is_empty() { String::new() } else { format!("{}{ago}", inert(time)) }
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
        assert_eq!(serde_json::from_str::<Value>(&json).unwrap(), summary);
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
