//! What this host can hold, found out by building a sandbox and throwing it away. `aido doctor` shows it.

use crate::cause::{self, Cause};
use crate::cgroup;
use crate::exec::{self, Weaker};
use crate::facts::{self, Facts};
use crate::ids::{self, IdMap};
use crate::seccomp::Filters;
use crate::spawn::Apart;
use crate::{handshake, prepare, proof, spawn, stand, subordinate, sys};
use aido_runtime::{
    Advice, Control, Deadline, Enforced, Error, Identity, Isolation, Limit, Limits, Mount, MountKind, Network,
    PLAN_VERSION, Plan, Probe, Root, Standing, SyscallProfile, Task,
};
use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// Looks at the host. Makes nothing that lasts.
pub(crate) fn probe() -> Probe {
    let plan = plan();
    let built = build(&plan);
    let here = built.is_ok().then(|| here(&plan)).flatten();
    let mut controls = built.unwrap_or_else(|error| nothing(&plan, &error));
    for held in cgroup::probe() {
        controls.set(held.control, held.standing);
    }
    let host = Facts::look();
    if let Err(errno) = sys::wall::version() {
        let Cause { why, mend } = cause::landlock(errno.0, &host);
        controls.set(Control::SecondWall, Standing::absent(why, mend));
    }
    Probe { facts: facts(&host), controls, advice: here.into_iter().chain(advice(&host)).collect() }
}

/// Whether the folder that the caller stands in can be shown to a task as well: not every file system lies below
/// an overlay.
fn here(plan: &Plan) -> Option<Advice> {
    let source = std::env::current_dir().and_then(|dir| dir.canonicalize()).ok()?;
    let input = MountKind::Input { source, hidden: Vec::new(), secret: false };
    let plan = Plan { mounts: vec![Mount { target: "/workspace".into(), kind: input }], ..plan.clone() };
    let error = build(&plan).err()?;
    Some(Advice { about: "this folder".into(), why: error.what, remedy: error.remedy })
}

/// What is worse here than it could be, though every control may hold.
fn advice(host: &Facts) -> Vec<Advice> {
    let told = |about: &str, cause: Cause| Advice { about: about.into(), why: cause.why, remedy: cause.mend };
    let owners = subordinate::lacking(host).map(|cause| told("image owners", cause));
    owners.into_iter().collect()
}

/// A sandbox with everything that may be refused: the namespaces, an overlay, procfs, devices, the filter.
fn build(plan: &Plan) -> Result<Enforced, Error> {
    let filters = Filters::of(&plan.syscalls, plan.record)?;
    let ids = IdMap::choose(&plan.identity, true)?;
    let exec = exec::compile(plan, &BTreeMap::new(), &ids, &Weaker::default(), &filters)?;
    let script = prepare::script(plan, &prepare::host_ground(), prepare::Given::default(), exec, &filters)?;
    let mut enforced = stand::by_construction(plan, &ids, &filters);
    let live = spawn::build(&script, &Apart::Namespaces(&ids, &Cell::default()), None, None, &mut || Ok(()))?;
    let shown = handshake::ready(&live, &script, &filters)
        .and_then(|ready| proof::judge(&ready, &script, &filters, None, &Weaker::default(), &mut enforced));
    live.end();
    shown.map(|()| enforced)
}

/// Where no sandbox can be built, none of its controls can be had.
fn nothing(plan: &Plan, error: &Error) -> Enforced {
    let mut enforced = Enforced::default();
    let ids = IdMap::Single { uid: 0, gid: 0 };
    let Ok(filters) = Filters::of(&plan.syscalls, plan.record) else { return enforced };
    for control in stand::by_construction(plan, &ids, &filters).0.into_keys() {
        enforced.set(control, Standing::absent(error.what.clone(), error.remedy.clone()));
    }
    enforced
}

pub(crate) fn plan() -> Plan {
    // A layer over /usr that hides a name: an overlay without a copy of anything.
    let input = MountKind::Input { source: "/usr".into(), hidden: vec!["aido-probe".into()], secret: false };
    let limits = Limits {
        memory: Limit::default(1 << 30),
        cpus: Limit::default(1000),
        pids: Limit::default(16),
        disk: Limit::default(1 << 20),
        output: Limit::default(1 << 20),
    };
    Plan {
        version: PLAN_VERSION,
        name: "probe".into(),
        root: Root::Host,
        mounts: vec![Mount { target: "/workspace".into(), kind: input }],
        task: Task {
            programs: vec!["true".into()],
            args: Vec::new(),
            workdir: "/".into(),
            env: BTreeMap::new(),
            stdin: false,
            tty: false,
        },
        identity: Identity {
            uid: rustix::process::geteuid().as_raw(),
            gid: rustix::process::getegid().as_raw(),
            groups: Vec::new(),
        },
        limits,
        network: Network::None,
        syscalls: SyscallProfile::Default,
        isolation: Isolation::Full,
        deadline: Deadline { ttl_ms: 10_000, grace_ms: 0 },
        record: aido_runtime::Record::default(),
        exact_output: false,
        accept_weaker: BTreeSet::from([Control::Memory, Control::Cpus, Control::Pids]),
    }
}

fn facts(host: &Facts) -> Vec<(String, String)> {
    let mut facts = Vec::new();
    let mut fact = |name: &str, value: String| facts.push((name.to_string(), value));
    fact("kernel", host.kernel.clone());
    fact("machine", rustix::system::uname().machine().to_string_lossy().into_owned());
    fact("user", host.user.to_string());
    fact("user namespace", if host.nested { "not the machine's first" } else { "the machine's first" }.into());
    fact("container", host.container.as_ref().map_or("none seen".into(), |it| format!("{}, by {}", it.engine, it.by)));
    fact("image owners", ids::owners_words().to_string());
    fact("cgroup", cgroup_version().to_string());
    fact("landlock", sys::wall::version().map_or("none".into(), |abi| format!("ABI {abi}")));
    for (name, most) in &host.namespace_limits {
        // Of the other kinds only what forbids them is worth a line.
        if *name == "user" || *most == 0 {
            fact(&format!("max_{name}_namespaces"), most.to_string());
        }
    }
    if let Some(number) = host.unprivileged_userns_clone {
        fact("unprivileged_userns_clone", number.to_string());
    }
    if host.apparmor_restricts {
        fact("apparmor_restrict_unprivileged_userns", "1".into());
    }
    if let Some(profile) = &host.apparmor_profile {
        fact("apparmor profile", profile.clone());
    }
    if let Some(list) = &host.security_modules {
        fact("security modules", list.clone());
    }
    if host.filtered {
        fact("system call filter", "one is on this process already".into());
    }
    if !host.proc_covered.is_empty() {
        fact("covered in /proc", host.proc_covered.join(" "));
    }
    let hidden: Vec<&str> = facts::hidden().iter().map(|call| call.name).collect();
    if !hidden.is_empty() {
        fact("hidden system calls", format!("{}: done in another way", hidden.join(", ")));
    }
    facts
}

fn cgroup_version() -> &'static str {
    match (Path::new("/sys/fs/cgroup/cgroup.controllers").exists(), Path::new("/proc/self/cgroup").exists()) {
        (true, _) => "v2",
        (false, true) => "v1 or hybrid",
        (false, false) => "none",
    }
}
