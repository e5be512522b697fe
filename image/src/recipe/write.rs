//! Writes a layer's recipe while its stream goes by.

use super::{END, FILE, KEPT, Kept, LITERAL, MAGIC, MORE, REPLACED, SUM, TAPE, VERSION, WINDOW_LOG, beside};
use crate::shown::read_shown;
use crate::{Error, Kind, Result, beneath, limits};
use crc32fast::Hasher;
use rustix::fs::{Mode, OFlags};
use std::fs::File;
use std::io::{self, BufRead, Read, Write};
use std::os::fd::AsFd;
use std::path::Path;
use zstd::stream::write::Encoder;

/// Literal bytes that are gathered into one step.
const GATHERED: usize = 64 << 10;

/// Counts what is written, and holds it to a bound.
struct Counted {
    file: File,
    written: u64,
    room: u64,
}

impl Write for Counted {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.written + bytes.len() as u64 > self.room {
            let what = "what it has beside its files takes more room than a layer may";
            return Err(Error::new(Kind::Limit, what).into());
        }
        let wrote = self.file.write(bytes)?;
        self.written += wrote as u64;
        Ok(wrote)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What the recipe is written with.
pub(crate) struct Pen {
    out: Encoder<'static, Counted>,
    literal: Vec<u8>,
    /// The file whose content goes by, and the sum of what went by.
    file: Option<(Vec<u8>, Hasher)>,
    entry: u64,
    bytes: u64,
}

fn number(mut number: u64, out: &mut Vec<u8>) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

fn failed(error: impl Into<io::Error>) -> Error {
    Error::io("writing its recipe", error)
}

impl Pen {
    /// Begins the recipe of the layer that is unpacked to `layer`. It lies beside that folder, as
    /// what the layer replaces within itself does; neither is there yet.
    pub(crate) fn beside(layer: &Path) -> Result<(Pen, Kept)> {
        let (tape, kept) = (beside(layer, TAPE), beside(layer, KEPT));
        let (Some(parent), Some(tape), Some(kept)) = (layer.parent(), tape.file_name(), kept.file_name()) else {
            return Err(failed(io::ErrorKind::InvalidInput));
        };
        let folder = beneath::own_folder(parent)?;
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = rustix::fs::openat(folder.as_fd(), tape, flags, Mode::RUSR | Mode::WUSR).map_err(failed)?;
        let counted = Counted { file: file.into(), written: 0, room: limits::LAYER_BYTES };
        let mut out = Encoder::new(counted, 1).map_err(failed)?;
        out.window_log(WINDOW_LOG).and_then(|()| out.include_checksum(true)).map_err(failed)?;
        let mut start = MAGIC.to_vec();
        number(VERSION, &mut start);
        out.write_all(&start).map_err(failed)?;
        let pen = Pen { out, literal: Vec::with_capacity(GATHERED), file: None, entry: 0, bytes: 0 };
        Ok((pen, Kept::new(folder, kept)))
    }

    fn step(&mut self, step: u8, numbers: &[u64], bytes: &[u8]) -> io::Result<()> {
        let mut start = vec![step];
        numbers.iter().for_each(|n| number(*n, &mut start));
        start.extend_from_slice(bytes);
        self.out.write_all(&start)
    }

    fn flush_literal(&mut self) -> io::Result<()> {
        if self.literal.is_empty() {
            return Ok(());
        }
        let literal = std::mem::take(&mut self.literal);
        self.step(LITERAL, &[literal.len() as u64], b"")?;
        self.out.write_all(&literal)?;
        self.literal = literal;
        self.literal.clear();
        Ok(())
    }

    fn literal(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        if !bytes.is_empty() {
            self.sum()?;
        }
        while !bytes.is_empty() {
            let (now, later) = bytes.split_at(bytes.len().min(GATHERED - self.literal.len()));
            self.literal.extend_from_slice(now);
            if self.literal.len() == GATHERED {
                self.flush_literal()?;
            }
            bytes = later;
        }
        Ok(())
    }

    /// The file whose content went by is over.
    fn sum(&mut self) -> io::Result<()> {
        match self.file.take() {
            Some((_, sum)) => self.step(SUM, &[], &sum.finalize().to_le_bytes()),
            None => Ok(()),
        }
    }

    fn content(&mut self, entry: u64, path: &[u8], offset: u64, length: u64) -> io::Result<()> {
        self.flush_literal()?;
        if self.entry == entry && self.file.as_ref().is_some_and(|(current, _)| current == path) {
            return self.step(MORE, &[offset, length], b"");
        }
        self.sum()?;
        (self.entry, self.file) = (entry, Some((path.to_vec(), Hasher::new())));
        self.step(FILE, &[entry, path.len() as u64], path)?;
        let mut numbers = Vec::new();
        number(offset, &mut numbers);
        number(length, &mut numbers);
        self.out.write_all(&numbers)
    }

    fn replaced(&mut self, entry: u64, path: &[u8]) -> io::Result<()> {
        self.flush_literal()?;
        self.sum()?;
        self.step(REPLACED, &[entry, path.len() as u64], path)
    }

    /// Writes the end, and returns how many bytes the recipe has.
    fn finish(mut self) -> io::Result<u64> {
        self.flush_literal()?;
        self.sum()?;
        self.step(END, &[self.bytes], b"")?;
        self.out.finish().map(|counted| counted.written)
    }
}

/// A stream that writes its recipe as it is read. What is consumed is literal, but for what was
/// announced to be a file's content.
pub(crate) struct Recorded<R> {
    inner: R,
    pen: Pen,
    /// Bytes of announced content that have not gone by yet.
    content: u64,
    failure: Option<io::Error>,
}

impl<R: BufRead> Recorded<R> {
    pub(crate) fn new(inner: R, pen: Pen) -> Self {
        Recorded { inner, pen, content: 0, failure: None }
    }

    /// The next `length` bytes are what lies in the file at `path`, made by entry number `entry`,
    /// from `offset` on.
    pub(crate) fn content(&mut self, entry: u64, path: &[u8], offset: u64, length: u64) -> Result<()> {
        self.content = length;
        if length > 0 { self.pen.content(entry, path, offset, length).map_err(failed) } else { Ok(()) }
    }

    /// Entry number `entry` took the place of what lay at `path`, which was put aside.
    pub(crate) fn replaced(&mut self, entry: u64, path: &[u8]) -> Result<()> {
        self.pen.replaced(entry, path).map_err(failed)
    }

    /// Bytes of the recipe that were written so far.
    pub(crate) fn written(&self) -> u64 {
        self.pen.out.get_ref().written
    }

    /// Holds the recipe to so many bytes.
    pub(crate) fn hold_to(&mut self, room: u64) {
        self.pen.out.get_mut().room = room;
    }

    /// Ends the recipe, and returns how many bytes it has.
    pub(crate) fn finish(self) -> Result<u64> {
        self.failure.map_or_else(|| self.pen.finish(), Err).map_err(failed)
    }
}

impl<R: BufRead> BufRead for Recorded<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        match self.failure.take() {
            Some(error) => Err(error),
            None => self.inner.fill_buf(),
        }
    }

    fn consume(&mut self, count: usize) {
        if count == 0 {
            return;
        }
        // These bytes were shown by then, so nothing is read here.
        let done = self.inner.fill_buf().and_then(|shown| {
            let shown = &shown[..count];
            let content = usize::try_from(self.content).unwrap_or(usize::MAX).min(count);
            let (content, literal) = shown.split_at(content);
            if let Some((_, sum)) = &mut self.pen.file {
                sum.update(content);
            }
            self.content -= content.len() as u64;
            self.pen.bytes += count as u64;
            self.pen.literal(literal)
        });
        self.inner.consume(count);
        if let Err(error) = done {
            self.failure = Some(error);
        }
    }
}

impl<R: BufRead> Read for Recorded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        read_shown(self, buffer)
    }
}
