//! Linux: clocks, randomness, and memory that no child inherits.

use memmap2::{Advice, MmapMut};
use rustix::time::{ClockId, clock_gettime};
use std::fs::{File, TryLockError};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::path::PathBuf;
use std::sync::OnceLock;
use zeroize::{Zeroize, Zeroizing};

/// Milliseconds since the machine started, sleep included.
pub(crate) fn boottime_ms() -> u64 {
    let t = clock_gettime(ClockId::Boottime);
    t.tv_sec as u64 * 1000 + t.tv_nsec as u64 / 1_000_000
}

/// Which start of the machine this is.
pub(crate) fn boot_id() -> io::Result<String> {
    // A process sees one start of the machine only, and asks often.
    static KNOWN: OnceLock<String> = OnceLock::new();
    if let Some(known) = KNOWN.get() {
        return Ok(known.clone());
    }
    let read = std::fs::read_to_string("/proc/sys/kernel/random/boot_id")?.trim().to_owned();
    Ok(KNOWN.get_or_init(|| read).clone())
}

/// Whether two of them mean the same start.
pub(crate) fn is_same_boot(one: &str, other: &str) -> bool {
    one == other
}

/// Fills the bytes from the kernel's generator.
pub(crate) fn random(bytes: &mut [u8]) -> io::Result<()> {
    let drawn = rustix::rand::getrandom(&mut *bytes, rustix::rand::GetRandomFlags::empty())?;
    // Never short for so few bytes; a key of zeros must not be possible all the same.
    if drawn == bytes.len() { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
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
#[cfg_attr(aido_portable, expect(dead_code, reason = "folders go by their names there"))]
pub(crate) fn name_of(fd: BorrowedFd<'_>) -> io::Result<PathBuf> {
    std::fs::read_link(format!("/proc/self/fd/{}", fd.as_raw_fd()))
}

/// Ends this process as SIGKILL ends one.
#[cfg(debug_assertions)]
pub(crate) fn die() {
    let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
    std::process::abort()
}

/// Memory of its own for a seed. The sandbox's first process begins as a copy of the supervisor, and a task tries to
/// read its memory: the copy has no such page.
pub(crate) struct Page(MmapMut);

impl Page {
    pub(crate) fn with(seed: &[u8; 32]) -> io::Result<Page> {
        let mut page = MmapMut::map_anon(seed.len())?;
        page.advise(Advice::DontFork)?;
        // Out of core files and of the swap, where that can be had.
        let _ = page.advise(Advice::DontDump);
        let _ = page.lock();
        page.copy_from_slice(seed);
        Ok(Page(page))
    }

    pub(crate) fn seed(&self) -> Zeroizing<[u8; 32]> {
        let mut seed = Zeroizing::new([0; 32]);
        seed.copy_from_slice(&self.0[..32]);
        seed
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}
