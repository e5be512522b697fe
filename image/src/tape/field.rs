//! The fields of one header block, as far as every reader has them alike.

use super::hostile;
use crate::Result;
use std::io;
use std::ops::Range;

pub(super) const SIZE: Range<usize> = 124..136;
/// Where POSIX headers have the front part of a long name, and others times or nothing.
const PREFIX: Range<usize> = 345..500;
/// What star puts into the last bytes of its headers, whose prefix is shorter.
const STAR: &[u8] = b"tar\0";
const STAR_PREFIX: usize = 131;

/// The size field; a base-256 number beyond 64 bits is cut by some readers and not by others.
pub(super) fn stated_size(header: &tar::Header) -> Result<u64> {
    let bytes = &header.as_bytes()[SIZE];
    if bytes[0] & 0x80 != 0 && (bytes[0] != 0x80 || bytes[1..4] != [0; 3]) {
        return Err(hostile("an entry's size is negative or beyond all bounds"));
    }
    // Zero to some readers, and an error to others.
    if bytes[0] == 0 || bytes.iter().all(|b| matches!(b, 0 | b' ')) {
        return Err(hostile("an entry has no size"));
    }
    field(header, SIZE, header.entry_size(), "size")
}

/// A number of the header; a blank field is zero.
pub(super) fn field<T: Default>(header: &tar::Header, at: Range<usize>, read: io::Result<T>, what: &str) -> Result<T> {
    let bytes = &header.as_bytes()[at];
    if bytes[0] & 0x80 == 0 {
        // Signs, underscores and other bases mean something to one reader or the other.
        let text = bytes.split(|b| *b == 0).next().unwrap_or_default().trim_ascii();
        if text.is_empty() {
            return Ok(T::default());
        }
        if !text.iter().all(|b| matches!(b, b'0'..=b'7')) {
            return Err(hostile(format!("an entry's {what} is no octal number")));
        }
    }
    read.map_err(|e| hostile(format!("an entry's {what} cannot be read: {e}")))
}

/// Refuses a block whose name ends elsewhere for other readers: not all ask which format a header is of before they
/// put its prefix in front of its name.
pub(super) fn one_name(header: &tar::Header) -> Result<()> {
    let block = header.as_bytes();
    let prefix = &block[PREFIX];
    let known = header.as_ustar().is_some() || matches!(block[156], b'L' | b'K' | b'S');
    if !known && prefix[0] != 0 {
        return Err(hostile("a header has bytes where other formats have the front of a name"));
    }
    if header.as_ustar().is_some() && block.ends_with(STAR) && !prefix[..STAR_PREFIX].contains(&0) {
        return Err(hostile("a header of star has a longer prefix than star's have"));
    }
    Ok(())
}
