//! Looking at what of the host goes into a sandbox, before anything is built.

use crate::script::Source;
use aido_runtime::Error;
use rustix::fs::{AtFlags, Mode, OFlags, ResolveFlags, StatxFlags};
use std::ffi::CString;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// What was found at a path, by its real name.
pub(crate) struct Seen {
    pub(crate) source: Source,
    pub(crate) folder: bool,
}

/// Opens `path` as the caller may, and remembers what it is.
pub(crate) fn look(path: &Path) -> Result<Seen, Error> {
    look_with(path, ResolveFlags::empty())
}

/// The same for a path that was made sure to hold no link: if it does now, somebody swapped something.
pub(crate) fn look_exactly(path: &Path) -> Result<Seen, Error> {
    look_with(path, ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS)
}

fn look_with(path: &Path, how: ResolveFlags) -> Result<Seen, Error> {
    let failed = |what: &str, errno: rustix::io::Errno| {
        crate::failure::not_opened(format!("cannot {what} {}: {errno}", path.display()), errno.raw_os_error())
    };
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    let fd = rustix::fs::openat2(rustix::fs::CWD, path, flags, Mode::empty(), how).map_err(|e| failed("open", e))?;
    let found = rustix::fs::statx(&fd, c"", AtFlags::EMPTY_PATH, StatxFlags::INO | StatxFlags::TYPE)
        .map_err(|e| failed("look at", e))?;
    let real = real_path(&fd).map_err(|e| failed("find the real path of", e))?;
    let kind = rustix::fs::FileType::from_raw_mode(found.stx_mode.into());
    Ok(Seen {
        source: Source {
            path: c_string(real.as_os_str().as_bytes())?,
            device: (found.stx_dev_major, found.stx_dev_minor),
            inode: found.stx_ino,
        },
        folder: kind == rustix::fs::FileType::Directory,
    })
}

fn real_path(fd: &rustix::fd::OwnedFd) -> rustix::io::Result<PathBuf> {
    use std::os::fd::AsRawFd;
    let link = format!("/proc/self/fd/{}", fd.as_raw_fd());
    let target = rustix::fs::readlink(link, Vec::new())?;
    Ok(PathBuf::from(std::ffi::OsStr::from_bytes(target.to_bytes())))
}

/// A string for the kernel; a NUL byte in it is an error and not an end.
pub(crate) fn c_string(bytes: impl AsRef<[u8]>) -> Result<CString, Error> {
    let bytes = bytes.as_ref();
    CString::new(bytes).map_err(|_| Error::new(format!("a NUL byte in {:?}", String::from_utf8_lossy(bytes))))
}
