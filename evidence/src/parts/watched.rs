//! The files of a run, and somebody who hears how far they were read.

use super::{Content, Found, Parts, Stop, Stored};
use std::io::{self, Read};

/// How far the files of a run were read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Far {
    /// They are read from their beginning, this many bytes.
    Begins(u64),
    /// So many bytes more were read.
    Read(u64),
}

/// Tells how far it was read.
pub(crate) struct Watched<'a> {
    pub(crate) parts: Stored,
    pub(crate) hears: &'a mut dyn FnMut(Far),
}

impl Parts for Watched<'_> {
    fn each(&mut self, take: &mut dyn FnMut(Found<'_>) -> Result<(), Stop>) -> Result<(), Stop> {
        let hears = &mut *self.hears;
        hears(Far::Begins(self.parts.bytes()?));
        self.parts.each(&mut |Found { name, content }| match content {
            Content::Plain(size, inner) => {
                take(Found { name, content: Content::Plain(size, &mut Heard { inner, hears }) })
            }
            odd => take(Found { name, content: odd }),
        })
    }
}

struct Heard<'a> {
    inner: &'a mut dyn Read,
    hears: &'a mut dyn FnMut(Far),
}

impl Read for Heard<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        (self.hears)(Far::Read(read as u64));
        Ok(read)
    }
}
