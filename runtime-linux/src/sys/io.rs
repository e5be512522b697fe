//! Descriptors and what goes through them. The fourth place for the calls that [`super`] is for.

use super::{Errno, Result, check};
use libc::c_long;
use rustix::event::{PollFd, PollFlags, Timespec};
use std::os::fd::{BorrowedFd, RawFd};

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

/// Writes one packet or piece; a socket that keeps packets whole takes it as one.
pub(crate) fn write(fd: RawFd, bytes: &[u8]) -> Result<()> {
    // SAFETY: the bytes outlive the call and their length is given.
    check(unsafe { libc::write(fd, bytes.as_ptr().cast(), bytes.len()) } as c_long).map(drop)
}

/// Reads one packet: its length; zero when the other end is gone.
pub(crate) fn read(fd: RawFd, buffer: &mut [u8]) -> Result<usize> {
    loop {
        // SAFETY: the buffer is ours and its length is given.
        match check(unsafe { libc::read(fd, buffer.as_mut_ptr().cast(), buffer.len()) } as c_long) {
            Err(Errno(libc::EINTR)) => {}
            other => return other.map(|n| n as usize),
        }
    }
}

pub(crate) fn close(fd: RawFd) {
    // SAFETY: numbers only; the caller holds no owner of this descriptor.
    unsafe { libc::close(fd) };
}

/// Makes the terminal on descriptor `fd` the controlling one of this process's session, which has none.
pub(crate) fn take_terminal(fd: RawFd) -> Result<()> {
    // SAFETY: numbers only.
    check(unsafe { libc::ioctl(fd, libc::TIOCSCTTY as _, 0) } as c_long).map(drop)
}

/// Sends one packet, with up to three descriptors.
pub(crate) fn send(socket: RawFd, packet: &[u8], descriptors: &[RawFd]) -> Result<()> {
    let mut part = libc::iovec { iov_base: packet.as_ptr().cast_mut().cast(), iov_len: packet.len() };
    // Room for one control message with three descriptors, aligned as its header wants it.
    let mut control = [0u64; 4];
    let length = size_of_val(descriptors) as u32;
    if length > 12 {
        return Err(Errno(libc::EINVAL));
    }
    // SAFETY: all pointers are to locals that outlive the call; CMSG_SPACE(12) is 32 bytes.
    unsafe {
        let mut message: libc::msghdr = std::mem::zeroed();
        message.msg_iov = &mut part;
        message.msg_iovlen = 1;
        if !descriptors.is_empty() {
            message.msg_control = control.as_mut_ptr().cast();
            message.msg_controllen = libc::CMSG_SPACE(length) as _;
            let header = libc::CMSG_FIRSTHDR(&message);
            (*header).cmsg_level = libc::SOL_SOCKET;
            (*header).cmsg_type = libc::SCM_RIGHTS;
            (*header).cmsg_len = libc::CMSG_LEN(length) as _;
            std::ptr::copy_nonoverlapping(descriptors.as_ptr().cast::<u8>(), libc::CMSG_DATA(header), length as usize);
        }
        check(libc::sendmsg(socket, &message, libc::MSG_NOSIGNAL) as c_long).map(drop)
    }
}

/// Waits for readability of up to two descriptors: which of them are ready.
pub(crate) fn wait_readable(fds: [RawFd; 2], timeout_ms: i32) -> Result<[bool; 2]> {
    let mut ready = [false; 2];
    // SAFETY: the descriptors are the caller's and stay open for as long as the call takes; a number below zero, which
    // stands for none, is not borrowed.
    let [first, second] = fds.map(|fd| unsafe { BorrowedFd::borrow_raw(if fd < 0 { fds[0] } else { fd }) });
    let mut both = [PollFd::from_borrowed_fd(first, PollFlags::IN), PollFd::from_borrowed_fd(second, PollFlags::IN)];
    // Never the same one twice: what comes between two looks at it would be seen by the second alone.
    let wanted = if fds[1] < 0 { 1 } else { 2 };
    let polled = both.get_mut(..wanted).unwrap_or_default();
    let until = now_ms() + i64::from(timeout_ms);
    loop {
        let left = (until - now_ms()).max(0);
        let timeout = Timespec { tv_sec: left / 1000, tv_nsec: left % 1000 * 1_000_000 };
        // By no function of the C library's: its pages would be the only ones of it that a guard holds while it waits.
        match rustix::event::poll(polled, (timeout_ms >= 0).then_some(&timeout)) {
            Ok(_) => {
                for (ready, polled) in ready.iter_mut().zip(polled.iter()) {
                    *ready = !polled.revents().is_empty();
                }
                return Ok(ready);
            }
            // A signal is no reason to wait for less.
            Err(rustix::io::Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
}

/// Milliseconds since the machine was started, those that it slept included.
pub(crate) fn now_ms() -> i64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    now.tv_sec * 1000 + now.tv_nsec / 1_000_000
}

/// Takes what a [`child_watch`] has to say, so that it is silent until the next change.
pub(crate) fn drain(fd: RawFd) {
    let mut buffer = [0u8; 512];
    // SAFETY: the buffer is ours and its length is given.
    while unsafe { libc::read(fd, buffer.as_mut_ptr().cast(), buffer.len()) } > 0 {}
}
