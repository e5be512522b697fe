//! Both streams of a run as one file, in the order in which they came.

use crate::commands::logs::pieces::{Pieces, Span};
use aido_evidence::{Run, Stream};
use aido_ui::Bytes;
use anyhow::Result;
use std::cell::{Cell, RefCell};
use std::fs::File;
use std::io;

/// Grows while the run goes on.
pub(super) struct Joined {
    run: Run,
    out: File,
    err: File,
    parts: RefCell<Parts>,
    /// Nothing more comes.
    ended: Cell<bool>,
}

struct Parts {
    pieces: Pieces,
    all: Vec<Part>,
    size: u64,
}

/// Bytes of one stream, or the end that the line before them has not got: a line is of one stream alone.
struct Part {
    /// Where it begins in the whole.
    at: u64,
    of: Option<Stream>,
    /// Where it begins in the log of that stream.
    from: u64,
}

impl Joined {
    pub(super) fn open(run: &Run) -> Result<Joined> {
        let (out, err) = (run.open_output(Stream::Stdout)?, run.open_output(Stream::Stderr)?);
        let pieces = Pieces::open(run, &[Stream::Stdout, Stream::Stderr])?;
        let parts = RefCell::new(Parts { pieces, all: Vec::new(), size: 0 });
        Ok(Joined { run: run.clone(), out, err, parts, ended: Cell::new(false) })
    }

    fn log(&self, stream: Stream) -> &File {
        match stream {
            Stream::Stdout => &self.out,
            Stream::Stderr => &self.err,
        }
    }

    /// Takes in what came since the last look. What cannot be read is not there.
    fn look(&self, parts: &mut Parts) {
        if self.ended.get() {
            return;
        }
        // Asked before reading: what was written before the end is then read for certain.
        let ended = !self.run.is_running().unwrap_or(true);
        for span in parts.pieces.spans(ended).unwrap_or_default() {
            self.add(parts, &span);
        }
        self.ended.set(ended);
    }

    fn add(&self, parts: &mut Parts, span: &Span) {
        let last = parts.all.last().and_then(|part| Some((part.of?, part.from + (parts.size - part.at))));
        let goes_on = last.is_some_and(|(stream, end)| stream == span.stream && end == span.bytes.start);
        if !goes_on {
            if let Some((stream, end)) = last
                && !self.ends_a_line(stream, end)
            {
                parts.all.push(Part { at: parts.size, of: None, from: 0 });
                parts.size += 1;
            }
            parts.all.push(Part { at: parts.size, of: Some(span.stream), from: span.bytes.start });
        }
        parts.size += span.bytes.end - span.bytes.start;
    }

    fn ends_a_line(&self, stream: Stream, end: u64) -> bool {
        let mut last = [0];
        self.log(stream).read_at(end.saturating_sub(1), &mut last).is_ok_and(|read| read == 0 || last == *b"\n")
    }
}

impl Parts {
    /// The part in which a byte lies, and where the next begins.
    fn at(&self, byte: u64) -> Option<(&Part, u64)> {
        let after = self.all.partition_point(|part| part.at <= byte);
        let next = self.all.get(after).map_or(self.size, |part| part.at);
        Some((self.all.get(after.checked_sub(1)?)?, next)).filter(|_| byte < self.size)
    }
}

impl Bytes for Joined {
    fn size(&self) -> u64 {
        let mut parts = self.parts.borrow_mut();
        self.look(&mut parts);
        parts.size
    }

    fn read_at(&self, at: u64, into: &mut [u8]) -> io::Result<usize> {
        let parts = self.parts.borrow();
        let mut read = 0;
        while read < into.len()
            && let Some((part, next)) = parts.at(at + read as u64)
        {
            let here = at + read as u64;
            let most = usize::try_from(next - here).unwrap_or(usize::MAX).min(into.len() - read);
            let room = &mut into[read..read + most];
            let count = match part.of {
                Some(stream) => self.log(stream).read_at(part.from + (here - part.at), room)?,
                None => {
                    room.fill(b'\n');
                    room.len()
                }
            };
            // A log that was cut in the meantime.
            if count == 0 {
                break;
            }
            read += count;
        }
        Ok(read)
    }

    fn has_some_that_stand_out(&self) -> bool {
        self.parts.borrow().all.iter().any(|part| part.of == Some(Stream::Stderr))
    }

    fn stands_out(&self, at: u64) -> bool {
        self.parts.borrow().at(at).is_some_and(|(part, _)| part.of == Some(Stream::Stderr))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::past::example;

    fn text(joined: &Joined) -> String {
        let mut all = vec![0; usize::try_from(joined.size()).unwrap()];
        let read = joined.read_at(0, &mut all).unwrap();
        assert_eq!(read, all.len());
        String::from_utf8(all).unwrap()
    }

    #[test]
    fn lines_stand_in_their_order_and_are_of_one_stream() {
        let (_dir, project) = example::project();
        let mut recording = example::begun(&project);
        let run = project.run(recording.id().as_str()).unwrap();
        let joined = Joined::open(&run).unwrap();
        assert_eq!((joined.size(), joined.has_some_that_stand_out()), (0, false));
        let mut told = |stream, text: &str| recording.output(stream, text.as_bytes()).unwrap();
        told(Stream::Stdout, "one\nname: ");
        told(Stream::Stderr, "wrong\n");
        told(Stream::Stderr, "again\n");
        told(Stream::Stdout, "two\n");
        assert_eq!(text(&joined), "one\nname: \nwrong\nagain\ntwo\n");
        assert!(joined.has_some_that_stand_out());
        let of_stderr: Vec<u64> = (0..joined.size()).filter(|at| joined.stands_out(*at)).collect();
        assert_eq!(of_stderr, (11..23).collect::<Vec<_>>());
        // From within a part, and past its end.
        let mut some = [0; 9];
        assert_eq!(joined.read_at(8, &mut some).unwrap(), 9);
        assert_eq!(&some, b": \nwrong\n");
        told(Stream::Stdout, "three");
        assert!(text(&joined).ends_with("two\nthree"));
        told(Stream::Stderr, "end\n");
        assert!(text(&joined).ends_with("two\nthree\nend\n"));
        assert_eq!(joined.read_at(joined.size(), &mut some).unwrap(), 0);
    }
}
