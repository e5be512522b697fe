//! Finds needles in a text: the filter says where, the automata say what.

use crate::automaton::Automaton;
use crate::filter::{Filter, Search};
use crate::forms::{BEFORE_BREAK, Needle, needles};
use aho_corasick::automaton::StateID;

/// The most space that begins a line within an encoded text.
const INDENT: usize = 16;
/// A line break within a needle: its end, and the space before the next line.
pub(crate) const BREAK: usize = 2 + INDENT;
/// The shortest line of an encoded text, but for its first and its last.
pub(crate) const LINE: usize = 16;
/// The end of a text is always looked at: what of a needle lies there may be too short for the filter.
const TAIL: usize = 4 * LINE + 2 * BREAK;

/// What is looked for.
pub(crate) struct Wanted {
    tight: Option<Automaton>,
    broken: Option<Automaton>,
    filter: Filter,
}

/// A needle in a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Match {
    pub(crate) start: usize,
    pub(crate) end: usize,
    pub(crate) secret: usize,
}

/// What is in a text.
#[derive(Debug)]
pub(crate) struct Seen {
    /// By their starts, of those that start together the longest first.
    pub(crate) matches: Vec<Match>,
    /// From here on the text may be the beginning of a needle.
    pub(crate) open: usize,
}

impl Wanted {
    pub(crate) fn new(values: &[&[u8]]) -> Wanted {
        let needles = needles(values);
        let of = |breaks: bool| Automaton::new(needles.iter().filter(move |needle: &&Needle| needle.breaks == breaks));
        Wanted { tight: of(false), broken: of(true), filter: Filter::new(&needles) }
    }

    #[cfg(test)]
    pub(crate) fn by_grams(values: &[&[u8]]) -> Wanted {
        Wanted { filter: Filter::by_grams(&needles(values)), ..Wanted::new(values) }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.tight.is_none() && self.broken.is_none()
    }

    #[cfg(test)]
    pub(crate) fn memory(&self) -> usize {
        [&self.tight, &self.broken].into_iter().flatten().map(Automaton::memory).sum::<usize>() + self.filter.memory()
    }

    pub(crate) fn scan(&self, text: &[u8]) -> Seen {
        let mut seen = Seen { matches: Vec::new(), open: text.len() };
        if self.is_empty() {
            return seen;
        }
        let (mut search, mut done) = (Search::default(), 0);
        while let Some(hit) = self.filter.next(&mut search, text, done) {
            let from = hit.saturating_sub(self.filter.span()).max(done);
            done = self.walk(text, from, hit + 1, &mut seen);
        }
        if done < text.len() {
            let from = text.len().saturating_sub(TAIL).max(done);
            self.walk(text, from, text.len(), &mut seen);
        }
        seen.matches.sort_by_key(|found| (found.start, std::cmp::Reverse(found.end)));
        seen
    }

    /// Looks at each byte from `from` on, up to `to` at least and until nothing is open. Says where that was.
    fn walk(&self, text: &[u8], from: usize, to: usize, seen: &mut Seen) -> usize {
        let mut tight = self.tight.as_ref().map(|automaton| Tight { automaton, state: automaton.root() });
        let mut broken = self.broken.as_ref().map(|automaton| Broken::new(automaton, from));
        let mut at = from;
        while at < text.len() {
            let idle = tight.as_ref().is_none_or(Tight::is_idle) && broken.as_ref().is_none_or(Broken::is_idle);
            if at >= to && idle {
                return at;
            }
            if let Some(tight) = &mut tight {
                tight.step(text, at, seen);
            }
            if let Some(broken) = &mut broken {
                broken.step(text, at, seen);
            }
            at += 1;
        }
        let open = [tight.map(|tight| tight.open(text.len())), broken.map(|broken| broken.open(text))];
        seen.open = open.into_iter().flatten().fold(seen.open, usize::min);
        at
    }
}

/// Needles that are found whole.
struct Tight<'a> {
    automaton: &'a Automaton,
    state: StateID,
}

impl Tight<'_> {
    fn is_idle(&self) -> bool {
        self.automaton.depth(self.state) == 0
    }

    fn step(&mut self, text: &[u8], at: usize, seen: &mut Seen) {
        self.state = self.automaton.step(self.state, text[at]);
        if let Some((length, secret)) = self.automaton.ending(self.state).next() {
            seen.matches.push(Match { start: at + 1 - length, end: at + 1, secret });
        }
    }

    fn open(&self, end: usize) -> usize {
        end - self.automaton.depth(self.state)
    }
}

/// Needles that may be broken into lines.
struct Broken<'a> {
    automaton: &'a Automaton,
    state: StateID,
    /// Letters since the last break, and where they begin.
    letters: usize,
    line: usize,
    /// In a break: bytes of it so far.
    space: Option<usize>,
}

impl<'a> Broken<'a> {
    fn new(automaton: &'a Automaton, from: usize) -> Self {
        Broken { automaton, state: automaton.root(), letters: usize::MAX / 2, line: from, space: None }
    }

    fn is_idle(&self) -> bool {
        self.automaton.depth(self.state) == 0
    }

    fn step(&mut self, text: &[u8], at: usize, seen: &mut Seen) {
        let byte = text[at];
        match self.space {
            Some(count) if matches!(byte, b' ' | b'\t') && count < INDENT => {
                self.space = Some(count + 1);
                return;
            }
            // The second half of the line's end.
            None if byte == b'\r' && text.get(at + 1).is_none_or(|next| *next == b'\n') && !self.is_idle() => {
                return;
            }
            None if byte == b'\n' && !self.is_idle() => {
                self.line_ends(text, at);
                return;
            }
            _ => {}
        }
        if self.space.take().is_some() {
            (self.letters, self.line) = (0, at);
        }
        self.letters += 1;
        self.state = self.automaton.step(self.state, folded(byte));
        for (length, secret) in self.automaton.ending(self.state) {
            // One that was broken where no encoder does it is none; a shorter one may be.
            if let Some(start) = start(text, at + 1, length) {
                seen.matches.push(Match { start, end: at + 1, secret });
                break;
            }
        }
    }

    /// What goes on over the end of a line: what had some letters before it, and no other break shortly before that.
    fn line_ends(&mut self, text: &[u8], at: usize) {
        let depth = self.automaton.depth(self.state);
        if depth > self.letters && self.letters < LINE {
            let line = text[self.line..at].iter().filter(|byte| **byte != b'\r');
            self.state = line.fold(self.automaton.root(), |state, byte| self.automaton.step(state, folded(*byte)));
        }
        if self.automaton.depth(self.state) < BEFORE_BREAK {
            self.state = self.automaton.root();
            (self.letters, self.line) = (usize::MAX / 2, at + 1);
        } else {
            self.space = Some(0);
        }
    }

    /// Where what has been matched so far begins.
    fn open(&self, text: &[u8]) -> usize {
        let mut end = text.len();
        if self.is_idle() {
            return end;
        }
        if let Some(count) = self.space {
            end -= count;
            end = before_break(text, end).unwrap_or(end);
        } else if text.ends_with(b"\r") {
            end -= 1;
        }
        back(text, end, self.automaton.depth(self.state)).map_or(0, |walked| walked.start)
    }
}

/// The two alphabets of Base64 are one.
fn folded(byte: u8) -> u8 {
    match byte {
        b'-' => b'+',
        b'_' => b'/',
        byte => byte,
    }
}

/// Where a needle of so many letters begins that ends at `end`, if its line breaks are such as encoders make.
fn start(text: &[u8], end: usize, letters: usize) -> Option<usize> {
    let walked = back(text, end, letters)?;
    (walked.fits).then_some(walked.start)
}

struct Walked {
    start: usize,
    fits: bool,
}

/// Goes back over so many letters and the line breaks between them.
fn back(text: &[u8], end: usize, letters: usize) -> Option<Walked> {
    let (mut at, mut left, mut fits) = (end, letters, true);
    // Letters since the last break, from the back: none seen yet.
    let mut line = None;
    while left > 0 {
        let byte = *text.get(at.checked_sub(1)?)?;
        let over = (left < letters).then(|| before_break(text, at)).flatten();
        if let Some(over) = over {
            fits &= left >= BEFORE_BREAK && line.is_none_or(|line| line >= LINE);
            line = Some(0);
            at = over;
            continue;
        }
        if matches!(byte, b'\n' | b'\r') {
            return None;
        }
        at -= 1;
        left -= 1;
        line = line.map(|line| line + 1);
    }
    Some(Walked { start: at, fits })
}

/// Where the line before ends, if a line begins at `at`, or after its indentation.
fn before_break(text: &[u8], at: usize) -> Option<usize> {
    let mut end = at;
    while end > 0 && at - end < INDENT && matches!(text[end - 1], b' ' | b'\t') {
        end -= 1;
    }
    if end == 0 || text[end - 1] != b'\n' {
        return None;
    }
    end -= 1;
    Some(if end > 0 && text[end - 1] == b'\r' { end - 1 } else { end })
}
