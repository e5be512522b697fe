//! Where the rows of a growing file begin, found step by step and remembered sparsely.
//!
//! A row ends with its line, or after so many bytes: a line of ten million is a few thousand rows, and none costs more
//! than any other.

use crate::bytes::{Bytes, piece};

/// Rows between two places that are remembered.
const EVERY: u64 = 64;
/// Bytes that are looked through at once.
const CHUNK: usize = 256 * 1024;

/// The rows that were found so far.
#[derive(Debug)]
pub(crate) struct Rows {
    /// The longest row.
    longest: usize,
    /// Where each `EVERY`th row begins.
    marks: Vec<u64>,
    /// How many rows are whole: nothing that is written later changes them.
    whole: u64,
    /// Where the last of them ends.
    end: u64,
}

impl Rows {
    pub(crate) fn new(longest: usize) -> Rows {
        Rows { longest: longest.min(CHUNK / 2), marks: vec![0], whole: 0, end: 0 }
    }

    /// Looks through so much more; whether there is still more.
    pub(crate) fn look(&mut self, bytes: &dyn Bytes, budget: usize) -> bool {
        if bytes.size() < self.end {
            *self = Rows::new(self.longest);
        }
        let mut looked = 0;
        while looked < budget {
            let chunk = piece(bytes, self.end, CHUNK);
            let mut at = 0;
            while let Some(length) = cut(&chunk[at..], self.longest) {
                at += length;
                self.whole += 1;
                if self.whole.is_multiple_of(EVERY) {
                    self.marks.push(self.end + at as u64);
                }
            }
            self.end += at as u64;
            // What is left is no whole row, and nothing follows it yet.
            if at == 0 || chunk.len() < CHUNK {
                return false;
            }
            looked += at;
        }
        true
    }

    /// How many rows there are, the unfinished one at the end among them.
    pub(crate) fn count(&self, bytes: &dyn Bytes) -> u64 {
        self.whole + u64::from(self.end < bytes.size())
    }

    /// Up to here rows are known.
    pub(crate) fn known(&self) -> u64 {
        self.end
    }

    /// Where a row begins.
    pub(crate) fn place(&self, bytes: &dyn Bytes, row: u64) -> u64 {
        let row = row.min(self.whole);
        let mark = usize::try_from(row / EVERY).unwrap_or(usize::MAX).min(self.marks.len() - 1);
        let mut at = self.marks[mark];
        let mut left = row - mark as u64 * EVERY;
        while left > 0 {
            let chunk = piece(bytes, at, CHUNK);
            let mut passed = 0;
            while let Some(length) = (left > 0).then(|| cut(&chunk[passed..], self.longest)).flatten() {
                passed += length;
                left -= 1;
            }
            if passed == 0 {
                break;
            }
            at += passed as u64;
        }
        at
    }

    /// The row in which a byte lies.
    pub(crate) fn row_of(&self, bytes: &dyn Bytes, byte: u64) -> u64 {
        let mark = self.marks.partition_point(|begins| *begins <= byte).saturating_sub(1);
        let (mut at, mut row) = (self.marks[mark], mark as u64 * EVERY);
        loop {
            let chunk = piece(bytes, at, CHUNK);
            let mut passed = 0;
            while let Some(length) = cut(&chunk[passed..], self.longest) {
                if at + (passed + length) as u64 > byte {
                    return row;
                }
                passed += length;
                row += 1;
            }
            if passed == 0 {
                return row;
            }
            at += passed as u64;
        }
    }

    /// The bytes of so many rows from one on, each with its place and whether its line goes on in the next.
    pub(crate) fn read(&self, bytes: &dyn Bytes, first: u64, count: usize) -> Vec<(u64, Vec<u8>, bool)> {
        let mut found = Vec::new();
        let mut at = self.place(bytes, first);
        while found.len() < count {
            let chunk = piece(bytes, at, CHUNK);
            if chunk.is_empty() {
                break;
            }
            let mut passed = 0;
            while let Some(length) = (found.len() < count).then(|| cut(&chunk[passed..], self.longest)).flatten() {
                found.push(line(at + passed as u64, &chunk[passed..passed + length]));
                passed += length;
            }
            if passed == 0 {
                found.push(line(at, &chunk));
                break;
            }
            at += passed as u64;
        }
        found
    }
}

fn line(at: u64, bytes: &[u8]) -> (u64, Vec<u8>, bool) {
    match bytes.strip_suffix(b"\n") {
        Some(line) => (at, line.strip_suffix(b"\r").unwrap_or(line).to_vec(), false),
        None => (at, bytes.to_vec(), true),
    }
}

/// The length of the first row, its newline included; none where it is not whole yet.
fn cut(bytes: &[u8], longest: usize) -> Option<usize> {
    let within = &bytes[..bytes.len().min(longest + 1)];
    if let Some(end) = memchr::memchr(b'\n', within) {
        return Some(end + 1);
    }
    if bytes.len() <= longest {
        return None;
    }
    // Not inside of a character.
    let begins = |at: usize| bytes[at] & 0xc0 != 0x80;
    Some((longest.saturating_sub(3)..=longest).rev().find(|at| *at > 0 && begins(*at)).unwrap_or(longest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn all(bytes: &Vec<u8>, longest: usize) -> (Rows, Vec<(u64, Vec<u8>, bool)>) {
        let mut rows = Rows::new(longest);
        while rows.look(bytes, 1) {}
        let count = rows.count(bytes);
        let read = rows.read(bytes, 0, count as usize + 5);
        (rows, read)
    }

    #[test]
    fn lines_are_rows_and_long_ones_are_several() {
        let text = b"one\n\nthree\r\nabcdefghij\nabcdefghijk\nend".to_vec();
        let (rows, read) = all(&text, 10);
        let shown: Vec<String> = read.iter().map(|(_, line, _)| String::from_utf8_lossy(line).into_owned()).collect();
        assert_eq!(shown, ["one", "", "three", "abcdefghij", "abcdefghij", "k", "end"]);
        assert_eq!((rows.count(&text), rows.place(&text, 6)), (7, text.len() as u64 - 3));
        let umlauts = "ääääääää".as_bytes().to_vec();
        assert!(all(&umlauts, 5).1.iter().all(|(_, line, _)| std::str::from_utf8(line).is_ok()));
    }

    #[test]
    fn a_file_that_grows_is_looked_at_from_where_it_was() {
        let mut text = b"one\ntw".to_vec();
        let mut rows = Rows::new(100);
        rows.look(&text, 1000);
        assert_eq!(rows.count(&text), 2);
        text.extend_from_slice(b"o\nthree\n");
        rows.look(&text, 1000);
        assert_eq!(rows.read(&text, 1, 9), [(4, b"two".to_vec(), false), (8, b"three".to_vec(), false)]);
        text.truncate(3);
        rows.look(&text, 1000);
        assert_eq!((rows.count(&text), rows.known()), (1, 0));
    }

    proptest! {
        #[test]
        fn rows_are_the_file_and_each_is_found_again(
            bytes in prop::collection::vec(prop_oneof![Just(b'\n'), Just(0xc3u8), Just(0xa4u8), any::<u8>()], 0..3000),
            longest in 4usize..50,
        ) {
            let (rows, read) = all(&bytes, longest);
            prop_assert_eq!(read.len() as u64, rows.count(&bytes));
            let mut at = 0;
            for (number, (place, line, goes_on)) in read.iter().enumerate() {
                prop_assert_eq!(*place, at);
                prop_assert_eq!(rows.place(&bytes, number as u64), at);
                prop_assert_eq!(rows.row_of(&bytes, at), number as u64);
                prop_assert!(line.len() <= longest + 1 && bytes[at as usize..].starts_with(line));
                at += line.len() as u64;
                if !goes_on {
                    at += if bytes[at as usize] == b'\r' { 2 } else { 1 };
                }
            }
            prop_assert_eq!(at, bytes.len() as u64);
        }
    }
}
