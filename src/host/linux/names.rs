//! The names in a folder, by large pieces as the kernel gives them, with their types: nothing is asked of each.

use crate::inputs::Kind;
use rustix::fs::{AtFlags, FileType, Mode, OFlags, RawDir};
use serde::{Deserialize, Serialize};
use std::ffi::OsStr;
use std::fs::File;
use std::io::Result;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

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

/// What tells a folder from what it was: no name in it comes, goes or changes without another stamp.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Stamp {
    device: u64,
    inode: u64,
    /// Seconds and nanoseconds.
    modified: (i64, i64),
    changed: (i64, i64),
}

/// Magic numbers of file systems that set a folder's change time at once and for everybody: ext2 to ext4, XFS, btrfs,
/// F2FS and tmpfs.
const KEEP_TIMES: [i64; 5] = [0xef53, 0x5846_5342, 0x9123_683e, 0xf2f5_2010, 0x0102_1994];

/// The stamp of a folder; none of what is none.
pub(crate) fn stamp(folder: &Path) -> Option<Stamp> {
    let found = std::fs::symlink_metadata(folder).ok().filter(std::fs::Metadata::is_dir)?;
    Some(Stamp {
        device: found.dev(),
        inode: found.ino(),
        modified: (found.mtime(), found.mtime_nsec()),
        changed: (found.ctime(), found.ctime_nsec()),
    })
}

impl Stamp {
    /// The later of its times; none where that is before 1970.
    pub(crate) fn changed(&self) -> Option<SystemTime> {
        let (seconds, nanoseconds) = self.changed.max(self.modified);
        Some(UNIX_EPOCH + Duration::new(u64::try_from(seconds).ok()?, u32::try_from(nanoseconds).ok()?))
    }

    pub(crate) fn device(&self) -> u64 {
        self.device
    }
}

/// Whether stamps are to be believed on the file system of this folder.
#[expect(clippy::useless_conversion, reason = "the type differs between architectures")]
pub(crate) fn keeps_times(folder: &Path) -> bool {
    rustix::fs::statfs(folder).is_ok_and(|found| KEEP_TIMES.contains(&i64::from(found.f_type)))
}

/// Whether a file is the caller's, and nobody else may write it.
pub(crate) fn is_own(file: &File) -> bool {
    let me = rustix::process::geteuid().as_raw();
    file.metadata().is_ok_and(|found| found.is_file() && found.uid() == me && found.mode() & 0o022 == 0)
}
