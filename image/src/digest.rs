//! Digests, and readers that compute them on the way.

use crate::{Error, Kind, Result};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use std::fmt;
use std::io::{self, BufRead, Read};
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// A SHA-256 digest, written `sha256:…`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Digest([u8; 32]);

/// The digest of a layer's uncompressed tar stream (its diff ID).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct LayerId(pub Digest);

impl Digest {
    pub fn of(bytes: &[u8]) -> Self {
        Digest(Sha256::digest(bytes).into())
    }

    /// The 64 hexadecimal digits.
    pub fn hex(&self) -> String {
        self.0.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

impl From<Sha256> for Digest {
    fn from(hasher: Sha256) -> Self {
        Digest(hasher.finalize().into())
    }
}

impl FromStr for Digest {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let wrong = || {
            let hint = "digests are `sha256:` and 64 hexadecimal digits in lower case";
            Error::new(Kind::Name, format!("`{}` is no digest that aido knows: {hint}", text.escape_debug()))
        };
        let hex = text.strip_prefix("sha256:").ok_or_else(wrong)?.as_bytes();
        let digit = |d: u8| match d {
            b'0'..=b'9' => Some(d - b'0'),
            b'a'..=b'f' => Some(d - b'a' + 10),
            _ => None,
        };
        let mut out = [0; 32];
        if hex.len() != 64 {
            return Err(wrong());
        }
        for (byte, pair) in out.iter_mut().zip(hex.chunks_exact(2)) {
            *byte = digit(pair[0]).zip(digit(pair[1])).map(|(high, low)| high << 4 | low).ok_or_else(wrong)?;
        }
        Ok(Digest(out))
    }
}

impl TryFrom<String> for Digest {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl From<Digest> for String {
    fn from(digest: Digest) -> String {
        digest.to_string()
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("sha256:{}", self.hex()))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl fmt::Display for LayerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// How many bytes went by; shared with whoever compares two streams.
pub(crate) type Meter = Arc<AtomicU64>;

/// A reader that hashes and counts what passes.
pub(crate) struct Hashing<R> {
    inner: R,
    hasher: Sha256,
    meter: Meter,
}

impl<R: Read> Hashing<R> {
    pub(crate) fn new(inner: R) -> Self {
        Hashing { inner, hasher: Sha256::new(), meter: Meter::default() }
    }

    pub(crate) fn meter(&self) -> Meter {
        self.meter.clone()
    }

    pub(crate) fn count(&self) -> u64 {
        self.meter.load(Ordering::Relaxed)
    }

    /// Reads to the end and returns the digest of the whole stream.
    pub(crate) fn finish(mut self) -> io::Result<(Digest, u64)> {
        io::copy(&mut self, &mut io::sink())?;
        let count = self.count();
        Ok((Digest::from(self.hasher), count))
    }
}

impl<R: Read> Read for Hashing<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let got = self.inner.read(buffer)?;
        self.hasher.update(&buffer[..got]);
        self.meter.fetch_add(got as u64, Ordering::Relaxed);
        Ok(got)
    }
}

impl<R: BufRead> Hashing<R> {
    /// What is read from.
    pub(crate) fn inner(&mut self) -> &mut R {
        &mut self.inner
    }
}

impl<R: BufRead> BufRead for Hashing<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.inner.fill_buf()
    }

    fn consume(&mut self, count: usize) {
        // These bytes were shown by then, so nothing is read here, and nothing can fail.
        if let Ok(shown) = self.inner.fill_buf() {
            self.hasher.update(&shown[..count]);
        }
        self.inner.consume(count);
        self.meter.fetch_add(count as u64, Ordering::Relaxed);
    }
}

/// A reader that holds its stream to an announced size: an end before it, or a byte after it, is
/// an error, so that nobody downstream sees more or less than was announced.
pub(crate) struct Exactly<R> {
    inner: R,
    left: u64,
    size: u64,
}

impl<R: Read> Exactly<R> {
    pub(crate) fn new(inner: R, size: u64) -> Self {
        Exactly { inner, left: size, size }
    }
}

impl<R: Read> Read for Exactly<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        let got = self.inner.read(buffer)?;
        let wrong = |what: String| Error::new(Kind::Unverified, what).into();
        if got as u64 > self.left {
            return Err(wrong(format!("it goes on after the {} bytes that its manifest announces", self.size)));
        }
        if got == 0 && self.left > 0 {
            let had = self.size - self.left;
            return Err(wrong(format!("it ended after {had} of {} bytes", self.size)));
        }
        self.left -= got as u64;
        Ok(got)
    }
}

/// Reads a small blob whole and believes it only if size and digest are right.
pub(crate) fn verified(reader: impl Read, digest: &Digest, size: u64, limit: u64) -> Result<Vec<u8>> {
    if size > limit {
        return Err(Error::new(Kind::Limit, format!("{digest} is {size} bytes; the limit is {limit}")));
    }
    let mut bytes = Vec::with_capacity(size as usize);
    Exactly::new(reader, size).read_to_end(&mut bytes).map_err(|e| Error::io(digest, e).within(digest))?;
    let found = Digest::of(&bytes);
    if found != *digest {
        return Err(Error::new(Kind::Unverified, format!("{digest}: the bytes have the digest {found}")));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const EMPTY: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn a_digest_is_read_strictly_and_written_back() {
        assert_eq!(EMPTY.parse::<Digest>().unwrap(), Digest::of(b""));
        assert_eq!(Digest::of(b"").to_string(), EMPTY);
        for wrong in
            ["", "sha256:", &EMPTY[7..], &EMPTY.to_uppercase(), &EMPTY[..70], &format!("{EMPTY}0"), "sha512:00"]
        {
            assert!(wrong.parse::<Digest>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn bytes_are_believed_only_at_their_size_and_digest() {
        let digest = Digest::of(b"hello");
        assert_eq!(verified(&b"hello"[..], &digest, 5, 10).unwrap(), b"hello");
        for (bytes, size) in [(&b"hell"[..], 5), (b"hello!", 5), (b"jello", 5), (b"hello", 4), (b"hello", 6)] {
            assert_eq!(verified(bytes, &digest, size, 10).unwrap_err().kind, Kind::Unverified);
        }
        assert_eq!(verified(&b"hello"[..], &digest, 5, 4).unwrap_err().kind, Kind::Limit);
    }
}
