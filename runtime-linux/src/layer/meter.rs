//! How much a task has written to its layer.
//!
//! A child process joins the sandbox's user namespace, so that folders of any owner and mode can be read, and looks:
//! at how full the file system is, which costs nothing, and when that or the time says so, at every file of the layer,
//! and at those that the task holds open without a name. It tells once, when the bound is passed or when it is asked for
//! a last look, and dies with the supervisor.

use super::nameless::Nameless;
use crate::layout::UPPER;
use crate::spawn::Live;
use crate::{stand, sys};
use aido_runtime::{Error, Layer, Plan};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::collections::HashSet;
use std::io::Write;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

/// How often the file system is asked for its room.
const GLANCE: Duration = Duration::from_millis(50);
/// How often every file is looked at while the room does not change by much.
const LOOK: Duration = Duration::from_secs(1);
/// A look at every file may take one part in so many of the time.
const SHARE: u32 = 20;
/// How long the last look may take, when nothing writes any more.
const LAST: Duration = Duration::from_secs(30);
/// Folders in folders; one that is deeper passes the bound.
const DEEPEST: usize = 1024;

/// The bound was passed: what was there then.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Over {
    pub(crate) bytes: u64,
    pub(crate) files: u64,
}

impl Over {
    /// Whether a bound of so many bytes allows this.
    fn within(self, most: u64) -> bool {
        self.bytes <= most && self.files <= stand::inodes(most)
    }
}

/// A process that measures.
pub(crate) struct Meter {
    pid: i32,
    report: OwnedFd,
    /// Its end asks for a last look.
    ask: Option<OwnedFd>,
    most: u64,
}

impl Meter {
    /// Starts measuring, where there is a layer. This process has one thread.
    pub(crate) fn start(plan: &Plan, layer: Option<&Layer>, live: &Live) -> Result<Option<Meter>, Error> {
        let Some(layer) = layer else { return Ok(None) };
        let failed = |e: std::io::Error| Error::new(format!("cannot measure what the task writes: {e}"));
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let content = rustix::fs::open(layer.folder.join(UPPER), flags, Mode::empty()).map_err(|e| failed(e.into()))?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let processes = rustix::fs::openat(&live.root, c"proc", flags, Mode::empty()).map_err(|e| failed(e.into()))?;
        let flags = rustix::pipe::PipeFlags::CLOEXEC;
        let (report, writer) = rustix::pipe::pipe_with(flags).map_err(|e| failed(e.into()))?;
        let (asked, ask) = rustix::pipe::pipe_with(flags).map_err(|e| failed(e.into()))?;
        let parent = std::process::id();
        let pid = sys::fork().map_err(|e| failed(e.into()))?;
        if pid == 0 {
            let mut kept: Vec<_> = [&content, &processes, &writer, &asked].map(AsRawFd::as_raw_fd).into();
            kept.extend(live.user_namespace.as_ref().map(AsRawFd::as_raw_fd));
            let alone = sys::close_all_but(3, &mut kept).is_ok();
            let joined = live.user_namespace.as_ref().map_or(Ok(()), |joins| sys::join_user_namespace(joins.as_fd()));
            // A change of namespace forgets the tie to the parent.
            let tied = rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL)).is_ok()
                && std::os::unix::process::parent_id() == parent;
            sys::leave(if alone && joined.is_ok() && tied {
                measure(plan, (&content, &processes), writer, &asked)
            } else {
                1
            })
        }
        Ok(Some(Meter { pid, report, ask: Some(ask), most: plan.limits.disk.value }))
    }

    /// Readable when the bound is passed, or when nothing measures any more.
    pub(crate) fn bell(&self) -> BorrowedFd<'_> {
        self.report.as_fd()
    }

    /// What it told. One that ended without a word measures no more, so that the bound is no bound: an error.
    pub(crate) fn hear(&self) -> Result<Over, Error> {
        let mut told = [0; 16];
        match rustix::io::read(&self.report, &mut told) {
            Ok(16) => {
                let number = |at: usize| u64::from_le_bytes(std::array::from_fn(|n| told[at + n]));
                Ok(Over { bytes: number(0), files: number(8) })
            }
            _ => Err(Error::new("the process that measures what the task writes has ended")),
        }
    }

    /// Asks, when nothing of the run lives any more, whether the bound was passed since the last look, or a single file
    /// was `stopped` at it.
    pub(crate) fn last(mut self, stopped: bool) -> Result<Option<Over>, Error> {
        self.ask = None;
        match wait_for(self.bell(), LAST) {
            true => self.hear().map(|found| Some(found).filter(|found| stopped || !found.within(self.most))),
            false => Err(Error::new(format!("what the task wrote was not measured after {LAST:?}"))),
        }
    }
}

impl Drop for Meter {
    fn drop(&mut self) {
        sys::signal(self.pid, libc::SIGKILL);
        let _ = nix::sys::wait::waitpid(nix::unistd::Pid::from_raw(self.pid), None);
    }
}

/// Whether something can be read there, or its writer has gone, within this time.
fn wait_for(fd: BorrowedFd<'_>, most: Duration) -> bool {
    let until = Instant::now() + most;
    loop {
        let left = PollTimeout::try_from(until.saturating_duration_since(Instant::now())).unwrap_or(PollTimeout::MAX);
        match poll(&mut [PollFd::new(fd, PollFlags::POLLIN)], left) {
            Err(nix::errno::Errno::EINTR) => {}
            Ok(ready) => return ready > 0,
            Err(_) => return false,
        }
    }
}

/// The measuring child's whole life.
fn measure(plan: &Plan, (content, processes): (&OwnedFd, &OwnedFd), report: OwnedFd, asked: &OwnedFd) -> i32 {
    raise_descriptors();
    let (most, files) = (plan.limits.disk.value, stand::inodes(plan.limits.disk.value));
    let mut last = Look::default();
    let mut ends = false;
    loop {
        let due = ends
            || last.ended.is_none_or(|ended| {
                let pause = if last.is_far(content, most, files) { GLANCE } else { LOOK };
                ended.elapsed() >= pause.max(last.took * SHARE)
            });
        if due {
            let begun = Instant::now();
            let mut sum = Sum::default();
            // What is too deep to be counted passes every bound.
            if sum.folder(content.as_fd(), 0).is_err() {
                sum.files = files + 1;
            }
            let open = Nameless::of(processes.as_fd());
            let found = Over { bytes: sum.bytes.saturating_add(open.bytes), files: sum.files + open.files };
            if ends || !found.within(most) {
                let told: Vec<u8> = [found.bytes, found.files].iter().flat_map(|number| number.to_le_bytes()).collect();
                return i32::from(std::fs::File::from(report).write_all(&told).is_err());
            }
            let ended = Instant::now();
            last = Look { found, room: room(content), took: ended - begun, ended: Some(ended) };
        }
        ends = wait_for(asked.as_fd(), GLANCE);
    }
}

/// The last look at every file.
#[derive(Default)]
struct Look {
    found: Over,
    /// Free bytes and free files then.
    room: (u64, u64),
    took: Duration,
    ended: Option<Instant>,
}

impl Look {
    /// Whether the file system has filled by so much since then that the bound may be near.
    fn is_far(&self, content: &OwnedFd, most: u64, files: u64) -> bool {
        let (bytes, inodes) = room(content);
        let (bytes, inodes) = (self.room.0.saturating_sub(bytes), self.room.1.saturating_sub(inodes));
        bytes > most.saturating_sub(self.found.bytes) / 4 || inodes > files.saturating_sub(self.found.files) / 4
    }
}

/// Free bytes and files where the layer lies.
fn room(content: &OwnedFd) -> (u64, u64) {
    rustix::fs::fstatvfs(content)
        .ok()
        .map_or((0, 0), |found| (found.f_bfree.saturating_mul(found.f_frsize), found.f_ffree))
}

#[derive(Default)]
struct Sum {
    bytes: u64,
    files: u64,
    /// Files with several names count once.
    linked: HashSet<u64>,
}

/// A folder lies deeper than is followed.
struct Deep;

impl Sum {
    /// What vanishes or changes under our eyes is seen the next time.
    fn folder(&mut self, at: BorrowedFd<'_>, depth: usize) -> Result<(), Deep> {
        if depth > DEEPEST {
            return Err(Deep);
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let readable = match rustix::fs::openat(at, c".", flags, Mode::empty()) {
            Ok(readable) => readable,
            Err(error) => return unseen(error),
        };
        let Ok(entries) = Dir::new(readable) else { return Err(Deep) };
        for entry in entries.flatten().filter(|entry| !matches!(entry.file_name().to_bytes(), b"." | b"..")) {
            let name = entry.file_name();
            let Ok(found) = rustix::fs::statat(at, name, AtFlags::SYMLINK_NOFOLLOW) else { continue };
            if found.st_nlink > 1
                && FileType::from_raw_mode(found.st_mode) != FileType::Directory
                && !self.linked.insert(found.st_ino)
            {
                continue;
            }
            self.files += 1;
            self.bytes = self.bytes.saturating_add((found.st_blocks as u64).saturating_mul(512));
            if FileType::from_raw_mode(found.st_mode) == FileType::Directory {
                let how = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_XDEV;
                let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
                match rustix::fs::openat2(at, name, flags, Mode::empty(), how) {
                    Ok(inner) => self.folder(inner.as_fd(), depth + 1)?,
                    Err(error) => unseen(error)?,
                }
            }
        }
        Ok(())
    }
}

/// What came between two looks is seen the next time; where descriptors or memory are out nothing would be.
fn unseen(error: Errno) -> Result<(), Deep> {
    match error {
        Errno::MFILE | Errno::NFILE | Errno::NOMEM => Err(Deep),
        _ => Ok(()),
    }
}

/// Each folder on the way down holds two descriptors.
fn raise_descriptors() {
    let limit = getrlimit(Resource::Nofile);
    // Without it what is deep counts as too deep, and ends the run.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sum(folder: &std::path::Path) -> Sum {
        let fd = rustix::fs::open(folder, OFlags::PATH | OFlags::DIRECTORY, Mode::empty()).unwrap();
        let mut sum = Sum::default();
        assert!(sum.folder(fd.as_fd(), 0).is_ok());
        sum
    }

    #[test]
    fn files_count_by_their_blocks_and_once_however_many_names_they_have() {
        let scratch = tempfile::tempdir().unwrap();
        let at = |name: &str| scratch.path().join(name);
        std::fs::create_dir(at("in")).unwrap();
        std::fs::write(at("in/a"), vec![1; 100_000]).unwrap();
        for name in ["b", "c"] {
            std::fs::hard_link(at("in/a"), at(name)).unwrap();
        }
        std::fs::File::create(at("sparse")).unwrap().set_len(1 << 40).unwrap();
        std::os::unix::fs::symlink("/", at("out")).unwrap();
        std::fs::File::open(at("in/a")).unwrap().sync_all().unwrap();
        let sum = sum(scratch.path());
        assert_eq!(sum.files, 4, "a folder, a file with three names, a sparse file, a link");
        assert!((100_000..200_000).contains(&sum.bytes), "{}", sum.bytes);
    }

    #[test]
    fn what_is_too_deep_is_told() {
        let scratch = tempfile::tempdir().unwrap();
        let mut at = rustix::fs::open(scratch.path(), OFlags::PATH | OFlags::DIRECTORY, Mode::empty()).unwrap();
        for _ in 0..DEEPEST + 2 {
            rustix::fs::mkdirat(&at, c"d", Mode::from_raw_mode(0o755)).unwrap();
            at = rustix::fs::openat(&at, c"d", OFlags::PATH | OFlags::DIRECTORY, Mode::empty()).unwrap();
        }
        let top = rustix::fs::open(scratch.path(), OFlags::PATH | OFlags::DIRECTORY, Mode::empty()).unwrap();
        assert!(Sum::default().folder(top.as_fd(), 0).is_err(), "with as few descriptors as there are");
        raise_descriptors();
        assert!(Sum::default().folder(top.as_fd(), 0).is_err());
    }
}
