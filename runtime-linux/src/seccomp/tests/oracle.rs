//! What a profile says about one call: a slow, straight reading of the JSON that shares no code with the compiler.

use super::{ALLOW, Call, KILL, errno};
use crate::seccomp::compile::Machine;
use serde_json::Value;

pub(super) struct Oracle<'a> {
    profile: &'a Value,
    machine: Machine,
    highest: Option<u32>,
}

impl<'a> Oracle<'a> {
    pub(super) fn new(profile: &'a Value, machine: Machine) -> Self {
        let named = |number: &u32| {
            name(machine, *number).is_some_and(|name| rules(profile).iter().any(|rule| names(rule).contains(&name)))
        };
        Oracle { profile, machine, highest: (0..1024).filter(named).max() }
    }

    /// The return value, or nothing where two rules contradict each other.
    pub(super) fn answer(&self, call: &Call) -> Option<u32> {
        let x86 = self.machine == Machine::X86_64;
        if call.arch != if x86 { 0xC000_003E } else { 0xC000_00B7 } {
            return Some(KILL);
        }
        let skipped = call.number == u32::MAX;
        if x86 && call.number >= 0x4000_0000 && !skipped {
            return Some(KILL);
        }
        let default = action(&self.profile["defaultAction"], &self.profile["defaultErrnoRet"]);
        if skipped || self.highest.is_none_or(|highest| call.number > highest) {
            let lenient = ["SCMP_ACT_ALLOW", "SCMP_ACT_LOG", "SCMP_ACT_TRACE"];
            let lenient = lenient.iter().any(|action| self.profile["defaultAction"] == *action);
            return Some(if lenient { default } else { errno(libc::ENOSYS) });
        }
        let Some(name) = name(self.machine, call.number) else { return Some(default) };
        self.by_rules(name, call, default)
    }

    fn by_rules(&self, name: &str, call: &Call, default: u32) -> Option<u32> {
        let about: Vec<(&Value, u32)> = rules(self.profile)
            .iter()
            .filter(|rule| names(rule).contains(&name))
            .map(|rule| (rule, action(&rule["action"], &rule["errnoRet"])))
            .filter(|(_, action)| *action != default)
            .collect();
        let mut plain: Vec<u32> =
            about.iter().filter(|(rule, _)| conditions(rule).is_empty()).map(|(_, action)| *action).collect();
        plain.dedup();
        match plain[..] {
            [action] => Some(action),
            [] => {
                let matching = about.iter().find(|(rule, _)| conditions(rule).iter().all(|c| holds(c, call)));
                Some(matching.map_or(default, |(_, action)| *action))
            }
            _ => None,
        }
    }
}

pub(super) fn rules(profile: &Value) -> &[Value] {
    profile["syscalls"].as_array().map_or(&[], Vec::as_slice)
}

pub(super) fn names(rule: &Value) -> Vec<&str> {
    rule["names"].as_array().into_iter().flatten().filter_map(Value::as_str).collect()
}

pub(super) fn conditions(rule: &Value) -> &[Value] {
    rule["args"].as_array().map_or(&[], Vec::as_slice)
}

/// The call behind a number, by the tables' other direction.
pub(super) fn name(machine: Machine, number: u32) -> Option<&'static str> {
    match machine {
        Machine::X86_64 => syscalls::x86_64::Sysno::new(number as usize).map(|call| call.name()),
        Machine::Aarch64 if (403..424).contains(&number) => None,
        Machine::Aarch64 => match syscalls::aarch64::Sysno::new(number as usize)?.name() {
            "fstatat" => Some("newfstatat"),
            name => Some(name),
        },
    }
}

fn holds(condition: &Value, call: &Call) -> bool {
    let number = |key: &str| condition[key].as_u64();
    let arg = call.args[number("index").expect("an index") as usize];
    let value = number("value").expect("a value");
    match condition["op"].as_str().expect("an operator") {
        "SCMP_CMP_EQ" => arg == value,
        "SCMP_CMP_NE" => arg != value,
        "SCMP_CMP_LT" => arg < value,
        "SCMP_CMP_LE" => arg <= value,
        "SCMP_CMP_GT" => arg > value,
        "SCMP_CMP_GE" => arg >= value,
        "SCMP_CMP_MASKED_EQ" => arg & value == number("valueTwo").unwrap_or(0) & value,
        other => panic!("operator {other}"),
    }
}

fn action(name: &Value, data: &Value) -> u32 {
    let data = data.as_u64().map_or(libc::EPERM, |data| data as i32);
    match name.as_str().expect("an action") {
        "SCMP_ACT_ALLOW" => ALLOW,
        "SCMP_ACT_LOG" => 0x7FFC_0000,
        "SCMP_ACT_TRACE" => 0x7FF0_0000 | data as u32,
        "SCMP_ACT_ERRNO" => errno(data),
        "SCMP_ACT_TRAP" => 0x0003_0000,
        "SCMP_ACT_KILL" | "SCMP_ACT_KILL_THREAD" => 0,
        "SCMP_ACT_KILL_PROCESS" => KILL,
        other => panic!("action {other}"),
    }
}
