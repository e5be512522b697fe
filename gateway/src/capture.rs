//! Connections from inside of the sandbox. The address that one was made to says which name was meant.

use crate::copy;
use crate::decision::{Decision, What};
use crate::gate::{Connection, Gate, NotReached, shown};
use crate::http;
use crate::policy::{Destination, Handling, Reason, Refusal};
use crate::refuse;
use crate::tls::{self, hello};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::OwnedSemaphorePermit;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

/// How long nothing is taken after the system refused to give a descriptor.
const PAUSE: Duration = Duration::from_millis(50);
const TLS: u8 = 22;

/// A connection from inside, with what was read of it already.
pub(crate) struct Client {
    pub(crate) stream: TcpStream,
    pub(crate) read: Vec<u8>,
}

/// What a listener is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Door {
    /// Connections that were made to a name, or to an address.
    Captured,
    /// Requests of clients that use proxies.
    Proxy,
}

/// Takes connections until it is dropped, and all of them with it.
pub(crate) async fn accept(listener: TcpListener, gate: Arc<Gate>, door: Door) {
    let mut open = JoinSet::new();
    loop {
        while open.try_join_next().is_some() {}
        let Ok((stream, _)) = listener.accept().await else {
            sleep(PAUSE).await;
            continue;
        };
        // Who is gone before it was looked at asked for nothing.
        let Ok(at) = stream.local_addr() else { continue };
        let Some(permit) = admitted(&gate, at, door) else {
            refuse::cut(stream);
            continue;
        };
        let _ = stream.set_nodelay(true);
        let (shared, Ok(stream)) = (gate.clone(), stream.into_std()) else { continue };
        let serving = async move {
            let _permit = permit;
            // Its readiness is told to the thread that it is made anew in.
            if let Ok(stream) = TcpStream::from_std(stream) {
                serve(&shared, stream, at, door).await;
            }
        };
        open.spawn_on(serving, gate.thread());
    }
}

/// Whether there is room for a connection that was made to this address. One too many is told.
pub(crate) fn admitted(gate: &Gate, at: SocketAddr, door: Door) -> Option<OwnedSemaphorePermit> {
    let permit = gate.at_once.clone().try_acquire_owned().ok();
    if permit.is_none() {
        too_many(gate, at, door);
    }
    permit
}

/// A connection that was made to this address, to its end.
pub(crate) async fn serve(gate: &Arc<Gate>, stream: TcpStream, at: SocketAddr, door: Door) {
    match door {
        Door::Captured => captured(gate, stream, at).await,
        Door::Proxy => http::serve_proxy(gate, stream).await,
    }
}

fn destination(gate: &Gate, at: SocketAddr) -> (Destination, u16) {
    let to = match gate.names.name_of(at.ip()) {
        Some(name) => Destination::Name(name),
        None => Destination::Address(at.ip().to_canonical()),
    };
    (to, at.port())
}

/// Tells of a connection that there is no room for.
pub(crate) fn too_many(gate: &Gate, at: SocketAddr, door: Door) {
    let (to, port) = destination(gate, at);
    let refusal = Refusal { what: shown(&to, port), rule: None, reason: Reason::TooMany, allow: None };
    let connection = gate.numbers.fetch_add(1, Ordering::Relaxed);
    let decision = Decision::from(&refusal);
    // It is cut in any case.
    let _ = gate.recorder.decided(What::Connection {
        connection,
        to,
        port,
        proxy: door == Door::Proxy,
        handling: None,
        decision,
    });
}

async fn captured(gate: &Arc<Gate>, stream: TcpStream, at: SocketAddr) {
    let (to, port) = destination(gate, at);
    match Connection::open(gate, to, port, false) {
        Ok(connection) => handle(connection, Client { stream, read: Vec::new() }).await,
        Err(refusal) => refuse::politely(stream, &[], &refusal).await,
    }
}

/// Does with an allowed connection what its rule says.
pub(crate) async fn handle(connection: Connection, client: Client) {
    match connection.granted.handling {
        Handling::Raw => raw(connection, client).await,
        Handling::Pass => pass(connection, client).await,
        Handling::Plain => http::serve_plain(connection, client).await,
        Handling::Open => {
            let Some(first) = first_byte(&connection, &client).await else { return };
            if first == TLS { tls::open(connection, client).await } else { http::serve_plain(connection, client).await }
        }
    }
}

async fn first_byte(connection: &Connection, client: &Client) -> Option<u8> {
    if let Some(first) = client.read.first() {
        return Some(*first);
    }
    let mut first = [0];
    match timeout(connection.gate.limits.head, client.stream.peek(&mut first)).await {
        Ok(Ok(1)) => Some(first[0]),
        Ok(_) => {
            connection.ends("closed before it said anything");
            None
        }
        Err(_) => {
            connection.ends("said nothing");
            None
        }
    }
}

/// Any protocol. If it turns out to be TLS from its first byte on, the name in it counts.
async fn raw(connection: Connection, mut client: Client) {
    let Some((client_stream, server)) = reach(&connection, client.stream, &client.read).await else { return };
    client.stream = client_stream;
    match listen(&connection, &mut client, &server).await {
        Ok(()) => pass_on(&connection, client, server).await,
        Err(refusal) => refuse::politely(client.stream, &client.read, &refusal).await,
    }
}

/// Waits until either side says something. What the client says first is looked at.
async fn listen(connection: &Connection, client: &mut Client, server: &TcpStream) -> Result<(), Refusal> {
    if client.read.is_empty() {
        let mut first = [0];
        tokio::select! {
            biased;
            // The server speaks first, or has closed: no first message of TLS can follow.
            _ = server.readable() => return Ok(()),
            seen = client.stream.peek(&mut first) => if !matches!(seen, Ok(1)) || first[0] != TLS { return Ok(()) },
            () = connection.meter.idle_for(connection.gate.limits.idle) => return Ok(()),
        }
    }
    if client.read.first().is_some_and(|first| *first != TLS) {
        return Ok(());
    }
    match read_hello(connection, client).await {
        hello::Hello::Read { name: Some(name), encrypted } => judge(connection, Some(&name), encrypted),
        hello::Hello::Read { name: None, encrypted } => judge(connection, None, encrypted),
        // It began like TLS and is none: bytes of some other protocol.
        _ => Ok(()),
    }
}

/// TLS that stays closed: it must say that it goes where it was dialled to.
async fn pass(connection: Connection, mut client: Client) {
    let refusal = match read_hello(&connection, &mut client).await {
        hello::Hello::Read { name: None, .. } if matches!(connection.to, Destination::Name(_)) => {
            Err(protocol(&connection, "TLS names no server, so it cannot be told whose it is"))
        }
        hello::Hello::Read { name, encrypted } => judge(&connection, name.as_deref(), encrypted),
        hello::Hello::More if client.read.is_empty() => return connection.ends("closed before it said anything"),
        hello::Hello::More => Err(protocol(&connection, "the first message of TLS did not come whole")),
        hello::Hello::Wrong(wrong) => Err(protocol(&connection, wrong)),
    };
    if let Err(refusal) = refusal {
        return refuse::politely(client.stream, &client.read, &refusal).await;
    }
    let Some((stream, server)) = reach(&connection, client.stream, &client.read).await else { return };
    pass_on(&connection, Client { stream, read: client.read }, server).await;
}

fn protocol(connection: &Connection, detail: &str) -> Refusal {
    connection.refuse(Reason::Protocol { detail: format!("{detail}; on this port TLS is passed on by its name alone") })
}

/// Whether TLS for this name may go on.
fn judge(connection: &Connection, name: Option<&str>, encrypted: bool) -> Result<(), Refusal> {
    if encrypted {
        return Err(connection.refuse(Reason::Protocol {
            detail: "TLS hides the server's name (encrypted client hello); turn that off in the client".to_owned(),
        }));
    }
    let (Destination::Name(meant), Some(inside)) = (&connection.to, name) else { return Ok(()) };
    match crate::name::HostName::ascii(inside) {
        Ok(inside) if inside == *meant => Ok(()),
        _ => Err(connection.refuse(Reason::OtherName { inside: crate::name::shown(inside) })),
    }
}

/// Reads until the first message of TLS is whole, wrong, or late.
async fn read_hello(connection: &Connection, client: &mut Client) -> hello::Hello {
    let reading = async {
        let mut buffer = vec![0; 4096];
        loop {
            let hello = hello::read(&client.read);
            if hello != hello::Hello::More {
                return hello;
            }
            if client.stream.readable().await.is_err() {
                return hello;
            }
            match client.stream.try_read(&mut buffer) {
                Ok(0) => return hello,
                Ok(count) => client.read.extend_from_slice(&buffer[..count]),
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                Err(_) => return hello,
            }
        }
    };
    timeout(connection.gate.limits.head, reading).await.unwrap_or(hello::Hello::More)
}

/// The server, or the client is told why there is none.
async fn reach(connection: &Connection, client: TcpStream, read: &[u8]) -> Option<(TcpStream, TcpStream)> {
    match connection.dial().await {
        Ok(server) => Some((client, server)),
        Err(NotReached::Refused(refusal)) => {
            refuse::politely(client, read, &refusal).await;
            None
        }
        Err(NotReached::Failed(_)) => {
            refuse::cut(client);
            None
        }
    }
}

async fn pass_on(connection: &Connection, client: Client, server: TcpStream) {
    let meter = &connection.meter;
    let leave = meter.reserve(client.read.len());
    let early = copy::write_all(&server, &client.read[..leave]).await;
    meter.moved(crate::budget::Way::Out, leave, leave);
    if early.is_err() || leave < client.read.len() {
        connection.ends("the server did not take the first bytes, or the budget was used up");
        return refuse::cut(client.stream);
    }
    drop(client.read);
    let gate = &connection.gate;
    let how = copy::both_ways(&client.stream, &server, meter, gate.limits.idle, &gate.pipes).await;
    if how != "closed" {
        // Both sides learn that this is no ordinary end.
        refuse::cut(client.stream);
        refuse::cut(server);
    }
    connection.ends(&how);
}
