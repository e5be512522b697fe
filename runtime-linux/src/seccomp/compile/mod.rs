//! From an OCI seccomp profile to a BPF program.
//!
//! [`read`] takes the JSON, [`compile`] goes three steps: the profile becomes one decision for each range of
//! call numbers ([`decide`]), the ranges a graph of tests ([`graph`]), the graph instructions ([`assemble`]).
//! `build.rs` includes this folder as it stands, so it depends on the profile's types and the tables of call
//! numbers alone, and can be used at run time as well.

mod assemble;
mod decide;
mod error;
mod graph;
mod machine;
mod profile;

pub(crate) use assemble::Instruction;
pub(crate) use error::Error;
pub(crate) use machine::Machine;
use oci_spec::runtime::LinuxSeccomp;
pub(crate) use profile::read;

/// The kernel's own bound (`BPF_MAXINSNS`).
const MOST_INSTRUCTIONS: usize = 4096;

/// Who learns that a call was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hear {
    /// The caller alone: it gets the profile's answer.
    Nothing,
    /// A listener is told first, and gives that answer (`SECCOMP_RET_USER_NOTIF`).
    Refusals,
}

/// Compiles a profile for one machine, below others that allow by default: where one of those refuses, that is the
/// answer.
pub(crate) fn compile(
    above: &[LinuxSeccomp],
    profile: &LinuxSeccomp,
    machine: Machine,
    hear: Hear,
) -> Result<Vec<Instruction>, Error> {
    let mut ranges = decide::ranges(profile, machine, hear)?;
    for restriction in above {
        ranges = decide::over(&decide::ranges(restriction, machine, hear)?, &ranges);
    }
    let (graph, root) = graph::build(&ranges, machine);
    let program = assemble::assemble(&graph, root);
    match program.len() {
        instructions if instructions > MOST_INSTRUCTIONS => Err(Error::TooLong { instructions }),
        _ => Ok(program),
    }
}
