//! From an OCI seccomp profile to a BPF program.
//!
//! [`read`] takes the JSON, [`compile`] goes four steps: the profile becomes one decision for each range of
//! call numbers ([`decide`]), calls that get on record are asked about ([`asked`]), the ranges a graph of tests ([`graph`]), the graph instructions ([`assemble`]).
//! `build.rs` includes this folder as it stands, so it depends on the profile's types and the tables of call
//! numbers alone, and can be used at run time as well.

mod asked;
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

/// What a listener is told of (`SECCOMP_RET_USER_NOTIF`); each holds what the one before it holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Hear {
    /// Nothing: who makes a call gets the profile's answer.
    Nothing,
    /// Calls that are refused, to which the listener gives the profile's answer, and allowed ones, which it lets go on:
    /// those that name an address to send to.
    Connections,
    /// … execute something, or change files by their paths.
    Changes,
    /// … open files.
    Reads,
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
    let (graph, root) = graph::build(&asked::ask(&ranges, machine, hear), machine);
    let program = assemble::assemble(&graph, root);
    match program.len() {
        instructions if instructions > MOST_INSTRUCTIONS => Err(Error::TooLong { instructions }),
        _ => Ok(program),
    }
}
