//! Removing trees that a task may have made hard to remove.

use crate::error::{Error, Result};
use crate::fault;
use crate::folder::{Folder, Kind};
use crate::id::{Id, Of, random_hex};
use crate::lock;
use crate::platform::{Barred, Dir};
use crate::project::Project;
use std::ffi::OsStr;
use std::io::{self, ErrorKind};
use std::path::Path;
use std::time::Duration;

/// Entries looked at together: bounds the memory for a folder with millions.
const BATCH: usize = 512;

/// Removes one tree that the ledger need not know of. While somebody else removes things, that one or the
/// next command takes it too: nobody waits for that.
pub(crate) fn tree(project: &Project, parent: &Folder, name: &str) -> Result<()> {
    let trash = project.trash()?;
    parent.rename(name, &trash, &format!("x{}", random_hex()?))?;
    if lock::try_take(&trash, trash.path())? { clear(&trash) } else { Ok(()) }
}

pub(crate) fn is_empty(folder: &Folder) -> Result<bool> {
    Ok(folder.dir().list(1).map_err(|e| Error::io("list", folder.path(), e))?.is_empty())
}

/// Somebody may be removing a tree of millions.
const REMOVING: Duration = Duration::from_secs(60);

/// One remover at a time: two would take folders from under each other.
pub(crate) fn locked(project: &Project) -> Result<Folder> {
    let trash = project.trash()?;
    lock::take(&trash, trash.path(), REMOVING)?;
    Ok(trash)
}

/// The same, if nobody is removing anything now.
pub(crate) fn locked_now(project: &Project) -> Result<Option<Folder>> {
    let trash = project.trash()?;
    Ok(lock::try_take(&trash, trash.path())?.then_some(trash))
}

/// Empties the trash. Trees are flattened instead of walked: a folder inside a folder is moved up
/// into the trash, so depth costs neither stack, descriptors nor long paths.
pub(crate) fn clear(trash: &Folder) -> Result<()> {
    let mut failed;
    loop {
        failed = None;
        let batch = trash.dir().list(BATCH).map_err(|e| Error::io("list", trash.path(), e))?;
        let mut progress = false;
        for (name, _) in batch.iter().filter(|(name, _)| Id::parse(Of::Sandbox, &name.to_string_lossy()).is_none()) {
            match remove_one(trash.dir(), name).and_then(|gone| if gone { Ok(()) } else { empty(trash, name) }) {
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
        Some((name, e)) => Err(Error::io("remove everything in", &trash.path().join(&name), e)),
    }
}

/// Takes everything out of one folder of the trash, then the folder itself.
fn empty(trash: &Folder, name: &OsStr) -> io::Result<()> {
    trash.dir().open_up(name)?;
    let folder = trash.dir().sub(name, &trash.path().join(name)).map_err(|barred| match barred {
        Barred::Io(e) => e,
        _ => ErrorKind::NotADirectory.into(),
    })?;
    loop {
        let batch = folder.list(BATCH)?;
        if batch.is_empty() {
            break;
        }
        for (entry, _) in &batch {
            if remove_one(&folder, entry)? {
                continue;
            }
            // Moving a folder changes its `..`, so it must be writable itself.
            folder.open_up(entry)?;
            let rubbish = format!("x{}", random_hex().map_err(|_| io::Error::other("no random bytes"))?);
            folder.rename(entry, trash.dir(), &rubbish)?;
        }
    }
    trash.dir().remove_folder(name)
}

/// Removes a file, a link or an empty folder; false: a folder that is not empty.
fn remove_one(at: &Dir, name: &OsStr) -> io::Result<bool> {
    let is_folder = match at.look(name) {
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(true),
        look => look?.kind == Kind::Folder,
    };
    let remove = || if is_folder { at.remove_folder(name) } else { at.unlink(name) };
    match fault::step("remove", Path::new(name)).and_then(|()| remove()) {
        Ok(()) => Ok(true),
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(true),
        Err(e) if is_folder && matches!(e.kind(), ErrorKind::DirectoryNotEmpty | ErrorKind::AlreadyExists) => Ok(false),
        Err(e) => Err(e),
    }
}
