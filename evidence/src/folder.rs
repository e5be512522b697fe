//! Folders below `.aido`, held open where that can be had. A project may come from strangers, so no link is
//! followed here and no file is opened that is not a plain one; only `latest` and marks are links where there are some.

use crate::error::{Error, Result};
use crate::fault;
use crate::id::random_hex;
use crate::platform::{Barred, Dir};
pub(crate) use crate::platform::{For, Kind};
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// How the names of files begin that are not complete.
const HALF_WRITTEN: &str = ".new-";

/// What the smallest pages of memory hold.
const ONE_PAGE: usize = 4096;

#[derive(Clone, Debug)]
pub(crate) struct Folder {
    dir: Arc<Dir>,
    path: PathBuf,
}

/// A file that is written and has no name yet; without one it goes with this value.
#[derive(Debug)]
pub(crate) struct Unnamed {
    folder: Folder,
    file: File,
    path: PathBuf,
    /// Empty when it was renamed.
    temp: String,
}

impl Unnamed {
    /// Gives it its name, in the place of what was called so.
    pub(crate) fn name(mut self, name: &str) -> Result<()> {
        fault::step("rename", &self.path)
            .and_then(|()| self.folder.dir.rename(OsStr::new(&self.temp), &self.folder.dir, name))
            .map_err(|e| Error::io("write", &self.path, e))?;
        self.temp.clear();
        Ok(())
    }
}

impl Drop for Unnamed {
    fn drop(&mut self) {
        if !self.temp.is_empty() {
            let _ = self.folder.dir.unlink(OsStr::new(&self.temp));
        }
    }
}

impl Folder {
    /// Opens the folder at `path`; its last component must not be a link.
    pub(crate) fn open(path: &Path) -> Result<Folder> {
        let dir = Dir::open(path).map_err(|barred| refused(path, barred))?;
        Ok(Folder { dir: Arc::new(dir), path: path.to_path_buf() })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn dir(&self) -> &Dir {
        &self.dir
    }

    pub(crate) fn sub(&self, name: &str) -> Result<Folder> {
        let path = self.path.join(name);
        let dir = self.dir.sub(OsStr::new(name), &path).map_err(|barred| refused(&path, barred))?;
        Ok(Folder { dir: Arc::new(dir), path })
    }

    /// Opens a folder and makes it first if it is not there.
    pub(crate) fn sub_or_new(&self, name: &str) -> Result<Folder> {
        match self.make(name) {
            Err(Error::Io { source, .. }) if source.kind() == std::io::ErrorKind::AlreadyExists => self.sub(name),
            made => made,
        }
    }

    pub(crate) fn make(&self, name: &str) -> Result<Folder> {
        let path = self.path.join(name);
        fault::step("make", &path).and_then(|()| self.dir.make(name)).map_err(|e| Error::io("make", &path, e))?;
        self.sub(name)
    }

    pub(crate) fn file(&self, name: &str, purpose: For) -> Result<File> {
        let path = self.path.join(name);
        if !matches!(purpose, For::Reading) {
            fault::step("create", &path).map_err(|e| refused(&path, e.into()))?;
        }
        self.dir.file(name, purpose).map_err(|barred| refused(&path, barred))
    }

    /// The whole of a small file.
    pub(crate) fn read(&self, name: &str, at_most: u64) -> Result<Vec<u8>> {
        let path = self.path.join(name);
        // Most are read by one call then.
        let mut bytes = Vec::with_capacity(ONE_PAGE);
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

    /// Writes a file anew that nobody reads before something else has its name; what a killed writer left of it goes.
    pub(crate) fn fresh(&self, name: &str, bytes: &[u8]) -> Result<File> {
        let path = self.path.join(name);
        let made = self.file(name, For::New).or_else(|_| self.unlink(name).and_then(|()| self.file(name, For::New)));
        let mut file = made?;
        match fault::write_all(&mut file, bytes, &path) {
            Ok(()) => Ok(file),
            Err(e) => {
                let _ = self.unlink(name);
                Err(Error::io("write", &path, e))
            }
        }
    }

    /// Writes a file under another name, for [`Unnamed::name`].
    pub(crate) fn unnamed(&self, name: &str, bytes: &[u8]) -> Result<Unnamed> {
        let path = self.path.join(name);
        let temp = format!("{HALF_WRITTEN}{}", random_hex()?);
        let file = self.file(&temp, For::New)?;
        let mut unnamed = Unnamed { folder: self.clone(), file, path, temp };
        fault::write_all(&mut unnamed.file, bytes, &unnamed.path).map_err(|e| Error::io("write", &unnamed.path, e))?;
        Ok(unnamed)
    }

    fn renamed(&self, name: &str, bytes: &[u8], durable: bool) -> Result<()> {
        let unnamed = self.unnamed(name, bytes)?;
        if durable {
            let synced = fault::step("sync", &unnamed.path).and_then(|()| unnamed.file.sync_all());
            synced.map_err(|e| Error::io("write", &unnamed.path, e))?;
        }
        unnamed.name(name)
    }

    /// Writes over what a small file holds, in place: no file is made and none goes, which costs more than all else
    /// of it. `bytes` end in a newline; spaces before it fill what the old text was longer. One write within one page
    /// is not interrupted by any end of this process; a reader that holds no lock may meet it half done. Other files
    /// are replaced.
    pub(crate) fn overwrite(&self, name: &str, bytes: &[u8]) -> Result<()> {
        let path = self.path.join(name);
        let failed = |e| Error::io("write", &path, e);
        let Some(mut file) = present(self.file(name, For::Overwriting))? else {
            return self.replace(name, bytes, false);
        };
        let old = file.metadata().map_err(failed)?.len();
        let whole = bytes.len().max(usize::try_from(old).unwrap_or(usize::MAX));
        if whole > ONE_PAGE {
            return self.replace(name, bytes, false);
        }
        let mut all = bytes.strip_suffix(b"\n").unwrap_or(bytes).to_vec();
        all.resize(whole.saturating_sub(1), b' ');
        all.push(b'\n');
        match fault::step("write", &path).and_then(|()| file.write(&all)).map_err(failed)? {
            written if written == all.len() => Ok(()),
            _ => self.replace(name, bytes, false),
        }
    }

    /// Puts the names of this folder's entries on the disk.
    pub(crate) fn sync(&self) -> Result<()> {
        fault::step("sync", &self.path).and_then(|()| self.dir.sync()).map_err(|e| Error::io("sync", &self.path, e))
    }

    /// Makes a link whose name nobody else uses, in one step: whoever is killed leaves nothing half made. One that is
    /// there already stays.
    pub(crate) fn link(&self, name: &str, target: &str) -> Result<()> {
        let linked = fault::step("link", &self.path.join(name));
        match linked.and_then(|()| self.dir.point(name, target)) {
            Err(e) if e.kind() == ErrorKind::AlreadyExists => Ok(()),
            Ok(()) => Ok(()),
            Err(e) => Err(Error::io("make the link", &self.path.join(name), e)),
        }
    }

    /// Points the link `name` at `target`; at no moment is it missing.
    pub(crate) fn replace_link(&self, name: &str, target: &str) -> Result<()> {
        let temp = format!("{HALF_WRITTEN}{}", random_hex()?);
        let linked = fault::step("link", &self.path.join(name))
            .and_then(|()| self.dir.point(&temp, target))
            .and_then(|()| fault::step("rename", &self.path.join(name)))
            .and_then(|()| self.dir.rename(OsStr::new(&temp), &self.dir, name));
        linked.map_err(|e| {
            let _ = self.dir.unlink(OsStr::new(&temp));
            Error::io("point the link", &self.path.join(name), e)
        })
    }

    pub(crate) fn rename(&self, name: &str, to: &Folder, new_name: &str) -> Result<()> {
        // NOREPLACE would be tidier, but some file systems lack it; new names are random.
        fault::step("rename", &self.path.join(name))
            .and_then(|()| self.dir.rename(OsStr::new(name), &to.dir, new_name))
            .map_err(|e| Error::io("rename", &self.path.join(name), e))
    }

    /// Removes one file or link; not an error if it is gone.
    pub(crate) fn unlink(&self, name: &str) -> Result<()> {
        let allowed = fault::step("remove", &self.path.join(name));
        match allowed.and_then(|()| self.dir.unlink(OsStr::new(name))) {
            Err(e) if e.kind() == ErrorKind::NotFound => Ok(()),
            Ok(()) => Ok(()),
            Err(e) => Err(Error::io("remove", &self.path.join(name), e)),
        }
    }

    /// Removes files that somebody was killed at who replaced one. Only for who alone writes in this folder now.
    pub(crate) fn remove_unfinished(&self) -> Result<()> {
        let names = self.names()?;
        names.iter().filter(|name| name.starts_with(HALF_WRITTEN)).try_for_each(|name| self.unlink(name))
    }

    pub(crate) fn has(&self, name: &str) -> Result<bool> {
        match self.dir.look(OsStr::new(name)) {
            Ok(_) => Ok(true),
            Err(e) if e.kind() == ErrorKind::NotFound => Ok(false),
            Err(e) => Err(Error::io("look at", &self.path.join(name), e)),
        }
    }

    /// All entries and what they are, in no order.
    pub(crate) fn entries(&self) -> Result<Vec<(OsString, Kind)>> {
        self.dir.list(usize::MAX).map_err(|e| Error::io("list", &self.path, e))
    }

    /// The names of the entries that are text, in no order; ours all are.
    pub(crate) fn names(&self) -> Result<Vec<String>> {
        Ok(self.entries()?.into_iter().filter_map(|(name, _)| name.into_string().ok()).collect())
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

/// A link or another kind of thing in the way is named as such.
fn refused(path: &Path, barred: Barred) -> Error {
    let why = match barred {
        Barred::Link => "is a symbolic link",
        Barred::NotAFolder => "is not a folder",
        Barred::AFolder => "is a folder",
        Barred::NotPlain => "is not a plain file",
        Barred::Io(e) => return Error::io("open", path, e),
    };
    Error::Foreign {
        path: path.to_path_buf(),
        why: why.into(),
        remedy: "aido does not write through it; remove it and try again".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_written_over_in_place_and_never_keeps_an_end_of_what_it_held() {
        let scratch = tempfile::tempdir().unwrap();
        let folder = Folder::open(scratch.path()).unwrap();
        let held = |name: &str| std::fs::read_to_string(scratch.path().join(name)).unwrap();
        folder.overwrite("a", b"{\"long\": \"one\"}\n").unwrap();
        let same = |name: &str| File::open(scratch.path().join(name)).unwrap();
        // Held open: were it replaced, this would go on to show the old text.
        let (mut before, mut text) = (same("a"), String::new());
        folder.overwrite("a", b"{}\n").unwrap();
        before.read_to_string(&mut text).unwrap();
        assert_eq!((text.trim_end(), held("a").len()), ("{}", b"{\"long\": \"one\"}\n".len()));
        assert!(held("a").ends_with('\n') && held("a").matches('\n').count() == 1);
        folder.overwrite("a", b"{\"longer\": \"than before\"}\n").unwrap();
        assert_eq!(held("a"), "{\"longer\": \"than before\"}\n");
        let large = format!("{}\n", "x".repeat(2 * ONE_PAGE));
        for text in [large.as_str(), "{}\n"] {
            folder.overwrite("a", text.as_bytes()).unwrap();
            assert_eq!(held("a"), text, "more than a page is replaced, and nothing is filled up to that");
        }
        let names = folder.names().unwrap();
        assert_eq!(names, ["a"], "nothing half written stays");
    }

    #[cfg(unix)]
    #[test]
    fn nothing_is_written_over_through_a_link() {
        let (scratch, other) = (tempfile::tempdir().unwrap(), tempfile::NamedTempFile::new().unwrap());
        std::os::unix::fs::symlink(other.path(), scratch.path().join("a")).unwrap();
        assert!(Folder::open(scratch.path()).unwrap().overwrite("a", b"{}\n").is_err());
        assert_eq!(std::fs::read(other.path()).unwrap(), b"");
    }

    #[test]
    fn a_file_without_a_name_goes_with_its_value() {
        let scratch = tempfile::tempdir().unwrap();
        let folder = Folder::open(scratch.path()).unwrap();
        drop(folder.unnamed("a", b"x").unwrap());
        assert!(folder.names().unwrap().is_empty());
        folder.unnamed("a", b"x").unwrap().name("a").unwrap();
        assert_eq!(folder.names().unwrap(), ["a"]);
    }
}
