//! What the task writes, byte for byte, while it writes it.

use super::cases;
use crate::engines::Engine;
use crate::heard::{Deed, Moment};
use aido_runtime::Command;
use std::time::{Duration, Instant};

cases!("streams":
    bytes_come_as_they_are,
    the_streams_are_kept_apart,
    no_line_end_is_needed,
    output_comes_while_it_is_written,
    a_slow_listener_loses_nothing,
    a_flood_of_both_comes_whole,
    closed_streams_are_no_trouble,
    whoever_holds_a_stream_does_not_hold_the_run,
    a_reader_that_closes_nothing,
);

/// What the probe writes to a descriptor.
fn pattern(descriptor: u32, bytes: usize) -> Vec<u8> {
    let mut state = descriptor;
    let next = |_| {
        state = state.wrapping_mul(1_103_515_245).wrapping_add(12_345);
        (state >> 16) as u8
    };
    (0..bytes).map(next).collect()
}

fn bytes_come_as_they_are(on: &Engine) {
    let ran = on.sh("probe pattern 1 1048576; probe pattern 2 1048576").run();
    ran.exits(0);
    assert!(ran.stdout == pattern(1, 1 << 20), "{} bytes of standard output came otherwise", ran.stdout.len());
    assert!(ran.stderr == pattern(2, 1 << 20), "{} bytes of standard error came otherwise", ran.stderr.len());
}

fn the_streams_are_kept_apart(on: &Engine) {
    let ran = on.sh("for i in 1 2 3 4 5 6 7 8 9; do echo out$i; echo err$i >&2; done").run();
    let lines = |name: &str| (1..10).map(|i| format!("{name}{i}\n")).collect::<String>();
    ran.exits(0).says(&lines("out"));
    assert_eq!(String::from_utf8_lossy(&ran.stderr), lines("err"));
}

fn no_line_end_is_needed(on: &Engine) {
    let ran = on.sh("printf 'a\\0b\\r\\nc'; printf '\\377' >&2").run();
    ran.exits(0);
    assert_eq!((ran.stdout.as_slice(), ran.stderr.as_slice()), (b"a\0b\r\nc".as_slice(), b"\xff".as_slice()));
}

/// Otherwise nobody could answer.
fn output_comes_while_it_is_written(on: &Engine) {
    let begun = Instant::now();
    let script = "trap 'exit 0' USR1; printf half; while :; do sleep 0.1; done";
    let ran = on.sh(script).when_said("half", Command::Signal(10)).deadline(15_000, 1_000).run();
    ran.exits(0).says("half");
    assert!(begun.elapsed() < Duration::from_secs(12), "{:?}", begun.elapsed());
}

fn a_slow_listener_loses_nothing(on: &Engine) {
    let ran = on.sh("probe pattern 1 3000000; echo over >&2").slow(Duration::from_millis(30)).run();
    ran.exits(0);
    assert!(ran.stdout == pattern(1, 3_000_000), "{} bytes", ran.stdout.len());
    assert_eq!(ran.stderr, b"over\n");
}

/// Ten times the bound of what is kept: to keep less is the recorder's part.
fn a_flood_of_both_comes_whole(on: &Engine) {
    let ran = on.sh("probe pattern 1 10485760 & probe pattern 2 10485760 & wait").run();
    ran.exits(0);
    assert!(
        ran.stdout == pattern(1, 10 << 20) && ran.stderr == pattern(2, 10 << 20),
        "{} and {} bytes",
        ran.stdout.len(),
        ran.stderr.len()
    );
}

fn closed_streams_are_no_trouble(on: &Engine) {
    let ran = on.sh("exec >&- 2>&-; sleep 0.5; touch /outputs/still; exit 5").run();
    ran.exits(5).says("");
    assert!(ran.file("still").is_empty());
    let ran = on.sh("exec 2>&-; sleep 0.3; echo out; exit 6").run();
    ran.exits(6).says("out\n");
}

fn whoever_holds_a_stream_does_not_hold_the_run(on: &Engine) {
    let ran = on.sh("sleep 1000 & echo said; exit 3").run();
    ran.exits(3).says("said\n");
    assert!(ran.lasted() < Duration::from_secs(10), "{:?}", ran.lasted());
}

/// A task that is told to go on by its output must not be waited for by the engine.
fn a_reader_that_closes_nothing(on: &Engine) {
    let script = "echo first; read -r line; echo second $line; read -r line; echo third $line";
    let asked = on.sh(script).open_stdin();
    let asked = asked.when(Moment::Said("first"), Deed::Type(b"a\n")).when(Moment::Said("second"), Deed::Type(b"b\n"));
    asked.deadline(15_000, 500).run().exits(0).says("first\nsecond a\nthird b\n");
}
