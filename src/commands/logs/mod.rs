//! `aido logs`: what a run's task wrote, or what aido recorded of it.

mod events;
mod lines;
pub(super) mod pieces;

use super::past;
use crate::cli::Logs;
use crate::words;
use aido_evidence::{Run, Stream};
use aido_runtime::Error;
use anyhow::{Context, Result, anyhow};
use lines::Shown;
use pieces::Pieces;
use regex_automata::meta::Regex;
use regex_automata::util::syntax;
use std::io::{self, IsTerminal};
use std::path::Path;
use std::time::Duration;

/// How often a run that goes on is looked at.
const PAUSE: Duration = Duration::from_millis(100);

/// The streams go where they came from, as with `docker logs`: standard output to standard output,
/// standard error to standard error. With `--stderr` only the latter, on standard output.
pub(crate) fn logs(dir: &Path, asked: &Logs) -> Result<u8> {
    let run = past::run(dir, asked.run.as_deref())?;
    let wanted = Wanted {
        since: asked.since.as_deref().map(moment).transpose()?,
        grep: asked.grep.as_deref().map(pattern).transpose()?,
    };
    let done = if asked.events { events::show(&run, asked, &wanted) } else { output(&run, asked, wanted) };
    match done {
        // The reader has seen enough: `aido logs | head`.
        Err(e) if e.downcast_ref::<io::Error>().is_some_and(|e| e.kind() == io::ErrorKind::BrokenPipe) => Ok(0),
        Err(e) => Err(e),
        Ok(()) => Ok(0),
    }
}

/// Which lines are asked for.
struct Wanted {
    since: Option<jiff::Timestamp>,
    grep: Option<Regex>,
}

impl Wanted {
    fn matches(&self, line: &[u8]) -> bool {
        self.grep.as_ref().is_none_or(|grep| grep.is_match(line))
    }
}

fn output(run: &Run, asked: &Logs, wanted: Wanted) -> Result<()> {
    let streams: &[Stream] = if asked.stderr { &[Stream::Stderr] } else { &[Stream::Stdout, Stream::Stderr] };
    let mut pieces = Pieces::open(run, streams)?;
    if (asked.timestamps || wanted.since.is_some()) && !pieces.have_times() && has_ended_with_output(run)? {
        let id = run.id();
        return Err(anyhow!(
            "when the output of run {id} came is not on record: it is from an older aido; leave out --timestamps and --since"
        ));
    }
    let mut shown = Shown::new(asked, wanted);
    loop {
        // Asked before reading: what was written before the end is then read for certain.
        let ended = !asked.follow || !run.is_running()?;
        let moved = pieces.pass(ended, &mut |stream, time, bytes| shown.take(stream, time, bytes))?;
        if ended {
            shown.finish()?;
            return note_what_is_missing(run, asked);
        }
        lines::flush()?;
        if !moved {
            std::thread::sleep(PAUSE);
        }
    }
}

/// A run that goes on may not have written anything yet.
fn has_ended_with_output(run: &Run) -> Result<bool> {
    let mut any = false;
    for stream in [Stream::Stdout, Stream::Stderr] {
        any |= run.open_output(stream)?.metadata().context("the log cannot be looked at")?.len() > 0;
    }
    Ok(any)
}

/// A log that was cut says so, unless that would mix with the task's own bytes in a file.
fn note_what_is_missing(run: &Run, asked: &Logs) -> Result<()> {
    let to_stderr = !asked.stderr && !asked.json;
    if to_stderr && !io::stderr().is_terminal() {
        return Ok(());
    }
    let Ok(Some(told)) = past::told(run) else { return Ok(()) };
    let streams = [
        ("standard output", told.output.stdout.dropped, !asked.stderr),
        ("standard error", told.output.stderr.dropped, true),
    ];
    for (name, dropped, _) in streams.into_iter().filter(|(_, dropped, shown)| *shown && *dropped > 0) {
        eprintln!("aido: {} more of {name} were over the limit and are not kept", words::size(dropped));
    }
    Ok(())
}

/// What lines are looked for: bytes, so that a line that is no text can be found too.
fn pattern(text: &str) -> Result<Regex> {
    let bytes = syntax::Config::new().unicode(false).utf8(false);
    let built = Regex::builder()
        .syntax(bytes)
        .configure(Regex::config().utf8_empty(false).nfa_size_limit(Some(10 << 20)))
        .build(text);
    built.map_err(|error| {
        let why = error.syntax_error().map_or_else(|| error.to_string(), ToString::to_string);
        // The last line says it; those before it point at the place.
        let why = why.lines().last().unwrap_or_default().trim_start_matches("error: ");
        let (shown, why) = (words::inert(text), words::inert(why));
        let error = Error::new(format!("--grep: `{shown}` is no regular expression: {why}"));
        anyhow!(error.remedy(format!(
            "what has a meaning of its own is itself behind a backslash: --grep '{}'",
            words::inert(&as_it_stands(text))
        )))
    })
}

/// The pattern that finds this very text.
fn as_it_stands(text: &str) -> String {
    let special = |c: char| r"\.+*?()|[]{}^$#&-~".contains(c);
    text.chars().flat_map(|c| special(c).then_some('\\').into_iter().chain([c])).collect()
}

/// A time of day, or a time back from now.
fn moment(text: &str) -> Result<jiff::Timestamp> {
    if let Ok(time) = text.parse::<jiff::Timestamp>() {
        return Ok(time);
    }
    text.parse::<jiff::SignedDuration>()
        .ok()
        .filter(|back| !back.is_negative())
        .and_then(|back| jiff::Timestamp::now().checked_sub(back).ok())
        .ok_or_else(|| {
            let text = words::inert(text);
            anyhow!("--since: `{text}` is no time; write it as 10m, 1h30m or 2026-01-31T12:00:00Z")
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_back_and_times_of_day() {
        let now = jiff::Timestamp::now();
        let back = now.duration_since(moment("10m").unwrap()).as_secs();
        assert!((599..=600).contains(&back), "{back}");
        assert_eq!(moment("2026-01-31T12:00:00Z").unwrap().as_second(), 1_769_860_800);
        for wrong in ["", "10", "-10m", "yesterday", "\u{1b}[2J", "999999999999999h"] {
            let said = moment(wrong).unwrap_err().to_string();
            assert!(said.contains("write it as") && !said.contains('\u{1b}'), "{wrong:?}: {said}");
        }
    }

    #[test]
    fn patterns_are_of_bytes_and_bounded() {
        assert!(pattern("^err.*x$").unwrap().is_match(b"error \xff x"));
        assert!(pattern("(?i)ERROR").unwrap().is_match(b"an error"));
        assert!(pattern("\u{e9}t\u{e9}").unwrap().is_match("l'\u{e9}t\u{e9}".as_bytes()));
        assert!(!pattern("^$").unwrap().is_match(b"x"));
        assert!(pattern(&as_it_stands("(a|b) \\ *")).unwrap().is_match(b"x (a|b) \\ * y"));
        for wrong in ["(", "a{100}{100}{100}{100}", "\u{1b}[2J("] {
            let said = pattern(wrong).unwrap_err().to_string();
            assert!(said.starts_with("--grep: ") && !said.contains('\u{1b}'), "{wrong:?}: {said}");
        }
    }
}
