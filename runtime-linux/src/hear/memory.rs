//! Reading a task's memory while it waits. It may change what is read at any time: nothing here is more than its word.

use nix::sys::uio::{RemoteIoVec, process_vm_readv};
use nix::unistd::Pid;
use std::io::IoSliceMut;

/// Bytes of a path that the kernel takes.
const PATH: usize = 4096;
/// What most texts fit into.
const SHORT: usize = 256;
/// Bytes of each argument that are read at first.
const WORD: usize = 128;
const PAGE: u64 = 4096;
/// Arguments of one program that are kept, and bytes of them all.
const MOST_ARGS: usize = 64;
const MOST_BYTES: usize = 4096;

/// Reads as much as there is: how many bytes.
pub(super) fn read(pid: i32, address: u64, into: &mut [u8]) -> usize {
    let length = into.len();
    transfer(pid, &pieces(address, length), into)
}

fn transfer(pid: i32, from: &[RemoteIoVec], into: &mut [u8]) -> usize {
    process_vm_readv(Pid::from_raw(pid), &mut [IoSliceMut::new(into)], from).unwrap_or(0)
}

/// Cut at the borders of pages: one that is missing takes nothing else along.
fn pieces(address: u64, length: usize) -> Vec<RemoteIoVec> {
    let mut pieces = Vec::with_capacity(2);
    let (mut at, mut left) = (address, length as u64);
    while left > 0 {
        let here = left.min(PAGE - at % PAGE);
        pieces.push(RemoteIoVec { base: at as usize, len: here as usize });
        left -= here;
        at = match at.checked_add(here) {
            Some(next) => next,
            None => break,
        };
    }
    pieces
}

/// The first word at an address.
pub(super) fn word(pid: i32, address: u64) -> Option<u64> {
    let mut word = [0u8; 8];
    (read(pid, address, &mut word) == word.len()).then(|| u64::from_ne_bytes(word))
}

/// A path as the kernel would take it. None: it is none, or cannot be read.
pub(super) fn path(pid: i32, address: u64) -> Option<Vec<u8>> {
    match text(pid, address, PATH) {
        Some((path, true)) => Some(path),
        _ => None,
    }
}

/// A text up to its end, or as far as it may go, and whether that is all of it.
fn text(pid: i32, address: u64, most: usize) -> Option<(Vec<u8>, bool)> {
    let mut found = vec![0; SHORT.min(most)];
    for length in [found.len(), most] {
        found.resize(length, 0);
        let there = read(pid, address, &mut found);
        if let Some(end) = found.get(..there)?.iter().position(|byte| *byte == 0) {
            found.truncate(end);
            return Some((found, true));
        }
        if there < length || length == most {
            found.truncate(there);
            return (there > 0).then_some((found, false));
        }
    }
    None
}

/// The arguments of a program, and whether something is left out.
pub(super) fn args(pid: i32, address: u64) -> (Vec<String>, bool) {
    let mut array = [0u8; (MOST_ARGS + 1) * 8];
    let there = if address == 0 { 0 } else { read(pid, address, &mut array) };
    let words = array.get(..there).unwrap_or(&[]).chunks_exact(8);
    let words = words.map(|word| u64::from_ne_bytes(word.try_into().unwrap_or_default()));
    let mut addresses: Vec<u64> = words.clone().take_while(|address| *address != 0).collect();
    let mut cut = address != 0 && !words.clone().any(|address| address == 0);
    addresses.truncate(MOST_ARGS);
    // All of them at once: each by itself would cost a call.
    let reach =
        |address: &u64| RemoteIoVec { base: *address as usize, len: WORD.min((PAGE - address % PAGE) as usize) };
    let pieces: Vec<RemoteIoVec> = addresses.iter().map(reach).collect();
    let mut room = vec![0; pieces.iter().map(|piece| piece.len).sum()];
    let there = transfer(pid, &pieces, &mut room);
    let mut begins = 0;
    let (mut args, mut left) = (Vec::with_capacity(addresses.len()), MOST_BYTES);
    for (address, piece) in addresses.iter().zip(&pieces) {
        let begun = room.get(begins..(begins + piece.len).min(there)).unwrap_or(&[]);
        begins += piece.len;
        let (mut arg, whole) = match begun.iter().position(|byte| *byte == 0) {
            Some(end) => (begun.get(..end).unwrap_or(&[]).to_vec(), true),
            None => text(pid, *address, left.max(1)).unwrap_or_default(),
        };
        cut |= !whole || arg.len() > left;
        arg.truncate(left);
        left -= arg.len();
        args.push(String::from_utf8_lossy(&arg).into_owned());
        if left == 0 {
            cut |= args.len() < addresses.len();
            break;
        }
    }
    (args, cut)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::CString;

    fn me() -> i32 {
        std::process::id() as i32
    }

    fn read_args(words: &[&str]) -> (Vec<String>, bool) {
        let words: Vec<CString> = words.iter().map(|word| CString::new(*word).unwrap()).collect();
        let mut pointers: Vec<u64> = words.iter().map(|word| word.as_ptr() as u64).collect();
        pointers.push(0);
        args(me(), pointers.as_ptr() as u64)
    }

    #[test]
    fn arguments_are_read_as_they_are_and_bounded() {
        assert_eq!(read_args(&["cc", "-c", "", "ä.c"]), (["cc", "-c", "", "ä.c"].map(String::from).to_vec(), false));
        let long = "x".repeat(1000);
        assert_eq!(read_args(&["a", &long, "b"]), (vec!["a".into(), long.clone(), "b".into()], false));
        let (many, cut) = read_args(&vec!["y"; 70]);
        assert_eq!((many.len(), cut), (MOST_ARGS, true));
        let (huge, cut) = read_args(&["a", &"z".repeat(100_000), "b"]);
        assert_eq!((huge.iter().map(String::len).sum::<usize>(), cut), (MOST_BYTES, true));
        assert_eq!(args(me(), 0), (vec![], false), "no list at all");
        assert_eq!(args(me(), 8), (vec![], true), "a list that is not there");
    }

    #[test]
    fn a_text_ends_where_its_page_does_if_there_is_no_other() {
        let flags = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
        // SAFETY: two pages of the test's own; the second goes away, the end of the first is filled within its bounds.
        let at = unsafe {
            let at = libc::mmap(std::ptr::null_mut(), 2 * PAGE as usize, flags.0, flags.1, -1, 0).cast::<u8>();
            assert!(!at.cast::<libc::c_void>().eq(&libc::MAP_FAILED));
            libc::munmap(at.add(PAGE as usize).cast(), PAGE as usize);
            at.add(PAGE as usize - 3).copy_from(c"ab".as_ptr().cast(), 3);
            at as u64 + PAGE
        };
        assert_eq!(path(me(), at - 3), Some(b"ab".to_vec()));
        assert_eq!(path(me(), at - 1), Some(vec![]));
        assert_eq!(path(me(), at), None);
        assert_eq!(word(me(), at - 4), None);
        let endless = vec![b'x'; 5000];
        assert_eq!(path(me(), endless.as_ptr() as u64), None, "no path is that long");
    }
}
