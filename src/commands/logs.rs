//! `aido logs`: what a run's task wrote, or what aido recorded of it.

use super::{event, past};
use crate::cli::Logs;
use crate::words::{self, Inert};
use aido_evidence::{Broken, Events, Run, Stream, plain_json};
use anyhow::{Context, Result, anyhow};
use serde_json::json;
use std::fs::File;
use std::io::{self, IsTerminal, Read, Write};
use std::path::Path;
use std::time::Duration;

/// How often a run that goes on is looked at.
const PAUSE: Duration = Duration::from_millis(100);

/// What one log line may hold in `--json` before it is told in parts.
const LONGEST_PART: usize = 64 * 1024;

/// The streams go where they came from, as with `docker logs`: standard output to standard output,
/// standard error to standard error. With `--stderr` only the latter, on standard output.
pub(crate) fn logs(dir: &Path, asked: &Logs) -> Result<u8> {
    let run = past::run(dir, asked.run.as_deref())?;
    let done = if asked.events { events(&run, asked) } else { output(&run, asked) };
    match done {
        // The reader has seen enough: `aido logs | head`.
        Err(e) if e.downcast_ref::<io::Error>().is_some_and(|e| e.kind() == io::ErrorKind::BrokenPipe) => Ok(0),
        Err(e) => Err(e),
        Ok(()) => Ok(0),
    }
}

fn output(run: &Run, asked: &Logs) -> Result<()> {
    let tail = |stream, to_stderr| Tail::open(run, stream, to_stderr, asked);
    let mut tails = match (asked.stderr, asked.json) {
        (true, _) => vec![tail(Stream::Stderr, false)?],
        (false, true) => vec![tail(Stream::Stdout, false)?, tail(Stream::Stderr, false)?],
        (false, false) => vec![tail(Stream::Stdout, false)?, tail(Stream::Stderr, true)?],
    };
    loop {
        // Asked before reading: what was written before the end is then read for certain.
        let ended = !asked.follow || !run.alive()?;
        let mut moved = false;
        for tail in &mut tails {
            moved |= tail.copy()?;
        }
        if ended {
            tails.iter_mut().try_for_each(Tail::finish)?;
            return note_what_is_missing(run, &tails);
        }
        if !moved {
            std::thread::sleep(PAUSE);
        }
    }
}

/// A log that was cut says so, unless that would mix with the task's own bytes in a file.
fn note_what_is_missing(run: &Run, tails: &[Tail]) -> Result<()> {
    if tails.iter().any(|tail| tail.to_stderr) && !io::stderr().is_terminal() {
        return Ok(());
    }
    let Ok(Some(told)) = past::told(run) else { return Ok(()) };
    for tail in tails {
        let (name, dropped) = match tail.stream {
            Stream::Stdout => ("standard output", told.output.stdout.dropped),
            Stream::Stderr => ("standard error", told.output.stderr.dropped),
        };
        if dropped > 0 {
            eprintln!("aido: {} more of {name} were over the limit and are not kept", words::size(dropped));
        }
    }
    Ok(())
}

/// One log on its way to a reader.
struct Tail {
    stream: Stream,
    file: File,
    to_stderr: bool,
    form: Form,
}

enum Form {
    Bytes,
    Inert(Inert),
    Json(Vec<u8>),
}

impl Tail {
    fn open(run: &Run, stream: Stream, to_stderr: bool, asked: &Logs) -> Result<Tail> {
        let terminal = if to_stderr { io::stderr().is_terminal() } else { io::stdout().is_terminal() };
        let form = match (asked.json, terminal && !asked.raw) {
            (true, _) => Form::Json(Vec::new()),
            (false, true) => Form::Inert(Inert::default()),
            (false, false) => Form::Bytes,
        };
        Ok(Tail { stream, file: run.open_output(stream)?, to_stderr, form })
    }

    /// Passes on what is there; whether there was anything.
    fn copy(&mut self) -> Result<bool> {
        let mut buffer = vec![0; 64 * 1024];
        let mut any = false;
        loop {
            let count = self.file.read(&mut buffer).context("the log cannot be read")?;
            if count == 0 {
                return Ok(any);
            }
            any = true;
            let shown = self.shown(&buffer[..count]);
            self.write(&shown)?;
        }
    }

    fn finish(&mut self) -> Result<()> {
        let shown = match &mut self.form {
            Form::Bytes => return Ok(()),
            Form::Inert(inert) => {
                let mut shown = String::new();
                inert.finish(&mut shown);
                shown.into_bytes()
            }
            Form::Json(rest) if rest.is_empty() => return Ok(()),
            Form::Json(rest) => json_part(self.stream, rest),
        };
        self.write(&shown)
    }

    fn shown(&mut self, bytes: &[u8]) -> Vec<u8> {
        match &mut self.form {
            Form::Bytes => bytes.to_vec(),
            Form::Inert(inert) => {
                let mut shown = String::with_capacity(bytes.len());
                inert.push(bytes, &mut shown);
                shown.into_bytes()
            }
            Form::Json(rest) => {
                rest.extend_from_slice(bytes);
                json_lines(self.stream, rest)
            }
        }
    }

    fn write(&self, bytes: &[u8]) -> Result<()> {
        if self.to_stderr {
            io::stderr().write_all(bytes)?;
        } else {
            let mut out = io::stdout().lock();
            out.write_all(bytes)?;
            out.flush()?;
        }
        Ok(())
    }
}

/// Takes the whole lines out of `rest`, and parts of one that is too long to wait for.
fn json_lines(stream: Stream, rest: &mut Vec<u8>) -> Vec<u8> {
    let mut shown = Vec::new();
    let mut start = 0;
    loop {
        let left = &rest[start..];
        let end = match left.iter().take(LONGEST_PART).position(|b| *b == b'\n') {
            Some(at) => at + 1,
            None if left.len() >= LONGEST_PART => LONGEST_PART,
            None => break,
        };
        shown.extend_from_slice(&json_part(stream, &left[..end]));
        start += end;
    }
    rest.drain(..start);
    shown
}

/// `{"v":1,"stream":"stdout","text":"…","newline":true}`; `"lossy":true` where bytes were no UTF-8.
fn json_part(stream: Stream, bytes: &[u8]) -> Vec<u8> {
    let name = match stream {
        Stream::Stdout => "stdout",
        Stream::Stderr => "stderr",
    };
    let (text, newline) = match bytes.strip_suffix(b"\n") {
        Some(text) => (text, true),
        None => (bytes, false),
    };
    let mut line = json!({"v": 1, "stream": name, "text": String::from_utf8_lossy(text), "newline": newline});
    if std::str::from_utf8(text).is_err() {
        line["lossy"] = json!(true);
    }
    let mut line = plain_json(line.to_string()).into_bytes();
    line.push(b'\n');
    line
}

fn events(run: &Run, asked: &Logs) -> Result<()> {
    let from = asked.since.as_deref().map(moment).transpose()?;
    let mut events = run.events()?;
    loop {
        let ended = !asked.follow || !run.alive()?;
        let broken = show_events(&mut events, from, asked.json)?;
        if let Some(broken) = broken.filter(|b| !b.torn_end) {
            return Err(anyhow!(
                "events.log of run {} does not hold from {}; the records before it are as they were written",
                run.id(),
                words::inert(&broken.to_string())
            ));
        }
        if ended {
            return Ok(());
        }
        std::thread::sleep(PAUSE);
        events.again().context("events.log cannot be read")?;
    }
}

fn show_events(events: &mut Events, from: Option<jiff::Timestamp>, json: bool) -> Result<Option<Broken>> {
    let mut out = io::stdout().lock();
    let terminal = out.is_terminal();
    for event in events {
        let event = match event {
            Ok(event) => event,
            Err(broken) => return Ok(Some(broken)),
        };
        let early = |from| event.time.parse::<jiff::Timestamp>().is_ok_and(|time| time < from);
        if from.is_some_and(early) {
            continue;
        }
        let line = match (json, terminal) {
            // The stored line: whoever reads it can check its hash.
            (true, false) => event.stored,
            (true, true) => plain_json(event.stored),
            (false, _) => event::line(&event),
        };
        out.write_all(line.as_bytes()).and_then(|()| out.write_all(b"\n"))?;
    }
    out.flush()?;
    Ok(None)
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
    fn json_lines_tell_every_byte_however_they_come() {
        let bytes = [b"one\n\xff two\n".to_vec(), vec![b'x'; LONGEST_PART + 5], b"\nlast".to_vec()].concat();
        for piece in [1, 7, 4096, bytes.len()] {
            let mut rest = Vec::new();
            let mut shown = Vec::new();
            for part in bytes.chunks(piece) {
                rest.extend_from_slice(part);
                shown.extend(json_lines(Stream::Stdout, &mut rest));
            }
            assert_eq!(rest, b"last");
            let lines: Vec<serde_json::Value> =
                String::from_utf8(shown).unwrap().lines().map(|l| serde_json::from_str(l).unwrap()).collect();
            assert_eq!(lines.len(), 4, "pieces of {piece}");
            assert_eq!(lines[0], json!({"v": 1, "stream": "stdout", "text": "one", "newline": true}));
            assert_eq!(lines[1]["lossy"], true);
            assert_eq!((&lines[2]["newline"], &lines[3]["text"]), (&json!(false), &json!("xxxxx")));
        }
    }
}
