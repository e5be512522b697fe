//! What is typed at a terminal whose keys are the task's.

use std::io::{ErrorKind, Read};

/// Ctrl-Z.
const STOP: u8 = 26;

/// Keys, each as it is typed.
pub(super) struct Keys<R> {
    from: R,
    /// The standard library ends what is read from a console of Windows at Ctrl-Z, and drops it. Here it is a key.
    ends_at_stop: bool,
}

impl<R> Keys<R> {
    pub(super) fn of(from: R) -> Keys<R> {
        Keys { from, ends_at_stop: cfg!(windows) }
    }
}

impl<R: Read> Read for Keys<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        loop {
            match (self.from.read(buffer), buffer.first_mut()) {
                (Err(e), _) if e.kind() == ErrorKind::Interrupted => {}
                (Ok(0), Some(first)) if self.ends_at_stop => {
                    *first = STOP;
                    return Ok(1);
                }
                (read, _) => return read,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads one piece after the other.
    struct Pieces(Vec<std::io::Result<&'static [u8]>>);

    impl Read for Pieces {
        fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
            let piece = self.0.remove(0)?;
            buffer[..piece.len()].copy_from_slice(piece);
            Ok(piece.len())
        }
    }

    fn read(keys: &mut Keys<Pieces>) -> Vec<u8> {
        let mut buffer = [0; 8];
        let length = keys.read(&mut buffer).unwrap();
        buffer[..length].to_vec()
    }

    #[test]
    fn an_end_that_is_a_key_is_typed_and_another_one_is_an_end() {
        let pieces = || Pieces(vec![Ok(b"a"), Ok(b""), Ok(b"b")]);
        let mut keys = Keys { from: pieces(), ends_at_stop: true };
        assert_eq!([read(&mut keys), read(&mut keys), read(&mut keys)], [vec![b'a'], vec![STOP], vec![b'b']]);
        let mut keys = Keys { from: pieces(), ends_at_stop: false };
        assert_eq!([read(&mut keys), read(&mut keys)], [vec![b'a'], vec![]]);
    }

    #[test]
    fn who_is_interrupted_reads_on() {
        let interrupted = Err(std::io::Error::from(ErrorKind::Interrupted));
        let mut keys = Keys::of(Pieces(vec![interrupted, Ok(b"x")]));
        assert_eq!(read(&mut keys), b"x");
    }
}
