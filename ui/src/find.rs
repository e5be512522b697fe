//! Searching: in steps through files, so that no length of one holds the keys up.

use crate::bytes::{Bytes, piece};
use memchr::memmem;

/// Bytes that are searched in one step.
const STEP: usize = 2 << 20;

/// What is searched for. Small letters stand for large ones too, unless there is a large one among them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Needle {
    text: String,
    exact: bool,
}

/// A search under way through bytes.
#[derive(Clone, Debug)]
pub(crate) struct Seek {
    /// Forward: the first byte that was not looked at. Backward: the byte after it.
    at: u64,
    back: bool,
    /// It has begun at the other end once more.
    wrapped: bool,
    /// Where it began: the whole was looked at when it comes here again.
    from: u64,
}

/// What one step came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// It is at this byte; whether the search went past the end to it.
    Found(u64, bool),
    /// It is nowhere.
    Nowhere,
    /// There is more to be looked at.
    More,
}

impl Needle {
    /// None of nothing.
    pub(crate) fn new(text: &str) -> Option<Needle> {
        let exact = text.chars().any(char::is_uppercase);
        (!text.is_empty()).then(|| Needle { text: text.to_owned(), exact })
    }

    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// Where it is in a text, as ranges of bytes.
    pub(crate) fn all(&self, text: &str) -> Vec<(usize, usize)> {
        let found = self.folded(text.as_bytes().to_vec());
        memmem::find_iter(&found, self.text.as_bytes()).map(|at| (at, at + self.text.len())).collect()
    }

    fn folded(&self, mut bytes: Vec<u8>) -> Vec<u8> {
        // Letters of ASCII alone: others may change their length.
        if !self.exact {
            bytes.make_ascii_lowercase();
        }
        bytes
    }
}

impl Seek {
    pub(crate) fn new(from: u64, back: bool) -> Seek {
        Seek { at: from, back, wrapped: false, from }
    }

    pub(crate) fn from(&self) -> u64 {
        self.from
    }

    pub(crate) fn is_backward(&self) -> bool {
        self.back
    }

    pub(crate) fn step(&mut self, bytes: &dyn Bytes, needle: &Needle) -> Step {
        if self.back { self.backward(bytes, needle) } else { self.forward(bytes, needle) }
    }

    fn forward(&mut self, bytes: &dyn Bytes, needle: &Needle) -> Step {
        let length = needle.text.len();
        let chunk = needle.folded(piece(bytes, self.at, STEP + length - 1));
        if let Some(found) = memmem::find(&chunk, needle.text.as_bytes()) {
            return Step::Found(self.at + found as u64, self.wrapped);
        }
        self.at += STEP as u64;
        match (self.at >= bytes.size(), self.wrapped) {
            (_, true) if self.at >= self.from => Step::Nowhere,
            (true, true) => Step::Nowhere,
            (true, false) => {
                (self.at, self.wrapped) = (0, true);
                Step::More
            }
            _ => Step::More,
        }
    }

    fn backward(&mut self, bytes: &dyn Bytes, needle: &Needle) -> Step {
        let length = needle.text.len();
        let begin = self.at.saturating_sub(STEP as u64);
        let most = usize::try_from(self.at - begin).unwrap_or(STEP) + length - 1;
        let chunk = needle.folded(piece(bytes, begin, most));
        if let Some(found) = memmem::rfind(&chunk, needle.text.as_bytes()) {
            return Step::Found(begin + found as u64, self.wrapped);
        }
        self.at = begin;
        match (begin == 0, self.wrapped) {
            (_, true) if begin <= self.from => Step::Nowhere,
            (true, true) => Step::Nowhere,
            (true, false) => {
                (self.at, self.wrapped) = (bytes.size(), true);
                Step::More
            }
            _ => Step::More,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn search(bytes: &Vec<u8>, text: &str, from: u64, back: bool) -> Step {
        let (needle, mut seek) = (Needle::new(text).unwrap(), Seek::new(from, back));
        loop {
            match seek.step(bytes, &needle) {
                Step::More => {}
                step => return step,
            }
        }
    }

    #[test]
    fn both_ways_past_the_ends_and_across_steps() {
        let mut bytes = vec![b'.'; 3 * STEP];
        bytes[100..104].copy_from_slice(b"Word");
        bytes[STEP - 2..STEP + 2].copy_from_slice(b"word");
        assert_eq!(search(&bytes, "word", 0, false), Step::Found(100, false));
        assert_eq!(search(&bytes, "word", 101, false), Step::Found(STEP as u64 - 2, false));
        assert_eq!(search(&bytes, "word", STEP as u64, false), Step::Found(100, true));
        assert_eq!(search(&bytes, "Word", 101, false), Step::Found(100, true));
        assert_eq!(search(&bytes, "word", STEP as u64 - 2, true), Step::Found(100, false));
        assert_eq!(search(&bytes, "word", 100, true), Step::Found(STEP as u64 - 2, true));
        assert_eq!(search(&bytes, "nowhere", 55, false), Step::Nowhere);
        assert_eq!(search(&bytes, "nowhere", 55, true), Step::Nowhere);
        assert_eq!(search(&Vec::new(), "x", 0, false), Step::Nowhere);
        assert_eq!(search(&Vec::new(), "x", 0, true), Step::Nowhere);
    }

    #[test]
    fn large_letters_mean_themselves() {
        assert_eq!(Needle::new("ab").unwrap().all("ab AB Ab"), [(0, 2), (3, 5), (6, 8)]);
        assert_eq!(Needle::new("Ab").unwrap().all("ab AB Ab"), [(6, 8)]);
        assert_eq!(Needle::new(""), None);
    }
}
