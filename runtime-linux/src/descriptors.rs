//! Closing descriptors where `close_range` is hidden: a container's filter may be older than that call.
//!
//! Runs in the child too, so: no heap, nothing that may panic.

use crate::sys::{Errno, Result};
use rustix::fd::AsRawFd;
use rustix::fs::{Mode, OFlags, RawDir};
use std::mem::MaybeUninit;

/// Closes the open descriptors of this process from `first` to `last`, by the kernel's own list of them.
pub(crate) fn close_listed(first: u32, last: u32) -> Result<()> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let list = rustix::fs::open(c"/proc/self/fd", flags, Mode::empty())?;
    let own = list.as_raw_fd();
    let mut room = [MaybeUninit::<u8>::uninit(); 2048];
    let mut entries = RawDir::new(&list, &mut room);
    while let Some(entry) = entries.next() {
        let Some(number) = number(entry?.file_name().to_bytes()) else { continue };
        if number != own && u32::try_from(number).is_ok_and(|fd| (first..=last).contains(&fd)) {
            nix::unistd::close(number).map_err(|errno| Errno(errno as i32))?;
        }
    }
    Ok(())
}

/// The list has `.` and `..` too.
fn number(name: &[u8]) -> Option<i32> {
    name.iter().try_fold(0i32, |sum, byte| match byte {
        b'0'..=b'9' => sum.checked_mul(10)?.checked_add(i32::from(byte - b'0')),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::sys::wait::{WaitStatus, waitpid};

    #[test]
    fn only_numbers_are_descriptors() {
        assert_eq!((number(b"0"), number(b"1024")), (Some(0), Some(1024)));
        assert_eq!((number(b"."), number(b"99999999999")), (None, None));
    }

    /// In a process of its own, since the test's descriptors belong to other tests as well.
    #[test]
    fn all_of_the_range_is_closed_and_nothing_else() {
        let many: Vec<_> = (0..300).map(|_| std::fs::File::open("/dev/null").unwrap()).collect();
        let (low, high) = (many[20].as_raw_fd(), many[280].as_raw_fd());
        let child = crate::sys::fork().unwrap();
        if child == 0 {
            // Other threads of the test may have held the heap's lock: none is taken here.
            let open = |file: &std::fs::File| nix::fcntl::fcntl(file, nix::fcntl::FcntlArg::F_GETFD).is_ok();
            let first = close_listed(low as u32, high as u32);
            let right = many.iter().all(|file| open(file) != (low..=high).contains(&file.as_raw_fd()));
            let rest = close_listed(3, u32::MAX);
            let none = many.iter().all(|file| !open(file));
            crate::sys::leave(if first.is_ok() && right && rest.is_ok() && none { 7 } else { 1 });
        }
        assert_eq!(
            waitpid(nix::unistd::Pid::from_raw(child), None),
            Ok(WaitStatus::Exited(nix::unistd::Pid::from_raw(child), 7))
        );
    }
}
