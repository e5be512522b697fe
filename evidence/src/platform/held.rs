//! Folders by descriptor: no link is followed, and nobody can put another in the place of one that is held.

use super::{Barred, For, Kind, Look, Owner};
use rustix::fs::{AtFlags, FileType, Mode, OFlags};
use rustix::io::Errno;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

const PRIVATE_FOLDER: Mode = Mode::RWXU;
const PRIVATE_FILE: Mode = Mode::RUSR.union(Mode::WUSR);

/// A folder that is held open.
#[derive(Debug)]
pub(crate) struct Dir(OwnedFd);

impl Dir {
    /// Opens the folder at `path`; its last component must not be a link.
    pub(crate) fn open(path: &Path) -> Result<Dir, Barred> {
        open(rustix::fs::CWD, path.as_os_str(), path)
    }

    /// `path`: what it is called, to tell a link from another thing that is no folder.
    pub(crate) fn sub(&self, name: &OsStr, path: &Path) -> Result<Dir, Barred> {
        open(&self.0, name, path)
    }

    pub(crate) fn make(&self, name: &str) -> io::Result<()> {
        Ok(rustix::fs::mkdirat(&self.0, name, PRIVATE_FOLDER)?)
    }

    /// Makes the folder at `path`.
    pub(crate) fn make_at(path: &Path) -> io::Result<()> {
        Ok(rustix::fs::mkdir(path, PRIVATE_FOLDER)?)
    }

    /// Makes the folder at `path` and those above it.
    pub(crate) fn make_all(path: &Path) -> io::Result<()> {
        use std::os::unix::fs::DirBuilderExt;
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path)
    }

    /// Opens a plain file.
    pub(crate) fn file(&self, name: &str, purpose: For) -> Result<File, Barred> {
        let flags = match purpose {
            For::Reading => OFlags::RDONLY,
            For::AppendingOrNew => OFlags::RDWR | OFlags::APPEND | OFlags::CREATE,
            For::New => OFlags::RDWR | OFlags::APPEND | OFlags::CREATE | OFlags::EXCL,
            For::Overwriting => OFlags::RDWR,
        };
        // NONBLOCK: a FIFO in the place of a file must not hang us.
        let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
        let fd = rustix::fs::openat(&self.0, name, flags, PRIVATE_FILE).map_err(|errno| match errno {
            Errno::LOOP => Barred::Link,
            Errno::NOTDIR => Barred::NotAFolder,
            Errno::ISDIR => Barred::AFolder,
            Errno::NXIO => Barred::NotPlain,
            errno => Barred::Io(errno.into()),
        })?;
        match FileType::from_raw_mode(rustix::fs::fstat(&fd).map_err(io::Error::from)?.st_mode) {
            FileType::RegularFile => Ok(File::from(fd)),
            _ => Err(Barred::NotPlain),
        }
    }

    pub(crate) fn rename(&self, name: &OsStr, to: &Dir, new_name: &str) -> io::Result<()> {
        Ok(rustix::fs::renameat(&self.0, name, &to.0, new_name)?)
    }

    /// Removes a file or a link.
    pub(crate) fn unlink(&self, name: &OsStr) -> io::Result<()> {
        Ok(rustix::fs::unlinkat(&self.0, name, AtFlags::empty())?)
    }

    /// Removes an empty folder.
    pub(crate) fn remove_folder(&self, name: &OsStr) -> io::Result<()> {
        Ok(rustix::fs::unlinkat(&self.0, name, AtFlags::REMOVEDIR)?)
    }

    /// Makes a name that says `target`, in one step.
    pub(crate) fn point(&self, name: &str, target: &str) -> io::Result<()> {
        Ok(rustix::fs::symlinkat(target, &self.0, name)?)
    }

    /// What such a name says.
    pub(crate) fn target(&self, name: &str) -> io::Result<String> {
        let target = rustix::fs::readlinkat(&self.0, name, Vec::new())?;
        target.into_string().map_err(|_| io::ErrorKind::InvalidData.into())
    }

    pub(crate) fn look(&self, name: &OsStr) -> io::Result<Look> {
        let stat = rustix::fs::statat(&self.0, name, AtFlags::SYMLINK_NOFOLLOW)?;
        let weight = stat.st_blocks as u64 * 512;
        Ok(Look { kind: kind(FileType::from_raw_mode(stat.st_mode)), weight, changed: stat.st_mtime })
    }

    /// The entries, but no more than so many.
    pub(crate) fn list(&self, at_most: usize) -> io::Result<Vec<(OsString, Kind)>> {
        let mut found = Vec::new();
        for entry in rustix::fs::Dir::read_from(&self.0)? {
            let entry = entry?;
            if matches!(entry.file_name().to_bytes(), b"." | b"..") {
                continue;
            }
            let name = OsStr::from_bytes(entry.file_name().to_bytes());
            // Not every file system says it in the listing.
            let kind = match entry.file_type() {
                FileType::Unknown => match self.look(name) {
                    Ok(look) => look.kind,
                    Err(e) if e.kind() == io::ErrorKind::NotFound => continue,
                    Err(e) => return Err(e),
                },
                known => kind(known),
            };
            found.push((name.to_owned(), kind));
            if found.len() == at_most {
                break;
            }
        }
        Ok(found)
    }

    /// Puts the names of the entries on the disk.
    pub(crate) fn sync(&self) -> io::Result<()> {
        Ok(rustix::fs::fsync(&self.0)?)
    }

    /// Lets its owner into a folder. Called for folders only: who could put a link there in between is this user already.
    pub(crate) fn open_up(&self, name: &OsStr) -> io::Result<()> {
        Ok(rustix::fs::chmodat(&self.0, name, Mode::RWXU, AtFlags::empty())?)
    }

    /// Lets everybody read a file.
    pub(crate) fn publish(&self, name: &str) -> io::Result<()> {
        Ok(rustix::fs::chmodat(&self.0, name, 0o644.into(), AtFlags::empty())?)
    }

    /// Lets nobody in but its owner.
    pub(crate) fn close_to_others(&self) -> io::Result<()> {
        Ok(rustix::fs::fchmod(&self.0, Mode::RWXU)?)
    }

    /// Whether modes say who may do what: on some file systems all of them are as the mount says.
    #[cfg(target_os = "linux")]
    #[allow(clippy::useless_conversion, reason = "the number is narrower on some processors")]
    pub(crate) fn keeps_modes(&self) -> bool {
        // FAT, exFAT, NTFS, 9P, SMB of three ages, FUSE, VirtualBox's folders.
        const WITHOUT: [i64; 10] = [
            0x4d44,
            0x2011_bab0,
            0x5346_544e,
            0x7366_746e,
            0x0102_1997,
            0x517b,
            0xff53_4d42,
            0xfe53_4d42,
            0x6573_5546,
            0x786f_4256,
        ];
        rustix::fs::fstatfs(&self.0).is_ok_and(|found| !WITHOUT.contains(&(i64::from(found.f_type) & 0xffff_ffff)))
    }

    #[cfg(not(target_os = "linux"))]
    pub(crate) fn keeps_modes(&self) -> bool {
        true
    }

    pub(crate) fn owner(&self) -> io::Result<Option<Owner>> {
        owner_of(&self.0)
    }

    /// Takes the folder's lock if nobody has it; it goes with this value.
    pub(crate) fn try_lock(&self) -> io::Result<bool> {
        loop {
            match rustix::fs::flock(&self.0, rustix::fs::FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => return Ok(true),
                Err(Errno::WOULDBLOCK) => return Ok(false),
                Err(Errno::INTR) => {}
                Err(e) => return Err(e.into()),
            }
        }
    }

    /// What it is called now, without links: it may have been moved since it was opened.
    pub(crate) fn name_now(&self) -> io::Result<PathBuf> {
        super::machine::name_of(self.0.as_fd())
    }
}

/// Who owns what is held.
#[allow(clippy::useless_conversion, reason = "modes are narrower on macOS")]
pub(crate) fn owner_of(fd: impl AsFd) -> io::Result<Option<Owner>> {
    let stat = rustix::fs::fstat(fd)?;
    let me = rustix::process::geteuid().as_raw();
    Ok(Some(Owner { user: stat.st_uid, me, mode: u32::from(stat.st_mode) & 0o7777 }))
}

/// The same of whatever lies at a path, links followed; None where nothing does.
#[allow(clippy::useless_conversion, reason = "modes are narrower on macOS")]
pub(crate) fn owner_at(path: &Path) -> Option<Owner> {
    let stat = rustix::fs::stat(path).ok()?;
    let me = rustix::process::geteuid().as_raw();
    Some(Owner { user: stat.st_uid, me, mode: u32::from(stat.st_mode) & 0o7777 })
}

fn open(at: impl AsFd, name: &OsStr, path: &Path) -> Result<Dir, Barred> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(at, name, flags, Mode::empty()).map(Dir).map_err(|errno| match errno {
        Errno::LOOP => Barred::Link,
        // With DIRECTORY a link answers NOTDIR, without it LOOP.
        Errno::NOTDIR if path.is_symlink() => Barred::Link,
        Errno::NOTDIR => Barred::NotAFolder,
        errno => Barred::Io(errno.into()),
    })
}

fn kind(found: FileType) -> Kind {
    match found {
        FileType::RegularFile => Kind::File,
        FileType::Directory => Kind::Folder,
        FileType::Symlink => Kind::Link,
        _ => Kind::Other,
    }
}
