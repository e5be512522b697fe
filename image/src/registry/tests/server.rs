//! An HTTP server on loopback that answers as it is told, and remembers what it was asked.

use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// A request as it came.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen {
    pub(crate) method: String,
    pub(crate) path: String,
    /// By name in lower case.
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: String,
}

impl Seen {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }

    /// The first byte of the range that is asked for.
    pub(crate) fn from(&self) -> Option<usize> {
        self.header("range")?.strip_prefix("bytes=")?.strip_suffix('-')?.parse().ok()
    }
}

pub(crate) enum Body {
    Whole(Vec<u8>),
    /// All is announced, so many are sent, and the connection is cut.
    Cut(Vec<u8>, usize),
    /// Pieces of so many bytes with a pause after each.
    Slow(Vec<u8>, usize, Duration),
    Zeros(usize),
    Endless,
}

pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: Body,
}

impl Reply {
    pub(crate) fn new(status: u16, body: impl Into<Vec<u8>>) -> Reply {
        Reply { status, headers: Vec::new(), body: Body::Whole(body.into()) }
    }

    pub(crate) fn with(mut self, name: &'static str, value: impl Into<String>) -> Reply {
        self.headers.push((name, value.into()));
        self
    }

    /// A blob, from where it is asked for.
    pub(crate) fn part(blob: &[u8], seen: &Seen) -> Reply {
        match seen.from() {
            None => Reply::new(200, blob),
            Some(from) if from >= blob.len() => Reply::new(416, ""),
            Some(from) => {
                let range = format!("bytes {from}-{}/{}", blob.len() - 1, blob.len());
                Reply::new(206, &blob[from..]).with("content-range", range)
            }
        }
    }

    pub(crate) fn cut(mut self, after: usize) -> Reply {
        if let Body::Whole(bytes) = self.body {
            self.body = Body::Cut(bytes, after);
        }
        self
    }
}

pub(crate) struct Server {
    pub(crate) address: String,
    seen: Arc<Mutex<Vec<Seen>>>,
}

type Answer = dyn Fn(&Seen) -> Reply + Send + Sync;

impl Server {
    pub(crate) fn start(answer: impl Fn(&Seen) -> Reply + Send + Sync + 'static) -> Server {
        Server::listen(None, Arc::new(answer))
    }

    /// With TLS.
    pub(crate) fn safe(tls: rustls::ServerConfig, answer: impl Fn(&Seen) -> Reply + Send + Sync + 'static) -> Server {
        Server::listen(Some(Arc::new(tls)), Arc::new(answer))
    }

    fn listen(tls: Option<Arc<rustls::ServerConfig>>, answer: Arc<Answer>) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let log = seen.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(io::Result::ok) {
                let (answer, log, tls) = (answer.clone(), log.clone(), tls.clone());
                std::thread::spawn(move || match tls {
                    None => drop(serve(stream, &*answer, &log)),
                    Some(tls) => {
                        let Ok(connection) = rustls::ServerConnection::new(tls) else { return };
                        drop(serve(rustls::StreamOwned::new(connection, stream), &*answer, &log));
                    }
                });
            }
        });
        Server { address, seen }
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    /// Methods and paths in their order.
    pub(crate) fn paths(&self) -> Vec<String> {
        self.seen().iter().map(|seen| format!("{} {}", seen.method, seen.path)).collect()
    }
}

trait Duplex: Read + Write {}
impl Duplex for TcpStream {}
impl Duplex for rustls::StreamOwned<rustls::ServerConnection, TcpStream> {}

fn request(reader: &mut impl BufRead) -> io::Result<Option<Seen>> {
    let mut line = String::new();
    if reader.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let mut words = line.split(' ').map(str::to_owned);
    let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let mut seen = Seen { method, path, ..Seen::default() };
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? <= 2 {
            break;
        }
        if let Some((name, value)) = line.trim_end().split_once(':') {
            seen.headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
        }
    }
    let mut body = vec![0; seen.header("content-length").map_or(0, |n| n.parse().unwrap())];
    reader.read_exact(&mut body)?;
    seen.body = String::from_utf8(body).unwrap();
    Ok(Some(seen))
}

fn serve(stream: impl Duplex, answer: &Answer, log: &Mutex<Vec<Seen>>) -> io::Result<()> {
    let mut reader = BufReader::new(stream);
    while let Some(seen) = request(&mut reader)? {
        log.lock().unwrap().push(seen.clone());
        let reply = answer(&seen);
        let stream = reader.get_mut();
        let mut head = format!("HTTP/1.1 {} Told\r\n", reply.status);
        for (name, value) in &reply.headers {
            head += &format!("{name}: {value}\r\n");
        }
        if let Body::Whole(bytes) | Body::Cut(bytes, _) | Body::Slow(bytes, ..) = &reply.body {
            head += &format!("content-length: {}\r\n", bytes.len());
        }
        if let Body::Zeros(size) = &reply.body {
            head += &format!("content-length: {size}\r\n");
        }
        stream.write_all((head + "\r\n").as_bytes())?;
        match reply.body {
            _ if seen.method == "HEAD" => {}
            Body::Whole(bytes) => stream.write_all(&bytes)?,
            Body::Cut(bytes, after) => {
                stream.write_all(&bytes[..after])?;
                return stream.flush();
            }
            Body::Slow(bytes, piece, pause) => {
                for piece in bytes.chunks(piece) {
                    stream.write_all(piece)?;
                    stream.flush()?;
                    std::thread::sleep(pause);
                }
            }
            Body::Zeros(size) => {
                let piece = vec![0; 256 << 10];
                for _ in 0..size / piece.len() {
                    stream.write_all(&piece)?;
                }
                stream.write_all(&piece[..size % piece.len()])?;
            }
            Body::Endless => loop {
                stream.write_all(&[b'x'; 64 << 10])?;
            },
        }
        stream.flush()?;
    }
    Ok(())
}
