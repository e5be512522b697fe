//! Whether what a task asks of a path can be done: looked up in its own root while it waits, for the record alone.
//!
//! Nothing is opened but as a place (`O_PATH`): no device, pipe or file of the task's is touched, no magic link of
//! `/proc` is followed, and no path leads out of the root.

use super::near::{Folder, Near};
use super::process::Rights;
use aido_runtime::Cause;
use rustix::fs::{AtFlags, FileType, Mode, OFlags, ResolveFlags, Stat, StatVfsMountFlags};
use rustix::io::Errno;
use std::cell::RefCell;
use std::ffi::CString;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

const READ: u32 = 4;
const WRITE: u32 = 2;
const SEARCH: u32 = 1;
/// `OVERLAYFS_SUPER_MAGIC`: such a place is read-only as a file system, not by its mount alone.
const OVERLAY: rustix::fs::FsWord = 0x794C_7630;
/// What a sandbox has beside the plan's mounts.
const SYSTEM: [&str; 5] = ["/", "/proc", "/dev", "/dev/shm", "/dev/pts"];

/// Something that will be refused.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) errno: i32,
    pub(super) cause: Cause,
    pub(super) target: String,
    pub(super) place: Option<String>,
    pub(super) detail: Option<String>,
}

/// What becomes of an execution.
pub(super) enum Execution {
    /// There is such a program.
    Runs,
    Refused(Found),
    /// It fails for a reason that is not told: shells look in many places for a program.
    Fails,
}

/// A place where Landlock alone allows changes.
pub(crate) struct Writable {
    pub(crate) path: String,
    /// Things can be made there; else it is a file or device that can be written.
    pub(crate) folder: bool,
}

/// The root of a run, as the record needs to know it.
pub(crate) struct Places {
    pub(crate) root: OwnedFd,
    /// Targets of the plan's mounts.
    pub(crate) mounts: Vec<String>,
    /// Where there are no mounts of the run's own.
    pub(crate) alone: Option<Vec<Writable>>,
    /// Where the plan's places lie then.
    pub(crate) view: Option<String>,
    /// Ports at which the gateway takes connections to any address; none: there is no gateway.
    pub(crate) doors: Option<Vec<u16>>,
    pub(super) rights: Rights,
    /// Reading is on record, too.
    pub(crate) reads: bool,
    /// Folders that were looked up just now.
    pub(super) near: RefCell<Near>,
}

type Look<T> = Result<T, Errno>;

impl Places {
    /// Whether a path can be opened with these flags.
    pub(super) fn opening(&self, path: &[u8], flags: u64) -> Option<Found> {
        let has = |flag: i32| flags & flag as u64 == flag as u64;
        let changes = flags & libc::O_ACCMODE as u64 != 0 || has(libc::O_TRUNC);
        if has(libc::O_PATH) {
            return None;
        }
        if changes && let Some(found) = self.own_proc(path) {
            return Some(found);
        }
        if has(libc::O_CREAT)
            && let Some(becomes) = self.new_file(path)
        {
            return becomes;
        }
        let there = match self.look(path, !has(libc::O_NOFOLLOW)) {
            Ok(there) => there,
            Err(Errno::NOENT) if has(libc::O_CREAT) => return self.making(path),
            Err(errno) => return self.unseen(path, errno),
        };
        let seen = rustix::fs::fstat(&there).ok()?;
        match FileType::from_raw_mode(seen.st_mode) {
            // Of a file without a name, the folder is named.
            FileType::Directory if has(libc::O_TMPFILE) => {
                self.filling(there.as_fd(), self.is_read_only(there.as_fd(), true), None)
            }
            FileType::Directory if !changes => self.reading(there.as_fd(), &seen),
            FileType::RegularFile if has(libc::O_CREAT) && has(libc::O_EXCL) => None,
            FileType::RegularFile if changes => self.writing(there.as_fd(), &seen, has(libc::O_TRUNC)),
            FileType::RegularFile => self.reading(there.as_fd(), &seen),
            // Devices, pipes and sockets can be written wherever they lie.
            _ => None,
        }
    }

    /// What becomes of a file that is made where there is nothing yet; none: there is, or its folder cannot be seen.
    fn new_file(&self, path: &[u8]) -> Option<Option<Found>> {
        let (folder, name) = self.split(path)?;
        match entry(&folder, &name) {
            Err(Errno::NOENT) => Some(self.changing(&folder, &name)),
            _ => None,
        }
    }

    /// Names may lead elsewhere from now on, if this goes: a folder, a link, or what cannot be seen.
    fn forget_unless_file(&self, there: &Look<Stat>) {
        let kind = there.map(|seen| FileType::from_raw_mode(seen.st_mode));
        if !matches!(kind, Ok(FileType::RegularFile) | Err(Errno::NOENT)) {
            self.near.borrow_mut().forget();
        }
    }

    /// Whether something new can be made. What is there already is another error.
    pub(super) fn making(&self, path: &[u8]) -> Option<Found> {
        let (folder, name) = self.split(path)?;
        match entry(&folder, &name) {
            Ok(_) => None,
            Err(_) => self.changing(&folder, &name),
        }
    }

    /// Whether something can be taken out of its folder.
    pub(super) fn removing(&self, path: &[u8]) -> Option<Found> {
        let (folder, name) = self.leaving(path)?;
        let there = entry(&folder, &name);
        self.forget_unless_file(&there);
        // A read-only mount refuses before it looks.
        if there.is_err() && (self.alone.is_some() || !folder.read_only) {
            return None;
        }
        self.changing(&folder, &name)
    }

    pub(super) fn moving(&self, from: &[u8], to: &[u8]) -> Option<Found> {
        self.removing(from).or_else(|| {
            let (folder, name) = self.leaving(to)?;
            // What was there is replaced.
            self.forget_unless_file(&entry(&folder, &name));
            self.changing(&folder, &name)
        })
    }

    /// The folder and name of what is taken out of it or replaced: where they are not seen, it may be anything.
    fn leaving(&self, path: &[u8]) -> Option<(Arc<Folder>, CString)> {
        let found = self.split(path);
        if found.is_none() {
            self.near.borrow_mut().forget();
        }
        found
    }

    /// Whether content, mode, owner, times or attributes can be changed, as far as the place decides that.
    pub(super) fn altering(&self, path: &[u8]) -> Option<Found> {
        if let Some(found) = self.own_proc(path) {
            return Some(found);
        }
        let there = self.look(path, true);
        self.forget_unless_file(&there.as_ref().map_err(|errno| *errno).and_then(rustix::fs::fstat));
        let there = there.ok()?;
        self.is_read_only(there.as_fd(), false).then(|| self.read_only(there.as_fd(), None, libc::EROFS))
    }

    pub(super) fn executing(&self, path: &[u8]) -> Execution {
        let there = match self.look(path, true) {
            Ok(there) => there,
            Err(errno) => return self.unseen(path, errno).map_or(Execution::Fails, Execution::Refused),
        };
        match rustix::fs::fstat(&there) {
            Ok(seen) if FileType::from_raw_mode(seen.st_mode) == FileType::RegularFile => {
                match self.rights.may(&seen, SEARCH) {
                    true => Execution::Runs,
                    false => Execution::Refused(self.denied(there.as_fd(), None, &seen)),
                }
            }
            _ => Execution::Fails,
        }
    }

    /// Whether a socket can be spoken to.
    pub(super) fn connecting(&self, path: &[u8]) -> Option<Found> {
        match self.look(path, true) {
            Ok(there) => {
                let seen = rustix::fs::fstat(&there).ok()?;
                let closed =
                    FileType::from_raw_mode(seen.st_mode) == FileType::Socket && !self.rights.may(&seen, WRITE);
                closed.then(|| self.denied(there.as_fd(), None, &seen))
            }
            Err(Errno::NOENT) => Some(self.absent(path)),
            Err(_) => None,
        }
    }

    pub(super) fn absent(&self, path: &[u8]) -> Found {
        let target = self.shown(&String::from_utf8_lossy(path));
        Found { errno: libc::ENOENT, cause: Cause::Absent, target, place: None, detail: None }
    }

    /// Opens a place below the root as nothing but a place.
    fn look(&self, path: &[u8], follow: bool) -> Look<OwnedFd> {
        let last = if follow { OFlags::empty() } else { OFlags::NOFOLLOW };
        let how = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        let path = CString::new(path).map_err(|_| Errno::NOENT)?;
        rustix::fs::openat2(&self.root, path, OFlags::PATH | OFlags::CLOEXEC | last, Mode::empty(), how)
    }

    /// The folder of something, and its name there.
    fn split(&self, path: &[u8]) -> Option<(Arc<Folder>, CString)> {
        let (folder, name) = parts(path)?;
        let look = || {
            let place = self.look(folder, true).ok()?;
            let read_only = self.is_read_only(place.as_fd(), true);
            Some((place, read_only))
        };
        Some((self.near.borrow_mut().folder(folder, look)?, CString::new(name).ok()?))
    }

    /// What could not be looked up.
    fn unseen(&self, path: &[u8], errno: Errno) -> Option<Found> {
        match errno {
            Errno::NOENT | Errno::NOTDIR if self.reads => Some(self.absent(path)),
            // With the task's own rights we come as far as it does.
            Errno::ACCESS if self.rights.uid == rustix::process::geteuid().as_raw() => {
                let target = self.shown(&String::from_utf8_lossy(path));
                Some(Found { errno: libc::EACCES, cause: Cause::Denied, target, place: None, detail: None })
            }
            _ => None,
        }
    }

    /// `/proc/self` is another one for each process. What lies in it is as read-only as the rest of `/proc`, unless it
    /// leads elsewhere.
    fn own_proc(&self, path: &[u8]) -> Option<Found> {
        let inside = [&b"/proc/self/"[..], b"/proc/thread-self/"].iter().find_map(|own| path.strip_prefix(*own))?;
        let leads = |part: &[u8]| matches!(part, b"fd" | b"cwd" | b"root" | b"exe" | b"map_files" | b"..");
        if self.alone.is_some() || inside.split(|byte| *byte == b'/').any(leads) {
            return None;
        }
        let target = String::from_utf8_lossy(path).into_owned();
        let place = Some("/proc".to_string());
        Some(Found { errno: libc::EROFS, cause: Cause::ReadOnly, target, place, detail: None })
    }

    /// Whether a name can come and go in a folder that is known.
    fn changing(&self, folder: &Folder, name: &CString) -> Option<Found> {
        self.filling(folder.place.as_fd(), folder.read_only, Some(name))
    }

    /// The same for any folder.
    fn filling(&self, folder: BorrowedFd<'_>, read_only: bool, name: Option<&CString>) -> Option<Found> {
        if read_only {
            return Some(self.read_only(folder, name, libc::EROFS));
        }
        let seen = rustix::fs::fstat(folder).ok()?;
        (!self.rights.may(&seen, WRITE | SEARCH)).then(|| self.denied(folder, name, &seen))
    }

    fn writing(&self, file: BorrowedFd<'_>, seen: &Stat, empties: bool) -> Option<Found> {
        let may = self.rights.may(seen, WRITE);
        if self.is_read_only(file, false) {
            // The mode is asked first, but by a file system that is read-only as a whole, or where the file is emptied.
            let first = rustix::fs::fstatfs(file).is_ok_and(|system| system.f_type == OVERLAY);
            let errno = if may || empties || first { libc::EROFS } else { libc::EACCES };
            return Some(self.read_only(file, None, errno));
        }
        (!may).then(|| self.denied(file, None, seen))
    }

    fn reading(&self, there: BorrowedFd<'_>, seen: &Stat) -> Option<Found> {
        (self.reads && !self.rights.may(seen, READ)).then(|| self.denied(there, None, seen))
    }

    fn is_read_only(&self, there: BorrowedFd<'_>, folder: bool) -> bool {
        let Some(writable) = &self.alone else {
            let system = rustix::fs::fstatvfs(there);
            return system.is_ok_and(|system| system.f_flag.contains(StatVfsMountFlags::RDONLY));
        };
        let Some(path) = canonical(there) else { return false };
        !writable.iter().any(|place| (place.folder || !folder) && within(&path, &place.path))
    }

    fn read_only(&self, there: BorrowedFd<'_>, name: Option<&CString>, errno: i32) -> Found {
        let errno = if self.alone.is_some() { libc::EACCES } else { errno };
        self.found(there, name, errno, Cause::ReadOnly, None)
    }

    fn denied(&self, there: BorrowedFd<'_>, name: Option<&CString>, seen: &Stat) -> Found {
        let detail = format!("mode {:04o}, of user {}", seen.st_mode & 0o7777, seen.st_uid);
        self.found(there, name, libc::EACCES, Cause::Denied, Some(detail))
    }

    fn found(
        &self,
        there: BorrowedFd<'_>,
        name: Option<&CString>,
        errno: i32,
        cause: Cause,
        detail: Option<String>,
    ) -> Found {
        let mut target = canonical(there).unwrap_or_default();
        if let Some(name) = name {
            target = format!("{}/{}", target.trim_end_matches('/'), name.to_string_lossy());
        }
        let target = self.shown(&target);
        let place = self.place(&target);
        Found { errno, cause, target, place: Some(place), detail }
    }

    /// A path as the plan calls it.
    fn shown(&self, path: &str) -> String {
        let inside = self.view.as_ref().and_then(|view| path.strip_prefix(view.as_str()));
        inside.filter(|rest| rest.starts_with('/')).unwrap_or(path).to_string()
    }

    /// The mount that something lies in.
    fn place(&self, target: &str) -> String {
        let all = self.mounts.iter().map(String::as_str).chain(SYSTEM);
        all.filter(|mount| within(target, mount)).max_by_key(|mount| mount.len()).unwrap_or("/").to_string()
    }
}

impl Rights {
    /// By owner and mode alone.
    fn may(&self, seen: &Stat, wanted: u32) -> bool {
        let shift = match seen {
            seen if seen.st_uid == self.uid => 6,
            seen if self.groups.contains(&seen.st_gid) => 3,
            _ => 0,
        };
        (seen.st_mode >> shift) & wanted == wanted
    }
}

/// What a folder has under a name.
fn entry(folder: &Folder, name: &CString) -> Look<Stat> {
    rustix::fs::statat(&folder.place, name, AtFlags::SYMLINK_NOFOLLOW)
}

/// The path of a folder, and what a path names in it.
fn parts(path: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = path.iter().rposition(|byte| *byte != b'/')? + 1;
    let name = path.get(..end)?.rsplit(|byte| *byte == b'/').next()?;
    if matches!(name, b"." | b"..") {
        return None;
    }
    Some((path.get(..end - name.len())?, name))
}

/// Where something lies, from the root of its mounts on.
fn canonical(there: BorrowedFd<'_>) -> Option<String> {
    let link = format!("/proc/self/fd/{}", there.as_raw_fd());
    Some(std::fs::read_link(link).ok()?.to_string_lossy().into_owned())
}

/// Whether `inner` is `outer` or lies below it.
fn within(inner: &str, outer: &str) -> bool {
    let rest = inner.strip_prefix(outer.trim_end_matches('/'));
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

#[cfg(test)]
#[path = "places_tests.rs"]
mod tests;
