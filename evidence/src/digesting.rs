//! The digest of a log while it grows. One that grows large is hashed by a thread of its own, beside the next bytes.

use crate::chain::hex;
use sha2::{Digest, Sha256};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::thread::JoinHandle;

/// A log of so many bytes is hashed apart from there on: a short one is not worth a thread.
const LARGE: u64 = 4 << 20;
/// Bytes that are gathered for it before it is woken.
const PIECE: usize = 1 << 20;
/// So many pieces may wait to be hashed: whoever adds one more waits as well.
const WAITING: usize = 2;

#[derive(Debug)]
pub(crate) struct Digesting {
    bytes: u64,
    at_work: At,
}

#[derive(Debug)]
enum At {
    Here(Sha256),
    Beside(Beside),
}

/// A thread that hashes, and what it was not told yet.
#[derive(Debug)]
struct Beside {
    gathered: Vec<u8>,
    tell: SyncSender<Word>,
    /// Pieces that are hashed, to be filled again.
    emptied: Receiver<Vec<u8>>,
    thread: JoinHandle<Sha256>,
}

enum Word {
    More(Vec<u8>),
    /// What it is so far.
    Tell(Sender<Sha256>),
}

impl Digesting {
    pub(crate) fn new() -> Digesting {
        Digesting { bytes: 0, at_work: At::Here(Sha256::new()) }
    }

    pub(crate) fn add(&mut self, bytes: &[u8]) {
        self.bytes += bytes.len() as u64;
        if let At::Here(hash) = &mut self.at_work {
            if self.bytes < LARGE {
                hash.update(bytes);
                return;
            }
            // Where no thread can be had it goes on here.
            match Beside::begin(hash.clone()) {
                Ok(beside) => self.at_work = At::Beside(beside),
                Err(_) => return hash.update(bytes),
            }
        }
        if let At::Beside(beside) = &mut self.at_work {
            beside.add(bytes);
        }
    }

    /// Over all bytes so far.
    pub(crate) fn sha256(&self) -> String {
        let hash = match &self.at_work {
            At::Here(hash) => Some(hash.clone()),
            At::Beside(beside) => beside.so_far(),
        };
        hash.map(|hash| hex(&hash.finalize())).unwrap_or_default()
    }

    /// Hashes what is gathered and gives the room for it back, as there may be no more for a long time.
    pub(crate) fn settle(&mut self) {
        if let At::Beside(beside) = &mut self.at_work {
            beside.settle();
        }
    }

    /// Ends the thread, if there is one: what is added after this is hashed here until it is as much again.
    pub(crate) fn rest(&mut self) {
        match std::mem::replace(&mut self.at_work, At::Here(Sha256::new())) {
            At::Here(hash) => self.at_work = At::Here(hash),
            At::Beside(beside) => {
                if let Some(hash) = beside.end() {
                    (self.bytes, self.at_work) = (0, At::Here(hash));
                }
            }
        }
    }
}

impl Beside {
    fn begin(hash: Sha256) -> std::io::Result<Beside> {
        let (tell, told) = sync_channel(WAITING);
        let (give_back, emptied) = channel();
        let thread = std::thread::Builder::new().name("aido-digest".into());
        let thread = thread.spawn(move || hash_all(hash, &told, &give_back))?;
        Ok(Beside { gathered: Vec::new(), tell, emptied, thread })
    }

    fn add(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            if self.gathered.capacity() == 0 {
                self.gathered = self.emptied.try_recv().unwrap_or_else(|_| Vec::with_capacity(PIECE));
            }
            let (now, later) = bytes.split_at(bytes.len().min(PIECE - self.gathered.len()));
            self.gathered.extend_from_slice(now);
            bytes = later;
            if self.gathered.len() == PIECE {
                self.hand_over();
            }
        }
    }

    fn hand_over(&mut self) {
        // It listens for as long as this end is there.
        let _ = self.tell.send(Word::More(std::mem::take(&mut self.gathered)));
    }

    fn settle(&mut self) {
        if !self.gathered.is_empty() {
            self.hand_over();
        }
        self.emptied.try_iter().for_each(drop);
    }

    fn so_far(&self) -> Option<Sha256> {
        let (answer, answered) = channel();
        let hash = self.tell.send(Word::Tell(answer)).ok().and_then(|()| answered.recv().ok());
        hash.map(|hash| hash.chain_update(&self.gathered))
    }

    /// It ends with what it is told by, and hashes to its end.
    fn end(self) -> Option<Sha256> {
        let Beside { gathered, tell, thread, .. } = self;
        drop(tell);
        thread.join().ok().map(|hash| hash.chain_update(&gathered))
    }
}

fn hash_all(mut hash: Sha256, told: &Receiver<Word>, give_back: &Sender<Vec<u8>>) -> Sha256 {
    for word in told {
        match word {
            Word::More(mut bytes) => {
                hash.update(&bytes);
                // One that is not full was the last for now. Whoever gathers may be gone.
                if bytes.len() == PIECE {
                    bytes.clear();
                    let _ = give_back.send(bytes);
                }
            }
            Word::Tell(answer) => drop(answer.send(hash.clone())),
        }
    }
    hash
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chain::sha256_hex;

    #[test]
    fn a_log_has_the_digest_of_its_bytes_however_large_it_is_and_whenever_it_is_asked_for() {
        let piece: Vec<u8> = (0..=255).cycle().take(100_000).collect();
        let (mut digesting, mut all) = (Digesting::new(), Vec::new());
        for number in 0..150 {
            digesting.add(&piece[number..]);
            all.extend_from_slice(&piece[number..]);
            if number == 20 {
                assert!(matches!(digesting.at_work, At::Here(_)));
                digesting.rest();
            }
            if number % 13 == 0 {
                digesting.settle();
            }
            if number % 17 == 0 {
                assert_eq!(digesting.sha256(), sha256_hex(&all), "{number}");
            }
            if number == 90 {
                assert!(matches!(digesting.at_work, At::Beside(_)), "a log of {} bytes is large", all.len());
                digesting.rest();
                assert!(matches!(digesting.at_work, At::Here(_)));
                assert_eq!(digesting.sha256(), sha256_hex(&all));
            }
        }
        assert!(matches!(digesting.at_work, At::Beside(_)));
        assert_eq!(digesting.sha256(), sha256_hex(&all));
    }
}
