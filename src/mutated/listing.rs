//! All entries of a project as the kernel knows them. Nothing is read but folders, and no link is followed.

use crate::collected::is_active_folder;
use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, Stat, fchmod, fstat, openat, readlinkat, statat};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashSet};
use std::ffi::CStr;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

/// Entries that are listed and the bytes of their paths, and how deep folders may lie in each other.
const MOST: usize = 400_000;
const MOST_BYTES: usize = 64 << 20;
const DEEPEST: usize = 200;
/// Names that are looked at: past the bounds above only those that matter are kept.
const MOST_LOOKED: usize = 4_000_000;

/// What is known of one entry. A task sets times of modification as it likes, and those of the inode not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Seen {
    pub(crate) mode: u32,
    pub(crate) size: u64,
    pub(crate) mtime: (i64, i64),
    pub(crate) ctime: (i64, i64),
    pub(crate) inode: u64,
    /// Where a link leads.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) link: Option<String>,
}

/// By path, bytes as characters up to U+00FF, so that every name has a text of its own.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Listing {
    pub(crate) entries: BTreeMap<String, Seen>,
    /// What could not be looked into, and why.
    pub(crate) gaps: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum What {
    Added,
    Modified,
    Deleted,
}

impl Seen {
    fn of(stat: &Stat, link: Option<String>) -> Seen {
        Seen {
            mode: stat.st_mode,
            size: u64::try_from(stat.st_size).unwrap_or_default(),
            mtime: (stat.st_mtime, stat.st_mtime_nsec.cast_signed()),
            ctime: (stat.st_ctime, stat.st_ctime_nsec.cast_signed()),
            inode: stat.st_ino,
            link,
        }
    }

    pub(crate) fn kind(&self) -> FileType {
        FileType::from_raw_mode(self.mode)
    }

    /// Of a folder its own mode counts, what lies in it is told by itself.
    fn differs(&self, other: &Seen) -> bool {
        match (self.kind(), other.kind()) {
            (FileType::Directory, FileType::Directory) => self.mode != other.mode,
            _ => self != other,
        }
    }
}

impl Listing {
    /// Of `project` without what is hidden from the task, which it cannot change.
    pub(crate) fn of(project: &Path, hidden: &[String]) -> std::io::Result<Listing> {
        Listing::beside(project, hidden, None, MOST)
    }

    /// The same later on: what was known stays known, however much there is by now.
    pub(crate) fn again(&self, project: &Path, hidden: &[String]) -> std::io::Result<Listing> {
        Listing::beside(project, hidden, Some(self), MOST)
    }

    fn beside(project: &Path, hidden: &[String], known: Option<&Listing>, most: usize) -> std::io::Result<Listing> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let root = rustix::fs::open(project, flags, Mode::empty())?;
        let device = fstat(&root)?.st_dev;
        let hidden = hidden.iter().map(|path| as_text(path.as_bytes())).collect();
        let mut walker = Walker { found: Listing::default(), device, hidden, known, most, looked: 0, held: 0 };
        walker.folder(&root, "", 0)?;
        Ok(walker.found)
    }

    /// What became of it, in order of paths.
    pub(crate) fn compare<'a>(&'a self, after: &'a Listing) -> Vec<(&'a str, What)> {
        let gone = self.entries.keys().filter(|path| !after.entries.contains_key(*path));
        let mut all: Vec<(&str, What)> = gone.map(|path| (path.as_str(), What::Deleted)).collect();
        for (path, seen) in &after.entries {
            match self.entries.get(path) {
                None => all.push((path, What::Added)),
                Some(before) if before.differs(seen) => all.push((path, What::Modified)),
                Some(_) => {}
            }
        }
        all.sort();
        all
    }
}

struct Walker<'a> {
    found: Listing,
    device: u64,
    hidden: HashSet<String>,
    /// What was there before: that it is there still is always told.
    known: Option<&'a Listing>,
    /// Entries that are kept whatever they are.
    most: usize,
    looked: usize,
    /// Bytes of paths that are kept.
    held: usize,
}

impl Walker<'_> {
    fn folder(&mut self, fd: &OwnedFd, path: &str, depth: usize) -> std::io::Result<()> {
        for entry in Dir::read_from(fd)? {
            let entry = entry?;
            let name = entry.file_name();
            if matches!(name.to_bytes(), b"." | b"..") {
                continue;
            }
            self.looked += 1;
            if self.looked > MOST_LOOKED || self.held > 2 * MOST_BYTES {
                self.gap(path, "the list is full");
                return Ok(());
            }
            self.entry(fd, name, &inside(path, name), depth);
        }
        Ok(())
    }

    fn entry(&mut self, fd: &OwnedFd, name: &CStr, path: &str, depth: usize) {
        if self.hidden.contains(path) {
            return;
        }
        let stat = match statat(fd, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => stat,
            // It went away between two looks.
            Err(Errno::NOENT) => return,
            Err(e) => return self.gap(path, e),
        };
        let kind = FileType::from_raw_mode(stat.st_mode);
        let link = || readlinkat(fd, name, Vec::new()).ok().map(|target| as_text(target.to_bytes()));
        let link = if kind == FileType::Symlink { link() } else { None };
        if self.has_room() || self.matters(path, &stat) {
            self.held += path.len();
            self.found.entries.insert(path.to_string(), Seen::of(&stat, link));
        }
        if kind != FileType::Directory {
            return;
        }
        if depth >= DEEPEST {
            return self.gap(path, "it lies too deep");
        }
        if stat.st_dev != self.device {
            return self.gap(path, "another file system");
        }
        match open_up(fd, name, &stat) {
            Ok((sub, closed)) => {
                if let Err(e) = self.folder(&sub, path, depth + 1) {
                    self.gap(path, e);
                }
                if closed {
                    let _ = fchmod(&sub, Mode::from_raw_mode(stat.st_mode & 0o7777));
                }
            }
            Err(Errno::NOENT) => {}
            Err(e) => self.gap(path, e),
        }
    }

    fn has_room(&mut self) -> bool {
        let room = self.found.entries.len() < self.most && self.held < MOST_BYTES;
        if !room {
            self.gap("", "there are too many entries to tell all that are new");
        }
        room
    }

    /// Whether something must be told however many entries there are: a person's tools act on it, it gives rights, or it
    /// was there before.
    fn matters(&self, path: &str, stat: &Stat) -> bool {
        let sets_id = FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile && stat.st_mode & 0o6000 != 0;
        let name = path.rsplit('/').next().unwrap_or(path);
        sets_id
            || matches!(name, "HEAD" | "config")
            || self.known.is_some_and(|known| known.entries.contains_key(path))
            || is_active_folder(&shown(path))
    }

    fn gap(&mut self, path: &str, why: impl std::fmt::Display) {
        const NAMED: usize = 16;
        if self.found.gaps.len() < NAMED {
            let path = if path.is_empty() { "the project" } else { path };
            let gap = format!("{path}: {why}");
            if !self.found.gaps.contains(&gap) {
                self.found.gaps.push(gap);
            }
        }
    }
}

/// Opens a folder, also one that a task has closed to its owner. Says whether it must be closed again.
fn open_up(fd: &OwnedFd, name: &CStr, seen: &Stat) -> Result<(OwnedFd, bool), Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    match openat(fd, name, flags, Mode::empty()) {
        Err(Errno::ACCESS) if seen.st_uid == rustix::process::geteuid().as_raw() => {
            let held =
                openat(fd, name, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::NOFOLLOW, Mode::empty())?;
            super::aside::lift(held.as_fd(), Mode::from_raw_mode(seen.st_mode & 0o7777) | Mode::RWXU)?;
            Ok((openat(fd, name, flags, Mode::empty())?, true))
        }
        other => Ok((other?, false)),
    }
}

fn inside(folder: &str, name: &CStr) -> String {
    let name = as_text(name.to_bytes());
    if folder.is_empty() { name } else { format!("{folder}/{name}") }
}

/// Each byte as the character of its number.
fn as_text(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| char::from(*byte)).collect()
}

/// The bytes of a text that was made so.
pub(crate) fn as_bytes(text: &str) -> Vec<u8> {
    text.chars().map(|c| u8::try_from(u32::from(c)).unwrap_or(b'?')).collect()
}

/// As a person reads it.
pub(crate) fn shown(text: &str) -> String {
    String::from_utf8_lossy(&as_bytes(text)).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::ffi::OsStrExt;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn however_many_entries_there_are_what_matters_is_told() {
        let scratch = tempfile::tempdir().unwrap();
        let project = scratch.path();
        for name in ["src/a", "z"] {
            fs::create_dir_all(project.join(name).parent().unwrap()).unwrap();
            fs::write(project.join(name), "1").unwrap();
        }
        let before = Listing::of(project, &[]).unwrap();
        fs::create_dir_all(project.join("m/.vscode")).unwrap();
        for n in 0..50 {
            fs::write(project.join(format!("m/{n}")), "").unwrap();
        }
        for active in [".envrc", "m/.envrc", "m/.vscode/tasks.json"] {
            fs::write(project.join(active), "x").unwrap();
        }
        let after = Listing::beside(project, &[], Some(&before), 4).unwrap();
        assert!(after.entries.len() < 20 && after.gaps.len() == 1, "{:?}", after.gaps);
        let changes = before.compare(&after);
        for active in [".envrc", "m/.envrc", "m/.vscode", "m/.vscode/tasks.json"] {
            assert!(changes.contains(&(active, What::Added)), "{active}: {changes:?}");
        }
        assert!(changes.iter().all(|(_, what)| *what != What::Deleted), "{changes:?}");
    }

    #[test]
    fn every_change_is_seen_also_where_times_are_set_back_and_folders_are_closed() {
        let scratch = tempfile::tempdir().unwrap();
        let project = scratch.path();
        let odd = std::ffi::OsStr::from_bytes(b"odd-\xff");
        for name in ["same", "touched", "gone", "deep/a", "hidden/x"] {
            fs::create_dir_all(project.join(name).parent().unwrap()).unwrap();
            fs::write(project.join(name), "1234").unwrap();
        }
        let hidden = ["hidden".to_string()];
        let before = Listing::of(project, &hidden).unwrap();
        let time = fs::metadata(project.join("touched")).unwrap().modified().unwrap();
        std::thread::sleep(std::time::Duration::from_millis(20));
        fs::write(project.join("touched"), "5678").unwrap();
        fs::File::options().write(true).open(project.join("touched")).unwrap().set_modified(time).unwrap();
        fs::remove_file(project.join("gone")).unwrap();
        fs::write(project.join(odd), "").unwrap();
        fs::write(project.join("hidden/y"), "").unwrap();
        fs::write(project.join("deep/b"), "").unwrap();
        fs::set_permissions(project.join("deep"), fs::Permissions::from_mode(0o000)).unwrap();
        let after = Listing::of(project, &hidden).unwrap();
        let changes = before.compare(&after);
        let changes: Vec<(Vec<u8>, What)> = changes.into_iter().map(|(path, what)| (as_bytes(path), what)).collect();
        let expected: [(&[u8], What); 5] = [
            (b"deep", What::Modified),
            (b"deep/b", What::Added),
            (b"gone", What::Deleted),
            (b"odd-\xff", What::Added),
            (b"touched", What::Modified),
        ];
        assert_eq!(changes, expected.map(|(path, what)| (path.to_vec(), what)));
        assert_eq!(fs::metadata(project.join("deep")).unwrap().permissions().mode() & 0o777, 0);
        fs::set_permissions(project.join("deep"), fs::Permissions::from_mode(0o700)).unwrap();
        assert!(after.gaps.is_empty(), "{:?}", after.gaps);
    }
}
