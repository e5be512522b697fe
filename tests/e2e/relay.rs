//! A door to the registry that can be shut, and that counts who came.

use std::io;
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

pub(crate) struct Relay {
    address: String,
    shut: Arc<AtomicBool>,
    count: Arc<AtomicUsize>,
}

impl Relay {
    pub(crate) fn to(target: &str) -> Relay {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (shut, count) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let (target, closed, counted) = (target.to_string(), shut.clone(), count.clone());
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                counted.fetch_add(1, Ordering::SeqCst);
                if closed.load(Ordering::SeqCst) {
                    continue;
                }
                let Ok(other) = TcpStream::connect(&target) else { continue };
                pump(&stream, &other);
                pump(&other, &stream);
            }
        });
        Relay { address, shut, count }
    }

    /// HOST:PORT
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// From now on every connection is cut at once.
    pub(crate) fn shut(&self) {
        self.shut.store(true, Ordering::SeqCst);
    }

    /// How many have connected so far.
    pub(crate) fn count(&self) -> usize {
        self.count.load(Ordering::SeqCst)
    }
}

fn pump(from: &TcpStream, to: &TcpStream) {
    let (mut from, mut to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
    thread::spawn(move || {
        let _ = io::copy(&mut from, &mut to);
        let _ = to.shutdown(Shutdown::Write);
    });
}
