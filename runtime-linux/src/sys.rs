//! System calls that no crate wraps, or none without memory or locks.
//!
//! One of the places where `unsafe` is allowed. Every function here may be called between a fork and
//! an exec: no heap, no lock, no panic, no `errno` of another thread. The raw number of the error
//! comes back.

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

/// Closes every descriptor from `first` on.
pub(crate) fn close_from(first: u32) -> Result<()> {
    close_range(first, u32::MAX)
}

fn close_range(first: u32, last: u32) -> Result<()> {
    // SAFETY: the caller is about to exec, or a fresh child that holds no descriptor of these by value.
    match check(unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) }) {
        Err(Errno(libc::ENOSYS | libc::EPERM)) => crate::descriptors::close_listed(first, last),
        done => done.map(drop),
    }
}

/// Closes every descriptor from `first` on but these, which come back in order of their numbers.
pub(crate) fn close_all_but(first: u32, kept: &mut [RawFd]) -> Result<()> {
    kept.sort_unstable();
    let mut next = first;
    for fd in kept.iter().map(|fd| *fd as u32) {
        if fd > next {
            close_range(next, fd - 1)?;
        }
        next = next.max(fd + 1);
    }
    close_from(next)
}

/// So many descriptors a program may rely on being allowed.
const ENOUGH_FILES: u64 = 1024;

/// Undoes what the caller of this program left behind: descriptors beyond the three streams, an
/// ignored SIGCHLD (the kernel would reap what we wait for), a deadly SIGXFSZ, a tiny limit of open
/// files. To be called first of all, when nothing in the program has opened anything yet.
pub fn start_afresh() {
    let _ = close_from(3);
    // SAFETY: sets two dispositions; no thread and no handler exist yet.
    unsafe {
        libc::signal(libc::SIGCHLD, libc::SIG_DFL);
        libc::signal(libc::SIGXFSZ, libc::SIG_IGN);
    }
    let now = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    if now.current.is_some_and(|soft| soft < ENOUGH_FILES) {
        let soft = now.maximum.map_or(ENOUGH_FILES, |hard| hard.min(ENOUGH_FILES));
        let raised = rustix::process::Rlimit { current: Some(soft), maximum: now.maximum };
        let _ = rustix::process::setrlimit(rustix::process::Resource::Nofile, raised);
    }
}

/// A reader that goes away ends this program, as it ends other programs: for commands that only print.
pub fn end_with_the_reader() {
    // SAFETY: sets a disposition to the default; no handler exists.
    unsafe { libc::signal(libc::SIGPIPE, libc::SIG_DFL) };
}

/// Puts `from` on the number `to`, which stays open over an exec.
pub(crate) fn place(from: RawFd, to: RawFd) -> Result<()> {
    if from == to {
        // SAFETY: numbers only.
        check(unsafe { libc::fcntl(from, libc::F_SETFD, 0) } as c_long).map(drop)
    } else {
        // SAFETY: numbers only; the caller knows what stood on `to`.
        check(unsafe { libc::dup2(from, to) } as c_long).map(drop)
    }
}

/// The same, closed at an exec.
pub(crate) fn place_for_now(from: RawFd, to: RawFd) -> Result<()> {
    if from == to {
        // SAFETY: numbers only.
        return check(unsafe { libc::fcntl(from, libc::F_SETFD, libc::FD_CLOEXEC) } as c_long).map(drop);
    }
    // SAFETY: numbers only; the caller knows what stood on `to`.
    check(unsafe { libc::dup3(from, to, libc::O_CLOEXEC) } as c_long).map(drop)
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

/// Installs a compiled filter; no-new-privs must be set.
pub(crate) fn install_filter(filter: &'static [libc::sock_filter]) -> Result<()> {
    let program = libc::sock_fprog { len: filter.len() as u16, filter: filter.as_ptr().cast_mut() };
    // SAFETY: the kernel reads `len` instructions and changes none.
    check(unsafe {
        libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, 0, &program as *const libc::sock_fprog)
    })
    .map(drop)
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

/// Takes what a [`child_watch`] has to say, so that it is silent until the next change.
pub(crate) fn drain(fd: RawFd) {
    let mut buffer = [0u8; 512];
    // SAFETY: the buffer is ours and its length is given.
    while unsafe { libc::read(fd, buffer.as_mut_ptr().cast(), buffer.len()) } > 0 {}
}

/// Waits for readability of up to two descriptors: which of them are ready.
pub(crate) fn wait_readable(fds: [RawFd; 2], timeout_ms: i32) -> Result<[bool; 2]> {
    let mut polled = fds.map(|fd| libc::pollfd { fd, events: libc::POLLIN, revents: 0 });
    // SAFETY: the array is ours and its length is given.
    match check(unsafe { libc::poll(polled.as_mut_ptr(), 2, timeout_ms) } as c_long) {
        Ok(_) => Ok(polled.map(|p| p.revents != 0)),
        Err(Errno(libc::EINTR)) => Ok([false, false]),
        Err(errno) => Err(errno),
    }
}

/// Collects one ended child: its number and wait status.
pub(crate) fn reap() -> Option<(i32, i32)> {
    let mut status = 0;
    // SAFETY: the status is a local.
    match unsafe { libc::waitpid(-1, &mut status, libc::WNOHANG) } {
        pid if pid > 0 => Some((pid, status)),
        _ => None,
    }
}

pub(crate) fn signal(pid: i32, signal: i32) {
    // SAFETY: numbers only; the caller is the first process of its own process namespace.
    unsafe { libc::kill(pid, signal) };
}

/// Sends one packet, with a descriptor where there is one.
pub(crate) fn send(socket: RawFd, packet: &[u8], descriptor: Option<RawFd>) -> Result<()> {
    let mut part = libc::iovec { iov_base: packet.as_ptr().cast_mut().cast(), iov_len: packet.len() };
    // Room for one control message with one descriptor, aligned as its header wants it.
    let mut control = [0u64; 4];
    // SAFETY: all pointers are to locals that outlive the call; CMSG_SPACE(4) is 24 <= 32 bytes.
    unsafe {
        let mut message: libc::msghdr = std::mem::zeroed();
        message.msg_iov = &mut part;
        message.msg_iovlen = 1;
        if let Some(fd) = descriptor {
            message.msg_control = control.as_mut_ptr().cast();
            message.msg_controllen = libc::CMSG_SPACE(4) as _;
            let header = libc::CMSG_FIRSTHDR(&message);
            (*header).cmsg_level = libc::SOL_SOCKET;
            (*header).cmsg_type = libc::SCM_RIGHTS;
            (*header).cmsg_len = libc::CMSG_LEN(4) as _;
            std::ptr::write_unaligned(libc::CMSG_DATA(header).cast::<RawFd>(), fd);
        }
        check(libc::sendmsg(socket, &message, libc::MSG_NOSIGNAL) as c_long).map(drop)
    }
}

/// Receives one packet: its length; zero when the other end is gone.
pub(crate) fn receive(socket: RawFd, buffer: &mut [u8]) -> Result<usize> {
    loop {
        // SAFETY: the buffer is ours and its length is given.
        match check(unsafe { libc::recv(socket, buffer.as_mut_ptr().cast(), buffer.len(), 0) } as c_long) {
            Err(Errno(libc::EINTR)) => {}
            other => return other.map(|n| n as usize),
        }
    }
}

/// Brings the loopback interface of this network namespace up.
pub(crate) fn loopback_up() -> Result<()> {
    // SAFETY: `ifreq` is plain data, all zeros is a valid value; the socket is closed again here.
    unsafe {
        let socket = check(libc::socket(libc::AF_INET, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0) as c_long)? as c_int;
        let mut request: libc::ifreq = std::mem::zeroed();
        request.ifr_name[0] = b'l' as c_char;
        request.ifr_name[1] = b'o' as c_char;
        request.ifr_ifru.ifru_flags = (libc::IFF_UP | libc::IFF_RUNNING) as _;
        let done = check(libc::ioctl(socket, libc::SIOCSIFFLAGS as _, &request) as c_long);
        libc::close(socket);
        done.map(drop)
    }
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
