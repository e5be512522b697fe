//! What the default profile must say, rule by rule, on both machines.

use super::oracle::{name, names, rules};
use super::{ALLOW, Call, DEFAULT_JSON, KILL, MACHINES, bpf, compiled, compiled_to, default_profile, errno};
use crate::seccomp::compile::{Hear, Instruction, Machine};
use crate::seccomp::{Filters, filter};
use aido_runtime::{Record, SyscallProfile};
use std::collections::BTreeSet;
use std::sync::LazyLock;

/// Compiled once for all tests.
fn program(machine: Machine) -> &'static [Instruction] {
    static PROGRAMS: LazyLock<[Vec<Instruction>; 2]> = LazyLock::new(|| MACHINES.map(|m| compiled(DEFAULT_JSON, m)));
    let at = MACHINES.iter().position(|known| *known == machine).expect("a known machine");
    &PROGRAMS[at]
}

/// The answers of `default.json` for each machine that has the call.
fn answers(call: &str, args: &[u64]) -> Vec<u32> {
    let mut all = [0; 6];
    all[..args.len()].copy_from_slice(args);
    let on = |machine: &Machine| {
        let number = machine.number(call)?;
        let call = Call { arch: machine.audit(), number, args: all };
        Some(bpf::run(program(*machine), &call))
    };
    let answers: Vec<u32> = MACHINES.iter().filter_map(on).collect();
    assert!(!answers.is_empty(), "no machine has {call}");
    answers
}

fn expect(call: &str, args: &[u64], answer: u32) {
    for given in answers(call, args) {
        assert_eq!(given, answer, "{call}({args:x?}) gives {given:#x}, not {answer:#x}");
    }
}

fn allowed(call: &str, args: &[u64]) {
    expect(call, args, ALLOW);
}

fn refused(call: &str, args: &[u64]) {
    expect(call, args, errno(libc::EPERM));
}

/// Garbage above the 32 bits that the kernel looks at.
const HIGH: [u64; 4] = [0, 1 << 32, 0xFFFF_FFFF << 32, 0x8000_0000 << 32];

#[test]
fn every_call_of_both_machines_is_decided_by_name() {
    let profile = default_profile();
    let named: BTreeSet<&str> = rules(&profile).iter().flat_map(names).collect();
    let known: BTreeSet<&str> = MACHINES.iter().flat_map(|m| (0..1024).filter_map(|n| name(*m, n))).collect();
    let undecided: Vec<_> = known.difference(&named).collect();
    assert!(undecided.is_empty(), "add to default.json, allowed or refused: {undecided:?}");
    let misspelt: Vec<_> = named.difference(&known).collect();
    assert!(misspelt.is_empty(), "no such call: {misspelt:?}");
}

/// Engines differ where a call is in two groups, so only rules with arguments may share one.
#[test]
fn every_rule_has_a_reason_and_no_call_is_decided_twice() {
    let (profile, mut plain, mut conditional) = (default_profile(), BTreeSet::new(), BTreeSet::new());
    for rule in rules(&profile) {
        assert!(rule["comment"].as_str().is_some_and(|reason| !reason.is_empty()), "no reason: {rule}");
        for name in names(rule) {
            if rule["args"].is_array() {
                conditional.insert(name);
            } else {
                assert!(plain.insert(name), "{name} is decided twice");
            }
        }
    }
    assert_eq!(plain.intersection(&conditional).next(), None, "decided with and without arguments");
}

#[test]
fn ordinary_programs_get_their_calls() {
    let daily = "read write openat close mmap mprotect brk execve exit_group wait4 futex rt_sigaction rt_sigreturn \
                 getrandom prctl rseq set_robust_list pipe2 dup3 fcntl statx getdents64 epoll_pwait eventfd2";
    for call in daily.split_whitespace() {
        allowed(call, &[]);
    }
    for call in "memfd_create seccomp landlock_create_ruleset landlock_restrict_self ptrace mknodat shmget".split(' ') {
        allowed(call, &[]);
    }
}

#[test]
fn a_descriptor_is_asked_and_told_anything_but_a_lease() {
    for high in HIGH {
        (0..2048).filter(|command| *command != 1024).for_each(|command| allowed("fcntl", &[0, high | command]));
        refused("fcntl", &[0, high | 1024]);
    }
}

/// The guard has the task's user, and the kernel asks for no more than that here.
#[test]
fn limits_and_scheduling_do_not_reach_the_guard() {
    for high in HIGH {
        allowed("prlimit64", &[high, 7, u64::MAX]);
        allowed("prlimit64", &[high | 1, 7, 0]);
        refused("prlimit64", &[high | 1, 7, 0x7FFF_0000]);
        for call in ["sched_setaffinity", "sched_setscheduler", "sched_setparam", "sched_setattr"] {
            refused(call, &[high | 1]);
            [0, 2, 3, 4711, 0x8000_0001].iter().for_each(|pid| allowed(call, &[high | pid]));
        }
        allowed("setpriority", &[high, high, 5]);
        refused("setpriority", &[high, high | 1, 19]);
        refused("setpriority", &[high | 2, high, 19]);
        allowed("ioprio_set", &[high | 1, high, 5]);
        refused("ioprio_set", &[high | 1, high | 1, 5]);
        refused("ioprio_set", &[high | 3, high, 5]);
    }
}

#[test]
fn what_reaches_the_kernel_or_the_host_is_refused() {
    let all = "unshare setns mount umount2 pivot_root chroot fsopen fsconfig fsmount fspick open_tree move_mount \
               mount_setattr bpf perf_event_open userfaultfd keyctl add_key request_key open_by_handle_at kexec_load \
               kexec_file_load init_module finit_module delete_module reboot swapon swapoff quotactl quotactl_fd \
               settimeofday clock_settime adjtimex clock_adjtime acct syslog sethostname setdomainname iopl ioperm \
               pidfd_getfd fanotify_init move_pages migrate_pages";
    for call in all.split_whitespace() {
        for args in [[0; 3], [1; 3], [u64::MAX; 3]] {
            refused(call, &args);
        }
    }
}

#[test]
fn libraries_are_told_to_fall_back() {
    for call in "clone3 io_uring_setup io_uring_enter io_uring_register process_vm_readv process_vm_writev".split(' ') {
        expect(call, &[0, 0, 0], errno(libc::ENOSYS));
    }
}

#[test]
fn unknown_numbers_look_like_an_older_kernel() {
    for machine in MACHINES {
        let program = program(machine);
        let highest = (0..1024).rev().find(|n| name(machine, *n).is_some()).expect("a highest number");
        for number in [highest + 1, 700, 0x3FFF_FFFF, u32::MAX] {
            let call = Call { arch: machine.audit(), number, args: [0; 6] };
            assert_eq!(bpf::run(program, &call), errno(libc::ENOSYS), "{number:#x}");
        }
    }
}

#[test]
fn foreign_abis_end_the_process() {
    let (i386, arm, x32) = (0x4000_0003, 0x4000_0028, 0x4000_0000);
    for machine in MACHINES {
        let program = program(machine);
        let other = MACHINES.into_iter().find(|other| *other != machine).expect("two machines");
        for arch in [i386, arm, 0, machine.audit() ^ x32, other.audit()] {
            for number in [0, 1, 20, 39, 1000, u32::MAX] {
                let call = Call { arch, number, args: [0; 6] };
                assert_eq!(bpf::run(program, &call), KILL, "{call:x?}");
            }
        }
    }
    let program = program(Machine::X86_64);
    for number in [0, 1, 39, 512, 547, 0x3FFF_FFFF, 0x4000_0000, 0x7FFF_FFFF, u32::MAX - 1 - x32] {
        let call = Call { arch: Machine::X86_64.audit(), number: number | x32, args: [0; 6] };
        assert_eq!(bpf::run(program, &call), KILL, "{call:x?}");
    }
}

#[test]
fn clone_makes_threads_and_children_but_no_namespace() {
    let (thread, child, vfork) = (0x003D_0F00, 0x0120_0011, 0x4111);
    for flags in [thread, child, vfork, libc::SIGCHLD as u64] {
        allowed("clone", &[flags]);
        for new in [0x80, 0x0002_0000, 0x0200_0000, 0x0400_0000, 0x0800_0000, 0x1000_0000, 0x2000_0000, 0x4000_0000] {
            for high in HIGH {
                refused("clone", &[flags | new | high]);
            }
        }
    }
}

#[test]
fn socket_families_are_an_allow_list() {
    let (stream, datagram, flags) = (1, 2, 0o2_004_000);
    for high in HIGH {
        for family in 0..64_u64 {
            for kind in 0..16 {
                let internet = [2, 10].contains(&family) && [stream, datagram].contains(&kind);
                let answer = if family == 1 || internet || family == 16 { ALLOW } else { errno(libc::EPERM) };
                expect("socket", &[family | high, kind, 0], answer);
                expect("socket", &[family | high, kind | flags | high, 0], answer);
            }
        }
        for protocol in 1..64 {
            let answer = errno(if protocol == 9 { libc::EPROTONOSUPPORT } else { libc::EPERM });
            expect("socket", &[16 | high, 3, protocol | high], answer);
            expect("socket", &[1, 1, protocol], ALLOW);
        }
        for family in (0..64).filter(|family| *family != 1) {
            refused("socketpair", &[family | high, stream, 0]);
        }
        allowed("socketpair", &[1 | high, stream, 0]);
    }
}

#[test]
fn personality_is_an_allow_list() {
    for persona in [0, 8, 0x0004_0000, 0xFFFF_FFFF] {
        HIGH.iter().for_each(|high| allowed("personality", &[persona | high]));
    }
    for bit in (0..32).map(|bit| 1_u64 << bit).filter(|bit| ![8, 0x0004_0000].contains(bit)) {
        HIGH.iter().for_each(|high| refused("personality", &[bit | high]));
        refused("personality", &[bit | 0x0004_0000]);
    }
}

#[test]
fn ioctl_refuses_three_requests_on_their_low_32_bits() {
    let refusals = [0x5412, 0x541C, 0x5423];
    for request in refusals {
        for high in HIGH.into_iter().chain((32..64).map(|bit| 1 << bit)) {
            refused("ioctl", &[0, request | high]);
        }
        for bit in 0..32 {
            let near = request ^ (1 << bit);
            assert!(!refusals.contains(&near), "the list is right only while no two differ in one bit");
            HIGH.iter().for_each(|high| allowed("ioctl", &[0, near | high]));
        }
    }
    for request in (0x5300..0x5600).filter(|request| !refusals.contains(request)) {
        allowed("ioctl", &[0, request]);
    }
    // A C library that takes the request as an int widens it with its sign.
    allowed("ioctl", &[0, 0xFFFF_FFFF_8004_5430]);
}

#[test]
fn the_built_program_is_the_compiled_profile() {
    let machine = Machine::named(std::env::consts::ARCH).expect("tests run on a machine that aido knows");
    for (record, hear) in
        [(Record::Refusals, Hear::Connections), (Record::Standard, Hear::Changes), (Record::Full, Hear::Reads)]
    {
        let filters = Filters::of(&SyscallProfile::Default, record).expect("our own profile");
        let bare =
            |program: &[libc::sock_filter]| program.iter().map(|i| (i.code, i.jt, i.jf, i.k)).collect::<Vec<_>>();
        let fresh = |hear| compiled_to(DEFAULT_JSON, machine, hear).into_iter().map(filter).collect::<Vec<_>>();
        assert_eq!(bare(filters.plain.instructions()), bare(&fresh(Hear::Nothing)));
        assert_eq!(bare(filters.heard.expect("room for the handshake").instructions()), bare(&fresh(hear)));
    }
}

/// The digest is that of the bytes the kernel reads: any change of any field shows.
#[test]
fn the_digest_is_of_the_instructions() {
    use crate::seccomp::Program;
    static ONE: &[libc::sock_filter] = &[libc::sock_filter { code: 6, jt: 0, jf: 0, k: 0x7FFF_0000 }];
    static OTHER: &[libc::sock_filter] = &[libc::sock_filter { code: 6, jt: 0, jf: 1, k: 0x7FFF_0000 }];
    let digest = |instructions| Program(instructions).digest();
    // printf '\006\000\000\000\000\000\377\177' | sha256sum
    assert_eq!(digest(ONE), "40b2a31e1a78576bb4afdf1433867d0cc67b769635ef549fba81c7d37570520f");
    assert_ne!(digest(ONE), digest(OTHER));
}

/// A filter runs on every call, and is checked at every start: a change that blows it up should be noticed.
#[test]
fn the_program_stays_small() {
    for machine in MACHINES {
        let program = program(machine);
        assert!(program.len() <= 200, "{} instructions for {machine:?}", program.len());
    }
}
