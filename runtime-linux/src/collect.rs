//! Bringing the outputs out: ordinary files and folders with plain names and modes, nothing else.
//!
//! A child process joins the sandbox's user namespace, so that files of any owner and mode can be
//! read, and copies through descriptors only. By now nothing of the run lives.

use crate::sys;
use aido_runtime::{Artifact, Collected, Error, Omission};
use rustix::fs::{Dir, FileType, Mode, OFlags, ResolveFlags, SeekFrom};
use sha2::{Digest, Sha256};
use std::ffi::CStr;
use std::io::{Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

/// How deep folders are followed.
const DEEPEST: usize = 64;
/// How many entries are looked at; what is beyond is named as left out.
const MOST_ENTRIES: usize = 100_000;
/// How long the report of the copying child may be.
const LONGEST_REPORT: u64 = 256 << 20;

/// Copies everything below `outputs` into the folder `into`, at most `most_bytes` of it.
pub(crate) fn collect(
    outputs: &OwnedFd,
    user_namespace: &OwnedFd,
    into: &Path,
    most_bytes: u64,
) -> Result<Collected, Error> {
    let failed = |what: &str, e: String| Error::new(format!("cannot collect the outputs: {what}: {e}"));
    let target = rustix::fs::open(into, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
        .map_err(|e| failed(&into.display().to_string(), e.to_string()))?;
    let (reader, writer) =
        rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).map_err(|e| failed("pipe", e.to_string()))?;
    let pid = sys::fork().map_err(|e| failed("fork", std::io::Error::from(e).to_string()))?;
    if pid == 0 {
        drop(reader);
        sys::leave(copy_all(outputs, user_namespace, &target, most_bytes, writer))
    }
    drop(writer);
    let mut report = Vec::new();
    let read = std::fs::File::from(reader).take(LONGEST_REPORT).read_to_end(&mut report);
    let status = nix::sys::wait::waitpid(nix::unistd::Pid::from_raw(pid), None);
    read.map_err(|e| failed("the report", e.to_string()))?;
    match serde_json::from_slice::<Result<Report, String>>(&report) {
        Ok(Ok(report)) => Ok(report.into()),
        Ok(Err(why)) => Err(failed("copying", why)),
        Err(e) => Err(failed("the copying process did not report", format!("{e}; {status:?}"))),
    }
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
fn copy_all(outputs: &OwnedFd, namespace: &OwnedFd, target: &OwnedFd, most_bytes: u64, report: OwnedFd) -> i32 {
    let mut copier = Copier { report: Report::default(), left: most_bytes, entries: 0 };
    let result = match sys::join_user_namespace(namespace.as_fd()) {
        Ok(()) => copier.folder(outputs.as_fd(), target.as_fd(), "", 0).map_err(|e| e.to_string()),
        Err(errno) => Err(format!("user namespace: {}", std::io::Error::from(errno))),
    };
    let answer = result.map(|()| copier.report);
    let text = serde_json::to_vec(&answer).unwrap_or_default();
    i32::from(std::fs::File::from(report).write_all(&text).is_err())
}

struct Copier {
    report: Report,
    /// Bytes that may still be copied.
    left: u64,
    entries: usize,
}

impl Copier {
    fn omit(&mut self, path: &str, why: impl Into<String>) {
        self.report.omitted.push(Omission { path: path.to_string(), why: why.into() });
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
            let shown = shown(name);
            let path = if prefix.is_empty() { shown.clone() } else { format!("{prefix}/{shown}") };
            if self.entries > MOST_ENTRIES {
                self.omit(
                    &path,
                    format!("more than {MOST_ENTRIES} entries; what follows in this folder is left out too"),
                );
                return Ok(());
            }
            if let Err(errno) = self.entry(from, into, name, &path, depth) {
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
        if !is_plain(name) {
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
        self.left -= size;
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let copy = rustix::fs::openat(into, name, flags, Mode::from_raw_mode(0o644))?;
        let digest = copy_content(source, copy, size)?;
        self.report.artifacts.push(Artifact { path: path.to_string(), size, digest });
        Ok(())
    }
}

/// Copies `size` bytes, leaving holes where there are only zeros, and digests them.
fn copy_content(source: OwnedFd, copy: OwnedFd, size: u64) -> rustix::io::Result<String> {
    let mut hasher = Sha256::new();
    let mut buffer = vec![0u8; 1 << 16];
    let mut left = size;
    while left > 0 {
        let most = buffer.len().min(left as usize);
        let got = rustix::io::read(&source, &mut buffer[..most])?;
        if got == 0 {
            break;
        }
        let bytes = &buffer[..got];
        hasher.update(bytes);
        if bytes.iter().all(|byte| *byte == 0) {
            rustix::fs::seek(&copy, SeekFrom::Current(got as i64))?;
        } else {
            let mut rest = bytes;
            while !rest.is_empty() {
                let written = rustix::io::write(&copy, rest)?;
                rest = &rest[written..];
            }
        }
        left -= got as u64;
    }
    rustix::fs::ftruncate(&copy, size - left)?;
    Ok(format!("sha256:{:x}", HexDigest(hasher.finalize().as_slice())))
}

struct HexDigest<'a>(&'a [u8]);

impl std::fmt::LowerHex for HexDigest<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// Names that drive no terminal and mean the same to every program.
fn is_plain(name: &CStr) -> bool {
    name.to_str().is_ok_and(|text| !text.chars().any(char::is_control))
}

/// A name as it may be shown and stored.
fn shown(name: &CStr) -> String {
    if is_plain(name) { name.to_string_lossy().into_owned() } else { name.to_bytes().escape_ascii().to_string() }
}
