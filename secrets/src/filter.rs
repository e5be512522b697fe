//! Where a needle may be: most of a text is told apart from it by looking at a few of its bytes.
//!
//! A few needles are looked for by their beginnings, with wide instructions, where the processor has them.
//!
//! For many, or without: a needle that is in the text has a run of so many bytes there without a line break. Whoever looks
//! at every `stride`-th place sees `WIDTH` bytes within that run, and these are on a list of all that needles have.

use crate::forms::{BEFORE_BREAK, Needle};
use crate::scan::{BREAK, LINE};
use aho_corasick::{Span, packed};
use std::collections::{BTreeSet, HashSet};

/// Bytes between two looks at most: more saves nothing.
const STRIDE: usize = 8;

/// Bytes of a beginning at most: with these a text seldom has it by chance.
const BEGINNING: usize = 8;

pub(crate) struct Filter {
    way: Way,
    span: usize,
}

enum Way {
    Beginnings(packed::Searcher),
    /// For needles whose runs are long enough to look at eight bytes, and for the others.
    Grams(Box<Grams<8>>, Box<Grams<4>>),
}

/// Where a search has come to.
#[derive(Default)]
pub(crate) struct Search {
    wide: Next,
    narrow: Next,
}

#[derive(Default)]
struct Next {
    hit: Option<usize>,
    over: bool,
}

impl Filter {
    pub(crate) fn new(needles: &[Needle]) -> Filter {
        let span = |needle: &Needle| {
            let length = needle.bytes.len();
            length + if needle.breaks { BREAK * (length / LINE + 1) } else { 0 }
        };
        let span = needles.iter().map(span).max().unwrap_or(0);
        let way = packed::Searcher::new(beginnings(needles)).map_or_else(|| Way::grams(needles), Way::Beginnings);
        Filter { way, span }
    }

    /// As it is for many needles, or without wide instructions.
    #[cfg(test)]
    pub(crate) fn by_grams(needles: &[Needle]) -> Filter {
        Filter { way: Way::grams(needles), ..Filter::new(needles) }
    }

    #[cfg(test)]
    pub(crate) fn memory(&self) -> usize {
        match &self.way {
            Way::Beginnings(searcher) => searcher.memory_usage(),
            Way::Grams(wide, narrow) => wide.memory() + narrow.memory(),
        }
    }

    /// The most bytes of a text that a needle takes.
    pub(crate) fn span(&self) -> usize {
        self.span
    }

    /// The first place from `from` on that is worth a closer look. A needle that is there begins at most a span before.
    pub(crate) fn next(&self, search: &mut Search, text: &[u8], from: usize) -> Option<usize> {
        match &self.way {
            Way::Beginnings(searcher) => {
                searcher.find_in(text, Span { start: from, end: text.len() }).map(|hit| hit.start())
            }
            Way::Grams(wide, narrow) => {
                let wide = wide.next(&mut search.wide, text, from);
                let narrow = narrow.next(&mut search.narrow, text, from);
                wide.into_iter().chain(narrow).min()
            }
        }
    }
}

impl Way {
    fn grams(needles: &[Needle]) -> Way {
        let (wide, narrow): (Vec<&Needle>, Vec<&Needle>) = needles.iter().partition(|needle| run(needle) >= 12);
        Way::Grams(Box::new(Grams::new(&wide)), Box::new(Grams::new(&narrow)))
    }
}

/// What each needle begins with wherever it is in a text: no line break comes so early.
fn beginnings(needles: &[Needle]) -> BTreeSet<Vec<u8>> {
    let mut found = BTreeSet::new();
    for needle in needles {
        let length = if needle.breaks { BEFORE_BREAK } else { BEGINNING };
        let begins = &needle.bytes[..needle.bytes.len().min(length)];
        found.insert(begins.to_vec());
        found.extend(needle.other().map(|other| other[..begins.len()].to_vec()));
    }
    found
}

/// The longest run without a break that is in the text wherever the needle is.
fn run(needle: &Needle) -> usize {
    if needle.breaks { needle.bytes.len().div_ceil(2).min(LINE) } else { needle.bytes.len() }
}

struct Grams<const WIDTH: usize> {
    stride: usize,
    /// A bit for each hash that a gram has.
    bits: Vec<u64>,
    shift: u32,
    known: HashSet<u64>,
}

impl<const WIDTH: usize> Grams<WIDTH> {
    fn new(needles: &[&Needle]) -> Self {
        let mut known: HashSet<u64> = HashSet::new();
        let mut stride = STRIDE;
        for needle in needles {
            stride = stride.min(run(needle) + 1 - WIDTH);
            let mut add = |bytes: &[u8]| known.extend(bytes.windows(WIDTH).map(read));
            add(&needle.bytes);
            if let Some(other) = needle.other() {
                add(&other);
            }
        }
        let size = (known.len() * 32).next_power_of_two().clamp(1 << 12, 1 << 22);
        let mut grams =
            Grams { stride, bits: vec![0; size / 64], shift: 64 - size.trailing_zeros(), known: HashSet::new() };
        for gram in &known {
            let bit = grams.hash(*gram);
            grams.bits[bit / 64] |= 1 << (bit % 64);
        }
        grams.known = known;
        grams
    }

    #[cfg(test)]
    fn memory(&self) -> usize {
        8 * (self.bits.len() + 2 * self.known.len())
    }

    fn hash(&self, gram: u64) -> usize {
        (gram.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> self.shift) as usize
    }

    fn next(&self, next: &mut Next, text: &[u8], from: usize) -> Option<usize> {
        if self.known.is_empty() || next.over {
            return None;
        }
        if let Some(hit) = next.hit.filter(|hit| *hit >= from) {
            return Some(hit);
        }
        next.hit = self.search(text, from);
        next.over = next.hit.is_none();
        next.hit
    }

    fn search(&self, text: &[u8], from: usize) -> Option<usize> {
        let mut at = from;
        while let Some(gram) = text.get(at..at + WIDTH) {
            let gram = read(gram);
            let bit = self.hash(gram);
            if self.bits[bit / 64] >> (bit % 64) & 1 == 1 && self.known.contains(&gram) {
                return Some(at);
            }
            at += self.stride;
        }
        None
    }
}

fn read(gram: &[u8]) -> u64 {
    match (gram.first_chunk::<8>(), gram.first_chunk::<4>()) {
        (Some(eight), _) => u64::from_le_bytes(*eight),
        (None, Some(four)) => u64::from(u32::from_le_bytes(*four)),
        (None, None) => 0,
    }
}
