//! Programs on the machine that the supervisor uses, with the kernel's checks.

use super::Call;
use crate::seccomp::compile::Instruction;
use crate::seccomp::{answer, filter};

/// Runs a program on a call. Panics where the kernel would not have taken the program.
pub(super) fn run(program: &[Instruction], call: &Call) -> u32 {
    assert!((1..=4096).contains(&program.len()), "the kernel takes 1 to 4096 instructions, not {}", program.len());
    let program: Vec<libc::sock_filter> = program.iter().copied().map(filter).collect();
    answer(&program, call).expect("a program that ends, in instructions that seccomp knows")
}
