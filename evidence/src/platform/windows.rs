//! Windows: clocks, randomness, and locks that do not keep readers out.

use std::fs::File;
use std::io;
use std::os::windows::io::AsRawHandle;
use std::time::{SystemTime, UNIX_EPOCH};
use windows_sys::Win32::Foundation::ERROR_LOCK_VIOLATION;
use windows_sys::Win32::Storage::FileSystem::{
    LOCK_FILE_FLAGS, LOCKFILE_EXCLUSIVE_LOCK, LOCKFILE_FAIL_IMMEDIATELY, LockFileEx,
};
use windows_sys::Win32::System::IO::OVERLAPPED;
use windows_sys::Win32::System::SystemInformation::GetTickCount64;
use zeroize::Zeroizing;

/// The wall clock may be set meanwhile; who sets it by more than this many seconds has his sandboxes end early.
const DRIFT: u64 = 120;

/// Milliseconds since the machine started, sleep included.
pub(crate) fn boottime_ms() -> u64 {
    // SAFETY: takes nothing and returns a number.
    unsafe { GetTickCount64() }
}

/// Which start of the machine this is: the second in which it was, since Windows has no name for it.
pub(crate) fn boot_id() -> io::Result<String> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_err(io::Error::other)?;
    Ok(format!("started-{}", now.as_secs().saturating_sub(boottime_ms() / 1000)))
}

/// Whether two of them mean the same start.
pub(crate) fn is_same_boot(one: &str, other: &str) -> bool {
    let second = |id: &str| id.strip_prefix("started-")?.parse::<u64>().ok();
    one == other || second(one).zip(second(other)).is_some_and(|(one, other)| one.abs_diff(other) <= DRIFT)
}

/// Fills the bytes from the system's generator.
pub(crate) fn random(bytes: &mut [u8]) -> io::Result<()> {
    getrandom::fill(bytes).map_err(io::Error::from)
}

/// Takes the file's lock if nobody has it; it goes with the handle, also when this process is killed. A byte is locked
/// that no file has: what is locked here cannot be read by others, and the log of a run is to be read.
pub(crate) fn try_lock(file: &File) -> io::Result<bool> {
    lock(file, LOCKFILE_EXCLUSIVE_LOCK)
}

/// The same, together with others who take it so.
pub(crate) fn try_lock_shared(file: &File) -> io::Result<bool> {
    lock(file, 0)
}

fn lock(file: &File, how: LOCK_FILE_FLAGS) -> io::Result<bool> {
    let mut place = OVERLAPPED::default();
    place.Anonymous.Anonymous.OffsetHigh = 0x4000_0000;
    let flags = how | LOCKFILE_FAIL_IMMEDIATELY;
    // SAFETY: the handle is open for as long as `file` is borrowed, `place` outlives the call, which does not wait.
    let locked = unsafe { LockFileEx(file.as_raw_handle(), flags, 0, 1, 0, &raw mut place) };
    if locked != 0 {
        return Ok(true);
    }
    match io::Error::last_os_error() {
        e if e.raw_os_error() == Some(ERROR_LOCK_VIOLATION.cast_signed()) => Ok(false),
        e => Err(e),
    }
}

/// Ends this process at once.
#[cfg(debug_assertions)]
pub(crate) fn die() {
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
