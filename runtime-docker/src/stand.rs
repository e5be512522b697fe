//! What holds and what does not: from what the engine says it can to the answer to the plan, and what was shown in
//! the container.

use crate::about::{About, Product};
use crate::frames::Fields;
use crate::os;
use crate::places::Places;
use crate::seccomp::Profile;
use aido_runtime::{Control, Enforced, Error, Force, Limit, Network, Origin, Plan, Standing};

/// What a container of this engine has, if the engine does what it is told.
pub(crate) fn by_engine(plan: &Plan, places: &Places, profile: &Profile, about: &About) -> Enforced {
    let mut enforced = Enforced::default();
    let mut set = |control, by: &str| enforced.set(control, Standing::in_force(by));
    set(Control::Privileges, "no capability in any set, no-new-privs, nosuid on every writable place");
    set(
        Control::Files,
        "a container's root from the image's layers; inputs are copies, nothing of the host is mounted; /etc/hosts, /etc/hostname and /etc/resolv.conf are the engine's own",
    );
    set(Control::ReadOnly, "read-only root and volumes; outputs in the workspace are links to /outputs");
    set(Control::Processes, "the container's pid namespace; its first process is aido's own and not dumpable");
    set(Control::Ipc, "the container's ipc and uts namespaces");
    set(Control::Network, network(&plan.network));
    set(Control::Environment, "built anew by aido's first process in the container; the engine stores nothing of it");
    set(Control::Output, &format!("at most {} bytes kept of each stream", plan.limits.output.value));
    let deadline = plan.deadline;
    set(
        Control::Deadline,
        &format!(
            "boottime clock of aido's first process in the container, {} ms and {} ms of grace; aido's own clock after it",
            deadline.ttl_ms, deadline.grace_ms
        ),
    );
    enforced.set(Control::Identity, identity(plan, about));
    enforced.set(Control::Disk, disk(plan, places));
    enforced.set(Control::Syscalls, syscalls(profile, about));
    let why = "a container engine puts no Landlock rules on a task";
    enforced.set(Control::SecondWall, Standing::absent(why, Some("--backend linux, where there is one".into())));
    enforced
}

fn network(network: &Network) -> &'static str {
    match network {
        Network::None => "network mode none: its own loopback and nothing else",
        Network::Gateway(_) => {
            "network mode none, shared with a container of aido's own that has no route out; the only way is aido's gateway outside of the engine, which decides by the plan's rules"
        }
    }
}

fn identity(plan: &Plan, about: &About) -> Standing {
    let uid = plan.identity.uid;
    let by = match () {
        () if about.rootless => format!("uid {uid} of a rootless engine's user namespace"),
        () if about.userns => format!("uid {uid} of the engine's user namespace"),
        () if about.virtual_machine() => format!("uid {uid} of the engine's virtual machine, without capabilities"),
        () if os::uid() == Some(uid) && uid != 0 => format!("the caller's own uid {uid}, without capabilities"),
        () => {
            let by = format!("uid {uid} of the engine's host, without capabilities");
            let why =
                "the engine gives its containers no user namespace: a file of the host that got in would be the task's";
            let remedy = "a rootless engine (dockerd-rootless-setuptool.sh install), or userns-remap in the engine's daemon.json";
            return Standing::weaker(by, why, Some(remedy.into()));
        }
    };
    Standing::in_force(by)
}

fn disk(plan: &Plan, places: &Places) -> Standing {
    let bytes = plan.limits.disk.value;
    let mut writable = vec!["/outputs", "/dev/shm"];
    writable.extend(places.scratch.iter().map(|(target, _)| target.as_str()));
    let mut by = format!("tmpfs size={bytes} for each of {}", writable.join(", "));
    if plan.identity.uid == 0 {
        by.push_str("; the engine's own /dev and /sys/fs/cgroup, which uid 0 can write to, by the memory alone");
    }
    Standing::weaker(
        by,
        "each writable place is bounded by itself, and all of them together only by the memory",
        Some("--backend linux, where there is one".into()),
    )
}

fn syscalls(profile: &Profile, about: &About) -> Standing {
    if !about.seccomp && about.product != Product::Podman {
        let why = "the engine was built without seccomp, or its kernel has none";
        return Standing::absent(why, Some("an engine whose `docker info` lists seccomp".into()));
    }
    let by = format!("{}; refusals are not heard", profile.words);
    match profile.own {
        false => Standing::in_force(by),
        true => {
            let why = "what this profile allows beyond aido's own is not looked up on a container engine";
            Standing::weaker(by, why, Some("--syscalls default, or strict".into()))
        }
    }
}

/// Memory, processors and processes: what the engine says it can hold.
pub(crate) fn bounds(plan: &Plan, about: &About) -> Vec<(Control, Limit, Standing)> {
    let limits = &plan.limits;
    let lacking = |what: &str| {
        let why = format!("{} {} says that it cannot bound {what}", about.product, about.version);
        let mends = match about.rootless {
            true => {
                "cgroup v2 with delegated controllers for the rootless engine: https://rootlesscontaine.rs/getting-started/common/cgroup2/"
            }
            false => "a kernel with that control group controller",
        };
        Standing::absent(why, Some(mends.into()))
    };
    let version = if about.cgroup_version.is_empty() { "?" } else { &about.cgroup_version };
    let held = |can: bool, by: String, what: &str| match can {
        true => Standing::in_force(format!("cgroup v{version} by the engine: {by}")),
        false => lacking(what),
    };
    let bytes = limits.memory.value;
    let memory = match about.swap {
        _ if !about.memory => lacking("memory"),
        true => held(true, format!("{bytes} bytes, no swap"), "memory"),
        false => Standing::weaker(
            format!("cgroup v{version} by the engine: {bytes} bytes of memory, swap not counted"),
            "the engine's kernel does not count swap",
            Some("boot it with swapaccount=1, or without swap".into()),
        ),
    };
    vec![
        (Control::Memory, limits.memory, memory),
        (Control::Cpus, limits.cpus, held(about.cpus, format!("{} thousandths", limits.cpus.value), "processors")),
        (
            Control::Pids,
            limits.pids,
            held(about.pids, format!("{}, and the first process", limits.pids.value), "processes"),
        ),
    ]
}

/// What was asked for is required, unless the user said that a weaker form will do; a default is held where it can be.
pub(crate) fn settle(
    plan: &Plan,
    bounds: Vec<(Control, Limit, Standing)>,
    enforced: &mut Enforced,
) -> Result<(), Error> {
    let mut refused: Vec<(Control, Limit, Standing)> = Vec::new();
    for (control, limit, standing) in bounds {
        let asked = limit.origin == Origin::Asked && !plan.accept_weaker.contains(&control);
        if standing.force == Force::Absent && asked {
            refused.push((control, limit, standing));
        } else {
            enforced.set(control, standing);
        }
    }
    let filter = enforced.get(Control::Syscalls).filter(|standing| standing.force == Force::Absent);
    if let Some(standing) = filter.filter(|_| !plan.accept_weaker.contains(&Control::Syscalls)) {
        let error = Error::new(format!("syscalls cannot be held: {}", standing.why.clone().unwrap_or_default()));
        return Err(error.remedy(standing.remedy.clone().unwrap_or_default()));
    }
    if refused.is_empty() { Ok(()) } else { Err(refusal(&refused)) }
}

fn refusal(refused: &[(Control, Limit, Standing)]) -> Error {
    let names: Vec<&str> = refused.iter().map(|(control, ..)| control.name()).collect();
    let asked: Vec<String> =
        refused.iter().map(|(control, limit, _)| format!("{control} ({})", amount(*control, limit.value))).collect();
    let mut reasons: Vec<&str> = refused.iter().filter_map(|(.., s)| s.why.as_deref()).collect();
    reasons.dedup();
    let mut mends: Vec<String> = refused.iter().filter_map(|(.., s)| s.remedy.clone()).collect();
    mends.dedup();
    mends.push(format!("or accept weaker bounds by name: --accept-weaker {}", names.join(",")));
    let what = format!(
        "the bound on {} was asked for, and this engine cannot hold it: {}",
        asked.join(", "),
        reasons.join("; ")
    );
    Error::new(what).remedy(mends.join("\n  "))
}

fn amount(control: Control, value: u64) -> String {
    match control {
        Control::Memory => format!("{value} bytes"),
        Control::Cpus => format!("{}.{:03}", value / 1000, value % 1000),
        _ => value.to_string(),
    }
}

/// What the first process found in the container, before the task was there, held against what was asked.
/// A control that is not as it was said to be is no reason to go on.
pub(crate) fn prove(plan: &Plan, shown: &Fields, enforced: &mut Enforced) -> Result<(), Error> {
    let wrong = |control: Control, what: String| {
        Err(Error::new(format!("the engine did not hold {control}: {what}"))
            .remedy("look at how the engine is configured: docker info; aido doctor"))
    };
    let status = |name: &str| shown.line("status", name);
    for set in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
        match status(set) {
            Some(bits) if bits.chars().all(|c| c == '0') => {}
            other => return wrong(Control::Privileges, format!("{set} is {other:?} in the container")),
        }
    }
    if status("NoNewPrivs").as_deref() != Some("1") {
        return wrong(Control::Privileges, "no-new-privs is not set".into());
    }
    enforced.prove(Control::Privileges, "read in the container: capability sets 0, no-new-privs 1");
    let uid = plan.identity.uid.to_string();
    if status("Uid").is_none_or(|ids| ids.split_whitespace().any(|id| id != uid)) {
        return wrong(Control::Identity, format!("the task would be {:?} and not {uid}", status("Uid")));
    }
    if enforced.get(Control::Syscalls).is_some_and(|standing| standing.force != Force::Absent) {
        match (status("Seccomp").as_deref(), shown.number("namespace")) {
            (Some("2"), Some(0)) => return wrong(Control::Syscalls, "a user namespace could be made".into()),
            (Some("2"), Some(errno)) => {
                enforced.prove(
                    Control::Syscalls,
                    format!("Seccomp 2; making a user namespace failed: {}", errno_words(errno)),
                );
            }
            (mode, _) => return wrong(Control::Syscalls, format!("the filter is not in force: Seccomp is {mode:?}")),
        }
    }
    prove_by_failing(plan, shown, enforced)?;
    prove_bounds(plan, shown, enforced)
}

/// What had to fail, and did.
fn prove_by_failing(plan: &Plan, shown: &Fields, enforced: &mut Enforced) -> Result<(), Error> {
    let tried = [
        (Control::Processes, "environ", "reading /proc/1/environ"),
        (Control::ReadOnly, "root", "making a file in the root"),
        (Control::Network, "reach", "reaching a documentation address"),
    ];
    for (control, name, what) in tried {
        match shown.number(name) {
            // With a gateway the sandbox itself has to refuse it.
            Some(errno) if name == "reach" && plan.network != Network::None && errno != REFUSED => {
                return Err(Error::new(format!("the engine did not hold {control}: {what} gave error {errno}")));
            }
            Some(errno) if errno != 0 => enforced.prove(control, format!("{what} failed: {}", errno_words(errno))),
            other => return Err(Error::new(format!("the engine did not hold {control}: {what} gave {other:?}"))),
        }
    }
    let net = shown.text("net").unwrap_or_default();
    let interfaces: Vec<&str> =
        net.split('\n').filter_map(|line| line.split_once(':')).map(|(name, _)| name.trim()).collect();
    if interfaces.iter().any(|name| {
        !matches!(
            *name,
            "lo" | "tunl0" | "sit0" | "ip6tnl0" | "gre0" | "gretap0" | "erspan0" | "ip_vti0" | "ip6_vti0" | "ip6gre0"
        )
    }) {
        return Err(Error::new(format!("the engine did not hold network: there is {}", interfaces.join(", "))));
    }
    Ok(())
}

/// The figures as the kernel has them, where the container shows them.
fn prove_bounds(plan: &Plan, shown: &Fields, enforced: &mut Enforced) -> Result<(), Error> {
    let limits = &plan.limits;
    let seen = |new: &str, old: &str| shown.text(new).or(shown.text(old)).map(|text| text.trim().to_string());
    let quota = seen("cpu", "").or_else(|| {
        let figure = |name| shown.text(name).map(|text| text.trim().to_string());
        figure("quota1").zip(figure("period1")).map(|(quota, period)| format!("{quota} {period}"))
    });
    let cpus = quota.as_deref().and_then(|text| {
        let (quota, period) = text.split_once(' ')?;
        if matches!(quota, "max" | "-1") {
            return Some(u64::MAX);
        }
        Some((quota.parse::<u64>().ok()? * 1000).div_ceil(period.parse::<u64>().ok()?.max(1)))
    });
    let number = |text: Option<String>| match text.as_deref() {
        Some("max") => Some(u64::MAX),
        text => text.and_then(|text| text.parse::<u64>().ok()),
    };
    let memory = number(seen("memory", "memory1"));
    let pids = number(seen("pids", "pids1"));
    // The kernel counts memory in pages.
    let figures = [
        (Control::Memory, memory, limits.memory.value, 65536),
        (Control::Cpus, cpus, limits.cpus.value, 1),
        (Control::Pids, pids, limits.pids.value + 1, 0),
    ];
    for (control, figure, asked, slack) in figures {
        if enforced.get(control).is_none_or(|standing| standing.force == Force::Absent) {
            continue;
        }
        match figure {
            Some(figure) if figure <= asked.saturating_add(slack) => {
                enforced.prove(control, format!("read in the container: {figure}"));
            }
            Some(figure) => {
                return Err(Error::new(format!(
                    "the engine did not hold {control}: {asked} was asked for, {figure} is in force"
                )));
            }
            // Not every engine shows its control groups in there.
            None => {}
        }
    }
    Ok(())
}

/// What the kernel says where nobody listens.
const REFUSED: i64 = 111;

/// The name of what the kernel said, or of the signal that ended who tried.
fn errno_words(number: i64) -> String {
    match number {
        1 => "EPERM".into(),
        2 => "ENOENT".into(),
        13 => "EACCES".into(),
        30 => "EROFS".into(),
        38 => "ENOSYS".into(),
        97 => "EAFNOSUPPORT".into(),
        101 => "ENETUNREACH".into(),
        REFUSED => "ECONNREFUSED".into(),
        ..=-1 => format!("signal {}", -number),
        other => format!("error {other}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shape::tests::{about, plan};

    fn places() -> Places {
        Places::of(&plan().mounts, &|_| true).unwrap()
    }

    fn enforced(about: &About) -> Result<Enforced, Error> {
        let plan = plan();
        let profile = Profile::of(&plan.syscalls).unwrap();
        let mut enforced = by_engine(&plan, &places(), &profile, about);
        settle(&plan, bounds(&plan, about), &mut enforced)?;
        Ok(enforced)
    }

    fn report(change: &[(&str, &str)]) -> Fields {
        let status = "Uid:\t1000\t1000\t1000\t1000\nCapInh:\t0\nCapPrm:\t0\nCapEff:\t0\nCapBnd:\t0\nCapAmb:\t0\nNoNewPrivs:\t1\nSeccomp:\t2\n";
        let mut fields: Vec<(&str, &str)> = vec![
            ("status", status),
            ("net", "Inter\n face\n    lo: 0 0\n"),
            ("memory", "67108864\n"),
            ("cpu", "150000 100000\n"),
            ("pids", "33\n"),
            ("environ", "13"),
            ("root", "30"),
            ("namespace", "1"),
            ("reach", "101"),
        ];
        fields.retain(|(name, _)| change.iter().all(|(changed, _)| changed != name));
        fields.extend(change);
        Fields::of(&fields)
    }

    #[test]
    fn every_control_has_a_standing() {
        let enforced = enforced(&about()).unwrap();
        for control in Control::ALL {
            assert!(enforced.get(control).is_some(), "{control}");
        }
    }

    #[test]
    fn what_was_asked_for_and_cannot_be_held_is_refused() {
        let weak = About { memory: false, cpus: false, rootless: true, ..about() };
        let error = enforced(&weak).unwrap_err();
        assert!(error.what.contains("memory (67108864 bytes)") && !error.what.contains("cpus"), "{error}");
        assert!(error.remedy.unwrap().contains("--accept-weaker memory"));
        assert!(enforced(&About { seccomp: false, ..about() }).is_err());
    }

    #[test]
    fn with_a_gateway_the_sandbox_itself_has_to_refuse() {
        let plan = Plan { network: Network::Gateway(Default::default()), ..plan() };
        for (said, holds) in [("111", true), ("101", false), ("0", false), ("110", false)] {
            let mut held = enforced(&about()).unwrap();
            assert_eq!(prove(&plan, &report(&[("reach", said)]), &mut held).is_ok(), holds, "{said}");
        }
    }

    #[test]
    fn what_is_shown_decides() {
        let plan = plan();
        let mut held = enforced(&about()).unwrap();
        prove(&plan, &report(&[]), &mut held).unwrap();
        for control in [Control::Memory, Control::Cpus, Control::Pids, Control::Network, Control::Syscalls] {
            assert!(held.get(control).unwrap().proof.is_some(), "{control}");
        }
        let status = |from: &str, to: &str| report(&[]).text("status").unwrap().replace(from, to);
        let changed = [
            ("status", status("CapBnd:\t0", "CapBnd:\t400")),
            ("status", status("NoNewPrivs:\t1", "NoNewPrivs:\t0")),
            ("status", status("Seccomp:\t2", "Seccomp:\t0")),
            ("status", status("Uid:\t1000", "Uid:\t0")),
            ("net", "x\n    lo: 0\n  eth0: 0\n".into()),
            ("memory", "max\n".into()),
            ("memory", "999999999\n".into()),
            ("cpu", "300000 100000".into()),
            ("pids", "34".into()),
            ("environ", "0".into()),
            ("root", "0".into()),
            ("namespace", "0".into()),
            ("reach", "0".into()),
        ];
        for (name, value) in changed {
            let report = report(&[(name, &value)]);
            let mut held = enforced(&about()).unwrap();
            assert!(prove(&plan, &report, &mut held).is_err(), "{name}={value}");
        }
    }
}
