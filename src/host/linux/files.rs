//! Files as Linux has them.

use nix::fcntl::OFlag;
use std::fs::{File, Metadata, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

/// Opens a file that may have become something else since it was looked at: neither waited for nor followed.
pub(crate) fn open_unmoved(path: &Path) -> io::Result<File> {
    let flags = OFlag::O_NONBLOCK | OFlag::O_NOFOLLOW | OFlag::O_NOCTTY;
    OpenOptions::new().read(true).custom_flags(flags.bits()).open(path)
}

/// A new file that only its owner may touch.
pub(crate) fn new_private(path: &Path) -> io::Result<File> {
    File::options().write(true).create_new(true).mode(0o600).open(path)
}

/// How many names a file has.
pub(crate) fn names(found: &Metadata) -> u64 {
    found.nlink()
}

/// What tells a file that has other names from all others.
pub(crate) fn identity(found: &Metadata) -> Option<(u64, u64)> {
    (found.nlink() > 1).then(|| (found.dev(), found.ino()))
}

/// Gives a file the owner and the mode of another.
pub(crate) fn take_after(file: &File, found: &Metadata) -> io::Result<()> {
    let own = file.metadata()?;
    if (own.uid(), own.gid()) != (found.uid(), found.gid()) {
        std::os::unix::fs::fchown(file, Some(found.uid()), Some(found.gid()))?;
    }
    file.set_permissions(Permissions::from_mode(found.mode() & 0o7777))
}
