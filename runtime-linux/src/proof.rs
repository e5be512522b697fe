//! What a finished sandbox showed before its task started, judged. A trial that does not fail as it must ends the
//! run: better no run than one that is thought to be confined.

use crate::cgroup::Group;
use crate::exec::Weaker;
use crate::handshake::Ready;
use crate::script::Script;
use crate::seccomp::{self, Filters};
use crate::sys;
use aido_runtime::{Control, Enforced, Error};
use std::io::Read;

/// Compares what was tried, and what the kernel says of the task's process, with what must be; adds it to the
/// controls that it proves.
pub(crate) fn judge(
    ready: &Ready,
    script: &Script,
    filters: &Filters,
    group: Option<&Group>,
    weaker: &Weaker,
    enforced: &mut Enforced,
) -> Result<(), Error> {
    let trial = &ready.trial;
    let (read, write) = (script.unreadable.to_string_lossy(), script.unwritable.to_string_lossy());
    let read = refused(&format!("reading {read}"), trial.read, &[libc::EACCES, libc::EPERM])?;
    let write = refused(&format!("making {write}"), trial.write, &[libc::EROFS, libc::EACCES, libc::EPERM])?;
    let connect = reached(script, trial.connect)?;
    // The profile's own answer, which shows that it is the filter in force; else the namespace's bound of none.
    let space = filters.namespace_answer().unwrap_or(libc::ENOSPC);
    let namespace = refused("making a user namespace", trial.namespace, &[space])?;
    let status = Status::of(ready.pid)?;
    // What a process of aido's own holds, or what no rule gives.
    let reading = if script.ops.is_empty() { Control::Files } else { Control::Processes };
    enforced.prove(reading, read);
    enforced.prove(Control::ReadOnly, write);
    enforced.prove(Control::Network, connect);
    enforced.prove(Control::Privileges, format!("{}; {namespace}", status.privileges(script.exec.bounding)?));
    enforced.prove(Control::Syscalls, status.filter()?);
    limits(ready.pid, group, weaker, enforced)
}

/// Without doors there is no way at all; with them the sandbox itself answers for every address.
fn reached(script: &Script, errno: u8) -> Result<String, Error> {
    let nobody = std::net::Ipv4Addr::from(sys::NOBODY);
    let by_filter = [libc::EPERM, libc::EACCES, libc::EAFNOSUPPORT, libc::ENOSYS];
    let (what, own) = match &script.doors {
        None => (format!("reaching {nobody}"), libc::ENETUNREACH),
        Some(wanted) => (format!("reaching {nobody}:{}, where there is no door,", wanted.shut), libc::ECONNREFUSED),
    };
    refused(&what, errno, &[&by_filter[..], &[own]].concat())
}

fn refused(what: &str, errno: u8, expected: &[i32]) -> Result<String, Error> {
    match i32::from(errno) {
        0 => Err(broken(format!("{what} must fail, and succeeded"))),
        errno if expected.contains(&errno) => Ok(format!("{what} fails: {}", seccomp::errno_name(errno))),
        errno => Err(broken(format!(
            "{what} must be refused, and failed for another reason: {}",
            seccomp::errno_name(errno)
        ))),
    }
}

fn broken(what: String) -> Error {
    Error::new(format!("the sandbox does not hold what it promises, so nothing was run: {what}"))
        .remedy("this is a defect of aido or of this kernel; please report it with the output of `aido doctor --json`")
}

/// `/proc/PID/status` of the confined process.
struct Status(String);

impl Status {
    fn of(pid: i32) -> Result<Status, Error> {
        let path = format!("/proc/{pid}/status");
        let mut text = String::with_capacity(4096);
        // As a stream: by pieces that grow, as for a file of a known length, the kernel would make it up eight times.
        std::fs::File::open(&path)
            .and_then(|file| file.take(u64::MAX).read_to_string(&mut text))
            .map(|_| Status(text))
            .map_err(|e| Error::new(format!("cannot look at the task's process: {path}: {e}")))
    }

    fn field(&self, name: &str) -> &str {
        let line = self.0.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        line.unwrap_or_default().trim()
    }

    /// No capability in any set, and no way to one.
    fn privileges(&self, bounding: bool) -> Result<String, Error> {
        let sets = ["CapInh", "CapPrm", "CapEff", "CapAmb", "CapBnd"];
        let sets = if bounding { &sets[..] } else { &sets[..4] };
        for set in sets {
            let held = self.field(set);
            if held.is_empty() || held.bytes().any(|digit| digit != b'0') {
                return Err(broken(format!("{set} must be empty, and is {held:?}")));
            }
        }
        match self.field("NoNewPrivs") {
            "1" => Ok(format!("{} empty, NoNewPrivs 1", sets.join(", "))),
            other => Err(broken(format!("NoNewPrivs must be 1, and is {other:?}"))),
        }
    }

    fn filter(&self) -> Result<String, Error> {
        match self.field("Seccomp") {
            "2" => Ok(format!("Seccomp 2, {} in all", filters(self.field("Seccomp_filters")))),
            other => Err(broken(format!("Seccomp must be 2, and is {other:?}"))),
        }
    }
}

/// Kernels before 5.9 do not say how many.
fn filters(count: &str) -> String {
    match count {
        "" => "filters".into(),
        "1" => "1 filter".into(),
        count => format!("{count} filters"),
    }
}

/// The bounds: that the process is where they hold, and has those of its own.
fn limits(pid: i32, group: Option<&Group>, weaker: &Weaker, enforced: &mut Enforced) -> Result<(), Error> {
    if let Some(group) = group {
        for (control, held) in group.holds(pid) {
            match held {
                Ok(folder) => enforced.prove(control, format!("the task's process is in {}", folder.display())),
                Err(folder) => {
                    return Err(broken(format!("the task's process must be in {}, and is not", folder.display())));
                }
            }
        }
    }
    let wanted = [
        ("Max address space", Control::Memory, weaker.address_space),
        ("Max processes", Control::Pids, weaker.processes),
    ];
    if wanted.iter().all(|(_, _, value)| value.is_none()) {
        return Ok(());
    }
    let path = format!("/proc/{pid}/limits");
    let text = std::fs::read_to_string(&path).map_err(|e| Error::new(format!("{path}: {e}")))?;
    for (name, control, value) in wanted {
        let Some(value) = value else { continue };
        let line = text.lines().find(|line| line.starts_with(name)).unwrap_or_default();
        let shown = value.to_string();
        match line.split_whitespace().filter(|word| *word == shown).count() {
            2 => enforced.prove(control, format!("{name} {value}, soft and hard, in /proc")),
            _ => return Err(broken(format!("the limit {name:?} must be {value}, and reads {line:?}"))),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "CapInh:\t0000000000000000\nCapPrm:\t0000000000000000\nCapEff:\t0000000000000000\n\
                        CapBnd:\t0000000000000000\nCapAmb:\t0000000000000000\nNoNewPrivs:\t1\nSeccomp:\t2\nSeccomp_filters:\t1\n";

    #[test]
    fn a_process_that_holds_anything_is_found() {
        let good = Status(GOOD.into());
        assert_eq!(good.privileges(true).unwrap(), "CapInh, CapPrm, CapEff, CapAmb, CapBnd empty, NoNewPrivs 1");
        assert!(
            Status(GOOD.replace("CapBnd:\t0000000000000000", "CapBnd:\t00000000ffffffff")).privileges(false).is_ok()
        );
        assert_eq!(good.filter().unwrap(), "Seccomp 2, 1 filter in all");
        for (from, to) in [
            ("CapBnd:\t0000000000000000", "CapBnd:\t0000000000200000"),
            ("NoNewPrivs:\t1", "NoNewPrivs:\t0"),
            ("CapAmb:\t0000000000000000\n", ""),
        ] {
            assert!(Status(GOOD.replace(from, to)).privileges(true).is_err(), "{to}");
        }
        for other in ["Seccomp:\t0", "Seccomp:\t1"] {
            assert!(Status(GOOD.replace("Seccomp:\t2", other)).filter().is_err(), "{other}");
        }
    }

    #[test]
    fn a_trial_that_succeeds_or_fails_otherwise_is_no_proof() {
        assert!(refused("x", 0, &[libc::EPERM]).is_err());
        assert!(refused("x", libc::ENOENT as u8, &[libc::EPERM]).is_err());
        assert_eq!(refused("x", libc::EPERM as u8, &[libc::EPERM]).unwrap(), "x fails: EPERM");
    }
}
