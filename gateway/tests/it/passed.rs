//! Connections that are passed on by name and port, whatever they speak.

use crate::place::within;
use crate::world::{OTHER, SERVER, connect, exchange, serve, world};
use aido_gateway::{Destination, Handling, Reason, What};
use serde_json::json;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};

fn raw() -> serde_json::Value {
    json!({"hosts": [{"host": "a.example.com", "ports": [5432, 9999]}, {"host": "*.example.com", "ports": [9999]}]})
}

fn echo(mut stream: TcpStream) {
    let mut buffer = [0; 64 * 1024];
    while let Ok(count @ 1..) = stream.read(&mut buffer) {
        if stream.write_all(&buffer[..count]).is_err() {
            return;
        }
    }
}

within! {
    fn a_name_and_a_port_are_enough_for_any_protocol() {
        let world = world(raw());
        serve(&format!("{SERVER}:9999"), echo);
        serve(&format!("{SERVER}:5432"), |mut stream| { let _ = stream.write_all(b"I speak first\n"); });
        serve(&format!("{OTHER}:9999"), |mut stream| { let _ = stream.write_all(b"I am the other one\n"); });
        assert_eq!(exchange(connect("a.example.com", 9999).unwrap(), "hello"), "hello");
        assert_eq!(exchange(connect("a.example.com", 5432).unwrap(), ""), "I speak first\n");
        assert_eq!(exchange(connect("B.EXAMPLE.com.", 9999).unwrap(), ""), "I am the other one\n");
        // Who says nothing at first hears the server all the same.
        let mut stream = connect("a.example.com", 5432).unwrap();
        let mut said = String::new();
        stream.read_to_string(&mut said).unwrap();
        assert_eq!(said, "I speak first\n");
        let ended = world.until("an end", |what| matches!(what, What::Ended { sent: 5, received: 5, .. }));
        let What::Ended { connection, how, .. } = ended else { unreachable!() };
        assert_eq!(how, "closed");
        let mine = |what: &What| match what {
            What::Connection { connection: c, to: Destination::Name(name), port: 9999, handling: Some(Handling::Raw), decision, .. } if *c == connection => name.as_str() == "a.example.com" && decision.rule == Some(0),
            _ => false,
        };
        world.until("the connection", mine);
        world.until("the address", |what| matches!(what, What::Dialled { connection: c, address } if *c == connection && address.to_string() == format!("{SERVER}:9999")));
    }
}

within! {
    fn much_goes_through_in_both_directions_and_halves_close_alone() {
        let world = world(raw());
        serve(&format!("{SERVER}:9999"), |mut stream| {
            let mut all = Vec::new();
            stream.read_to_end(&mut all).unwrap();
            stream.write_all(&all).unwrap();
        });
        let stream = connect("a.example.com", 9999).unwrap();
        let sent: Vec<u8> = (0..20_000_000u32).map(|n| (n % 253) as u8).collect();
        let mut writer = stream.try_clone().unwrap();
        let copy = sent.clone();
        let writing = std::thread::spawn(move || { writer.write_all(&copy).unwrap(); writer.shutdown(Shutdown::Write).unwrap(); });
        let mut back = Vec::new();
        (&stream).read_to_end(&mut back).unwrap();
        writing.join().unwrap();
        assert!(back == sent);
        world.until("all bytes", |what| matches!(what, What::Ended { sent: 20_000_000, received: 20_000_000, .. }));
    }
}

within! {
    fn ipv6_leads_to_the_same_name() {
        let world = world(raw());
        if TcpStream::connect("[fd61:6964:6f00::77]:9999").is_err_and(|error| error.kind() == std::io::ErrorKind::NetworkUnreachable) {
            return crate::place::skip("this host has no IPv6");
        }
        serve(&format!("{SERVER}:9999"), echo);
        use std::net::ToSocketAddrs;
        let addresses: Vec<_> = ("a.example.com", 9999).to_socket_addrs().unwrap().collect();
        let v6 = addresses.iter().find(|address| address.is_ipv6()).expect("an IPv6 address");
        assert_eq!(exchange(TcpStream::connect(v6).unwrap(), "by six"), "by six");
        drop(world);
    }
}

within! {
    fn what_is_not_granted_is_refused_at_once_and_on_record() {
        let world = world(raw());
        let begun = std::time::Instant::now();
        assert!(connect("evil.example", 9999).is_err(), "no such name");
        assert!(connect("a.example.com", 22).is_err(), "no such port");
        // Its port is another host's, so it is accepted, and cut.
        let mut all = Vec::new();
        let cut = connect("b.example.com", 5432).unwrap().read_to_end(&mut all);
        assert!(cut.is_err() && all.is_empty());
        assert!(begun.elapsed().as_secs() < 8, "{:?}", begun.elapsed());
        let refused = |reason: Reason| move |what: &What| matches!(what, What::Lookup { decision, .. } | What::Connection { decision, .. } if decision.reason == Some(reason.clone()));
        world.until("the name", refused(Reason::NotNamed));
        world.until("the port", refused(Reason::Port));
        assert!(world.names.asked().is_empty(), "nobody outside was asked for anything");
    }
}

within! {
    fn a_server_that_is_not_there_looks_like_a_reset() {
        let world = world(raw());
        let mut all = Vec::new();
        assert!(connect("a.example.com", 5433).is_err());
        assert!(connect("a.example.com", 5432).unwrap().read_to_end(&mut all).is_err());
        assert!(connect("nowhere.example.com", 9999).unwrap().read_to_end(&mut all).is_err());
        world.until("why", |what| matches!(what, What::Ended { how, .. } if how.contains("Connection refused")));
        world.until("why", |what| matches!(what, What::Ended { how, .. } if how.contains("was not found")));
    }
}

within! {
    fn datagrams_lead_nowhere_and_are_on_record() {
        let world = world(raw());
        let socket = std::net::UdpSocket::bind("0.0.0.0:0").unwrap();
        let six = std::net::UdpSocket::bind("[::]:0").unwrap();
        let granted = std::net::ToSocketAddrs::to_socket_addrs(&("a.example.com", 443)).unwrap().find(|at| at.is_ipv4()).unwrap();
        for _ in 0..5 {
            socket.send_to(b"out", "9.9.9.9:5353").unwrap();
        }
        socket.send_to(b"quic", granted).unwrap();
        let _ = six.send_to(b"out", "[2001:4860::8888]:53");
        // One's own port, where nobody is either, and one where somebody is.
        socket.send_to(b"mine", "127.0.0.1:7777").unwrap();
        let neighbour = std::net::UdpSocket::bind("0.0.0.0:4444").unwrap();
        socket.send_to(b"here", "127.0.0.1:4444").unwrap();
        assert_eq!(neighbour.recv(&mut [0; 9]).unwrap(), 4);
        let to = |name: &str, at: u16| {
            let name = name.to_owned();
            move |what: &What| matches!(what, What::Datagrams { to, port, count: 1, decision } if *port == at && !decision.allowed && match to {
                Destination::Name(to) => to.as_str() == name,
                Destination::Address(to) => to.to_string() == name,
            })
        };
        world.until("a stranger", to("9.9.9.9", 5353));
        world.until("a granted name", to("a.example.com", 443));
        world.until("a stranger of IPv6", to("2001:4860::8888", 53));
        let memory = world.memory.clone();
        world.gateway.stop();
        let told: Vec<What> = memory.events().into_iter().map(|event| event.what).filter(|what| matches!(what, What::Datagrams { .. })).collect();
        assert_eq!(told.len(), 4, "{told:#?}");
        assert!(matches!(&told[3], What::Datagrams { port: 5353, count: 4, decision, .. } if decision.words.as_ref().is_some_and(|words| words.contains("datagrams to 9.9.9.9:5353"))), "{told:#?}");
    }
}
