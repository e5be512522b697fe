use super::packet::tests::question;
use super::*;
use crate::decision::Memory;
use crate::policy::{HostRule, Rules};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};

const BOTH: Families = Families { v4: true, v6: true };

fn names(hosts: &[&str], any: bool, most: u64) -> (Arc<Names>, Memory) {
    let hosts = hosts.iter().map(|host| HostRule { host: (*host).to_owned(), ..HostRule::default() }).collect();
    let policy = Policy::new(Rules { hosts, any, ..Rules::default() }).unwrap();
    let memory = Memory::default();
    let recorder = Recorder::new(Box::new(memory.clone()), most);
    (Arc::new(Names::new(Arc::new(policy), Arc::new(recorder), BOTH)), memory)
}

/// The code of an answer and the number of its records.
fn asked(names: &Names, name: &str, kind: u16) -> (u8, u8) {
    let said = names.respond(&question(name, kind, false)).unwrap();
    (said[3] & 15, said[7])
}

#[test]
fn only_granted_names_have_an_address() {
    let (names, memory) = names(&["docs.example.com", "*.cdn.example.com"], false, 1000);
    assert_eq!(asked(&names, "docs.example.com", kind::A), (0, 1));
    assert_eq!(asked(&names, "DOCS.example.com", kind::AAAA), (0, 1));
    assert_eq!(asked(&names, "x.cdn.example.com", kind::A), (0, 1));
    for name in [
        "example.com",
        "evil.example",
        "a.b.cdn.example.com",
        "docs.example.com.evil.example",
        "secret-bytes.evil.example",
        "localhost",
        "127.0.0.1",
    ] {
        assert_eq!(asked(&names, name, kind::A), (3, 0), "{name}");
        assert_eq!(asked(&names, name, 16), (3, 0), "{name} as text");
    }
    // Mail, text, services, HTTPS records with addresses and keys in them: there are none.
    for kind in [2, 5, 6, 15, 16, 33, 35, 64, 65, 10, 99, 65535] {
        assert_eq!(asked(&names, "docs.example.com", kind), (0, 0), "kind {kind}");
    }
    assert_eq!(asked(&names, "docs.example.com", kind::AXFR), (5, 0));
    let refused = memory
        .events()
        .iter()
        .filter(|event| matches!(&event.what, What::Lookup { decision, .. } if !decision.allowed))
        .count();
    assert_eq!(refused, 14);
}

#[test]
fn the_address_leads_back_to_the_name() {
    let (names, _) = names(&["docs.example.com"], false, 1000);
    let said = names.respond(&question("Docs.Example.COM", kind::A, true)).unwrap();
    let at = said.windows(2).position(|two| two == [198, 18]).unwrap();
    let address = Ipv4Addr::new(said[at], said[at + 1], said[at + 2], said[at + 3]);
    assert_eq!(names.name_of(address.into()).unwrap().as_str(), "docs.example.com");
    let [a, b, c, d] = address.octets();
    assert_eq!(asked(&names, &format!("{d}.{c}.{b}.{a}.in-addr.arpa"), kind::PTR), (0, 1));
    assert_eq!(asked(&names, "1.1.1.1.in-addr.arpa", kind::PTR), (3, 0));
    let reverse = format!("{}d.f.ip6.arpa", "0.".repeat(30));
    assert_eq!(reversed(&reverse), Some("fd00::".parse().unwrap()));
    assert_eq!(asked(&names, &reverse, kind::PTR), (3, 0));
}

#[test]
fn a_family_that_the_sandbox_lacks_is_not_offered() {
    let (base, _) = names(&["a.example"], false, 10);
    let v4_only = Names {
        families: Families { v4: true, v6: false },
        policy: base.policy.clone(),
        recorder: base.recorder.clone(),
        state: Mutex::default(),
    };
    assert_eq!(asked(&v4_only, "a.example", kind::AAAA), (0, 0));
    assert_eq!(asked(&v4_only, "a.example", kind::A), (0, 1));
}

#[test]
fn a_lookup_is_told_once_and_what_cannot_be_told_is_not_answered() {
    let (base, memory) = names(&["a.example"], false, 1000);
    for _ in 0..50 {
        asked(&base, "a.example", kind::A);
        asked(&base, "nope.example", kind::A);
    }
    assert_eq!(memory.events().len(), 2);
    let (full, _) = names(&["a.example"], true, 3);
    assert_eq!([1, 2, 3].map(|n| asked(&full, &format!("{n}.example"), kind::A).0), [0, 0, 2]);
    assert_eq!(asked(&full, "4.example", kind::A), (2, 0), "the record is full");
    assert_eq!(asked(&full, "1.example", kind::A), (0, 1), "this one is on record");
}

#[test]
fn odd_bytes_never_become_a_granted_name() {
    let (names, memory) = names(&["a.example"], false, 1000);
    let mut bytes = question("a", kind::A, false);
    bytes.splice(12..14, b"\x09a.example".iter().copied());
    assert_eq!(names.respond(&bytes).unwrap()[3] & 15, 3, "one label with a dot in it");
    let mut bytes = question("a.example", kind::A, false);
    bytes[13] = 0;
    assert_eq!(names.respond(&bytes).unwrap()[3] & 15, 3, "a zero byte");
    assert!(
        memory.events().iter().all(|event| matches!(&event.what, What::Lookup { name, .. } if name.contains('\\')))
    );
}

#[tokio::test]
async fn udp_and_tcp_answer_and_survive_nonsense() {
    let (names, _) = names(&["a.example"], false, 1000);
    let udp = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (udp_at, tcp_at) = (udp.local_addr().unwrap(), tcp.local_addr().unwrap());
    let serving = [tokio::spawn(serve_udp(udp, names.clone())), tokio::spawn(serve_tcp(tcp, names))];
    let client = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    for nonsense in [&b""[..], b"x", &[0xff; 600], &[0; 5000]] {
        client.send_to(nonsense, udp_at).await.unwrap();
    }
    client.send_to(&question("a.example", kind::A, true), udp_at).await.unwrap();
    let mut buffer = [0; 600];
    let length = loop {
        let length = tokio::time::timeout(Duration::from_secs(5), client.recv(&mut buffer)).await.unwrap().unwrap();
        if buffer[..2] == [0xab, 0xcd] {
            break length;
        }
    };
    assert_eq!(buffer[3] & 15, 0);
    // More silent connections than may ask at once do not keep a later one from its answer for good.
    let silent: Vec<_> = connections(70, tcp_at).await;
    drop(silent);
    let mut stream = TcpStream::connect(tcp_at).await.unwrap();
    for _ in 0..3 {
        let asked = question("a.example", kind::A, true);
        stream.write_all(&[&(asked.len() as u16).to_be_bytes()[..], &asked].concat()).await.unwrap();
        let said = tokio::time::timeout(Duration::from_secs(15), stream.read_u16()).await.unwrap().unwrap();
        assert_eq!(usize::from(said), length);
        stream.read_exact(&mut buffer[..length]).await.unwrap();
    }
    stream.write_all(&[0xff, 0xff]).await.unwrap();
    assert_eq!(stream.read(&mut buffer).await.unwrap(), 0, "too long a message ends it");
    for task in serving {
        assert!(!task.is_finished());
        task.abort();
    }
}

async fn connections(count: usize, at: std::net::SocketAddr) -> Vec<TcpStream> {
    let mut streams = Vec::new();
    for _ in 0..count {
        streams.push(TcpStream::connect(at).await.unwrap());
    }
    streams
}
