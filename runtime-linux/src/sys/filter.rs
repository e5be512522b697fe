//! Filters of system calls: installing one, and hearing what it refuses. The second place for the calls that
//! [`super`] is for.

use super::{Errno, Result, check};
use libc::c_long;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};

/// Since Linux 5.19: whoever waits for an answer is disturbed by deadly signals only.
const WAIT_KILLABLE: libc::c_ulong = 1 << 5;

/// Installs a filter that answers by itself. Without capabilities this wants no-new-privs.
pub(crate) fn install(filter: &'static [libc::sock_filter]) -> Result<()> {
    set_mode(0, filter).map(drop)
}

/// Installs a filter that asks a listener where it refuses: the listener's descriptor, closed at an exec.
pub(crate) fn install_heard(filter: &'static [libc::sock_filter]) -> Result<RawFd> {
    let listen = libc::SECCOMP_FILTER_FLAG_NEW_LISTENER;
    match set_mode(listen | WAIT_KILLABLE, filter) {
        Err(Errno(libc::EINVAL)) => set_mode(listen, filter),
        other => other,
    }
    .map(|fd| fd as RawFd)
}

fn set_mode(flags: libc::c_ulong, filter: &'static [libc::sock_filter]) -> Result<c_long> {
    let program = libc::sock_fprog { len: filter.len() as u16, filter: filter.as_ptr().cast_mut() };
    // SAFETY: the kernel reads `len` instructions and changes none.
    check(unsafe {
        libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, flags, &program as *const libc::sock_fprog)
    })
}

/// A call that waits for its answer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked {
    id: u64,
    /// The thread that made it, by its number here; 0 where it cannot be seen from here.
    pub(crate) pid: i32,
    pub(crate) arch: u32,
    pub(crate) number: i32,
    pub(crate) args: [u64; 6],
}

/// `_IOWR('!', number, …)` with the size of what goes along.
const fn request(direction: u32, number: u32, size: usize) -> libc::Ioctl {
    ((direction << 30) | ((size as u32) << 16) | ((b'!' as u32) << 8) | number) as libc::Ioctl
}

const RECEIVE: libc::Ioctl = request(3, 0, size_of::<libc::seccomp_notif>());
const SEND: libc::Ioctl = request(3, 1, size_of::<libc::seccomp_notif_resp>());
const SET_FLAGS: libc::Ioctl = request(1, 4, size_of::<u64>());
/// Since Linux 6.6: who asks and who answers change places on one processor.
const WAKE_AT_ONCE: libc::c_ulong = 1;

/// Takes the next question. To be called when the descriptor is readable; ENOENT: whoever asked is gone.
pub(crate) fn next(listener: BorrowedFd<'_>) -> Result<Asked> {
    // SAFETY: plain data; the kernel wants it to be all zeros before it fills it.
    let mut asked: libc::seccomp_notif = unsafe { std::mem::zeroed() };
    // SAFETY: the structure is ours and of the size that the request names.
    check(unsafe { libc::ioctl(listener.as_raw_fd(), RECEIVE, &mut asked) } as c_long)?;
    let libc::seccomp_notif { id, pid, data, .. } = asked;
    Ok(Asked { id, pid: pid as i32, arch: data.arch, number: data.nr, args: data.args })
}

/// Answers come sooner from now on, where the kernel knows how: a fifth of the time, as measured.
pub(crate) fn wake_at_once(listener: BorrowedFd<'_>) -> Result<()> {
    // SAFETY: numbers only.
    check(unsafe { libc::ioctl(listener.as_raw_fd(), SET_FLAGS, WAKE_AT_ONCE) } as c_long).map(drop)
}

/// Answers with an error.
pub(crate) fn refuse(listener: BorrowedFd<'_>, asked: &Asked, errno: i32) -> Result<()> {
    send(listener, libc::seccomp_notif_resp { id: asked.id, val: 0, error: -errno, flags: 0 })
}

/// Lets a call go on as if nobody had asked. Only for calls that the filter would have allowed by itself, whatever the
/// task's memory says: the kernel reads that once more.
pub(crate) fn go_on(listener: BorrowedFd<'_>, asked: &Asked) -> Result<()> {
    let flags = libc::SECCOMP_USER_NOTIF_FLAG_CONTINUE as u32;
    send(listener, libc::seccomp_notif_resp { id: asked.id, val: 0, error: 0, flags })
}

fn send(listener: BorrowedFd<'_>, answer: libc::seccomp_notif_resp) -> Result<()> {
    // SAFETY: reads the structure, whose size the request names.
    check(unsafe { libc::ioctl(listener.as_raw_fd(), SEND, &answer) } as c_long).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_requests_are_those_of_the_kernels_header() {
        assert_eq!(RECEIVE as u32, 0xC050_2100);
        assert_eq!(SEND as u32, 0xC018_2101);
        assert_eq!(SET_FLAGS as u32, 0x4008_2104);
    }
}
