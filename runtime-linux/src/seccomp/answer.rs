//! What a program answers to a call: the kernel's filter machine, as far as seccomp permits it.
//!
//! The supervisor gives a refused call the answer that the profile has for it; the tests hold programs
//! against their profiles with it.

/// What the kernel gives a filter to judge, but for the instruction pointer, at which no profile looks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Call {
    pub(crate) arch: u32,
    pub(crate) number: u32,
    pub(crate) args: [u64; 6],
}

/// The value that the program returns; none where the kernel would not have taken the program.
pub(crate) fn answer(program: &[libc::sock_filter], call: &Call) -> Option<u32> {
    let mut accumulator = 0;
    let mut at = 0usize;
    // Jumps only go forward, so a program ends.
    loop {
        let libc::sock_filter { code, jt, jf, k } = *program.get(at)?;
        at += 1;
        let branch = |taken: bool| usize::from(if taken { jt } else { jf });
        match code {
            0x20 => accumulator = word(call, k)?,
            0x54 => accumulator &= k,
            0x05 => at += k as usize,
            0x15 => at += branch(accumulator == k),
            0x25 => at += branch(accumulator > k),
            0x35 => at += branch(accumulator >= k),
            0x45 => at += branch(accumulator & k != 0),
            0x06 => return Some(k),
            _ => return None,
        }
    }
}

/// One word of `struct seccomp_data` on a little-endian machine.
fn word(call: &Call, offset: u32) -> Option<u32> {
    let mut data = [0; 64];
    data[0..4].copy_from_slice(&call.number.to_le_bytes());
    data[4..8].copy_from_slice(&call.arch.to_le_bytes());
    for (place, arg) in data[16..].chunks_exact_mut(8).zip(call.args) {
        place.copy_from_slice(&arg.to_le_bytes());
    }
    let offset = offset as usize;
    let bytes = data.get(offset..offset + 4).filter(|_| offset.is_multiple_of(4))?;
    bytes.try_into().ok().map(u32::from_le_bytes)
}
