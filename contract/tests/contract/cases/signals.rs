//! What a person does to a running task.

use super::cases;
use crate::engines::Engine;
use crate::heard::{Deed, Moment};
use aido_runtime::{Command, End, Event};
use std::time::Duration;

cases!("signals":
    a_signal_reaches_the_task,
    signals_may_come_before_it_is_ready,
    an_interrupt_asks_everybody,
    who_ignores_it_is_killed_after_the_grace,
    two_interrupts_are_enough,
    a_task_may_end_within_the_grace,
    signals_do_not_end_a_task_that_handles_them,
);

const USR1: i32 = 10;
const INT: i32 = 2;
const TERM: i32 = 15;

fn a_signal_reaches_the_task(on: &Engine) {
    let script = "trap 'echo got; exit 7' USR1; echo ready; i=0; while [ $i -lt 200 ]; do sleep 0.1; i=$((i+1)); done";
    let ran = on.sh(script).when_said("ready", Command::Signal(USR1)).run();
    ran.exits(7).says("ready\ngot\n");
    assert!(ran.has(|event| matches!(event, Event::Signalled { signal: USR1 })), "{}", ran.account());
}

/// At the moment of the start: it is not lost, whatever it does.
fn signals_may_come_before_it_is_ready(on: &Engine) {
    let ran = on.sh("sleep 20").when(Moment::Started, Deed::Wish(Command::Signal(TERM))).run();
    assert_eq!(ran.outcome.end.exit_code(), 143, "{}", ran.account());
    assert!(ran.lasted() < Duration::from_secs(10), "{:?}", ran.lasted());
}

fn an_interrupt_asks_everybody(on: &Engine) {
    let script = "sh -c 'trap \"echo child >&2; exit\" INT; echo ready; while :; do sleep 0.1; done' & trap 'wait; echo parent; exit 3' INT; wait; wait";
    let ran = on.sh(script).when_said("ready", Command::Interrupt(INT)).deadline(20_000, 5_000).run();
    ran.ends(&End::Interrupted { signal: INT });
    assert!(ran.lasted() < Duration::from_secs(8), "{:?}", ran.lasted());
    assert!(ran.has(|event| matches!(event, Event::Signalled { signal: INT })), "{}", ran.account());
}

fn who_ignores_it_is_killed_after_the_grace(on: &Engine) {
    let script = "trap '' INT TERM HUP; setsid sh -c 'trap \"\" INT TERM HUP; while :; do sleep 1; done' & echo ready; while :; do sleep 1; done";
    let ran = on.sh(script).when_said("ready", Command::Interrupt(TERM)).deadline(60_000, 1_500).run();
    ran.ends(&End::Interrupted { signal: TERM });
    assert!((1_400..8_000).contains(&ran.lasted().as_millis()), "{:?}", ran.lasted());
}

fn two_interrupts_are_enough(on: &Engine) {
    let script = "trap '' INT; echo ready; while :; do sleep 1; done";
    let again = Deed::Wish(Command::Interrupt(INT));
    let asked =
        on.sh(script).when_said("ready", Command::Interrupt(INT)).when(Moment::After(Duration::from_secs(2)), again);
    let ran = asked.deadline(90_000, 40_000).run();
    ran.ends(&End::Interrupted { signal: INT });
    assert!(ran.lasted() < Duration::from_secs(10), "{:?}", ran.lasted());
}

fn a_task_may_end_within_the_grace(on: &Engine) {
    let script =
        "trap 'sleep 0.5; echo saved >/outputs/state; echo done; exit 0' TERM; echo ready; while :; do sleep 0.1; done";
    let ran = on.sh(script).when_said("ready", Command::Interrupt(TERM)).deadline(60_000, 10_000).run();
    ran.ends(&End::Interrupted { signal: TERM }).mentions("done");
    assert_eq!(ran.file("state"), b"saved\n");
    assert!(ran.lasted() < Duration::from_secs(8), "{:?}", ran.lasted());
}

fn signals_do_not_end_a_task_that_handles_them(on: &Engine) {
    let script =
        "n=0; trap 'n=$((n+1))' USR1; echo ready; i=0; while [ $i -lt 12 ]; do sleep 0.1; i=$((i+1)); done; echo $n";
    let ran = on.sh(script).when_said("ready", Command::Signal(USR1)).run();
    ran.exits(0).says("ready\n1\n");
}
