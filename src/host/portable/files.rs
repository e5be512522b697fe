//! Files as every platform has them.

use std::fs::{File, Metadata};
use std::io;
use std::path::Path;

/// Opens a file that may have become something else since it was looked at: a link is not followed.
pub(crate) fn open_unmoved(path: &Path) -> io::Result<File> {
    if path.symlink_metadata()?.is_file() { File::open(path) } else { Err(io::ErrorKind::InvalidInput.into()) }
}

/// A new file; who may touch it is for its folder to say.
pub(crate) fn new_private(path: &Path) -> io::Result<File> {
    File::options().write(true).create_new(true).open(path)
}

/// How many names a file has, where that is known.
pub(crate) fn names(_found: &Metadata) -> u64 {
    1
}

/// What tells a file that has other names from all others, where that is known.
pub(crate) fn identity(_found: &Metadata) -> Option<(u64, u64)> {
    None
}

/// Gives a file the mode of another.
pub(crate) fn take_after(file: &File, found: &Metadata) -> io::Result<()> {
    file.set_permissions(found.permissions())
}
