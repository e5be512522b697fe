//! The caller's standard input, where it is passed on.

use super::cases;
use crate::engines::Engine;
use crate::heard::{Deed, Moment};
use std::time::Duration;

cases!("stdin":
    without_one_it_ends_at_once,
    bytes_arrive_and_the_end_does,
    a_task_that_does_not_read,
    a_task_that_reads_a_little,
    a_task_that_closes_it,
    an_open_one_does_not_hold_the_run,
    the_end_may_come_late,
    an_empty_one_is_at_its_end,
);

fn without_one_it_ends_at_once(on: &Engine) {
    let ran = on.sh("cat | wc -c; read -r line || echo end").run();
    ran.exits(0).says("0\nend\n");
    assert!(ran.lasted() < Duration::from_secs(10));
}

fn bytes_arrive_and_the_end_does(on: &Engine) {
    let bytes: Vec<u8> = (0..3u32 << 18).flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
    let ran = on.command(&["cat"]).stdin(bytes.clone()).run();
    ran.exits(0);
    assert!(ran.stdout == bytes, "{} of {} bytes", ran.stdout.len(), bytes.len());
}

fn a_task_that_does_not_read(on: &Engine) {
    let ran = on.sh("sleep 0.5; exit 4").stdin(vec![b'x'; 2 << 20]).run();
    ran.exits(4);
    assert!(ran.lasted() < Duration::from_secs(10));
}

fn a_task_that_reads_a_little(on: &Engine) {
    on.sh("head -c 5; exit 2").stdin(vec![b'y'; 1 << 20]).run().exits(2).says("yyyyy");
}

fn a_task_that_closes_it(on: &Engine) {
    on.sh("exec <&-; sleep 0.5; echo on").stdin(vec![b'z'; 1 << 20]).run().exits(0).says("on\n");
}

fn an_open_one_does_not_hold_the_run(on: &Engine) {
    let ran = on.sh("echo over; exit 3").open_stdin().run();
    ran.exits(3).says("over\n");
    assert!(ran.lasted() < Duration::from_secs(10));
}

fn the_end_may_come_late(on: &Engine) {
    let asked = on.sh("cat; echo end").open_stdin().when(Moment::Started, Deed::Type(b"early\n"));
    let asked = asked.when(Moment::Said("early"), Deed::Type(b"late\n")).when(Moment::Said("late"), Deed::Close);
    asked.deadline(15_000, 500).run().exits(0).says("early\nlate\nend\n");
}

fn an_empty_one_is_at_its_end(on: &Engine) {
    on.sh("cat; wc -c").stdin("").deadline(15_000, 500).run().exits(0).says("0\n");
}
