//! The profiles that are not the default one, and which refusals are heard.

use super::oracle::Oracle;
use super::properties::{HEARD, check_heard};
use super::{
    ALLOW, Call, DEFAULT_JSON, GUARD_JSON, KILL, MACHINES, NOTIFY, STRICT_JSON, bpf, compiled, compiled_to, errno,
};
use crate::seccomp::compile::{Hear, Machine, compile, read};
use crate::seccomp::{NO_SIGNALS, WALL_ALONE};

const HERE: Machine = Machine::X86_64;

fn of(json: &str, hear: Hear, call: &str, args: [u64; 6]) -> u32 {
    let number = HERE.number(call).expect("a call of this machine");
    bpf::run(&compiled_to(json, HERE, hear), &Call { arch: HERE.audit(), number, args })
}

fn heard(call: &str, args: [u64; 6]) -> u32 {
    of(DEFAULT_JSON, Hear::Connections, call, args)
}

#[test]
fn what_is_refused_on_purpose_is_heard_and_what_every_library_tries_is_not() {
    for call in
        "unshare setns mount bpf keyctl perf_event_open userfaultfd open_by_handle_at pidfd_getfd fanotify_init \
                 personality modify_ldt io_uring_setup process_vm_readv clone3"
            .split_whitespace()
    {
        assert_eq!(heard(call, [0x7777; 6]), NOTIFY, "{call}");
    }
    assert_eq!(heard("clone", [0x1000_0011, 0, 0, 0, 0, 0]), NOTIFY, "a user namespace");
    assert_eq!(heard("socket", [40, 1, 0, 0, 0, 0]), NOTIFY, "AF_VSOCK");
    assert_eq!(heard("ioctl", [0, 0x5412, 0, 0, 0, 0]), NOTIFY, "TIOCSTI");
    for call in ["read", "openat", "clone", "futex", "execve", "unlink"] {
        assert_eq!(heard(call, [0; 6]), ALLOW, "{call} must cost nothing");
    }
    for call in ["statmount", "memfd_secret", "uselib"] {
        assert_eq!(heard(call, [0; 6]), errno(libc::ENOSYS), "{call}");
    }
    let newer = Call { arch: HERE.audit(), number: 700, args: [0; 6] };
    assert_eq!(bpf::run(&compiled_to(DEFAULT_JSON, HERE, Hear::Reads), &newer), errno(libc::ENOSYS));
}

#[test]
fn what_changes_files_is_asked_about_and_what_reads_them_is_not() {
    let changes = |call: &str, args| of(DEFAULT_JSON, Hear::Changes, call, args);
    for flags in [1, 2, 0o100, 0o1000, 0o2001, 0o20200002, 0xFFFF_FFFF_0000_0001] {
        assert_eq!(changes("openat", [0xFFFF_FF9C, 1, flags, 0, 0, 0]), NOTIFY, "{flags:o}");
        assert_eq!(changes("open", [1, flags, 0, 0, 0, 0]), NOTIFY, "{flags:o}");
    }
    for flags in [0, 0o2000000, 0o200000, 0o10000000, 0o400, 0xFFFF_FFFF_0000_0000] {
        assert_eq!(changes("openat", [0xFFFF_FF9C, 1, flags, 0, 0, 0]), ALLOW, "{flags:o} must cost nothing");
        assert_eq!(of(DEFAULT_JSON, Hear::Reads, "openat", [1, 1, flags, 0, 0, 0]), NOTIFY, "{flags:o}");
    }
    for call in ["execve", "execveat", "creat", "openat2", "mkdirat", "renameat2", "unlinkat", "fchmodat"] {
        assert_eq!(changes(call, [1; 6]), NOTIFY, "{call}");
    }
    assert_eq!(changes("sendto", [3, 1, 1, 0, 0, 0]), ALLOW, "where the socket is connected to");
    assert_eq!(changes("utimensat", [3, 0, 1, 0, 0, 0]), ALLOW, "a descriptor's own");
    for call in ["read", "write", "stat", "clone", "mmap", "fchmod", "close", "vfork", "sendmsg"] {
        assert_eq!(changes(call, [0; 6]), ALLOW, "{call} must cost nothing");
    }
}

/// Restrictions are laid over the profile before anybody is asked: what they refuse stays refused.
#[test]
fn what_restrictions_refuse_is_not_taken_for_allowed() {
    let restrictions = [read(WALL_ALONE, HERE).expect("a restriction")];
    let profile = read(DEFAULT_JSON, HERE).expect("a profile");
    let both = |hear| compile(&restrictions, &profile, HERE, hear).expect("a program");
    let plain = both(Hear::Nothing);
    for (hear, heard) in HEARD.map(|hear| (hear, both(hear))) {
        for number in 0..600 {
            for args in [[0; 6], [1; 6], [1, 0o1000, 0o1000, 0, 0, 0], [1, 0o1101, 0o1101, 0, 5, 0], [u64::MAX; 6]] {
                check_heard(&plain, &heard, hear, HERE, &Call { arch: HERE.audit(), number, args });
            }
        }
    }
}

#[test]
fn foreign_abis_end_the_process_whoever_hears() {
    for json in [DEFAULT_JSON, STRICT_JSON, GUARD_JSON] {
        for hear in [Hear::Nothing, Hear::Connections, Hear::Reads] {
            let program = compiled_to(json, HERE, hear);
            for (arch, number) in [(0x4000_0003, 20), (HERE.audit(), 0x4000_0000 | 39)] {
                assert_eq!(bpf::run(&program, &Call { arch, number, args: [0; 6] }), KILL);
            }
        }
    }
}

#[test]
fn every_profile_is_compiled_to_what_it_says_on_both_machines() {
    for json in [DEFAULT_JSON, STRICT_JSON, GUARD_JSON] {
        let profile = serde_json::from_str(json).expect("JSON");
        for machine in MACHINES {
            let plain = compiled(json, machine);
            let heard = HEARD.map(|hear| (hear, compiled_to(json, machine, hear)));
            let oracle = Oracle::new(&profile, machine);
            for number in 0..1024 {
                for args in [[0; 6], [1, 1, 0, 0, 0, 0], [2, 2, 0, 0, 0, 0], [15, 0x5401, 0, 0, 0, 0], [u64::MAX; 6]] {
                    let call = Call { arch: machine.audit(), number, args };
                    assert_eq!(Some(bpf::run(&plain, &call)), oracle.answer(&call), "{call:x?}");
                    heard.iter().for_each(|(hear, heard)| check_heard(&plain, heard, *hear, machine, &call));
                }
            }
        }
    }
}

/// What `strict.json` allows with some arguments must be allowed by `default.json` too.
#[test]
fn the_strict_profile_allows_nothing_that_the_default_one_refuses() {
    for machine in MACHINES {
        let (strict, default) = (compiled(STRICT_JSON, machine), compiled(DEFAULT_JSON, machine));
        let values = [
            0,
            1,
            2,
            3,
            10,
            15,
            16,
            23,
            38,
            39,
            40,
            0x5401,
            0x5412,
            0x541B,
            0x5413,
            0x541C,
            0x5421,
            0x5423,
            0x1000_0000,
        ];
        for number in 0..1024 {
            for (one, two) in values.iter().flat_map(|one| values.map(|two| (*one, two))) {
                let call = Call { arch: machine.audit(), number, args: [one, two, 0, 0, 0, 0] };
                let both = (bpf::run(&strict, &call), bpf::run(&default, &call));
                assert!(both.0 != ALLOW || both.1 == ALLOW, "{call:x?}");
            }
        }
    }
    let sockets =
        [("socket", [1, 1, 0, 0, 0, 0]), ("socket", [2, 1, 0, 0, 0, 0]), ("bind", [0; 6]), ("connect", [0; 6])];
    for (call, args) in sockets {
        assert_eq!(of(STRICT_JSON, Hear::Nothing, call, args), errno(libc::EPERM), "{call}");
    }
    for call in ["ptrace", "setuid", "shmget", "memfd_create", "mknodat", "seccomp", "inotify_init1"] {
        assert_eq!(of(STRICT_JSON, Hear::Nothing, call, [0; 6]), errno(libc::EPERM), "{call}");
    }
}

/// Restrictions over a profile: where they do not allow, theirs is the answer, else the profile's.
#[test]
fn restrictions_lie_over_every_profile() {
    let values = [0, 1, 2, 3, 8, 10, 15, 0o1000, 0o1001, 0o3000, 0x8901, 0x5412, 0x1000_0000, 0x1000_0011, u64::MAX];
    let above = [WALL_ALONE, NO_SIGNALS];
    for machine in MACHINES {
        let restrictions = above.map(|json| read(json, machine).expect("a restriction"));
        for json in [DEFAULT_JSON, STRICT_JSON] {
            let profile = read(json, machine).expect("a profile");
            for hear in [Hear::Nothing] {
                let both = compile(&restrictions, &profile, machine, hear).expect("a program");
                let upper = above.map(|json| compiled_to(json, machine, hear));
                let lower = compiled_to(json, machine, hear);
                for number in (0..600).chain([0x4000_0000, u32::MAX]) {
                    for (at, one) in values.iter().enumerate() {
                        let two = values[(at * 7 + number as usize) % values.len()];
                        let call = Call { arch: machine.audit(), number, args: [*one, two, two, 0, 0, 0] };
                        // The last one lies on top.
                        let answers = upper.iter().rev().map(|program| bpf::run(program, &call));
                        let expected = answers.into_iter().find(|answer| *answer != ALLOW);
                        let expected = expected.unwrap_or_else(|| bpf::run(&lower, &call));
                        assert_eq!(bpf::run(&both, &call), expected, "{call:x?}");
                    }
                }
            }
        }
    }
}

#[test]
fn without_namespaces_nothing_reaches_other_processes_or_files() {
    let restrictions = [read(WALL_ALONE, HERE).expect("a restriction")];
    let profile = read(DEFAULT_JSON, HERE).expect("a profile");
    let program = compile(&restrictions, &profile, HERE, Hear::Nothing).expect("a program");
    let answer = |call: &str, args: [u64; 3]| {
        let [a, b, c] = args;
        bpf::run(
            &program,
            &Call { arch: HERE.audit(), number: HERE.number(call).expect("a call"), args: [a, b, c, 0, 0, 0] },
        )
    };
    for call in "socket chmod fchmodat chown utimensat setxattr truncate shmget mq_open unshare".split(' ') {
        assert_eq!(answer(call, [1, 1, 1]), errno(libc::EPERM), "{call}");
    }
    for kind in [2, 3, 0o2000002] {
        assert_eq!(answer("socketpair", [1, kind, 0]), errno(libc::EPERM), "a datagram pair can be connected anew");
    }
    for request in [0x4008_6602_u64, 0x401C_5820, 0x4008_7602, 0x4004_9409] {
        assert_eq!(answer("ioctl", [3, request, 1]), errno(libc::EPERM), "{request:#x}");
    }
    for (call, args) in [("socketpair", [1, 1, 0]), ("socketpair", [1, 0o2000005, 0]), ("ioctl", [1, 0x5413, 0])] {
        assert_eq!(answer(call, args), ALLOW, "{call}");
    }
    for pid in [1, 4711, 0xFFFF_FFFF_0000_0001] {
        assert_eq!(answer("prlimit64", [pid, 7, 1]), errno(libc::EPERM));
        assert_eq!(answer("sched_setaffinity", [pid, 8, 1]), errno(libc::EPERM));
        assert_eq!(answer("setpriority", [0, pid, 19]), errno(libc::EPERM));
    }
    assert_eq!(answer("open", [1, 0o1000, 0]), errno(libc::EPERM), "O_RDONLY | O_TRUNC");
    assert_eq!(answer("openat", [1, 1, 0o1000]), errno(libc::EPERM), "O_RDONLY | O_TRUNC");
    for (call, args) in
        [("open", [1, 0o1001, 0]), ("openat", [1, 1, 0o1102]), ("openat", [1, 1, 0]), ("kill", [1, 9, 0])]
    {
        assert_eq!(answer(call, args), ALLOW, "{call}");
    }
}

#[test]
fn the_guards_profile_opens_nothing_and_starts_nothing() {
    for call in "open openat openat2 execve execveat clone fork vfork socket connect mmap mprotect ptrace mount setuid"
        .split(' ')
    {
        assert_ne!(of(GUARD_JSON, Hear::Nothing, call, [0; 6]), ALLOW, "{call}");
    }
    for call in ["read", "sendmsg", "wait4", "kill", "exit_group"] {
        assert_eq!(of(GUARD_JSON, Hear::Nothing, call, [0; 6]), ALLOW, "{call}");
    }
}
