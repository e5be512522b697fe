//! The line at the bottom into which something is typed.

use crate::keys::Key;

/// What a line is typed for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// To show less of a list, as it is typed.
    Filter,
    Search,
    Command,
}

/// A line that is being typed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Typing {
    pub(crate) purpose: Purpose,
    pub(crate) text: String,
}

/// What a key did to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Typed {
    More,
    Done,
    Dropped,
}

/// What is typed beyond is not taken.
const LONGEST: usize = 200;

impl Typing {
    pub(crate) fn new(purpose: Purpose) -> Typing {
        Typing { purpose, text: String::new() }
    }

    pub(crate) fn key(&mut self, key: Key) -> Typed {
        match key {
            Key::Enter => return Typed::Done,
            Key::Esc | Key::Ctrl('c') => return Typed::Dropped,
            Key::Backspace if self.text.is_empty() => return Typed::Dropped,
            Key::Backspace => drop(self.text.pop()),
            Key::Ctrl('u') => self.text.clear(),
            Key::Ctrl('w') => {
                let kept = self.text.trim_end().rfind(' ').map_or(0, |at| at + 1);
                self.text.truncate(kept);
            }
            Key::Char(c) if self.text.chars().count() < LONGEST => self.text.push(c),
            _ => {}
        }
        Typed::More
    }

    /// What stands before it.
    pub(crate) fn sign(&self) -> char {
        if self.purpose == Purpose::Command { ':' } else { '/' }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_typed_and_mended() {
        let mut line = Typing::new(Purpose::Search);
        "one two".chars().for_each(|c| assert_eq!(line.key(Key::Char(c)), Typed::More));
        line.key(Key::Ctrl('w'));
        assert_eq!(line.text, "one ");
        line.key(Key::Backspace);
        line.key(Key::Up);
        assert_eq!((line.text.clone().as_str(), line.key(Key::Enter)), ("one", Typed::Done));
        line.key(Key::Ctrl('u'));
        assert_eq!((line.key(Key::Backspace), line.key(Key::Esc)), (Typed::Dropped, Typed::Dropped));
        (0..1000).for_each(|_| assert_eq!(line.key(Key::Char('x')), Typed::More));
        assert_eq!(line.text.len(), LONGEST);
    }
}
