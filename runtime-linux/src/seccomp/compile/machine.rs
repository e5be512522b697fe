//! The machines that filters are compiled for, and what is special about each.

use oci_spec::runtime::Arch;
use syscalls::{aarch64, x86_64};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Machine {
    X86_64,
    Aarch64,
}

/// On x86_64 the numbers from here on belong to the x32 ABI, with other meanings of arguments.
const X32: u32 = 0x4000_0000;
/// A tracer writes this number to have a call skipped. It is no ABI's number.
const SKIPPED: u32 = u32::MAX;

impl Machine {
    /// The one that this program was built for.
    pub(crate) fn here() -> Option<Machine> {
        Machine::named(std::env::consts::ARCH)
    }

    /// By the name that Rust and Cargo use.
    pub(crate) fn named(name: &str) -> Option<Machine> {
        match name {
            "x86_64" => Some(Machine::X86_64),
            "aarch64" => Some(Machine::Aarch64),
            _ => None,
        }
    }

    /// The value in `seccomp_data.arch` (`AUDIT_ARCH_*`: ELF machine, 64-bit, little-endian).
    pub(crate) fn audit(self) -> u32 {
        match self {
            Machine::X86_64 => 0xC000_003E,
            Machine::Aarch64 => 0xC000_00B7,
        }
    }

    pub(crate) fn oci(self) -> (Arch, &'static str) {
        match self {
            Machine::X86_64 => (Arch::ScmpArchX86_64, "SCMP_ARCH_X86_64"),
            Machine::Aarch64 => (Arch::ScmpArchAarch64, "SCMP_ARCH_AARCH64"),
        }
    }

    /// The number of a call, if this machine has it.
    pub(crate) fn number(self, name: &str) -> Option<u32> {
        let number = match self {
            Machine::X86_64 => name.parse::<x86_64::Sysno>().ok()?.id(),
            Machine::Aarch64 => {
                // Profiles use the kernel's name, the table the C library's.
                let name = if name == "newfstatat" { "fstatat" } else { name };
                name.parse::<aarch64::Sysno>().ok()?.id()
            }
        };
        let number = u32::try_from(number).ok()?;
        // The table lists the calls that only 32-bit machines have in this gap.
        let absent = self == Machine::Aarch64 && (403..424).contains(&number);
        (!absent).then_some(number)
    }

    /// The call behind a number, as profiles name it.
    pub(crate) fn name(self, number: u32) -> Option<&'static str> {
        match self {
            Machine::X86_64 => x86_64::Sysno::new(number as usize).map(|call| call.name()),
            Machine::Aarch64 if (403..424).contains(&number) => None,
            Machine::Aarch64 => match aarch64::Sysno::new(number as usize)?.name() {
                "fstatat" => Some("newfstatat"),
                name => Some(name),
            },
        }
    }

    /// The numbers that call into another ABI although `arch` is the native one: first and last.
    pub(crate) fn foreign_numbers(self) -> Option<(u32, u32)> {
        match self {
            Machine::X86_64 => Some((X32, SKIPPED - 1)),
            Machine::Aarch64 => None,
        }
    }
}
