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

/// What is kept when so many bytes in all have come after so many milliseconds, step by step.
fn kept(size: usize, steps: &[(usize, u64)]) -> Vec<Option<u64>> {
    let (_scratch, store) = store();
    let far = far(size, 1, 0, usize::MAX);
    let Coming::Spooled(mut spooled) = open(&store, &far, &blob(&far)).unwrap() else { panic!("a near one") };
    let lengths = steps.iter().map(|(came, after)| {
        let new = vec![7; came - spooled.came as usize];
        spooled.came = *came as u64;
        spooled.keep(&new, Duration::from_millis(*after), false);
        let file = store.dir().join("partial").join(blob(&far).digest.hex());
        file.metadata().ok().map(|found| found.len())
    });
    lengths.collect()
}

#[test]
fn what_comes_soon_copies_nothing() {
    assert_eq!(kept(30_000_000, &[(1000, 10), (HELD, 50), (20_000_000, 3000)]), [None, None, None]);
    // By time, where few bytes came.
    assert_eq!(kept(1_000_000, &[(100_000, 100), (100_001, 260)]), [None, None]);
}

#[test]
fn what_begins_slowly_and_then_comes_soon_gives_its_head_up() {
    let steps = [(10_000, 100), (50_000, 260), (60_000, 300), (400_000, 1600), (500_000, 3000)];
    assert_eq!(kept(1_400_000, &steps), [None, Some(50_000), Some(60_000), None, None]);
    // Later there is more to lose than to copy.
    let steps = [(50_000, 260), (60_000, 2100), (3_900_000, 4000)];
    assert_eq!(kept(4_000_000, &steps), [Some(50_000), Some(60_000), Some(3_900_000)]);
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
