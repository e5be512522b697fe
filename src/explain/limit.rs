//! Bounds that were reached, and the next sensible value.

use super::{Explanation, Facts, Kind, Source, times};
use crate::settings::{DEFAULT_TTL, Edit, Resource, asked_ttl, show_duration, ttl_at_most};
use crate::words::{count, size, took};
use aido_runtime::End;
use std::time::Duration;

/// What is to be said of bounds by the record alone.
pub(super) fn explain(facts: &Facts<'_>) -> Vec<Explanation> {
    let mut found = Vec::new();
    let outcome = &facts.summary.outcome;
    match &outcome.end {
        End::OutOfMemory { limit, peak } => {
            let peak = peak.or(outcome.usage.memory_peak);
            let used = peak.map(|peak| format!("; it had used {}", size(peak))).unwrap_or_default();
            let what = format!("the run went over its memory of {}{used}", size(*limit));
            found.push(memory(facts, Source::Record, what, peak.unwrap_or_default()));
        }
        End::OutOfDisk { limit, bytes, files } => {
            let what = format!(
                "what the task changed and made of the project went over the disk limit of {}: {} in {}",
                size(*limit),
                size(*bytes),
                count(*files as usize, "file")
            );
            // So many files go with so many bytes.
            let wanted = next(limit.saturating_mul(2).max(*bytes).max(files.saturating_mul(4096)));
            let exposes = |value| format!("up to {} on the disk below .aido", size(value));
            found.push(raised(facts, Source::Record, Resource::Disk, wanted, what, &exposes));
        }
        End::Deadline { ttl_ms } => found.push(deadline(facts, *ttl_ms)),
        _ => {}
    }
    if let Some(count) = outcome.usage.pids_refused.filter(|count| *count > 0) {
        let limit = facts.plan.limits.pids.value;
        let what = format!("a process could not be started: the run had all of its {limit}{}", times(count));
        found.push(processes(facts, Source::Record, what));
    }
    found.extend(output(facts));
    found
}

pub(super) fn memory(facts: &Facts<'_>, from: Source, what: String, peak: u64) -> Explanation {
    let wanted = next(facts.plan.limits.memory.value.max(peak));
    let exposes = |value| format!("so much of this machine's memory for as long as it runs: {}", size(value));
    raised(facts, from, Resource::Memory, wanted, what, &exposes)
}

pub(super) fn processes(facts: &Facts<'_>, from: Source, what: String) -> Explanation {
    let wanted = facts.plan.limits.pids.value.saturating_mul(2).max(64);
    let exposes = |value| format!("up to {value} processes and threads at once on this machine");
    raised(facts, from, Resource::Pids, wanted, what, &exposes)
}

pub(super) fn disk(facts: &Facts<'_>, from: Source, what: String) -> Explanation {
    let wanted = next(facts.plan.limits.disk.value);
    let memory = facts.plan.limits.memory.value;
    let exposes = |value| {
        let beside = if value > memory { " (raise that too)" } else { "" };
        format!("up to {}, in memory: what a task writes counts towards its memory limit{beside}", size(value))
    };
    raised(facts, from, Resource::Disk, wanted, what, &exposes)
}

fn output(facts: &Facts<'_>) -> Option<Explanation> {
    let streams = [("output", &facts.summary.output.stdout), ("error", &facts.summary.output.stderr)];
    let (name, most) =
        streams.into_iter().filter(|(_, bytes)| bytes.dropped > 0).max_by_key(|(_, b)| b.kept + b.dropped)?;
    let what = format!("{} of standard {name} were not kept, after {}", size(most.dropped), size(most.kept));
    let exposes = |value| format!("up to {} on disk below .aido, for each stream of a run", size(value));
    let wanted = most.kept.saturating_add(most.dropped).checked_next_power_of_two().unwrap_or(u64::MAX);
    Some(raised(facts, Source::Record, Resource::Output, wanted, what, &exposes))
}

fn deadline(facts: &Facts<'_>, ttl_ms: u64) -> Explanation {
    let what = format!("the run was ended by its time limit of {}", took(ttl_ms));
    let why = "a time limit bounds every run";
    let found = Explanation::new(Source::Record, Kind::Limit, what, why).target("ttl");
    // A run in a sandbox that stays has what is left of the sandbox's time: that is what has to be longer.
    let asked = asked_ttl(facts.config).unwrap_or(DEFAULT_TTL.as_secs());
    let seconds = ttl_ms.div_ceil(1000).max(asked);
    let value = ttl_at_most(rounded(seconds.saturating_mul(2)), facts.policy);
    if value <= seconds {
        return found.instead(no_more(facts, &show_duration(Duration::from_secs(seconds))));
    }
    let exposes = format!("this machine to the task for up to {}", show_duration(Duration::from_secs(value)));
    found.allowed_by(Edit::Ttl(value), exposes)
}

/// To whole minutes above two, and whole quarters of an hour above two hours.
fn rounded(seconds: u64) -> u64 {
    let step = match seconds {
        0..120 => 10,
        120..7200 => 60,
        _ => 900,
    };
    seconds.div_ceil(step).saturating_mul(step)
}

/// Twice as much, as a power of two.
fn next(value: u64) -> u64 {
    value.saturating_add(value / 2).checked_next_power_of_two().unwrap_or(u64::MAX)
}

fn raised(
    facts: &Facts<'_>,
    from: Source,
    resource: Resource,
    wanted: u64,
    what: String,
    exposes: &dyn Fn(u64) -> String,
) -> Explanation {
    let limits = &facts.plan.limits;
    let now = match resource {
        Resource::Memory => limits.memory,
        Resource::Pids => limits.pids,
        Resource::Disk => limits.disk,
        Resource::Output => limits.output,
    };
    let why = format!("`resources.{}` bounds the run as a whole", resource.name());
    let found = Explanation::new(from, Kind::Limit, what, why).target(resource.name());
    let value = resource.at_most(wanted, facts.policy);
    match value > now.value {
        true => found.allowed_by(Edit::Resource(resource, value), exposes(value)),
        false => found.instead(no_more(facts, &resource.show(now.value))),
    }
}

fn no_more(facts: &Facts<'_>, now: &str) -> String {
    match &facts.policy.file {
        Some(file) => format!("{now} is the most that your policy allows: raise its ceiling in {file}"),
        None => format!("{now} is the most that can be asked for"),
    }
}

#[cfg(test)]
mod unit {
    use super::*;

    #[test]
    fn the_next_values_are_round_and_larger() {
        for (seconds, next) in [(2, 10), (90, 90), (125, 180), (1800, 1800), (7201, 8100)] {
            assert_eq!(rounded(seconds), next);
        }
        assert_eq!((next(64 << 20), next(100 << 20)), (128 << 20, 256 << 20));
        assert_eq!(next(u64::MAX), u64::MAX);
    }
}
