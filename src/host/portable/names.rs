//! The names in a folder, with their types, by the standard library.

use crate::inputs::Kind;
use std::ffi::OsStr;
use std::io::Result;
use std::path::Path;

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
