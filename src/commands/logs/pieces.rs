//! What a task wrote, piece by piece in the order in which it came.

use aido_evidence::{Order, Piece, Run, Stream};
use anyhow::{Context, Result};
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::ops::Range;
use std::time::Duration;

/// Takes bytes of a stream, and when they came.
pub(super) type Take<'a> = dyn FnMut(Stream, Option<jiff::Timestamp>, &[u8]) -> Result<()> + 'a;

/// The logs of a run on their way to a reader.
pub(in crate::commands) struct Pieces {
    run: Run,
    logs: Vec<Log>,
    order: Option<Order>,
    /// The last piece that was told: more of it may come.
    current: Option<Piece>,
    /// The time of the first event, and the same by the machine's clock.
    begun: Option<(jiff::Timestamp, u64)>,
}

/// Bytes of one stream that follow each other.
pub(in crate::commands) struct Span {
    pub(in crate::commands) stream: Stream,
    /// Where they lie in the log of that stream.
    pub(in crate::commands) bytes: Range<u64>,
    /// When they came.
    time: Option<jiff::Timestamp>,
}

struct Log {
    stream: Stream,
    file: File,
    /// So far it was told.
    at: u64,
    /// So much was there when it was looked at.
    size: u64,
}

impl Pieces {
    pub(in crate::commands) fn open(run: &Run, streams: &[Stream]) -> Result<Pieces> {
        let log = |stream: &Stream| {
            let file = run.open_output(*stream)?;
            Ok(Log { stream: *stream, file, at: 0, size: 0 })
        };
        let begun = run.begun().and_then(|begun| Some((begun.time.parse().ok()?, begun.mono_ms)));
        let logs = streams.iter().map(log).collect::<Result<_>>()?;
        Ok(Pieces { run: run.clone(), logs, order: run.order()?, current: None, begun })
    }

    /// Whether it is on record when output came.
    pub(super) fn have_times(&self) -> bool {
        self.order.is_some()
    }

    /// Tells what is there; whether there was anything. At the end also what no piece speaks of.
    pub(super) fn pass(&mut self, ended: bool, take: &mut Take<'_>) -> Result<bool> {
        let spans = self.spans(ended)?;
        for span in &spans {
            if let Some(log) = self.logs.iter_mut().find(|log| log.stream == span.stream) {
                log.tell(span, take)?;
            }
        }
        Ok(!spans.is_empty())
    }

    /// What is there and was not told so far, in order; the bytes are for the caller to read.
    pub(in crate::commands) fn spans(&mut self, ended: bool) -> Result<Vec<Span>> {
        // First: every byte that is there by now has its piece on record already.
        for log in &mut self.logs {
            log.size = log.file.metadata().context("the log cannot be looked at")?.len();
        }
        if self.order.is_none() {
            self.order = self.run.order()?;
        }
        let mut pieces: Vec<Piece> = self.current.take().into_iter().collect();
        if let Some(order) = &mut self.order {
            pieces.extend(order.more().context("order.log cannot be read")?);
        }
        let mut spans = Vec::new();
        for (piece, end) in with_ends(&pieces) {
            let time = self.time_of(&piece);
            let log = self.logs.iter_mut().find(|log| log.stream == piece.stream);
            spans.extend(log.and_then(|log| log.up_to(end, time)));
        }
        self.current = pieces.last().copied();
        if ended || self.order.is_none() {
            spans.extend(self.logs.iter_mut().filter_map(|log| log.up_to(u64::MAX, None)));
        }
        Ok(spans)
    }

    fn time_of(&self, piece: &Piece) -> Option<jiff::Timestamp> {
        let (begun, mono) = self.begun?;
        begun.checked_add(Duration::from_millis(piece.mono_ms.saturating_sub(mono))).ok()
    }
}

/// Each piece, and where the next one of its stream begins.
fn with_ends(pieces: &[Piece]) -> Vec<(Piece, u64)> {
    let mut next = [u64::MAX; 2];
    let mut found: Vec<_> = pieces
        .iter()
        .rev()
        .map(|piece| (*piece, std::mem::replace(&mut next[usize::from(piece.stream == Stream::Stderr)], piece.from)))
        .collect();
    found.reverse();
    found
}

impl Log {
    /// What was not told, up to there or to what there is.
    fn up_to(&mut self, end: u64, time: Option<jiff::Timestamp>) -> Option<Span> {
        let bytes = self.at..end.min(self.size);
        self.at = self.at.max(bytes.end);
        (!bytes.is_empty()).then_some(Span { stream: self.stream, bytes, time })
    }

    fn tell(&mut self, span: &Span, take: &mut Take<'_>) -> Result<()> {
        let Range { start: mut at, end } = span.bytes;
        self.file.seek(SeekFrom::Start(at)).context("the log cannot be read")?;
        let mut buffer = vec![0; 64 * 1024];
        while at < end {
            let most = usize::try_from(end - at).unwrap_or(usize::MAX).min(buffer.len());
            let count = self.file.read(&mut buffer[..most]).context("the log cannot be read")?;
            if count == 0 {
                // It was cut in the meantime.
                break;
            }
            at += count as u64;
            take(span.stream, span.time, &buffer[..count])?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_piece_ends_where_the_next_of_its_stream_begins() {
        let piece = |stream, from| Piece { stream, from, mono_ms: 0 };
        let pieces = [piece(Stream::Stdout, 0), piece(Stream::Stderr, 0), piece(Stream::Stdout, 7)];
        let ends: Vec<u64> = with_ends(&pieces).into_iter().map(|(_, end)| end).collect();
        assert_eq!(ends, [7, u64::MAX, u64::MAX]);
    }
}
