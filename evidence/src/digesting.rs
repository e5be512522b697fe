//! The digest of a log while it grows. One that grows large is hashed by a thread of its own, beside the next bytes.

use crate::chain::hex;
use sha2::{Digest, Sha256};
use std::sync::mpsc::{Receiver, SyncSender, channel, sync_channel};
use std::thread::JoinHandle;

/// A log of so many bytes is hashed apart from there on: a short one is not worth a thread.
const LARGE: u64 = 4 << 20;
/// So many pieces may wait to be hashed, each as large as what is read at once: whoever adds one more waits as well.
const WAITING: usize = 16;

#[derive(Debug)]
pub(crate) struct Digesting {
    bytes: u64,
    at_work: At,
}

#[derive(Debug)]
enum At {
    Here(Sha256),
    Beside { tell: SyncSender<Word>, thread: JoinHandle<Sha256> },
}

enum Word {
    More(Vec<u8>),
    /// What it is so far.
    Tell(std::sync::mpsc::Sender<Sha256>),
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
            let begun = hash.clone();
            let (tell, told) = sync_channel(WAITING);
            // Where no thread can be had it goes on here.
            match std::thread::Builder::new().name("aido-digest".into()).spawn(move || hash_all(begun, &told)) {
                Ok(thread) => self.at_work = At::Beside { tell, thread },
                Err(_) => return hash.update(bytes),
            }
        }
        if let At::Beside { tell, .. } = &self.at_work {
            // It listens for as long as this end is there.
            let _ = tell.send(Word::More(bytes.to_vec()));
        }
    }

    /// Over all bytes so far.
    pub(crate) fn sha256(&self) -> String {
        let hash = match &self.at_work {
            At::Here(hash) => Some(hash.clone()),
            At::Beside { tell, .. } => {
                let (answer, answered) = channel();
                tell.send(Word::Tell(answer)).ok().and_then(|()| answered.recv().ok())
            }
        };
        hash.map(|hash| hex(&hash.finalize())).unwrap_or_default()
    }

    /// Ends the thread, if there is one: what is added after this is hashed here until it is as much again.
    pub(crate) fn rest(&mut self) {
        match std::mem::replace(&mut self.at_work, At::Here(Sha256::new())) {
            At::Here(hash) => self.at_work = At::Here(hash),
            At::Beside { tell, thread } => {
                // It ends with what it is told by, and hashes to its end.
                drop(tell);
                if let Ok(hash) = thread.join() {
                    (self.bytes, self.at_work) = (0, At::Here(hash));
                }
            }
        }
    }
}

fn hash_all(mut hash: Sha256, told: &Receiver<Word>) -> Sha256 {
    for word in told {
        match word {
            Word::More(bytes) => hash.update(&bytes),
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
            if number % 17 == 0 {
                assert_eq!(digesting.sha256(), sha256_hex(&all), "{number}");
            }
            if number == 90 {
                assert!(matches!(digesting.at_work, At::Beside { .. }), "a log of {} bytes is large", all.len());
                digesting.rest();
                assert!(matches!(digesting.at_work, At::Here(_)));
                assert_eq!(digesting.sha256(), sha256_hex(&all));
            }
        }
        assert!(matches!(digesting.at_work, At::Beside { .. }));
        assert_eq!(digesting.sha256(), sha256_hex(&all));
    }
}
