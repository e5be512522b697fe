//! What the user keeps outside of projects: the keys, and where the ledgers of projects stood.

use crate::error::{Error, Result};
use crate::fault;
use crate::folder::Folder;
use crate::platform::{self, Dir, Owner};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// Where they lie; None where the user has no place for them.
#[derive(Clone, Debug, Default)]
pub struct Home {
    /// The folder of the keys.
    pub keys: Option<PathBuf>,
    /// The folder of the anchors, one file for each project.
    pub anchors: Option<PathBuf>,
}

/// Opens a folder that only this user may enter; None if it is not there.
pub(crate) fn private(path: &Path) -> Result<Option<Folder>> {
    let Some(folder) = crate::folder::present(Folder::open(path))? else { return Ok(None) };
    if let Some(Owner { user, me, mode }) = folder.dir().owner().map_err(|e| Error::io("look at", path, e))? {
        if user != me {
            let why = format!("belongs to user {user}, and this is user {me}");
            return Err(Error::foreign(path, why, "run aido as that user, or with a HOME of your own"));
        }
        if mode & 0o077 != 0 {
            let why = format!("is open to others (mode {:03o})", mode & 0o777);
            return Err(Error::foreign(path, why, format!("close it: chmod 700 '{}'", path.display())));
        }
    }
    Ok(Some(folder))
}

/// The same; made if it is not there.
pub(crate) fn private_or_new(path: &Path) -> Result<Folder> {
    if let Some(folder) = private(path)? {
        return Ok(folder);
    }
    // With `sudo` the home can be another user's: what is made there would be in the way of its owner.
    if let Some(Owner { user, me, .. }) = path.ancestors().skip(1).find_map(platform::owner_at)
        && user != me
        && user != 0
    {
        let why = format!("would lie in a folder of user {user}, and this is user {me}");
        return Err(Error::foreign(path, why, "run aido as that user, or with a HOME of your own"));
    }
    fault::step("make", path).map_err(|e| Error::io("make", path, e))?;
    Dir::make_all(path).map_err(|e| Error::io("make", path, e))?;
    private(path)?.ok_or_else(|| Error::io("open", path, ErrorKind::NotFound))
}
