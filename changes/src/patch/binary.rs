//! git's form of binary contents: deflated, in lines of base 85 that begin with their length.

use super::{Side, write};
use crate::{Error, Result};
use flate2::Compression;
use flate2::write::ZlibEncoder;
use std::io::{self, Write};

const DIGITS: &[u8; 85] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz!#$%&()*+-;<=>?@^_`{|}~";
/// Bytes in a full line.
const LINE: usize = 52;

/// A whole content; that of no file is empty.
pub(super) fn literal(side: Option<Side<'_>>, out: &mut dyn Write) -> Result<()> {
    let size = side.map_or(0, |side| side.entry.size);
    write(out, format!("literal {size}\n").as_bytes())?;
    let mut deflate = ZlibEncoder::new(Lines { out, line: Vec::with_capacity(LINE) }, Compression::default());
    if let Some(side) = side {
        side.copy(&mut deflate)?;
    }
    let ended = deflate.finish().and_then(|mut lines| lines.end().map(|()| lines));
    let lines = ended.map_err(|e| Error::io("writing the patch", e))?;
    write(lines.out, b"\n")
}

struct Lines<'a> {
    out: &'a mut dyn Write,
    line: Vec<u8>,
}

impl Lines<'_> {
    fn end(&mut self) -> io::Result<()> {
        if self.line.is_empty() {
            return Ok(());
        }
        let length = self.line.len() as u8;
        let mut text = vec![if length <= 26 { b'A' + length - 1 } else { b'a' + length - 27 }];
        for word in self.line.chunks(4) {
            let mut four = [0; 4];
            four[..word.len()].copy_from_slice(word);
            let mut rest = u32::from_be_bytes(four);
            let mut five = [0; 5];
            for digit in five.iter_mut().rev() {
                *digit = DIGITS[(rest % 85) as usize];
                rest /= 85;
            }
            text.extend(five);
        }
        text.push(b'\n');
        self.line.clear();
        self.out.write_all(&text)
    }
}

impl Write for Lines<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        for byte in bytes {
            self.line.push(*byte);
            if self.line.len() == LINE {
                self.end()?;
            }
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
