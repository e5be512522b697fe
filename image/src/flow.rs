//! A stream on its way from the thread that makes it to one that uses it and one that hashes it.
//!
//! Both get the same buffers, and who lets go of one last sends it back to be filled again. There
//! are a few of them and no more: whoever is ahead waits.

use crate::shown::read_shown;
use crate::{Digest, limits};
use sha2::{Digest as _, Sha256};
use std::io::{self, BufRead, Read};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};

/// A filled buffer; it goes home when it is dropped.
struct Buffer {
    bytes: Vec<u8>,
    home: Sender<Vec<u8>>,
}

impl Drop for Buffer {
    fn drop(&mut self) {
        // At the stream's end nobody is home any more.
        let _ = self.home.send(std::mem::take(&mut self.bytes));
    }
}

/// The end that fills.
pub(crate) struct Source {
    empty: Receiver<Vec<u8>>,
    home: Sender<Vec<u8>>,
    reader: Sender<io::Result<Arc<Buffer>>>,
    hasher: Sender<Arc<Buffer>>,
}

/// The end that reads.
pub(crate) struct Drain {
    filled: Receiver<io::Result<Arc<Buffer>>>,
    current: Option<Arc<Buffer>>,
    at: usize,
}

/// The end that hashes.
pub(crate) struct Sum {
    filled: Receiver<Arc<Buffer>>,
}

pub(crate) fn flow() -> (Source, Drain, Sum) {
    let (home, empty) = channel();
    // Each gets its memory when it is first filled: most layers are small.
    (0..limits::FLOW_BUFFERS).for_each(|_| drop(home.send(Vec::new())));
    let ((reader, read), (hasher, hashed)) = (channel(), channel());
    let drain = Drain { filled: read, current: None, at: 0 };
    (Source { empty, home, reader, hasher }, drain, Sum { filled: hashed })
}

impl Source {
    /// Passes on all that `from` has, until its end, its failure, or until nobody reads any more.
    pub(crate) fn pump(self, mut from: impl Read) {
        while let Ok(mut bytes) = self.empty.recv() {
            bytes.resize(limits::FLOW_BYTES, 0);
            let got = match fill(&mut from, &mut bytes) {
                Ok(0) => return,
                Ok(got) => got,
                Err(error) => return self.fail(error),
            };
            bytes.truncate(got);
            let buffer = Arc::new(Buffer { bytes, home: self.home.clone() });
            if self.reader.send(Ok(buffer.clone())).is_err() || self.hasher.send(buffer).is_err() {
                return;
            }
        }
    }

    /// Ends the stream by a failure, if anybody still reads.
    pub(crate) fn fail(self, error: io::Error) {
        drop(self.reader.send(Err(error)));
    }
}

/// Reads until the buffer is full or the stream ends; how much that is.
fn fill(from: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match from.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(got) => filled += got,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(filled)
}

impl Sum {
    /// Waits for the stream's end; its digest and its length.
    pub(crate) fn finish(self) -> (Digest, u64) {
        let (mut hasher, mut count) = (Sha256::new(), 0);
        for buffer in self.filled {
            hasher.update(&buffer.bytes);
            count += buffer.bytes.len() as u64;
        }
        (Digest::from(hasher), count)
    }
}

impl BufRead for Drain {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.current.as_ref().is_none_or(|current| self.at == current.bytes.len()) {
            // The old one goes home before anybody waits for the next.
            self.current = None;
            self.current = self.filled.recv().ok().transpose()?;
            self.at = 0;
        }
        Ok(self.current.as_ref().map_or(&[], |current| &current.bytes[self.at..]))
    }

    fn consume(&mut self, count: usize) {
        self.at += count;
    }
}

impl Read for Drain {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        read_shown(self, buffer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives its bytes in pieces of odd sizes, then fails if it is to.
    struct Pieces<'a>(&'a [u8], bool);

    impl Read for Pieces<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let count = self.0.len().min(buffer.len()).min(70_001);
            if count == 0 && self.1 {
                return Err(io::Error::other("broken"));
            }
            buffer[..count].copy_from_slice(&self.0[..count]);
            self.0 = &self.0[count..];
            Ok(count)
        }
    }

    fn passed(
        bytes: &[u8],
        fails: bool,
        read: impl FnOnce(Drain) -> io::Result<Vec<u8>>,
    ) -> (io::Result<Vec<u8>>, (Digest, u64)) {
        let (source, drain, sum) = flow();
        std::thread::scope(|scope| {
            scope.spawn(|| source.pump(Pieces(bytes, fails)));
            let sum = scope.spawn(|| sum.finish());
            (read(drain), sum.join().unwrap())
        })
    }

    fn all(mut drain: Drain) -> io::Result<Vec<u8>> {
        let mut out = Vec::new();
        drain.read_to_end(&mut out).map(|_| out)
    }

    #[test]
    fn both_ends_get_all_of_the_stream_in_order() {
        let long: Vec<u8> = (0..3 * limits::FLOW_BUFFERS * limits::FLOW_BYTES + 17).map(|n| (n / 251) as u8).collect();
        for bytes in [&long[..], &[], b"short", &long[..limits::FLOW_BYTES]] {
            let (read, sum) = passed(bytes, false, all);
            assert!(read.unwrap() == bytes);
            assert_eq!(sum, (Digest::of(bytes), bytes.len() as u64));
        }
    }

    #[test]
    fn a_failure_reaches_the_reader_and_is_no_end() {
        let (read, _) = passed(&[7; 1000], true, all);
        assert_eq!(read.unwrap_err().to_string(), "broken");
    }

    #[test]
    fn nobody_waits_for_a_reader_that_left() {
        let long = vec![1; 10 * limits::FLOW_BUFFERS * limits::FLOW_BYTES];
        let (_, (_, count)) = passed(&long, false, |mut drain| drain.fill_buf().map(<[u8]>::to_vec));
        assert!(count < long.len() as u64);
    }
}
