//! Output as it is shown: byte by byte, or, where lines are asked for, line by line.

use super::Wanted;
use crate::cli::Logs;
use crate::words::Inert;
use aido_evidence::{Stream, plain_json};
use anyhow::Result;
use serde_json::json;
use std::io::{self, IsTerminal, Write};

/// What one line may hold before it is told in parts.
const LONGEST_PART: usize = 64 * 1024;

/// Where both streams go, and in which form.
pub(super) struct Shown {
    wanted: Wanted,
    timestamps: bool,
    json: bool,
    ways: [Way; 2],
}

/// Where one stream goes.
struct Way {
    to_stderr: bool,
    /// None: its bytes as they are.
    inert: Option<Inert>,
    /// The line that is not complete yet, and when it began.
    rest: Vec<u8>,
    begun: Option<jiff::Timestamp>,
}

impl Shown {
    pub(super) fn new(asked: &Logs, wanted: Wanted) -> Shown {
        let way = |to_stderr: bool| {
            let terminal = if to_stderr { io::stderr().is_terminal() } else { io::stdout().is_terminal() };
            let inert = (terminal && !asked.raw && !asked.json).then(Inert::default);
            Way { to_stderr, inert, rest: Vec::new(), begun: None }
        };
        let ways = [way(false), way(!asked.stderr && !asked.json)];
        Shown { wanted, timestamps: asked.timestamps, json: asked.json, ways }
    }

    /// Bytes of a stream that came at that time.
    pub(super) fn take(&mut self, stream: Stream, time: Option<jiff::Timestamp>, bytes: &[u8]) -> Result<()> {
        if self.wanted.since.zip(time).is_some_and(|(since, time)| time < since) {
            return Ok(());
        }
        let by_line = self.json || self.timestamps || self.wanted.grep.is_some();
        let way = self.way(stream);
        if !by_line {
            return way.write(bytes);
        }
        if way.rest.is_empty() {
            way.begun = time;
        }
        let mut lines = std::mem::take(&mut way.rest);
        lines.extend_from_slice(bytes);
        let mut start = 0;
        while let Some(length) = end_of_line(&lines[start..]) {
            self.line(stream, &lines[start..start + length])?;
            self.way(stream).begun = time;
            start += length;
        }
        lines.drain(..start);
        self.way(stream).rest = lines;
        Ok(())
    }

    fn way(&mut self, stream: Stream) -> &mut Way {
        &mut self.ways[usize::from(stream == Stream::Stderr)]
    }

    fn line(&mut self, stream: Stream, line: &[u8]) -> Result<()> {
        if !self.wanted.matches(line.strip_suffix(b"\n").unwrap_or(line)) {
            return Ok(());
        }
        let (json, timestamps) = (self.json, self.timestamps);
        let way = self.way(stream);
        let time = way.begun.map(|time| format!("{time:.3}"));
        if json {
            return way.write(&json_part(stream, time, line));
        }
        if timestamps {
            way.write(format!("{} ", time.as_deref().unwrap_or("-")).as_bytes())?;
        }
        way.write(line)
    }

    /// Nothing more comes: what is no whole line is shown too.
    pub(super) fn finish(&mut self) -> Result<()> {
        for stream in [Stream::Stdout, Stream::Stderr] {
            let rest = std::mem::take(&mut self.way(stream).rest);
            if !rest.is_empty() {
                self.line(stream, &rest)?;
            }
        }
        self.ways.iter_mut().try_for_each(Way::finish)?;
        flush()
    }
}

/// What was shown is seen now.
pub(super) fn flush() -> Result<()> {
    Ok(io::stdout().flush()?)
}

impl Way {
    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        match &mut self.inert {
            None => put(self.to_stderr, bytes),
            Some(inert) => {
                let mut shown = String::with_capacity(bytes.len());
                inert.push(bytes, &mut shown);
                put(self.to_stderr, shown.as_bytes())
            }
        }
    }

    fn finish(&mut self) -> Result<()> {
        let Some(inert) = &mut self.inert else { return Ok(()) };
        let mut shown = String::new();
        inert.finish(&mut shown);
        put(self.to_stderr, shown.as_bytes())
    }
}

fn put(to_stderr: bool, bytes: &[u8]) -> Result<()> {
    if to_stderr {
        // What was said before on the other stream is seen before.
        io::stdout().flush()?;
        io::stderr().write_all(bytes)?;
    } else {
        io::stdout().lock().write_all(bytes)?;
    }
    Ok(())
}

/// How long the first line is, or the part of it that is told by itself; None: it is not complete.
fn end_of_line(bytes: &[u8]) -> Option<usize> {
    match bytes.iter().take(LONGEST_PART).position(|b| *b == b'\n') {
        Some(at) => Some(at + 1),
        None => (bytes.len() >= LONGEST_PART).then_some(LONGEST_PART),
    }
}

/// `{"v":1,"stream":"stdout","time":"…","text":"…","newline":true}`; `"lossy":true` where bytes were no UTF-8; no `time` where it
/// is not on record.
fn json_part(stream: Stream, time: Option<String>, bytes: &[u8]) -> Vec<u8> {
    let name = match stream {
        Stream::Stdout => "stdout",
        Stream::Stderr => "stderr",
    };
    let (text, newline) = match bytes.strip_suffix(b"\n") {
        Some(text) => (text, true),
        None => (bytes, false),
    };
    let mut line = json!({"v": 1, "stream": name, "text": String::from_utf8_lossy(text), "newline": newline});
    if let Some(time) = time {
        line["time"] = json!(time);
    }
    if std::str::from_utf8(text).is_err() {
        line["lossy"] = json!(true);
    }
    let mut line = plain_json(line.to_string()).into_bytes();
    line.push(b'\n');
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_parts_tell_every_byte() {
        let bytes = [b"one\n\xff two\n".to_vec(), vec![b'x'; LONGEST_PART + 5], b"\n".to_vec()].concat();
        let mut lines: Vec<serde_json::Value> = Vec::new();
        let mut start = 0;
        while let Some(length) = end_of_line(&bytes[start..]) {
            let part = json_part(Stream::Stdout, None, &bytes[start..start + length]);
            lines.push(serde_json::from_slice(&part).unwrap());
            start += length;
        }
        assert_eq!((start, lines.len()), (bytes.len(), 4));
        assert_eq!(lines[0], json!({"v": 1, "stream": "stdout", "text": "one", "newline": true}));
        assert_eq!(lines[1]["lossy"], true);
        assert_eq!((&lines[2]["newline"], &lines[3]["text"]), (&json!(false), &json!("xxxxx")));
        assert_eq!(end_of_line(b"last"), None);
    }
}
