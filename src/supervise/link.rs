//! What the supervisor and the command line tell each other: whole packets of JSON.

pub(crate) use crate::supervise::news::{Heard, News, Wish};
use aido_runtime::Error;
use nix::errno::Errno;
use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockType, recv, send, socketpair};
use serde::{Deserialize, Serialize};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

/// One end of the link.
pub(crate) struct Link(OwnedFd);

/// What most packets fit into.
const SHORT: usize = 512;

impl Link {
    pub(crate) fn pair() -> Result<(Link, Link), Error> {
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let (one, other) = socketpair(AddressFamily::Unix, SockType::SeqPacket, None, flags)
            .map_err(|e| Error::new(format!("cannot make a socket pair: {e}")))?;
        Ok((Link(one), Link(other)))
    }

    /// Says something. Lost when the other end is gone, or so far behind that it has enough to read.
    pub(crate) fn say(&self, what: &impl Serialize) {
        if let Ok(packet) = serde_json::to_vec(what) {
            let _ = send(self.0.as_raw_fd(), &packet, MsgFlags::MSG_NOSIGNAL);
        }
    }

    /// Says something that must arrive: waits until there is room.
    pub(crate) fn insist(&self, what: &impl Serialize) {
        let Ok(packet) = serde_json::to_vec(what) else { return };
        while send(self.0.as_raw_fd(), &packet, MsgFlags::MSG_NOSIGNAL) == Err(Errno::EAGAIN) {
            use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
            let mut polled = [PollFd::new(self.0.as_fd(), PollFlags::POLLOUT)];
            if poll(&mut polled, PollTimeout::from(1000u16)).is_ok_and(|ready| ready == 0) {
                return;
            }
        }
    }

    /// The next thing said; never blocks.
    pub(crate) fn hear<T: for<'a> Deserialize<'a>>(&self) -> Heard<T> {
        // Most are short; the length of one that is not is known without taking it.
        let mut short = [0; SHORT];
        let peek = MsgFlags::MSG_PEEK | MsgFlags::MSG_TRUNC;
        let next = |room: &mut [u8], flags| match recv(self.0.as_raw_fd(), room, flags) {
            // The other end was closed before it had read everything. That is told once, ahead of what it had said.
            Err(Errno::ECONNRESET) => recv(self.0.as_raw_fd(), room, flags),
            other => other,
        };
        let got = next(&mut short, peek);
        let mut long = vec![0; got.map_or(0, |length| if length > SHORT { length } else { 0 })];
        let packet = if long.is_empty() { &mut short[..] } else { &mut long[..] };
        let got = got.and_then(|_| next(packet, MsgFlags::empty()));
        match got {
            Ok(0) => Heard::Gone,
            Ok(length) => match serde_json::from_slice(packet.get(..length).unwrap_or(&[])) {
                Ok(said) => Heard::Said(said),
                Err(_) => Heard::Nothing,
            },
            Err(Errno::EAGAIN | Errno::EINTR) => Heard::Nothing,
            Err(_) => Heard::Gone,
        }
    }
}

impl AsFd for Link {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_words_are_heard_of_who_left_without_listening() {
        let (here, there) = Link::pair().unwrap();
        here.insist(&News::Output);
        there.insist(&Wish::Signal { signal: 10 });
        there.insist(&Wish::Detach);
        drop(there);
        assert!(matches!(here.hear(), Heard::Said(Wish::Signal { signal: 10 })));
        assert!(matches!(here.hear(), Heard::Said(Wish::Detach)));
        assert!(matches!(here.hear::<Wish>(), Heard::Gone));
        assert!(matches!(here.hear::<Wish>(), Heard::Gone));
    }
}
