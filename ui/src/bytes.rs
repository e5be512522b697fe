//! Files that are read in pieces and may grow meanwhile.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};

/// Bytes in an order, of which more may come.
pub trait Bytes: Send {
    /// How many there are now.
    fn size(&self) -> u64;
    /// Reads from a place on, as far as there is something; how much that was.
    fn read_at(&self, at: u64, into: &mut [u8]) -> io::Result<usize>;
    /// Whether some of them stand out from the others.
    fn has_some_that_stand_out(&self) -> bool {
        false
    }
    /// Whether the byte at a place is one of these.
    fn stands_out(&self, _at: u64) -> bool {
        false
    }
}

impl Bytes for File {
    fn size(&self) -> u64 {
        self.metadata().map_or(0, |found| found.len())
    }

    fn read_at(&self, at: u64, into: &mut [u8]) -> io::Result<usize> {
        let mut file = self;
        file.seek(SeekFrom::Start(at))?;
        let mut read = 0;
        while read < into.len() {
            match file.read(&mut into[read..]) {
                Ok(0) => break,
                Ok(count) => read += count,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        Ok(read)
    }
}

impl Bytes for Vec<u8> {
    fn size(&self) -> u64 {
        self.len() as u64
    }

    fn read_at(&self, at: u64, into: &mut [u8]) -> io::Result<usize> {
        let rest = self.get(usize::try_from(at).unwrap_or(usize::MAX)..).unwrap_or_default();
        let count = rest.len().min(into.len());
        into[..count].copy_from_slice(&rest[..count]);
        Ok(count)
    }
}

/// So much of them from a place on; less at their end, nothing where they cannot be read.
pub(crate) fn piece(bytes: &dyn Bytes, at: u64, most: usize) -> Vec<u8> {
    let there = usize::try_from(bytes.size().saturating_sub(at)).unwrap_or(usize::MAX);
    let mut into = vec![0; most.min(there)];
    let read = bytes.read_at(at, &mut into).unwrap_or(0);
    into.truncate(read);
    into
}
