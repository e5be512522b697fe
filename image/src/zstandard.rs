//! Decodes zstd frames one after the other, within a bound on the memory of all that are decoded.
//!
//! A frame says how far back it looks, and the decoder keeps so many bytes. One frame may ask for
//! all that there is room for; then others wait until it is done, each holding nothing meanwhile.

use crate::{Error, Kind, limits};
use std::io::{self, BufRead, Read};
use std::sync::{Condvar, Mutex, PoisonError};
use zstd::stream::raw::{DParameter, Decoder, Operation};

/// A window that is not given back between frames.
const SMALL: u64 = 8 << 20;

/// What all decoders of this process together may keep.
static ROOM: Room = Room { free: Mutex::new(limits::ZSTD_WINDOWS), given: Condvar::new() };

struct Room {
    free: Mutex<u64>,
    given: Condvar,
}

/// Room for one window, for as long as the value lives.
struct Share<'a> {
    room: &'a Room,
    bytes: u64,
}

impl Room {
    /// Waits for it. Who asks holds none.
    fn take(&self, bytes: u64) -> Share<'_> {
        let free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        let mut free = self.given.wait_while(free, |free| *free < bytes).unwrap_or_else(PoisonError::into_inner);
        *free -= bytes;
        Share { room: self, bytes }
    }
}

impl Drop for Share<'_> {
    fn drop(&mut self) {
        *self.room.free.lock().unwrap_or_else(PoisonError::into_inner) += self.bytes;
        self.room.given.notify_all();
    }
}

/// A frame in decoding. The decoder's memory goes before the room for it does.
struct Frame {
    decoder: Decoder<'static>,
    share: Share<'static>,
}

pub(crate) struct Frames<R> {
    input: R,
    /// A frame's first bytes, which were read to see what it asks for, and how many the decoder has.
    head: Vec<u8>,
    fed: usize,
    frame: Option<Frame>,
    within: bool,
}

fn cut() -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, "a zstd frame ends in the middle")
}

impl<R: BufRead> Frames<R> {
    pub(crate) fn new(input: R) -> Self {
        Frames { input, head: Vec::new(), fed: 0, frame: None, within: false }
    }

    /// Reads the next frame's header and makes room for it; false if there is none.
    fn begin(&mut self) -> io::Result<bool> {
        (self.head, self.fed) = (Vec::new(), 0);
        let window = loop {
            match window(&self.head) {
                Some(window) => break window,
                None => {
                    let mut next = [0];
                    if self.input.read(&mut next)? == 0 {
                        return if self.head.is_empty() { Ok(false) } else { Err(cut()) };
                    }
                    self.head.push(next[0]);
                }
            }
        };
        if window > 1 << limits::ZSTD_WINDOW_LOG {
            let most = 1_u64 << limits::ZSTD_WINDOW_LOG;
            let what = format!("a zstd frame of it asks for a window of {window} bytes; the limit is {most}");
            return Err(Error::new(Kind::Limit, what).into());
        }
        // A decoder keeps what its largest frame took; a small one may serve all that fit.
        let serves = |share: u64| share == window || (window < share && share <= SMALL);
        if !self.frame.as_ref().is_some_and(|frame| serves(frame.share.bytes)) {
            self.frame = None;
            let share = ROOM.take(window);
            let mut decoder = Decoder::new()?;
            decoder.set_parameter(DParameter::WindowLogMax(limits::ZSTD_WINDOW_LOG))?;
            self.frame = Some(Frame { decoder, share });
        }
        self.within = true;
        Ok(true)
    }
}

/// How far back a frame looks; nothing while more of its header is needed to tell.
fn window(head: &[u8]) -> Option<u64> {
    if head.len() < 5 {
        return None;
    }
    // What is no frame the decoder refuses, and a frame to be skipped needs no window.
    if head[..4] != [0x28, 0xb5, 0x2f, 0xfd] {
        return Some(0);
    }
    let descriptor = head[4];
    if descriptor & 0x20 == 0 {
        let window = *head.get(5)?;
        let base = 1_u64 << (10 + (window >> 3));
        return Some(base + base / 8 * u64::from(window & 7));
    }
    // It is a single segment: its whole content is the window.
    let id = [0, 1, 2, 4][usize::from(descriptor & 3)];
    let size = [1, 2, 4, 8][usize::from(descriptor >> 6)];
    let mut content = [0; 8];
    content[..size].copy_from_slice(head.get(5 + id..5 + id + size)?);
    let content = u64::from_le_bytes(content);
    Some(if size == 2 { content + 256 } else { content })
}

impl<R: BufRead> Read for Frames<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while !buffer.is_empty() {
            if !self.within && !self.begin()? {
                // Others may need the room.
                self.frame = None;
                return Ok(0);
            }
            let Some(frame) = &mut self.frame else { return Err(cut()) };
            let headed = self.fed < self.head.len();
            let input = if headed { &self.head[self.fed..] } else { self.input.fill_buf()? };
            let ended = input.is_empty();
            let status = frame.decoder.run_on_buffers(input, buffer)?;
            match headed {
                true => self.fed += status.bytes_read,
                false => self.input.consume(status.bytes_read),
            }
            self.within = status.remaining != 0;
            if status.bytes_written > 0 {
                return Ok(status.bytes_written);
            }
            if ended && self.within {
                return Err(cut());
            }
        }
        Ok(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::time::Duration;

    fn packed(bytes: &[u8], log: u32, sized: bool) -> Vec<u8> {
        let mut out = zstd::stream::Encoder::new(Vec::new(), 1).unwrap();
        out.window_log(log).unwrap();
        if sized {
            out.set_pledged_src_size(Some(bytes.len() as u64)).unwrap();
        }
        out.write_all(bytes).unwrap();
        out.finish().unwrap()
    }

    fn decoded(raw: &[u8]) -> io::Result<Vec<u8>> {
        let mut out = Vec::new();
        Frames::new(raw).read_to_end(&mut out).map(|_| out)
    }

    #[test]
    fn the_window_is_read_as_the_decoder_reads_it() {
        for log in [10, 17, 21, 25, 27] {
            assert_eq!(window(&packed(&[7; 100], log, false)), Some(1 << log), "{log}");
        }
        for size in [1, 255, 256, 257, 70_000, 1 << 24] {
            let frame = packed(&vec![7; size], 27, true);
            assert_eq!(window(&frame), Some(size as u64), "{size}");
            assert_eq!(decoded(&frame).unwrap().len(), size);
            let early = (0..frame.len().min(20)).find_map(|n| window(&frame[..n]));
            assert_eq!(early, Some(size as u64));
        }
        assert_eq!(window(&[0x50, 0x2a, 0x4d, 0x18, 9]), Some(0));
    }

    #[test]
    fn each_of_many_frames_is_held_to_the_bound_anew() {
        let bytes: Vec<u8> = (0..1_000_000_u32).flat_map(u32::to_le_bytes).collect();
        let skipped = [&[0x5f, 0x2a, 0x4d, 0x18, 3, 0, 0, 0][..], b"abc"].concat();
        let honest = [packed(&bytes, 20, false), skipped, packed(&bytes, 25, false), packed(&bytes, 17, true)].concat();
        assert!(decoded(&honest).unwrap() == bytes.repeat(3));
        for sized in [true, false] {
            let large = if sized { &vec![0; (32 << 20) + 1][..] } else { &bytes };
            let error = decoded(&[honest.clone(), packed(large, 26, sized)].concat()).unwrap_err();
            let error = Error::io("", error);
            assert!(error.kind == Kind::Limit && error.what.contains("window"), "{error}");
        }
        assert!(decoded(&[&honest[..], b"trailing"].concat()).is_err());
        for cut in [1, 4, 5, 6, honest.len() / 2, honest.len() - 1] {
            assert!(decoded(&honest[..cut]).is_err(), "cut at {cut}");
        }
        assert_eq!(decoded(b"").unwrap(), b"");
    }

    #[test]
    fn large_windows_wait_for_each_other() {
        let room = Room { free: Mutex::new(10), given: Condvar::new() };
        let (small, other) = (room.take(4), room.take(4));
        std::thread::scope(|scope| {
            let (tell, told) = std::sync::mpsc::channel();
            let taken = &room;
            scope.spawn(move || {
                let _all = taken.take(10);
                tell.send(()).unwrap();
            });
            for share in [small, other] {
                assert!(told.recv_timeout(Duration::from_millis(50)).is_err(), "two windows were kept at once");
                drop(share);
            }
            told.recv_timeout(Duration::from_secs(10)).unwrap();
        });
        assert_eq!(*room.free.lock().unwrap(), 10);
    }
}
