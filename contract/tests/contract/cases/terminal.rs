//! A terminal of the task's own.

use super::cases;
use crate::engines::Engine;
use crate::heard::{Deed, Moment};
use aido_runtime::{Command, End, Window};
use std::time::Duration;

cases!("terminal":
    all_three_streams_are_one,
    without_one_no_stream_is,
    it_begins_with_the_callers_size,
    a_new_size_is_seen,
    what_is_typed_arrives,
    control_c_interrupts,
    control_d_ends_the_input,
    it_is_the_controlling_one,
    both_streams_come_as_one,
    the_deadline_holds,
);

fn all_three_streams_are_one(on: &Engine) {
    let ran = on.sh("test -t 0 && test -t 1 && test -t 2 && echo all; tty").terminal(80, 24).run();
    ran.exits(0).mentions("all\r\n").mentions("/dev/");
}

fn without_one_no_stream_is(on: &Engine) {
    on.sh("test -t 0 || test -t 1 || test -t 2 || echo none").stdin("x").run().says("none\n");
}

fn it_begins_with_the_callers_size(on: &Engine) {
    on.sh("stty size").terminal(123, 45).run().exits(0).says("45 123\r\n");
}

fn a_new_size_is_seen(on: &Engine) {
    let script = "trap 'stty size; exit 0' WINCH; echo ready; while :; do sleep 0.1; done";
    let size = Command::Resize(Window { columns: 77, rows: 33 });
    let ran = on.sh(script).terminal(80, 24).when_said("ready", size).deadline(10_000, 500).run();
    ran.exits(0).says("ready\r\n33 77\r\n");
}

fn what_is_typed_arrives(on: &Engine) {
    let asked = on.sh("stty -echo; echo ready; read -r line; echo got $line").terminal(80, 24);
    asked
        .when(Moment::Said("ready"), Deed::Type(b"hello\r"))
        .deadline(10_000, 500)
        .run()
        .exits(0)
        .says("ready\r\ngot hello\r\n");
}

fn control_c_interrupts(on: &Engine) {
    let script = "trap 'echo caught; exit 9' INT; echo ready; while :; do sleep 0.1; done";
    let asked = on.sh(script).terminal(80, 24).when(Moment::Said("ready"), Deed::Type(b"\x03"));
    asked.deadline(10_000, 500).run().exits(9).mentions("caught");
}

fn control_d_ends_the_input(on: &Engine) {
    let asked = on.sh("echo ready; cat; echo end").terminal(80, 24).when(Moment::Said("ready"), Deed::Type(b"\x04"));
    asked.deadline(10_000, 500).run().exits(0).mentions("end");
}

fn it_is_the_controlling_one(on: &Engine) {
    let ran = on
        .sh("echo direct >/dev/tty; cut -d' ' -f7 /proc/self/stat | grep -v '^0' >/dev/null && echo has")
        .terminal(80, 24)
        .run();
    ran.exits(0).says("direct\r\nhas\r\n");
}

fn both_streams_come_as_one(on: &Engine) {
    let ran = on.sh("echo out; echo err >&2; echo out").terminal(80, 24).run();
    ran.exits(0).says("out\r\nerr\r\nout\r\n");
    assert!(ran.stderr.is_empty());
}

fn the_deadline_holds(on: &Engine) {
    let script = "trap '' INT TERM HUP; setsid sleep 1000 & echo ready; while :; do sleep 1; done";
    let ran = on.sh(script).terminal(80, 24).deadline(1_500, 500).run();
    ran.ends(&End::Deadline { ttl_ms: 1_500 }).mentions("ready");
    assert!(ran.lasted() < Duration::from_secs(7), "{:?}", ran.lasted());
}
