//! From a compressed layer to its tar stream, within bounds.

use crate::digest::Meter;
use crate::zstandard::Frames;
use crate::{Error, Kind, Result, limits};
use flate2::bufread::MultiGzDecoder;
use std::io::{self, BufReader, Chain, Cursor, Read};
use std::sync::atomic::Ordering;

/// Compressed bytes, with those in front that were read to see what they are.
type Raw<R> = BufReader<Chain<Cursor<Vec<u8>>, R>>;

/// The decompressed stream. What it is, its first bytes say: media types in the wild are wrong often
/// enough, and a wrong guess cannot pass the diff ID.
pub(crate) enum Decoder<R> {
    Gzip(MultiGzDecoder<Raw<R>>),
    Zstd(Frames<Raw<R>>),
    Plain(Raw<R>),
}

impl<R: Read> Decoder<R> {
    pub(crate) fn new(mut raw: R) -> Result<Self> {
        let mut start = Vec::new();
        // The network gives what it has: a single read may hold too little to tell.
        let read = raw.by_ref().take(4).read_to_end(&mut start);
        read.map_err(|e| Error::io("reading its first bytes", e))?;
        let kind = start.clone();
        let raw = BufReader::with_capacity(limits::BUFFER_BYTES, Cursor::new(start).chain(raw));
        Ok(match kind[..] {
            [0x1f, 0x8b, ..] => Decoder::Gzip(MultiGzDecoder::new(raw)),
            // The second is a frame to be skipped, which may come first.
            [0x28, 0xb5, 0x2f, 0xfd] | [0x50..=0x5f, 0x2a, 0x4d, 0x18] => Decoder::Zstd(Frames::new(raw)),
            _ => Decoder::Plain(raw),
        })
    }
}

impl<R: Read> Read for Decoder<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Decoder::Gzip(inner) => inner.read(buffer),
            Decoder::Zstd(inner) => inner.read(buffer),
            Decoder::Plain(inner) => inner.read(buffer),
        }
    }
}

/// Holds a decompressed stream to the bounds on size and ratio.
pub(crate) struct Bounded<R> {
    inner: R,
    /// Compressed bytes that went in so far.
    raw: Meter,
    out: u64,
}

impl<R: Read> Bounded<R> {
    pub(crate) fn new(inner: R, raw: Meter) -> Self {
        Bounded { inner, raw, out: 0 }
    }
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let got = self.inner.read(buffer)?;
        self.out += got as u64;
        if self.out > limits::LAYER_BYTES {
            let what = format!("it unpacks to more than {} bytes", limits::LAYER_BYTES);
            return Err(Error::new(Kind::Limit, what).into());
        }
        let raw = self.raw.load(Ordering::Relaxed);
        if self.out > limits::RATIO_FREE_BYTES && self.out > raw.saturating_mul(limits::RATIO) {
            let what = format!("it unpacks to more than {} times its size: {} bytes of {raw}", limits::RATIO, self.out);
            return Err(Error::new(Kind::Limit, what).into());
        }
        Ok(got)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        out.write_all(bytes).unwrap();
        out.finish().unwrap()
    }

    fn decoded(raw: &[u8]) -> io::Result<Vec<u8>> {
        let mut out = Vec::new();
        Decoder::new(raw).map_err(io::Error::from)?.read_to_end(&mut out).map(|_| out)
    }

    #[test]
    fn every_compression_gives_the_same_bytes() {
        let bytes: Vec<u8> = (0..100_000_u32).flat_map(u32::to_le_bytes).collect();
        assert_eq!(decoded(&bytes).unwrap(), bytes);
        assert_eq!(decoded(&gzip(&bytes)).unwrap(), bytes);
        assert_eq!(decoded(&zstd::encode_all(&bytes[..], 1).unwrap()).unwrap(), bytes);
        let members = [gzip(&bytes[..70_000]), gzip(&[]), gzip(&bytes[70_000..])].concat();
        assert_eq!(decoded(&members).unwrap(), bytes);
        let frames = [&bytes[..9], &bytes[9..]].map(|part| zstd::encode_all(part, 1).unwrap()).concat();
        assert_eq!(decoded(&frames).unwrap(), bytes);
    }

    #[test]
    fn a_stream_that_drips_is_known_all_the_same() {
        struct Drips<'a>(&'a [u8]);
        impl Read for Drips<'_> {
            fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
                let count = buffer.len().min(self.0.len()).min(1);
                buffer[..count].copy_from_slice(&self.0[..count]);
                self.0 = &self.0[count..];
                Ok(count)
            }
        }
        let bytes = b"dripping".repeat(100);
        let same = |raw: &[u8], expected: &[u8]| {
            let mut out = Vec::new();
            Decoder::new(Drips(raw)).unwrap().read_to_end(&mut out).unwrap();
            assert!(out == expected);
        };
        same(&gzip(&bytes), &bytes);
        same(&zstd::encode_all(&bytes[..], 1).unwrap(), &bytes);
        [&bytes[..], &[0x1f], &[]].into_iter().for_each(|plain| same(plain, plain));
    }

    #[test]
    fn a_cut_stream_is_an_error_and_not_an_end() {
        let bytes: Vec<u8> = (0..100_000_u32).flat_map(u32::to_le_bytes).collect();
        for whole in [gzip(&bytes), zstd::encode_all(&bytes[..], 1).unwrap()] {
            for cut in [5, whole.len() / 2, whole.len() - 1] {
                assert!(decoded(&whole[..cut]).is_err(), "cut at {cut} of {}", whole.len());
            }
        }
    }

    #[test]
    fn a_bomb_is_stopped_by_its_ratio() {
        struct Zeros;
        impl Read for Zeros {
            fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
                buffer.fill(0);
                Ok(buffer.len())
            }
        }
        let raw = Meter::default();
        raw.store(1000, Ordering::Relaxed);
        let error = io::copy(&mut Bounded::new(Zeros, raw.clone()), &mut io::sink()).unwrap_err();
        assert_eq!(Error::io("", error).kind, Kind::Limit);
        raw.store(u64::MAX, Ordering::Relaxed);
        let honest = 2 * limits::RATIO_FREE_BYTES;
        assert_eq!(io::copy(&mut Bounded::new(Zeros, raw).take(honest), &mut io::sink()).unwrap(), honest);
    }
}
