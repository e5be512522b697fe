//! What a task left that a person's tools would act on by themselves is taken out of the project.
//!
//! The project may be changed by others meanwhile, by hostile tasks too: every path is resolved below the project's
//! descriptor and through no link, and what is moved is what was seen.

use super::listing::{Listing, Seen, What, as_bytes, shown};
use crate::collected::{why_active, why_active_folder};
use crate::mutation::Aside;
use rustix::fs::{AtFlags, FileType, Mode, OFlags, RenameFlags, fstat, openat, renameat_with, statat, symlinkat};
use rustix::io::Errno;
use std::collections::HashSet;
use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// The folder in the sandbox's own that takes them.
pub(crate) const FOLDER: &str = "set-aside";

const SET_ID: &str = "whoever executes it gets its owner's rights";
const FOLDERS: OFlags = OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);
const REPLACED: &str = "it was kept from the task, and was replaced from outside while that ran; it may be the task's";
const REPOSITORY: &str = "git takes the folder for a repository, and obeys it";

/// What of the changes is to be taken out, and why; of a whole folder only the folder.
fn found<'a>(
    before: &Listing,
    after: &'a Listing,
    changes: &[(&'a str, What)],
) -> Vec<(&'a str, &'a Seen, &'static str)> {
    let mut found: Vec<(&str, &Seen, &str)> = Vec::new();
    let mut taken: HashSet<&str> = HashSet::new();
    for (path, what) in changes.iter().filter(|(_, what)| *what != What::Deleted) {
        let Some(seen) = after.entries.get(*path) else { continue };
        if path.match_indices('/').any(|(at, _)| taken.contains(&path[..at])) {
            continue;
        }
        if let Some(why) = why(before, after, path, seen, *what) {
            taken.insert(path);
            found.push((path, seen, why));
        }
    }
    found
}

fn why(before: &Listing, after: &Listing, path: &str, seen: &Seen, what: What) -> Option<&'static str> {
    let text = shown(path);
    if seen.kind() == FileType::Directory {
        // One that was there is the person's; what is new in it is told by itself.
        return why_active_folder(&text).filter(|_| what == What::Added);
    }
    let had = before.entries.get(path).map_or(0, |before| before.mode);
    if seen.kind() == FileType::RegularFile && seen.mode & 0o6000 & !had != 0 {
        return Some(SET_ID);
    }
    let named = match seen.kind() {
        FileType::Symlink => why_active_folder(&text),
        _ => why_active(&text),
    };
    named.or_else(|| {
        let head = format!("{}HEAD", path.strip_suffix("config")?);
        let whole = path == "config" || path.ends_with("/config");
        (whole && after.entries.contains_key(&head)).then_some(REPOSITORY)
    })
}

/// Takes all of it out of the project, into a folder of the sandbox's. What held its place before and is known is put back.
pub(super) fn take(
    project: &Path,
    to: &Path,
    kept: &HashSet<String>,
    (before, after): (&Listing, &Listing),
    changes: &[(&str, What)],
) -> Vec<Aside> {
    let mut all = replaced(kept, before, after);
    for (path, seen, why) in found(before, after, changes) {
        // The task could not change it: a person did.
        if kept.contains(path) || path.match_indices('/').any(|(at, _)| kept.contains(&path[..at])) {
            continue;
        }
        let at = (all.len() + 1).to_string();
        let moved = out(project, path, seen, &to.join(&at));
        if let (Ok(()), Some(link)) = (&moved, before.entries.get(path).and_then(|seen| seen.link.as_ref())) {
            put_back(project, path, link);
        }
        let (at, error) = match moved {
            Ok(()) => (Some(at), None),
            Err(e) => (None, Some(e.to_string())),
        };
        all.push(Aside { path: shown(path), why: why.to_string(), at, error });
    }
    all
}

/// What was kept and is another file now. Outside of the sandbox a mount point can be renamed, as editors do when they
/// save, and then the mount that held it is gone.
fn replaced(kept: &HashSet<String>, before: &Listing, after: &Listing) -> Vec<Aside> {
    let is_other = |path: &&String| match (before.entries.get(*path), after.entries.get(*path)) {
        (Some(before), Some(after)) => before.inode != after.inode,
        _ => false,
    };
    let mut paths: Vec<&String> = kept.iter().filter(is_other).collect();
    paths.sort();
    let told = |path: &String| Aside { path: shown(path), why: REPLACED.to_string(), at: None, error: None };
    paths.into_iter().map(told).collect()
}

/// The folder that something lies in, and folders on the way that a task had closed to us; they are as before in the end.
struct Way {
    folder: OwnedFd,
    lifted: Vec<(OwnedFd, Mode)>,
}

impl Way {
    /// Goes step by step through no link and onto no other file system; what is left is the name.
    fn to(project: &Path, path: &[u8]) -> Result<(Way, OsString), Errno> {
        let folder = rustix::fs::open(project, FOLDERS, Mode::empty())?;
        let device = fstat(&folder)?.st_dev;
        let mut way = Way { folder, lifted: Vec::new() };
        let mut steps = path.split(|byte| *byte == b'/').map(OsStr::from_bytes);
        let name = steps.next_back().unwrap_or_default().to_os_string();
        for step in steps {
            let next = openat(&way.folder, step, FOLDERS, Mode::empty())?;
            let seen = fstat(&next)?;
            if seen.st_dev != device {
                return Err(Errno::XDEV);
            }
            way.open_up(&next, seen.st_mode)?;
            way.folder = next;
        }
        Ok((way, name))
    }

    fn open_up(&mut self, folder: &OwnedFd, mode: u32) -> Result<(), Errno> {
        let mode = Mode::from_raw_mode(mode & 0o7777);
        if !mode.contains(Mode::RWXU) {
            lift(folder.as_fd(), mode | Mode::RWXU)?;
            self.lifted.push((rustix::io::fcntl_dupfd_cloexec(folder, 3)?, mode));
        }
        Ok(())
    }
}

impl Drop for Way {
    fn drop(&mut self) {
        for (folder, mode) in self.lifted.iter().rev() {
            let _ = lift(folder.as_fd(), *mode);
        }
    }
}

fn out(project: &Path, path: &str, seen: &Seen, to: &Path) -> std::io::Result<()> {
    let (way, name) = Way::to(project, &as_bytes(path))?;
    let found = statat(&way.folder, &name, AtFlags::SYMLINK_NOFOLLOW)?;
    if found.st_ino != seen.inode {
        return Err(std::io::Error::other("it was replaced meanwhile"));
    }
    let mode = Mode::from_raw_mode(found.st_mode & 0o7777);
    if seen.kind() == FileType::Directory && !mode.contains(Mode::RWXU) {
        // A folder that goes elsewhere is written to: it has a new one above it.
        lift(openat(&way.folder, &name, FOLDERS, Mode::empty())?.as_fd(), mode | Mode::RWXU)?;
    }
    std::fs::create_dir_all(to)?;
    let to = rustix::fs::open(to, FOLDERS, Mode::empty())?;
    renameat_with(&way.folder, &name, &to, &name, RenameFlags::NOREPLACE)?;
    if seen.kind() == FileType::RegularFile && seen.mode & 0o6000 != 0 {
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        lift(openat(&to, &name, flags, Mode::empty())?.as_fd(), Mode::from_raw_mode(seen.mode & 0o777))?;
    }
    Ok(())
}

/// Sets the mode of what is held by a descriptor that opens nothing.
pub(super) fn lift(fd: BorrowedFd<'_>, mode: Mode) -> Result<(), Errno> {
    rustix::fs::chmod(format!("/proc/self/fd/{}", fd.as_raw_fd()), mode)
}

fn put_back(project: &Path, path: &str, link: &str) {
    if let Ok((way, name)) = Way::to(project, &as_bytes(path)) {
        let _ = symlinkat(OsStr::from_bytes(&as_bytes(link)), &way.folder, &name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};

    #[test]
    fn what_is_new_and_acted_on_is_taken_out_and_nothing_else() {
        let scratch = tempfile::tempdir().unwrap();
        let (project, sandbox) = (scratch.path().join("project"), scratch.path().join("sandbox"));
        fs::create_dir_all(project.join("sub")).unwrap();
        fs::create_dir(&sandbox).unwrap();
        symlink("orders", project.join("AGENTS.md")).unwrap();
        let before = Listing::of(&project, &[]).unwrap();
        fs::create_dir_all(project.join("sub/.git/hooks")).unwrap();
        fs::create_dir_all(project.join("bare/deep")).unwrap();
        for (file, mode) in [
            ("sub/.git/hooks/pre-commit", 0o755),
            ("sub/.envrc", 0o644),
            ("plain", 0o644),
            ("Makefile", 0o644),
            ("bare/HEAD", 0o644),
            ("bare/config", 0o644),
            ("bare/deep/tool", 0o4755),
        ] {
            fs::write(project.join(file), file).unwrap();
            fs::set_permissions(project.join(file), fs::Permissions::from_mode(mode)).unwrap();
        }
        fs::remove_file(project.join("AGENTS.md")).unwrap();
        fs::write(project.join("AGENTS.md"), "obey").unwrap();
        for closed in ["sub/.git", "sub", "bare/deep", "bare"] {
            fs::set_permissions(project.join(closed), fs::Permissions::from_mode(0o000)).unwrap();
        }
        let after = Listing::of(&project, &[]).unwrap();
        let changes = before.compare(&after);
        let taken = take(&project, &sandbox, &HashSet::new(), (&before, &after), &changes);
        assert!(taken.iter().all(|aside| aside.at.is_some()), "{taken:?}");
        let paths: Vec<&str> = taken.iter().map(|aside| aside.path.as_str()).collect();
        assert_eq!(paths, ["AGENTS.md", "bare/config", "bare/deep/tool", "sub/.envrc", "sub/.git"]);
        assert_eq!(fs::read_link(project.join("AGENTS.md")).unwrap(), Path::new("orders"));
        for closed in ["sub", "bare", "bare/deep"] {
            assert_eq!(fs::metadata(project.join(closed)).unwrap().permissions().mode() & 0o777, 0, "{closed}");
            fs::set_permissions(project.join(closed), fs::Permissions::from_mode(0o755)).unwrap();
        }
        assert!(project.join("plain").exists() && project.join("Makefile").exists());
        assert!(!project.join("sub/.git").exists() && !project.join("sub/.envrc").exists());
        let hook = sandbox.join(taken[4].at.as_ref().unwrap()).join(".git/hooks/pre-commit");
        assert_eq!(fs::read_to_string(hook).unwrap(), "sub/.git/hooks/pre-commit");
        let tool = sandbox.join(taken[2].at.as_ref().unwrap()).join("tool");
        assert_eq!(fs::metadata(tool).unwrap().permissions().mode() & 0o7777, 0o755);
    }
}
