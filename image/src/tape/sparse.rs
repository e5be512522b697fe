//! Sparse files: the old GNU header, and GNU's three ways to say it in PAX records.

use super::value::{decimal, name, once};
use super::{BLOCK, Extent, Tape, hostile, shown};
use crate::{Error, Kind, Result, limits};
use std::io::BufRead;

/// `GNU.sparse.*` records of one entry.
#[derive(Debug, Default)]
pub(super) struct PaxSparse {
    pub(super) name: Option<Vec<u8>>,
    major: Option<u64>,
    minor: Option<u64>,
    size: Option<u64>,
    real_size: Option<u64>,
    blocks: Option<u64>,
    /// Offsets and lengths in turn: version 0.1's map, or version 0.0's repeated records.
    map: Vec<u64>,
}

impl PaxSparse {
    pub(super) fn is_empty(&self) -> bool {
        let fields = [self.major, self.minor, self.size, self.real_size, self.blocks];
        self.name.is_none() && self.map.is_empty() && fields.iter().all(Option::is_none)
    }

    pub(super) fn take(&mut self, key: &[u8], value: &[u8]) -> Result<()> {
        let wrong = || hostile(format!("the extended header has a wrong value for GNU.sparse.{}", shown(key)));
        let number = || decimal(value).ok_or_else(wrong);
        match key {
            b"name" => once(&mut self.name, name(value, key)?, key),
            b"major" => once(&mut self.major, number()?, key),
            b"minor" => once(&mut self.minor, number()?, key),
            b"size" => once(&mut self.size, number()?, key),
            b"realsize" => once(&mut self.real_size, number()?, key),
            b"numblocks" => once(&mut self.blocks, number()?, key),
            b"offset" if self.map.len().is_multiple_of(2) => self.push(number()?),
            b"numbytes" if self.map.len() % 2 == 1 => self.push(number()?),
            b"map" if self.map.is_empty() => {
                value.split(|b| *b == b',').try_for_each(|part| self.push(decimal(part).ok_or_else(wrong)?))
            }
            _ => Err(wrong()),
        }
    }

    fn push(&mut self, number: u64) -> Result<()> {
        if self.map.len() >= 2 * limits::EXTENTS {
            return Err(too_many());
        }
        self.map.push(number);
        Ok(())
    }

    /// Size and extents, if the records describe a sparse file; version 1.0's map stands at the
    /// start of the entry's data.
    pub(super) fn resolve<R: BufRead>(self, tape: &mut Tape<R>) -> Result<Option<(u64, Vec<Extent>)>> {
        if self.is_empty() {
            return Ok(None);
        }
        // Exactly what GNU tar writes for each version: by any other mixture one reader finds a sparse file and
        // another a plain one.
        let fields = (self.major, self.minor, self.real_size, self.size, self.blocks);
        let (size, extents) = match fields {
            (Some(1), Some(0), Some(size), None, None) if self.map.is_empty() => (size, tape.map_ahead()?),
            (None, None, None, Some(size), Some(blocks)) if !self.map.is_empty() => {
                let extents = pairs(&self.map)?;
                if blocks != extents.len() as u64 {
                    return Err(hostile("a sparse file has another number of extents than it states"));
                }
                (size, extents)
            }
            _ => return Err(hostile("a sparse file's records are not those of one version")),
        };
        check(size, &extents, tape.left)?;
        Ok(Some((size, extents)))
    }
}

fn too_many() -> Error {
    Error::new(Kind::Limit, format!("a sparse file has more than {} extents", limits::EXTENTS))
}

fn pairs(map: &[u64]) -> Result<Vec<Extent>> {
    let whole = map.len().is_multiple_of(2);
    let extents = map.chunks_exact(2).map(|pair| Extent { offset: pair[0], length: pair[1] }).collect();
    if whole { Ok(extents) } else { Err(hostile("a sparse file's map has an offset without a length")) }
}

/// Extents must ascend, stay within the size, and account for every stored byte. Some readers begin
/// each in a new block, and some leave a file as short as its last extent: all but the last must fill
/// their blocks, and the last must reach the end.
pub(super) fn check(size: u64, extents: &[Extent], stored: u64) -> Result<()> {
    if size > limits::LAYER_BYTES {
        let what = format!("a sparse file has {size} bytes; the limit is {}", limits::LAYER_BYTES);
        return Err(Error::new(Kind::Limit, what));
    }
    let mut end = 0;
    let mut total: u64 = 0;
    for extent in extents {
        if !total.is_multiple_of(BLOCK) && extent.length > 0 {
            return Err(hostile("a sparse file's extents do not fill their blocks"));
        }
        let next = extent.offset.checked_add(extent.length).filter(|next| *next <= size && extent.offset >= end);
        end = next.ok_or_else(|| hostile("a sparse file's extents overlap or leave it"))?;
        total += extent.length;
    }
    match (total == stored, end == size) {
        (true, true) => Ok(()),
        (false, _) => Err(hostile("a sparse file's extents do not match its stored bytes")),
        (_, false) => Err(hostile("a sparse file's extents end before it does")),
    }
}

impl<R: BufRead> Tape<R> {
    /// The old GNU form: four extents in the header, more in blocks after it.
    pub(super) fn gnu_sparse(&mut self, header: &tar::Header) -> Result<(u64, Vec<Extent>)> {
        let gnu = header.as_gnu().ok_or_else(|| hostile("a sparse entry has no GNU header"))?;
        let wrong = |e: std::io::Error| hostile(format!("a sparse entry cannot be read: {e}"));
        let size = gnu.real_size().map_err(wrong)?;
        let mut extents = Vec::new();
        let mut add = |slots: &[tar::GnuSparseHeader]| -> Result<()> {
            for slot in slots.iter().filter(|slot| !slot.is_empty()) {
                let extent = Extent { offset: slot.offset().map_err(wrong)?, length: slot.length().map_err(wrong)? };
                if extents.len() >= limits::EXTENTS {
                    return Err(too_many());
                }
                extents.push(extent);
            }
            Ok(())
        };
        add(&gnu.sparse)?;
        let mut more = gnu.is_extended();
        while more {
            let mut block = tar::GnuExtSparseHeader::new();
            block.as_mut_bytes().copy_from_slice(&self.block()?);
            add(block.sparse())?;
            more = block.is_extended();
        }
        Ok((size, extents))
    }

    /// Version 1.0's map: decimal lines (how many, then offset and length of each), padded to a block.
    fn map_ahead(&mut self) -> Result<Vec<Extent>> {
        let mut read = 0;
        let count = self.map_line(&mut read)?;
        if count > limits::EXTENTS as u64 {
            return Err(too_many());
        }
        let mut map = Vec::new();
        for _ in 0..2 * count {
            map.push(self.map_line(&mut read)?);
        }
        let padding = read.next_multiple_of(BLOCK) - read;
        for _ in 0..padding {
            self.byte()?;
        }
        pairs(&map)
    }

    fn map_line(&mut self, read: &mut u64) -> Result<u64> {
        let mut digits = Vec::with_capacity(20);
        loop {
            *read += 1;
            match self.byte()? {
                b'\n' => break,
                digit if digits.len() < 20 => digits.push(digit),
                _ => return Err(hostile("a sparse file's map has an overlong number")),
            }
        }
        decimal(&digits).ok_or_else(|| hostile("a sparse file's map has a line that is no number"))
    }

    fn byte(&mut self) -> Result<u8> {
        let byte = *self.chunk()?.first().ok_or_else(|| hostile("a sparse file's map is cut off"))?;
        self.consume(1);
        Ok(byte)
    }
}
