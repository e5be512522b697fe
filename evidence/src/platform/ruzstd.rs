//! Bundles are packed without C. The same format; it packs less tightly.

use ruzstd::decoding::{FrameDecoder, StreamingDecoder};
use ruzstd::encoding::{CompressionLevel, FrameCompressor};
use std::io::{self, BufRead, PipeReader, Read, Write};

/// One frame, unpacked while it is read. The decoder looks back 100 MB at most.
pub(crate) struct Unpacking<R: BufRead>(StreamingDecoder<R, FrameDecoder>);

impl<R: BufRead> Unpacking<R> {
    pub(crate) fn new(input: R) -> io::Result<Self> {
        StreamingDecoder::new(input).map(Unpacking).map_err(io::Error::other)
    }

    /// What follows the frame.
    pub(crate) fn beyond(&mut self) -> io::Result<&[u8]> {
        self.0.get_mut().fill_buf()
    }
}

impl<R: BufRead> Read for Unpacking<R> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let count = self.0.read(bytes)?;
        let decoder = &self.0.decoder;
        if count == 0 && !bytes.is_empty() && decoder.get_checksum_from_data() != decoder.get_calculated_checksum() {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "its checksum is wrong"));
        }
        Ok(count)
    }
}

/// Packs what `fill` writes into one frame with a checksum: a damaged copy is told from a changed one. The encoder wants
/// to read, so it does so on a thread of its own.
pub(crate) fn packed<T, E>(
    out: impl Write + Send,
    failed: impl Fn(io::Error) -> E,
    fill: impl FnOnce(&mut dyn Write) -> Result<T, E>,
) -> Result<T, E> {
    let (source, mut sink) = io::pipe().map_err(&failed)?;
    std::thread::scope(|scope| {
        let packing = scope.spawn(move || pack(source, out));
        let done = fill(&mut sink);
        drop(sink);
        let packed = packing.join().unwrap_or_else(|_| Err(io::Error::other("the encoder failed")));
        let done = done?;
        packed.map_err(&failed)?;
        Ok(done)
    })
}

fn pack(source: PipeReader, out: impl Write) -> io::Result<()> {
    let mut careful = Careful { out, failed: None };
    let mut encoder = FrameCompressor::new(CompressionLevel::Fastest);
    encoder.set_source(source);
    encoder.set_drain(&mut careful);
    encoder.compress();
    drop(encoder);
    match careful.failed {
        Some(error) => Err(error),
        None => careful.out.flush(),
    }
}

/// The encoder panics where it cannot write: it is told that it can, and the error is kept.
struct Careful<W> {
    out: W,
    failed: Option<io::Error>,
}

impl<W: Write> Write for Careful<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.failed.is_none() {
            self.failed = self.out.write_all(bytes).err();
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
