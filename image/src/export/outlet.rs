//! Where an export goes: an archive that is only ever written on, or a folder.

use crate::{Error, Result, beneath};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::path::Path;

/// Takes files by name, one after the other.
pub struct Outlet<'a> {
    kind: Kind<'a>,
}

enum Kind<'a> {
    Archive(tar::Builder<Box<dyn Write + 'a>>),
    Folder(OwnedFd),
}

fn failed(name: &str, error: impl Into<io::Error>) -> Error {
    Error::io(format!("writing `{name}`"), error)
}

impl<'a> Outlet<'a> {
    /// A tar archive, written as a stream.
    pub fn archive(to: impl Write + 'a) -> Self {
        Outlet { kind: Kind::Archive(tar::Builder::new(Box::new(to))) }
    }

    /// Files in an empty folder.
    pub fn folder(path: &Path) -> Result<Self> {
        beneath::own_folder(path).map(|folder| Outlet { kind: Kind::Folder(folder) })
    }

    pub(super) fn put(&mut self, name: &str, bytes: &[u8]) -> Result<()> {
        self.stream(name, bytes.len() as u64, &mut &bytes[..])
    }

    /// A file of `size` bytes, which the stream holds itself to.
    pub(super) fn stream(&mut self, name: &str, size: u64, from: &mut impl Read) -> Result<()> {
        match &mut self.kind {
            Kind::Archive(tar) => {
                let mut header = tar::Header::new_gnu();
                header.set_mode(0o644);
                header.set_mtime(0);
                // Beyond 8 GiB this becomes a number in base 256.
                header.set_size(size);
                tar.append_data(&mut header, name, from).map_err(|e| failed(name, e))
            }
            Kind::Folder(folder) => {
                let mut file = create(folder, name).map_err(|e| failed(name, e))?;
                io::copy(from, &mut file).map(drop).map_err(|e| failed(name, e))
            }
        }
    }

    /// Writes the end, and what is still in buffers.
    pub(super) fn finish(&mut self) -> Result<()> {
        match &mut self.kind {
            Kind::Archive(tar) => {
                tar.finish().and_then(|()| tar.get_mut().flush()).map_err(|e| failed("the archive's end", e))
            }
            Kind::Folder(_) => Ok(()),
        }
    }
}

fn create(folder: &OwnedFd, name: &str) -> rustix::io::Result<File> {
    for (at, _) in name.match_indices('/') {
        match rustix::fs::mkdirat(folder, &name[..at], Mode::from_raw_mode(0o755)) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(e) => return Err(e),
        }
    }
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(folder, name, flags, Mode::from_raw_mode(0o644)).map(File::from)
}
