//! Reads a tar stream entry by entry: ustar, PAX, GNU long names, sparse files, base-256 numbers.
//!
//! Where tar readers are known to differ (a size beside a link, a long name given twice, a global
//! header that renames, entries after the end) the archive is refused, so that no other tool saw another tree in the same
//! bytes. The `tar` crate decodes header blocks; the walk over the stream is ours because every
//! header must be bounded before it is read.

mod field;
mod pax;
mod sparse;
mod value;

use crate::{Error, Kind, Result, limits};
use field::{field, one_name, stated_size};
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
#[derive(Clone, Debug, PartialEq, Eq)]
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

impl Ahead {
    fn any(&self) -> bool {
        self.name.is_some() || self.link.is_some() || self.pax.is_some()
    }
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
                return if ahead.any() { Err(hostile("the archive ends after an extended header")) } else { Ok(None) };
            };
            self.entries += 1;
            if self.entries > limits::ENTRIES {
                return Err(Error::new(Kind::Limit, format!("it has more than {} entries", limits::ENTRIES)));
            }
            let kind = header.as_bytes()[156];
            // Some readers take extended headers of unknown formats for files.
            if matches!(kind, b'L' | b'K' | b'x' | b'g') && header.as_gnu().is_none() && header.as_ustar().is_none() {
                return Err(hostile("an extended header is of no known format"));
            }
            let twice = match kind {
                b'L' => ahead.name.replace(self.long(&header)?).is_some(),
                b'K' => ahead.link.replace(self.long(&header)?).is_some(),
                b'x' => ahead.pax.replace(Pax::parse(&self.extension(&header, limits::HEADER_BYTES)?)?).is_some(),
                // Readers that know no such header forget what stands before it.
                b'g' if ahead.any() => {
                    return Err(hostile("a global header stands between an entry and its own headers"));
                }
                b'g' => {
                    Pax::parse(&self.extension(&header, limits::HEADER_BYTES)?)?.refuse_global()?;
                    false
                }
                _ => return self.entry(&header, ahead).map(Some),
            };
            if twice {
                return Err(hostile("the same kind of extended header is given twice for one entry"));
            }
            // Readers disagree on which of the two wins, and on whose header a size of the one is.
            if ahead.pax.is_some() && (ahead.name.is_some() || ahead.link.is_some()) {
                return Err(hostile("an entry has a GNU and a PAX header"));
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
            return self.rest_is_blank().map(|()| None);
        }
        let header = tar::Header::from_byte_slice(&block);
        match header.cksum() {
            Ok(stated) if stated == checksum(&block) => one_name(header).map(|()| Some(header.clone())),
            _ => Err(hostile("a header's checksum is wrong: this is no tar archive, or a damaged one")),
        }
    }

    /// A block of zeros ends the archive. Some readers want two of them, and some can be told to read on behind any
    /// number: nothing may stand there.
    fn rest_is_blank(&mut self) -> Result<()> {
        loop {
            let rest = self.input.fill_buf().map_err(broken)?;
            if rest.iter().any(|byte| *byte != 0) {
                return Err(hostile("something stands behind the archive's end"));
            }
            let count = rest.len();
            if count == 0 {
                return Ok(());
            }
            self.input.consume(count);
            self.at += count as u64;
        }
    }

    /// The data of an extended header, bounded.
    fn extension(&mut self, header: &tar::Header, most: u64) -> Result<Vec<u8>> {
        let size = stated_size(header)?;
        if size > most {
            let what = format!("an extended header has {size} bytes; the limit is {most}");
            return Err(Error::new(Kind::Limit, what));
        }
        let mut data = vec![0; size as usize];
        self.input.read_exact(&mut data).map_err(broken)?;
        self.at += size;
        self.skip(size.next_multiple_of(BLOCK) - size)?;
        Ok(data)
    }

    /// A GNU long name, up to the zeros at its end. Some readers take an empty one for none, and some read over zeros.
    fn long(&mut self, header: &tar::Header) -> Result<Vec<u8>> {
        // Some writers fill a block up.
        let mut name = self.extension(header, limits::PATH_BYTES as u64 + BLOCK)?;
        name.truncate(name.iter().rposition(|b| *b != 0).map_or(0, |last| last + 1));
        let plain = !name.is_empty() && !name.contains(&0);
        if plain { Ok(name) } else { Err(hostile("a long name is empty or has a zero byte in it")) }
    }

    fn entry(&mut self, header: &tar::Header, ahead: Ahead) -> Result<Entry> {
        let mut pax = ahead.pax.unwrap_or_default();
        let path = ahead.name.or(pax.path.take()).unwrap_or_else(|| header.path_bytes().into_owned());
        let link = (ahead.link.or(pax.link.take())).or_else(|| header.link_name_bytes().map(|name| name.into_owned()));
        // Some readers look at the field even where a record takes its place.
        let in_header = stated_size(header)?;
        let stored = pax.size.unwrap_or(in_header);
        let sparse_name = pax.sparse.name.take();
        // What stands under the name of a sparse file may be cut anywhere, even behind a slash.
        let named = if header.as_bytes()[156] == b'0' { sparse_name.as_deref().unwrap_or(&path) } else { &path };
        let body = self.body(header, named, link, stored, &mut pax)?;
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
            // Before POSIX, folders were files whose name ends in a slash: the short name for some readers, even
            // where there is a long one, and files of today too for others.
            0 if path.ends_with(b"/") != header.path_bytes().ends_with(b"/") => return Err(neither(path)),
            0 if path.ends_with(b"/") => Body::Folder,
            b'0' | b'7' | b'S' if path.ends_with(b"/") => return Err(neither(path)),
            0 | b'0' | b'7' => {
                self.open(stored)?;
                match std::mem::take(&mut pax.sparse).resolve(self)? {
                    Some((size, extents)) => Body::Sparse { size, extents },
                    None => Body::File { size: stored },
                }
            }
            b'S' if !pax.sparse.is_empty() => {
                return Err(hostile(format!("{} is sparse in two ways", shown(path))));
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

/// Every entry with its data, for those who test.
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) fn read_all(input: impl BufRead) -> Result<Vec<(Entry, Vec<u8>)>> {
    let mut tape = Tape::new(input);
    let mut seen = Vec::new();
    while let Some(entry) = tape.next()? {
        let mut data = Vec::new();
        loop {
            let chunk = tape.chunk()?;
            if chunk.is_empty() {
                break;
            }
            data.extend_from_slice(chunk);
            let count = chunk.len();
            tape.consume(count);
        }
        seen.push((entry, data));
    }
    tape.drain()?;
    Ok(seen)
}

fn neither(path: &[u8]) -> Error {
    hostile(format!("{} is a file by its type and a folder by its name, or the other way round", shown(path)))
}

/// A name from the archive, made safe to print.
pub(crate) fn shown(path: &[u8]) -> String {
    let cut = &path[..path.len().min(200)];
    format!("`{}`", cut.escape_ascii())
}

/// The sum of a header's bytes, with blanks for the checksum's own. Eight at a time, in lanes of 16 bits that
/// cannot overflow: there may be millions of headers.
fn checksum(block: &[u8]) -> u32 {
    const EVEN: u64 = 0x00ff_00ff_00ff_00ff;
    let mut lanes = 0;
    for chunk in block.chunks_exact(8) {
        let word = chunk.try_into().map_or(0, u64::from_le_bytes);
        lanes += (word & EVEN) + (word >> 8 & EVEN);
    }
    let all = (0..4).map(|lane| (lanes >> (16 * lane) & 0xffff) as u32).sum::<u32>();
    let own: u32 = block[148..156].iter().map(|byte| u32::from(*byte)).sum();
    all - own + 8 * u32::from(b' ')
}

#[cfg(test)]
mod tests;
