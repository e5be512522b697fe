//! The profile of system calls: what the task sees is what the profile answers.

use super::cases;
use crate::differences::Name;
use crate::engines::Engine;
use aido_runtime::{Control, Force, SyscallProfile};

cases!("calls":
    refused_calls_get_the_profiles_answer,
    sockets_are_those_of_the_profile,
    the_strict_profile_is_stricter,
    a_profile_of_the_users_is_in_force,
    no_profile_gives_user_namespaces,
    a_profile_that_is_none_is_refused,
    ordinary_work_goes_on,
);

const EPERM: i32 = 1;
const ENOSYS: i32 = 38;

/// By name, in groups of one answer. Where the machine has no such call, the probe does not say its name.
const ANSWERS: &[(i32, &[&str])] = &[
    (
        EPERM,
        &[
            "mount",
            "umount2",
            "pivot_root",
            "chroot",
            "unshare",
            "unshare-user",
            "setns",
            "clone-newuser",
            "clone-newns",
            "keyctl",
            "add_key",
            "request_key",
            "bpf",
            "perf_event_open",
            "userfaultfd",
            "kcmp",
            "get_mempolicy",
            "mbind",
            "open_by_handle_at",
            "fanotify_init",
            "fsopen",
            "move_mount",
            "quotactl",
            "acct",
            "syslog",
            "sethostname",
            "settimeofday",
            "swapoff",
            "init_module",
            "kexec_load",
            "vhangup",
            "iopl",
            "modify_ldt",
            "personality-svr4",
            "prlimit-of-1",
            "setpriority-user",
            "tiocsti",
            "tioclinux",
        ],
    ),
    (ENOSYS, &["clone3", "io_uring_setup", "process_vm_readv", "process_vm_writev", "memfd_secret"]),
    (0, &["personality-ask", "personality-linux32", "personality-back", "prlimit-own", "setpriority-own", "traceme"]),
];

fn refused_calls_get_the_profiles_answer(on: &Engine) {
    for uid in [0, 1000] {
        let ran = on.command(&["probe", "calls"]).by_user(uid, uid).run();
        ran.exits(0);
        let text = ran.text();
        for (answer, names) in ANSWERS {
            for name in *names {
                let Some(said) = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')) else {
                    assert!(
                        ["iopl", "modify_ldt"].contains(name) && cfg!(not(target_arch = "x86_64")),
                        "{name} was not tried"
                    );
                    continue;
                };
                assert_eq!(said, answer.to_string(), "{name}, as user {uid}: {}", ran.account());
            }
        }
        // Numbers above the profile's highest: unknown calls, not refused ones. crun alone refuses them.
        assert!([ENOSYS, EPERM].contains(&(ran.number("call-9999") as i32)), "{}", ran.account());
    }
}

fn sockets_are_those_of_the_profile(on: &Engine) {
    let ran = on.command(&["probe", "sockets"]).by_user(0, 0).run();
    ran.exits(0);
    for name in ["unix", "inet-stream", "inet-dgram", "netlink-route"] {
        assert_eq!(ran.number(name), 0, "{name}: {}", ran.account());
    }
    for name in ["inet-raw", "inet-packet", "netlink-netfilter", "packet", "vsock", "alg", "bluetooth", "xdp"] {
        assert_eq!(ran.number(name), i64::from(EPERM), "{name}: {}", ran.account());
    }
    assert_eq!(ran.number("netlink-audit"), 93, "{}", ran.account());
}

fn the_strict_profile_is_stricter(on: &Engine) {
    let strict = |words: &[&str]| on.command(words).plan(|plan| plan.syscalls = SyscallProfile::Strict).run();
    let ran = strict(&["probe", "sockets"]);
    ran.exits(0);
    for name in ["unix", "inet-stream", "inet-dgram", "netlink-route"] {
        assert_ne!(ran.number(name), 0, "{name}: {}", ran.account());
    }
    strict(&["sh", "-c", "echo one | cat; for i in 1 2; do echo $i; done; ls / >/dev/null && echo ok"])
        .exits(0)
        .says("one\n1\n2\nok\n");
}

/// Allows everything but new folders, and with `kept` no namespace either.
fn profile(kept: bool) -> SyscallProfile {
    let flags = 0x7e02_0080_u32;
    let namespaces = [
        serde_json::json!({ "names": ["unshare", "setns"], "action": "SCMP_ACT_ERRNO", "errnoRet": EPERM }),
        serde_json::json!({ "names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errnoRet": ENOSYS }),
    ];
    let clone = (0..32).map(|bit| 1u32 << bit).filter(|bit| flags & bit != 0).map(|bit| {
        let args = serde_json::json!([{ "index": 0, "value": bit, "valueTwo": bit, "op": "SCMP_CMP_MASKED_EQ" }]);
        serde_json::json!({ "names": ["clone"], "action": "SCMP_ACT_ERRNO", "errnoRet": EPERM, "args": args })
    });
    let folders = serde_json::json!({ "names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 28 });
    let mut rules = vec![folders];
    if kept {
        rules.extend(namespaces.into_iter().chain(clone));
    }
    let text = serde_json::json!({
        "defaultAction": "SCMP_ACT_ALLOW",
        "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_AARCH64"],
        "syscalls": rules,
    });
    SyscallProfile::File { path: "/profile.json".into(), profile: text.to_string() }
}

fn a_profile_of_the_users_is_in_force(on: &Engine) {
    let script = "mkdir /outputs/x; echo x >/outputs/y && cat /outputs/y";
    let ran = on.sh(script).plan(|plan| plan.syscalls = profile(true)).run();
    ran.says("x\n");
    let stderr = String::from_utf8_lossy(&ran.stderr).into_owned();
    assert!(stderr.contains("No space left on device"), "{}", ran.account());
    let standing = ran.enforced().get(Control::Syscalls).expect("a standing");
    assert_eq!(standing.force, Force::Weaker, "it allows what aido's own refuses, and that is not said: {standing:?}");
}

fn no_profile_gives_user_namespaces(on: &Engine) {
    let asked = on.sh("unshare -U true && echo HAD; unshare -Ur true && echo HAD; echo over");
    let asked = asked.plan(|plan| plan.syscalls = profile(false));
    if on.differs(Name::ProfilesKeepUserNamespacesOut) {
        let error = asked.refused();
        assert!(error.what.contains("user namespace"), "{}", error.what);
    } else {
        asked.run().exits(0).says("over\n");
    }
}

fn a_profile_that_is_none_is_refused(on: &Engine) {
    for text in [
        "",
        "{}",
        "[]",
        "{\"defaultAction\": \"SCMP_ACT_MAYBE\"}",
        "{\"defaultAction\": \"SCMP_ACT_ALLOW\", \"unknown\": 1}",
    ] {
        let profile = SyscallProfile::File { path: "/profile.json".into(), profile: text.into() };
        on.sh("true").plan(|plan| plan.syscalls = profile).refused();
    }
}

/// What ordinary programs do is not refused.
fn ordinary_work_goes_on(on: &Engine) {
    let script = "cd /outputs; mkdir -p a/b; echo x >a/f; ln a/f a/hard; ln -s f a/link; mv a/f a/g; chmod 600 a/g; touch -d @100 a/g; tar -cf t.tar a; tar -tf t.tar | wc -l
        gzip t.tar; gunzip t.tar.gz; (sleep 0.1 & wait); sh -c 'exit 3'; echo $?; seq 100 | sort -rn | head -1; dd if=/dev/urandom bs=1k count=4 2>/dev/null | wc -c; nproc >/dev/null; date +%Y >/dev/null; mkfifo p; (echo piped >p &) ; cat p";
    on.sh(script).run().exits(0).says("5\n3\n100\n4096\npiped\n");
}
