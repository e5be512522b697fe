//! Replaces known secrets in a stream.

use crate::scan::Wanted;

/// What has come of one stream and is not yet told.
#[derive(Default)]
pub(crate) struct Given {
    held: Vec<u8>,
    /// So many bytes at the front of it belong to a secret that is already told.
    covered: usize,
    /// So many bytes at the front of it are told already, though they may be the beginning of a secret.
    shown: usize,
    /// The secret that was told last, if nothing has come after it.
    last: Option<usize>,
}

/// What a stream comes to, in order.
pub(crate) enum Piece<'a> {
    Text(&'a [u8]),
    Secret(usize),
}

impl Given {
    /// Takes more of the stream, and tells what can no longer become a secret.
    pub(crate) fn push(&mut self, wanted: &Wanted, bytes: &[u8], tell: &mut dyn FnMut(Piece<'_>)) {
        if self.held.is_empty() {
            let told = self.pass(wanted, bytes, false, tell);
            self.held.extend_from_slice(&bytes[told..]);
        } else {
            self.held.extend_from_slice(bytes);
            let held = std::mem::take(&mut self.held);
            let told = self.pass(wanted, &held, false, tell);
            self.held = held;
            self.held.drain(..told);
        }
    }

    /// Tells the first of what is held back, up to so many bytes: nobody goes on for now.
    pub(crate) fn show(&mut self, most: usize, tell: &mut dyn FnMut(Piece<'_>)) {
        let from = self.covered.max(self.shown).min(self.held.len());
        let to = (self.covered + most).min(self.held.len());
        if from < to {
            tell(Piece::Text(&self.held[from..to]));
            (self.shown, self.last) = (to, None);
        }
    }

    /// Tells what is left.
    pub(crate) fn finish(&mut self, wanted: &Wanted, tell: &mut dyn FnMut(Piece<'_>)) {
        let held = std::mem::take(&mut self.held);
        self.pass(wanted, &held, true, tell);
        *self = Given::default();
    }

    #[cfg(test)]
    pub(crate) fn held(&self) -> usize {
        self.held.len()
    }

    /// Whether all that came is told.
    pub(crate) fn is_idle(&self) -> bool {
        self.held.is_empty()
    }

    /// Secrets that overlap are one, under the name of the first; so are two of the same name with nothing between them.
    /// Says how much of the text is done with.
    fn pass(&mut self, wanted: &Wanted, text: &[u8], last: bool, tell: &mut dyn FnMut(Piece<'_>)) -> usize {
        let seen = wanted.scan(text);
        let open = if last { text.len() } else { seen.open };
        // What is told at the front need not be looked at: at most all of it.
        let mut covered = self.covered.min(text.len());
        let mut told = covered.max(self.shown.min(text.len()));
        for found in seen.matches.iter().take_while(|found| found.start < open) {
            let touches = found.start == covered && self.last == Some(found.secret);
            if found.start < covered || touches {
                covered = covered.max(found.end);
                told = told.max(covered);
                continue;
            }
            if found.start > told {
                tell(Piece::Text(&text[told..found.start]));
            }
            tell(Piece::Secret(found.secret));
            (self.last, covered) = (Some(found.secret), found.end);
            told = told.max(covered);
        }
        if open > told {
            tell(Piece::Text(&text[told..open]));
            (self.last, told) = (None, open);
        }
        (self.covered, self.shown) = (covered.saturating_sub(open), told - open);
        open
    }
}
