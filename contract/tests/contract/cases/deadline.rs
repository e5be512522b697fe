//! The time limit, against tasks that do not want to end.

use super::cases;
use crate::engines::{Engine, Kind};
use crate::{held, remains};
use aido_runtime::{End, Event};
use std::time::{Duration, Instant};

cases!("deadline":
    a_task_that_sleeps,
    a_task_that_ignores_everything,
    daemons_in_sessions_of_their_own,
    a_stopped_task,
    a_task_that_ends_in_the_grace,
    a_task_that_is_in_time,
    an_output_that_nobody_stops,
    it_holds_though_aido_is_killed,
);

fn a_task_that_sleeps(on: &Engine) {
    let ran = on.sh("echo begun; exec sleep 1000").deadline(1_500, 5_000).run();
    ran.ends(&End::Deadline { ttl_ms: 1_500 }).says("begun\n");
    assert_eq!(ran.outcome.end.exit_code(), 124);
    assert!((1_300..5_500).contains(&ran.lasted().as_millis()), "{:?}", ran.lasted());
    assert!(ran.has(|event| matches!(event, Event::DeadlineReached { ttl_ms: 1_500 })));
}

fn a_task_that_ignores_everything(on: &Engine) {
    let ran = on.sh("trap '' TERM INT HUP QUIT USR1 ALRM; while :; do :; done").deadline(1_500, 1_000).run();
    ran.ends(&End::Deadline { ttl_ms: 1_500 });
    assert!((2_300..7_000).contains(&ran.lasted().as_millis()), "{:?}", ran.lasted());
}

fn daemons_in_sessions_of_their_own(on: &Engine) {
    let script = "i=0; while [ $i -lt 10 ]; do setsid sh -c 'trap \"\" TERM HUP; (setsid sleep 1000 &) ; while :; do sleep 1; done' & i=$((i+1)); done; trap '' TERM; wait";
    let ran = on.sh(script).deadline(1_500, 500).run();
    ran.ends(&End::Deadline { ttl_ms: 1_500 });
    assert!(ran.lasted() < Duration::from_secs(7), "{:?}", ran.lasted());
}

fn a_stopped_task(on: &Engine) {
    let ran = on.sh("sh -c 'kill -STOP $PPID; kill -STOP $$'").deadline(1_500, 500).run();
    ran.ends(&End::Deadline { ttl_ms: 1_500 });
    assert!(ran.lasted() < Duration::from_secs(7), "{:?}", ran.lasted());
}

fn a_task_that_ends_in_the_grace(on: &Engine) {
    let script = "trap 'echo saved >/outputs/state; echo bye; exit 0' TERM; while :; do sleep 0.1; done";
    let ran = on.sh(script).deadline(1_500, 10_000).run();
    ran.ends(&End::Deadline { ttl_ms: 1_500 }).says("bye\n");
    assert_eq!(ran.file("state"), b"saved\n");
    assert!(ran.lasted() < Duration::from_secs(6), "{:?}", ran.lasted());
}

fn a_task_that_is_in_time(on: &Engine) {
    let ran = on.sh("sleep 1; exit 2").deadline(8_000, 500).run();
    ran.exits(2);
    assert!(!ran.has(|event| matches!(event, Event::DeadlineReached { .. })));
}

fn an_output_that_nobody_stops(on: &Engine) {
    let ran = on.sh("trap '' TERM PIPE; yes & yes >&2 & while :; do echo; done").deadline(1_500, 500).run();
    ran.ends(&End::Deadline { ttl_ms: 1_500 });
    assert!(ran.lasted() < Duration::from_secs(9), "{:?}", ran.lasted());
}

/// Nobody of aido is left, and nobody tidies up: the sandbox ends by itself.
fn it_holds_though_aido_is_killed(on: &Engine) {
    let script = "trap '' TERM HUP INT; setsid sh -c 'trap \"\" TERM HUP; while :; do sleep 1; done' & echo begun; while :; do sleep 1; done";
    let asked = on.sh(script).deadline(6_000, 1_000);
    let begun = Instant::now();
    let held = held::strike(&asked);
    if on.kind != Kind::Linux {
        // On Linux everything dies with aido; here it is the time that decides.
        assert!(!remains::processes(&asked.name).is_empty(), "the task died with aido");
    }
    while !remains::processes(&asked.name).is_empty() {
        assert!(
            begun.elapsed() < Duration::from_secs(20),
            "it outlives its time: {:?}",
            remains::processes(&asked.name)
        );
        std::thread::sleep(Duration::from_millis(100));
    }
    held::tidy(&asked, &held);
}
