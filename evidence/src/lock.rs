//! Locks that others hold for a moment, and the one who holds on for ever.

use crate::error::{Error, Result};
use crate::folder::Folder;
use crate::platform;
use std::fs::File;
use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

/// Nobody of us holds a lock for so long, unless it was stopped in the middle.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// What can be locked; the lock goes with the value that has it.
pub(crate) trait Lock {
    fn try_lock(&self) -> io::Result<bool>;
}

impl Lock for File {
    fn try_lock(&self) -> io::Result<bool> {
        platform::try_lock(self)
    }
}

impl Lock for Folder {
    fn try_lock(&self) -> io::Result<bool> {
        self.dir().try_lock()
    }
}

/// Takes the lock; whoever holds it longer than `patience` is named as the reason why not.
pub(crate) fn take(what: &impl Lock, path: &Path, patience: Duration) -> Result<()> {
    let until = Instant::now() + patience;
    let mut pause = Duration::from_micros(200);
    while !try_take(what, path)? {
        if Instant::now() > until {
            return Err(Error::Held { path: path.to_path_buf(), seconds: patience.as_secs() });
        }
        std::thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(20));
    }
    Ok(())
}

/// Takes the lock if nobody has it.
pub(crate) fn try_take(what: &impl Lock, path: &Path) -> Result<bool> {
    what.try_lock().map_err(|e| Error::io("lock", path, e))
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
