//! The gateway of one run: a process of its own beside the supervisor, which stands outside of the sandbox and serves its
//! doors. With it the doors close, and the run has no network any more.

mod confine;
mod process;
mod words;

pub(crate) use process::main;

use crate::egress::{Asked, Said};
use crate::host::native;
use aido_runtime::{Doors, Egress, Error, Gate};
use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg};
use std::collections::BTreeMap;
use std::io::{ErrorKind, IoSlice, Read, Write};
use std::net::Shutdown;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use words::{ALL, Door};

/// How it is called, by itself and by `ps`.
const NAME: &str = "aido-gateway";
/// How long it may take to stand, and to open.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long an ending one may take to tell its last words: it gives its connections two seconds.
const ENDING: Duration = Duration::from_secs(5);
/// Where it looks for the roots that servers are signed by, if its user says so.
const ROOTS: [&str; 2] = ["SSL_CERT_FILE", "SSL_CERT_DIR"];
/// So much is read at once.
const PIECE: usize = 64 * 1024;
/// A longer line is none of the gateway's.
const LONGEST: usize = 1 << 20;

/// A gateway that stands. It ends with this value.
pub(crate) struct Standing {
    child: Child,
    socket: UnixStream,
    gate: Gate,
    /// What was read and is no whole line yet.
    rest: Vec<u8>,
    gone: bool,
}

/// What one has to tell.
#[derive(Debug)]
pub(crate) enum Told {
    /// An event for the record: its kind and its fields.
    Event(String, serde_json::Value),
    /// Not now.
    Nothing,
    /// It is gone, and the sandbox has no network any more.
    Gone,
}

/// Starts the gateway for what a plan may reach, and waits until it stands; `secrets` are those of the caller's variables
/// that it names. They go by a socket, and nowhere else.
pub(crate) fn start(egress: &Egress, secrets: &BTreeMap<String, String>) -> Result<Standing, Error> {
    let failed = |why: &dyn std::fmt::Display| {
        Error::new(format!("cannot start the gateway, which is the run's way to the network: {why}")).remedy(
            "`--no-network` runs the task without; see `ulimit -u` for the number of processes that you may have",
        )
    };
    let (socket, theirs) = UnixStream::pair().map_err(|e| failed(&e))?;
    let mut command = Command::new(native::own_program());
    command.arg0(NAME).env_clear().envs(ROOTS.iter().filter_map(|name| Some((name, std::env::var_os(name)?))));
    command.current_dir("/").stdin(OwnedFd::from(theirs)).stdout(Stdio::null()).stderr(Stdio::null());
    let child = command.spawn().map_err(|e| failed(&e))?;
    // The other end is the child's alone: with it the socket ends.
    drop(command);
    let mut standing = Standing { child, socket, gate: Gate::default(), rest: Vec::new(), gone: false };
    let named = egress.secrets().filter_map(|name| Some((name.to_string(), secrets.get(name)?.clone()))).collect();
    standing.ask(&Asked { egress: egress.clone(), secrets: named }).map_err(|e| failed(&e))?;
    match standing.said_within(PATIENCE).map_err(|e| failed(&e))? {
        Said::Ready(gate) => standing.gate = gate,
        Said::Failed { what, remedy } => return Err(Error { what, remedy }),
        _ => return Err(failed(&"it spoke out of turn")),
    }
    Ok(standing)
}

impl Standing {
    /// What the engine has to know of it.
    pub(crate) fn gate(&self) -> &Gate {
        &self.gate
    }

    /// Gives it the sandbox's doors, and waits until it serves. From then on it is heard without waiting.
    pub(crate) fn open(&mut self, doors: Doors) -> Result<(), Error> {
        let failed = |why: &dyn std::fmt::Display| Error::new(format!("the gateway does not serve the sandbox: {why}"));
        let all = [
            (Door::Tcp, doors.tcp.iter().map(AsRawFd::as_raw_fd).collect::<Vec<_>>()),
            (Door::Proxy, doors.proxy.iter().map(AsRawFd::as_raw_fd).collect()),
            (Door::NamesUdp, doors.names_udp.iter().map(AsRawFd::as_raw_fd).collect()),
            (Door::NamesTcp, doors.names_tcp.iter().map(AsRawFd::as_raw_fd).collect()),
            (Door::Strays, doors.strays.iter().map(AsRawFd::as_raw_fd).collect()),
            (Door::CarriedFrom, doors.carried.iter().map(|carried| carried.from.as_raw_fd()).collect()),
            (Door::CarriedTo, doors.carried.iter().map(|carried| carried.to.as_raw_fd()).collect()),
        ];
        for (door, sockets) in all {
            sockets.into_iter().try_for_each(|socket| self.give(door as u8, Some(socket))).map_err(|e| failed(&e))?;
        }
        self.give(ALL, None).map_err(|e| failed(&e))?;
        // Copies in this process would keep the doors open when the gateway is gone.
        drop(doors);
        match self.said_within(PATIENCE).map_err(|e| failed(&e))? {
            Said::Open => self.socket.set_nonblocking(true).map_err(|e| failed(&e)),
            Said::Failed { what, remedy } => Err(Error { what, remedy }),
            _ => Err(failed(&"it spoke out of turn")),
        }
    }

    /// The next that it tells; never blocks.
    pub(crate) fn told(&mut self) -> Told {
        match self.next() {
            Ok(Some(Said::Event { kind, data })) => Told::Event(kind, data),
            Ok(Some(_)) | Err(_) => self.lost(),
            Ok(None) => Told::Nothing,
        }
    }

    /// Has it end: what it tells from then on is its last, until [`Told::Gone`].
    pub(crate) fn finish(&mut self) {
        let _ = self.socket.shutdown(Shutdown::Write);
        let _ = self.socket.set_nonblocking(false);
        let _ = self.socket.set_read_timeout(Some(ENDING));
    }

    /// No more is let through, now.
    pub(crate) fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    fn lost(&mut self) -> Told {
        self.gone = true;
        Told::Gone
    }

    fn ask(&mut self, asked: &Asked) -> std::io::Result<()> {
        let text = serde_json::to_vec(asked)?;
        let length = u32::try_from(text.len()).map_err(std::io::Error::other)?;
        self.socket.write_all(&length.to_ne_bytes())?;
        self.socket.write_all(&text)
    }

    fn give(&self, what: u8, socket: Option<RawFd>) -> nix::Result<()> {
        let (byte, sockets) = ([what], socket.into_iter().collect::<Vec<_>>());
        let rights = [ControlMessage::ScmRights(&sockets)];
        let rights = if sockets.is_empty() { &rights[..0] } else { &rights[..] };
        sendmsg::<()>(self.socket.as_raw_fd(), &[IoSlice::new(&byte)], rights, MsgFlags::MSG_NOSIGNAL, None).map(drop)
    }

    fn said_within(&mut self, patience: Duration) -> std::io::Result<Said> {
        let until = Instant::now() + patience;
        loop {
            let left = until.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
            self.socket.set_read_timeout(Some(left))?;
            if let Some(said) = self.next()? {
                return Ok(said);
            }
            if Instant::now() >= until {
                return Err(std::io::Error::new(ErrorKind::TimedOut, "it took too long"));
            }
        }
    }

    /// The next whole line; none: there is no more for now.
    fn next(&mut self) -> std::io::Result<Option<Said>> {
        loop {
            if let Some(end) = self.rest.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.rest.drain(..=end).collect();
                return serde_json::from_slice(&line).map(Some).map_err(std::io::Error::other);
            }
            if self.rest.len() > LONGEST {
                return Err(std::io::Error::other("a line without an end"));
            }
            let mut piece = vec![0; PIECE];
            match self.socket.read(&mut piece) {
                Ok(0) => return Err(std::io::Error::new(ErrorKind::UnexpectedEof, "it ended")),
                Ok(length) => self.rest.extend_from_slice(piece.get(..length).unwrap_or_default()),
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => return Ok(None),
                Err(e) => return Err(e),
            }
        }
    }
}

impl AsFd for Standing {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl Drop for Standing {
    fn drop(&mut self) {
        if !self.gone {
            let _ = self.child.kill();
        }
        // Its socket is closed by its end only, so this does not take long.
        let _ = self.child.wait();
    }
}
