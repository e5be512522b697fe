//! Small files of the store: read whole, replaced whole.

use crate::{Error, Kind, Result, limits};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

pub(super) fn folder(path: &Path) -> Result<()> {
    let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.map_err(|e| Error::io(format!("making `{}`", path.display()), e))
}

/// The content, or nothing if there is no such file. Nothing else in its place is followed, waited
/// for, or read without an end.
pub(super) fn read(path: &Path) -> Result<Option<Vec<u8>>> {
    let failed = |e: io::Error| Error::io(format!("reading `{}`", path.display()), e);
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let file = match rustix::fs::open(path, flags, Mode::empty()) {
        Ok(file) => File::from(file),
        Err(Errno::NOENT) => return Ok(None),
        Err(e) => return Err(failed(e.into())),
    };
    let found = file.metadata().map_err(failed)?;
    if !found.is_file() || found.len() > limits::CONFIG_BYTES {
        let what = format!("the image store's `{}` is no small file", path.display());
        return Err(Error::new(Kind::Storage, what).remedy("remove this file; the image is then pulled again"));
    }
    let mut bytes = Vec::with_capacity(found.len() as usize);
    file.take(limits::CONFIG_BYTES).read_to_end(&mut bytes).map(|_| Some(bytes)).map_err(failed)
}

/// A record; one that a power cut left empty or cut short is none. What is whole and cannot be
/// understood is an error: another version's, most likely.
pub(super) fn read_json<T: DeserializeOwned>(path: &Path) -> Result<Option<T>> {
    let Some(bytes) = read(path)? else { return Ok(None) };
    match serde_json::from_slice(&bytes) {
        Ok(value) => Ok(Some(value)),
        Err(_) if !is_whole(&bytes) => Ok(None),
        Err(e) => {
            let what = format!("the image store's `{}` cannot be read: {e}", path.display());
            Err(Error::new(Kind::Storage, what).remedy("remove this file; the image is then pulled again"))
        }
    }
}

/// Whether this is JSON from its first byte to its last.
pub(super) fn is_whole(bytes: &[u8]) -> bool {
    serde_json::from_slice::<serde::de::IgnoredAny>(bytes).is_ok()
}

/// Every record of a folder, with its path.
pub(super) fn read_all<T: DeserializeOwned>(folder: &Path) -> Result<Vec<(PathBuf, T)>> {
    let failed = |e| Error::io(format!("listing `{}`", folder.display()), e);
    let mut all = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let ours = path.file_name().is_some_and(|name| !name.as_encoded_bytes().starts_with(b"."));
        // A record that another process removes meanwhile is no longer one.
        if let Some(record) = ours.then(|| read_json(&path)).transpose()?.flatten() {
            all.push((path, record));
        }
        if all.len() > limits::ARCHIVE_ENTRIES {
            return Err(Error::new(Kind::Storage, format!("`{}` holds too many records", folder.display())));
        }
    }
    Ok(all)
}

pub(super) fn write_json(path: &Path, value: &impl Serialize) -> Result<()> {
    let mut bytes = serde_json::to_vec(value).map_err(|e| Error::io(format!("writing `{}`", path.display()), e))?;
    bytes.push(b'\n');
    write(path, &bytes)
}

/// Readers see the old content or the new one, never a part. A power cut may take what was written
/// last: nothing waits for the disk here, and whoever reads after one checks what he finds.
pub(super) fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    let failed = |e| Error::io(format!("writing `{}`", path.display()), e);
    // What is there already is not put at risk.
    if std::fs::read(path).is_ok_and(|there| there == bytes) {
        return Ok(());
    }
    let fresh = beside(path).ok_or_else(|| failed(io::ErrorKind::InvalidInput.into()))?;
    let done = std::fs::write(&fresh, bytes).and_then(|()| std::fs::rename(&fresh, path));
    done.map_err(|e| {
        let _ = std::fs::remove_file(&fresh);
        failed(e)
    })
}

/// A name that nobody else has, for what is to take the place of `path`.
pub(super) fn beside(path: &Path) -> Option<PathBuf> {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let (parent, name) = (path.parent()?, path.file_name()?);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    Some(parent.join(format!(".{}-{}-{count}", name.to_string_lossy(), std::process::id())))
}
