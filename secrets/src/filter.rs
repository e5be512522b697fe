//! Where a needle may be: most of a text is told apart from it by looking at a few of its bytes.
//!
//! A needle that is in the text has a run of so many bytes there without a line break. Whoever looks at every `stride`-th
//! place sees `WIDTH` bytes within that run, and these are on a list of all that needles have.

use crate::forms::Needle;
use crate::scan::{BREAK, LINE};
use std::collections::HashSet;

/// Bytes between two looks at most: more saves nothing.
const STRIDE: usize = 8;

/// For needles whose runs are long enough to look at eight bytes, and for the others.
pub(crate) struct Filter {
    wide: Grams<8>,
    narrow: Grams<4>,
    span: usize,
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
        let (wide, narrow): (Vec<&Needle>, Vec<&Needle>) = needles.iter().partition(|needle| run(needle) >= 12);
        let span = |needle: &Needle| {
            let length = needle.bytes.len();
            length + if needle.breaks { BREAK * (length / LINE + 1) } else { 0 }
        };
        let span = needles.iter().map(span).max().unwrap_or(0);
        Filter { wide: Grams::new(&wide), narrow: Grams::new(&narrow), span }
    }

    #[cfg(test)]
    pub(crate) fn memory(&self) -> usize {
        8 * (self.wide.bits.len() + self.narrow.bits.len() + 2 * (self.wide.known.len() + self.narrow.known.len()))
    }

    /// The most bytes of a text that a needle takes.
    pub(crate) fn span(&self) -> usize {
        self.span
    }

    /// The first place from `from` on that is worth a closer look. A needle that is there begins at most a span before.
    pub(crate) fn next(&self, search: &mut Search, text: &[u8], from: usize) -> Option<usize> {
        let wide = self.wide.next(&mut search.wide, text, from);
        let narrow = self.narrow.next(&mut search.narrow, text, from);
        wide.into_iter().chain(narrow).min()
    }
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
            if needle.breaks && needle.bytes.iter().any(|byte| matches!(byte, b'+' | b'/')) {
                // As the text may have it: the other alphabet.
                let other = |byte: &u8| match byte {
                    b'+' => b'-',
                    b'/' => b'_',
                    byte => *byte,
                };
                add(&needle.bytes.iter().map(other).collect::<Vec<u8>>());
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
