//! From a log to one of the caller's streams. A thread of its own writes: no caller can hold this process up.

use super::Bell;
use crate::words::Inert;
use aido_runtime::Error;
use std::fs::File;
use std::io::{ErrorKind, IsTerminal, Read, Write};
use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};

/// So much is handed over at once.
const PIECE: usize = 16 << 10;

/// One log and where it goes.
pub(super) struct Tail {
    log: Option<File>,
    to: SyncSender<Vec<u8>>,
    state: Arc<Mutex<State>>,
    /// Bytes of the log that were read so far.
    read: u64,
    pending: Option<Vec<u8>>,
    shown: Shown,
    terminal: bool,
    /// A terminal stands in the middle of a line.
    in_a_line: bool,
}

/// What becomes of bytes on their way.
enum Shown {
    AsTheyAre,
    /// What could drive a terminal is made harmless.
    Harmless(Inert),
    /// What is no text is replaced.
    Text(Text),
}

/// What the writing thread and its feeder both know.
#[derive(Default)]
struct State {
    /// Bytes that were handed over and not yet written.
    under_way: u64,
    /// The target takes no more: why.
    closed: Option<ErrorKind>,
}

impl Tail {
    pub(super) fn new(target: impl Write + IsTerminal + Send + 'static, raw: bool, bell: &Bell) -> Tail {
        let terminal = target.is_terminal();
        let shown = match (terminal, raw) {
            (true, false) => Shown::Harmless(Inert::default()),
            // A console takes text alone there, and the standard library refuses the rest.
            (true, true) if cfg!(windows) => Shown::Text(Text::default()),
            _ => Shown::AsTheyAre,
        };
        let (to, pieces) = sync_channel(1);
        let state = Arc::new(Mutex::new(State::default()));
        let (own, bell) = (state.clone(), bell.clone());
        std::thread::spawn(move || write(target, &pieces, &own, &bell));
        Tail { log: None, to, state, read: 0, pending: None, shown, terminal, in_a_line: false }
    }

    pub(super) fn follow(&mut self, path: &Path) -> Result<(), Error> {
        let log = File::open(path).map_err(|e| Error::new(format!("cannot follow {}: {e}", path.display())))?;
        self.log = Some(log);
        Ok(())
    }

    /// Whether what was written last to a terminal is a line without its end.
    pub(super) fn is_in_a_line(&self) -> bool {
        self.in_a_line
    }

    /// Bytes that nothing has taken so far. Nobody misses what a closed target would have got.
    pub(super) fn unseen(&self) -> u64 {
        let Some(log) = &self.log else { return 0 };
        let length = log.metadata().map_or(self.read, |meta| meta.len());
        let pending = self.pending.as_ref().map_or(0, |piece| piece.len() as u64);
        length.saturating_sub(self.read) + pending + lock(&self.state).under_way
    }

    /// Whether the target has just been found to be closed; an error if it failed.
    pub(super) fn take_end(&mut self) -> Result<bool, Error> {
        let closed = lock(&self.state).closed;
        match (closed, self.log.take_if(|_| closed.is_some())) {
            (Some(ErrorKind::BrokenPipe), Some(_)) => Ok(true),
            (Some(kind), Some(_)) => Err(Error::new(format!("cannot write the task's output: {kind}"))),
            _ => Ok(false),
        }
    }

    /// Hands over until the log has no more for now, or the writer is behind; true while something is not written.
    pub(super) fn pass(&mut self) -> Result<bool, Error> {
        while let Some(piece) = self.next()? {
            let length = piece.len() as u64;
            lock(&self.state).under_way += length;
            match self.to.try_send(piece) {
                Ok(()) => continue,
                Err(TrySendError::Full(back)) => self.pending = Some(back),
                // Closed: `take_end` says why.
                Err(TrySendError::Disconnected(_)) => {}
            }
            lock(&self.state).under_way -= length;
            break;
        }
        let state = lock(&self.state);
        Ok(state.closed.is_none() && (self.pending.is_some() || state.under_way > 0))
    }

    fn next(&mut self) -> Result<Option<Vec<u8>>, Error> {
        if let Some(piece) = self.pending.take() {
            return Ok(Some(piece));
        }
        let Some(log) = &mut self.log else { return Ok(None) };
        let mut piece = vec![0; PIECE];
        let length = log.read(&mut piece).map_err(|e| Error::new(format!("cannot read the log: {e}")))?;
        piece.truncate(length);
        self.read += length as u64;
        self.in_a_line = match piece.last() {
            Some(last) => self.terminal && *last != b'\n',
            None => self.in_a_line,
        };
        Ok((length > 0).then(|| match &mut self.shown {
            Shown::Harmless(inert) => {
                let mut shown = String::new();
                inert.push(&piece, &mut shown);
                shown.into_bytes()
            }
            Shown::Text(text) => text.push(&piece),
            Shown::AsTheyAre => piece,
        }))
    }

    /// A terminal is shown the beginning of a character that never came to its end, too.
    pub(super) fn complete(&mut self) {
        if let Shown::Harmless(inert) = &mut self.shown {
            let mut shown = String::new();
            inert.finish(&mut shown);
            if !shown.is_empty() {
                let _ = self.to.try_send(shown.into_bytes());
            }
        }
    }
}

/// Bytes as text that is whole: what is none is replaced, and the beginning of a character waits for the rest of it.
#[derive(Default)]
struct Text(Vec<u8>);

impl Text {
    fn push(&mut self, piece: &[u8]) -> Vec<u8> {
        self.0.extend(piece);
        let (mut shown, mut rest) = (Vec::with_capacity(self.0.len()), &self.0[..]);
        while let Err(broken) = std::str::from_utf8(rest) {
            let (whole, after) = rest.split_at(broken.valid_up_to());
            shown.extend(whole);
            rest = after;
            let Some(length) = broken.error_len() else {
                self.0 = rest.to_vec();
                return shown;
            };
            shown.extend("\u{fffd}".as_bytes());
            rest = &rest[length..];
        }
        shown.extend(rest);
        self.0.clear();
        shown
    }
}

fn write(mut target: impl Write, pieces: &Receiver<Vec<u8>>, state: &Mutex<State>, bell: &Bell) {
    for piece in pieces {
        let written = target.write_all(&piece).and_then(|()| target.flush());
        let mut state = lock(state);
        state.under_way = state.under_way.saturating_sub(piece.len() as u64);
        state.closed = written.err().map(|e| e.kind());
        let closed = state.closed.is_some();
        drop(state);
        bell.ring();
        if closed {
            return;
        }
    }
}

fn lock(state: &Mutex<State>) -> std::sync::MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::Text;

    #[test]
    fn what_is_no_text_is_replaced_and_a_divided_character_is_whole() {
        let mut text = Text::default();
        let mut shown = Vec::new();
        for piece in [&b"a\xe2\x82"[..], b"\xac\xff\xfe", b"b\xc3", b"c\xe2", b""] {
            shown.extend(text.push(piece));
            assert!(std::str::from_utf8(&shown).is_ok());
        }
        assert_eq!(String::from_utf8(shown).unwrap(), "a\u{20ac}\u{fffd}\u{fffd}b\u{fffd}c");
        assert_eq!(text.push(b"\x82\xac"), "\u{20ac}".as_bytes());
    }
}
