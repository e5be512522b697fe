//! System calls that the profile refuses.

use super::{Explanation, Facts, Kind, Source, by, times};
use crate::settings::Edit;
use aido_runtime::{Refusal, SyscallProfile};
use serde_json::Value;

/// What ordinary programs may call.
const DEFAULT: &str = include_str!("../../seccomp-profiles/default.json");

/// Calls of which no task has need in a sandbox, and why allowing one would be no small thing.
const NEVER: [(&str, &[&str]); 5] = [
    (
        "it makes or enters namespaces and mounts, behind which much more of the kernel lies open",
        &[
            "unshare",
            "setns",
            "clone",
            "clone3",
            "mount",
            "umount2",
            "pivot_root",
            "chroot",
            "fsopen",
            "fsmount",
            "fsconfig",
            "move_mount",
            "open_tree",
            "mount_setattr",
        ],
    ),
    (
        "it changes or looks into the kernel itself",
        &[
            "bpf",
            "init_module",
            "finit_module",
            "delete_module",
            "kexec_load",
            "kexec_file_load",
            "perf_event_open",
            "kcmp",
            "syslog",
            "lookup_dcookie",
            "userfaultfd",
            "io_uring_setup",
            "io_uring_enter",
            "io_uring_register",
        ],
    ),
    (
        "it changes the whole machine",
        &[
            "reboot",
            "swapon",
            "swapoff",
            "settimeofday",
            "clock_settime",
            "clock_adjtime",
            "adjtimex",
            "acct",
            "sethostname",
            "setdomainname",
            "iopl",
            "ioperm",
            "quotactl",
            "vhangup",
            "nfsservctl",
        ],
    ),
    (
        "it reads or steers other processes, their keys or their terminals",
        &[
            "process_vm_readv",
            "process_vm_writev",
            "ptrace",
            "pidfd_getfd",
            "keyctl",
            "add_key",
            "request_key",
            "open_by_handle_at",
            "ioctl",
            "prctl",
            "personality",
        ],
    ),
    (
        "sockets of this family lead past the network namespace or to rare drivers of the kernel",
        &["socket", "socketpair"],
    ),
];

pub(super) fn explain(facts: &Facts<'_>, refused: &Refusal) -> Explanation {
    let detail = refused.detail.as_deref().map(|detail| format!(" ({detail})")).unwrap_or_default();
    let call = &refused.call;
    let what = format!("{} called {call}{detail}: {}{}", by(refused), refused.answer, times(refused.count));
    // Libraries ask for what is hidden as if the kernel were older, and do without.
    let hidden = refused.answer == "ENOSYS";
    let why = match facts.plan.syscalls {
        SyscallProfile::Default => "the profile of system calls refuses it",
        SyscallProfile::Strict => "the profile `strict`, for plain scripts, refuses it",
        SyscallProfile::File { .. } => "your own profile of system calls refuses it",
    };
    let found = Explanation::new(Source::Record, Kind::Call, what, why).target(call).minor(hidden);
    if facts.plan.syscalls == SyscallProfile::Strict && allows(call, refused.detail.as_deref()) {
        let exposes = "some hundred calls more of the kernel, those of ordinary programs; still no network";
        return found.allowed_by(Edit::Syscalls("default"), exposes);
    }
    match NEVER.iter().find(|(_, calls)| calls.contains(&call.as_str())) {
        Some((why, _)) => found.instead(format!("no change of a sandbox.yaml allows it: {why}")),
        None => found.instead(format!(
            "only you can allow it, by typing `--syscalls FILE` with a profile that has {call}: more of the kernel for the task to attack"
        )),
    }
}

/// Whether aido's own profile for ordinary programs lets such a call through.
fn allows(call: &str, detail: Option<&str>) -> bool {
    if let ("socket" | "socketpair", Some(detail)) = (call, detail) {
        return ["AF_UNIX", "AF_INET", "AF_INET6"].iter().any(|family| detail.split(',').next() == Some(family));
    }
    let profile: Value = serde_json::from_str(DEFAULT).unwrap_or_default();
    let rules = profile["syscalls"].as_array().cloned().unwrap_or_default();
    let names = |rule: &Value| rule["names"].as_array().is_some_and(|names| names.iter().any(|name| name == call));
    // A rule that looks at arguments says nothing of this one.
    rules.iter().any(|rule| rule["action"] == "SCMP_ACT_ALLOW" && rule["args"].is_null() && names(rule))
}
