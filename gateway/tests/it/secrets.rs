//! A planted secret must be on its way to the server, and nowhere else.

use crate::place::{program, within};
use crate::servers::{certificates, nginx, output, write};
use crate::world::{SERVER, World, ask, connect, heard, serve, text, world, world_with};
use aido_gateway::{Limits, What};
use serde_json::json;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;

const SECRET: &str = "sk-live-0123456789/ABCDEF+x=";

/// On a private network there is no TLS, so that a test can be its own server.
fn private() -> World {
    world(json!({"hosts": [{
        "host": "a.example.com", "ports": [80], "private": true, "methods": ["*"], "websocket": true,
        "inject": {"header": "Authorization", "value": "Bearer ${KEY}", "secret": SECRET},
    }]}))
}

/// A server that answers with what it was sent, in the way that `how` says.
fn echo(how: impl Fn(&str, &mut TcpStream) + Send + Sync + 'static) {
    serve(&format!("{SERVER}:80"), move |mut stream| {
        let mut buffer = [0; 16 * 1024];
        let count = stream.read(&mut buffer).unwrap_or(0);
        let sent = String::from_utf8_lossy(&buffer[..count]).into_owned();
        how(&sent, &mut stream);
    });
}

fn credential(sent: &str) -> String {
    sent.lines()
        .find_map(|line| line.strip_prefix("authorization: Bearer "))
        .expect("the credential is on its way")
        .to_owned()
}

/// No part of it that is long enough to be one.
fn clean(text: &str) {
    for part in [&SECRET[..12], &SECRET[8..20], &SECRET[16..]] {
        assert!(!text.contains(part), "{part:?} is in {text:?}");
    }
}

/// The chunks of a body, put together.
fn joined(mut chunks: &str) -> String {
    let mut body = String::new();
    while let Some((length, rest)) = chunks.split_once("\r\n") {
        let length = usize::from_str_radix(length, 16).unwrap();
        body.push_str(&rest[..length]);
        chunks = &rest[length + 2..];
    }
    body
}

fn told(world: &World) -> String {
    serde_json::to_string(&world.events()).unwrap()
}

const GET: &str = "GET /x HTTP/1.1\r\nHost: a.example.com\r\nConnection: close\r\n";

within! {
    fn what_is_injected_arrives_alone() {
        let world = private();
        let server = heard(&format!("{SERVER}:80"), "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
        let said = ask(connect("a.example.com", 80).unwrap(), format!("{GET}Authorization: Basic bWluZQ==\r\nauthorization: again\r\nRange: bytes=0-3\r\nAccept-Encoding: gzip, br\r\n\r\n"));
        assert!(said.starts_with("HTTP/1.1 200"), "{said}");
        let sent = text(&server);
        assert_eq!(sent.to_lowercase().matches("authorization").count(), 1, "{sent}");
        assert!(sent.contains(&format!("authorization: Bearer {SECRET}\r\n")), "{sent}");
        assert!(!sent.to_lowercase().contains("range:") && sent.contains("accept-encoding: identity"), "{sent}");
        // A wish of the connection does not take it away again.
        let before = sent.len();
        ask(connect("a.example.com", 80).unwrap(), format!("{}Connection: close, authorization\r\n\r\n", GET.replace("Connection: close\r\n", "")));
        assert!(text(&server)[before..].contains(SECRET));
        world.until("that it was injected", |what| matches!(what, What::Request { injected: true, .. }));
        clean(&told(&world));
        assert!(told(&world).contains("\"injected\":true"));
    }
}

within! {
    fn an_echoing_server_does_not_give_it_away() {
        let world = private();
        echo(|sent, stream| {
            use base64::Engine;
            let key = credential(sent);
            let json = serde_json::to_string(&key).unwrap().replace('/', "\\/");
            let percent: String = key.bytes().map(|b| if b.is_ascii_alphanumeric() || b == b'-' { char::from(b).to_string() } else { format!("%{b:02X}") }).collect();
            let base = base64::engine::general_purpose::STANDARD.encode(format!("user:{key}"));
            let body = format!("{sent}\n{key}{key}\n{json}\n{percent}\n{base}\n");
            let head = format!("HTTP/1.1 200 Bearer {key}\r\nX-Echo: <{key}>\r\nSet-Cookie: k={percent}\r\nTransfer-Encoding: chunked\r\n\r\n");
            let _ = stream.write_all(head.as_bytes());
            // One byte a chunk, each in a packet of its own.
            let _ = stream.set_nodelay(true);
            for byte in body.bytes() {
                let _ = stream.write_all(&[b'1', b'\r', b'\n', byte, b'\r', b'\n']);
            }
            let _ = stream.write_all(b"0\r\n\r\n");
        });
        let said = ask(connect("a.example.com", 80).unwrap(), format!("{GET}\r\n"));
        let (head, chunks) = said.split_once("\r\n\r\n").unwrap();
        let body = joined(chunks);
        assert!(head.starts_with("HTTP/1.1 200 OK\r\n") && body.contains("authorization: Bearer ****"), "{head} {body}");
        for text in [head, &body] {
            clean(text);
            assert!(!text.contains("dXNlcjpzay1saXZlLTAx") && !text.contains("%2FABCDEF"), "{text}");
        }
        world.until("how many there were", |what| matches!(what, What::Answered { scrubbed: 7.., .. }));
        clean(&told(&world));
    }
}

within! {
    fn an_answer_that_cannot_be_read_is_not_passed_on() {
        let world = private();
        echo(|_, stream| {
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\n\x1f\x8b\x08\x00");
        });
        let said = ask(connect("a.example.com", 80).unwrap(), format!("{GET}\r\n"));
        assert!(said.starts_with("HTTP/1.1 502") && said.contains("encoded"), "{said}");
        drop(world);
    }
}

within! {
    fn a_websocket_is_looked_through_as_well() {
        let world = private();
        echo(|sent, stream| {
            assert!(sent.to_lowercase().contains("upgrade: websocket") && !sent.to_lowercase().contains("extensions"), "{sent}");
            let key = credential(sent);
            let _ = stream.write_all(format!("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: x\r\n\r\n<{key}>").as_bytes());
            let mut buffer = [0; 100];
            let count = stream.read(&mut buffer).unwrap_or(0);
            let _ = stream.write_all(&buffer[..count]);
        });
        let handshake = "GET /ws HTTP/1.1\r\nHost: a.example.com\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: eA==\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Extensions: permessage-deflate\r\n\r\n";
        let mut stream = connect("a.example.com", 80).unwrap();
        stream.write_all(handshake.as_bytes()).unwrap();
        let mut said = String::new();
        let mut buffer = [0; 1000];
        while !said.contains('>') {
            let count = stream.read(&mut buffer).unwrap();
            assert!(count > 0, "{said}");
            said.push_str(&String::from_utf8_lossy(&buffer[..count]));
        }
        assert!(said.starts_with("HTTP/1.1 101") && said.contains("<****"), "{said}");
        clean(&said);
        assert_eq!(ask(stream, "frames"), "frames");
        world.until("its end", |what| matches!(what, What::Answered { status: 101, scrubbed: 1, .. }));
    }
}

within! {
    fn other_upgrades_and_unasked_ones_are_not_followed() {
        let world = world(json!({"hosts": [{"host": "a.example.com", "ports": [80], "methods": ["GET"]}]}));
        serve(&format!("{SERVER}:80"), |mut stream| {
            let mut buffer = [0; 4096];
            let count = stream.read(&mut buffer).unwrap_or(0);
            let asked = String::from_utf8_lossy(&buffer[..count]).to_lowercase().contains("upgrade");
            let _ = stream.write_all(if asked { b"HTTP/1.1 500 Asked\r\nContent-Length: 0\r\n\r\n" } else { b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: raw\r\n\r\nraw bytes" });
        });
        for upgrade in ["", "Connection: upgrade, close\r\nUpgrade: h2c\r\n", "Upgrade: websocket\r\n"] {
            let said = ask(connect("a.example.com", 80).unwrap(), format!("GET /x HTTP/1.1\r\nHost: a.example.com\r\n{upgrade}Connection: close\r\n\r\n"));
            assert!(said.starts_with("HTTP/1.1 502") && !said.contains("raw bytes"), "{upgrade}: {said}");
        }
        let said = ask(connect("a.example.com", 80).unwrap(), "GET /x HTTP/1.1\r\nHost: a.example.com\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n");
        assert!(said.starts_with("HTTP/1.1 403") && said.contains("websocket: true"), "{said}");
        drop(world);
    }
}

within! {
    fn by_tls_a_real_server_that_echoes_gives_nothing_away() {
        let (_, roots) = certificates();
        let (true, Some(curl)) = (nginx(), program("curl")) else { return };
        let rules = json!({"hosts": [{"host": "a.example.com", "inject": {"header": "authorization", "value": "Bearer ${KEY}", "secret": SECRET}}]});
        let world = world_with(rules, Limits::default(), roots);
        let ours = write("run.pem", world.gateway.authority());
        for version in ["--http2", "--http1.1"] {
            let (fine, said) = output(Command::new(&curl).args(["-sS", "-i", version, "--compressed", "-r", "0-9", "-H", "Authorization: mine", "--cacert"]).arg(&ours).arg("https://a.example.com/echo/x"));
            assert!(fine && said.contains("you sent Bearer ****") && said.contains("identity") && !said.contains("mine"), "{version}: {said}");
            clean(&said);
        }
        clean(&told(&world));
        // In the clear it does not go out at all: the rule has no such port.
        assert!(connect("a.example.com", 80).is_err());
    }
}
