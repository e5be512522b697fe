//! What a task wrote, piece by piece in the order in which it came.

use aido_evidence::{Order, Piece, Run, Stream};
use anyhow::{Context, Result};
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::time::Duration;

/// Takes bytes of a stream, and when they came.
pub(super) type Take<'a> = dyn FnMut(Stream, Option<jiff::Timestamp>, &[u8]) -> Result<()> + 'a;

/// The logs of a run on their way to a reader.
pub(super) struct Pieces {
    run: Run,
    logs: Vec<Log>,
    order: Option<Order>,
    /// The last piece that was told: more of it may come.
    current: Option<Piece>,
    /// The time of the first event, and the same by the machine's clock.
    begun: Option<(jiff::Timestamp, u64)>,
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
    pub(super) fn open(run: &Run, streams: &[Stream]) -> Result<Pieces> {
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
        let before: u64 = self.logs.iter().map(|log| log.at).sum();
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
        for (piece, end) in with_ends(&pieces) {
            self.tell(&piece, end, take)?;
        }
        self.current = pieces.last().copied();
        if ended || self.order.is_none() {
            for log in &mut self.logs {
                log.tell(u64::MAX, &mut |stream, bytes| take(stream, None, bytes))?;
            }
        }
        Ok(self.logs.iter().map(|log| log.at).sum::<u64>() > before)
    }

    fn tell(&mut self, piece: &Piece, end: u64, take: &mut Take<'_>) -> Result<()> {
        let time = self.begun.and_then(|(begun, mono)| {
            begun.checked_add(Duration::from_millis(piece.mono_ms.saturating_sub(mono))).ok()
        });
        match self.logs.iter_mut().find(|log| log.stream == piece.stream) {
            Some(log) => log.tell(end, &mut |stream, bytes| take(stream, time, bytes)),
            None => Ok(()),
        }
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
    /// Up to there, or to what there is.
    fn tell(&mut self, end: u64, take: &mut dyn FnMut(Stream, &[u8]) -> Result<()>) -> Result<()> {
        let end = end.min(self.size);
        if self.at >= end {
            return Ok(());
        }
        self.file.seek(SeekFrom::Start(self.at)).context("the log cannot be read")?;
        let mut buffer = vec![0; 64 * 1024];
        while self.at < end {
            let most = usize::try_from(end - self.at).unwrap_or(usize::MAX).min(buffer.len());
            let count = self.file.read(&mut buffer[..most]).context("the log cannot be read")?;
            if count == 0 {
                // It was cut in the meantime.
                self.size = self.at;
                break;
            }
            self.at += count as u64;
            take(self.stream, &buffer[..count])?;
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
