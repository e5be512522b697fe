//! Making the sandbox's first process. One of the places where `unsafe` is allowed.

use crate::facts;
use crate::sys::{self, Errno};
use libc::{c_int, c_long};
use rustix::process::{Pid, WaitOptions};
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
    match clone3(NAMESPACES, cgroup) {
        Ok(side) => Ok((side, cgroup.is_some())),
        // Many container hosts hide clone3 behind their filter, older ones by EPERM. What the kernel itself
        // forbids it forbids to `clone` too.
        Err(Errno(libc::ENOSYS | libc::EPERM)) => old_clone().map(|side| (side, false)),
        Err(errno) => Err(errno),
    }
}

/// Forks into a new user namespace and nothing else.
pub(crate) fn holder() -> Result<Side, Errno> {
    clone3(libc::CLONE_NEWUSER, None)
}

/// Forks into a user namespace that is there, with new ones of all other kinds. By a process in between, since nobody
/// comes out of a user namespace again; what it makes is the caller's own child. ECHILD: that process is gone without
/// having told what it made.
pub(crate) fn clone_within(namespace: BorrowedFd<'_>, cgroup: Option<BorrowedFd<'_>>) -> Result<(Side, bool), Errno> {
    let (told, tell) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
    let between = sys::fork()?;
    if between == 0 {
        let flags = (NAMESPACES & !libc::CLONE_NEWUSER) | libc::CLONE_PARENT;
        let word = match sys::join_user_namespace(namespace).and_then(|()| clone3(flags, cgroup)) {
            Ok(Side::Child) => return Ok((Side::Child, cgroup.is_some())),
            Ok(Side::Parent(guard)) => guard.pid,
            Err(errno) => -errno.0,
        };
        let _ = sys::write(tell.as_raw_fd(), &word.to_ne_bytes());
        sys::leave(0)
    }
    drop(tell);
    let mut word = [0; size_of::<i32>()];
    let heard = sys::read(told.as_raw_fd(), &mut word);
    Pid::from_raw(between).and_then(ended);
    match (heard?, i32::from_ne_bytes(word)) {
        (4, pid @ 1..) => {
            // Ours to wait for, so its number is no other's.
            let pid = Pid::from_raw(pid).ok_or(Errno(libc::ESRCH))?;
            let held = rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty());
            // One that cannot be held must not be there beside the next one, which hears the same orders.
            let pidfd = held.inspect_err(|_| {
                let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
                ended(pid);
            })?;
            Ok((Side::Parent(Guard { pid: pid.as_raw_nonzero().get(), pidfd }), cgroup.is_some()))
        }
        (4, errno) => Err(Errno(-errno)),
        _ => Err(Errno(libc::ECHILD)),
    }
}

/// Waits for the end of a child; its exit status, if it has one.
pub(crate) fn ended(child: Pid) -> Option<i32> {
    loop {
        match rustix::process::waitpid(Some(child), WaitOptions::empty()) {
            Ok(Some((_, status))) => return status.exit_status(),
            Err(rustix::io::Errno::INTR) => {}
            _ => return None,
        }
    }
}

fn clone3(namespaces: c_int, cgroup: Option<BorrowedFd<'_>>) -> Result<Side, Errno> {
    let mut pidfd: c_int = -1;
    let mut arguments = CloneArguments {
        flags: namespaces as u64 | libc::CLONE_PIDFD as u64,
        pidfd: &mut pidfd as *mut c_int as u64,
        exit_signal: libc::SIGCHLD as u64,
        ..Default::default()
    };
    if namespaces & libc::CLONE_PARENT != 0 {
        // Its parent's parent hears of its end as it would of its parent's.
        arguments.exit_signal = 0;
    }
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
