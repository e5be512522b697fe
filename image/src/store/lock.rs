//! Locks between processes: the kernel drops them when their holder dies.

use super::{Image, Store};
use crate::{Error, Kind, Ownership, Result};
use std::fs::{File, TryLockError};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, Instant};

/// A lock that is held as long as the value lives.
#[derive(Debug)]
pub(crate) struct Lock {
    _file: File,
}

/// Keeps an image from being removed while it is in use.
#[derive(Debug)]
pub struct Hold {
    _lock: Lock,
}

fn failed(path: &Path, error: std::io::Error) -> Error {
    Error::io(format!("locking `{}`", path.display()), error)
}

fn tried(lock: std::result::Result<(), TryLockError>) -> std::io::Result<bool> {
    match lock {
        Ok(()) => Ok(true),
        Err(TryLockError::WouldBlock) => Ok(false),
        Err(TryLockError::Error(e)) => Err(e),
    }
}

impl Lock {
    /// Opens, locks, and looks again: between the two, a remover may have unlinked the file.
    fn take(path: &Path, lock: impl Fn(&File) -> std::io::Result<bool>) -> Result<Option<Lock>> {
        loop {
            let open = File::options().create(true).truncate(false).write(true).open(path);
            let file = open.map_err(|e| failed(path, e))?;
            if !lock(&file).map_err(|e| failed(path, e))? {
                return Ok(None);
            }
            let mine = file.metadata().map_err(|e| failed(path, e))?.ino();
            if std::fs::metadata(path).is_ok_and(|there| there.ino() == mine) {
                return Ok(Some(Lock { _file: file }));
            }
        }
    }

    pub(crate) fn shared(path: &Path) -> Result<Lock> {
        let lock = Lock::take(path, |file| file.lock_shared().map(|()| true))?;
        lock.ok_or_else(|| failed(path, std::io::ErrorKind::WouldBlock.into()))
    }

    pub(crate) fn try_shared(path: &Path) -> Result<Option<Lock>> {
        Lock::take(path, |file| tried(file.try_lock_shared()))
    }

    /// Calls `waiting` once if somebody else holds it.
    pub(crate) fn exclusive(path: &Path, waiting: impl Fn()) -> Result<Lock> {
        if let Some(lock) = Lock::try_exclusive(path)? {
            return Ok(lock);
        }
        waiting();
        let lock = Lock::take(path, |file| file.lock().map(|()| true))?;
        lock.ok_or_else(|| failed(path, std::io::ErrorKind::WouldBlock.into()))
    }

    pub(crate) fn try_exclusive(path: &Path) -> Result<Option<Lock>> {
        Lock::take(path, |file| tried(file.try_lock()))
    }

    /// Whether anybody holds it, now; makes no file.
    pub(crate) fn is_held(path: &Path) -> bool {
        File::open(path).is_ok_and(|file| matches!(file.try_lock(), Err(TryLockError::WouldBlock)))
    }

    /// Waits for a while.
    pub(crate) fn exclusive_within(path: &Path, patience: Duration) -> Result<Option<Lock>> {
        let start = Instant::now();
        loop {
            match Lock::try_exclusive(path)? {
                None if start.elapsed() < patience => std::thread::sleep(Duration::from_millis(25)),
                result => return Ok(result),
            }
        }
    }
}

impl Store {
    /// Keeps the image and its layers in the store until the value is dropped, or its process dies.
    pub fn hold(&self, image: &Image, ownership: Ownership) -> Result<Hold> {
        let lock = Lock::shared(&self.image_lock_path(&image.digest))?;
        let there = image.layers.iter().all(|layer| self.has_layer(layer, ownership));
        if there && self.is_merged(&image.layers, ownership) {
            self.touch(&image.digest);
            return Ok(Hold { _lock: lock });
        }
        let what = format!("the image `{}` was removed from the store a moment ago", image.reference);
        Err(Error::new(Kind::Missing, what).remedy(format!("aido image pull {}", image.reference)))
    }

    /// Keeps an image from being removed, whole or not.
    pub fn keep(&self, image: &Image) -> Result<Hold> {
        Lock::shared(&self.image_lock_path(&image.digest)).map(|lock| Hold { _lock: lock })
    }

    pub(super) fn image_lock_path(&self, digest: &crate::Digest) -> std::path::PathBuf {
        self.lock_path(&format!("image-{}", digest.hex()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_excludes_and_survives_the_removal_of_its_file() {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("lock");
        let held = Lock::exclusive(&path, || panic!("nobody holds it")).unwrap();
        assert!(Lock::try_exclusive(&path).unwrap().is_none());
        let waiter = std::thread::spawn({
            let path = path.clone();
            move || Lock::exclusive(&path, || ()).unwrap()
        });
        std::thread::sleep(Duration::from_millis(50));
        std::fs::remove_file(&path).unwrap();
        drop(held);
        let _theirs = waiter.join().unwrap();
        assert!(path.exists(), "the waiter locked a file that nobody else can find");
        assert!(Lock::try_exclusive(&path).unwrap().is_none());
        assert!(Lock::exclusive_within(&path, Duration::from_millis(60)).unwrap().is_none());
    }
}
