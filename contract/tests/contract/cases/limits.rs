//! Bounds: memory, processors, processes. Where one is claimed to be in force it is tried.

use super::cases;
use crate::asked::{Asked, MIB};
use crate::differences::Name;
use crate::engines::Engine;
use crate::ran::Ran;
use aido_runtime::{Control, End, Error, Force, Limit};
use std::time::Duration;

cases!("limits":
    memory_over_the_bound_ends_the_run,
    a_child_over_the_bound_ends_it_too,
    memory_below_the_bound_is_given,
    files_in_memory_count,
    forks_are_bounded,
    a_fork_bomb_is_ended_in_time,
    processors_are_bounded,
    what_was_used_is_told,
    what_cannot_be_held_is_refused,
);

/// The run, where the bound that it is about is in force. Only who may not have one is excused.
fn bounded(asked: Asked<'_>, control: Control) -> Option<Ran> {
    let on = asked.engine;
    match asked.attempt().0 {
        Ok(ran) => {
            assert_eq!(ran.force(control), Force::InForce, "{:?}", ran.enforced().get(control));
            Some(ran)
        }
        Err(Error { what, .. }) => {
            assert!(on.is_excused() && what.contains(control.name()), "{what}");
            None
        }
    }
}

fn with_memory(asked: Asked<'_>, bytes: u64) -> Asked<'_> {
    asked.plan(|plan| plan.limits.memory = Limit::asked(bytes))
}

fn memory_over_the_bound_ends_the_run(on: &Engine) {
    let Some(ran) = bounded(with_memory(on.command(&["probe", "eat", "200"]), 48 * MIB), Control::Memory) else {
        return;
    };
    assert!(matches!(ran.outcome.end, End::OutOfMemory { limit, .. } if limit == 48 * MIB), "{}", ran.account());
    assert_eq!(ran.outcome.end.exit_code(), 137);
    ran.is_silent_about("eaten");
}

fn a_child_over_the_bound_ends_it_too(on: &Engine) {
    let asked = on.sh("probe eat 200; sleep 0.5; kill -9 $$");
    let Some(ran) = bounded(with_memory(asked, 48 * MIB), Control::Memory) else { return };
    assert!(matches!(ran.outcome.end, End::OutOfMemory { .. }), "{}", ran.account());
}

fn memory_below_the_bound_is_given(on: &Engine) {
    let Some(ran) = bounded(with_memory(on.command(&["probe", "eat", "60"]), 96 * MIB), Control::Memory) else {
        return;
    };
    ran.exits(0).says("eaten\n");
}

fn files_in_memory_count(on: &Engine) {
    let asked = on.sh("dd if=/dev/zero of=/dev/shm/big bs=1M count=100 2>/dev/null; dd if=/dev/zero of=/outputs/big bs=1M count=100 2>/dev/null; sleep 0.3; echo survived");
    let asked = with_memory(asked, 48 * MIB).plan(|plan| plan.limits.disk = Limit::default(256 * MIB));
    let Some(ran) = bounded(asked, Control::Memory) else { return };
    if on.differs(Name::MemoryKillsOne) {
        ran.exits(0).mentions("survived");
    } else {
        assert!(matches!(ran.outcome.end, End::OutOfMemory { .. }), "{}", ran.account());
    }
    // Whatever it ends with, the bound held.
    assert!(
        ran.collected().artifacts.iter().map(|artifact| artifact.size).sum::<u64>() < 96 * MIB,
        "{}",
        ran.account()
    );
}

fn forks_are_bounded(on: &Engine) {
    let asked = on.command(&["probe", "forks", "500", "end"]).plan(|plan| plan.limits.pids = Limit::asked(20));
    let Some(ran) = bounded(asked, Control::Pids) else { return };
    ran.exits(0);
    let forked = ran.number("forked");
    assert!((10..20).contains(&forked), "{}", ran.account());
}

fn a_fork_bomb_is_ended_in_time(on: &Engine) {
    let asked = on.command(&["probe", "bomb"]).plan(|plan| plan.limits.pids = Limit::asked(40)).deadline(1_500, 500);
    let Some(ran) = bounded(asked, Control::Pids) else { return };
    ran.ends(&End::Deadline { ttl_ms: 1_500 }).mentions("bomb");
    assert!(ran.lasted() < Duration::from_secs(6), "{:?}", ran.lasted());
}

fn processors_are_bounded(on: &Engine) {
    let asked = on.command(&["probe", "spin", "2", "2"]).plan(|plan| plan.limits.cpus = Limit::asked(100));
    let Some(ran) = bounded(asked, Control::Cpus) else { return };
    ran.exits(0);
    assert!((10..300).contains(&ran.number("thousandths")), "{}", ran.account());
}

fn what_was_used_is_told(on: &Engine) {
    let asked = on.sh("probe spin 1 1 >/dev/null; probe eat 30 >/dev/null; sleep 0.5");
    let Some(ran) = bounded(with_memory(asked, 96 * MIB), Control::Memory) else { return };
    let usage = ran.exits(0).outcome.usage;
    assert!((1_000..20_000).contains(&usage.wall_ms), "{usage:?}");
    // Where it is told, it is true.
    if let Some(cpu) = usage.cpu_user_us {
        assert!((100_000..4_000_000).contains(&(cpu + usage.cpu_system_us.unwrap_or(0))), "{usage:?}");
    }
    if let Some(peak) = usage.memory_peak {
        assert!(peak <= 97 * MIB, "{usage:?}");
    }
    if let Some(pids) = usage.pids_peak {
        assert!((1..64).contains(&pids), "{usage:?}");
    }
}

/// `up` says before anything is written what `run` then holds.
fn what_cannot_be_held_is_refused(on: &Engine) {
    let asked = on.sh("true").plan(|plan| plan.limits.memory = Limit::asked(64 * MIB));
    let (up, plan) = (on.runtime(&asked.name).up(&asked.plan), asked.plan.clone());
    let (ran, _) = asked.attempt();
    match (up, ran) {
        (Ok(up), Ok(ran)) => {
            for control in Control::ALL {
                let said = up.get(control).map(|standing| standing.force);
                assert_eq!(said, Some(ran.force(control)), "{control}: up and run do not agree ({plan:?})");
            }
        }
        // The reason may be another: only `run` has tried.
        (Err(up), Err(run)) => {
            assert!(on.is_excused(), "{}", up.what);
            assert_eq!(up.what.split(':').next(), run.what.split(':').next());
        }
        (up, run) => panic!("up: {up:?}; run: {:?}", run.map(|ran| ran.account())),
    }
}
