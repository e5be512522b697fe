//! Locks that others hold for a moment, and the one who holds on for ever.

use crate::error::{Error, Result};
use rustix::fs::FlockOperation;
use rustix::io::Errno;
use std::os::fd::AsFd;
use std::path::Path;
use std::time::{Duration, Instant};

/// Nobody of us holds a lock for so long, unless it was stopped in the middle.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// Takes the lock; whoever holds it longer than `patience` is named as the reason why not.
pub(crate) fn take(file: impl AsFd, path: &Path, patience: Duration) -> Result<()> {
    let until = Instant::now() + patience;
    let mut pause = Duration::from_micros(200);
    while !try_take(&file, path)? {
        if Instant::now() > until {
            return Err(Error::Held { path: path.to_path_buf(), seconds: patience.as_secs() });
        }
        std::thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(20));
    }
    Ok(())
}

/// Takes the lock if nobody has it.
pub(crate) fn try_take(file: impl AsFd, path: &Path) -> Result<bool> {
    loop {
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(true),
            Err(Errno::WOULDBLOCK) => return Ok(false),
            Err(Errno::INTR) => {}
            Err(e) => return Err(Error::io("lock", path, e)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_who_never_lets_go_is_not_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x");
        let (holder, other) = (std::fs::File::create(&path).unwrap(), std::fs::File::open(&path).unwrap());
        take(&holder, &path, PATIENCE).unwrap();
        let began = Instant::now();
        let refused = take(&other, &path, Duration::from_millis(60)).unwrap_err();
        assert!(matches!(refused, Error::Held { .. }) && began.elapsed() < PATIENCE, "{refused}");
        assert!(!try_take(&other, &path).unwrap());
        drop(holder);
        take(&other, &path, PATIENCE).unwrap();
    }
}
