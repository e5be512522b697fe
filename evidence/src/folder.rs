//! Folders below `.aido`, held by descriptor. A project may come from strangers, so no link is
//! followed here and no file is opened that is not a plain one; only `latest` links are made.

use crate::error::{Error, Result};
use crate::fault;
use crate::id::random_hex;
use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags};
use rustix::io::Errno;
use std::ffi::{CStr, OsStr, OsString};
use std::fs::File;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// How the names of files begin that are not complete.
const HALF_WRITTEN: &str = ".new-";

const PRIVATE_FOLDER: Mode = Mode::RWXU;
const PRIVATE_FILE: Mode = Mode::RUSR.union(Mode::WUSR);

#[derive(Clone, Debug)]
pub(crate) struct Folder {
    fd: Arc<OwnedFd>,
    path: PathBuf,
}

/// How an entry is opened.
#[derive(Clone, Copy)]
pub(crate) enum For {
    Reading,
    /// Reading, and writing at the end only; made if it is not there.
    AppendingOrNew,
    /// The same; it must not be there yet.
    New,
}

impl Folder {
    /// Opens the folder at `path`; its last component must not be a link.
    pub(crate) fn open(path: &Path) -> Result<Folder> {
        let fd = open_folder(rustix::fs::CWD, path).map_err(|e| refused(path, e))?;
        Ok(Folder { fd: Arc::new(fd), path: path.to_path_buf() })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn fd(&self) -> &OwnedFd {
        &self.fd
    }

    pub(crate) fn sub(&self, name: &str) -> Result<Folder> {
        let path = self.path.join(name);
        let fd = open_folder(&*self.fd, name).map_err(|e| refused(&path, e))?;
        Ok(Folder { fd: Arc::new(fd), path })
    }

    /// Opens a folder and makes it first if it is not there.
    pub(crate) fn sub_or_new(&self, name: &str) -> Result<Folder> {
        match self.make(name) {
            Err(Error::Io { source, .. }) if source.kind() == std::io::ErrorKind::AlreadyExists => self.sub(name),
            made => made,
        }
    }

    pub(crate) fn make(&self, name: &str) -> Result<Folder> {
        self.make_as(name, PRIVATE_FOLDER)
    }

    /// The same, with another mode.
    pub(crate) fn make_with(&self, name: &str, mode: u32) -> Result<Folder> {
        let made = self.make_as(name, PRIVATE_FOLDER)?;
        let mode = Mode::from_raw_mode(mode & 0o777);
        rustix::fs::chmodat(&*self.fd, name, mode, AtFlags::empty()).map_err(|e| Error::io("open", &made.path, e))?;
        Ok(made)
    }

    fn make_as(&self, name: &str, mode: Mode) -> Result<Folder> {
        let path = self.path.join(name);
        fault::step("make", &path)
            .and_then(|()| rustix::fs::mkdirat(&*self.fd, name, mode))
            .map_err(|e| Error::io("make", &path, e))?;
        self.sub(name)
    }

    pub(crate) fn file(&self, name: &str, purpose: For) -> Result<File> {
        let path = self.path.join(name);
        let flags = match purpose {
            For::Reading => OFlags::RDONLY,
            For::AppendingOrNew => OFlags::RDWR | OFlags::APPEND | OFlags::CREATE,
            For::New => OFlags::RDWR | OFlags::APPEND | OFlags::CREATE | OFlags::EXCL,
        };
        // NONBLOCK: a FIFO in the place of a file must not hang us.
        let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
        if flags.contains(OFlags::CREATE) {
            fault::step("create", &path).map_err(|e| refused(&path, e))?;
        }
        let fd = rustix::fs::openat(&*self.fd, name, flags, PRIVATE_FILE).map_err(|e| refused(&path, e))?;
        let stat = rustix::fs::fstat(&fd).map_err(|e| Error::io("look at", &path, e))?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return Err(Error::Foreign {
                path,
                why: "is not a plain file".into(),
                remedy: "remove it; aido makes its files itself".into(),
            });
        }
        Ok(File::from(fd))
    }

    /// The whole of a small file.
    pub(crate) fn read(&self, name: &str, at_most: u64) -> Result<Vec<u8>> {
        let path = self.path.join(name);
        let mut bytes = Vec::new();
        let file = self.file(name, For::Reading)?;
        file.take(at_most + 1).read_to_end(&mut bytes).map_err(|e| Error::io("read", &path, e))?;
        if bytes.len() as u64 > at_most {
            return Err(Error::damaged(&path, format_args!("it is longer than {at_most} bytes")));
        }
        Ok(bytes)
    }

    /// Writes a file whole or not at all: under another name first, then renamed. `durable`: it is
    /// on the disk when this returns.
    pub(crate) fn replace(&self, name: &str, bytes: &[u8], durable: bool) -> Result<()> {
        self.renamed(name, bytes, durable)?;
        if durable { self.sync() } else { Ok(()) }
    }

    /// The same; what it holds is on the disk when this returns, its name when the folder is synced.
    pub(crate) fn replace_beside(&self, name: &str, bytes: &[u8]) -> Result<()> {
        self.renamed(name, bytes, true)
    }

    fn renamed(&self, name: &str, bytes: &[u8], durable: bool) -> Result<()> {
        let path = self.path.join(name);
        let temp = format!("{HALF_WRITTEN}{}", random_hex()?);
        let mut file = self.file(&temp, For::New)?;
        let synced = |file: &File| {
            fault::step("sync", &path)?;
            file.sync_all()
        };
        let written = fault::write_all(&mut file, bytes, &path)
            .and_then(|()| if durable { synced(&file) } else { Ok(()) })
            .and_then(|()| Ok(fault::step("rename", &path)?))
            .and_then(|()| Ok(rustix::fs::renameat(&*self.fd, &*temp, &*self.fd, name)?));
        written.map_err(|e| {
            let _ = rustix::fs::unlinkat(&*self.fd, &*temp, AtFlags::empty());
            Error::io("write", &path, e)
        })
    }

    /// Puts the names of this folder's entries on the disk.
    pub(crate) fn sync(&self) -> Result<()> {
        fault::step("sync", &self.path)
            .and_then(|()| rustix::fs::fsync(&*self.fd))
            .map_err(|e| Error::io("sync", &self.path, e))
    }

    /// Makes a link whose name nobody else uses, in one step: whoever is killed leaves nothing half made. One that is
    /// there already stays.
    pub(crate) fn link(&self, name: &str, target: &str) -> Result<()> {
        let linked = fault::step("link", &self.path.join(name));
        match linked.and_then(|()| rustix::fs::symlinkat(target, &*self.fd, name)) {
            Ok(()) | Err(Errno::EXIST) => Ok(()),
            Err(e) => Err(Error::io("make the link", &self.path.join(name), e)),
        }
    }

    /// Points the link `name` at `target`; at no moment is it missing.
    pub(crate) fn replace_link(&self, name: &str, target: &str) -> Result<()> {
        let temp = format!("{HALF_WRITTEN}{}", random_hex()?);
        let linked = fault::step("link", &self.path.join(name))
            .and_then(|()| rustix::fs::symlinkat(target, &*self.fd, &*temp))
            .and_then(|()| fault::step("rename", &self.path.join(name)))
            .and_then(|()| rustix::fs::renameat(&*self.fd, &*temp, &*self.fd, name));
        linked.map_err(|e| {
            let _ = rustix::fs::unlinkat(&*self.fd, &*temp, AtFlags::empty());
            Error::io("point the link", &self.path.join(name), e)
        })
    }

    pub(crate) fn rename(&self, name: &str, to: &Folder, new_name: &str) -> Result<()> {
        // NOREPLACE would be tidier, but some file systems lack it; new names are random.
        fault::step("rename", &self.path.join(name))
            .and_then(|()| rustix::fs::renameat(&*self.fd, name, &*to.fd, new_name))
            .map_err(|e| Error::io("rename", &self.path.join(name), e))
    }

    /// Removes one file or link; not an error if it is gone.
    pub(crate) fn unlink(&self, name: &str) -> Result<()> {
        let allowed = fault::step("remove", &self.path.join(name));
        match allowed.and_then(|()| rustix::fs::unlinkat(&*self.fd, name, AtFlags::empty())) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(e) => Err(Error::io("remove", &self.path.join(name), e)),
        }
    }

    /// Removes files that somebody was killed at who replaced one. Only for who alone writes in this folder now.
    pub(crate) fn remove_unfinished(&self) -> Result<()> {
        let names = self.names()?;
        names.iter().filter(|name| name.starts_with(HALF_WRITTEN)).try_for_each(|name| self.unlink(name))
    }

    pub(crate) fn has(&self, name: &str) -> Result<bool> {
        match rustix::fs::statat(&*self.fd, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(_) => Ok(true),
            Err(Errno::NOENT) => Ok(false),
            Err(e) => Err(Error::io("look at", &self.path.join(name), e)),
        }
    }

    /// All entries and what they are, in no order.
    pub(crate) fn entries(&self) -> Result<Vec<(OsString, FileType)>> {
        let mut found = Vec::new();
        for entry in Dir::read_from(&*self.fd).map_err(|e| Error::io("list", &self.path, e))? {
            let entry = entry.map_err(|e| Error::io("list", &self.path, e))?;
            let name = entry.file_name();
            if matches!(name.to_bytes(), b"." | b"..") {
                continue;
            }
            // Not every file system says it in the listing.
            let kind = match entry.file_type() {
                FileType::Unknown => match rustix::fs::statat(&*self.fd, name, AtFlags::SYMLINK_NOFOLLOW) {
                    Ok(stat) => FileType::from_raw_mode(stat.st_mode),
                    Err(Errno::NOENT) => continue,
                    Err(e) => return Err(Error::io("look at", &self.path.join(shown(name)), e)),
                },
                kind => kind,
            };
            found.push((OsStr::from_bytes(name.to_bytes()).to_owned(), kind));
        }
        Ok(found)
    }

    /// The names of the entries that are text, in no order; ours all are.
    pub(crate) fn names(&self) -> Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in Dir::read_from(&*self.fd).map_err(|e| Error::io("list", &self.path, e))? {
            let entry = entry.map_err(|e| Error::io("list", &self.path, e))?;
            if let Ok(name) = entry.file_name().to_str()
                && !matches!(name, "." | "..")
            {
                names.push(name.to_owned());
            }
        }
        Ok(names)
    }
}

/// What is not there is None.
pub(crate) fn present<T>(looked: Result<T>) -> Result<Option<T>> {
    match looked {
        Ok(found) => Ok(Some(found)),
        Err(e) if e.is_missing() => Ok(None),
        Err(e) => Err(e),
    }
}

fn open_folder<P: rustix::path::Arg>(at: impl std::os::fd::AsFd, path: P) -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(at, path, flags, Mode::empty())
}

/// A link or another kind of thing in the way is named as such.
fn refused(path: &Path, errno: Errno) -> Error {
    let why = match errno {
        // With DIRECTORY a link answers NOTDIR, without it LOOP.
        Errno::LOOP => "is a symbolic link",
        Errno::NOTDIR => match std::fs::symlink_metadata(path) {
            Ok(m) if m.is_symlink() => "is a symbolic link",
            _ => "is not a folder",
        },
        Errno::ISDIR => "is a folder",
        Errno::NXIO => "is not a plain file",
        _ => return Error::io("open", path, errno),
    };
    Error::Foreign {
        path: path.to_path_buf(),
        why: why.into(),
        remedy: "aido does not write through it; remove it and try again".into(),
    }
}

/// An entry's name for messages.
pub(crate) fn shown(name: &CStr) -> PathBuf {
    PathBuf::from(OsStr::from_bytes(name.to_bytes()))
}
