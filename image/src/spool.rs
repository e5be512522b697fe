//! A blob on its way that leaves its head behind, in case it does not arrive.
//!
//! A head costs a copy of every byte, so only what comes slowly keeps one: over a fast network to
//! ask again costs less.

use crate::manifest::Blob;
use crate::origin::Origin;
use crate::store::{Head, Store};
use crate::{Digest, Result};
use std::io::{self, Read};
use std::time::{Duration, Instant};

/// What comes in this time needs no head.
const SOON: Duration = Duration::from_secs(5);
/// Speed is judged after this time, or after so many bytes, which wait in memory until then …
const FIRST: Duration = Duration::from_millis(250);
const HELD: usize = 1 << 20;
/// … and once more a little later, since a transfer begins slowly.
const SECOND: Duration = Duration::from_secs(2);

/// What becomes of the bytes that came.
enum Keeping {
    /// They wait for the first judgement.
    Held(Vec<u8>),
    /// They are kept; may they still be given up?
    Kept(Head, bool),
    Not,
}

/// Reads the head, then the rest from the origin.
pub(crate) struct Spooled<'a> {
    store: &'a Store,
    blob: Digest,
    size: u64,
    /// How many bytes of the head are to be read, and were.
    head: u64,
    at: u64,
    rest: Box<dyn Read + Send + 'a>,
    start: Option<Instant>,
    came: u64,
    keeping: Keeping,
}

/// How a blob comes in.
pub(crate) enum Coming<'a> {
    Spooled(Spooled<'a>),
    /// From near by.
    Plain(Box<dyn Read + Send + 'a>),
}

/// Opens a blob, with its head where there is one.
pub(crate) fn open<'a>(store: &'a Store, origin: &'a dyn Origin, blob: &Blob) -> Result<Coming<'a>> {
    let head = store.head(&blob.digest)?;
    let head = match head {
        // More than there is of it: somebody else's bytes.
        Some(head) if head.length() > blob.size => {
            head.remove()?;
            None
        }
        head => head,
    };
    let length = head.as_ref().map_or(0, Head::length);
    Ok(match origin.blob_from(blob, length)? {
        None => Coming::Plain(origin.blob(blob)?),
        Some(rest) => Coming::Spooled(Spooled {
            store,
            blob: blob.digest,
            size: blob.size,
            head: length,
            at: 0,
            rest,
            start: None,
            came: 0,
            keeping: head.map_or(Keeping::Held(Vec::new()), |head| Keeping::Kept(head, false)),
        }),
    })
}

impl Coming<'_> {
    /// Bytes that are older than this pull.
    pub(crate) fn head(&self) -> u64 {
        match self {
            Coming::Spooled(spooled) => spooled.head,
            Coming::Plain(_) => 0,
        }
    }
}

impl Read for Coming<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Coming::Spooled(spooled) => spooled.read(buffer),
            Coming::Plain(plain) => plain.read(buffer),
        }
    }
}

impl Read for Spooled<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.at < self.head
            && let Keeping::Kept(head, _) = &self.keeping
        {
            let most = usize::try_from(self.head - self.at).unwrap_or(usize::MAX).min(buffer.len());
            let got = head.read_at(&mut buffer[..most], self.at)?;
            self.at += got as u64;
            if got > 0 || most == 0 {
                return Ok(got);
            }
            return Err(io::Error::other("what is here of the blob became shorter"));
        }
        let start = *self.start.get_or_insert_with(Instant::now);
        let got = self.rest.read(buffer);
        let bytes = got.as_ref().map_or(&[][..], |got| &buffer[..*got]);
        self.came += bytes.len() as u64;
        let done = self.head + self.came >= self.size;
        self.keep(bytes, start.elapsed(), got.is_err() && !done);
        got
    }
}

impl Spooled<'_> {
    /// A head is a convenience: what goes wrong with it ends it and nothing else.
    fn keep(&mut self, bytes: &[u8], elapsed: Duration, broken: bool) {
        let soon = self.soon(elapsed);
        self.keeping = match std::mem::replace(&mut self.keeping, Keeping::Not) {
            Keeping::Held(mut held) => {
                held.extend_from_slice(bytes);
                match (elapsed >= FIRST || held.len() >= HELD, soon && !broken) {
                    (false, _) if !broken => Keeping::Held(held),
                    (true, true) => Keeping::Not,
                    _ if held.is_empty() => Keeping::Not,
                    _ => self.begin(&held),
                }
            }
            Keeping::Kept(head, true) if soon && elapsed >= FIRST => {
                let _ = head.remove();
                Keeping::Not
            }
            Keeping::Kept(mut head, young) => match head.append(bytes) {
                Ok(()) => Keeping::Kept(head, young && elapsed < SECOND),
                Err(_) => {
                    let _ = head.remove();
                    Keeping::Not
                }
            },
            Keeping::Not => Keeping::Not,
        };
    }

    fn begin(&self, held: &[u8]) -> Keeping {
        let Ok(Some(mut head)) = self.store.new_head(&self.blob) else { return Keeping::Not };
        match head.append(held) {
            Ok(()) => Keeping::Kept(head, true),
            Err(_) => {
                let _ = head.remove();
                Keeping::Not
            }
        }
    }

    /// Whether the rest comes soon, at the speed so far.
    fn soon(&self, elapsed: Duration) -> bool {
        let left = self.size.saturating_sub(self.head + self.came) as f64;
        let speed = self.came as f64 / elapsed.as_secs_f64().max(1e-6);
        left <= speed * SOON.as_secs_f64()
    }
}

#[cfg(test)]
mod tests;
