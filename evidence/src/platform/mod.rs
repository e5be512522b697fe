//! What differs between platforms. It is chosen here and nowhere else; both sides have the same names.
//!
//! `--cfg aido_portable` takes Windows' way of going by names on a unix system, so that it can be tried there.

#[cfg(all(unix, not(aido_portable)))]
#[path = "held.rs"]
mod folders;
#[cfg(not(all(unix, not(aido_portable))))]
#[path = "named.rs"]
mod folders;

#[cfg(target_os = "linux")]
#[path = "linux.rs"]
mod machine;
#[cfg(all(unix, not(target_os = "linux")))]
#[path = "macos.rs"]
mod machine;
#[cfg(windows)]
#[path = "windows.rs"]
mod machine;

#[cfg(all(target_os = "linux", not(aido_portable)))]
#[path = "zstd.rs"]
mod packing;
#[cfg(not(all(target_os = "linux", not(aido_portable))))]
#[path = "ruzstd.rs"]
mod packing;

pub(crate) use folders::{Dir, owner_at, owner_of};
pub(crate) use machine::{Page, boot_id, boottime_ms, is_same_boot, random, try_lock, try_lock_shared};
pub(crate) use packing::{Unpacking, packed};

#[cfg(debug_assertions)]
pub(crate) use machine::die;

use std::io;

/// How an entry is opened.
#[derive(Clone, Copy)]
pub(crate) enum For {
    Reading,
    /// Reading, and writing at the end only; made if it is not there.
    AppendingOrNew,
    /// The same; it must not be there yet.
    New,
    /// Reading, and writing over what it holds; it must be there.
    Overwriting,
}

/// What lies under a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    File,
    Folder,
    Link,
    Other,
}

/// What is known of a thing without opening it.
pub(crate) struct Look {
    pub(crate) kind: Kind,
    /// Bytes that it takes up.
    pub(crate) weight: u64,
    /// Seconds since 1970 at its last change.
    pub(crate) changed: i64,
}

/// Whose something is and who may reach it, where the platform says so by a user and nine bits.
pub(crate) struct Owner {
    pub(crate) user: u32,
    pub(crate) me: u32,
    pub(crate) mode: u32,
}

/// Why something was not opened.
pub(crate) enum Barred {
    Link,
    NotAFolder,
    AFolder,
    NotPlain,
    Io(io::Error),
}

impl From<io::Error> for Barred {
    fn from(error: io::Error) -> Barred {
        Barred::Io(error)
    }
}
