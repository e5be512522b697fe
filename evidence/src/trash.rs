//! Removing trees that a task may have made hard to remove.

use crate::error::{Error, Result};
use crate::fault;
use crate::folder::{Folder, shown};
use crate::id::{Id, Of, random_hex};
use crate::lock;
use crate::project::Project;
use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags};
use rustix::io::Errno;
use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

/// Entries looked at together: bounds the memory for a folder with millions.
const BATCH: usize = 512;

/// Removes one tree that the ledger need not know of. While somebody else removes things, that one or the
/// next command takes it too: nobody waits for that.
pub(crate) fn tree(project: &Project, parent: &Folder, name: &str) -> Result<()> {
    let trash = project.trash()?;
    parent.rename(name, &trash, &format!("x{}", random_hex()?))?;
    if lock::try_take(trash.fd(), trash.path())? { clear(&trash) } else { Ok(()) }
}

pub(crate) fn is_empty(folder: &Folder) -> Result<bool> {
    Ok(entries(folder.fd()).map_err(|e| Error::io("list", folder.path(), e))?.is_empty())
}

/// Somebody may be removing a tree of millions.
const REMOVING: Duration = Duration::from_secs(60);

/// One remover at a time: two would take folders from under each other.
pub(crate) fn locked(project: &Project) -> Result<Folder> {
    let trash = project.trash()?;
    lock::take(trash.fd(), trash.path(), REMOVING)?;
    Ok(trash)
}

/// The same, if nobody is removing anything now.
pub(crate) fn locked_now(project: &Project) -> Result<Option<Folder>> {
    let trash = project.trash()?;
    Ok(lock::try_take(trash.fd(), trash.path())?.then_some(trash))
}

/// Empties the trash. Trees are flattened instead of walked: a folder inside a folder is moved up
/// into the trash, so depth costs neither stack, descriptors nor long paths.
pub(crate) fn clear(trash: &Folder) -> Result<()> {
    let mut failed;
    loop {
        failed = None;
        let batch = entries(trash.fd()).map_err(|e| Error::io("list", trash.path(), e))?;
        let mut progress = false;
        for name in batch.iter().filter(|name| Id::parse(Of::Sandbox, &name.to_string_lossy()).is_none()) {
            match remove_one(trash.fd(), name).and_then(|gone| if gone { Ok(()) } else { empty(trash, name) }) {
                Ok(()) => progress = true,
                Err(e) => failed = Some((name.clone(), e)),
            }
        }
        if !progress {
            break;
        }
    }
    match failed {
        None => Ok(()),
        Some((name, e)) => Err(Error::io("remove everything in", &trash.path().join(shown(&name)), e)),
    }
}

/// Takes everything out of one folder of the trash, then the folder itself.
fn empty(trash: &Folder, name: &CStr) -> rustix::io::Result<()> {
    make_accessible(trash.fd(), name)?;
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let folder = rustix::fs::openat(trash.fd(), name, flags, Mode::empty())?;
    loop {
        let batch = entries(&folder)?;
        if batch.is_empty() {
            break;
        }
        for entry in &batch {
            if remove_one(&folder, entry)? {
                continue;
            }
            // Moving a folder changes its `..`, so it must be writable itself.
            make_accessible(&folder, entry)?;
            let rubbish = format!("x{}", random_hex().map_err(|_| Errno::IO)?);
            rustix::fs::renameat(&folder, entry, trash.fd(), rubbish)?;
        }
    }
    rustix::fs::unlinkat(trash.fd(), name, AtFlags::REMOVEDIR)
}

/// Removes a file, a link or an empty folder; false: a folder that is not empty.
fn remove_one(at: impl AsFd, name: &CStr) -> rustix::io::Result<bool> {
    let stat = match rustix::fs::statat(&at, name, AtFlags::SYMLINK_NOFOLLOW) {
        Err(Errno::NOENT) => return Ok(true),
        other => other?,
    };
    let is_folder = FileType::from_raw_mode(stat.st_mode) == FileType::Directory;
    let flags = if is_folder { AtFlags::REMOVEDIR } else { AtFlags::empty() };
    let allowed = fault::step("remove", &shown(name));
    match allowed.and_then(|()| rustix::fs::unlinkat(&at, name, flags)) {
        Ok(()) | Err(Errno::NOENT) => Ok(true),
        Err(Errno::NOTEMPTY | Errno::EXIST) if is_folder => Ok(false),
        Err(e) => Err(e),
    }
}

/// Called for folders only. Whoever could put a link here in between is this user already.
fn make_accessible(at: impl AsFd, name: &CStr) -> rustix::io::Result<()> {
    rustix::fs::chmodat(at, name, Mode::RWXU, AtFlags::empty())
}

/// Some of the entries, whatever their names.
fn entries(folder: &OwnedFd) -> rustix::io::Result<Vec<CString>> {
    let mut found = Vec::new();
    for entry in Dir::read_from(folder)? {
        let entry = entry?;
        if !matches!(entry.file_name().to_bytes(), b"." | b"..") {
            found.push(entry.file_name().to_owned());
            if found.len() == BATCH {
                break;
            }
        }
    }
    Ok(found)
}
