//! What every buffered stream of this crate has in common.

use std::io::{self, BufRead};

/// Reads what the stream shows, and takes it off.
pub(crate) fn read_shown(stream: &mut impl BufRead, buffer: &mut [u8]) -> io::Result<usize> {
    let shown = stream.fill_buf()?;
    let count = shown.len().min(buffer.len());
    buffer[..count].copy_from_slice(&shown[..count]);
    stream.consume(count);
    Ok(count)
}
