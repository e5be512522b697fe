//! For any profile and any call, the program answers as the JSON reads.

use super::oracle::{Oracle, conditions, name, names, rules};
use super::{ALLOW, Call, DEFAULT_JSON, MACHINES, NOTIFY, bpf, compiled, compiled_to, default_profile, errno};
use crate::seccomp::compile::{Error, Hear, Instruction, Machine, compile, read};
use proptest::prelude::*;
use seccompiler::{BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter};
use seccompiler::{SeccompRule, TargetArch};
use serde_json::{Value, json};
use std::collections::BTreeMap;

const ARCHES: [u32; 5] = [0xC000_003E, 0xC000_00B7, 0x4000_0003, 0x4000_0028, 0];
const EDGES: [u64; 8] = [0, 1, 0x7FFF_FFFF, 0xFFFF_FFFF, 1 << 32, (1 << 32) | 1, 1 << 63, u64::MAX];
pub(super) const HEARD: [Hear; 3] = [Hear::Connections, Hear::Changes, Hear::Reads];
const OPERATORS: [&str; 7] = ["EQ", "NE", "LT", "LE", "GT", "GE", "MASKED_EQ"];
const ACTIONS: [&str; 7] = ["ALLOW", "LOG", "TRACE", "ERRNO", "TRAP", "KILL", "KILL_PROCESS"];

/// Every number that means something, and those around the seams.
fn numbers() -> impl Iterator<Item = u32> {
    let seams = [0x3FFF_FFFF, 0x4000_0000, 0x4000_0001, 0x4000_0200, 0x7FFF_FFFF, 0x8000_0000, u32::MAX - 1, u32::MAX];
    (0..1100).chain(seams)
}

/// Values that could be on the wrong side of what a profile's rules for a call compare with.
fn telling(profile: &Value, call: Option<&str>) -> Vec<u64> {
    let about = rules(profile).iter().filter(|rule| call.is_some_and(|call| names(rule).contains(&call)));
    let compared = about.flat_map(conditions).flat_map(|c| [c["value"].as_u64(), c["valueTwo"].as_u64()]).flatten();
    let mut values: Vec<u64> = compared
        .flat_map(|v| [v, v.wrapping_sub(1), v.wrapping_add(1), !v, v ^ (1 << 32), v | (0xFFFF_FFFF << 32), v << 1])
        .chain(EDGES)
        .collect();
    values.sort_unstable();
    values.dedup();
    values
}

fn check(program: &[Instruction], oracle: &Oracle<'_>, call: &Call) {
    if let Some(answer) = oracle.answer(call) {
        let given = bpf::run(program, call);
        assert_eq!(given, answer, "the program says {given:#x}, the JSON {answer:#x} of {call:x?}");
    }
}

/// Where somebody listens he is asked where the profile refuses, and about allowed calls of certain kinds. All else is as
/// it was: what the plain program allows is never refused by the other, and what it refuses is never allowed.
pub(super) fn check_heard(plain: &[Instruction], heard: &[Instruction], hear: Hear, machine: Machine, call: &Call) {
    let (plain, heard) = (bpf::run(plain, call), bpf::run(heard, call));
    let refused = [libc::EPERM, libc::EACCES].map(errno).contains(&plain);
    let hidden = plain == errno(libc::ENOSYS);
    let asked = plain == ALLOW && is_asked_about(name(machine, call.number).unwrap_or_default(), &call.args, hear);
    let right = if heard == NOTIFY {
        refused || hidden || plain == NOTIFY || asked
    } else {
        heard == plain && !refused && !asked
    };
    assert!(right, "alone it says {plain:#x}, and with {hear:?} {heard:#x}, of {call:x?}");
}

/// Which allowed calls are on record, read once more from what the record promises.
fn is_asked_about(call: &str, args: &[u64; 6], hear: Hear) -> bool {
    const BY_PATH: &str = "mkdir mkdirat rmdir unlink unlinkat rename renameat renameat2 link linkat symlink symlinkat mknod \
                           mknodat truncate chmod fchmodat fchmodat2 chown lchown fchownat utime utimes futimesat setxattr \
                           lsetxattr setxattrat removexattr lremovexattr creat openat2 execve execveat";
    let changes = |flags: u64| flags & (1 | 2 | 0o100 | 0o1000) != 0;
    match call {
        "connect" | "bind" => hear >= Hear::Connections,
        "sendto" => hear >= Hear::Connections && args[4] != 0,
        "open" => hear == Hear::Reads || hear == Hear::Changes && changes(args[1]),
        "openat" => hear == Hear::Reads || hear == Hear::Changes && changes(args[2]),
        "utimensat" => hear >= Hear::Changes && args[1] != 0,
        call => hear >= Hear::Changes && BY_PATH.split_whitespace().any(|one| one == call),
    }
}

/// Every call by every pair of telling values in its first three arguments, the ones our rules look at.
#[test]
fn default_json_is_compiled_to_what_it_says() {
    let profile = default_profile();
    for machine in MACHINES {
        let (program, oracle) = (compiled(DEFAULT_JSON, machine), Oracle::new(&profile, machine));
        for number in numbers() {
            let values = telling(&profile, name(machine, number));
            // ioctl has many values, all for one argument.
            let others = if values.len() > 100 { &EDGES[..] } else { &values };
            for a in &values {
                for b in others {
                    for args in [[*a, *b, 0, 0, 0, 0], [*a, 1, *b, 0, 0, 0], [16, *a, *b, 7, 7, 7]] {
                        check(&program, &oracle, &Call { arch: machine.audit(), number, args });
                    }
                }
            }
            for arch in ARCHES {
                check(&program, &oracle, &Call { arch, number, args: [2, 1, 0, 0, 0, 0] });
            }
        }
    }
}

fn value() -> impl Strategy<Value = u64> {
    prop_oneof![
        prop::sample::select(&EDGES[..]),
        any::<u64>(),
        0..64_u64,
        (0..64_u32).prop_map(|bit| 1 << bit),
        any::<u32>().prop_map(u64::from)
    ]
}

/// Single bits of one byte: rules that the compiler can merge, and that contradict each other often.
fn bit_condition() -> impl Strategy<Value = Value> {
    (0..8_u32, 0..8_u32, any::<bool>()).prop_map(|(one, two, set)| {
        let mask = 1_u64 << one | 1 << two;
        json!({"index": 1, "value": mask, "valueTwo": if set { mask } else { 0 }, "op": "SCMP_CMP_MASKED_EQ"})
    })
}

fn condition(index: usize) -> impl Strategy<Value = Value> {
    (prop::sample::select(&OPERATORS[..]), value(), value()).prop_map(move |(op, value, two)| {
        json!({"index": index, "value": value, "valueTwo": two, "op": format!("SCMP_CMP_{op}")})
    })
}

fn args() -> impl Strategy<Value = Vec<Value>> {
    let some = prop::sample::subsequence(vec![0_usize, 1, 2, 3, 4, 5], 1..4)
        .prop_flat_map(|indices| indices.into_iter().map(condition).collect::<Vec<_>>());
    prop_oneof![1 => Just(Vec::new()), 4 => some]
}

/// Few names, so that rules meet on one call; a name that no machine has; one of each machine alone.
fn call_name() -> impl Strategy<Value = String> {
    let all: Vec<String> = (0..500).filter_map(|n| name(Machine::X86_64, n)).map(str::to_owned).collect();
    let few =
        ["read", "ioctl", "socket", "clone", "newfstatat", "open", "no_such_call", "file_setattr", "futex_time64"];
    prop_oneof![2 => prop::sample::select(few.map(str::to_owned).to_vec()), 3 => prop::sample::select(all)]
}

fn action() -> impl Strategy<Value = (String, u32)> {
    (prop::sample::select(&ACTIONS[..]), 0..200_u32).prop_map(|(name, data)| (format!("SCMP_ACT_{name}"), data))
}

fn profile(most_rules: usize) -> impl Strategy<Value = Value> {
    let rule = (prop::collection::vec(call_name(), 1..4), action(), args()).prop_map(
        |(names, (action, data), args)| json!({"names": names, "action": action, "errnoRet": data, "args": args}),
    );
    (action(), prop::collection::vec(rule, 0..most_rules)).prop_map(
        |((default, data), rules)| json!({"defaultAction": default, "defaultErrnoRet": data, "syscalls": rules}),
    )
}

/// Compiles a profile and holds it against the reading on every call.
fn agree(profile: &Value, machine: Machine, random: &[[u64; 6]]) {
    let oracle = Oracle::new(profile, machine);
    let plain = |number| oracle.answer(&Call { arch: machine.audit(), number, args: [0; 6] });
    let program =
        match read(&profile.to_string(), machine).and_then(|profile| compile(&[], &profile, machine, Hear::Nothing)) {
            Ok(program) => program,
            Err(Error::Contradiction { .. }) => {
                assert!(
                    (0..1024).any(|number| plain(number).is_none()),
                    "refused, but nothing is contradictory: {profile}"
                );
                return;
            }
            Err(error) => panic!("{error}: {profile}"),
        };
    assert!((0..1024).all(|number| plain(number).is_some()), "taken, but it contradicts itself: {profile}");
    let heard = HEARD.map(|hear| (hear, compiled_to(&profile.to_string(), machine, hear)));
    let check_heard = |call: &Call| {
        heard.iter().for_each(|(hear, heard)| super::properties::check_heard(&program, heard, *hear, machine, call));
    };
    for number in numbers() {
        let values = telling(profile, name(machine, number));
        for args in random {
            check(&program, &oracle, &Call { arch: machine.audit(), number, args: *args });
            check_heard(&Call { arch: machine.audit(), number, args: *args });
            // The same with each argument in turn at values that the rules compare with.
            for (at, value) in values.iter().enumerate().filter(|_| values.len() > EDGES.len()) {
                let mut args = *args;
                args[at % 6] = *value;
                args[(at + 1) % 6] = values[(at * 7 + 3) % values.len()];
                check(&program, &oracle, &Call { arch: machine.audit(), number, args });
                check_heard(&Call { arch: machine.audit(), number, args });
            }
        }
        check(&program, &oracle, &Call { arch: ARCHES[number as usize % ARCHES.len()], number, args: random[0] });
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_profile_is_compiled_to_what_it_says(
        profile in profile(24),
        random in prop::collection::vec(prop::array::uniform6(value()), 4),
    ) {
        for machine in MACHINES {
            agree(&profile, machine, &random);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    /// Lists of rules about bits, on every byte.
    #[test]
    fn rules_about_bits_are_compiled_to_what_they_say(bits in prop::collection::vec((bit_condition(), 0..2_u32), 1..9)) {
        let rule = |(condition, errno): &(Value, u32)| {
            json!({"names": ["ioctl"], "action": "SCMP_ACT_ERRNO", "errnoRet": 20 + errno, "args": [condition]})
        };
        let rules: Vec<Value> = bits.iter().map(rule).collect();
        let profile = json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": rules});
        let machine = Machine::X86_64;
        let (program, oracle) = (compiled(&profile.to_string(), machine), Oracle::new(&profile, machine));
        for request in (0..256).chain([1 << 32, 0x5412]) {
            check(&program, &oracle, &Call { arch: machine.audit(), number: 16, args: [0, request, 0, 0, 0, 0] });
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, failure_persistence: None, ..ProptestConfig::default() })]

    /// Programs of well over 255 instructions, whose jumps need stepping stones.
    #[test]
    fn a_long_profile_is_compiled_to_what_it_says(
        profile in profile(160),
        random in prop::collection::vec(prop::array::uniform6(value()), 2),
    ) {
        agree(&profile, Machine::X86_64, &random);
    }

    /// Another compiler, for what it can say: one action for a match, rules on one call joined by «or».
    #[test]
    fn seccompiler_agrees(
        rules in prop::collection::vec((call_name(), args()), 1..20),
        random in prop::collection::vec(prop::array::uniform6(value()), 4),
    ) {
        let ours: Vec<Value> = rules
            .iter()
            .map(|(name, args)| json!({"names": [name], "action": "SCMP_ACT_ALLOW", "args": args}))
            .collect();
        let ours = json!({"defaultAction": "SCMP_ACT_ERRNO", "syscalls": ours});
        let program = compiled(&ours.to_string(), Machine::X86_64);
        let (theirs, highest) = by_seccompiler(&rules);
        for number in 0..=highest {
            let values = telling(&ours, name(Machine::X86_64, number));
            for (at, args) in random.iter().cycle().take(values.len()).enumerate() {
                let mut args = *args;
                args[at % 6] = values[at];
                let call = Call { arch: Machine::X86_64.audit(), number, args };
                prop_assert_eq!(bpf::run(&program, &call), bpf::run(&theirs, &call), "{:x?} under {}", call, ours);
            }
        }
    }
}

fn by_seccompiler(rules: &[(String, Vec<Value>)]) -> (Vec<Instruction>, u32) {
    let mut filter: BTreeMap<i64, Vec<Option<SeccompRule>>> = BTreeMap::new();
    for (name, args) in rules {
        if let Ok(call) = name.parse::<syscalls::x86_64::Sysno>() {
            let conditions: Vec<SeccompCondition> = args.iter().map(seccompiler_condition).collect();
            let rule = (!conditions.is_empty()).then(|| SeccompRule::new(conditions).expect("a rule"));
            filter.entry(i64::from(call.id())).or_default().push(rule);
        }
    }
    let (highest, empty) = (filter.keys().next_back().map_or(0, |number| *number as u32), filter.is_empty());
    // No rule in a list means «always» there, so one without conditions empties the list.
    let filter = filter.into_iter().map(|(number, rules)| (number, rules.into_iter().collect::<Option<Vec<_>>>()));
    let filter = filter.map(|(number, rules)| (number, rules.unwrap_or_default())).collect();
    let otherwise = if empty { libc::ENOSYS } else { libc::EPERM } as u32;
    let filter = SeccompFilter::new(filter, SeccompAction::Errno(otherwise), SeccompAction::Allow, TargetArch::x86_64)
        .expect("a filter");
    let program: BpfProgram = filter.try_into().expect("a program");
    (program.iter().map(|i| Instruction { code: i.code, jt: i.jt, jf: i.jf, k: i.k }).collect(), highest)
}

fn seccompiler_condition(condition: &Value) -> SeccompCondition {
    let number = |key: &str| condition[key].as_u64().expect("a number");
    let (operator, value) = match condition["op"].as_str().expect("an operator") {
        "SCMP_CMP_EQ" => (SeccompCmpOp::Eq, number("value")),
        "SCMP_CMP_NE" => (SeccompCmpOp::Ne, number("value")),
        "SCMP_CMP_LT" => (SeccompCmpOp::Lt, number("value")),
        "SCMP_CMP_LE" => (SeccompCmpOp::Le, number("value")),
        "SCMP_CMP_GT" => (SeccompCmpOp::Gt, number("value")),
        "SCMP_CMP_GE" => (SeccompCmpOp::Ge, number("value")),
        _ => (SeccompCmpOp::MaskedEq(number("value")), number("valueTwo")),
    };
    SeccompCondition::new(number("index") as u8, SeccompCmpArgLen::Qword, operator, value).expect("a condition")
}

/// The long profiles above would prove nothing if they were short.
#[test]
fn jumps_farther_than_a_byte_reach_their_target() {
    let rules: Vec<Value> = (0..300_u64)
        .filter_map(|n| name(Machine::X86_64, n as u32).map(|name| (n, name)))
        .map(|(n, name)| {
            let args = json!([{"index": n % 6, "value": n << 20, "op": "SCMP_CMP_GT"}]);
            json!({"names": [name], "action": "SCMP_ACT_ERRNO", "errnoRet": 2 + n % 90, "args": args})
        })
        .collect();
    let profile = json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": rules});
    let program = compiled(&profile.to_string(), Machine::X86_64);
    assert!(program.len() > 1000, "{} instructions", program.len());
    for n in 0..300_u64 {
        for (value, answer) in [(n << 20, ALLOW), ((n << 20) + 1, errno(2 + (n % 90) as i32))] {
            let call = Call { arch: Machine::X86_64.audit(), number: n as u32, args: [value; 6] };
            assert_eq!(bpf::run(&program, &call), answer, "{call:x?}");
        }
    }
}

/// Two jumps of one test whose targets lie 254 to 257 instructions away, in every combination: a stepping stone
/// for one branch moves the other by one.
#[test]
fn both_branches_of_a_test_can_be_far() {
    let machine = Machine::X86_64;
    let rule = |name: &str, action: &str, data: u64, args: Value| json!({"names": [name], "action": action, "errnoRet": data, "args": args});
    for (fillers, operator, odd) in (90..150).flat_map(|n| [(n, "EQ", 0), (n, "NE", 0), (n, "EQ", 1), (n, "NE", 1)]) {
        let args =
            |op: &str| json!([{"index": 0, "value": 0xFFFF_FFFF_u64, "valueTwo": 5, "op": format!("SCMP_CMP_{op}")}]);
        let masked = json!([{"index": 0, "value": 7, "valueTwo": 3, "op": "SCMP_CMP_MASKED_EQ"}]);
        let mut rules = vec![rule("accept4", "SCMP_ACT_ALLOW", 0, args("MASKED_EQ"))];
        rules.extend((2..fillers).filter_map(|n| Some(rule(name(machine, n)?, "SCMP_ACT_TRACE", n.into(), json!([])))));
        rules.push(rule("read", "SCMP_ACT_ALLOW", 0, args(operator)));
        rules.extend((odd == 1).then(|| rule("write", "SCMP_ACT_TRACE", 999, masked)));
        let profile = json!({"defaultAction": "SCMP_ACT_ERRNO", "syscalls": rules});
        let (program, oracle) = (compiled(&profile.to_string(), machine), Oracle::new(&profile, machine));
        for (number, value) in [0, 1, 2, 80, 288].into_iter().flat_map(|n| [(n, 5), (n, 3), (n, 0xFFFF_FFFF)]) {
            check(&program, &oracle, &Call { arch: machine.audit(), number, args: [value; 6] });
        }
    }
}
