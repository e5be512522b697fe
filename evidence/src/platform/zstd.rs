//! Bundles are packed by the zstd library.

use std::io::{self, BufRead, Read, Write};
use zstd::stream::read::Decoder;
use zstd::stream::write::Encoder;

/// Better levels take longer than they save.
const LEVEL: i32 = 3;
/// The decoder may look back so far (8 MiB), which is all that it keeps in memory.
const WINDOW_LOG: u32 = 23;

/// One frame, unpacked while it is read.
pub(crate) struct Unpacking<R: BufRead>(Decoder<'static, R>);

impl<R: BufRead> Unpacking<R> {
    pub(crate) fn new(input: R) -> io::Result<Self> {
        let mut decoder = Decoder::with_buffer(input)?.single_frame();
        decoder.window_log_max(WINDOW_LOG)?;
        Ok(Unpacking(decoder))
    }

    /// What follows the frame.
    pub(crate) fn beyond(&mut self) -> io::Result<&[u8]> {
        self.0.get_mut().fill_buf()
    }
}

impl<R: BufRead> Read for Unpacking<R> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        self.0.read(bytes)
    }
}

/// Packs what `fill` writes into one frame with a checksum: a damaged copy is told from a changed one.
pub(crate) fn packed<T, E>(
    out: impl Write + Send,
    failed: impl Fn(io::Error) -> E,
    fill: impl FnOnce(&mut dyn Write) -> Result<T, E>,
) -> Result<T, E> {
    let mut encoder = Encoder::new(out, LEVEL).map_err(&failed)?;
    encoder.include_checksum(true).map_err(&failed)?;
    let done = fill(&mut encoder)?;
    encoder.finish().and_then(|mut out| out.flush()).map_err(&failed)?;
    Ok(done)
}
