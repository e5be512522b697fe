//! What this host can hold, found out by building a sandbox and throwing it away. `aido doctor` shows it.

use crate::cgroup;
use crate::exec::{self, Weaker};
use crate::ids::{self, IdMap};
use crate::seccomp::Filters;
use crate::{handshake, prepare, proof, spawn, stand};
use aido_runtime::{
    Control, Deadline, Enforced, Error, Identity, Isolation, Limit, Limits, Mount, MountKind, Network, PLAN_VERSION,
    Plan, Probe, Root, Standing, SyscallProfile, Task,
};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// Looks at the host. Makes nothing that lasts.
pub(crate) fn probe() -> Probe {
    let plan = plan();
    let mut controls = match build(&plan) {
        Ok(enforced) => enforced,
        Err(error) => nothing(&plan, &error),
    };
    for held in cgroup::probe() {
        controls.set(held.control, held.standing);
    }
    Probe { facts: facts(), controls }
}

/// A sandbox with everything that may be refused: the namespaces, an overlay, procfs, devices, the filter.
fn build(plan: &Plan) -> Result<Enforced, Error> {
    let filters = Filters::of(&plan.syscalls)?;
    let ids = IdMap::choose(&plan.identity, true)?;
    let exec = exec::compile(plan, &BTreeMap::new(), &ids, &Weaker::default(), &filters)?;
    let script = prepare::script(plan, &prepare::host_ground(), exec, &filters)?;
    let mut enforced = stand::by_construction(plan, &ids, &filters);
    let live = spawn::build(&script, &ids, None, None)?;
    let shown = handshake::ready(&live, &script, &filters)
        .and_then(|ready| proof::judge(&ready, None, &Weaker::default(), &mut enforced));
    spawn::end(&live.guard);
    shown.map(|()| enforced)
}

/// Where no sandbox can be built, none of its controls can be had.
fn nothing(plan: &Plan, error: &Error) -> Enforced {
    let mut enforced = Enforced::default();
    let ids = IdMap::Single { uid: 0, gid: 0 };
    let Ok(filters) = Filters::of(&plan.syscalls) else { return enforced };
    for control in stand::by_construction(plan, &ids, &filters).0.into_keys() {
        enforced.set(control, Standing::absent(error.what.clone(), error.remedy.clone()));
    }
    enforced
}

pub(crate) fn plan() -> Plan {
    // A layer over /usr that hides a name: an overlay without a copy of anything.
    let input = MountKind::Input { source: "/usr".into(), hidden: vec!["aido-probe".into()] };
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
        accept_weaker: BTreeSet::from([Control::Memory, Control::Cpus, Control::Pids]),
    }
}

fn facts() -> Vec<(String, String)> {
    let kernel = rustix::system::uname();
    let read = |path: &str| std::fs::read_to_string(path).ok().map(|text| text.trim().to_string());
    let mut facts = vec![
        ("kernel".to_string(), kernel.release().to_string_lossy().into_owned()),
        ("machine".to_string(), kernel.machine().to_string_lossy().into_owned()),
        ("user".to_string(), rustix::process::geteuid().as_raw().to_string()),
        ("image owners".to_string(), ids::owners_words().to_string()),
        ("cgroup".to_string(), cgroup_version().to_string()),
    ];
    for (name, path) in [
        ("max_user_namespaces", "/proc/sys/user/max_user_namespaces"),
        ("unprivileged_userns_clone", "/proc/sys/kernel/unprivileged_userns_clone"),
        ("apparmor_restrict_unprivileged_userns", "/proc/sys/kernel/apparmor_restrict_unprivileged_userns"),
        ("security modules", "/sys/kernel/security/lsm"),
    ] {
        facts.extend(read(path).map(|value| (name.to_string(), value)));
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
