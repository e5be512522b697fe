//! Folders by their names, for Windows, which opens nothing relative to a handle. Links and other reparse points are
//! looked for before each step instead of at it: whoever could put one there in between is this user already.

use super::{Barred, For, Kind, Look, Owner};
use std::ffi::{OsStr, OsString};
use std::fs::{self, File, Metadata};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

/// A folder by its name, and its lock if this value has it.
#[derive(Debug)]
pub(crate) struct Dir {
    path: PathBuf,
    lock: Mutex<Option<File>>,
}

impl Dir {
    /// Opens the folder at `path`; its last component must not be a link.
    pub(crate) fn open(path: &Path) -> Result<Dir, Barred> {
        match kind(&fs::symlink_metadata(path)?) {
            Kind::Folder => {}
            Kind::Link => return Err(Barred::Link),
            Kind::File | Kind::Other => return Err(Barred::NotAFolder),
        }
        // The current folder may change.
        Ok(Dir { path: std::path::absolute(path)?, lock: Mutex::new(None) })
    }

    pub(crate) fn sub(&self, name: &OsStr, _path: &Path) -> Result<Dir, Barred> {
        if name == "." { Dir::open(&self.path) } else { Dir::open(&self.path.join(name)) }
    }

    pub(crate) fn make(&self, name: &str) -> io::Result<()> {
        fs::create_dir(self.path.join(name))
    }

    /// Makes the folder at `path`.
    pub(crate) fn make_at(path: &Path) -> io::Result<()> {
        fs::create_dir(path)
    }

    /// Makes the folder at `path` and those above it.
    pub(crate) fn make_all(path: &Path) -> io::Result<()> {
        fs::create_dir_all(path)
    }

    /// Opens a plain file.
    pub(crate) fn file(&self, name: &str, purpose: For) -> Result<File, Barred> {
        let path = self.path.join(name);
        match fs::symlink_metadata(&path).map(|found| kind(&found)) {
            Ok(Kind::File) => {}
            Ok(Kind::Folder) => return Err(Barred::AFolder),
            Ok(Kind::Link) => return Err(Barred::Link),
            Ok(Kind::Other) => return Err(Barred::NotPlain),
            Err(e) if e.kind() == ErrorKind::NotFound => {}
            Err(e) => return Err(e.into()),
        }
        let mut options = File::options();
        options.read(true);
        match purpose {
            For::Reading => &mut options,
            For::AppendingOrNew => options.append(true).create(true),
            For::New => options.append(true).create_new(true),
            For::Overwriting => options.write(true),
        };
        Ok(options.open(path)?)
    }

    pub(crate) fn rename(&self, name: &OsStr, to: &Dir, new_name: &str) -> io::Result<()> {
        let from = self.path.join(name);
        fs::rename(&from, to.path.join(new_name))?;
        // Nobody looks for its lock under this name any more.
        let _ = fs::remove_file(lock_of(&from));
        Ok(())
    }

    /// Removes a file or a link.
    pub(crate) fn unlink(&self, name: &OsStr) -> io::Result<()> {
        let path = self.path.join(name);
        fs::remove_file(&path).or_else(|error| {
            // A file that may only be read, or a link to a folder.
            let found = fs::symlink_metadata(&path)?;
            if found.is_symlink() {
                return fs::remove_dir(&path);
            }
            if !found.permissions().readonly() {
                return Err(error);
            }
            let mut permissions = found.permissions();
            #[expect(clippy::permissions_set_readonly_false, reason = "it is removed in the next step")]
            permissions.set_readonly(false);
            fs::set_permissions(&path, permissions)?;
            fs::remove_file(&path)
        })
    }

    /// Removes an empty folder.
    pub(crate) fn remove_folder(&self, name: &OsStr) -> io::Result<()> {
        fs::remove_dir(self.path.join(name))
    }

    /// Makes a name that says `target`: a small file, since links need a privilege. Under another name first, so that
    /// nobody finds an empty one.
    pub(crate) fn point(&self, name: &str, target: &str) -> io::Result<()> {
        let path = self.path.join(name);
        if fs::symlink_metadata(&path).is_ok() {
            return Err(ErrorKind::AlreadyExists.into());
        }
        let half = self.path.join(format!(".new-{name}-{}", std::process::id()));
        fs::write(&half, target).and_then(|()| fs::rename(&half, &path)).inspect_err(|_| {
            let _ = fs::remove_file(&half);
        })
    }

    /// What such a name says.
    pub(crate) fn target(&self, name: &str) -> io::Result<String> {
        use std::io::Read;
        let mut text = String::new();
        let file = self.file(name, For::Reading).map_err(|barred| match barred {
            Barred::Io(e) => e,
            _ => ErrorKind::InvalidData.into(),
        })?;
        file.take(256).read_to_string(&mut text)?;
        Ok(text)
    }

    pub(crate) fn look(&self, name: &OsStr) -> io::Result<Look> {
        let found = fs::symlink_metadata(self.path.join(name))?;
        let changed = found.modified()?.duration_since(std::time::UNIX_EPOCH).map_or(0, |since| since.as_secs());
        Ok(Look { kind: kind(&found), weight: found.len(), changed: changed.cast_signed() })
    }

    /// The entries, but no more than so many.
    pub(crate) fn list(&self, at_most: usize) -> io::Result<Vec<(OsString, Kind)>> {
        let mut found = Vec::new();
        for entry in fs::read_dir(&self.path)?.take(at_most) {
            let entry = entry?;
            match entry.metadata() {
                Ok(metadata) => found.push((entry.file_name(), kind(&metadata))),
                Err(e) if e.kind() == ErrorKind::NotFound => {}
                Err(e) => return Err(e),
            }
        }
        Ok(found)
    }

    /// Folders cannot be synced on Windows; its file systems keep a journal of names.
    pub(crate) fn sync(&self) -> io::Result<()> {
        Ok(())
    }

    /// Who owns a folder on Windows can remove what is in it.
    pub(crate) fn open_up(&self, _name: &OsStr) -> io::Result<()> {
        Ok(())
    }

    /// What lies in a profile is its user's; who is to read a public key is given the file.
    pub(crate) fn publish(&self, _name: &str) -> io::Result<()> {
        Ok(())
    }

    /// Whom the folder above lets in is let in here.
    pub(crate) fn close_to_others(&self) -> io::Result<()> {
        Ok(())
    }

    pub(crate) fn keeps_modes(&self) -> bool {
        true
    }

    pub(crate) fn owner(&self) -> io::Result<Option<Owner>> {
        Ok(None)
    }

    /// Takes the folder's lock if nobody has it; it goes with this value. It lies beside the folder: one with an open
    /// file in it cannot be renamed.
    pub(crate) fn try_lock(&self) -> io::Result<bool> {
        let Ok(mut held) = self.lock.lock() else { return Ok(false) };
        let file = File::options().append(true).create(true).open(lock_of(&self.path))?;
        let locked = super::try_lock(&file)?;
        if locked {
            *held = Some(file);
        }
        Ok(locked)
    }

    /// What it is called now, without links.
    pub(crate) fn name_now(&self) -> io::Result<PathBuf> {
        self.path.canonicalize()
    }
}

/// Who owns what is held: access lists say that here, and a profile's lets in its user and administrators.
pub(crate) fn owner_of(_file: &File) -> io::Result<Option<Owner>> {
    Ok(None)
}

/// The same of whatever lies at a path.
pub(crate) fn owner_at(_path: &Path) -> Option<Owner> {
    None
}

fn lock_of(folder: &Path) -> PathBuf {
    let name = folder.file_name().unwrap_or_default().to_string_lossy();
    folder.with_file_name(format!(".{name}.lock"))
}

fn kind(found: &Metadata) -> Kind {
    match found.file_type() {
        found if found.is_symlink() => Kind::Link,
        found if found.is_file() => Kind::File,
        found if found.is_dir() => Kind::Folder,
        _ => Kind::Other,
    }
}
