//! Reads a tar stream entry by entry: ustar, PAX, GNU long names, sparse files, base-256 numbers.
//!
//! Where tar readers are known to differ (a size beside a link, a long name given twice, a global
//! header that renames) the archive is refused, so that no other tool saw another tree in the same
//! bytes. The `tar` crate decodes header blocks; the walk over the stream is ours because every
//! header must be bounded before it is read.

mod pax;
mod sparse;
mod value;

use crate::{Error, Kind, Result, limits};
use pax::Pax;
use std::io::{self, BufRead, Read};

const BLOCK: u64 = 512;

/// A stretch of a sparse file that holds data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Extent {
    pub(crate) offset: u64,
    pub(crate) length: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Body {
    /// `size` bytes follow.
    File {
        size: u64,
    },
    /// The extents' bytes follow, one after the other.
    Sparse {
        size: u64,
        extents: Vec<Extent>,
    },
    Folder,
    Symlink(Vec<u8>),
    /// Another name for an earlier entry.
    Hard(Vec<u8>),
    CharDevice,
    BlockDevice,
    Fifo,
}

/// One entry, as the archive states it: no name in it has been checked.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) path: Vec<u8>,
    pub(crate) body: Body,
    pub(crate) mode: u32,
    pub(crate) uid: u64,
    pub(crate) gid: u64,
    /// Seconds and nanoseconds.
    pub(crate) mtime: (i64, u32),
    pub(crate) xattrs: Vec<(Vec<u8>, Vec<u8>)>,
}

pub(crate) struct Tape<R> {
    input: R,
    /// Bytes of the current entry that nobody has read yet, and what pads them to a block.
    left: u64,
    padding: u64,
    entries: u64,
    /// Bytes of the stream that were read.
    at: u64,
}

/// Headers that describe the entry after them.
#[derive(Default)]
struct Ahead {
    name: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    pax: Option<Pax>,
}

pub(crate) fn hostile(what: impl Into<String>) -> Error {
    Error::new(Kind::Hostile, what)
}

fn broken(error: io::Error) -> Error {
    let cut = error.kind() == io::ErrorKind::UnexpectedEof;
    if cut { hostile("the archive ends in the middle of an entry") } else { Error::io("reading the archive", error) }
}

impl<R: BufRead> Tape<R> {
    pub(crate) fn new(input: R) -> Self {
        Tape { input, left: 0, padding: 0, entries: 0, at: 0 }
    }

    /// The next entry; what was not read of the last one's data is skipped.
    pub(crate) fn next(&mut self) -> Result<Option<Entry>> {
        let mut ahead = Ahead::default();
        loop {
            self.skip(self.left + self.padding)?;
            (self.left, self.padding) = (0, 0);
            let Some(header) = self.header()? else {
                let dangling = ahead.name.is_some() || ahead.link.is_some() || ahead.pax.is_some();
                return if dangling { Err(hostile("the archive ends after an extended header")) } else { Ok(None) };
            };
            self.entries += 1;
            if self.entries > limits::ENTRIES {
                return Err(Error::new(Kind::Limit, format!("it has more than {} entries", limits::ENTRIES)));
            }
            let twice = match header.as_bytes()[156] {
                b'L' => ahead.name.replace(self.long(&header)?).is_some(),
                b'K' => ahead.link.replace(self.long(&header)?).is_some(),
                b'x' => ahead.pax.replace(Pax::parse(&self.extension(&header)?)?).is_some(),
                b'g' => {
                    Pax::parse(&self.extension(&header)?)?.refuse_global()?;
                    false
                }
                _ => return self.entry(&header, ahead).map(Some),
            };
            if twice {
                return Err(hostile("the same kind of extended header is given twice for one entry"));
            }
        }
    }

    /// The data of the current entry: what was read by [`Tape::next`]'s caller is consumed here.
    pub(crate) fn chunk(&mut self) -> Result<&[u8]> {
        if self.left == 0 {
            return Ok(&[]);
        }
        let buffered = self.input.fill_buf().map_err(broken)?;
        if buffered.is_empty() {
            return Err(broken(io::ErrorKind::UnexpectedEof.into()));
        }
        let end = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffered.len());
        Ok(&buffered[..end])
    }

    /// Takes `count` bytes off what [`Tape::chunk`] showed.
    pub(crate) fn consume(&mut self, count: usize) {
        self.input.consume(count);
        self.left -= count as u64;
        self.at += count as u64;
    }

    /// Where in the stream the next unread byte of the current entry's data stands.
    pub(crate) fn position(&self) -> u64 {
        self.at
    }

    /// What the archive is read from.
    pub(crate) fn input(&mut self) -> &mut R {
        &mut self.input
    }

    /// Reads what follows the archive's end, which belongs to the digest but to no entry.
    pub(crate) fn drain(mut self) -> Result<R> {
        io::copy(&mut self.input, &mut io::sink()).map_err(broken)?;
        Ok(self.input)
    }

    fn skip(&mut self, count: u64) -> Result<()> {
        let skipped = io::copy(&mut self.input.by_ref().take(count), &mut io::sink()).map_err(broken)?;
        self.at += skipped;
        if skipped == count { Ok(()) } else { Err(broken(io::ErrorKind::UnexpectedEof.into())) }
    }

    fn block(&mut self) -> Result<[u8; BLOCK as usize]> {
        let mut block = [0; BLOCK as usize];
        self.input.read_exact(&mut block).map_err(broken)?;
        self.at += BLOCK;
        Ok(block)
    }

    /// A header block whose checksum holds, or `None` at the end of the archive.
    fn header(&mut self) -> Result<Option<tar::Header>> {
        if self.input.fill_buf().map_err(broken)?.is_empty() {
            return Ok(None);
        }
        let block = self.block()?;
        if block.iter().all(|byte| *byte == 0) {
            return Ok(None);
        }
        let header = tar::Header::from_byte_slice(&block);
        let sum: u32 =
            block.iter().enumerate().map(|(n, b)| u32::from(if (148..156).contains(&n) { b' ' } else { *b })).sum();
        match header.cksum() {
            Ok(stated) if stated == sum => Ok(Some(header.clone())),
            _ => Err(hostile("a header's checksum is wrong: this is no tar archive, or a damaged one")),
        }
    }

    /// The data of an extended header, bounded.
    fn extension(&mut self, header: &tar::Header) -> Result<Vec<u8>> {
        let size = stated_size(header)?;
        if size > limits::HEADER_BYTES {
            let what = format!("an extended header has {size} bytes; the limit is {}", limits::HEADER_BYTES);
            return Err(Error::new(Kind::Limit, what));
        }
        let mut data = vec![0; size as usize];
        self.input.read_exact(&mut data).map_err(broken)?;
        self.at += size;
        self.skip(size.next_multiple_of(BLOCK) - size)?;
        Ok(data)
    }

    /// A GNU long name: everything before the first NUL.
    fn long(&mut self, header: &tar::Header) -> Result<Vec<u8>> {
        let mut name = self.extension(header)?;
        name.truncate(name.iter().position(|b| *b == 0).unwrap_or(name.len()));
        Ok(name)
    }

    fn entry(&mut self, header: &tar::Header, ahead: Ahead) -> Result<Entry> {
        let mut pax = ahead.pax.unwrap_or_default();
        let path = one_of(ahead.name, pax.path.take(), "name")?.unwrap_or_else(|| header.path_bytes().into_owned());
        let link = one_of(ahead.link, pax.link.take(), "link")?
            .or_else(|| header.link_name_bytes().map(|name| name.into_owned()));
        let stored = match pax.size {
            Some(size) => size,
            None => stated_size(header)?,
        };
        let sparse_name = pax.sparse.name.take();
        let body = self.body(header, &path, link, stored, &mut pax)?;
        let sized = matches!(body, Body::File { .. } | Body::Sparse { .. });
        let sparse = matches!(body, Body::Sparse { .. });
        if !sparse && (sparse_name.is_some() || !pax.sparse.is_empty()) {
            return Err(hostile(format!("{} has sparse records, but is no sparse file", shown(&path))));
        }
        if !sized && stored != 0 {
            return Err(hostile(format!("{} states {stored} bytes, but its type has none", shown(&path))));
        }
        Ok(Entry {
            path: sparse_name.unwrap_or(path),
            body,
            mode: field(header, 100..108, header.mode(), "mode")? & 0o7777,
            uid: pax.uid.map_or_else(|| field(header, 108..116, header.uid(), "owner"), Ok)?,
            gid: pax.gid.map_or_else(|| field(header, 116..124, header.gid(), "group"), Ok)?,
            mtime: match pax.mtime {
                Some(time) => time,
                // Base-256 numbers may be negative: times before 1970.
                None => (field(header, 136..148, header.mtime(), "time")? as i64, 0),
            },
            xattrs: pax.xattrs,
        })
    }

    fn body(
        &mut self,
        header: &tar::Header,
        path: &[u8],
        link: Option<Vec<u8>>,
        stored: u64,
        pax: &mut Pax,
    ) -> Result<Body> {
        let linked =
            || link.filter(|l| !l.is_empty()).ok_or_else(|| hostile(format!("{} links to nothing", shown(path))));
        Ok(match header.as_bytes()[156] {
            // Before POSIX, folders were files whose name ends in a slash.
            0 if path.ends_with(b"/") => Body::Folder,
            0 | b'0' | b'7' => {
                self.open(stored)?;
                match std::mem::take(&mut pax.sparse).resolve(self)? {
                    Some((size, extents)) => Body::Sparse { size, extents },
                    None => Body::File { size: stored },
                }
            }
            b'S' => {
                let (size, extents) = self.gnu_sparse(header)?;
                self.open(stored)?;
                sparse::check(size, &extents, stored)?;
                Body::Sparse { size, extents }
            }
            b'1' => Body::Hard(linked()?),
            b'2' => Body::Symlink(linked()?),
            b'3' => Body::CharDevice,
            b'4' => Body::BlockDevice,
            b'5' => Body::Folder,
            b'6' => Body::Fifo,
            other => {
                let what = format!("{} is of the unknown type `{}`", shown(path), char::from(other).escape_debug());
                return Err(hostile(what));
            }
        })
    }

    /// Makes `stored` bytes readable as the current entry's data.
    fn open(&mut self, stored: u64) -> Result<()> {
        if stored > limits::LAYER_BYTES {
            return Err(Error::new(
                Kind::Limit,
                format!("a file has {stored} bytes; the limit is {}", limits::LAYER_BYTES),
            ));
        }
        self.left = stored;
        self.padding = stored.next_multiple_of(BLOCK) - stored;
        Ok(())
    }
}

/// The name from a GNU header or from a PAX one; readers disagree on which wins.
fn one_of(gnu: Option<Vec<u8>>, pax: Option<Vec<u8>>, what: &str) -> Result<Option<Vec<u8>>> {
    if gnu.is_some() && pax.is_some() {
        return Err(hostile(format!("an entry's {what} is given in a GNU and in a PAX header")));
    }
    Ok(gnu.or(pax))
}

/// The size field; a base-256 number beyond 64 bits is cut by some readers and not by others.
fn stated_size(header: &tar::Header) -> Result<u64> {
    let bytes = &header.as_bytes()[124..136];
    if bytes[0] & 0x80 != 0 && (bytes[0] != 0x80 || bytes[1..4] != [0; 3]) {
        return Err(hostile("an entry's size is negative or beyond all bounds"));
    }
    field(header, 124..136, header.entry_size(), "size")
}

/// A number of the header; a blank field is zero, as every reader has it.
fn field<T: Default>(header: &tar::Header, at: std::ops::Range<usize>, read: io::Result<T>, what: &str) -> Result<T> {
    if header.as_bytes()[at].iter().all(|b| matches!(b, 0 | b' ')) {
        return Ok(T::default());
    }
    read.map_err(|e| hostile(format!("an entry's {what} cannot be read: {e}")))
}

/// A name from the archive, made safe to print.
pub(crate) fn shown(path: &[u8]) -> String {
    let cut = &path[..path.len().min(200)];
    format!("`{}`", cut.escape_ascii())
}

#[cfg(test)]
mod tests;
