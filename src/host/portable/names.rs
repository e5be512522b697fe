//! The names in a folder, with their types, by the standard library.

use crate::inputs::Kind;
use serde::{Deserialize, Serialize};
use std::ffi::OsStr;
use std::fs::File;
use std::io::Result;
use std::path::Path;
use std::time::SystemTime;

/// Gives each name of a folder until `each` says that it is enough.
pub(crate) fn each_name(folder: &Path, each: &mut dyn FnMut(&OsStr, Kind) -> bool) -> Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let kind = match entry.file_type() {
            Ok(t) if t.is_dir() => Kind::Folder,
            Ok(t) if t.is_file() => Kind::File,
            Ok(t) if t.is_symlink() => Kind::Link,
            _ => Kind::Other,
        };
        if !each(&entry.file_name(), kind) {
            return Ok(());
        }
    }
    Ok(())
}

/// Nothing here tells for certain that a folder is as it was, so there is no stamp.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Stamp {}

/// None.
pub(crate) fn stamp(_folder: &Path) -> Option<Stamp> {
    None
}

impl Stamp {
    pub(crate) fn changed(&self) -> Option<SystemTime> {
        match *self {}
    }

    pub(crate) fn device(&self) -> u64 {
        match *self {}
    }
}

/// No file system is known to.
pub(crate) fn keeps_times(_folder: &Path) -> bool {
    false
}

/// What is never written is never believed.
pub(crate) fn is_own(_file: &File) -> bool {
    false
}
