//! Heads: the beginnings of blobs whose layers did not become whole.
//!
//! They lie as they came, by the blob's digest, and are believed only when that is right at the end.

use super::{Store, files};
use crate::{Digest, Error, Result};
use std::fs::{File, TryLockError};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// Nobody who still wants an image waits longer before the next try.
pub(super) const KEPT: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// A head in use. Locked: of two who want the same blob one keeps it, and the other does without.
#[derive(Debug)]
pub(crate) struct Head {
    file: File,
    path: PathBuf,
    length: u64,
}

/// A head that nobody uses, for those who tidy up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leftover {
    pub blob: Digest,
    pub bytes: u64,
    /// Since its last byte came.
    pub age: Duration,
}

impl Store {
    fn partial(&self) -> PathBuf {
        self.dir.join("partial")
    }

    fn head_path(&self, blob: &Digest) -> PathBuf {
        self.partial().join(blob.hex())
    }

    /// What is here of a blob, if anything is and nobody else uses it.
    pub(crate) fn head(&self, blob: &Digest) -> Result<Option<Head>> {
        Head::open(self.head_path(blob), false)
    }

    /// Begins one. Nothing if somebody else is at it.
    pub(crate) fn new_head(&self, blob: &Digest) -> Result<Option<Head>> {
        files::folder(&self.partial())?;
        let head = Head::open(self.head_path(blob), true)?;
        Ok(head.filter(|head| head.length == 0))
    }

    /// Every head that nobody uses.
    pub fn leftovers(&self) -> Result<Vec<Leftover>> {
        let mut all = Vec::new();
        self.each_leftover(|_, leftover| {
            all.push(leftover);
            Ok(())
        })?;
        all.sort_by_key(|leftover| leftover.blob);
        Ok(all)
    }

    /// Removes the heads that nobody uses and that are at least so old; how many, and their bytes.
    pub fn remove_leftovers(&self, age: Duration) -> Result<(usize, u64)> {
        let (mut count, mut bytes) = (0, 0);
        self.each_leftover(|head, leftover| {
            if leftover.age >= age {
                head.remove()?;
                (count, bytes) = (count + 1, bytes + leftover.bytes);
            }
            Ok(())
        })?;
        Ok((count, bytes))
    }

    fn each_leftover(&self, mut act: impl FnMut(Head, Leftover) -> Result<()>) -> Result<()> {
        let folder = self.partial();
        let failed = |e| Error::io(format!("listing `{}`", folder.display()), e);
        let entries = match std::fs::read_dir(&folder) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
            other => other.map_err(failed)?,
        };
        for entry in entries {
            let path = entry.map_err(failed)?.path();
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            let Ok(blob) = format!("sha256:{name}").parse::<Digest>() else { continue };
            let Some(head) = Head::open(path, false)? else { continue };
            let changed = head.file.metadata().and_then(|found| found.modified()).unwrap_or(SystemTime::UNIX_EPOCH);
            let age = SystemTime::now().duration_since(changed).unwrap_or_default();
            let leftover = Leftover { blob, bytes: head.length, age };
            act(head, leftover)?;
        }
        Ok(())
    }
}

impl Head {
    fn open(path: PathBuf, make: bool) -> Result<Option<Head>> {
        let failed = |e: io::Error| Error::io(format!("opening `{}`", path.display()), e);
        let open = File::options().read(true).write(true).create(make).truncate(false).mode(0o600).open(&path);
        let file = match open {
            Err(e) if !make && e.kind() == io::ErrorKind::NotFound => return Ok(None),
            other => other.map_err(failed)?,
        };
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(None),
            Err(TryLockError::Error(e)) => return Err(failed(e)),
        }
        // Whoever held it until now may have unlinked it; then this is nobody's file.
        let length = file.metadata().map_err(failed)?.len();
        if !is_at(&file, &path) {
            return Ok(None);
        }
        Ok(Some(Head { file, path, length }))
    }

    pub(crate) fn length(&self) -> u64 {
        self.length
    }

    pub(crate) fn read_at(&self, buffer: &mut [u8], at: u64) -> io::Result<usize> {
        self.file.read_at(buffer, at)
    }

    pub(crate) fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all_at(bytes, self.length)?;
        self.length += bytes.len() as u64;
        Ok(())
    }

    pub(crate) fn remove(self) -> Result<()> {
        match std::fs::remove_file(&self.path) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => {
                Err(Error::io(format!("deleting `{}`", self.path.display()), e))
            }
            _ => Ok(()),
        }
    }
}

fn is_at(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let inode = |found: std::fs::Metadata| (found.dev(), found.ino());
    file.metadata().is_ok_and(|here| std::fs::symlink_metadata(path).is_ok_and(|there| inode(here) == inode(there)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_one_pulls_and_outlives_it() {
        let scratch = tempfile::tempdir().unwrap();
        let store = Store::open(scratch.path()).unwrap();
        let blob = Digest::of(b"blob");
        assert!(store.head(&blob).unwrap().is_none() && store.leftovers().unwrap().is_empty());
        let mut head = store.new_head(&blob).unwrap().unwrap();
        head.append(b"bl").unwrap();
        head.append(b"o").unwrap();
        assert!(store.head(&blob).unwrap().is_none(), "two pulls have the same head");
        assert!(store.new_head(&blob).unwrap().is_none() && store.leftovers().unwrap().is_empty());
        assert_eq!(store.remove_leftovers(Duration::ZERO).unwrap(), (0, 0));
        drop(head);
        let found = store.leftovers().unwrap();
        assert_eq!((found.len(), found[0].blob, found[0].bytes), (1, blob, 3));
        let head = store.head(&blob).unwrap().unwrap();
        let mut buffer = [0; 8];
        assert_eq!((head.length(), head.read_at(&mut buffer, 1).unwrap(), &buffer[..2]), (3, 2, &b"lo"[..]));
        head.remove().unwrap();
        assert!(store.head(&blob).unwrap().is_none());
    }

    #[test]
    fn old_heads_go_and_young_ones_stay() {
        let scratch = tempfile::tempdir().unwrap();
        let store = Store::open(scratch.path()).unwrap();
        for (name, days) in [("old", 8), ("young", 6)] {
            let mut head = store.new_head(&Digest::of(name.as_bytes())).unwrap().unwrap();
            head.append(b"12345").unwrap();
            head.file.set_modified(SystemTime::now() - Duration::from_secs(days * 24 * 60 * 60)).unwrap();
        }
        store.sweep(crate::Ownership::Squash).unwrap();
        let left = store.leftovers().unwrap();
        assert_eq!((left.len(), left[0].blob), (1, Digest::of(b"young")));
        assert_eq!(store.remove_leftovers(Duration::ZERO).unwrap(), (1, 5));
    }

    #[test]
    fn pruning_counts_heads_and_removes_them() {
        use crate::Prune;
        let scratch = tempfile::tempdir().unwrap();
        let store = Store::open(scratch.path()).unwrap();
        store.new_head(&Digest::of(b"a")).unwrap().unwrap().append(b"12345").unwrap();
        let hour = Some(Duration::from_secs(3600));
        for (what, bytes) in [
            (Prune { older_than: hour, ..Prune::default() }, 0),
            (Prune { dry: true, ..Prune::default() }, 5),
            (Prune::default(), 5),
            (Prune::default(), 0),
        ] {
            assert_eq!(store.prune(what).unwrap().bytes, bytes, "{what:?}");
        }
        assert!(store.leftovers().unwrap().is_empty());
    }
}
