//! What a layer says of its folders, put aside until the layer is whole: small layers keep it in
//! memory, larger ones in a file without a name.

use super::folders::{Attributes, failed};
use super::list::{attributes, number, read_attributes, read_number};
use crate::{Error, Kind, Result, beneath, limits};
use std::fs::File;
use std::io::{self, BufReader, Read, Write};
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
        let mut write = || -> io::Result<()> {
            attributes(&mut self.buffer, of)?;
            number(&mut self.buffer, xattrs.len() as u64)?;
            for part in xattrs.iter().flat_map(|(name, value)| [name, value]) {
                number(&mut self.buffer, part.len() as u64)?;
                self.buffer.write_all(part)?;
            }
            Ok(())
        };
        write().map_err(putting)?;
        self.buffer.resize(self.buffer.len().next_multiple_of(UNIT as usize), 0);
        let bytes = self.flushed + self.buffer.len() as u64 - start;
        if self.buffer.len() >= limits::LIST_BYTES {
            self.flush(root)?;
        }
        Ok((at, bytes))
    }

    fn flush(&mut self, root: BorrowedFd<'_>) -> Result<()> {
        if self.file.is_none() {
            self.file = Some(beneath::nameless(root).map_err(putting)?);
        }
        if let Some(file) = &self.file {
            file.write_all_at(&self.buffer, self.flushed).map_err(putting)?;
        }
        self.flushed += self.buffer.len() as u64;
        // A large record must not keep its memory.
        self.buffer = Vec::with_capacity(limits::LIST_BYTES);
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
