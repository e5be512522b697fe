//! From rules by name to one decision for each range of call numbers.

use super::{Error, Hear, Machine};
use oci_spec::runtime::{LinuxSeccomp, LinuxSeccompAction as Action, LinuxSeccompOperator, LinuxSyscall};
use std::collections::BTreeMap;

/// What the filter returns to the kernel (`SECCOMP_RET_*` with its data).
pub(super) type Return = u32;

pub(super) const KILL_PROCESS: Return = 0x8000_0000;
pub(super) const NOTIFY: Return = 0x7FC0_0000;
pub(super) const ALLOW: Return = 0x7FFF_0000;
const ERRNO: Return = 0x0005_0000;
const EPERM: u32 = 1;
const EACCES: u32 = 13;
const ENOSYS: u32 = 38;
/// Calls that are hidden from libraries, and of which it is worth knowing that somebody tried them. Others that
/// are hidden so are tried by every library that starts.
const HEARD_THOUGH_HIDDEN: [&str; 6] =
    ["clone3", "io_uring_setup", "io_uring_enter", "io_uring_register", "process_vm_readv", "process_vm_writev"];
/// The kernel's bound for an errno (`MAX_ERRNO`); more would be cut down silently.
const MOST_ERRNO: u32 = 4095;
const MOST_DATA: u32 = 0xFFFF;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Decision {
    Always(Return),
    /// The first rule whose conditions all hold; `otherwise` when there is none.
    FirstOf {
        rules: Vec<Rule>,
        otherwise: Return,
    },
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Rule {
    pub(super) conditions: Vec<Condition>,
    pub(super) then: Return,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Condition {
    pub(super) argument: u32,
    pub(super) operator: LinuxSeccompOperator,
    /// The mask where the operator is a masked equality.
    pub(super) value: u64,
    pub(super) value_two: u64,
}

/// The numbers from `first` up to the next range.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Range {
    pub(super) first: u32,
    pub(super) decision: Decision,
}

/// Every number from 0 to `u32::MAX` is in exactly one range.
///
/// Numbers above the highest that the profile names are calls that its author could not know. They get ENOSYS,
/// which libraries take for an older kernel and fall back; runc does the same. A profile that allows by default
/// allows them too.
///
/// If somebody hears of it, a listener is asked instead where a call is refused on purpose.
pub(super) fn ranges(profile: &LinuxSeccomp, machine: Machine, hear: Hear) -> Result<Vec<Range>, Error> {
    let default = returned(profile.default_action(), profile.default_errno_ret(), "`defaultAction`")?;
    let lenient = matches!(profile.default_action(), Action::ScmpActAllow | Action::ScmpActLog | Action::ScmpActTrace);
    let unknown = if lenient { default } else { ERRNO | ENOSYS };

    let mut calls: BTreeMap<u32, Call> = BTreeMap::new();
    for rule in profile.syscalls().iter().flatten() {
        let then = returned(rule.action(), rule.errno_ret(), rule.names().first().map_or("no call", String::as_str))?;
        for name in rule.names() {
            if let Some(number) = machine.number(name) {
                calls.entry(number).or_default().add(name, rule, then, default)?;
            }
        }
    }
    let mut ranges = Vec::new();
    let mut next = 0;
    for (number, call) in calls {
        if number > next {
            push(&mut ranges, next, Decision::Always(heard(default, None, hear)));
        }
        let hidden = HEARD_THOUGH_HIDDEN.iter().copied().find(|name| machine.number(name) == Some(number));
        push(&mut ranges, number, call.decision(default).map(|then| heard(then, hidden, hear)));
        next = number + 1;
    }
    push(&mut ranges, next, Decision::Always(unknown));
    if let Some((first, last)) = machine.foreign_numbers() {
        push(&mut ranges, first, Decision::Always(KILL_PROCESS));
        push(&mut ranges, last + 1, Decision::Always(unknown));
    }
    Ok(ranges)
}

/// One list of ranges over another: where the upper one does not allow, it decides.
pub(super) fn over(upper: &[Range], lower: &[Range]) -> Vec<Range> {
    let mut firsts: Vec<u32> = upper.iter().chain(lower).map(|range| range.first).collect();
    firsts.sort_unstable();
    firsts.dedup();
    let at = |ranges: &[Range], number: u32| {
        let below = ranges.partition_point(|range| range.first <= number);
        // The first range begins at 0.
        ranges[below - 1].decision.clone()
    };
    let mut ranges = Vec::new();
    for first in firsts {
        push(&mut ranges, first, at(upper, first).over(at(lower, first)));
    }
    ranges
}

/// What becomes of an answer where refusals are heard; `hidden` is the call's name if it is one of
/// [`HEARD_THOUGH_HIDDEN`].
fn heard(answer: Return, hidden: Option<&str>, hear: Hear) -> Return {
    let refused = [EPERM, EACCES].iter().any(|errno| answer == ERRNO | errno);
    let told = hear > Hear::Nothing && (refused || (hidden.is_some() && answer == ERRNO | ENOSYS));
    if told { NOTIFY } else { answer }
}

impl Decision {
    fn over(self, lower: Decision) -> Decision {
        match self {
            Decision::Always(ALLOW) => lower,
            Decision::FirstOf { mut rules, otherwise: ALLOW } => match lower {
                Decision::Always(otherwise) => Decision::FirstOf { rules, otherwise },
                Decision::FirstOf { rules: more, otherwise } => {
                    rules.extend(more);
                    Decision::FirstOf { rules, otherwise }
                }
            },
            decided => decided,
        }
    }

    fn map(self, change: impl Fn(Return) -> Return) -> Decision {
        match self {
            Decision::Always(then) => Decision::Always(change(then)),
            Decision::FirstOf { rules, otherwise } => Decision::FirstOf {
                rules: rules.into_iter().map(|rule| Rule { then: change(rule.then), ..rule }).collect(),
                otherwise: change(otherwise),
            },
        }
    }
}

/// Neighbours with the same decision are one range.
pub(super) fn push(ranges: &mut Vec<Range>, first: u32, decision: Decision) {
    if ranges.last().is_none_or(|last| last.decision != decision) {
        ranges.push(Range { first, decision });
    }
}

fn returned(action: Action, errno: Option<u32>, call: &str) -> Result<Return, Error> {
    let most = match action {
        Action::ScmpActErrno => MOST_ERRNO,
        Action::ScmpActTrace => MOST_DATA,
        _ => return Ok(action.as_u32(None)),
    };
    match errno {
        Some(value) if value > most => Err(Error::ReturnTooLarge { call: call.to_owned(), value, most }),
        _ => Ok(action.as_u32(errno)),
    }
}

/// The rules for one call, gathered over the whole profile.
#[derive(Default)]
struct Call {
    unconditional: Option<Return>,
    conditional: Vec<Rule>,
}

impl Call {
    /// A rule that only repeats the default action is a note to the reader, as in runc: it must not
    /// override rules that look at arguments.
    fn add(&mut self, name: &str, rule: &LinuxSyscall, then: Return, default: Return) -> Result<(), Error> {
        let conditions = conditions(name, rule)?;
        if then == default {
            return Ok(());
        }
        if !conditions.is_empty() {
            self.conditional.push(Rule { conditions, then });
            return Ok(());
        }
        match self.unconditional.replace(then) {
            Some(before) if before != then => Err(Error::Contradiction { call: name.to_owned() }),
            _ => Ok(()),
        }
    }

    /// A rule without conditions decides alone, as in libseccomp.
    fn decision(self, default: Return) -> Decision {
        match self.unconditional {
            Some(then) => Decision::Always(then),
            None if self.conditional.is_empty() => Decision::Always(default),
            None => Decision::FirstOf { rules: self.conditional, otherwise: default },
        }
    }
}

fn conditions(name: &str, rule: &LinuxSyscall) -> Result<Vec<Condition>, Error> {
    let mut conditions: Vec<Condition> = Vec::new();
    for arg in rule.args().iter().flatten() {
        let index = arg.index();
        let argument = match u32::try_from(index) {
            Ok(argument) if argument < 6 => argument,
            _ => return Err(Error::NoSuchArgument { call: name.to_owned(), index }),
        };
        if conditions.iter().any(|condition| condition.argument == argument) {
            return Err(Error::ArgumentTwice { call: name.to_owned(), index });
        }
        let value_two = arg.value_two().unwrap_or(0);
        conditions.push(Condition { argument, operator: arg.op(), value: arg.value(), value_two });
    }
    Ok(conditions)
}
