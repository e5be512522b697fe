//! The only place that opens something below a folder. The kernel resolves every path (`openat2`): below the
//! descriptor, through no link, onto no other file system.

use crate::{Error, RelPath, Result};
use rustix::fs::{Dir, Mode, OFlags, ResolveFlags, Stat, fchmod, fstat, openat2};
use rustix::io::{Errno, Result as Io};
use std::ffi::OsStr;
use std::fs::File;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;

/// A folder, held by descriptor: the project, or one layer.
#[derive(Debug, Clone)]
pub struct Folder {
    fd: Arc<OwnedFd>,
    /// It is ours: what its modes close to us is opened for a moment.
    ours: bool,
}

/// A path of the kernel's for an open descriptor; for calls that take no descriptor of this kind.
pub(crate) fn of_descriptor(fd: impl AsFd) -> String {
    format!("/proc/self/fd/{}", fd.as_fd().as_raw_fd())
}

fn open_in(at: BorrowedFd<'_>, path: &[u8], flags: OFlags, mode: Mode) -> Io<OwnedFd> {
    let path = if path.is_empty() { OsStr::new(".") } else { OsStr::from_bytes(path) };
    let resolve =
        ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS | ResolveFlags::NO_XDEV;
    loop {
        match openat2(at, path, flags | OFlags::CLOEXEC | OFlags::NOFOLLOW, mode, resolve) {
            // The kernel asks to try again when a rename elsewhere raced with the walk.
            Err(Errno::AGAIN | Errno::INTR) => {}
            other => return other,
        }
    }
}

/// Adds what is wanted to a mode, and remembers what it was.
fn open_up(fd: &OwnedFd, wanted: Mode, lifted: &mut Vec<(OwnedFd, Mode)>) -> Io<()> {
    let mode = Mode::from_raw_mode(fstat(fd)?.st_mode);
    if !mode.contains(wanted) {
        rustix::fs::chmod(of_descriptor(fd), mode | wanted)?;
        lifted.push((rustix::io::fcntl_dupfd_cloexec(fd, 3)?, mode));
    }
    Ok(())
}

impl Folder {
    /// Opens a folder by its path on the host.
    pub fn open(path: &Path) -> Result<Self> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let fd = rustix::fs::open(path, flags, Mode::empty());
        let fd = fd.map_err(|e| Error::io(format!("opening `{}`", path.display()), e))?;
        Ok(Folder { fd: Arc::new(fd), ours: false })
    }

    /// The same for a folder that belongs to a sandbox.
    pub(crate) fn ours(path: &Path) -> Result<Self> {
        Ok(Folder { ours: true, ..Folder::open(path)? })
    }

    fn at(&self, path: &RelPath, flags: OFlags) -> Io<OwnedFd> {
        match open_in(self.fd.as_fd(), path.as_bytes(), flags, Mode::empty()) {
            Err(Errno::ACCESS) if self.ours => self.lifted(path, flags),
            other => other,
        }
    }

    /// Opens what modes close to us, their owner; they are as before when this returns.
    fn lifted(&self, path: &RelPath, flags: OFlags) -> Io<OwnedFd> {
        let mut lifted = Vec::new();
        let opened = self.lift(path, flags, &mut lifted);
        for (fd, mode) in lifted.iter().rev() {
            rustix::fs::chmod(of_descriptor(fd), *mode)?;
        }
        opened
    }

    fn lift(&self, path: &RelPath, flags: OFlags, lifted: &mut Vec<(OwnedFd, Mode)>) -> Io<OwnedFd> {
        let mut at = rustix::io::fcntl_dupfd_cloexec(&*self.fd, 3)?;
        open_up(&at, Mode::RWXU, lifted)?;
        for step in path.above().chain([path.clone()]) {
            let next = open_in(at.as_fd(), step.name(), OFlags::PATH, Mode::empty())?;
            match rustix::fs::FileType::from_raw_mode(fstat(&next)?.st_mode) {
                rustix::fs::FileType::Directory => open_up(&next, Mode::RWXU, lifted)?,
                rustix::fs::FileType::RegularFile => open_up(&next, Mode::RUSR, lifted)?,
                _ => {}
            }
            if step == *path {
                return open_in(at.as_fd(), step.name(), flags, Mode::empty());
            }
            at = next;
        }
        Err(Errno::ACCESS)
    }

    /// Whatever is there, without opening it; `None` where nothing is.
    pub(crate) fn handle(&self, path: &RelPath) -> Result<Option<OwnedFd>> {
        match self.at(path, OFlags::PATH) {
            Ok(fd) => Ok(Some(fd)),
            Err(Errno::NOENT | Errno::NOTDIR) => Ok(None),
            Err(e) => Err(failed("looking at", path, e)),
        }
    }

    /// A regular file's content: no device is opened here, and nothing that waits.
    pub(crate) fn file(&self, path: &RelPath) -> Result<File> {
        let handle = self.at(path, OFlags::PATH).map_err(|e| failed("opening", path, e))?;
        let seen = fstat(&handle).map_err(|e| failed("opening", path, e))?;
        if !rustix::fs::FileType::from_raw_mode(seen.st_mode).is_file() {
            return Err(failed("opening", path, Errno::INVAL));
        }
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY;
        let fd = self.at(path, flags).map_err(|e| failed("opening", path, e))?;
        let opened = fstat(&fd).map_err(|e| failed("opening", path, e))?;
        match (seen.st_dev, seen.st_ino) == (opened.st_dev, opened.st_ino) {
            true => Ok(File::from(fd)),
            false => Err(Error::Refused(format!("`{path}` was replaced while it was opened"))),
        }
    }

    /// The folder itself or one below it, to be listed and changed.
    pub(crate) fn folder(&self, path: &RelPath) -> Result<OwnedFd> {
        self.at(path, OFlags::RDONLY | OFlags::DIRECTORY).map_err(|e| failed("opening the folder", path, e))
    }

    /// Makes a file that must be new.
    pub(crate) fn create(&self, path: &RelPath) -> Result<File> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL;
        let fd = open_in(self.fd.as_fd(), path.as_bytes(), flags, Mode::RUSR | Mode::WUSR);
        fd.map(File::from).map_err(|e| failed("making", path, e))
    }

    /// Tells the names in a folder, one after the other.
    pub(crate) fn names(&self, path: &RelPath, tell: &mut dyn FnMut(&[u8]) -> Result<()>) -> Result<()> {
        let fd = self.folder(path)?;
        for item in Dir::new(fd).map_err(|e| failed("listing", path, e))? {
            let item = item.map_err(|e| failed("listing", path, e))?;
            let name = item.file_name().to_bytes();
            if !matches!(name, b"." | b"..") {
                tell(name)?;
            }
        }
        Ok(())
    }

    /// Sets the permissions of a regular file, if it is still the one that was seen.
    pub(crate) fn set_mode(&self, path: &RelPath, mode: u32) -> Result<()> {
        let file = self.file(path)?;
        fchmod(&file, Mode::from_raw_mode(mode & 0o777)).map_err(|e| failed("setting the mode of", path, e))
    }
}

/// What the kernel knows of an open descriptor.
pub(crate) fn stat(fd: impl AsFd, path: &RelPath) -> Result<Stat> {
    fstat(fd).map_err(|e| failed("looking at", path, e))
}

/// An error of the system at a path, links on the way in words.
pub(crate) fn failed(doing: &str, path: &RelPath, error: Errno) -> Error {
    match error {
        Errno::LOOP => Error::Refused(format!("`{path}` leads through a symbolic link, and none is followed")),
        Errno::XDEV => Error::Refused(format!("`{path}` lies on another file system, and none is entered")),
        error => Error::io(format!("{doing} `{path}`"), error),
    }
}
