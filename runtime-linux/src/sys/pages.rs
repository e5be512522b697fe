//! The program's own pages while nothing happens.

use libc::{c_int, c_void, dl_phdr_info, size_t};
use nix::poll::{PollFd, PollTimeout, poll};
use rustix::param::page_size;
use std::cell::Cell;
use std::os::fd::{AsFd, AsRawFd};
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;

/// Nothing happened for so long: the wait may be a long one.
const QUIET_MS: u16 = 250;

/// A wait in whose course the program's text and constants are let go of. They stay in the kernel's cache for as long as
/// there is room and come back page by page; a process that only waits holds next to nothing.
#[derive(Debug, Default)]
pub struct Rest {
    resting: Cell<bool>,
}

impl Rest {
    /// `poll(2)`.
    pub fn poll(&self, polled: &mut [PollFd<'_>], timeout: PollTimeout) -> nix::Result<c_int> {
        let quiet = PollTimeout::from(QUIET_MS);
        if self.resting.get() || (timeout.is_some() && timeout <= quiet) {
            let ready = poll(polled, timeout)?;
            self.resting.set(self.resting.get() && ready == 0);
            return Ok(ready);
        }
        let ready = poll(polled, quiet)?;
        if ready > 0 {
            return Ok(ready);
        }
        // The rest of it from here: going round once more would bring half of the pages back.
        let left = match i32::from(timeout) {
            ms if ms > i32::from(QUIET_MS) => Some(i64::from(ms) - i64::from(QUIET_MS)),
            ms if ms < 0 => None,
            ms => Some(i64::from(ms)),
        };
        let ready = if held_back(polled, left)? { poll(polled, PollTimeout::ZERO)? } else { 0 };
        self.resting.set(ready == 0);
        Ok(ready)
    }
}

/// Waits with the pages let go of; whether something happened. Between the two no function is called that lies elsewhere:
/// one is enough to have 64 KiB around it mapped again.
#[inline(never)]
fn held_back(polled: &[PollFd<'_>], left_ms: Option<i64>) -> nix::Result<bool> {
    let events = |fd: &PollFd<'_>| rustix::event::PollFlags::from_bits_retain(fd.events().bits() as u16);
    let mut waits: Vec<_> = polled
        .iter()
        .map(|fd| {
            // SAFETY: a copy of the number for a wait that ends before the borrow that it is copied from.
            let same = unsafe { std::os::fd::BorrowedFd::borrow_raw(fd.as_fd().as_raw_fd()) };
            rustix::event::PollFd::from_borrowed_fd(same, events(fd))
        })
        .collect();
    let left = left_ms.map(|ms| rustix::event::Timespec { tv_sec: ms / 1000, tv_nsec: ms % 1000 * 1_000_000 });
    trim();
    let_go();
    match rustix::event::poll(&mut waits, left.as_ref()) {
        Ok(ready) => Ok(ready > 0),
        Err(errno) => Err(nix::errno::Errno::from_raw(errno.raw_os_error())),
    }
}

/// Where the program's text and constants lie: first byte and length of each piece, in whole pages.
static PIECES: [[AtomicUsize; 2]; 8] = [const { [const { AtomicUsize::new(0) }; 2] }; 8];

/// Looks where they lie, for [`let_go`]. The process has one thread yet.
pub(super) fn look() {
    // SAFETY: the callback has the signature that is asked for and keeps nothing of what it is shown.
    unsafe { libc::dl_iterate_phdr(Some(of_program), std::ptr::null_mut()) };
}

/// The first object is the program itself; those after it are shared with every process of the host anyway.
extern "C" fn of_program(object: *mut dl_phdr_info, _: size_t, _: *mut c_void) -> c_int {
    let page = page_size();
    // SAFETY: the loader shows a whole structure, and its table of segments lives as long as the program.
    let (base, segments) = unsafe {
        let object = &*object;
        (object.dlpi_addr as usize, std::slice::from_raw_parts(object.dlpi_phdr, object.dlpi_phnum.into()))
    };
    let fixed = segments.iter().filter(|s| s.p_type == libc::PT_LOAD && s.p_flags & libc::PF_W == 0);
    for (segment, [first, length]) in fixed.zip(&PIECES) {
        let start = (base + segment.p_vaddr as usize).next_multiple_of(page);
        let end = (base + (segment.p_vaddr + segment.p_filesz) as usize) / page * page;
        length.store(end.saturating_sub(start), Relaxed);
        first.store(start, Relaxed);
    }
    1
}

/// Unmaps the pages of the program's file that nobody can have written to. May be called between a fork and an exec.
pub(crate) fn let_go() {
    for [first, length] in &PIECES {
        let (first, length) = (first.load(Relaxed), length.load(Relaxed));
        if length > 0 {
            // SAFETY: whole pages of a segment that is mapped from the program's file without the right to write, so each
            // holds what the file holds. The file of a running program cannot be written to; what is touched next is read again.
            let _ = unsafe { rustix::mm::madvise(first as *mut c_void, length, rustix::mm::Advice::LinuxDontNeed) };
        }
    }
}

/// Lets all threads of this process share one heap: each would have its own, for a few bytes.
pub fn share_one_heap() {
    #[cfg(target_env = "gnu")]
    // SAFETY: the allocator's own function, with a number.
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, 1)
    };
}

/// Gives freed memory back to the kernel.
fn trim() {
    #[cfg(target_env = "gnu")]
    // SAFETY: the allocator's own function; it takes its locks and touches nothing that is in use.
    unsafe {
        libc::malloc_trim(0)
    };
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::poll::PollFlags;
    use std::io::Write;
    use std::os::fd::AsFd;

    /// KiB of this process's pages that come from files.
    fn mapped() -> u64 {
        let text = std::fs::read_to_string("/proc/self/status").unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix("RssFile:")).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }

    #[test]
    fn a_long_wait_holds_less_and_what_was_let_go_of_is_there_again() {
        let (reader, mut writer) = std::io::pipe().unwrap();
        look();
        let before = mapped();
        let rest = Rest::default();
        let writing = std::thread::spawn(move || {
            std::thread::sleep(std::time::Duration::from_millis(900));
            let held = mapped();
            writer.write_all(b"x").unwrap();
            held
        });
        let mut polled = [PollFd::new(reader.as_fd(), PollFlags::POLLIN)];
        assert_eq!(rest.poll(&mut polled, PollTimeout::NONE), Ok(1));
        assert!(!rest.resting.get());
        let held = writing.join().unwrap();
        assert!(held < before, "{held} KiB of {before}");
        assert_eq!(format!("{:.3}", std::f64::consts::PI), "3.142");
    }

    #[test]
    fn a_time_is_kept_and_a_rest_ends_with_what_comes() {
        let (reader, mut writer) = std::io::pipe().unwrap();
        let rest = Rest::default();
        let mut polled = [PollFd::new(reader.as_fd(), PollFlags::POLLIN)];
        let begun = std::time::Instant::now();
        while begun.elapsed().as_millis() < 600 {
            assert_eq!(rest.poll(&mut polled, PollTimeout::from(300u16)), Ok(0));
        }
        assert!(rest.resting.get());
        writer.write_all(b"x").unwrap();
        assert_eq!(rest.poll(&mut polled, PollTimeout::from(300u16)), Ok(1));
        assert!(!rest.resting.get());
    }
}
