//! A sum over a file's content, to name the file when its layer's digest is wrong. It guards against
//! bad luck only, and must cost next to nothing: four lanes, each a multiplication for eight bytes.

const STRIPE: usize = 32;
const PRIME: u64 = 0x9e37_79b1_85eb_ca87;

#[derive(Clone)]
pub(super) struct Sum {
    lanes: [u64; 4],
    /// Bytes that do not fill a stripe yet.
    rest: [u8; STRIPE],
    held: usize,
    length: u64,
}

impl Sum {
    pub(super) fn new() -> Self {
        Sum { lanes: [1, 2, 3, 4], rest: [0; STRIPE], held: 0, length: 0 }
    }

    pub(super) fn update(&mut self, mut bytes: &[u8]) {
        self.length += bytes.len() as u64;
        if self.held > 0 {
            let count = bytes.len().min(STRIPE - self.held);
            self.rest[self.held..self.held + count].copy_from_slice(&bytes[..count]);
            self.held += count;
            bytes = &bytes[count..];
            if self.held < STRIPE {
                return;
            }
            let full = self.rest;
            self.stripe(&full);
            self.held = 0;
        }
        let mut stripes = bytes.chunks_exact(STRIPE);
        stripes.by_ref().for_each(|stripe| self.stripe(stripe));
        let rest = stripes.remainder();
        self.rest[..rest.len()].copy_from_slice(rest);
        self.held = rest.len();
    }

    fn stripe(&mut self, stripe: &[u8]) {
        // Whole words: put together byte by byte they cost more than all the rest.
        for (lane, word) in self.lanes.iter_mut().zip(stripe.as_chunks::<8>().0) {
            *lane = (*lane ^ u64::from_le_bytes(*word)).wrapping_mul(PRIME).rotate_left(29);
        }
    }

    pub(super) fn finish(mut self) -> u64 {
        self.rest[self.held..].fill(0);
        let last = self.rest;
        self.stripe(&last);
        let all = self.lanes.iter().fold(self.length, |sum, lane| (sum ^ lane).wrapping_mul(PRIME).rotate_left(31));
        all ^ all >> 32
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sum(parts: &[&[u8]]) -> u64 {
        let mut sum = Sum::new();
        parts.iter().for_each(|part| sum.update(part));
        sum.finish()
    }

    proptest! {
        #[test]
        fn it_does_not_matter_how_the_bytes_come(bytes in prop::collection::vec(any::<u8>(), 0..200), a in 0_usize..200, b in 0_usize..200) {
            let (a, b) = (a.min(bytes.len()), b.min(bytes.len()));
            let (a, b) = (a.min(b), a.max(b));
            prop_assert_eq!(sum(&[&bytes]), sum(&[&bytes[..a], &bytes[a..b], &bytes[b..]]));
        }

        #[test]
        fn every_change_shows(bytes in prop::collection::vec(any::<u8>(), 1..200), place in any::<u16>(), bit in 0_u8..8) {
            let mut other = bytes.clone();
            other[usize::from(place) % bytes.len()] ^= 1 << bit;
            prop_assert_ne!(sum(&[&bytes]), sum(&[&other]));
            prop_assert_ne!(sum(&[&bytes]), sum(&[&bytes, &[0]]));
            prop_assert_ne!(sum(&[&bytes]), sum(&[&bytes[1..]]));
        }
    }
}
