//! Bringing the outputs out: ordinary files and folders with plain names and modes, nothing else.
//!
//! A child process joins the sandbox's user namespace, so that files of any owner and mode can be
//! read, and copies through descriptors only. By now nothing of the run lives.

use crate::copy::{self, Copied};
use crate::spawn::Live;
use crate::sys;
use aido_runtime::{Artifact, Collected, Command, Io, Listener, Omission, Plan, names};
use aido_secrets::{Redactor, Secrets};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use rustix::fs::{Dir, FileType, Mode, OFlags, ResolveFlags};
use std::ffi::CStr;
use std::io::{Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

/// How deep folders are followed.
const DEEPEST: usize = 64;
/// How many entries are looked at; what is beyond is named as left out.
const MOST_ENTRIES: usize = 100_000;

/// Bytes of their paths together: each is stored in the record, and a task must not make that too large to be sealed.
const MOST_NAMES: usize = 8 << 20;

/// How often it is told how far the copying is.
const PAUSE: Duration = Duration::from_millis(250);

/// Copies the outputs of a sandbox into the folder of outputs, at most as many bytes as the plan's disk has, and without
/// the secrets that the run was given. What fails is named as left out: the run itself is over, and stays as it was.
pub(crate) fn collect(live: &Live, io: &Io, plan: &Plan, listener: &mut dyn Listener) -> Collected {
    // Seen from outside, without a process: most runs leave nothing. What cannot be seen is the child's to look at.
    if is_empty(&live.outputs) {
        return Collected::default();
    }
    let result = start(live, io, plan).and_then(|copying| copying.finish(listener));
    result.unwrap_or_else(Collected::lost)
}

/// Whether a folder is known to hold nothing.
fn is_empty(folder: &OwnedFd) -> bool {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let Ok(mut entries) = rustix::fs::openat(folder, ".", flags, Mode::empty()).and_then(Dir::new) else {
        return false;
    };
    entries.all(|entry| entry.is_ok_and(|entry| matches!(entry.file_name().to_bytes(), b"." | b"..")))
}

/// A child process that copies.
struct Copying {
    pid: nix::unistd::Pid,
    report: OwnedFd,
}

fn start(live: &Live, io: &Io, plan: &Plan) -> Result<Copying, String> {
    let into = &io.outputs;
    let target = rustix::fs::open(into, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
        .map_err(|e| format!("{}: {e}", into.display()))?;
    let (report, writer) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).map_err(|e| e.to_string())?;
    let parent = std::process::id();
    let pid = sys::fork().map_err(|e| std::io::Error::from(e).to_string())?;
    if pid == 0 {
        // It holds copies of the supervisor's descriptors, the record's lock among them.
        let mut kept: Vec<_> = [&live.outputs, &target, &writer].map(AsRawFd::as_raw_fd).into();
        kept.extend(live.user_namespace.as_ref().map(AsRawFd::as_raw_fd));
        let alone = sys::close_all_but(3, &mut kept).is_ok() && with_its_parent(parent);
        sys::leave(if alone { copy_all(live, &target, io, plan, writer, parent) } else { 1 })
    }
    Ok(Copying { pid: nix::unistd::Pid::from_raw(pid), report })
}

/// Dies with the parent; false if that is gone already.
pub(crate) fn with_its_parent(parent: u32) -> bool {
    let set = rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL));
    set.is_ok() && std::os::unix::process::parent_id() == parent
}

impl Copying {
    /// Hears the child out. Whoever wants the run to end does not wait for its outputs.
    fn finish(self, listener: &mut dyn Listener) -> Result<Collected, String> {
        let mut report = std::fs::File::from(self.report);
        let mut text = Vec::new();
        let mut piece = vec![0; 1 << 16];
        let mut interrupted = false;
        loop {
            let wake = listener.wake();
            let mut polled = vec![PollFd::new(report.as_fd(), PollFlags::POLLIN)];
            polled.extend(wake.map(|fd| PollFd::new(fd, PollFlags::POLLIN)));
            if poll(&mut polled, PollTimeout::NONE).is_err() {
                continue;
            }
            let (told, wished) = (!is_silent(polled.first()), !is_silent(polled.get(1)));
            while wished && let Some(command) = listener.command() {
                if matches!(command, Command::Interrupt(_)) {
                    interrupted = true;
                    let _ = nix::sys::signal::kill(self.pid, nix::sys::signal::Signal::SIGKILL);
                }
            }
            if told {
                match report.read(&mut piece) {
                    Ok(0) => break,
                    Ok(length) => {
                        text.extend_from_slice(&piece[..length]);
                        if let Some(bytes) = take_so_far(&mut text) {
                            listener.collected_so_far(bytes);
                        }
                    }
                    Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
                    Err(e) => return Err(e.to_string()),
                }
            }
        }
        let status = nix::sys::wait::waitpid(self.pid, None);
        if interrupted {
            return Err("interrupted".into());
        }
        match serde_json::from_slice::<Result<Report, String>>(&text) {
            Ok(report) => report.map(Collected::from),
            Err(e) => Err(format!("the copying process did not report: {e}; {status:?}")),
        }
    }
}

/// Takes the lines that say how far it is, which come before the report; the last of them.
fn take_so_far(text: &mut Vec<u8>) -> Option<u64> {
    let mut last = None;
    while text.first().is_some_and(u8::is_ascii_digit)
        && let Some(length) = text.iter().position(|byte| *byte == b'\n')
    {
        last = std::str::from_utf8(&text[..length]).ok().and_then(|line| line.parse().ok());
        text.drain(..=length);
    }
    last
}

/// Tells the parent how far it is, now and then.
struct SoFar<'a> {
    pipe: &'a OwnedFd,
    bytes: u64,
    said: Instant,
}

impl SoFar<'_> {
    fn add(&mut self, bytes: u64) {
        self.bytes += bytes;
        if self.said.elapsed() >= PAUSE {
            self.said = Instant::now();
            // Shorter than what a pipe takes in one piece. That nobody hears it is no reason to stop.
            let _ = rustix::io::write(self.pipe, format!("{}\n", self.bytes).as_bytes());
        }
    }
}

fn is_silent(polled: Option<&PollFd<'_>>) -> bool {
    polled.and_then(PollFd::revents).is_none_or(|events| events.is_empty())
}

/// [`Collected`] on its way between the two processes.
#[derive(Default, serde::Serialize, serde::Deserialize)]
struct Report {
    artifacts: Vec<Artifact>,
    omitted: Vec<Omission>,
}

impl From<Report> for Collected {
    fn from(report: Report) -> Self {
        let Report { mut artifacts, mut omitted } = report;
        artifacts.sort_by(|a, b| a.path.cmp(&b.path));
        omitted.sort_by(|a, b| a.path.cmp(&b.path));
        Collected { artifacts, omitted }
    }
}

/// The copying child's whole life.
fn copy_all(live: &Live, target: &OwnedFd, io: &Io, plan: &Plan, report: OwnedFd, parent: u32) -> i32 {
    let (variables, files) = (io.secrets.iter(), io.secret_files.iter());
    let values =
        variables.map(|(name, value)| (name, value.as_bytes())).chain(files.map(|(path, bytes)| (path, &**bytes)));
    let secrets = Secrets::new(values);
    let replace = !plan.exact_output && !secrets.is_empty();
    let left = plan.limits.disk.value;
    let so_far = SoFar { pipe: &report, bytes: 0, said: Instant::now() };
    let mut copier = Copier { report: Report::default(), secrets, replace, left, entries: 0, names: 0, so_far };
    let joined = live.user_namespace.as_ref().map_or(Ok(()), |namespace| sys::join_user_namespace(namespace.as_fd()));
    let result = match joined {
        // A change of namespace forgets the tie to the parent.
        Ok(()) if !with_its_parent(parent) => return 1,
        Ok(()) => copier.folder(live.outputs.as_fd(), target.as_fd(), "", 0).map_err(|e| e.to_string()),
        Err(errno) => Err(format!("user namespace: {}", std::io::Error::from(errno))),
    };
    let answer = result.map(|()| copier.report);
    let text = serde_json::to_vec(&answer).unwrap_or_default();
    i32::from(std::fs::File::from(report).write_all(&text).is_err())
}

struct Copier<'a> {
    report: Report,
    /// What must not get out, by name or content.
    secrets: Secrets,
    /// Whether it is taken out of contents.
    replace: bool,
    /// Bytes that may still be copied.
    left: u64,
    entries: usize,
    names: usize,
    so_far: SoFar<'a>,
}

impl Copier<'_> {
    fn omit(&mut self, path: &str, why: impl Into<String>) {
        self.report.omitted.push(Omission { path: path.to_string(), why: why.into() });
    }

    fn too_many(&self) -> Option<String> {
        if self.entries > MOST_ENTRIES {
            return Some(format!("{MOST_ENTRIES} entries"));
        }
        (self.names > MOST_NAMES).then(|| format!("{MOST_NAMES} bytes of paths"))
    }

    fn folder(
        &mut self,
        from: BorrowedFd<'_>,
        into: BorrowedFd<'_>,
        prefix: &str,
        depth: usize,
    ) -> rustix::io::Result<()> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let readable = rustix::fs::openat(from, c".", flags, Mode::empty())?;
        for entry in Dir::read_from(&readable)? {
            let entry = entry?;
            let name = entry.file_name();
            if matches!(name.to_bytes(), b"." | b"..") {
                continue;
            }
            self.entries += 1;
            let shown = names::shown(name.to_bytes());
            let clean = self.secrets.text(&shown);
            let secret = clean.is_some();
            let shown = clean.unwrap_or(shown);
            let path = if prefix.is_empty() { shown.clone() } else { format!("{prefix}/{shown}") };
            self.names += path.len();
            if let Some(most) = self.too_many() {
                self.omit(&path, format!("more than {most}; what follows in this folder is left out too"));
                return Ok(());
            }
            if secret {
                // The folder of outputs would have the secret in its listing.
                self.omit(&path, "its name holds a secret");
            } else if let Err(errno) = self.entry(from, into, name, &path, depth) {
                self.omit(&path, errno.to_string());
            }
        }
        Ok(())
    }

    fn entry(
        &mut self,
        from: BorrowedFd<'_>,
        into: BorrowedFd<'_>,
        name: &CStr,
        path: &str,
        depth: usize,
    ) -> rustix::io::Result<()> {
        if !names::is_plain(name.to_bytes()) {
            self.omit(path, "its name is not plain text");
            return Ok(());
        }
        let found = rustix::fs::statat(from, name, rustix::fs::AtFlags::SYMLINK_NOFOLLOW)?;
        match FileType::from_raw_mode(found.st_mode) {
            FileType::Directory if depth + 1 >= DEEPEST => self.omit(path, format!("deeper than {DEEPEST} folders")),
            FileType::Directory => {
                let how = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_XDEV;
                let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
                let inner = rustix::fs::openat2(from, name, flags, Mode::empty(), how)?;
                match rustix::fs::mkdirat(into, name, Mode::from_raw_mode(0o755)) {
                    Ok(()) | Err(rustix::io::Errno::EXIST) => {}
                    Err(errno) => return Err(errno),
                }
                let copy = rustix::fs::openat2(into, name, flags, Mode::empty(), how)?;
                self.folder(inner.as_fd(), copy.as_fd(), path, depth + 1)?;
            }
            FileType::RegularFile => self.file(from, into, name, path)?,
            FileType::Symlink => self.omit(path, "a symbolic link"),
            FileType::Fifo => self.omit(path, "a named pipe"),
            FileType::Socket => self.omit(path, "a socket"),
            _ => self.omit(path, "a device"),
        }
        Ok(())
    }

    fn file(&mut self, from: BorrowedFd<'_>, into: BorrowedFd<'_>, name: &CStr, path: &str) -> rustix::io::Result<()> {
        let how = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_XDEV;
        let source = rustix::fs::openat2(from, name, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty(), how)?;
        let size = rustix::fs::fstat(&source)?.st_size as u64;
        // By its apparent size: a sparse file must not explode on the way out.
        if size > self.left {
            self.omit(path, format!("{size} bytes are more than the {} left of the disk bound", self.left));
            return Ok(());
        }
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let copy = rustix::fs::openat(into, name, flags, Mode::from_raw_mode(0o644))?;
        let most = self.left;
        self.left -= size;
        let redactor = self.replace.then(|| Redactor::new(&self.secrets, false));
        let Some(Copied { size, digest, redacted }) =
            copy::copy(&source, &copy, size, most, redactor, &mut |bytes| self.so_far.add(bytes))?
        else {
            rustix::fs::unlinkat(into, name, rustix::fs::AtFlags::empty())?;
            self.omit(path, "with its secrets replaced it is larger than what is left of the disk bound");
            return Ok(());
        };
        // A marker may be longer than what it stands for.
        self.left = self.left.min(most - size);
        let path = path.to_string();
        self.report.artifacts.push(Artifact { path, size, digest, change: None, active: None, redacted });
        Ok(())
    }
}
