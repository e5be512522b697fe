//! What is left when aido is killed, and how it goes.

use super::cases;
use crate::engines::{Engine, Kind};
use crate::{held, remains};

cases!("leftovers":
    what_a_killed_run_left_is_ended,
    what_is_gone_may_go_again,
    what_is_no_leftover_is_not_touched,
    two_runs_do_not_end_each_other,
);

const STUBBORN: &str = "trap '' TERM HUP INT; setsid sh -c 'trap \"\" TERM HUP; while :; do sleep 1; done' & echo begun; while :; do sleep 1; done";

fn what_a_killed_run_left_is_ended(on: &Engine) {
    let asked = on.sh(STUBBORN).deadline(60_000, 1_000);
    let held = held::strike(&asked);
    assert!(on.is_excused() || !held.is_empty(), "nothing was held");
    // Otherwise the case shows nothing.
    assert!(on.is_excused() || !remains::anything(on, &asked.name).is_empty(), "nothing is left");
    held::tidy(&asked, &held);
}

fn what_is_gone_may_go_again(on: &Engine) {
    let ran = on.sh("true").run();
    let leftovers = ran.events.iter().filter_map(|(_, event)| match event {
        aido_runtime::Event::Held { leftover } => Some(leftover.clone()),
        _ => None,
    });
    for leftover in leftovers {
        for _ in 0..2 {
            let gone = on.runtime("again").destroy(&leftover);
            assert!(gone.is_ok(), "{leftover}: {gone:?}");
        }
    }
}

fn what_is_no_leftover_is_not_touched(on: &Engine) {
    for odd in ["", "x", "docker", "{}", "/", "{\"folders\":[\"/sys/fs/cgroup\"]}", "docker unix:///nowhere aido-x"] {
        // Whatever it answers, it returns.
        let _ = on.runtime("odd").destroy(odd);
    }
    on.sh("echo on").run().says("on\n");
}

fn two_runs_do_not_end_each_other(on: &Engine) {
    let first = on.sh(STUBBORN).deadline(60_000, 1_000);
    let held = held::strike(&first);
    let second = on.sh("sleep 3; echo survived");
    std::thread::scope(|scope| {
        let other = scope.spawn(|| second.run());
        std::thread::sleep(std::time::Duration::from_millis(1_500));
        held::tidy(&first, &held);
        other.join().expect("the other run").says("survived\n");
    });
    assert!(on.kind == Kind::Linux || !held.is_empty());
}
