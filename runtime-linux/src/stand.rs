//! What holds and what does not: from what the host gave to the answer to the plan.

use crate::cgroup::{Held, Want};
use crate::exec::Weaker;
use crate::ids::IdMap;
use crate::layer;
use crate::open;
use crate::seccomp::Filters;
use crate::wall;
use aido_runtime::{
    Control, Enforced, Error, Force, Limit, MountKind, Network, Origin, Plan, Standing, SyscallProfile,
};

/// What is asked of the host's cgroups.
pub(crate) fn want(plan: &Plan) -> Want {
    Want {
        memory: Some(plan.limits.memory.value),
        cpus_milli: Some(plan.limits.cpus.value),
        pids: Some(plan.limits.pids.value),
    }
}

/// The controls that a sandbox of this runtime has by construction: if one of these could not be had,
/// building it would have failed.
pub(crate) fn by_construction(plan: &Plan, ids: &IdMap, filters: &Filters) -> Enforced {
    let mut enforced = Enforced::default();
    let mut set = |control, by: String| enforced.set(control, Standing::in_force(by));
    set(Control::Identity, ids.words());
    set(Control::Privileges, "no capability in any set, no-new-privs, nosuid on every mount".into());
    set(Control::Files, "mount namespace, pivot_root, the host's tree detached".into());
    set(Control::Processes, "pid namespace, own /proc, first process not dumpable".into());
    set(Control::Ipc, "ipc and uts namespaces".into());
    set(Control::Network, network(&plan.network).into());
    set(Control::Environment, "environment and descriptors built anew".into());
    set(Control::Output, format!("at most {} bytes kept of each stream", plan.limits.output.value));
    let deadline = plan.deadline;
    set(Control::Deadline, format!("boottime timer, {} ms and {} ms of grace", deadline.ttl_ms, deadline.grace_ms));
    enforced.set(Control::ReadOnly, read_only(plan));
    enforced.set(Control::Disk, disk(plan));
    enforced.set(Control::Syscalls, syscalls(&plan.syscalls, filters));
    enforced.set(Control::SecondWall, second_wall());
    enforced
}

fn network(network: &Network) -> &'static str {
    match network {
        Network::None => "network namespace with its own loopback and nothing else",
        Network::Gateway(_) => {
            "network namespace; the only way out is aido's gateway, which decides by the plan's rules"
        }
    }
}

fn read_only(plan: &Plan) -> Standing {
    let kept = plan.mounts.iter().find_map(|mount| match &mount.kind {
        MountKind::Open { hidden, kept, .. } => Some((hidden.len(), kept.len())),
        _ => None,
    });
    let Some((hidden, kept)) = kept else {
        return Standing::in_force("read-only mounts of root, inputs, /proc and /dev");
    };
    let by = format!(
        "read-only mounts of root, /proc and /dev, of what is kept in the project ({kept}), and over what is hidden in it ({hidden})"
    );
    let why = "the task changes the project itself, and what was not there when it began could not be kept from it";
    Standing::weaker(by, why, Some("--filesystem overlay, and `aido apply` for what is wanted of it".into()))
}

/// Nothing but a quota, which is root's, stops a write to a layer in time; so it is said how the bound is held.
fn disk(plan: &Plan) -> Standing {
    let (bytes, files) = (plan.limits.disk.value, inodes(plan.limits.disk.value));
    let tmpfs = format!("tmpfs size={bytes} nr_inodes={files}");
    if open::wanted(plan) {
        let why = "in the project each file is bounded by itself, and not all of them together";
        return Standing::weaker(format!("{tmpfs}; RLIMIT_FSIZE={bytes}"), why, Some("--filesystem overlay".into()));
    }
    Standing::in_force(match layer::wanted(plan) {
        false => tmpfs,
        true => format!(
            "{tmpfs}; the layer is measured, at least once a second and more often while the disk fills, and at {bytes} bytes or {files} files the run is ended; RLIMIT_FSIZE={}",
            bytes.saturating_add(layer::BEYOND)
        ),
    })
}

/// A profile of the user's own may allow more than ours: that is said.
fn syscalls(profile: &SyscallProfile, filters: &Filters) -> Standing {
    let name = match profile {
        SyscallProfile::Default => "default".to_string(),
        SyscallProfile::Strict => "strict".to_string(),
        SyscallProfile::File { path, .. } => path.display().to_string(),
    };
    let heard = if filters.heard.is_some() { "refusals heard" } else { "refusals not heard: it allows no sendmsg" };
    let by = format!("seccomp filter sha256:{} ({name}), {heard}", filters.plain.digest());
    // Ours are held to that by a test; to look each call up takes a while.
    let beyond = if matches!(profile, SyscallProfile::File { .. }) { filters.beyond_default() } else { Vec::new() };
    match beyond {
        beyond if beyond.is_empty() => Standing::in_force(by),
        beyond => {
            let why = format!("this profile allows what aido's own refuses: {}", beyond.join(", "));
            Standing::weaker(by, why, Some("--syscalls default, or take these calls out of the profile".into()))
        }
    }
}

/// The controls of a task without namespaces. What each lacks is said, also where it was chosen by name.
pub(crate) fn by_wall_alone(plan: &Plan, version: u32, filters: &Filters) -> Enforced {
    let mut enforced = Enforced::default();
    let mut set = |control, standing| enforced.set(control, standing);
    let full = || Some("--isolation full".to_string());
    let weaker = |by: String, why: &str| Standing::weaker(by, why, full());
    let caller = rustix::process::geteuid().as_raw();
    set(Control::Identity, weaker(format!("the caller's own ids ({caller})"), "there is no user namespace"));
    let none = "no capability that is permitted, effective, inheritable or ambient; no-new-privs";
    set(
        Control::Privileges,
        match caller {
            0 => Standing::in_force("no capability in any set, no-new-privs"),
            _ => weaker(none.into(), "the bounding set stays as it was, though nothing can be gained from it"),
        },
    );
    let landlock = format!("Landlock version {version}");
    let seen = "names, sizes, owners and times of all files of the host can be seen, contents cannot";
    set(Control::Files, weaker(landlock.clone(), seen));
    set(
        Control::ReadOnly,
        Standing::in_force(format!("{landlock}; modes, owners, times and attributes by the filter")),
    );
    let why = "Landlock is the only wall here: there are no mounts of the run's own before it";
    set(Control::SecondWall, Standing::absent(why, full()));
    let (by, why) = match version >= wall::BOUNDS_SIGNALS {
        true => (
            format!("{landlock}: no signal and no trace leaves the task's own processes"),
            "there is no process namespace: numbers of other processes can be tried",
        ),
        false => (
            "no signals at all, by the filter".to_string(),
            "there is no process namespace, and the task cannot signal its own children",
        ),
    };
    set(Control::Processes, weaker(by, why));
    set(Control::Ipc, Standing::in_force("no System V and POSIX objects, by the filter; no /dev/shm"));
    set(Control::Network, Standing::in_force("no sockets but connected pairs, by the filter"));
    set(Control::Environment, Standing::in_force("environment and descriptors built anew"));
    let disk = plan.limits.disk.value;
    set(
        Control::Disk,
        weaker(format!("RLIMIT_FSIZE={disk}"), "each file is bounded by itself, and not all of them together"),
    );
    set(Control::Output, Standing::in_force(format!("at most {} bytes kept of each stream", plan.limits.output.value)));
    let (ttl, grace) = (plan.deadline.ttl_ms, plan.deadline.grace_ms);
    let by = format!("boottime timer, {ttl} ms and {grace} ms of grace; orphans are adopted and ended");
    let why = "where all processes of aido are killed at once, only a control group ends what the task left in the background";
    set(Control::Deadline, weaker(by, why));
    set(Control::Syscalls, syscalls(&plan.syscalls, filters));
    enforced
}

fn second_wall() -> Standing {
    match wall::version() {
        Ok(version) => Standing::in_force(format!("Landlock version {version}: writing only in the writable places")),
        Err(why) => {
            Standing::absent(why, Some("Linux 5.19 or newer, with `landlock` in the boot parameter lsm=".into()))
        }
    }
}

/// Files that so many bytes may be spread over: one for each 4 KiB, within reason.
pub(crate) fn inodes(bytes: u64) -> u64 {
    (bytes / 4096).clamp(1024, 1 << 20)
}

/// Settles memory, processors and processes: in force by cgroup, weaker where that was accepted or
/// is a default's best, else refused.
pub(crate) fn settle(plan: &Plan, held: Vec<Held>, enforced: &mut Enforced) -> Result<Weaker, Error> {
    let mut weaker = Weaker::default();
    let mut refused = Vec::new();
    for Held { control, standing } in held {
        let Some(limit) = limit(plan, control) else { continue };
        let accepted = plan.accept_weaker.contains(&control);
        let standing = match standing.force {
            Force::InForce => standing,
            _ if accepted => rlimit(control, limit, standing, &mut weaker),
            _ if limit.origin == Origin::Asked => {
                refused.push((control, limit, standing));
                continue;
            }
            _ => default_at_best(control, limit, standing, &mut weaker),
        };
        enforced.set(control, standing);
    }
    if refused.is_empty() { Ok(weaker) } else { Err(refusal(&refused)) }
}

fn limit(plan: &Plan, control: Control) -> Option<Limit> {
    match control {
        Control::Memory => Some(plan.limits.memory),
        Control::Cpus => Some(plan.limits.cpus),
        Control::Pids => Some(plan.limits.pids),
        _ => None,
    }
}

/// The bound of an rlimit or of an affinity, which the user said would do.
fn rlimit(control: Control, limit: Limit, lacking: Standing, weaker: &mut Weaker) -> Standing {
    let by = match control {
        Control::Memory => {
            weaker.address_space = Some(limit.value);
            format!("RLIMIT_AS={} for each process by itself; memfd and shared memory pass it", limit.value)
        }
        Control::Pids => {
            weaker.processes = Some(limit.value);
            format!("RLIMIT_NPROC={}, counted by user", limit.value)
        }
        _ => {
            let count = limit.value.div_ceil(1000).max(1);
            weaker.processors = Some(count as usize);
            format!("affinity to {count} of the processors")
        }
    };
    Standing::weaker(by, lacking.why.unwrap_or_default(), lacking.remedy)
}

/// A default is held as far as that breaks no ordinary program: an address space limit would.
fn default_at_best(control: Control, limit: Limit, lacking: Standing, weaker: &mut Weaker) -> Standing {
    match control {
        Control::Memory => lacking,
        _ => rlimit(control, limit, lacking, weaker),
    }
}

fn refusal(refused: &[(Control, Limit, Standing)]) -> Error {
    let names: Vec<&str> = refused.iter().map(|(control, ..)| control.name()).collect();
    let mut reasons: Vec<&str> = refused.iter().filter_map(|(_, _, s)| s.why.as_deref()).collect();
    reasons.dedup();
    let mut remedies: Vec<&str> = refused.iter().filter_map(|(_, _, s)| s.remedy.as_deref()).collect();
    remedies.dedup();
    let asked: Vec<String> =
        refused.iter().map(|(control, limit, _)| format!("{control} ({})", amount(*control, limit.value))).collect();
    let mut mends = remedies.join("; or ");
    if !mends.is_empty() {
        mends.push_str("\n  ");
    }
    mends.push_str(&format!("or accept weaker bounds by name: --accept-weaker {}", names.join(",")));
    Error::new(format!(
        "the bound on {} was asked for, and this host cannot hold it: {}",
        asked.join(", "),
        reasons.join("; ")
    ))
    .remedy(mends)
}

fn amount(control: Control, value: u64) -> String {
    match control {
        Control::Memory if value.is_multiple_of(1 << 20) => format!("{} MiB", value >> 20),
        Control::Memory => format!("{value} bytes"),
        Control::Cpus => format!("{}.{:03}", value / 1000, value % 1000),
        _ => value.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::probe;
    use std::collections::BTreeSet;

    fn lacking() -> Vec<Held> {
        let lack = |control| Held { control, standing: Standing::absent("no cgroup", Some("mend it".into())) };
        vec![lack(Control::Memory), lack(Control::Cpus), lack(Control::Pids)]
    }

    fn plan(asked: bool, accepted: &[Control]) -> Plan {
        let mut plan = probe::plan();
        plan.accept_weaker = BTreeSet::from_iter(accepted.iter().copied());
        if asked {
            plan.limits.memory = Limit::asked(64 << 20);
            plan.limits.pids = Limit::asked(10);
        }
        plan
    }

    #[test]
    fn what_was_asked_for_is_refused_by_name_with_the_remedy() {
        let error = settle(&plan(true, &[]), lacking(), &mut Enforced::default()).err().expect("refused");
        assert!(error.what.contains("memory (64 MiB), pids (10)"), "{}", error.what);
        assert!(!error.what.contains("cpus"), "a default is no reason to refuse: {}", error.what);
        assert_eq!(error.remedy.unwrap(), "mend it\n  or accept weaker bounds by name: --accept-weaker memory,pids");
    }

    #[test]
    fn what_was_accepted_is_weaker_and_says_so() {
        let mut enforced = Enforced::default();
        let weaker = settle(&plan(true, &[Control::Memory, Control::Pids]), lacking(), &mut enforced).unwrap();
        assert_eq!((weaker.address_space, weaker.processes, weaker.processors), (Some(64 << 20), Some(10), Some(1)));
        for control in [Control::Memory, Control::Pids, Control::Cpus] {
            assert_eq!(enforced.get(control).unwrap().force, Force::Weaker, "{control}");
        }
        // One of two is not enough.
        assert!(settle(&plan(true, &[Control::Memory]), lacking(), &mut Enforced::default()).is_err());
    }

    #[test]
    fn a_default_memory_bound_is_absent_rather_than_an_address_space_limit() {
        let mut enforced = Enforced::default();
        let weaker = settle(&plan(false, &[]), lacking(), &mut enforced).unwrap();
        assert_eq!(weaker.address_space, None);
        assert_eq!(enforced.get(Control::Memory).unwrap().force, Force::Absent);
        assert_eq!(enforced.lacking().count(), 3);
    }
}
