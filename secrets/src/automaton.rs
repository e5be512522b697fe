//! All needles in one pass: the automaton of Aho and Corasick, with the length of what it has matched so far.

use crate::forms::Needle;
use aho_corasick::automaton::{Automaton as _, StateID};
use aho_corasick::nfa::contiguous::NFA;
use aho_corasick::{Anchored, MatchKind};

pub(crate) struct Automaton {
    nfa: NFA,
    root: StateID,
    /// For each state, how many bytes at the end of the text are the beginning of a needle.
    depths: Vec<u8>,
    /// For each needle, its secret.
    secrets: Vec<usize>,
}

impl Automaton {
    /// `None` for no needles, or more than it can take.
    pub(crate) fn new<'a>(needles: impl Iterator<Item = &'a Needle> + Clone) -> Option<Automaton> {
        let secrets: Vec<usize> = needles.clone().map(|needle| needle.secret).collect();
        if secrets.is_empty() {
            return None;
        }
        let mut builder = NFA::builder();
        builder.match_kind(MatchKind::Standard).prefilter(false);
        let nfa = builder.build(needles.clone().map(|needle| &needle.bytes)).ok()?;
        let root = nfa.start_state(Anchored::No).ok()?;
        let mut depths = Vec::new();
        for needle in needles {
            let mut state = root;
            for (n, byte) in needle.bytes.iter().enumerate() {
                state = nfa.next_state(Anchored::No, state, *byte);
                if depths.len() <= state.as_usize() {
                    depths.resize(state.as_usize() + 1, 0);
                }
                depths[state.as_usize()] = u8::try_from(n + 1).unwrap_or(u8::MAX);
            }
        }
        Some(Automaton { nfa, root, depths, secrets })
    }

    pub(crate) fn root(&self) -> StateID {
        self.root
    }

    pub(crate) fn step(&self, state: StateID, byte: u8) -> StateID {
        self.nfa.next_state(Anchored::No, state, byte)
    }

    pub(crate) fn depth(&self, state: StateID) -> usize {
        self.depths.get(state.as_usize()).map_or(0, |depth| usize::from(*depth))
    }

    /// The needles that end here, the longest first: length and secret.
    pub(crate) fn ending(&self, state: StateID) -> impl Iterator<Item = (usize, usize)> + '_ {
        let count = if self.nfa.is_match(state) { self.nfa.match_len(state) } else { 0 };
        (0..count).map(move |n| {
            let needle = self.nfa.match_pattern(state, n);
            (self.nfa.pattern_len(needle), self.secrets[needle.as_usize()])
        })
    }

    #[cfg(test)]
    pub(crate) fn memory(&self) -> usize {
        self.nfa.memory_usage() + self.depths.len()
    }
}
