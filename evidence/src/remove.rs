//! Removing trees that a task may have made hard to remove.

use crate::error::{Error, Result};
use crate::folder::{Folder, shown};
use crate::id::{Id, Of, random_hex};
use crate::project::Project;
use crate::sandbox::Sandbox;
use rustix::fs::{AtFlags, Dir, FileType, FlockOperation, Mode, OFlags};
use rustix::io::Errno;
use serde_json::json;
use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, OwnedFd};

/// Where trees go before they are removed, so that nobody finds half of one in its place. An entry
/// named like a sandbox is not in the ledger yet; every other name is nothing but rubbish.
pub(crate) const TRASH: &str = "trash";

/// How the names of things begin that are still being made.
pub(crate) const UNFINISHED: &str = ".new-";

/// Entries looked at together: bounds the memory for a folder with millions.
const BATCH: usize = 512;

/// Destroys a sandbox. Only the ledger will remember it, so its line is on the disk before the first
/// byte of evidence is removed.
pub(crate) fn sandbox(sandbox: &Sandbox, why: &str) -> Result<()> {
    let project = sandbox.project();
    let runs: Vec<Id> = sandbox.runs()?.iter().map(|run| run.id().clone()).collect();
    let trash = locked_trash(project)?;
    let id = sandbox.id().as_str();
    project.sandboxes_folder()?.rename(id, &trash, id)?;
    let line = json!({"sandbox": id, "why": why, "runs": runs});
    project.ledger().append_durably("sandbox_destroyed", &line)?;
    for run in &runs {
        project.unmark(run)?;
    }
    relink_latest(project)?;
    let rubbish = format!("x{}", random_hex()?);
    trash.rename(id, &trash, &rubbish)?;
    clear(&trash)
}

/// Removes one tree that the ledger need not know of.
pub(crate) fn tree(project: &Project, parent: &Folder, name: &str) -> Result<()> {
    let trash = locked_trash(project)?;
    parent.rename(name, &trash, &format!("x{}", random_hex()?))?;
    clear(&trash)
}

/// Ends what a killed process left half done.
pub(crate) fn sweep(project: &Project) -> Result<()> {
    let trash = locked_trash(project)?;
    for id in trash.names()?.iter().filter_map(|name| Id::parse(Of::Sandbox, name)) {
        let line = json!({"sandbox": id, "why": "left over from a removal that was cut short"});
        project.ledger().append_durably("sandbox_destroyed", &line)?;
        trash.rename(id.as_str(), &trash, &format!("x{}", random_hex()?))?;
    }
    let sandboxes = project.sandboxes_folder()?;
    for name in sandboxes.names()?.iter().filter(|name| name.starts_with(UNFINISHED)) {
        if is_old(&sandboxes, name)? {
            sandboxes.rename(name, &trash, &format!("x{}", random_hex()?))?;
        }
    }
    clear(&trash)
}

/// Making a sandbox takes milliseconds; what is unfinished after an hour has no maker any more.
fn is_old(folder: &Folder, name: &str) -> Result<bool> {
    const AN_HOUR: i64 = 3600;
    match rustix::fs::statat(folder.fd(), name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => Ok(stat.st_mtime < rustix::time::clock_gettime(rustix::time::ClockId::Realtime).tv_sec - AN_HOUR),
        Err(Errno::NOENT) => Ok(false),
        Err(e) => Err(Error::io("look at", &folder.path().join(name), e)),
    }
}

pub(crate) fn is_empty(folder: &Folder) -> Result<bool> {
    Ok(entries(folder.fd()).map_err(|e| Error::io("list", folder.path(), e))?.is_empty())
}

/// `latest` must not point at what is gone.
fn relink_latest(project: &Project) -> Result<()> {
    let folder = project.sandboxes_folder()?;
    match project.latest_sandbox()? {
        Some(newest) => folder.replace_link("latest", newest.id().as_str()),
        None => folder.unlink("latest"),
    }
}

/// One remover at a time: two would take folders from under each other.
fn locked_trash(project: &Project) -> Result<Folder> {
    let trash = project.trash()?;
    rustix::fs::flock(trash.fd(), FlockOperation::LockExclusive).map_err(|e| Error::io("lock", trash.path(), e))?;
    Ok(trash)
}

/// Empties the trash. Trees are flattened instead of walked: a folder inside a folder is moved up
/// into the trash, so depth costs neither stack, descriptors nor long paths.
fn clear(trash: &Folder) -> Result<()> {
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
    match rustix::fs::unlinkat(&at, name, flags) {
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
