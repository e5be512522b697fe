//! What a layer says of its folders, put aside until the layer is whole: small layers keep it in
//! memory, larger ones in a file without a name.

use super::attributes::{Attributes, failed};
use super::list::{attributes, number, read_attributes, read_number};
use crate::{Error, Kind, Result, beneath, limits};
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::os::fd::BorrowedFd;
use std::os::unix::fs::FileExt;

/// Records begin at multiples of this, so that 32 bits name all of them.
const UNIT: u64 = 16;
/// How much of a record is read at once: more than most have.
const GLANCE: usize = 512;

/// Name and value of each extended attribute.
pub(super) type Xattrs = Vec<(Vec<u8>, Vec<u8>)>;

pub(super) struct Said {
    file: Option<File>,
    /// Bytes that are in the file; those after them are in the buffer.
    flushed: u64,
    buffer: Vec<u8>,
}

/// What is in the file and in the buffer, as one stream.
struct From<'a> {
    said: &'a Said,
    at: u64,
}

fn putting(error: impl Into<io::Error>) -> Error {
    Error::io("putting aside what a layer says of its folders", error)
}

impl Said {
    pub(super) fn new() -> Self {
        // Nothing stands at 0.
        Said { file: None, flushed: 0, buffer: vec![0; UNIT as usize] }
    }

    /// Puts a record down, and returns where it is. `root` is a folder on the layer's file system.
    pub(super) fn put(&mut self, root: BorrowedFd<'_>, of: &Attributes, xattrs: &Xattrs) -> Result<(u32, u64)> {
        let start = self.flushed + self.buffer.len() as u64;
        let at = u32::try_from(start / UNIT)
            .map_err(|_| Error::new(Kind::Limit, "its folders have more attributes than can be kept"))?;
        attributes(&mut self.buffer, of)
            .and_then(|()| number(&mut self.buffer, xattrs.len() as u64))
            .map_err(putting)?;
        for part in xattrs.iter().flat_map(|(name, value)| [name, value]) {
            number(&mut self.buffer, part.len() as u64).map_err(putting)?;
            self.add(root, part)?;
        }
        let end = self.flushed + self.buffer.len() as u64;
        let padding = (end.next_multiple_of(UNIT) - end) as usize;
        self.add(root, &[0; UNIT as usize][..padding])?;
        Ok((at, self.flushed + self.buffer.len() as u64 - start))
    }

    /// The buffer never holds much more than its size.
    fn add(&mut self, root: BorrowedFd<'_>, mut bytes: &[u8]) -> Result<()> {
        while self.buffer.len() + bytes.len() >= limits::LIST_BYTES {
            let (now, later) = bytes.split_at(limits::LIST_BYTES.saturating_sub(self.buffer.len()).min(bytes.len()));
            self.buffer.extend_from_slice(now);
            bytes = later;
            let file = match &self.file {
                Some(file) => file,
                None => self.file.insert(beneath::nameless(root).map_err(putting)?),
            };
            file.write_all_at(&self.buffer, self.flushed).map_err(putting)?;
            self.flushed += self.buffer.len() as u64;
            self.buffer.clear();
        }
        self.buffer.extend_from_slice(bytes);
        Ok(())
    }

    pub(super) fn attributes(&self, at: u32) -> Result<Attributes> {
        read_attributes(&mut BufReader::with_capacity(GLANCE, From { said: self, at: u64::from(at) * UNIT }))
    }

    pub(super) fn all(&self, at: u32, path: &[u8]) -> Result<(Attributes, Xattrs)> {
        let mut from = BufReader::with_capacity(GLANCE, From { said: self, at: u64::from(at) * UNIT });
        let attributes = read_attributes(&mut from)?;
        let count = read_number(&mut from)?;
        let mut part = || -> Result<Vec<u8>> {
            let mut bytes = vec![0; read_number(&mut from)?.min(limits::HEADER_BYTES) as usize];
            from.read_exact(&mut bytes)
                .map_err(|_| failed("reading the attributes of", path, rustix::io::Errno::IO))?;
            Ok(bytes)
        };
        let xattrs = (0..count).map(|_| Ok((part()?, part()?))).collect::<Result<_>>()?;
        Ok((attributes, xattrs))
    }
}

impl Read for From<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let got = match (self.at.checked_sub(self.said.flushed), &self.said.file) {
            (None, Some(file)) => {
                let most = (self.said.flushed - self.at).min(into.len() as u64) as usize;
                file.read_at(&mut into[..most], self.at)?
            }
            (None, None) => 0,
            (Some(start), _) => {
                let start = usize::try_from(start).unwrap_or(usize::MAX).min(self.said.buffer.len());
                (&self.said.buffer[start..]).read(into)?
            }
        };
        self.at += got as u64;
        Ok(got)
    }
}
