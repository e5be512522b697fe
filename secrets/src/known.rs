//! Replaces credentials of well-known formats in a stream.

use crate::formats::{Rest, Verdict, judge};
use crate::rules::{self, RULES};
use aho_corasick::packed;
use aho_corasick::{AhoCorasick, Span};

/// Finds the beginnings of all formats.
pub(crate) struct Beginnings {
    fast: Option<packed::Searcher>,
    plain: Option<AhoCorasick>,
}

impl Beginnings {
    pub(crate) fn new() -> Self {
        let prefixes = RULES.iter().map(|rule| rule.prefix);
        // With wide instructions, where the processor has them.
        let fast = packed::Searcher::new(prefixes.clone());
        let plain = if fast.is_none() { AhoCorasick::new(prefixes).ok() } else { None };
        Beginnings { fast, plain }
    }

    /// The first from `from` on: its rule, and where.
    fn next(&self, text: &[u8], from: usize) -> Option<(usize, usize)> {
        let span = Span { start: from, end: text.len() };
        let found = match (&self.fast, &self.plain) {
            (Some(fast), _) => fast.find_in(text, span),
            (None, plain) => plain.as_ref().and_then(|plain| plain.find(aho_corasick::Input::new(text).span(span))),
        };
        found.map(|found| (found.pattern().as_usize(), found.start()))
    }
}

/// What has come of one stream and is not yet told.
pub(crate) struct Known {
    held: Vec<u8>,
    /// So many bytes at the front of it are told already, though they may be the beginning of a credential.
    shown: usize,
    /// The two bytes before it.
    before: [u8; 2],
    /// What belongs to a credential that is already told.
    rest: Rest,
}

pub(crate) enum Piece<'a> {
    Text(&'a [u8]),
    /// A credential, by the name of its format.
    Credential(&'static str),
}

impl Known {
    pub(crate) fn new() -> Self {
        Known { held: Vec::new(), shown: 0, before: *b"\n\n", rest: Rest::Nothing }
    }

    pub(crate) fn push(&mut self, beginnings: &Beginnings, bytes: &[u8], tell: &mut dyn FnMut(Piece<'_>)) {
        if self.held.is_empty() {
            let told = self.pass(beginnings, bytes, false, tell);
            self.held.extend_from_slice(&bytes[told..]);
        } else {
            self.held.extend_from_slice(bytes);
            let held = std::mem::take(&mut self.held);
            let told = self.pass(beginnings, &held, false, tell);
            self.held = held;
            self.held.drain(..told);
        }
    }

    /// Tells the first of what is held back, up to so many bytes: nobody goes on for now.
    pub(crate) fn show(&mut self, most: usize, tell: &mut dyn FnMut(Piece<'_>)) {
        let to = most.min(self.held.len());
        if self.shown < to {
            tell(Piece::Text(&self.held[self.shown..to]));
            self.shown = to;
        }
    }

    pub(crate) fn finish(&mut self, beginnings: fn() -> &'static Beginnings, tell: &mut dyn FnMut(Piece<'_>)) {
        let held = std::mem::take(&mut self.held);
        // Making them ready costs a part of a short run's time: where nothing was written they are not needed.
        if !held.is_empty() {
            self.pass(beginnings(), &held, true, tell);
        }
        *self = Known::new();
    }

    #[cfg(test)]
    pub(crate) fn held(&self) -> usize {
        self.held.len()
    }

    pub(crate) fn is_idle(&self) -> bool {
        self.held.is_empty()
    }

    /// Something else than text was told.
    pub(crate) fn interrupted(&mut self) {
        (self.before, self.rest) = (*b"]]", Rest::Nothing);
    }

    /// Says how much of the text is done with.
    fn pass(&mut self, beginnings: &Beginnings, text: &[u8], last: bool, tell: &mut dyn FnMut(Piece<'_>)) -> usize {
        // What was shown is done with for the reader, but not for the search.
        let shown = std::mem::take(&mut self.shown);
        let mut told = self.belonging(text);
        let (mut from, mut front) = (told, told);
        while let Some((rule, at)) = beginnings.next(text, from) {
            from = at + 1;
            if !self.may_begin(text, front, at) {
                continue;
            }
            match judge(rule, &text[at..], last) {
                Verdict::No => {}
                Verdict::Unsure => return self.tell(text, told, at, shown, tell),
                Verdict::Yes { from: start, to, rest } => {
                    self.tell(text, told, at + start, shown, tell);
                    tell(Piece::Credential(RULES[rule].what));
                    self.rest = rest;
                    told = at + to;
                    told += self.belonging(&text[told..]);
                    self.before = *b"]]";
                    (from, front) = (told, told);
                }
            }
        }
        let open = if last { text.len() } else { self.open(text, front, from) };
        self.tell(text, told, open.max(told), shown, tell)
    }

    /// How much at the front of a text belongs to a credential that is told.
    fn belonging(&mut self, text: &[u8]) -> usize {
        let (count, more) = self.rest.take(text);
        if !more {
            self.rest = Rest::Nothing;
        }
        count
    }

    /// Tells a stretch, without so much at the front of the text as was shown before.
    fn tell(&mut self, text: &[u8], from: usize, to: usize, shown: usize, tell: &mut dyn FnMut(Piece<'_>)) -> usize {
        self.shown = shown.saturating_sub(to);
        match &text[from..to] {
            [] => return to,
            [one] => self.before = [self.before[1], *one],
            [.., one, two] => self.before = [*one, *two],
        }
        if shown.max(from) < to {
            tell(Piece::Text(&text[shown.max(from)..to]));
        }
        to
    }

    /// Not in the middle of a word. A ruler is no head of a PEM block.
    fn may_begin(&self, text: &[u8], front: usize, at: usize) -> bool {
        let [second, before] = match text[front..at] {
            [] => self.before,
            [one] => [self.before[1], one],
            [.., one, two] => [one, two],
        };
        // A line end that is written out may stand before it.
        let written = second == b'\\' && matches!(before, b'n' | b'r' | b't');
        if text[at] == b'-' { before != b'-' } else { written || !rules::is_word(before) }
    }

    /// From where on the end of a text may be the beginning of a format.
    fn open(&self, text: &[u8], front: usize, from: usize) -> usize {
        let longest = RULES.iter().map(|rule| rule.prefix.len()).max().unwrap_or(0);
        let first = text.len().saturating_sub(longest - 1).max(from);
        let begins = |at: &usize| {
            let end = &text[*at..];
            RULES.iter().any(|rule| rule.prefix.as_bytes().starts_with(end)) && self.may_begin(text, front, *at)
        };
        (first..text.len()).find(begins).unwrap_or(text.len())
    }
}
