//! Landlock: rules on files that hold whatever the mounts are. The third place for the calls that
//! [`super`] is for. The official crate allocates, which the child must not.

use super::{Result, check};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

const CREATE_VERSION: u32 = 1;
const RULE_PATH_BENEATH: libc::c_int = 1;

/// `struct landlock_ruleset_attr` up to its third word (Linux 6.12).
#[repr(C)]
struct Ruleset {
    fs: u64,
    net: u64,
    scoped: u64,
}

/// `struct landlock_path_beneath_attr`, which is packed.
#[repr(C, packed)]
struct PathBeneath {
    allowed: u64,
    parent: i32,
}

/// The version that this kernel speaks, or the number of the error that says why there is none.
pub(crate) fn version() -> Result<u32> {
    // SAFETY: with this flag the kernel reads no memory.
    let version = check(unsafe {
        libc::syscall(libc::SYS_landlock_create_ruleset, std::ptr::null::<Ruleset>(), 0usize, CREATE_VERSION)
    })?;
    Ok(u32::try_from(version).unwrap_or(u32::MAX))
}

/// A set of rules that takes these rights away wherever no rule gives them back.
pub(crate) fn ruleset(version: u32, fs: u64, net: u64, scoped: u64) -> Result<OwnedFd> {
    let attr = Ruleset { fs, net, scoped };
    // Older kernels take the shorter structures that they know.
    let size = match version {
        0..=3 => size_of::<u64>(),
        4..=5 => 2 * size_of::<u64>(),
        _ => size_of::<Ruleset>(),
    };
    // SAFETY: the structure outlives the call and is at least `size` bytes long.
    let fd = check(unsafe { libc::syscall(libc::SYS_landlock_create_ruleset, &attr as *const Ruleset, size, 0u32) })?;
    // SAFETY: the kernel has just made this descriptor for us.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) })
}

/// Gives rights back on a file, or on a folder and all below it.
pub(crate) fn allow(ruleset: BorrowedFd<'_>, parent: BorrowedFd<'_>, allowed: u64) -> Result<()> {
    let rule = PathBeneath { allowed, parent: parent.as_raw_fd() };
    // SAFETY: the structure outlives the call; its form goes with the kind of rule.
    check(unsafe {
        libc::syscall(
            libc::SYS_landlock_add_rule,
            ruleset.as_raw_fd(),
            RULE_PATH_BENEATH,
            &rule as *const PathBeneath,
            0u32,
        )
    })
    .map(drop)
}

/// Puts this process and all that it starts behind the rules. Wants no-new-privs.
pub(crate) fn restrict(ruleset: i32) -> Result<()> {
    // SAFETY: numbers only.
    check(unsafe { libc::syscall(libc::SYS_landlock_restrict_self, ruleset, 0u32) }).map(drop)
}
