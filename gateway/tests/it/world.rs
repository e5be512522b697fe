//! A gateway with its policy, and servers with addresses that look public.

use crate::place::outside;
use aido_gateway::{
    Event, Families, Gateway, HostName, Limits, Listeners, Memory, Policy, Resolve, Resolving, Rules, Setup, What,
};
use rustix::net::{AddressFamily, Protocol, SocketFlags, SocketType, ipproto};
use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// Where servers are, as far as the gateway knows: nobody on the internet is ever asked.
pub(crate) const SERVER: &str = "93.184.215.14";
pub(crate) const OTHER: &str = "93.184.215.15";
pub(crate) const PROXY: u16 = 3128;

/// A resolver that knows what a test has told it.
#[derive(Clone, Default)]
pub(crate) struct Told(Arc<Mutex<HashMap<String, Vec<IpAddr>>>>, Arc<Mutex<Vec<String>>>);

impl Told {
    pub(crate) fn is(&self, name: &str, addresses: &str) {
        let addresses = addresses.split(' ').map(|one| one.parse().unwrap()).collect();
        self.0.lock().unwrap().insert(name.to_owned(), addresses);
    }

    /// The names that were asked for outside.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.1.lock().unwrap().clone()
    }
}

impl Resolve for Told {
    fn resolve(&self, name: &HostName) -> Resolving {
        self.1.lock().unwrap().push(name.to_string());
        let found = self.0.lock().unwrap().get(name.as_str()).cloned();
        Box::pin(async move { found.ok_or_else(|| std::io::Error::other("no such name")) })
    }
}

pub(crate) struct World {
    pub(crate) gateway: Gateway,
    pub(crate) memory: Memory,
    pub(crate) names: Told,
}

/// A gateway with these rules, where `a.example.com` and `b.example.com` are servers.
pub(crate) fn world(rules: serde_json::Value) -> World {
    world_with(rules, Limits::default(), Vec::new())
}

pub(crate) fn world_with(
    rules: serde_json::Value,
    limits: Limits,
    roots: Vec<tokio_rustls::rustls::pki_types::CertificateDer<'static>>,
) -> World {
    let rules: Rules = serde_json::from_value(rules).unwrap();
    let policy = Policy::new(rules).unwrap();
    let listeners = Listeners {
        carried: None,
        tcp: policy.ports().into_iter().map(|port| TcpListener::bind(("::", port)).unwrap()).collect(),
        proxy: vec![TcpListener::bind(("127.0.0.1", PROXY)).unwrap()],
        names_udp: vec![UdpSocket::bind("127.0.0.1:53").unwrap()],
        strays: vec![raw(AddressFamily::INET, ipproto::ICMP), raw(AddressFamily::INET6, ipproto::ICMPV6)],
        names_tcp: vec![TcpListener::bind("127.0.0.1:53").unwrap()],
    };
    let names = Told::default();
    for (name, address) in [("a.example.com", SERVER), ("b.example.com", OTHER)] {
        names.is(name, address);
    }
    let memory = Memory::default();
    let setup = Setup { limits, resolver: Box::new(names.clone()), roots, ..Setup::new(policy) };
    let sink = Box::new(memory.clone());
    let gateway = outside(move || {
        let mut gateway = Gateway::start(setup, sink).unwrap();
        gateway.open(listeners, Families { v4: true, v6: true }).unwrap();
        gateway
    });
    World { gateway, memory, names }
}

/// What hears of datagrams that lead nowhere.
fn raw(family: AddressFamily, protocol: Protocol) -> UdpSocket {
    let (raw, flags) = (SocketType::RAW, SocketFlags::CLOEXEC);
    UdpSocket::from(rustix::net::socket_with(family, raw, flags, Some(protocol)).unwrap())
}

impl World {
    pub(crate) fn events(&self) -> Vec<Event> {
        self.memory.events()
    }

    /// Waits until something was told.
    pub(crate) fn until(&self, what: &str, told: impl Fn(&What) -> bool) -> What {
        let begun = Instant::now();
        loop {
            if let Some(event) = self.events().into_iter().find(|event| told(&event.what)) {
                return event.what;
            }
            assert!(begun.elapsed() < Duration::from_secs(10), "{what} was not told: {:#?}", self.events());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// The words of all refusals.
    pub(crate) fn refusals(&self) -> Vec<String> {
        let words = |event: Event| match event.what {
            What::Lookup { decision, .. }
            | What::Connection { decision, .. }
            | What::Refused { decision, .. }
            | What::Request { decision, .. } => decision.words,
            _ => None,
        };
        self.events().into_iter().filter_map(words).collect()
    }
}

/// A server: each connection gets a thread with this.
pub(crate) fn serve(at: &str, handle: impl Fn(TcpStream) + Send + Sync + 'static) -> SocketAddr {
    let (at, handle) = (at.to_owned(), Arc::new(handle));
    outside(move || {
        let listener = TcpListener::bind(at).unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let handle = handle.clone();
                std::thread::spawn(move || handle(stream));
            }
        });
        address
    })
}

/// What a server was sent, all connections one after the other.
pub(crate) type Heard = Arc<Mutex<Vec<u8>>>;

/// A server of HTTP that keeps what it hears byte for byte, and answers each head with this.
pub(crate) fn heard(at: &str, answer: &'static str) -> Heard {
    let heard = Heard::default();
    let kept = heard.clone();
    serve(at, move |mut stream| {
        let mut buffer = [0; 16 * 1024];
        while let Ok(count @ 1..) = stream.read(&mut buffer) {
            kept.lock().unwrap().extend_from_slice(&buffer[..count]);
            let heads = buffer[..count].windows(4).filter(|w| w == b"\r\n\r\n").count();
            for _ in 0..heads.min(1) {
                if stream.write_all(answer.as_bytes()).is_err() {
                    return;
                }
            }
        }
    });
    heard
}

pub(crate) fn text(heard: &Heard) -> String {
    String::from_utf8_lossy(&heard.lock().unwrap()).into_owned()
}

pub(crate) const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// Connects by name, as a client does.
pub(crate) fn connect(name: &str, port: u16) -> std::io::Result<TcpStream> {
    let stream = TcpStream::connect((name, port))?;
    stream.set_read_timeout(Some(Duration::from_secs(20)))?;
    Ok(stream)
}

/// Sends bytes, closes its half, and reads all that comes.
pub(crate) fn exchange(mut stream: TcpStream, bytes: impl AsRef<[u8]>) -> String {
    let _ = stream.write_all(bytes.as_ref());
    let _ = stream.shutdown(Shutdown::Write);
    let mut all = Vec::new();
    let _ = stream.read_to_end(&mut all);
    String::from_utf8_lossy(&all).into_owned()
}

/// Sends bytes and reads all that comes, with its half open.
pub(crate) fn ask(mut stream: TcpStream, bytes: impl AsRef<[u8]>) -> String {
    let _ = stream.write_all(bytes.as_ref());
    let mut all = Vec::new();
    let _ = stream.read_to_end(&mut all);
    String::from_utf8_lossy(&all).into_owned()
}
