//! The names in a folder, by large pieces as the kernel gives them, with their types: nothing is asked of each.

use crate::inputs::Kind;
use rustix::fs::{AtFlags, FileType, Mode, OFlags, RawDir};
use std::ffi::OsStr;
use std::io::Result;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// Room for the names of most folders at once.
const PIECE: usize = 32 << 10;

/// Gives each name of a folder until `each` says that it is enough.
pub(crate) fn each_name(folder: &Path, each: &mut dyn FnMut(&OsStr, Kind) -> bool) -> Result<()> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let open = rustix::fs::open(folder, flags, Mode::empty())?;
    let mut room = Vec::with_capacity(PIECE);
    let mut entries = RawDir::new(&open, room.spare_capacity_mut());
    while let Some(entry) = entries.next() {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if matches!(name, b"." | b"..") {
            continue;
        }
        let kind = match entry.file_type() {
            // Some file systems do not tell it by the way.
            FileType::Unknown => rustix::fs::statat(&open, entry.file_name(), AtFlags::SYMLINK_NOFOLLOW)
                .map_or(FileType::Unknown, |stat| FileType::from_raw_mode(stat.st_mode)),
            told => told,
        };
        let kind = match kind {
            FileType::Directory => Kind::Folder,
            FileType::RegularFile => Kind::File,
            FileType::Symlink => Kind::Link,
            _ => Kind::Other,
        };
        if !each(OsStr::from_bytes(name), kind) {
            return Ok(());
        }
    }
    Ok(())
}
