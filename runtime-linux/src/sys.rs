//! System calls that no crate wraps, or none without memory or locks.
//!
//! One of the places where `unsafe` is allowed. Every function here may be called between a fork and
//! an exec: no heap, no lock, no panic, no `errno` of another thread. The raw number of the error
//! comes back.

pub(crate) mod filter;
mod io;
mod net;
mod pages;
pub(crate) mod wall;

pub(crate) use io::{
    close, close_all_but, close_from, drain, now_ms, place, place_for_now, read, send, take_terminal, wait_readable,
    write,
};
pub(crate) use net::{NOBODY, knock, loopback_up, reach_out};
pub(crate) use pages::let_go;
pub use pages::{Rest, share_one_heap};

use libc::{c_char, c_int, c_long, c_ulong};
use std::ffi::CStr;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};

/// The kernel's number for what went wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Errno(pub(crate) i32);

pub(crate) type Result<T> = std::result::Result<T, Errno>;

impl From<rustix::io::Errno> for Errno {
    fn from(errno: rustix::io::Errno) -> Self {
        Errno(errno.raw_os_error())
    }
}

impl From<Errno> for std::io::Error {
    fn from(errno: Errno) -> Self {
        std::io::Error::from_raw_os_error(errno.0)
    }
}

fn check(result: c_long) -> Result<c_long> {
    if result >= 0 {
        return Ok(result);
    }
    // SAFETY: errno is this thread's own variable.
    Err(Errno(unsafe { *libc::__errno_location() }))
}

/// `mount_setattr(2)` on a whole mount tree that a descriptor names.
pub(crate) fn set_mount_attributes(tree: BorrowedFd<'_>, set: u64) -> Result<()> {
    mount_setattr(tree, set, libc::AT_RECURSIVE)
}

/// The same on one mount, and not on those below it.
pub(crate) fn set_one_mount_attributes(mount: BorrowedFd<'_>, set: u64) -> Result<()> {
    mount_setattr(mount, set, 0)
}

fn mount_setattr(mount: BorrowedFd<'_>, set: u64, flags: c_int) -> Result<()> {
    let attr = libc::mount_attr { attr_set: set, attr_clr: 0, propagation: 0, userns_fd: 0 };
    // SAFETY: the path is a constant, the structure outlives the call and its size is given.
    check(unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            mount.as_raw_fd(),
            c"".as_ptr(),
            libc::AT_EMPTY_PATH | flags,
            &attr as *const libc::mount_attr,
            size_of::<libc::mount_attr>(),
        )
    })
    .map(drop)
}

/// So many descriptors a program may rely on being allowed.
const ENOUGH_FILES: u64 = 1024;

/// Undoes what the caller of this program left behind: descriptors beyond the three streams, an
/// ignored SIGCHLD (the kernel would reap what we wait for), a deadly SIGXFSZ, a tiny limit of open
/// files. To be called first of all, when nothing in the program has opened anything yet.
pub fn start_afresh() {
    let _ = close_from(3);
    pages::look();
    // SAFETY: sets two dispositions; no thread and no handler exist yet.
    unsafe {
        libc::signal(libc::SIGCHLD, libc::SIG_DFL);
        libc::signal(libc::SIGXFSZ, libc::SIG_IGN);
    }
    // A courtesy: where an outer sandbox refuses to look at limits, what is there has to do.
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    if let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE)
        && soft < ENOUGH_FILES
    {
        let _ = setrlimit(Resource::RLIMIT_NOFILE, hard.min(ENOUGH_FILES), hard);
    }
}

/// A reader that goes away ends this program, as it ends other programs: for commands that only print.
pub fn end_with_the_reader() {
    // SAFETY: sets a disposition to the default; no handler exists.
    unsafe { libc::signal(libc::SIGPIPE, libc::SIG_DFL) };
}

/// A plain fork by the raw call: no handlers of the C library run. Zero in the child.
pub(crate) fn fork() -> Result<i32> {
    // SAFETY: the process has one thread; the child gets a copy of everything and goes on here.
    check(unsafe { libc::syscall(libc::SYS_clone, libc::SIGCHLD as c_ulong, 0, 0, 0, 0) }).map(|pid| pid as i32)
}

/// Ends this process now.
pub(crate) fn leave(status: i32) -> ! {
    // SAFETY: ends the process; nothing of it runs afterwards.
    unsafe { libc::_exit(status) }
}

/// Overwrites this process's command line and environment, which `/proc` shows to others.
pub(crate) fn wipe(strings: Strings) {
    let Strings { start, length } = strings;
    if length > NAME.len() {
        // SAFETY: the stretch is the kernel's own account of where this process's argument and
        // environment strings lie, on its stack, writable. The child that calls this never returns to
        // code that reads them.
        unsafe {
            std::ptr::write_bytes(start as *mut u8, 0, length);
            std::ptr::copy_nonoverlapping(NAME.as_ptr(), start as *mut u8, NAME.len());
        }
    }
}

/// What stands there afterwards.
const NAME: &[u8] = b"aido-init";

/// Where this process's argument and environment strings lie.
#[derive(Clone, Copy, Default)]
pub(crate) struct Strings {
    start: usize,
    length: usize,
}

impl Strings {
    /// Asks the kernel; called before the fork.
    pub(crate) fn of_this_process() -> Strings {
        let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
        Strings::parse(&stat).unwrap_or_default()
    }

    /// Fields 48 to 51 of `/proc/PID/stat`; the second may hold anything, up to the last `)`.
    fn parse(stat: &str) -> Option<Strings> {
        let numbers: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
        let field = |number: usize| numbers.get(number - 3)?.parse::<usize>().ok();
        let (arguments, environment_end) = (field(48)?, field(51)?);
        let adjacent =
            field(49)? <= field(50)? && arguments < environment_end && environment_end - arguments < 16 << 20;
        adjacent.then(|| Strings { start: arguments, length: environment_end - arguments })
    }
}

/// Empties the capability sets, the bounding set included.
pub(crate) fn drop_capabilities() -> Result<()> {
    for capability in 0..64 {
        // SAFETY: numbers only. EINVAL: past the last capability of this kernel.
        match check(unsafe { libc::prctl(libc::PR_CAPBSET_DROP, capability, 0, 0, 0) } as c_long) {
            Ok(_) => {}
            Err(Errno(libc::EINVAL)) => break,
            Err(other) => return Err(other),
        }
    }
    Ok(())
}

/// Gives up what is permitted, effective, inheritable and ambient.
pub(crate) fn clear_capabilities() -> Result<()> {
    #[repr(C)]
    struct Header {
        version: u32,
        pid: c_int,
    }
    let header = Header { version: 0x2008_0522, pid: 0 };
    let none = [0u32; 6];
    // SAFETY: numbers only.
    check(unsafe { libc::prctl(libc::PR_CAP_AMBIENT, libc::PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) } as c_long)?;
    // SAFETY: version 3 of the header goes with two structures of three words each.
    check(unsafe { libc::syscall(libc::SYS_capset, &header as *const Header, none.as_ptr()) }).map(drop)
}

/// Takes on the identity; the capabilities over it must still be there.
pub(crate) fn become_user(uid: u32, gid: u32, groups: Option<&[u32]>) -> Result<()> {
    if let Some(groups) = groups {
        // SAFETY: the slice outlives the call and its length is given.
        check(unsafe { libc::syscall(libc::SYS_setgroups, groups.len(), groups.as_ptr()) })?;
    }
    // SAFETY: numbers only; by the raw call, since the process has one thread.
    check(unsafe { libc::syscall(libc::SYS_setresgid, gid, gid, gid) })?;
    // SAFETY: as above.
    check(unsafe { libc::syscall(libc::SYS_setresuid, uid, uid, uid) }).map(drop)
}

/// Executes; comes back only with the reason why not.
///
/// `argv` and `envp` must be null-terminated arrays of C strings that live as long as the process.
pub(crate) fn execute(path: &CStr, argv: &[*const c_char], envp: &[*const c_char]) -> Errno {
    if argv.last().is_none_or(|p| !p.is_null()) || envp.last().is_none_or(|p| !p.is_null()) {
        return Errno(libc::EINVAL);
    }
    // SAFETY: both arrays end with a null pointer, checked above; their strings live in the script.
    match check(unsafe { libc::execve(path.as_ptr(), argv.as_ptr(), envp.as_ptr()) } as c_long) {
        Ok(_) => Errno(libc::EINVAL),
        Err(errno) => errno,
    }
}

/// Signals as a fresh program finds them: default actions, nothing blocked.
pub(crate) fn reset_signals() {
    // SAFETY: setting a default action and an empty mask touches no memory but these locals.
    unsafe {
        for signal in 1..=libc::SIGRTMAX() {
            libc::signal(signal, libc::SIG_DFL);
        }
        let mut none: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&mut none);
        libc::sigprocmask(libc::SIG_SETMASK, &none, std::ptr::null_mut());
    }
}

/// Blocks SIGCHLD and gives a descriptor that is readable when a child changed.
pub(crate) fn child_watch() -> Result<RawFd> {
    // SAFETY: the set is a local; the descriptor is the caller's.
    unsafe {
        let mut set: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&mut set);
        libc::sigaddset(&mut set, libc::SIGCHLD);
        check(libc::sigprocmask(libc::SIG_BLOCK, &set, std::ptr::null_mut()) as c_long)?;
        check(libc::signalfd(-1, &set, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK) as c_long).map(|fd| fd as RawFd)
    }
}

/// Collects one ended child: its number and wait status.
pub(crate) fn reap() -> Option<(i32, i32)> {
    let (child, status) = rustix::process::wait(rustix::process::WaitOptions::NOHANG).ok()??;
    Some((child.as_raw_nonzero().get(), status.as_raw()))
}

pub(crate) fn signal(pid: i32, signal: i32) {
    // SAFETY: numbers only; the caller is the first process of its own process namespace.
    unsafe { libc::kill(pid, signal) };
}

/// Sets both the soft and the hard limit.
pub(crate) fn limit(resource: u32, value: u64) -> Result<()> {
    let both = libc::rlimit64 { rlim_cur: value, rlim_max: value };
    // SAFETY: reads one structure.
    check(unsafe { libc::syscall(libc::SYS_prlimit64, 0, resource, &both as *const libc::rlimit64, 0usize) }).map(drop)
}

/// Keeps this process on the first `count` of the processors that it may use.
pub(crate) fn use_processors(count: usize) -> Result<()> {
    let set = rustix::thread::sched_getaffinity(None)?;
    let mut kept = set;
    let mine = (0..rustix::thread::CpuSet::MAX_CPU).filter(|cpu| set.is_set(*cpu));
    mine.skip(count).for_each(|cpu| kept.unset(cpu));
    Ok(rustix::thread::sched_setaffinity(None, &kept)?)
}

/// Makes the cgroup that this process stands in the root of all it can see of cgroups.
pub(crate) fn unshare_cgroup() -> Result<()> {
    // SAFETY: numbers only.
    check(unsafe { libc::unshare(libc::CLONE_NEWCGROUP) } as c_long).map(drop)
}

/// Makes a user namespace and enters it; the process has one thread.
pub(crate) fn unshare_user() -> Result<()> {
    // SAFETY: numbers only.
    check(unsafe { libc::unshare(libc::CLONE_NEWUSER) } as c_long).map(drop)
}

/// Joins the user namespace that a descriptor names; the process has one thread.
pub(crate) fn join_user_namespace(fd: BorrowedFd<'_>) -> Result<()> {
    // SAFETY: numbers only.
    check(unsafe { libc::setns(fd.as_raw_fd(), libc::CLONE_NEWUSER) } as c_long).map(drop)
}

/// Makes a call that can do nothing with these arguments: only whether it is there is of interest.
pub(crate) fn ask(number: c_long, [first, second, third]: [usize; 3]) -> Result<c_long> {
    // SAFETY: callers give numbers of calls and arguments that are refused, or answered by a number alone.
    check(unsafe { libc::syscall(number, first, second, third, 0usize, 0usize) })
}
