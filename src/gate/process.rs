//! The gateway's own process: this program under a name of its own, with one socket and nothing else of its caller's.

use super::NAME;
use super::confine;
use super::words::{ALL, Door};
use crate::egress::{self, Asked, Said};
use aido_gateway::{Carried, Event, Families, Gateway, Limits, Listeners, Setup, Sink};
use aido_runtime::{Error, Gate};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags};
use rustix::process::{DumpableBehavior, Signal};
use std::ffi::OsStr;
use std::fs::File;
use std::io::{IoSliceMut, Read, Write};
use std::net::{Shutdown, TcpListener, UdpSocket};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Descriptors that it would like to have, those that it has by itself, and those that a connection takes at most.
const FILES: u64 = 16 * 1024;
const OWN_FILES: u64 = 256;
const FILES_EACH: u64 = 8;
/// A plan is not longer than that.
const MOST_ASKED: u32 = 64 << 20;
/// A supervisor that takes nothing for so long is none any more: nothing is let through without a record.
const UNHEARD: Duration = Duration::from_secs(30);

/// Whether this process was started to be a gateway; if so, its whole life.
pub(crate) fn main() -> Option<ExitCode> {
    if std::env::args_os().next().as_deref() != Some(OsStr::new(NAME)) {
        return None;
    }
    Some(ExitCode::from(match begin().and_then(|socket| serve(&socket)) {
        Ok(()) => 0,
        Err(_) => aido_runtime::exit::AIDO_FAILED,
    }))
}

/// Ties itself to the supervisor, and gives up what it does not need.
fn begin() -> Result<UnixStream, Error> {
    let failed = |e: &dyn std::fmt::Display| Error::new(e.to_string());
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL)).map_err(|e| failed(&e))?;
    // Secrets and the authority's key are in its memory.
    rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable).map_err(|e| failed(&e))?;
    rustix::thread::set_no_new_privs(true).map_err(|e| failed(&e))?;
    let _ = rustix::thread::set_name(c"aido-gateway");
    let socket = std::io::stdin().as_fd().try_clone_to_owned().map_err(|e| failed(&e))?;
    let null = std::fs::File::open("/dev/null").map_err(|e| failed(&e))?;
    nix::unistd::dup2_stdin(&null).map_err(|e| failed(&e))?;
    Ok(UnixStream::from(socket))
}

fn serve(socket: &UnixStream) -> Result<(), Error> {
    let teller = Arc::new(Teller::new(socket).map_err(|e| Error::new(e.to_string()))?);
    match stand(socket, &teller) {
        Ok(gateway) => {
            // Nothing more is said on the other side: its end is the order to end.
            let _ = (&*socket).read(&mut [0]);
            gateway.stop();
            Ok(())
        }
        Err(error) => {
            teller.say(&Said::Failed { what: error.what.clone(), remedy: error.remedy.clone() });
            Err(error)
        }
    }
}

/// From what is asked to a gateway that serves.
fn stand(socket: &UnixStream, teller: &Arc<Teller>) -> Result<Gateway, Error> {
    let failed = |e: &dyn std::fmt::Display| Error::new(format!("the gateway cannot stand: {e}"));
    let Asked { egress, secrets } = asked(socket).map_err(|e| failed(&e))?;
    let policy = egress::policy(&egress, &secrets)?;
    let ports = policy.ports().into_iter().collect();
    // Whom it trusts is read by now. The threads that serve are made later, and are held as well.
    let setup = Setup { limits: limits(), ..Setup::new(policy) };
    confine::give_up_capabilities().map_err(|e| failed(&e))?;
    confine::keep_out().map_err(|e| failed(&e))?;
    let mut gateway = Gateway::start(setup, Box::new(Told(teller.clone()))).map_err(|e| failed(&e))?;
    teller.say(&Said::Ready(Gate { ports, authority: gateway.authority().to_string() }));
    let listeners = doors(socket).map_err(|e| failed(&e))?;
    let six = |door: &TcpListener| door.local_addr().is_ok_and(|at| at.is_ipv6());
    let v6 = listeners.tcp.iter().any(six);
    let families = listeners.carried.as_ref().map_or(Families { v4: true, v6 }, Carried::families);
    gateway.open(listeners, families).map_err(|e| failed(&e))?;
    teller.say(&Said::Open);
    Ok(gateway)
}

fn asked(mut socket: &UnixStream) -> std::io::Result<Asked> {
    let mut length = [0; 4];
    socket.read_exact(&mut length)?;
    let length = u32::from_ne_bytes(length);
    if length > MOST_ASKED {
        return Err(std::io::Error::other("too much was asked"));
    }
    let mut text = vec![0; length as usize];
    socket.read_exact(&mut text)?;
    serde_json::from_slice(&text).map_err(std::io::Error::other)
}

/// So many connections at once as there are descriptors for.
fn limits() -> Limits {
    let usual = Limits::default();
    let Ok((_, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else { return usual };
    let files = hard.min(FILES);
    let files = setrlimit(Resource::RLIMIT_NOFILE, files, files).map_or(OWN_FILES, |()| files);
    let fit = usize::try_from(files.saturating_sub(OWN_FILES) / FILES_EACH).unwrap_or(usize::MAX);
    Limits { at_once: usual.at_once.min(fit.max(16)), ..usual }
}

/// The sandbox's doors, as they come.
fn doors(socket: &UnixStream) -> std::io::Result<Listeners> {
    let mut listeners = Listeners::default();
    let mut carried = (None, None);
    loop {
        match door(socket)? {
            (ALL, None) => {
                if let (Some(from), Some(to)) = carried {
                    listeners.carried = Some(self::carried(socket, from, to)?);
                }
                return Ok(listeners);
            }
            (number, Some(came)) => match Door::from_number(number) {
                Some(Door::Tcp) => listeners.tcp.push(TcpListener::from(came)),
                Some(Door::Proxy) => listeners.proxy.push(TcpListener::from(came)),
                Some(Door::NamesUdp) => listeners.names_udp.push(UdpSocket::from(came)),
                Some(Door::NamesTcp) => listeners.names_tcp.push(TcpListener::from(came)),
                Some(Door::Strays) => listeners.strays.push(UdpSocket::from(came)),
                Some(Door::CarriedFrom) => carried.0 = Some(File::from(came)),
                Some(Door::CarriedTo) => carried.1 = Some(File::from(came)),
                None => return Err(std::io::Error::other("a door that nobody knows")),
            },
            _ => return Err(std::io::Error::other("a door without a socket")),
        }
    }
}

/// What carries a sandbox's connections. Where it ends, so does this process: then it is known that the network is lost.
fn carried(socket: &UnixStream, from: File, to: File) -> std::io::Result<Carried> {
    let order = socket.try_clone()?;
    Carried::new(from, to, move || drop(order.shutdown(Shutdown::Read)))
}

/// One byte, and the descriptor that came with it.
fn door(socket: &UnixStream) -> std::io::Result<(u8, Option<OwnedFd>)> {
    let mut byte = [ALL];
    let mut room = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut room);
    let mut parts = [IoSliceMut::new(&mut byte)];
    let length = rustix::net::recvmsg(socket, &mut parts, &mut ancillary, RecvFlags::CMSG_CLOEXEC)?.bytes;
    if length == 0 {
        return Err(std::io::ErrorKind::UnexpectedEof.into());
    }
    let came = ancillary.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut sockets) => sockets.next(),
        _ => None,
    });
    Ok((byte[0], came))
}

/// What a supervisor hears, line by line.
struct Teller(Mutex<Option<UnixStream>>);

impl Teller {
    fn new(socket: &UnixStream) -> std::io::Result<Teller> {
        let socket = socket.try_clone()?;
        socket.set_write_timeout(Some(UNHEARD))?;
        Ok(Teller(Mutex::new(Some(socket))))
    }

    /// Whether it was taken. After the first that was not nothing is said any more: half a line may stand there.
    fn say(&self, said: &Said) -> bool {
        let Ok(mut line) = serde_json::to_vec(said) else { return false };
        line.push(b'\n');
        let mut socket = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = socket.as_mut().is_some_and(|socket| socket.write_all(&line).is_ok());
        if !taken {
            *socket = None;
        }
        taken
    }
}

/// What the gateway tells goes there.
struct Told(Arc<Teller>);

impl Sink for Told {
    fn take(&self, event: &Event) -> bool {
        egress::recorded(event).is_ok_and(|(kind, data)| self.0.say(&Said::Event { kind, data }))
    }
}
