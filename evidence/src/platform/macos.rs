//! macOS: clocks and randomness.

use rustix::time::{ClockId, clock_gettime};
use std::fs::{File, TryLockError};
use std::io;
use std::os::fd::BorrowedFd;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use zeroize::Zeroizing;

/// Milliseconds since the machine started, sleep included: here that is what this clock counts.
pub(crate) fn boottime_ms() -> u64 {
    let t = clock_gettime(ClockId::Monotonic);
    t.tv_sec.cast_unsigned() * 1000 + t.tv_nsec.cast_unsigned() / 1_000_000
}

/// Which start of the machine this is. The kernel tells it by sysctl(3) alone, and the system's own program asks there.
pub(crate) fn boot_id() -> io::Result<String> {
    static KNOWN: OnceLock<String> = OnceLock::new();
    if let Some(known) = KNOWN.get() {
        return Ok(known.clone());
    }
    let mut ask = Command::new("/usr/sbin/sysctl");
    let told =
        ask.args(["-n", "kern.bootsessionuuid"]).env_clear().stdin(Stdio::null()).stderr(Stdio::null()).output()?;
    let id = String::from_utf8_lossy(&told.stdout).trim().to_lowercase();
    match told.status.success() && !id.is_empty() {
        true => Ok(KNOWN.get_or_init(|| id).clone()),
        false => Err(io::Error::other("sysctl kern.bootsessionuuid says nothing")),
    }
}

/// Whether two of them mean the same start.
pub(crate) fn is_same_boot(one: &str, other: &str) -> bool {
    one == other
}

/// Fills the bytes from the kernel's generator.
pub(crate) fn random(bytes: &mut [u8]) -> io::Result<()> {
    getrandom::fill(bytes).map_err(io::Error::from)
}

/// Takes the file's lock if nobody has it; it goes with the descriptor, also when this process is killed.
pub(crate) fn try_lock(file: &File) -> io::Result<bool> {
    taken(|| file.try_lock())
}

/// The same, together with others who take it so.
pub(crate) fn try_lock_shared(file: &File) -> io::Result<bool> {
    taken(|| file.try_lock_shared())
}

fn taken(take: impl Fn() -> Result<(), TryLockError>) -> io::Result<bool> {
    loop {
        match take() {
            Ok(()) => return Ok(true),
            Err(TryLockError::WouldBlock) => return Ok(false),
            Err(TryLockError::Error(e)) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(TryLockError::Error(e)) => return Err(e),
        }
    }
}

/// What a folder is called now.
pub(crate) fn name_of(fd: BorrowedFd<'_>) -> io::Result<PathBuf> {
    let name = rustix::fs::getpath(fd)?;
    Ok(PathBuf::from(std::ffi::OsString::from_vec(name.into_bytes())))
}

/// Ends this process as SIGKILL ends one.
#[cfg(debug_assertions)]
pub(crate) fn die() {
    let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
    std::process::abort()
}

/// A seed, overwritten when it is dropped. No process here begins as a copy of another.
pub(crate) struct Page(Box<Zeroizing<[u8; 32]>>);

impl Page {
    pub(crate) fn with(seed: &[u8; 32]) -> io::Result<Page> {
        Ok(Page(Box::new(Zeroizing::new(*seed))))
    }

    pub(crate) fn seed(&self) -> Zeroizing<[u8; 32]> {
        Zeroizing::clone(&self.0)
    }
}
