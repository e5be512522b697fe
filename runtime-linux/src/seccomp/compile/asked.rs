//! Which calls a listener is asked about although the profile allows them, so that they get on record.
//!
//! That is no decision: the listener lets every one of them go on. What the profile refuses is not touched here.

use super::Hear;
use super::decide::{ALLOW, Condition, Decision, NOTIFY, Range, Rule, push};
use super::machine::Machine;
use oci_spec::runtime::LinuxSeccompOperator as Operator;

/// Whom a program talks to.
const CONNECTIONS: [&str; 2] = ["connect", "bind"];
/// What is executed, and what changes files by their paths.
const CHANGES: [&str; 33] = [
    "execve",
    "execveat",
    "creat",
    // Its flags lie in the task's memory.
    "openat2",
    "mkdir",
    "mkdirat",
    "rmdir",
    "unlink",
    "unlinkat",
    "rename",
    "renameat",
    "renameat2",
    "link",
    "linkat",
    "symlink",
    "symlinkat",
    "mknod",
    "mknodat",
    "truncate",
    "chmod",
    "fchmodat",
    "fchmodat2",
    "chown",
    "lchown",
    "fchownat",
    "utime",
    "utimes",
    "futimesat",
    "setxattr",
    "lsetxattr",
    "removexattr",
    "lremovexattr",
    "setxattrat",
];
/// Calls that open files, with the place of their flags.
const OPENING: [(&str, u32); 2] = [("open", 1), ("openat", 2)];
/// The flags of an opening that changes something: `O_WRONLY`, `O_RDWR`, `O_CREAT`, `O_TRUNC`.
const CHANGING: u64 = 0o1103;

/// A call that is asked about, and when it is not.
struct Asked {
    number: u32,
    unless: Option<Condition>,
}

/// Asks about allowed calls, as far as somebody wants to hear of them.
pub(super) fn ask(ranges: &[Range], machine: Machine, hear: Hear) -> Vec<Range> {
    let mut asked = wanted(machine, hear);
    asked.sort_by_key(|asked| asked.number);
    let mut found = Vec::new();
    let mut next = asked.into_iter().peekable();
    for (at, range) in ranges.iter().enumerate() {
        let end = ranges.get(at + 1).map(|range| range.first);
        push(&mut found, range.first, range.decision.clone());
        while let Some(one) = next.next_if(|one| end.is_none_or(|end| one.number < end)) {
            push(&mut found, one.number, told(&range.decision, one.unless.as_ref()));
            // The numbers after it are as they were.
            if end != Some(one.number + 1) {
                push(&mut found, one.number + 1, range.decision.clone());
            }
        }
    }
    found
}

fn wanted(machine: Machine, hear: Hear) -> Vec<Asked> {
    let mut wanted = Vec::new();
    let mut add = |name: &str, unless: Option<Condition>| {
        wanted.extend(machine.number(name).map(|number| Asked { number, unless }));
    };
    let zero = |argument, mask| Condition { argument, operator: Operator::ScmpCmpMaskedEq, value: mask, value_two: 0 };
    if hear >= Hear::Connections {
        CONNECTIONS.iter().for_each(|name| add(name, None));
        // Without an address it goes where the socket is connected to.
        add("sendto", Some(zero(4, u64::MAX)));
    }
    if hear >= Hear::Changes {
        CHANGES.iter().for_each(|name| add(name, None));
        // Without a path it is about a descriptor.
        add("utimensat", Some(zero(1, u64::MAX)));
    }
    match hear {
        Hear::Changes => OPENING.iter().for_each(|(name, flags)| add(name, Some(zero(*flags, CHANGING)))),
        Hear::Reads => OPENING.iter().for_each(|(name, _)| add(name, None)),
        _ => {}
    }
    wanted
}

/// The same decision, asking where it allows.
fn told(decision: &Decision, unless: Option<&Condition>) -> Decision {
    let (rules, otherwise) = match decision {
        Decision::Always(then) => (&[][..], *then),
        Decision::FirstOf { rules, otherwise } => (&rules[..], *otherwise),
    };
    let mut told = Vec::new();
    let mut add = |conditions: &[Condition], then| {
        if let (ALLOW, Some(unless)) = (then, unless) {
            let silent = conditions.iter().chain([unless]).cloned().collect();
            told.push(Rule { conditions: silent, then: ALLOW });
        }
        told.push(Rule { conditions: conditions.to_vec(), then: if then == ALLOW { NOTIFY } else { then } });
    };
    rules.iter().for_each(|rule| add(&rule.conditions, rule.then));
    add(&[], otherwise);
    // The last one has no conditions of its own.
    let otherwise = told.pop().map_or(otherwise, |last| last.then);
    match told.is_empty() {
        true => Decision::Always(otherwise),
        false => Decision::FirstOf { rules: told, otherwise },
    }
}
