//! A file of the user's that is there when it is whole, and not before.

use aido_runtime::Error;
use rustix::fs::{AtFlags, CWD, Mode, OFlags};
use rustix::io::Errno;
use std::fs::File;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

/// Without a name yet, but for one that nobody looks for where the file system wants one.
pub(crate) struct Fresh {
    pub(crate) file: File,
    hidden: Option<PathBuf>,
    path: PathBuf,
    force: bool,
}

impl Fresh {
    /// `force`: one that is there is replaced when this one is whole.
    pub(crate) fn new(path: &Path, force: bool) -> Result<Fresh, Error> {
        match path.symlink_metadata() {
            Ok(found) if found.is_dir() => return Err(there(path)),
            Ok(found) if force && !found.is_file() => {
                return Err(Error::new(format!("`{}` is no regular file", path.display())).remedy("name another file"));
            }
            Ok(_) if !force => return Err(there(path)),
            _ => {}
        }
        let fresh = |file, hidden| Fresh { file, hidden, path: path.to_path_buf(), force };
        let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
        match rustix::fs::open(parent(path), flags, Mode::from_raw_mode(0o666)) {
            Err(Errno::OPNOTSUPP | Errno::ISDIR) => {
                let hidden = beside(path)?;
                let made = File::options().read(true).write(true).create_new(true).open(&hidden);
                made.map(|file| fresh(file, Some(hidden.clone()))).map_err(|e| failed(&hidden, e))
            }
            opened => opened.map(|file| fresh(file.into(), None)).map_err(|e| failed(path, e)),
        }
    }

    /// Gives it the name that was asked for, in one step.
    pub(crate) fn show(self) -> Result<(), Error> {
        let path = &self.path;
        self.file.sync_all().map_err(|e| failed(path, e))?;
        let link = |to: &Path| {
            let from = format!("/proc/self/fd/{}", self.file.as_raw_fd());
            rustix::fs::linkat(CWD, from, CWD, to, AtFlags::SYMLINK_FOLLOW)
        };
        match link(path) {
            Err(Errno::EXIST) if self.force => {
                let fresh = beside(path)?.with_extension("new");
                link(&fresh).map_err(|e| failed(&fresh, e))?;
                std::fs::rename(&fresh, path).map_err(|e| {
                    let _ = std::fs::remove_file(&fresh);
                    failed(path, e)
                })
            }
            Err(Errno::EXIST) => Err(there(path)),
            linked => linked.map_err(|e| failed(path, e)),
        }
    }
}

impl Drop for Fresh {
    fn drop(&mut self) {
        if let Some(hidden) = &self.hidden {
            let _ = std::fs::remove_file(hidden);
        }
    }
}

pub(crate) fn there(path: &Path) -> Error {
    let remedy = if path.is_dir() { "name a folder that is not there yet" } else { "--force replaces it" };
    Error::new(format!("`{}` is there already", path.display())).remedy(remedy)
}

pub(crate) fn failed(path: &Path, error: impl Into<std::io::Error>) -> Error {
    Error::new(format!("writing `{}`: {}", path.display(), error.into()))
}

fn parent(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// A name in the same folder that nobody else has.
pub(crate) fn beside(path: &Path) -> Result<PathBuf, Error> {
    let name = path.file_name().ok_or_else(|| Error::new(format!("`{}` names no file", path.display())))?;
    Ok(parent(path).join(format!(".{}.aido-{}", name.to_string_lossy(), std::process::id())))
}
