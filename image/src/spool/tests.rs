use super::*;
use crate::origin::Top;
use std::sync::Mutex;

/// A far origin of one blob, which sends so many bytes at once and waits; it breaks off somewhere.
struct Far {
    bytes: Vec<u8>,
    piece: usize,
    pause: Duration,
    breaks: usize,
    asked: Mutex<Vec<u64>>,
}

struct Sending<'a> {
    far: &'a Far,
    at: usize,
}

impl Read for Sending<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        std::thread::sleep(self.far.pause);
        if self.at >= self.far.breaks {
            return Err(io::Error::other("broke off"));
        }
        let end = self.far.breaks.min(self.at + self.far.piece.min(buffer.len())).min(self.far.bytes.len());
        let piece = &self.far.bytes[self.at..end];
        buffer[..piece.len()].copy_from_slice(piece);
        self.at = end;
        Ok(piece.len())
    }
}

impl Origin for Far {
    fn top(&self) -> Result<Top> {
        unreachable!("nobody asks for it")
    }

    fn manifest(&self, _: &Blob) -> Result<Box<dyn Read + Send + '_>> {
        unreachable!("nobody asks for it")
    }

    fn blob(&self, _: &Blob) -> Result<Box<dyn Read + Send + '_>> {
        unreachable!("nobody asks for it")
    }

    fn blob_from(&self, _: &Blob, from: u64) -> Result<Option<Box<dyn Read + Send + '_>>> {
        self.asked.lock().unwrap().push(from);
        Ok(Some(Box::new(Sending { far: self, at: from as usize })))
    }
}

fn far(size: usize, piece: usize, pause: u64, breaks: usize) -> Far {
    let bytes = (0..size).map(|n| (n * 7 % 251) as u8).collect();
    Far { bytes, piece, pause: Duration::from_millis(pause), breaks, asked: Mutex::default() }
}

fn blob(far: &Far) -> Blob {
    Blob { digest: Digest::of(&far.bytes), size: far.bytes.len() as u64 }
}

fn read(store: &Store, far: &Far) -> (Vec<u8>, io::Result<()>) {
    let mut coming = open(store, far, &blob(far)).unwrap();
    let (mut all, mut buffer) = (Vec::new(), vec![0; 64 << 10]);
    loop {
        match coming.read(&mut buffer) {
            Ok(0) => return (all, Ok(())),
            Ok(got) => all.extend_from_slice(&buffer[..got]),
            Err(e) => return (all, Err(e)),
        }
    }
}

fn store() -> (tempfile::TempDir, Store) {
    let scratch = tempfile::tempdir().unwrap();
    let store = Store::open(scratch.path()).unwrap();
    (scratch, store)
}

#[test]
fn a_slow_blob_leaves_its_head_and_the_next_pull_begins_with_it() {
    let (_scratch, store) = store();
    // 40 kB in 400 ms, of 4 MB: 40 seconds in all.
    let mut slow = far(4_000_000, 1000, 10, 40_000);
    let (came, end) = read(&store, &slow);
    assert!(came.len() == 40_000 && end.is_err());
    assert_eq!(store.leftovers().unwrap()[0].bytes, 40_000);
    (slow.piece, slow.pause, slow.breaks) = (1 << 20, Duration::ZERO, usize::MAX);
    let (came, end) = read(&store, &slow);
    assert!(came == slow.bytes && end.is_ok());
    assert_eq!(*slow.asked.lock().unwrap(), [0, 40_000]);
}

#[test]
fn a_blob_that_breaks_off_early_leaves_what_came() {
    let (_scratch, store) = store();
    let slow = far(4_000_000, 1000, 1, 5000);
    read(&store, &slow).1.unwrap_err();
    assert_eq!(store.leftovers().unwrap()[0].bytes, 5000);
}

#[test]
fn a_fast_blob_copies_nothing() {
    let (scratch, store) = store();
    let fast = far(30_000_000, 1 << 20, 0, usize::MAX);
    let (came, _) = read(&store, &fast);
    assert!(came == fast.bytes);
    assert!(!scratch.path().join("partial").exists(), "a head was begun");
}

#[test]
fn what_begins_slowly_and_then_comes_soon_gives_its_head_up() {
    let (scratch, store) = store();
    // 250 kB/s: of 1.3 MB the rest comes in 5 seconds by the second judgement, not by the first.
    let slow = far(1_400_000, 5000, 20, usize::MAX);
    let mut coming = open(&store, &slow, &blob(&slow)).unwrap();
    let (mut buffer, mut kept) = (vec![0; 64 << 10], false);
    let start = Instant::now();
    while start.elapsed() < Duration::from_millis(1900) {
        assert!(coming.read(&mut buffer).unwrap() > 0);
        kept |= scratch.path().join("partial").read_dir().is_ok_and(|mut files| files.next().is_some());
    }
    let left = scratch.path().join("partial").read_dir().map_or(0, Iterator::count);
    assert!(kept && left == 0, "kept {kept}, left {left}");
}

#[test]
fn a_head_that_is_too_long_is_nobodys() {
    let (_scratch, store) = store();
    let fast = far(1000, 1000, 0, usize::MAX);
    store.new_head(&blob(&fast).digest).unwrap().unwrap().append(&[0; 1001]).unwrap();
    let (came, _) = read(&store, &fast);
    assert!(came == fast.bytes);
    // One that is whole already needs no more than a look.
    store.new_head(&blob(&fast).digest).unwrap().unwrap().append(&fast.bytes).unwrap();
    let (came, _) = read(&store, &fast);
    assert!(came == fast.bytes);
    assert_eq!(*fast.asked.lock().unwrap(), [0, 1000]);
}
