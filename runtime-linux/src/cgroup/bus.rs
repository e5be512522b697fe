//! One short conversation over D-Bus, with one time limit on all of it.
//!
//! rustbus writes and reads the messages. Its own connection is not used: its log-in reads without
//! a time limit, spins when the other side hangs up, and its socket survives exec.

use nix::sys::socket::{AddressFamily, SockFlag, SockType, UnixAddr, connect, setsockopt, socket, sockopt};
use nix::sys::time::{TimeVal, TimeValLike};
use rustbus::MessageType;
use rustbus::message_builder::MarshalledMessage;
use rustbus::wire::{marshal, unmarshal};
use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

/// No answer of systemd's comes near; a longer one is not read.
const LONGEST: usize = 1 << 20;

pub(super) struct Bus {
    stream: UnixStream,
    until: Instant,
    serial: u32,
    /// Signals that came while a reply was awaited.
    signals: VecDeque<MarshalledMessage>,
}

impl Bus {
    /// Connects, logs in as this process's user and says hello.
    pub(super) fn open(path: &Path, patience: Duration) -> io::Result<Bus> {
        let fd = socket(AddressFamily::Unix, SockType::Stream, SockFlag::SOCK_CLOEXEC, None)?;
        setsockopt(&fd, sockopt::SendTimeout, &TimeVal::milliseconds(patience.as_millis() as i64))?;
        connect(fd.as_raw_fd(), &UnixAddr::new(path)?)?;
        let until = Instant::now() + patience;
        let mut bus = Bus { stream: UnixStream::from(fd), until, serial: 0, signals: VecDeque::new() };
        bus.log_in()?;
        bus.call(&rustbus::standard_messages::hello())?;
        Ok(bus)
    }

    fn log_in(&mut self) -> io::Result<()> {
        let uid: String = nix::unistd::geteuid().to_string().bytes().map(|b| format!("{b:02x}")).collect();
        self.put(format!("\0AUTH EXTERNAL {uid}\r\n").as_bytes())?;
        let mut line = Vec::new();
        while !line.ends_with(b"\r\n") && line.len() < 1024 {
            line.extend(self.take(1)?);
        }
        if !line.starts_with(b"OK ") {
            return Err(io::Error::other("the bus does not know this user"));
        }
        self.put(b"BEGIN\r\n")
    }

    /// Sends a call and waits for its reply; an error of the other side is an error here.
    pub(super) fn call(&mut self, message: &MarshalledMessage) -> io::Result<MarshalledMessage> {
        self.serial += 1;
        let mut bytes = Vec::new();
        marshal::marshal(message, self.serial, &mut bytes).map_err(|e| io::Error::other(format!("{e:?}")))?;
        bytes.extend_from_slice(message.get_buf());
        self.put(&bytes)?;
        loop {
            let answer = self.receive()?;
            let for_this = answer.dynheader.response_serial == Some(self.serial);
            match answer.typ {
                MessageType::Reply if for_this => return Ok(answer),
                MessageType::Error if for_this => {
                    let name = answer.dynheader.error_name.clone().unwrap_or_default();
                    let text = answer.body.parser().get::<String>().unwrap_or_default();
                    return Err(io::Error::other(format!("{name}: {text}")));
                }
                MessageType::Signal => self.signals.push_back(answer),
                _ => {}
            }
        }
    }

    /// The next signal.
    pub(super) fn signal(&mut self) -> io::Result<MarshalledMessage> {
        loop {
            if let Some(signal) = self.signals.pop_front() {
                return Ok(signal);
            }
            let message = self.receive()?;
            if message.typ == MessageType::Signal {
                return Ok(message);
            }
        }
    }

    /// Reads one message: a fixed part, the header's fields padded to eight bytes, the body.
    fn receive(&mut self) -> io::Result<MarshalledMessage> {
        let bad = |e| io::Error::new(io::ErrorKind::InvalidData, format!("D-Bus message: {e:?}"));
        let mut bytes = self.take(unmarshal::HEADER_LEN + 4)?;
        let (at, header) = unmarshal::unmarshal_header(&bytes, 0).map_err(bad)?;
        let (_, fields) = rustbus::wire::util::parse_u32(&bytes[at..], header.byteorder).map_err(bad)?;
        let rest = (fields as usize).next_multiple_of(8).saturating_add(header.body_len as usize);
        if rest > LONGEST {
            return Err(io::Error::new(io::ErrorKind::InvalidData, format!("D-Bus message of {rest} bytes")));
        }
        bytes.extend(self.take(rest)?);
        let (used, fields) = unmarshal::unmarshal_dynamic_header(&header, &bytes, at).map_err(bad)?;
        Ok(unmarshal::unmarshal_next_message(&header, fields, &bytes, at + used).map_err(bad)?.1)
    }

    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.set_write_timeout(Some(self.left()?))?;
        self.stream.write_all(bytes).map_err(late)
    }

    fn take(&mut self, count: usize) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; count];
        let mut got = 0;
        while got < count {
            // Set anew before each read, so that a slow dribble cannot stretch the limit.
            self.stream.set_read_timeout(Some(self.left()?))?;
            match self.stream.read(&mut bytes[got..]) {
                Ok(0) => return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the bus hung up")),
                Ok(more) => got += more,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(late(e)),
            }
        }
        Ok(bytes)
    }

    fn left(&self) -> io::Result<Duration> {
        let left = self.until.saturating_duration_since(Instant::now());
        // A socket time-out of zero would mean none at all.
        if left < Duration::from_millis(1) { Err(late(io::ErrorKind::WouldBlock.into())) } else { Ok(left) }
    }
}

/// The kernel says "try again" for a socket's time-out.
fn late(error: io::Error) -> io::Error {
    match error.kind() {
        io::ErrorKind::WouldBlock => io::Error::new(io::ErrorKind::TimedOut, "no answer in time"),
        _ => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixListener;

    /// Opens a bus whose other side does `act`, and says how it failed and after how long.
    fn failing(act: impl FnOnce(UnixStream) + Send + 'static) -> (io::Error, Duration) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("bus");
        let listener = UnixListener::bind(&path).unwrap();
        let other = std::thread::spawn(move || act(listener.accept().unwrap().0));
        let start = Instant::now();
        let error = Bus::open(&path, Duration::from_millis(300)).err().expect("no bus is there");
        let took = start.elapsed();
        other.join().unwrap();
        (error, took)
    }

    #[test]
    fn a_silent_bus_is_left_in_time() {
        let (error, took) = failing(|_stream| std::thread::sleep(Duration::from_millis(600)));
        assert_eq!(error.kind(), io::ErrorKind::TimedOut, "{error}");
        assert!(took < Duration::from_secs(2), "{took:?}");
    }

    #[test]
    fn a_dribbling_bus_is_left_in_time() {
        let (error, took) = failing(|mut stream| {
            while stream.write_all(b"O").is_ok() {
                std::thread::sleep(Duration::from_millis(20));
            }
        });
        assert_eq!(error.kind(), io::ErrorKind::TimedOut, "{error}");
        assert!(took < Duration::from_secs(2), "{took:?}");
    }

    #[test]
    fn a_bus_that_hangs_up_or_refuses_is_an_error_at_once() {
        let (error, took) = failing(drop);
        assert!(took < Duration::from_millis(250), "{error} after {took:?}");
        let (error, _) = failing(|mut stream| drop(stream.write_all(b"REJECTED EXTERNAL\r\n")));
        assert!(error.to_string().contains("does not know this user") || error.kind() == io::ErrorKind::BrokenPipe);
    }

    #[test]
    fn a_message_of_absurd_length_is_not_read() {
        let (error, took) = failing(|mut stream| {
            let _ = stream.write_all(b"OK 1\r\nl\x02\x01\x01\xff\xff\xff\x7f\x01\0\0\0\x08\0\0\0");
            std::thread::sleep(Duration::from_millis(100));
        });
        assert_eq!(error.kind(), io::ErrorKind::InvalidData, "{error}");
        assert!(took < Duration::from_millis(250), "{took:?}");
    }
}
