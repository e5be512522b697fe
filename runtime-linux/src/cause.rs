//! Why this host refuses a sandbox, and the command that mends it: conclusions from `facts`, nothing else.

use crate::apparmor;
use crate::facts::{self, Call, Engine, Facts};
use std::path::Path;

/// A reason, and what mends it where that is known.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Cause {
    pub(crate) why: String,
    pub(crate) mend: Option<String>,
}

impl Cause {
    fn new(why: impl Into<String>) -> Self {
        Cause { why: why.into(), mend: None }
    }

    fn mend(mut self, mend: impl Into<String>) -> Self {
        self.mend = Some(mend.into());
        self
    }
}

/// The namespaces themselves were refused.
pub(crate) fn namespaces(errno: i32, facts: &Facts) -> Option<Cause> {
    if !facts.namespaces_lacking.is_empty() {
        let names = facts.namespaces_lacking.join(", ");
        return Some(
            Cause::new(format!("this kernel was built without these namespaces: {names}"))
                .mend("use a kernel of your distribution, which has them"),
        );
    }
    match errno {
        libc::ENOSPC | libc::EUSERS => Some(used_up(facts)),
        libc::EPERM | libc::EACCES => forbidden(errno, facts),
        _ => None,
    }
}

fn used_up(facts: &Facts) -> Cause {
    let zero: Vec<String> = facts
        .namespace_limits
        .iter()
        .filter(|(_, most)| *most == 0)
        .map(|(name, _)| format!("user.max_{name}_namespaces"))
        .collect();
    match zero.as_slice() {
        [] => {
            Cause::new("this user has as many namespaces as the limits user.max_*_namespaces allow, or stands 32 deep")
                .mend(set(&["user.max_user_namespaces=100000".into()], facts))
        }
        names => {
            let settings: Vec<String> = names.iter().map(|name| format!("{name}=10000")).collect();
            Cause::new(format!("namespaces are forbidden here: {} is 0", names.join(", "))).mend(set(&settings, facts))
        }
    }
}

/// Sets kernel settings, now and at each start.
fn set(settings: &[String], facts: &Facts) -> String {
    let sudo = facts.sudo();
    let (words, file) = (settings.join(" "), "/etc/sysctl.d/99-aido.conf");
    let command = format!("printf '%s\\n' {words} | {sudo}tee -a {file} && {sudo}sysctl -p {file}");
    if facts.container.is_some() {
        format!("on the machine that holds this container, as root: {command}")
    } else {
        command
    }
}

fn forbidden(errno: i32, facts: &Facts) -> Option<Cause> {
    if facts.unprivileged_userns_clone == Some(0) && !facts.root() {
        let why = "user namespaces are for root alone here: kernel.unprivileged_userns_clone is 0";
        return Some(Cause::new(why).mend(set(&["kernel.unprivileged_userns_clone=1".into()], facts)));
    }
    if facts.nobody {
        let why = "this user or its group is none that the user namespace around this process knows";
        return Some(Cause::new(why).mend("start aido as a user that this container has ids for"));
    }
    // A filter answers EPERM; AppArmor and its like answer EACCES.
    let filter = || facts.filtered.then(|| filtered("user namespaces", facts));
    let module = || confined("user namespaces", facts).or_else(|| restricted(facts));
    let told = if errno == libc::EACCES { module().or_else(filter) } else { filter().or_else(module) };
    told.or_else(|| {
        facts.chroot.then(|| {
            Cause::new("the kernel makes no user namespace in a chroot")
                .mend("enter the folder with pivot_root instead, as `systemd-nspawn` and `bwrap` do")
        })
    })
}

/// Something that its own namespace should allow was refused to the sandbox's first process.
pub(crate) fn no_rights(what: &str, facts: &Facts) -> Option<Cause> {
    confined(what, facts).or_else(|| restricted(facts)).or_else(|| facts.filtered.then(|| filtered(what, facts)))
}

/// As on Ubuntu from 23.10 on: namespaces of programs without a profile have no capability.
fn restricted(facts: &Facts) -> Option<Cause> {
    facts.apparmor_restricts.then(|| {
        let why = "AppArmor gives user namespaces of programs without a profile no rights here \
                   (kernel.apparmor_restrict_unprivileged_userns is 1)";
        Cause::new(why).mend(apparmor::install(facts))
    })
}

fn confined(what: &str, facts: &Facts) -> Option<Cause> {
    let profile = facts.apparmor_profile.as_ref()?;
    let why = format!("the AppArmor profile `{profile}`, under which aido runs here, denies {what}");
    Some(match outer(facts) {
        Some(mend) => Cause::new(why).mend(mend),
        None => {
            // A profile of its own frees a program where the one around it lets programs go over to theirs (px, pix).
            let else_there = format!(
                "{why}; if it keeps its programs even from profiles of their own, start aido from another program, or add \
                 `userns,` and `capability,` to `{profile}`"
            );
            Cause::new(else_there).mend(apparmor::install(facts))
        }
    })
}

fn filtered(what: &str, facts: &Facts) -> Cause {
    match outer(facts) {
        Some(mend) => Cause::new(format!("the system call filter of this container refuses {what}")).mend(mend),
        None => Cause::new(format!("a system call filter that is on this process already refuses {what}")).mend(
            "start aido without that filter; for a systemd service: RestrictNamespaces=no, and @mount @privileged in \
             SystemCallFilter=",
        ),
    }
}

/// How the container that this is must be started, with all that stands in a sandbox's way at once.
pub(crate) fn outer(facts: &Facts) -> Option<String> {
    let container = facts.container.as_ref()?;
    let masked = !facts.proc_covered.is_empty();
    let wanted = [(facts.filtered, 0), (masked, 1), (facts.apparmor_profile.is_some(), 2)];
    let words: [&str; 3] = match container.engine {
        Engine::Docker => [
            "--security-opt seccomp=unconfined",
            "--security-opt systempaths=unconfined",
            "--security-opt apparmor=unconfined",
        ],
        Engine::Podman => {
            ["--security-opt seccomp=unconfined", "--security-opt unmask=ALL", "--security-opt apparmor=unconfined"]
        }
        Engine::Kubernetes => {
            ["seccompProfile: {type: Unconfined}", "procMount: Unmasked", "appArmorProfile: {type: Unconfined}"]
        }
        Engine::Lxc | Engine::Nspawn | Engine::Other => [
            "no system call filter against namespaces and mounts",
            "nothing mounted over parts of /proc",
            "no AppArmor profile against mounts",
        ],
    };
    let wanted: Vec<&str> = wanted.into_iter().filter(|(is, _)| *is).map(|(_, at)| words[at]).collect();
    if wanted.is_empty() {
        return None;
    }
    Some(match container.engine {
        Engine::Docker => format!("add to this container's options: docker run {} …", wanted.join(" ")),
        Engine::Podman => format!("add to this container's options: podman run {} …", wanted.join(" ")),
        Engine::Kubernetes => format!("give the container's securityContext: {}", wanted.join(", ")),
        Engine::Lxc => format!("give this container security.nesting=true, or: {}", wanted.join(", ")),
        Engine::Nspawn | Engine::Other => format!("start this container with {}", wanted.join(", ")),
    })
}

/// How a container gets control groups that it may write to, where its own are mounted read-only.
pub(crate) fn groups(top: &Path) -> Option<String> {
    // Asked at each start without groups: the facts are gathered where they matter only.
    let flags = rustix::fs::statvfs(top).ok()?.f_flag;
    if !flags.contains(rustix::fs::StatVfsMountFlags::RDONLY) {
        return None;
    }
    let facts = Facts::look();
    let container = facts.container.as_ref()?;
    let again = if facts.root() { "" } else { "; then ask `aido doctor` again" };
    let engine = match container.engine {
        Engine::Docker => "docker",
        Engine::Podman => "podman",
        _ => return Some(format!("mount {} read-write in this container{again}", top.display())),
    };
    Some(format!(
        "add to this container's options: {engine} run --cgroupns=host -v /sys/fs/cgroup:/sys/fs/cgroup:rw …, if its \
         root may have all control groups of the machine{again}"
    ))
}

/// What root needs to give its ids to a sandbox: the numbers of CAP_SETGID, CAP_SETUID and CAP_SETFCAP.
const MAPPING: [(&str, u32); 3] = [("SETGID", 6), ("SETUID", 7), ("SETFCAP", 31)];

/// The id map of the sandbox was refused.
pub(crate) fn id_map(facts: &Facts) -> Option<Cause> {
    let lacking = MAPPING.iter().filter(|(_, number)| facts.capabilities & (1 << number) == 0).map(|(name, _)| *name);
    let lacking: Vec<&str> = lacking.collect();
    if !facts.root() || lacking.is_empty() {
        return confined("id maps", facts).or_else(|| restricted(facts));
    }
    let cause = Cause::new(format!("root has lost the capabilities {} here", lacking.join(", ")));
    let add = lacking.iter().map(|name| format!("--cap-add {name}")).collect::<Vec<_>>().join(" ");
    Some(match facts.container.as_ref().map(|container| container.engine) {
        Some(Engine::Docker) => {
            cause.mend(format!("add to this container's options: docker run {add} … (or with --user 1000)"))
        }
        Some(Engine::Podman) => {
            cause.mend(format!("add to this container's options: podman run {add} … (or with --user 1000)"))
        }
        _ => cause.mend("start aido as an ordinary user, or with these capabilities"),
    })
}

/// No fresh `/proc` for the sandbox.
pub(crate) fn proc_refused(facts: &Facts) -> Option<Cause> {
    let [first, rest @ ..] = facts.proc_covered.as_slice() else { return no_rights("mounting /proc", facts) };
    let more = if rest.is_empty() { String::new() } else { format!(" and {} more", rest.len()) };
    let cause = Cause::new(format!(
        "something is mounted over {first}{more}, and where /proc is not seen in full the kernel gives no fresh one"
    ));
    Some(match outer(facts) {
        Some(mend) => cause.mend(mend),
        None => cause.mend(format!("{}umount {}", facts.sudo(), facts.proc_covered.join(" "))),
    })
}

/// File systems that know how to lie below an overlay of a user namespace; others are named when it fails.
const GOOD_GROUND: &str = "ext4, xfs, btrfs or tmpfs";

/// An overlay over these folders was refused.
pub(crate) fn overlay_refused(errno: i32, sources: &[&Path], facts: &Facts) -> Option<Cause> {
    match errno {
        libc::ENODEV => Some(
            Cause::new("this kernel has no overlay file system, or may not load it")
                .mend(format!("{}modprobe overlay", facts.sudo())),
        ),
        libc::EPERM | libc::EACCES => no_rights("overlay mounts", facts).or_else(|| {
            (facts.version() < (5, 11)).then(|| {
                Cause::new(format!("Linux {} has no overlay mounts in user namespaces", facts.kernel))
                    .mend("use Linux 5.12 or newer")
            })
        }),
        _ => {
            let on = |path: &&&Path| facts.file_system(path).is_some_and(|kind| !GOOD_GROUND.contains(kind));
            let (path, kind) = sources.iter().find(on).and_then(|path| Some((path, facts.file_system(path)?)))?;
            let cause = match kind {
                "overlay" => {
                    Cause::new(format!("{} lies on an overlay that lies on another: no third fits", path.display()))
                }
                kind => Cause::new(format!("{} lies on {kind}, which an overlay may refuse", path.display())),
            };
            Some(cause.mend(format!(
                "have it on {GOOD_GROUND}: the project's folder, or for images the store's (XDG_DATA_HOME)"
            )))
        }
    }
}

/// Why there is no Landlock, by the number of the error of its first call.
pub(crate) fn landlock(errno: i32, facts: &Facts) -> Cause {
    let boot = || {
        let others = facts.security_modules.as_deref().map_or("…".into(), |list| list.replace("landlock,", ""));
        format!("start the kernel with lsm=landlock,{others} on its command line")
    };
    match errno {
        libc::EOPNOTSUPP => Cause::new("Landlock is built into this kernel and not turned on").mend(boot()),
        libc::ENOSYS if facts.version() < (5, 13) => {
            Cause::new(format!("Landlock came with Linux 5.13, this is {}", facts.kernel)).mend("use a newer kernel")
        }
        _ if facts.filtered => filtered("Landlock", facts),
        _ => Cause::new("this kernel was built without Landlock").mend("use a kernel with CONFIG_SECURITY_LANDLOCK"),
    }
}

/// System calls are missing without which there is no sandbox.
pub(crate) fn calls_missing(missing: &[&'static Call], facts: &Facts) -> Option<Cause> {
    let newest = missing.iter().max_by_key(|call| call.since)?;
    let (major, minor) = newest.since;
    let names = missing.iter().map(|call| call.name).collect::<Vec<_>>().join(", ");
    let needed = newest.needed_for.unwrap_or("a sandbox");
    let old = facts.version() < newest.since;
    if old || !(facts.filtered || facts.container.is_some()) {
        let cause = Cause::new(format!(
            "the system call {names} is missing here: it came with Linux {major}.{minor}, this is {}; it is for {needed}",
            facts.kernel
        ));
        return Some(cause.mend(format!("use Linux {} or newer", oldest())));
    }
    let cause = Cause::new(format!(
        "a system call filter on this process hides {names}, which Linux {} has: it is for {needed}",
        facts.kernel
    ));
    let mend = outer(facts).unwrap_or_else(|| "start aido without that filter, or with a newer version of it".into());
    Some(cause.mend(mend))
}

/// The oldest kernel that runs a sandbox.
pub(crate) fn oldest() -> String {
    let newest = facts::CALLS.iter().filter(|call| call.needed_for.is_some()).map(|call| call.since).max();
    newest.map(|(major, minor)| format!("{major}.{minor}")).unwrap_or_default()
}

#[cfg(test)]
#[path = "cause_tests.rs"]
mod tests;
