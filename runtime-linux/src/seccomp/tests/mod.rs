//! The compiled programs against a straight reading of the JSON, against another compiler, and on the kernel.

mod bpf;
mod default_profile;
mod heard;
mod live;
mod oracle;
mod properties;
mod refusals;

use super::Call;
use super::compile::{Hear, Instruction, Machine, compile, read};
use serde_json::Value;

const DEFAULT_JSON: &str = include_str!("../../../../seccomp-profiles/default.json");
const STRICT_JSON: &str = include_str!("../../../../seccomp-profiles/strict.json");
const GUARD_JSON: &str = include_str!("../../../../seccomp-profiles/guard.json");
const MACHINES: [Machine; 2] = [Machine::X86_64, Machine::Aarch64];
const KILL: u32 = 0x8000_0000;
const ALLOW: u32 = 0x7FFF_0000;
const NOTIFY: u32 = 0x7FC0_0000;

fn errno(number: i32) -> u32 {
    0x0005_0000 | number as u32
}

fn default_profile() -> Value {
    serde_json::from_str(DEFAULT_JSON).expect("default.json is JSON")
}

fn compiled(json: &str, machine: Machine) -> Vec<Instruction> {
    compiled_to(json, machine, Hear::Nothing)
}

fn compiled_to(json: &str, machine: Machine, hear: Hear) -> Vec<Instruction> {
    read(json, machine)
        .and_then(|profile| compile(&[], &profile, machine, hear))
        .unwrap_or_else(|error| panic!("{error}"))
}
