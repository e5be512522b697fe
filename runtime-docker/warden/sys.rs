//! System calls, made without any library; `net` has those for sockets. The only file of the warden that says `unsafe`, but for `memory.rs`.

mod net;

pub use net::*;

use core::arch::{asm, global_asm};

#[cfg(target_arch = "x86_64")]
mod number {
    pub const READ: usize = 0;
    pub const WRITE: usize = 1;
    pub const CLOSE: usize = 3;
    pub const MMAP: usize = 9;
    pub const RT_SIGACTION: usize = 13;
    pub const RT_SIGPROCMASK: usize = 14;
    pub const IOCTL: usize = 16;
    pub const SOCKET: usize = 41;
    pub const CONNECT: usize = 42;
    pub const SENDTO: usize = 44;
    pub const RECVFROM: usize = 45;
    pub const SHUTDOWN: usize = 48;
    pub const BIND: usize = 49;
    pub const LISTEN: usize = 50;
    pub const GETSOCKNAME: usize = 51;
    pub const SETSOCKOPT: usize = 54;
    pub const CLONE: usize = 56;
    pub const EXECVE: usize = 59;
    pub const WAIT4: usize = 61;
    pub const KILL: usize = 62;
    pub const FCNTL: usize = 72;
    pub const CHDIR: usize = 80;
    pub const UMASK: usize = 95;
    pub const GETRUSAGE: usize = 98;
    pub const SETSID: usize = 112;
    pub const CAPSET: usize = 126;
    pub const RT_SIGTIMEDWAIT: usize = 128;
    pub const PRCTL: usize = 157;
    pub const CLOCK_GETTIME: usize = 228;
    pub const EXIT_GROUP: usize = 231;
    pub const OPENAT: usize = 257;
    pub const UNLINKAT: usize = 263;
    pub const FCHMODAT: usize = 268;
    pub const PPOLL: usize = 271;
    pub const UNSHARE: usize = 272;
    pub const ACCEPT4: usize = 288;
    pub const PIPE2: usize = 293;
}

#[cfg(target_arch = "aarch64")]
mod number {
    pub const FCNTL: usize = 25;
    pub const IOCTL: usize = 29;
    pub const UNLINKAT: usize = 35;
    pub const CHDIR: usize = 49;
    pub const FCHMODAT: usize = 53;
    pub const OPENAT: usize = 56;
    pub const CLOSE: usize = 57;
    pub const PIPE2: usize = 59;
    pub const READ: usize = 63;
    pub const WRITE: usize = 64;
    pub const PPOLL: usize = 73;
    pub const CAPSET: usize = 91;
    pub const EXIT_GROUP: usize = 94;
    pub const UNSHARE: usize = 97;
    pub const CLOCK_GETTIME: usize = 113;
    pub const KILL: usize = 129;
    pub const RT_SIGACTION: usize = 134;
    pub const RT_SIGPROCMASK: usize = 135;
    pub const RT_SIGTIMEDWAIT: usize = 137;
    pub const SETSID: usize = 157;
    pub const GETRUSAGE: usize = 165;
    pub const UMASK: usize = 166;
    pub const PRCTL: usize = 167;
    pub const SOCKET: usize = 198;
    pub const BIND: usize = 200;
    pub const LISTEN: usize = 201;
    pub const CONNECT: usize = 203;
    pub const GETSOCKNAME: usize = 204;
    pub const SENDTO: usize = 206;
    pub const RECVFROM: usize = 207;
    pub const SETSOCKOPT: usize = 208;
    pub const SHUTDOWN: usize = 210;
    pub const CLONE: usize = 220;
    pub const EXECVE: usize = 221;
    pub const MMAP: usize = 222;
    pub const ACCEPT4: usize = 242;
    pub const WAIT4: usize = 260;
}

#[cfg(target_arch = "x86_64")]
global_asm!(".globl _start", "_start:", "xor ebp, ebp", "mov rdi, rsp", "and rsp, -16", "call {main}", "ud2", main = sym crate::main);
#[cfg(target_arch = "aarch64")]
global_asm!(".globl _start", "_start:", "mov x29, xzr", "mov x30, xzr", "mov x0, sp", "bl {main}", "brk 1", main = sym crate::main);

/// A call as the kernel has it: the result, or minus the number of the error.
fn call(number: usize, a: [usize; 6]) -> isize {
    let result: isize;
    // SAFETY: every caller in this file passes numbers, or pointers to memory that it holds for the length of the call
    // and that the call keeps within.
    #[cfg(target_arch = "x86_64")]
    unsafe {
        asm!("syscall", inlateout("rax") number => result, in("rdi") a[0], in("rsi") a[1], in("rdx") a[2],
            in("r10") a[3], in("r8") a[4], in("r9") a[5], lateout("rcx") _, lateout("r11") _, options(nostack));
    }
    // SAFETY: as above.
    #[cfg(target_arch = "aarch64")]
    unsafe {
        asm!("svc 0", in("x8") number, inlateout("x0") a[0] => result, in("x1") a[1], in("x2") a[2], in("x3") a[3],
            in("x4") a[4], in("x5") a[5], options(nostack));
    }
    result
}

/// What a call gives: a number, or the number of an error.
pub type Result<T> = core::result::Result<T, i32>;

fn checked(result: isize) -> Result<usize> {
    if result < 0 { Err(-result as i32) } else { Ok(result as usize) }
}

/// Text for the kernel: it ends with a NUL, which is asked for here and not hoped for.
fn pointer(text: &[u8]) -> usize {
    if text.last() == Some(&0) { text.as_ptr() as usize } else { c"".as_ptr() as usize }
}

pub const SIGKILL: i32 = 9;
pub const SIGTERM: i32 = 15;
pub const SIGCHLD: i32 = 17;
pub const SIGSTOP: i32 = 19;
const AT_FDCWD: usize = -100_isize as usize;
const O_NONBLOCK: usize = 0o4000;
const O_CLOEXEC: usize = 0o2000000;
#[cfg(target_arch = "x86_64")]
const O_NOFOLLOW: usize = 0o400000;
#[cfg(target_arch = "aarch64")]
const O_NOFOLLOW: usize = 0o100000;

/// The words after a program's name, each with its NUL.
pub struct Arguments(*const *const u8);

/// Those of this program, where the kernel has put their number and pointers to them.
pub fn arguments(stack: *const usize) -> Arguments {
    // SAFETY: `_start` hands on what the kernel gave it, and nobody else calls this: a number, then pointers.
    let count = unsafe { *stack };
    // SAFETY: as above; without a name of the program what stands there is the zero that ends them.
    Arguments(unsafe { stack.add(1 + count.min(1)) }.cast())
}

impl Iterator for Arguments {
    type Item = &'static [u8];

    fn next(&mut self) -> Option<&'static [u8]> {
        // SAFETY: a zero ends the pointers, and nobody goes past it.
        let text = unsafe { *self.0 };
        if text.is_null() {
            return None;
        }
        let mut length = 0;
        // SAFETY: a NUL ends each text.
        while unsafe { *text.add(length) } != 0 {
            length += 1;
        }
        // SAFETY: this one is no zero.
        self.0 = unsafe { self.0.add(1) };
        // SAFETY: these bytes were just read; they stay as long as the process lives.
        Some(unsafe { core::slice::from_raw_parts(text, length + 1) })
    }
}

pub fn exit(code: i32) -> ! {
    loop {
        call(number::EXIT_GROUP, [code as usize, 0, 0, 0, 0, 0]);
    }
}

pub fn read(fd: i32, into: &mut [u8]) -> Result<usize> {
    checked(call(number::READ, [fd as usize, into.as_mut_ptr() as usize, into.len(), 0, 0, 0]))
}

pub fn write(fd: i32, bytes: &[u8]) -> Result<usize> {
    checked(call(number::WRITE, [fd as usize, bytes.as_ptr() as usize, bytes.len(), 0, 0, 0]))
}

pub fn close(fd: i32) {
    call(number::CLOSE, [fd as usize, 0, 0, 0, 0, 0]);
}

pub fn open(path: &[u8]) -> Result<i32> {
    checked(call(number::OPENAT, [AT_FDCWD, pointer(path), O_NOFOLLOW | O_CLOEXEC, 0, 0, 0])).map(|fd| fd as i32)
}

pub fn create(path: &[u8]) -> Result<i32> {
    const O_CREAT_WRONLY: usize = 0o101;
    checked(call(number::OPENAT, [AT_FDCWD, pointer(path), O_CREAT_WRONLY | O_CLOEXEC, 0o600, 0, 0]))
        .map(|fd| fd as i32)
}

pub fn unlink(path: &[u8]) -> Result<usize> {
    checked(call(number::UNLINKAT, [AT_FDCWD, pointer(path), 0, 0, 0, 0]))
}

/// Fresh memory that is never given back.
pub fn memory(length: usize) -> Result<&'static mut [u8]> {
    const READ_WRITE: usize = 3;
    const PRIVATE_ANONYMOUS: usize = 0x22;
    let at = checked(call(number::MMAP, [0, length, READ_WRITE, PRIVATE_ANONYMOUS, usize::MAX, 0]))?;
    // SAFETY: the kernel gave this stretch to us alone, zeroed, for as long as the process lives.
    Ok(unsafe { core::slice::from_raw_parts_mut(at as *mut u8, length) })
}

/// The same for pointers: what `execve` takes.
pub fn pointers(count: usize) -> Result<&'static mut [usize]> {
    let bytes = memory(count.max(1) * size_of::<usize>())?;
    // SAFETY: fresh pages are aligned for anything, and zeros are numbers.
    Ok(unsafe { core::slice::from_raw_parts_mut(bytes.as_mut_ptr().cast(), count) })
}

/// All signals are kept for `wait_signal`, or let through again.
pub fn block_signals(block: bool) {
    const SETMASK: usize = 2;
    let set: u64 = if block { u64::MAX } else { 0 };
    call(number::RT_SIGPROCMASK, [SETMASK, &raw const set as usize, 0, 8, 0, 0]);
}

/// Every signal as a fresh program expects it.
pub fn default_signals() {
    let action = [0_u64; 4];
    for signal in 1..=64 {
        call(number::RT_SIGACTION, [signal, action.as_ptr() as usize, 0, 8, 0, 0]);
    }
}

/// A signal that came.
pub struct Signal {
    pub number: i32,
    /// Sent by somebody who is not in this container.
    pub from_outside: bool,
}

/// The next signal, within so many milliseconds.
pub fn wait_signal(ms: u64) -> Option<Signal> {
    const SI_USER: i32 = 0;
    let set = u64::MAX;
    let mut info = [0_i32; 32];
    let time = [ms / 1000, ms % 1000 * 1_000_000];
    let arguments = [&raw const set as usize, info.as_mut_ptr() as usize, time.as_ptr() as usize, 8, 0, 0];
    let number = checked(call(number::RT_SIGTIMEDWAIT, arguments)).ok()? as i32;
    // Number, error, code, (gap,) process: as `siginfo_t` has it on 64 bits.
    Some(Signal { number, from_outside: info[2] == SI_USER && info[4] == 0 })
}

pub fn fork() -> Result<i32> {
    checked(call(number::CLONE, [SIGCHLD as usize, 0, 0, 0, 0, 0])).map(|pid| pid as i32)
}

/// Whoever has ended, if somebody has: number and status. `ECHILD` if there is nobody left.
pub fn reap() -> Result<Option<(i32, i32)>> {
    const NOHANG_ALL: usize = 1 | 0x4000_0000;
    let mut status = 0_i32;
    let anybody = -1_isize as usize;
    let pid = checked(call(number::WAIT4, [anybody, &raw mut status as usize, NOHANG_ALL, 0, 0, 0]))? as i32;
    Ok((pid != 0).then_some((pid, status)))
}

/// Waits for one process.
pub fn wait_for(pid: i32) -> Result<i32> {
    let mut status = 0_i32;
    checked(call(number::WAIT4, [pid as usize, &raw mut status as usize, 0, 0, 0, 0])).map(|_| status)
}

pub fn kill(pid: i32, signal: i32) {
    call(number::KILL, [pid as isize as usize, signal as usize, 0, 0, 0, 0]);
}

/// Milliseconds of a clock that runs on while the machine sleeps.
pub fn now_ms() -> u64 {
    const BOOTTIME: usize = 7;
    let mut time = [0_u64; 2];
    call(number::CLOCK_GETTIME, [BOOTTIME, time.as_mut_ptr() as usize, 0, 0, 0, 0]);
    time[0] * 1000 + time[1] / 1_000_000
}

/// Microseconds in user mode and in the kernel of all processes that have ended.
pub fn used() -> (u64, u64) {
    const CHILDREN: usize = -1_isize as usize;
    let mut usage = [0_u64; 18];
    call(number::GETRUSAGE, [CHILDREN, usage.as_mut_ptr() as usize, 0, 0, 0, 0]);
    (usage[0] * 1_000_000 + usage[1], usage[2] * 1_000_000 + usage[3])
}

/// Nobody without rights over this process may read its memory, or trace it. Where the profile refuses this call, it is
/// so all the same: the program's file can be executed and not read.
pub fn not_dumpable() {
    const SET_DUMPABLE: usize = 4;
    call(number::PRCTL, [SET_DUMPABLE, 0, 0, 0, 0, 0]);
}

pub fn new_session() {
    call(number::SETSID, [0; 6]);
}

/// Leaves the terminal that this session has.
pub fn leave_terminal(fd: i32) {
    const TIOCNOTTY: usize = 0x5422;
    call(number::IOCTL, [fd as usize, TIOCNOTTY, 0, 0, 0, 0]);
}

/// Makes it this session's.
pub fn take_terminal(fd: i32) {
    const TIOCSCTTY: usize = 0x540e;
    call(number::IOCTL, [fd as usize, TIOCSCTTY, 0, 0, 0, 0]);
}

/// Whoever has stopped its output by a key has done so for the last time.
pub fn resume_terminal(fd: i32) {
    const TCXONC: usize = 0x540a;
    const RESUME: usize = 1;
    call(number::IOCTL, [fd as usize, TCXONC, RESUME, 0, 0, 0]);
}

pub fn never_block(fd: i32) {
    const F_GETFL: usize = 3;
    const F_SETFL: usize = 4;
    if let Ok(flags) = checked(call(number::FCNTL, [fd as usize, F_GETFL, 0, 0, 0, 0])) {
        call(number::FCNTL, [fd as usize, F_SETFL, flags | O_NONBLOCK, 0, 0, 0]);
    }
}

/// Waits until something can be written, within so many milliseconds.
pub fn wait_writable(fd: i32, ms: u64) {
    const POLLOUT: u64 = 4;
    let polled = fd as u32 as u64 | POLLOUT << 32;
    let time = [ms / 1000, ms % 1000 * 1_000_000];
    call(number::PPOLL, [&raw const polled as usize, 1, time.as_ptr() as usize, 0, 8, 0]);
}

/// A pipe whose ends close at an exec.
pub fn pipe() -> Result<[i32; 2]> {
    let mut ends = [0_i32; 2];
    checked(call(number::PIPE2, [ends.as_mut_ptr() as usize, O_CLOEXEC, 0, 0, 0, 0])).map(|_| ends)
}

pub fn chdir(path: &[u8]) -> Result<usize> {
    checked(call(number::CHDIR, [pointer(path), 0, 0, 0, 0, 0]))
}

/// The mode of a place that is ours.
pub fn chmod(path: &[u8], mode: u32) {
    call(number::FCHMODAT, [AT_FDCWD, pointer(path), mode as usize, 0, 0, 0]);
}

pub fn umask(mask: usize) {
    call(number::UMASK, [mask, 0, 0, 0, 0, 0]);
}

/// Returns only where it failed. Both lists end with a zero, and all that they name lives on: the caller's part.
pub fn execute(path: &[u8], argv: &[usize], envp: &[usize]) -> i32 {
    if argv.last() != Some(&0) || envp.last() != Some(&0) {
        return 22;
    }
    -call(number::EXECVE, [pointer(path), argv.as_ptr() as usize, envp.as_ptr() as usize, 0, 0, 0]) as i32
}

/// Asks for a user namespace of its own.
pub fn unshare_user() -> Result<usize> {
    const NEWUSER: usize = 0x1000_0000;
    checked(call(number::UNSHARE, [NEWUSER, 0, 0, 0, 0, 0]))
}
