//! The only place that opens something below a folder whose content strangers chose.
//!
//! Paths are resolved by the kernel (`openat2`), below the given descriptor, through no symbolic
//! link and no magic link.

use crate::{Error, Kind, Result};
use rustix::fs::{AtFlags, Mode, OFlags, ResolveFlags, openat2, statat};
use rustix::io::Errno;
use std::ffi::OsStr;
use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

fn open(root: BorrowedFd<'_>, path: &[u8], flags: OFlags) -> rustix::io::Result<OwnedFd> {
    let path = if path.is_empty() { OsStr::new(".") } else { OsStr::from_bytes(path) };
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    loop {
        match openat2(root, path, flags | OFlags::CLOEXEC, Mode::empty(), resolve) {
            // The kernel asks to try again when a rename elsewhere raced with the walk.
            Err(Errno::AGAIN | Errno::INTR) => {}
            other => return other,
        }
    }
}

/// A folder, by descriptor only: good for the `…at` calls.
pub(crate) fn folder(root: BorrowedFd<'_>, path: &[u8]) -> rustix::io::Result<OwnedFd> {
    open(root, path, OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW)
}

/// A folder that can be listed and changed.
pub(crate) fn readable_folder(root: BorrowedFd<'_>, path: &[u8]) -> rustix::io::Result<OwnedFd> {
    open(root, path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW)
}

/// Whatever is there, without opening it.
pub(crate) fn handle(root: BorrowedFd<'_>, path: &[u8]) -> rustix::io::Result<OwnedFd> {
    open(root, path, OFlags::PATH | OFlags::NOFOLLOW)
}

/// A file's content. It must have been seen to be a regular file: no device is opened here, and
/// nothing that waits.
pub(crate) fn file(root: BorrowedFd<'_>, path: &[u8]) -> rustix::io::Result<OwnedFd> {
    open(root, path, OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK)
}

/// A folder of our own, by its path on the host.
pub(crate) fn own_folder(path: &Path) -> Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::open(path, flags, Mode::empty()).map_err(|e| {
        let error = Error::io(format!("opening `{}`", path.display()), e);
        if e == Errno::ACCESS { Error { kind: Kind::Closed, ..error } } else { error }
    })
}

/// A file without a name on the file system of `folder`; it is gone with its descriptor.
pub(crate) fn nameless(folder: BorrowedFd<'_>) -> rustix::io::Result<File> {
    let (access, mode) = (OFlags::RDWR | OFlags::CLOEXEC, Mode::RUSR | Mode::WUSR);
    match rustix::fs::openat(folder, ".", OFlags::TMPFILE | access, mode) {
        // Not every file system can; then it has a name for a moment, which nobody else's can be.
        Err(Errno::OPNOTSUPP | Errno::ISDIR | Errno::INVAL | Errno::NOENT) => {
            let name = format!(".wh..wh.aido-{}-{:?}", std::process::id(), std::thread::current().id());
            let flags = OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | access;
            let file = rustix::fs::openat(folder, &name, flags, mode)?;
            rustix::fs::unlinkat(folder, &name, AtFlags::empty())?;
            Ok(File::from(file))
        }
        other => other.map(File::from),
    }
}

/// Whether this kernel has `openat2`; without it nothing is unpacked.
pub(crate) fn check_kernel(root: BorrowedFd<'_>) -> Result<()> {
    match folder(root, b"") {
        Ok(_) => Ok(()),
        Err(Errno::NOSYS | Errno::PERM) => Err(Error::new(Kind::Storage, "this kernel does not let aido call openat2")
            .remedy("use Linux 5.8 or newer, and a container host that does not hide the call")),
        Err(e) => Err(Error::io("opening the folder of a layer", e)),
    }
}

/// Names of one file where letters of both cases, or both forms of an accent, are the same. No layer
/// may have these.
const ALIKE: [&str; 3] = [".wh..wh.aido-\u{e9}", ".WH..WH.AIDO-\u{e9}", ".wh..wh.aido-e\u{301}"];

/// Whether this empty folder takes different names for one; there nothing is unpacked, since an image
/// means each of its names.
pub(crate) fn check_names(root: BorrowedFd<'_>) -> Result<()> {
    let failed = |e: Errno| Error::io("trying names in the folder of a layer", e);
    let [name, others @ ..] = ALIKE;
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(root, name, flags, Mode::RUSR).map_err(failed)?;
    let alike = others.iter().try_fold(false, |alike, other| Ok(alike || is_there(root, other)?));
    rustix::fs::unlinkat(root, name, AtFlags::empty()).map_err(failed)?;
    if !alike.map_err(failed)? {
        return Ok(());
    }
    let what = "this folder takes names for the same that differ in upper case or accents, and an image means each";
    Err(Error::new(Kind::Storage, what)
        .remedy("put the image store on a file system, or in a folder, without case folding (`chattr -F`)"))
}

fn is_there(root: BorrowedFd<'_>, name: &str) -> rustix::io::Result<bool> {
    match statat(root, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(_) => Ok(true),
        Err(Errno::NOENT) => Ok(false),
        Err(e) => Err(e),
    }
}

/// Deletes what `name` is, with all below it, whatever modes stand in the way.
pub(crate) fn delete(parent: BorrowedFd<'_>, name: &OsStr) -> rustix::io::Result<()> {
    match rustix::fs::unlinkat(parent, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => return Ok(()),
        Err(Errno::ISDIR | Errno::PERM) => {}
        Err(e) => return Err(e),
    }
    let is_folder = statat(parent, name, AtFlags::SYMLINK_NOFOLLOW)?.st_mode & libc_folder() == libc_folder();
    if !is_folder {
        return Err(Errno::PERM);
    }
    empty(parent, name)?;
    rustix::fs::unlinkat(parent, name, AtFlags::REMOVEDIR)
}

fn libc_folder() -> u32 {
    rustix::fs::FileType::Directory.as_raw_mode()
}

/// Deletes all that a folder holds. One descriptor for each depth: layers are bounded in depth.
fn empty(parent: BorrowedFd<'_>, name: &OsStr) -> rustix::io::Result<()> {
    let usable = Mode::RWXU;
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let folder = match rustix::fs::openat(parent, name, flags, Mode::empty()) {
        Err(Errno::ACCESS) => {
            rustix::fs::chmodat(parent, name, usable, AtFlags::empty())?;
            rustix::fs::openat(parent, name, flags, Mode::empty())?
        }
        other => other?,
    };
    if rustix::fs::fstat(&folder)?.st_mode & usable.as_raw_mode() != usable.as_raw_mode() {
        rustix::fs::fchmod(&folder, usable)?;
    }
    let mut entries = rustix::fs::Dir::read_from(&folder)?;
    let mut below = Vec::new();
    while let Some(entry) = entries.read() {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if name != b"." && name != b".." {
            below.push(name.to_vec());
        }
    }
    below.iter().try_for_each(|name| delete(folder.as_fd(), OsStr::from_bytes(name)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};

    #[test]
    fn no_link_and_no_climbing_name_is_followed() {
        let scratch = tempfile::tempdir().unwrap();
        fs::create_dir_all(scratch.path().join("root/in")).unwrap();
        fs::write(scratch.path().join("secret"), "s").unwrap();
        symlink("../secret", scratch.path().join("root/up")).unwrap();
        symlink("in", scratch.path().join("root/side")).unwrap();
        let root = own_folder(&scratch.path().join("root")).unwrap();
        for path in [&b"../secret"[..], b"up", b"/etc/passwd", b"in/../../secret", b"side"] {
            assert!(file(root.as_fd(), path).is_err(), "{:?} was opened", path.escape_ascii().to_string());
        }
        assert!(folder(root.as_fd(), b"side").is_err());
        assert!(folder(root.as_fd(), b"in").is_ok() && folder(root.as_fd(), b"").is_ok());
    }

    #[test]
    fn a_folder_that_takes_names_for_the_same_is_refused() {
        let scratch = tempfile::tempdir().unwrap();
        let folder = own_folder(scratch.path()).unwrap();
        let left = || fs::read_dir(scratch.path()).unwrap().count();
        check_names(folder.as_fd()).unwrap();
        assert_eq!(left(), 0);
        // As such a folder answers: what was made under one name is there under another one too.
        for other in &ALIKE[1..] {
            fs::write(scratch.path().join(other), "").unwrap();
            let error = check_names(folder.as_fd()).unwrap_err();
            assert!(error.kind == Kind::Storage && error.remedy.is_some(), "{error}");
            assert_eq!(left(), 1);
            fs::remove_file(scratch.path().join(other)).unwrap();
        }
    }

    #[test]
    fn closed_and_deep_trees_are_deleted_and_links_only_unlinked() {
        let scratch = tempfile::tempdir().unwrap();
        let outside = scratch.path().join("outside");
        fs::write(&outside, "kept").unwrap();
        let mut path = scratch.path().join("tree");
        for depth in 0..200 {
            path.push(format!("d{depth}"));
        }
        fs::create_dir_all(&path).unwrap();
        fs::write(path.join("file"), "x").unwrap();
        symlink(&outside, scratch.path().join("tree/link")).unwrap();
        for closed in path.ancestors().take(201) {
            fs::set_permissions(closed, fs::Permissions::from_mode(0o0)).unwrap();
        }
        let parent = own_folder(scratch.path()).unwrap();
        delete(parent.as_fd(), OsStr::new("tree")).unwrap();
        assert!(!scratch.path().join("tree").exists());
        assert_eq!(fs::read_to_string(outside).unwrap(), "kept");
        delete(parent.as_fd(), OsStr::new("tree")).unwrap();
    }
}
