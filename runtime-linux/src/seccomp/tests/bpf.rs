//! The kernel's filter machine, as far as seccomp permits it, with the kernel's checks.

use super::Call;
use crate::seccomp::compile::Instruction;

/// Runs a program on a call. Panics where the kernel would not have taken the program.
pub(super) fn run(program: &[Instruction], call: &Call) -> u32 {
    assert!((1..=4096).contains(&program.len()), "the kernel takes 1 to 4096 instructions, not {}", program.len());
    let mut accumulator = 0;
    let mut at = 0;
    loop {
        let Instruction { code, jt, jf, k } =
            *program.get(at).unwrap_or_else(|| panic!("a jump leaves the program of {} at {at}", program.len()));
        at += 1;
        let branch = |taken: bool| usize::from(if taken { jt } else { jf });
        match code {
            0x20 => accumulator = word(call, k),
            0x54 => accumulator &= k,
            0x05 => at += k as usize,
            0x15 => at += branch(accumulator == k),
            0x25 => at += branch(accumulator > k),
            0x35 => at += branch(accumulator >= k),
            0x45 => at += branch(accumulator & k != 0),
            0x06 => return k,
            _ => panic!("instruction {code:#x} at {}: not one that seccomp knows", at - 1),
        }
    }
}

/// `struct seccomp_data` on a little-endian machine.
fn word(call: &Call, offset: u32) -> u32 {
    let mut data = [0; 64];
    data[0..4].copy_from_slice(&call.number.to_le_bytes());
    data[4..8].copy_from_slice(&call.arch.to_le_bytes());
    data[8..16].copy_from_slice(&0x7F00_1234_5678_u64.to_le_bytes()); // the instruction pointer
    for (place, arg) in data[16..].chunks_exact_mut(8).zip(call.args) {
        place.copy_from_slice(&arg.to_le_bytes());
    }
    let offset = offset as usize;
    assert!(offset.is_multiple_of(4) && offset + 4 <= data.len(), "no word at offset {offset}");
    u32::from_le_bytes(data[offset..offset + 4].try_into().expect("four bytes"))
}
