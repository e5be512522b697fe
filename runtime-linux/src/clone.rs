//! Making the sandbox's first process. One of the places where `unsafe` is allowed.

use crate::facts;
use crate::sys::Errno;
use libc::{c_int, c_long};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

/// The namespaces of a sandbox, but the cgroup namespace: its root is where the process stands when
/// it is made, and the process may be moved after this.
pub(crate) const NAMESPACES: c_int = libc::CLONE_NEWUSER
    | libc::CLONE_NEWNS
    | libc::CLONE_NEWPID
    | libc::CLONE_NEWNET
    | libc::CLONE_NEWIPC
    | libc::CLONE_NEWUTS;

/// libc's constant of this name is too narrow for its value.
const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;

/// The first process of a sandbox, seen from outside.
pub(crate) struct Guard {
    /// Its number on the host; good only while `pidfd` is held and not yet waited for.
    pub(crate) pid: i32,
    pub(crate) pidfd: OwnedFd,
}

pub(crate) enum Side {
    Parent(Guard),
    Child,
}

/// The structure of `clone3(2)` up to and with `cgroup` (version 2 of it).
#[repr(C)]
#[derive(Default)]
struct CloneArguments {
    flags: u64,
    pidfd: u64,
    child_tid: u64,
    parent_tid: u64,
    exit_signal: u64,
    stack: u64,
    stack_size: u64,
    tls: u64,
    set_tid: u64,
    set_tid_size: u64,
    cgroup: u64,
}

/// Forks into new namespaces, and into the cgroup where a descriptor of one is given.
///
/// Like `fork`, it returns twice. The caller has one thread; the child may only make system calls
/// and must never return to the caller's caller.
pub(crate) fn clone(cgroup: Option<BorrowedFd<'_>>) -> Result<(Side, bool), Errno> {
    // Whoever waits for the end of a process that cannot be ended waits for ever.
    if !facts::can_end_processes() {
        return Err(Errno(libc::ENOSYS));
    }
    match clone3(cgroup) {
        Ok(side) => Ok((side, cgroup.is_some())),
        // Many container hosts hide clone3 behind their filter, older ones by EPERM. What the kernel itself
        // forbids it forbids to `clone` too.
        Err(Errno(libc::ENOSYS | libc::EPERM)) => old_clone().map(|side| (side, false)),
        Err(errno) => Err(errno),
    }
}

fn clone3(cgroup: Option<BorrowedFd<'_>>) -> Result<Side, Errno> {
    let mut pidfd: c_int = -1;
    let mut arguments = CloneArguments {
        flags: NAMESPACES as u64 | libc::CLONE_PIDFD as u64,
        pidfd: &mut pidfd as *mut c_int as u64,
        exit_signal: libc::SIGCHLD as u64,
        ..Default::default()
    };
    if let Some(folder) = cgroup {
        arguments.flags |= CLONE_INTO_CGROUP;
        arguments.cgroup = folder.as_raw_fd() as u64;
    }
    // SAFETY: without CLONE_VM and a stack of its own the child goes on here on a copy of everything,
    // as after fork; the process has one thread, so no lock is held by another. The structure and
    // `pidfd` outlive the call.
    let result =
        unsafe { libc::syscall(libc::SYS_clone3, &mut arguments as *mut CloneArguments, size_of::<CloneArguments>()) };
    side(result, || pidfd)
}

fn old_clone() -> Result<Side, Errno> {
    let mut pidfd: c_int = -1;
    // SAFETY: as in `clone3`; with CLONE_PIDFD the third argument is where the descriptor goes.
    let result = unsafe {
        libc::syscall(
            libc::SYS_clone,
            (NAMESPACES | libc::CLONE_PIDFD | libc::SIGCHLD) as libc::c_ulong,
            0,
            &mut pidfd as *mut c_int,
            0,
            0,
        )
    };
    side(result, || pidfd)
}

fn side(result: c_long, pidfd: impl Fn() -> c_int) -> Result<Side, Errno> {
    match result {
        0 => Ok(Side::Child),
        pid if pid > 0 => {
            // SAFETY: the kernel has just made this descriptor for us.
            let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd()) };
            Ok(Side::Parent(Guard { pid: pid as i32, pidfd }))
        }
        // SAFETY: errno is this thread's own variable.
        _ => Err(Errno(unsafe { *libc::__errno_location() })),
    }
}
