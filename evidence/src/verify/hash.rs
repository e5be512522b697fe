//! Digests of files, and of their beginnings.

use crate::chain::hex;
use sha2::{Digest, Sha256};
use std::io::{self, Read};

/// What the record says of the beginning of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mark {
    /// The record that says it.
    pub(super) record: u64,
    /// How many bytes.
    pub(super) kept: u64,
    pub(super) sha256: String,
}

#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Hashed {
    pub(super) size: u64,
    pub(super) sha256: String,
    /// The last of the marks that hold, before the first that does not.
    pub(super) held: Option<Mark>,
    pub(super) broken: Option<Mark>,
}

/// Reads to the end. `marks` in the order in which they were made: each says at least as much as the one before.
pub(super) fn hash(content: &mut dyn Read, marks: &[Mark]) -> io::Result<Hashed> {
    let mut hashed = Hashed::default();
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 128 * 1024];
    let mut marks = marks.iter().peekable();
    loop {
        // Every mark that stands here; those that are not in order stand nowhere.
        while let Some(mark) = marks.next_if(|mark| mark.kept <= hashed.size) {
            let holds = mark.kept == hashed.size && hex(&hasher.clone().finalize()) == mark.sha256;
            match holds && hashed.broken.is_none() {
                true => hashed.held = Some(mark.clone()),
                false => _ = hashed.broken.get_or_insert_with(|| mark.clone()),
            }
        }
        let room = marks.peek().map_or(u64::MAX, |mark| mark.kept - hashed.size);
        let want = buffer.len().min(usize::try_from(room).unwrap_or(usize::MAX));
        match content.read(&mut buffer[..want]) {
            Ok(0) => break,
            Ok(read) => {
                hasher.update(&buffer[..read]);
                hashed.size += read as u64;
            }
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    // It ends before the next mark.
    hashed.broken = hashed.broken.take().or_else(|| marks.next().cloned());
    hashed.sha256 = hex(&hasher.finalize());
    Ok(hashed)
}

/// Passes bytes on and counts and hashes them.
pub(super) struct Tee<'a> {
    input: &'a mut dyn Read,
    hasher: Sha256,
    size: u64,
}

impl<'a> Tee<'a> {
    pub(super) fn new(input: &'a mut dyn Read) -> Self {
        Tee { input, hasher: Sha256::new(), size: 0 }
    }

    /// Reads what nobody wanted.
    pub(super) fn finish(mut self) -> io::Result<Hashed> {
        io::copy(&mut self, &mut io::sink())?;
        Ok(Hashed { size: self.size, sha256: hex(&self.hasher.finalize()), ..Hashed::default() })
    }
}

impl Read for Tee<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.input.read(buffer)?;
        self.hasher.update(&buffer[..read]);
        self.size += read as u64;
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chain::sha256_hex;

    fn mark(record: u64, content: &[u8]) -> Mark {
        Mark { record, kept: content.len() as u64, sha256: sha256_hex(content) }
    }

    fn tried(content: &[u8], marks: &[Mark]) -> (Option<u64>, Option<u64>) {
        let hashed = hash(&mut &content[..], marks).unwrap();
        assert_eq!((hashed.size, hashed.sha256), (content.len() as u64, sha256_hex(content)));
        (hashed.held.map(|m| m.record), hashed.broken.map(|m| m.record))
    }

    #[test]
    fn beginnings_are_held_against_what_was_said_of_them() {
        let marks = [mark(1, b""), mark(2, b"abc"), mark(3, b"abc"), mark(4, b"abcdef")];
        assert_eq!(tried(b"abcdefgh", &marks), (Some(4), None));
        assert_eq!(tried(b"abcdef", &marks), (Some(4), None));
        assert_eq!(tried(b"abcdeX", &marks), (Some(3), Some(4)));
        assert_eq!(tried(b"abc", &marks), (Some(3), Some(4)));
        assert_eq!(tried(b"aXcdef", &marks), (Some(1), Some(2)));
        assert_eq!(tried(b"", &marks), (Some(1), Some(2)));
        assert_eq!(tried(b"abc", &[mark(1, b"abc"), mark(2, b"a")]), (Some(1), Some(2)), "it cannot have shrunk");
        assert_eq!(tried(b"abc", &[]), (None, None));
    }
}
