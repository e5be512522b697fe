//! What the warden tells: frames among the task's own output, which a terminal lets through as they are.
//!
//! `\x1e`, the word of the run (32 bytes), a letter, items after `\x1d` each, `\x1e`. No byte below a space is in an item.

use crate::sys;

/// The word before the task's own is known: nobody else writes then.
pub const NO_WORD: [u8; 32] = [b'0'; 32];
const MARK: u8 = 0x1e;
const BETWEEN: u8 = 0x1d;
const FOR_CONTROLS: u8 = 0x1f;

/// A frame that is being put together.
pub struct Frame {
    bytes: [u8; 12288],
    length: usize,
}

impl Frame {
    pub fn new(word: &[u8; 32], letter: u8) -> Frame {
        let mut frame = Frame { bytes: [0; 12288], length: 0 };
        frame.push(MARK);
        word.iter().for_each(|byte| frame.push(*byte));
        frame.push(letter);
        frame
    }

    fn push(&mut self, byte: u8) {
        // The last one is the mark's.
        if self.length + 1 < self.bytes.len() {
            self.bytes[self.length] = byte;
            self.length += 1;
        }
    }

    fn begin(&mut self, name: &[u8]) {
        self.push(BETWEEN);
        name.iter().for_each(|byte| self.push(*byte));
        self.push(b'=');
    }

    pub fn number(&mut self, name: &[u8], value: i64) {
        self.begin(name);
        if value < 0 {
            self.push(b'-');
        }
        let (mut digits, mut count, mut rest) = ([0_u8; 20], 0, value.unsigned_abs());
        while count == 0 || rest > 0 {
            digits[count] = b'0' + (rest % 10) as u8;
            rest /= 10;
            count += 1;
        }
        digits[..count].iter().rev().for_each(|digit| self.push(*digit));
    }

    /// The beginning of a file's content, if it can be read.
    pub fn file(&mut self, name: &[u8], path: &[u8]) {
        let Ok(fd) = sys::open(path) else { return };
        let mut piece = [0_u8; 2048];
        if let Ok(length) = sys::read(fd, &mut piece) {
            self.begin(name);
            piece[..length].iter().for_each(|byte| self.push(if *byte < b' ' { FOR_CONTROLS } else { *byte }));
        }
        sys::close(fd);
    }

    /// Says it; false if nobody takes it for so many milliseconds.
    pub fn send(mut self, fd: i32, patience_ms: u64) -> bool {
        self.bytes[self.length] = MARK;
        self.length += 1;
        let until = sys::now_ms() + patience_ms;
        let mut sent = 0;
        while sent < self.length {
            match sys::write(fd, &self.bytes[sent..self.length]) {
                Ok(count) => sent += count,
                Err(11) if sys::now_ms() < until => sys::wait_writable(fd, 100),
                Err(4) => {}
                Err(_) => return false,
            }
        }
        true
    }
}
