//! The filter of system calls: which programs a plan's profile means. Whoever builds the child installs them.
//!
//! The profiles are data in `seccomp-profiles/`; `build.rs` compiles them through [`compile`]. A user's own
//! profile takes the same way when it is used.

mod answer;
mod compile;
mod refusal;
#[cfg(test)]
mod tests;

pub(crate) use answer::{Call, answer};
pub(crate) use refusal::{detail, errno_name, name};

use aido_runtime::{Error, Record, SyscallProfile};
use compile::{Hear, Machine};
use sha2::{Digest, Sha256};
use std::fmt::Write as _;

include!(concat!(env!("OUT_DIR"), "/seccomp_default.rs"));
include!(concat!(env!("OUT_DIR"), "/seccomp_strict.rs"));
include!(concat!(env!("OUT_DIR"), "/seccomp_guard.rs"));

const DEFAULT_JSON: &str = include_str!("../../../seccomp-profiles/default.json");
const STRICT_JSON: &str = include_str!("../../../seccomp-profiles/strict.json");
/// What is refused where the second wall is the only one.
pub(crate) const WALL_ALONE: &str = include_str!("../../../seccomp-profiles/landlock.json");
/// … and Landlock does not bound signals.
pub(crate) const NO_SIGNALS: &str = include_str!("../../../seccomp-profiles/landlock-signals.json");

/// `SECCOMP_RET_ALLOW`
const ALLOW: u32 = 0x7FFF_0000;
/// `SECCOMP_RET_USER_NOTIF`
const NOTIFY: u32 = 0x7FC0_0000;

/// What a profile says of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Allowed,
    /// The number of the error.
    Refused(i32),
}

/// A compiled filter. It lives as long as the process, so a child can hold the bare pointer across a clone.
#[derive(Clone, Copy)]
pub(crate) struct Program(&'static [libc::sock_filter]);

/// The filters of one run.
#[derive(Clone, Copy)]
pub(crate) struct Filters {
    /// The profile itself.
    pub(crate) plain: Program,
    /// The same, asking the supervisor where it refuses, and about what is to be on record. None: the profile has no
    /// room for the handshake.
    pub(crate) heard: Option<Program>,
    /// That of the sandbox's first process.
    pub(crate) guard: Program,
}

impl Filters {
    /// What a plan's profile means here.
    pub(crate) fn of(profile: &SyscallProfile, record: Record) -> Result<Filters, Error> {
        let ours = |[connections, changes, reads]: [&'static [libc::sock_filter]; 3]| match record {
            Record::Refusals => Program(connections),
            Record::Standard => Program(changes),
            Record::Full => Program(reads),
        };
        match profile {
            SyscallProfile::Default => {
                Filters::new(Program(DEFAULT), ours([DEFAULT_CONNECTIONS, DEFAULT_CHANGES, DEFAULT_READS]))
            }
            SyscallProfile::Strict => {
                Filters::new(Program(STRICT), ours([STRICT_CONNECTIONS, STRICT_CHANGES, STRICT_READS]))
            }
            SyscallProfile::File { .. } => Filters::under(&[], profile, record),
        }
    }

    /// The same below restrictions, compiled now: where one of them refuses, that is the answer.
    pub(crate) fn under(above: &[&str], profile: &SyscallProfile, record: Record) -> Result<Filters, Error> {
        let (name, json) = match profile {
            SyscallProfile::Default => ("default".to_string(), DEFAULT_JSON),
            SyscallProfile::Strict => ("strict".to_string(), STRICT_JSON),
            SyscallProfile::File { path, profile } => (path.display().to_string(), profile.as_str()),
        };
        let failed = |why: String| {
            Error::new(format!("the profile of system calls {name} cannot be used: {why}")).remedy(
                "the form is that of Docker and of the OCI runtime specification; seccomp-profiles/README.md explains \
                 it, and `--syscalls default` does without",
            )
        };
        let plain = own(above, json, Hear::Nothing).map_err(failed)?;
        let hear = match record {
            Record::Refusals => Hear::Connections,
            Record::Standard => Hear::Changes,
            Record::Full => Hear::Reads,
        };
        Filters::new(plain, own(above, json, hear).map_err(failed)?)
    }

    fn new(plain: Program, heard: Program) -> Result<Filters, Error> {
        if let Some(missing) = ["read", "write", "execve", "exit_group"].iter().find(|call| !plain.allows(call)) {
            return Err(Error::new(format!(
                "the profile of system calls allows no `{missing}`, without which nothing can be started"
            )));
        }
        Ok(Filters { plain, heard: plain.allows("sendmsg").then_some(heard), guard: Program(GUARD) })
    }

    /// The error that this profile gives to who makes a user namespace; none where it allows that.
    pub(crate) fn namespace_answer(&self) -> Option<i32> {
        let machine = Machine::here()?;
        let args = [libc::CLONE_NEWUSER as u64, 0, 0, 0, 0, 0];
        let answer = self.plain.answer(&Call { arch: machine.audit(), number: machine.number("unshare")?, args });
        (answer & 0xFFFF_0000 == 0x0005_0000).then_some((answer & 0xFFFF) as i32)
    }

    /// Calls that this profile allows, whatever their arguments, and that aido's own refuse on purpose.
    pub(crate) fn beyond_default(&self) -> Vec<&'static str> {
        let Some(machine) = Machine::here() else { return Vec::new() };
        let answer = |program: Program, number| program.answer(&Call { arch: machine.audit(), number, args: [0; 6] });
        let refused = |number| answer(Program(DEFAULT), number) != ALLOW;
        let on_purpose = |number| refused(number) && answer(Program(DEFAULT_CONNECTIONS), number) == NOTIFY;
        let beyond = |number: &u32| answer(self.plain, *number) == ALLOW && on_purpose(*number);
        (0..1024).filter(beyond).filter_map(|number| machine.name(number)).collect()
    }
}

fn own(above: &[&str], json: &str, hear: Hear) -> Result<Program, String> {
    let machine = Machine::here().ok_or("this machine has no table of calls")?;
    let read = |json: &str| compile::read(json, machine);
    let above = above.iter().map(|json| read(json)).collect::<Result<Vec<_>, _>>().map_err(|e| e.to_string())?;
    let program = read(json)
        .and_then(|profile| compile::compile(&above, &profile, machine, hear))
        .map_err(|error| error.to_string())?;
    Ok(Program(Box::leak(program.into_iter().map(filter).collect::<Box<[_]>>())))
}

/// Calls that no profile refuses, and that are asked about all the same.
#[cfg(test)]
pub(crate) fn asked_although_allowed() -> Vec<String> {
    let all = (0..1024).map(|number| Call { arch: Machine::here().map_or(0, Machine::audit), number, args: [1; 6] });
    let asked = all.filter(|call| answer(DEFAULT, call) == Some(ALLOW) && answer(DEFAULT_READS, call) == Some(NOTIFY));
    asked.map(|call| name(call.number)).collect()
}

fn filter(instruction: compile::Instruction) -> libc::sock_filter {
    let compile::Instruction { code, jt, jf, k } = instruction;
    libc::sock_filter { code, jt, jf, k }
}

impl Program {
    /// What processes of aido's own are under that look after others by `/proc`.
    pub(crate) fn of_default() -> Program {
        Program(DEFAULT)
    }

    pub(crate) fn instructions(&self) -> &'static [libc::sock_filter] {
        self.0
    }

    /// The kernel takes no program that has no answer.
    pub(crate) fn answer(&self, call: &Call) -> u32 {
        answer(self.0, call).unwrap_or(0)
    }

    /// What it means for who asks before. A call that ends its process, or goes to a listener that there is none of,
    /// is refused as the kernel does it where nobody listens.
    pub(crate) fn verdict(&self, call: &Call) -> Verdict {
        match self.answer(call) {
            ALLOW => Verdict::Allowed,
            answer if answer & 0xFFFF_0000 == 0x0005_0000 => Verdict::Refused((answer & 0xFFFF) as i32),
            _ => Verdict::Refused(libc::ENOSYS),
        }
    }

    fn allows(&self, name: &str) -> bool {
        let call = Machine::here()
            .and_then(|machine| Some(Call { arch: machine.audit(), number: machine.number(name)?, args: [0; 6] }));
        call.is_some_and(|call| self.answer(&call) == ALLOW)
    }

    /// SHA-256, in hex, of the instructions as they lie in memory: what was in force, for the evidence.
    pub(crate) fn digest(&self) -> String {
        let mut hash = Sha256::new();
        for libc::sock_filter { code, jt, jf, k } in self.0 {
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
