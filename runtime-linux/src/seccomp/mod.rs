//! The filter of system calls: which program a plan's profile means. Whoever builds the child installs it.
//!
//! The profiles are data in `seccomp-profiles/`; `build.rs` compiles them through [`compile`]. That module needs
//! nothing of the build, so that profiles chosen at run time can take the same way.

#[cfg(test)]
mod compile;
#[cfg(test)]
mod tests;

use aido_runtime::SyscallProfile;
use sha2::{Digest, Sha256};
use std::fmt::Write as _;

include!(concat!(env!("OUT_DIR"), "/seccomp_default.rs"));

/// A compiled filter. It lives as long as the process, so a child can hold the bare pointer across a clone.
#[derive(Clone, Copy)]
pub(crate) struct Program {
    instructions: &'static [libc::sock_filter],
}

pub(crate) fn program(profile: &SyscallProfile) -> Program {
    match profile {
        SyscallProfile::Default => Program { instructions: DEFAULT },
    }
}

impl Program {
    pub(crate) fn instructions(&self) -> &'static [libc::sock_filter] {
        self.instructions
    }

    /// What `seccomp(SECCOMP_SET_MODE_FILTER, 0, …)` takes. The kernel only reads through the pointer.
    #[cfg(test)]
    pub(crate) fn fprog(&self) -> libc::sock_fprog {
        // The compiler bounds a program at 4096 instructions.
        let len = self.instructions.len() as libc::c_ushort;
        libc::sock_fprog { len, filter: self.instructions.as_ptr().cast_mut() }
    }

    /// SHA-256, in hex, of the instructions as they lie in memory: what was in force, for the evidence.
    pub(crate) fn digest(&self) -> String {
        let mut hash = Sha256::new();
        for libc::sock_filter { code, jt, jf, k } in self.instructions {
            hash.update(code.to_ne_bytes());
            hash.update([*jt, *jf]);
            hash.update(k.to_ne_bytes());
        }
        hash.finalize().iter().fold(String::with_capacity(64), |mut hex, byte| {
            let _ = write!(hex, "{byte:02x}");
            hex
        })
    }
}
