//! What the engine tells for the evidence.

use super::cases;
use crate::differences::Name;
use crate::engines::{Engine, Kind};
use aido_runtime::{Control, End, Event, Force, Record};

cases!("record":
    what_is_in_force_is_told_before_the_start,
    what_must_be_in_force_is,
    a_second_wall_is_not_made_up,
    refused_calls_are_heard_where_they_can_be,
    what_cannot_be_recorded_does_not_start,
    what_is_held_is_told_first,
    probing_changes_nothing_and_says_all,
);

fn what_is_in_force_is_told_before_the_start(on: &Engine) {
    let ran = on.sh("echo out").run();
    let at = |which: fn(&Event) -> bool| ran.events.iter().position(|(_, event)| which(event)).expect("the event");
    assert!(at(|e| matches!(e, Event::Enforced { .. })) < at(|e| matches!(e, Event::Started { .. })));
    assert!(at(|e| matches!(e, Event::Ended)) < at(|e| matches!(e, Event::Collected(_))));
}

/// Each of these is tried by other cases; here it must also be claimed.
fn what_must_be_in_force_is(on: &Engine) {
    let ran = on.sh("true").run();
    let always = [
        Control::Identity,
        Control::Privileges,
        Control::Syscalls,
        Control::Files,
        Control::ReadOnly,
        Control::Processes,
        Control::Ipc,
        Control::Network,
        Control::Environment,
        Control::Output,
    ];
    let groups = [Control::Memory, Control::Cpus, Control::Pids];
    for control in always.into_iter().chain(groups.into_iter().filter(|_| !on.is_excused())) {
        let standing = ran.enforced().get(control).expect("a standing");
        assert_ne!(standing.force, Force::Absent, "{control}: {standing:?}");
        assert!(on.kind != Kind::Linux || standing.force == Force::InForce, "{control}: {standing:?}");
    }
    assert_ne!(ran.force(Control::Deadline), Force::Absent);
    assert_ne!(ran.force(Control::Disk), Force::Absent);
}

fn a_second_wall_is_not_made_up(on: &Engine) {
    let ran = on.sh("true").run();
    let absent = ran.force(Control::SecondWall) == Force::Absent;
    let landlock = std::fs::read_to_string("/sys/kernel/security/lsm").is_ok_and(|text| text.contains("landlock"));
    if on.differs(Name::NoSecondWall) {
        assert!(absent, "the difference is gone: {:?}", ran.enforced().get(Control::SecondWall));
    } else if landlock {
        assert!(!absent, "{:?}", ran.enforced().get(Control::SecondWall));
    }
}

fn refused_calls_are_heard_where_they_can_be(on: &Engine) {
    let script = "unshare -U true 2>/dev/null; touch /etc/x 2>/dev/null; probe reach 192.0.2.1 80; true";
    let ran = on.sh(script).plan(|plan| plan.record = Record::Full).run();
    let heard = ran.has(|event| matches!(event, Event::Refused(_)));
    if on.differs(Name::RefusalsAreNotHeard) {
        assert!(
            !heard && ran.outcome.refused.is_empty() && ran.outcome.executed.is_empty(),
            "the difference is gone: {}",
            ran.account()
        );
    } else {
        assert!(heard, "{}", ran.account());
        let calls: Vec<&str> = ran.outcome.refused.iter().map(|refusal| refusal.call.as_str()).collect();
        assert!(calls.contains(&"unshare") && calls.contains(&"connect"), "{calls:?}");
        assert!(
            ran.outcome.executed.iter().any(|executed| executed.program.ends_with("probe") && executed.count == 1),
            "{:?}",
            ran.outcome.executed
        );
    }
}

/// Nothing runs of which the evidence could not say what held it.
fn what_cannot_be_recorded_does_not_start(on: &Engine) {
    for deaf in [(|event| matches!(event, Event::Held { .. })) as fn(&Event) -> bool, |event| {
        matches!(event, Event::Enforced { .. })
    }] {
        let asked = on.sh("echo ran >/outputs/ran; echo ran").deaf_to(deaf);
        let (outcome, heard) = asked.attempt();
        match outcome {
            Err(error) => assert!(error.what.contains("cannot record"), "{}", error.what),
            // Where nothing is held there is nothing to be recorded.
            Ok(ran) => {
                assert!(on.is_excused() && ran.has(|e| matches!(e, Event::Enforced { .. })), "{}", ran.account())
            }
        }
        if !on.is_excused() {
            assert!(heard.stdout.is_empty(), "it ran");
        }
    }
}

fn what_is_held_is_told_first(on: &Engine) {
    let ran = on.sh("true").run();
    let first = ran.events.first().map(|(_, event)| event);
    assert!(
        on.is_excused() || matches!(first, Some(Event::Held { leftover }) if !leftover.is_empty()),
        "{}",
        ran.account()
    );
    ran.ends(&End::Exited { code: 0 });
}

fn probing_changes_nothing_and_says_all(on: &Engine) {
    let name = on.new_name();
    let probe = on.runtime(&name).probe();
    crate::remains::nothing(on, &name);
    assert!(
        !probe.facts.is_empty() && probe.facts.iter().all(|(name, value)| !name.is_empty() && !value.is_empty()),
        "{:?}",
        probe.facts
    );
    for control in Control::ALL {
        assert!(probe.controls.get(control).is_some(), "{control} is not in the probe");
    }
}
