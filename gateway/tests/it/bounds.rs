//! Slow, endless, many: everything is bounded, and says so.

use crate::place::{outside, within};
use crate::world::{OK, SERVER, ask, connect, exchange, heard, serve, text, world, world_with};
use aido_gateway::{Limits, Reason, What};
use serde_json::json;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

fn raw() -> serde_json::Value {
    json!({"hosts": [{"host": "a.example.com", "ports": [9999]}, {"host": "b.example.com", "ports": [443]}, {"host": "c.example.com", "ports": [80]}]})
}

fn echo(mut stream: TcpStream) {
    let mut buffer = [0; 64 * 1024];
    while let Ok(count @ 1..) = stream.read(&mut buffer) {
        if stream.write_all(&buffer[..count]).is_err() {
            return;
        }
    }
}

fn many_descriptors() {
    let mut limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    limit.current = limit.maximum;
    rustix::process::setrlimit(rustix::process::Resource::Nofile, limit).unwrap();
}

/// One byte there and back.
fn ping(stream: &mut TcpStream) -> bool {
    let mut byte = [0];
    stream.write_all(b"x").is_ok() && stream.read(&mut byte).is_ok_and(|count| count == 1)
}

within! {
    fn a_thousand_connections_at_once() {
        many_descriptors();
        let world = world(raw());
        serve(&format!("{SERVER}:9999"), echo);
        let mut streams: Vec<TcpStream> = (0..1000).map(|_| connect("a.example.com", 9999).unwrap()).collect();
        for round in 0..2 {
            for (number, stream) in streams.iter_mut().enumerate() {
                assert!(ping(stream), "connection {number} in round {round}");
            }
        }
        drop(streams);
        let begun = Instant::now();
        while world.events().iter().filter(|event| matches!(event.what, What::Ended { sent: 2, received: 2, .. })).count() < 1000 {
            assert!(begun.elapsed() < Duration::from_secs(20));
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

within! {
    fn more_than_the_bound_are_cut_and_told_and_later_ones_get_through() {
        let world = world_with(raw(), Limits { at_once: 8, ..Limits::default() }, Vec::new());
        serve(&format!("{SERVER}:9999"), echo);
        let mut held: Vec<TcpStream> = (0..8).map(|_| connect("a.example.com", 9999).unwrap()).collect();
        assert!(held.iter_mut().all(ping));
        assert!(!ping(&mut connect("a.example.com", 9999).unwrap()));
        world.until("that there were too many", |what| matches!(what, What::Connection { decision, .. } if decision.reason == Some(Reason::TooMany)));
        drop(held);
        let begun = Instant::now();
        while !ping(&mut connect("a.example.com", 9999).unwrap()) {
            assert!(begun.elapsed() < Duration::from_secs(10));
        }
    }
}

within! {
    fn budgets_hold_to_the_byte_and_are_told() {
        let world = world(json!({"hosts": [{"host": "a.example.com", "ports": [9999, 80], "budget": {"bytes": 1_000_000, "connections": 3}}]}));
        serve(&format!("{SERVER}:9999"), |mut stream| { let _ = stream.write_all(&vec![7; 3_000_000]); });
        let mut got = Vec::new();
        let _ = connect("a.example.com", 9999).unwrap().read_to_end(&mut got);
        assert!(got.len() <= 1_000_000, "{}", got.len());
        world.until("the end", |what| matches!(what, What::Ended { received: 1_000_000, how, .. } if how.contains("budget")));
        let mut more = Vec::new();
        let _ = connect("a.example.com", 9999).unwrap().read_to_end(&mut more);
        assert!(more.is_empty());
        // Of HTTP's refusals there are words.
        let said = ask(connect("a.example.com", 80).unwrap(), "GET / HTTP/1.1\r\nHost: a.example.com\r\n\r\n");
        assert!(said.contains("the budget is used up: bytes"), "{said}");
        let said = ask(connect("a.example.com", 80).unwrap(), "GET / HTTP/1.1\r\nHost: a.example.com\r\n\r\n");
        assert!(said.contains("the budget is used up: connections"), "{said}");
    }
}

within! {
    fn who_is_silent_or_slow_is_not_waited_for() {
        let short = Limits { idle: Duration::from_millis(400), head: Duration::from_millis(400), ..Limits::default() };
        let world = world_with(raw(), short, Vec::new());
        world.names.is("c.example.com", SERVER);
        serve(&format!("{SERVER}:9999"), echo);
        let server = heard(&format!("{SERVER}:80"), OK);
        let begun = Instant::now();
        let mut silent = connect("a.example.com", 9999).unwrap();
        assert!(ping(&mut silent));
        let _ = silent.read(&mut [0]);
        for (name, port, begin) in [("b.example.com", 443, &b"\x16\x03\x01\x02"[..]), ("b.example.com", 443, b""), ("c.example.com", 80, b"GET / HTTP/1.1\r\nHost: c.exa"), ("c.example.com", 80, b"")] {
            let mut stream = connect(name, port).unwrap();
            stream.write_all(begin).unwrap();
            let _ = stream.read(&mut [0; 100]);
        }
        assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
        // A head that never ends, byte by byte: the clock runs from its beginning.
        let mut stream = connect("c.example.com", 80).unwrap();
        let begun = Instant::now();
        while stream.write_all(b"G").is_ok() {
            std::thread::sleep(Duration::from_millis(20));
            assert!(begun.elapsed() < Duration::from_secs(10));
        }
        assert!(text(&server).is_empty());
        world.until("silence", |what| matches!(what, What::Ended { how, .. } if how.contains("nothing moved")));
    }
}

within! {
    fn an_endless_head_is_not_collected() {
        let world = world(raw());
        world.names.is("c.example.com", SERVER);
        let server = heard(&format!("{SERVER}:80"), OK);
        let long = format!("GET / HTTP/1.1\r\nHost: c.example.com\r\nX: {}\r\n\r\n", "x".repeat(1_000_000));
        let many = format!("GET / HTTP/1.1\r\nHost: c.example.com\r\n{}\r\n", "X: y\r\n".repeat(2000));
        let far = format!("GET /{} HTTP/1.1\r\nHost: c.example.com\r\n\r\n", "x".repeat(500_000));
        // More than is taken of a head, and less than is read at once of a body.
        let rather = format!("GET / HTTP/1.1\r\nHost: c.example.com\r\nX: {}\r\n\r\n", "x".repeat(100_000));
        for request in [long, many, far, rather] {
            let said = exchange(connect("c.example.com", 80).unwrap(), request);
            assert!(said.is_empty() || said.starts_with("HTTP/1.1 4"), "{said}");
        }
        assert!(text(&server).is_empty());
    }
}

within! {
    fn an_answers_head_has_a_bound_as_well() {
        let world = world(raw());
        world.names.is("c.example.com", SERVER);
        serve(&format!("{SERVER}:80"), |mut stream| {
            let _ = stream.read(&mut [0; 1000]);
            let _ = stream.write_all(format!("HTTP/1.1 200 OK\r\nX: {}\r\nContent-Length: 0\r\n\r\n", "x".repeat(100_000)).as_bytes());
        });
        let said = ask(connect("c.example.com", 80).unwrap(), "GET / HTTP/1.1\r\nHost: c.example.com\r\nConnection: close\r\n\r\n");
        assert!(said.starts_with("HTTP/1.1 502") && said.contains("too large"), "{said}");
        world.until("that it was", |what| matches!(what, What::Answered { how, .. } if how.contains("too large")));
    }
}

within! {
    fn a_full_record_lets_nothing_more_through() {
        let world = world_with(raw(), Limits { events: 6, ..Limits::default() }, Vec::new());
        serve(&format!("{SERVER}:9999"), echo);
        // Two lookups for each name, and the connections.
        let results: Vec<bool> = (0..8).map(|_| connect("a.example.com", 9999).is_ok_and(|mut stream| ping(&mut stream))).collect();
        assert_eq!(results, [true, true, true, false, false, false, false, false]);
        assert_eq!(world.events().iter().filter(|event| event.what == What::Full).count(), 1);
    }
}

/// Seconds of processors that this process has had: server, gateway and client are all in it.
fn processor() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<f64> = stat
        .rsplit(')')
        .next()
        .unwrap()
        .split_whitespace()
        .skip(11)
        .take(2)
        .map(|ticks| ticks.parse().unwrap())
        .collect();
    fields.iter().sum::<f64>() / 100.0
}

within! {
    #[ignore = "a measurement: run it alone, on a quiet machine, in a release build"]
    fn throughput_against_direct() {
        const BYTES: usize = 1 << 30;
        let world = world(raw());
        serve(&format!("{SERVER}:9999"), |mut stream| {
            let block = vec![1; 256 * 1024];
            for _ in 0..BYTES / block.len() {
                if stream.write_all(&block).is_err() {
                    return;
                }
            }
        });
        let read = |mut stream: TcpStream| {
            let (begun, before, mut buffer, mut all) = (Instant::now(), processor(), vec![0; 256 * 1024], 0);
            while let Ok(count @ 1..) = stream.read(&mut buffer) {
                all += count;
            }
            assert_eq!(all, BYTES);
            (all as f64 / begun.elapsed().as_secs_f64() / 1e9, processor() - before)
        };
        for _ in 0..3 {
            let (direct, direct_cost) = outside(move || read(TcpStream::connect((SERVER, 9999)).unwrap()));
            let (through, cost) = read(connect("a.example.com", 9999).unwrap());
            eprintln!("direct {direct:.2} GB/s for {direct_cost:.2} s of processors, through the gateway {through:.2} GB/s for {cost:.2} s: {:.2}", through / direct);
        }
        drop(world);
    }
}

within! {
    #[ignore = "a measurement: run it alone, on a quiet machine, in a release build"]
    fn opened_tls_against_direct() {
        use crate::servers::{certificates, nginx, output, write};
        use std::process::Command;
        let (servers, roots) = certificates();
        if !nginx() {
            return;
        }
        write("www/ok.bin", vec![b'x'; 256 << 20]);
        let world = world_with(json!({"hosts": [{"host": "a.example.com", "methods": ["GET"]}]}), Limits::default(), roots);
        let run = write("run.pem", world.gateway.authority());
        let get = |authority: std::path::PathBuf, version: &str, url: &str| {
            let mut curl = Command::new("curl");
            curl.args(["-sS", "-o", "/dev/null", "-w", "%{speed_download} %{http_code}", version, "--cacert"]);
            output(curl.arg(authority).arg(url)).1
        };
        for version in ["--http2", "--http1.1", "--http2", "--http1.1"] {
            let own = servers.clone();
            let direct = outside(move || {
                let mut curl = Command::new("curl");
                let resolve = format!("a.example.com:443:{SERVER}");
                curl.args(["-sS", "-o", "/dev/null", "-w", "%{speed_download} %{http_code}", version, "--resolve", &resolve, "--cacert"]);
                output(curl.arg(own).arg("https://a.example.com/ok.bin")).1
            });
            let through = get(run.clone(), version, "https://a.example.com/ok.bin");
            eprintln!("{version}: direct {direct}, opened {through} (bytes a second, status)");
        }
    }
}
