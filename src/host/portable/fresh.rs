//! A file of the user's that is there when it is whole, and not before.

use aido_runtime::Error;
use std::fs::File;
use std::path::{Path, PathBuf};

/// Under a name that nobody looks for until it is whole.
pub(crate) struct Fresh {
    pub(crate) file: File,
    hidden: PathBuf,
    path: PathBuf,
    force: bool,
}

impl Fresh {
    /// `force`: one that is there is replaced when this one is whole.
    pub(crate) fn new(path: &Path, force: bool) -> Result<Fresh, Error> {
        match path.symlink_metadata() {
            Ok(found) if force && !found.is_file() && !found.is_dir() => {
                return Err(Error::new(format!("`{}` is no regular file", path.display())).remedy("name another file"));
            }
            Ok(found) if found.is_dir() || !force => return Err(there(path)),
            _ => {}
        }
        let hidden = beside(path)?;
        let file = File::options().read(true).write(true).create_new(true).open(&hidden);
        let file = file.map_err(|e| failed(&hidden, e))?;
        Ok(Fresh { file, hidden, path: path.to_path_buf(), force })
    }

    /// Gives it the name that was asked for, in one step.
    pub(crate) fn show(self) -> Result<(), Error> {
        self.file.sync_all().map_err(|e| failed(&self.path, e))?;
        // Renaming replaces; without `force` a link, which is refused where the name is taken, has to do.
        if !self.force && std::fs::hard_link(&self.hidden, &self.path).is_ok() {
            return Ok(());
        }
        if !self.force && self.path.symlink_metadata().is_ok() {
            return Err(there(&self.path));
        }
        std::fs::rename(&self.hidden, &self.path).map_err(|e| failed(&self.path, e))
    }
}

impl Drop for Fresh {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.hidden);
    }
}

fn there(path: &Path) -> Error {
    let remedy = if path.is_dir() { "name a folder that is not there yet" } else { "--force replaces it" };
    Error::new(format!("`{}` is there already", path.display())).remedy(remedy)
}

fn failed(path: &Path, error: impl Into<std::io::Error>) -> Error {
    Error::new(format!("writing `{}`: {}", path.display(), error.into()))
}

/// A name in the same folder that nobody else has.
fn beside(path: &Path) -> Result<PathBuf, Error> {
    let name = path.file_name().ok_or_else(|| Error::new(format!("`{}` names no file", path.display())))?;
    Ok(path.with_file_name(format!(".{}.aido-{}", name.to_string_lossy(), std::process::id())))
}
