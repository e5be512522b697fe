//! A disk that fails, for tests. In debug builds only: a released aido has none of it.
//!
//! `AIDO_DISK=HOW@N` strikes at the Nth thing that this process does to the evidence (a forked one counts on). HOW is
//! `full` (no room for it, nor for anything after it), `half` (the same, after half of what was to be written),
//! `error` (an input or output error, that once), `kill` (this process dies before it) or `torn` (it dies half-way
//! through it). What was struck is added to the file that `AIDO_DISK_TOLD` names.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

#[cfg(debug_assertions)]
mod armed {
    use std::io;
    use std::io::Write;
    use std::path::Path;
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU64, Ordering};

    #[derive(Clone, Copy, PartialEq)]
    pub(super) enum How {
        Full,
        Half,
        Error,
        Kill,
        Torn,
    }

    static PLAN: OnceLock<Option<(How, u64)>> = OnceLock::new();
    static DONE: AtomicU64 = AtomicU64::new(0);

    fn plan() -> Option<(How, u64)> {
        let (how, at) = std::env::var("AIDO_DISK").ok()?.split_once('@').map(|(a, b)| (a.to_owned(), b.to_owned()))?;
        let how = match how.as_str() {
            "full" => How::Full,
            "half" => How::Half,
            "error" => How::Error,
            "kill" => How::Kill,
            "torn" => How::Torn,
            _ => return None,
        };
        Some((how, at.parse().ok()?))
    }

    /// What befalls this step, if anything does.
    pub(super) fn strike(doing: &str, path: &Path) -> Option<How> {
        let (how, at) = (*PLAN.get_or_init(plan))?;
        let now = DONE.fetch_add(1, Ordering::Relaxed) + 1;
        if now < at || (now > at && !matches!(how, How::Full | How::Half)) {
            return None;
        }
        if now == at {
            tell(doing, path);
        }
        // After half of one thing there is no room for another.
        Some(if how == How::Half && now > at { How::Full } else { how })
    }

    fn tell(doing: &str, path: &Path) {
        let Some(told) = std::env::var_os("AIDO_DISK_TOLD") else { return };
        if let Ok(mut file) = std::fs::OpenOptions::new().append(true).create(true).open(told) {
            let _ = writeln!(file, "{doing} {}", path.display());
        }
    }

    pub(super) use crate::platform::die;

    /// ENOSPC and EIO, or what means the same.
    const NUMBERS: (i32, i32) = if cfg!(windows) { (112, 1117) } else { (28, 5) };

    pub(super) fn full() -> io::Error {
        io::Error::from_raw_os_error(NUMBERS.0)
    }

    pub(super) fn broken() -> io::Error {
        io::Error::from_raw_os_error(NUMBERS.1)
    }
}

/// Called before anything but a write is done to a file or folder of the evidence.
#[cfg(debug_assertions)]
pub(crate) fn step(doing: &str, path: &Path) -> io::Result<()> {
    use armed::How;
    match armed::strike(doing, path) {
        None => Ok(()),
        Some(How::Kill | How::Torn) => {
            armed::die();
            Ok(())
        }
        // What takes room away is never short of it.
        Some(How::Full | How::Half) if doing == "remove" => Ok(()),
        Some(How::Full | How::Half) => Err(armed::full()),
        Some(How::Error) => Err(armed::broken()),
    }
}

#[cfg(not(debug_assertions))]
#[inline(always)]
pub(crate) fn step(_doing: &str, _path: &Path) -> io::Result<()> {
    Ok(())
}

/// One write(2).
#[cfg(debug_assertions)]
pub(crate) fn write(file: &mut File, bytes: &[u8], path: &Path) -> io::Result<usize> {
    use armed::How;
    let half = bytes.get(..bytes.len() / 2).unwrap_or(bytes);
    match armed::strike("write", path) {
        None => file.write(bytes),
        Some(How::Half) if !half.is_empty() => file.write(half),
        Some(How::Full | How::Half) => Err(armed::full()),
        Some(How::Error) => Err(armed::broken()),
        Some(how) => {
            if how == How::Torn {
                let _ = file.write(half);
            }
            armed::die();
            Ok(0)
        }
    }
}

#[cfg(not(debug_assertions))]
#[inline(always)]
pub(crate) fn write(file: &mut File, bytes: &[u8], _path: &Path) -> io::Result<usize> {
    file.write(bytes)
}

/// All of the bytes, with as many calls as that takes.
pub(crate) fn write_all(file: &mut File, mut bytes: &[u8], path: &Path) -> io::Result<()> {
    while !bytes.is_empty() {
        match write(file, bytes, path) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(n) => bytes = bytes.get(n..).unwrap_or_default(),
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(())
}
