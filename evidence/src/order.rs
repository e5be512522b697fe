//! In which order, and when, output came: `order.log`.
//!
//! A line for each piece, `MONO_MS STREAM OFFSET`, as in `91530 out 4096`: what standard output holds from that byte on
//! came at that time or later, up to its next line. The line is written before the bytes are.

use crate::clock;
use crate::error::{Error, Result};
use crate::fault;
use crate::files::{ORDER, Stream};
use crate::folder::{Folder, For, present};
use crate::run::Run;
use std::fs::File;
use std::io::{ErrorKind, Read};

/// Bytes of one stream that follow each other so closely are one piece.
const NEAR_MS: u64 = 10;
/// No longer than this: what comes later belongs to the last pieces.
const LONGEST: u64 = 4 << 20;
/// No line is longer.
const LINE: usize = 64;

/// Notes the pieces while they come.
#[derive(Debug, Default)]
pub(crate) struct Noted {
    file: Option<File>,
    last: Option<(Stream, u64)>,
    length: u64,
    /// A write failed: nothing is noted any more.
    failed: bool,
}

impl Noted {
    /// What comes next of a stream begins at this byte of it. Where that cannot be noted, the output matters more.
    pub(crate) fn note(&mut self, folder: &Folder, stream: Stream, from: u64) {
        let now = clock::boottime_ms();
        let near = |(last, ms): (Stream, u64)| last == stream && now.saturating_sub(ms) < NEAR_MS;
        if self.failed || self.length >= LONGEST || self.last.is_some_and(near) {
            return;
        }
        let line = format!("{now} {} {from}\n", word(stream));
        self.failed = self.write(folder, line.as_bytes()).is_err();
        self.length += line.len() as u64;
        self.last = Some((stream, now));
    }

    fn write(&mut self, folder: &Folder, line: &[u8]) -> Result<()> {
        let path = folder.path().join(ORDER);
        let file = match &mut self.file {
            Some(file) => file,
            file => file.insert(folder.file(ORDER, For::New)?),
        };
        loop {
            match fault::write(file, line, &path) {
                Ok(n) if n == line.len() => return Ok(()),
                Ok(_) => return Err(Error::io("write", &path, ErrorKind::WriteZero)),
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) => return Err(Error::io("write", &path, e)),
            }
        }
    }
}

fn word(stream: Stream) -> &'static str {
    match stream {
        Stream::Stdout => "out",
        Stream::Stderr => "err",
    }
}

/// One piece of output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece {
    pub stream: Stream,
    /// Its first byte in the log of that stream.
    pub from: u64,
    /// When it came, in milliseconds since the machine started, as in the events.
    pub mono_ms: u64,
}

/// Reads the pieces in the order in which they came.
#[derive(Debug)]
pub struct Order {
    file: File,
    rest: Vec<u8>,
    /// Bytes that are still read.
    left: u64,
}

impl Run {
    /// In which order output came; None if there was none yet, or the run is older than this.
    pub fn order(&self) -> Result<Option<Order>> {
        let file = present(self.own_folder().file(ORDER, For::Reading))?;
        Ok(file.map(|file| Order { file, rest: Vec::new(), left: LONGEST + LINE as u64 }))
    }
}

impl Order {
    /// The pieces that were noted since the last call. What is no line of ours ends it: nothing after it is told.
    pub fn more(&mut self) -> std::io::Result<Vec<Piece>> {
        let read = (&mut self.file).take(self.left).read_to_end(&mut self.rest)?;
        self.left -= read as u64;
        let mut pieces = Vec::new();
        let mut at = 0;
        while let Some(length) = self.rest[at..].iter().position(|b| *b == b'\n') {
            match piece(&self.rest[at..at + length]) {
                Some(piece) => pieces.push(piece),
                None => self.left = 0,
            }
            at += length + 1;
            if self.left == 0 {
                break;
            }
        }
        self.rest.drain(..at);
        if self.rest.len() > LINE {
            self.left = 0;
        }
        if self.left == 0 {
            self.rest.clear();
        }
        Ok(pieces)
    }
}

fn piece(line: &[u8]) -> Option<Piece> {
    let mut words = std::str::from_utf8(line).ok().filter(|line| line.len() < LINE)?.split(' ');
    let mono_ms = words.next()?.parse().ok()?;
    let stream = match words.next()? {
        "out" => Stream::Stdout,
        "err" => Stream::Stderr,
        _ => return None,
    };
    let from = words.next()?.parse().ok()?;
    words.next().is_none().then_some(Piece { stream, from, mono_ms })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn what_is_noted_is_read_again_and_what_is_not_ours_ends_it() {
        let piece = |stream, from, mono_ms| Piece { stream, from, mono_ms };
        for (text, expected) in [
            ("", vec![]),
            (
                "5 out 0\n7 err 0\n9 out 12\n",
                vec![piece(Stream::Stdout, 0, 5), piece(Stream::Stderr, 0, 7), piece(Stream::Stdout, 12, 9)],
            ),
            ("5 out 0\n7 er", vec![piece(Stream::Stdout, 0, 5)]),
            ("5 out 0\n7 none 0\n9 out 12\n", vec![piece(Stream::Stdout, 0, 5)]),
            ("5 out 0 0\n", vec![]),
            ("-5 out 0\n", vec![]),
            ("\u{1b}[2J out 0\n", vec![]),
        ] {
            let mut file = tempfile::tempfile().unwrap();
            file.write_all(text.as_bytes()).unwrap();
            std::io::Seek::rewind(&mut file).unwrap();
            let mut order = Order { file, rest: Vec::new(), left: LONGEST };
            assert_eq!(order.more().unwrap(), expected, "{text:?}");
        }
    }

    #[test]
    fn an_endless_line_is_not_waited_for() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&vec![b'1'; 1 << 20]).unwrap();
        std::io::Seek::rewind(&mut file).unwrap();
        let mut order = Order { file, rest: Vec::new(), left: LONGEST };
        assert_eq!(order.more().unwrap(), vec![]);
        assert!(order.rest.is_empty() && order.left == 0);
    }
}
