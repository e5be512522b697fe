//! `aido run -t` on an engine: the caller's terminal goes over the link, and comes back as it was.

use super::{assert_clean, supervisor};
use crate::engine::{Docked, Engine};
use crate::host::{self, wait_for};
use crate::seat::Seat;
use nix::sys::signal::Signal;
use std::time::Duration;

/// A shell script at a terminal.
#[track_caller]
fn sh(d: &Docked, options: &[&str], script: &str) -> Seat {
    Seat::of(d.command(Docked::line(options, &["sh", "-c", script])))
}

/// The run is over, and neither the engine nor the terminal has anything of it.
#[track_caller]
fn assert_ends(mut seat: Seat, code: i32, engine: &Engine, d: &Docked) {
    assert_eq!(seat.ends(), code, "{}", seat.text());
    assert_clean(engine, d);
}

#[test]
fn the_task_has_a_terminal_of_its_own_with_the_callers_size() {
    let engine = engine!();
    let d = engine.project(&[]);
    let look =
        "test -t 0 && test -t 1 && test -t 2 && echo all three; stty size; echo $TERM; echo direct >/dev/tty; exit 3";
    for options in [&["-it"], &["-t"]] {
        let mut seat = sh(&d, options, look);
        // Where nobody types, the caller's terminal ends lines by itself, too.
        for words in ["all three\r", "33 101\r", "xterm\r", "direct\r"] {
            seat.shows(words);
        }
        assert_ends(seat, 3, &engine, &d);
        let log = String::from_utf8(d.project.evidence("stdout.log")).unwrap();
        assert_eq!(log, "all three\r\n33 101\r\nxterm\r\ndirect\r\n");
        assert_eq!(d.project.evidence("stderr.log"), b"");
        d.aido(["verify"]).ok();
    }
}

#[test]
fn a_new_size_is_told_soon() {
    let engine = engine!();
    let d = engine.project(&[]);
    let mut seat = sh(&d, &["-it"], "trap 'stty size; exit' WINCH; echo ready; while :; do sleep 0.05; done");
    seat.shows("ready");
    seat.resize(77, 22);
    let took = seat.shows("22 77\r\n");
    assert!(took < Duration::from_secs(3), "{took:?}");
    assert_ends(seat, 0, &engine, &d);
}

#[test]
fn keys_are_the_tasks_own_and_come_as_they_are_typed() {
    let engine = engine!();
    let d = engine.project(&[]);
    let mut seat = sh(&d, &["-it"], "trap 'echo got it; exit 9' INT; echo ready; while :; do sleep 0.05; done");
    seat.shows("ready");
    wait_for("the keys to be the task's", || seat.is_raw().then_some(()));
    seat.types([3]);
    seat.shows("got it");
    assert_ends(seat, 9, &engine, &d);
    assert_eq!(d.project.reason(), "exited", "it was no wish of aido's");
    // No key waits for the next one, nor for the end of the line.
    let mut seat = sh(&d, &["-it"], "stty raw -echo; echo ready; head -c 3 | od -An -tx1; stty sane; cat; echo over");
    seat.shows("ready");
    for key in [0x1b, 0x5b, 0x41] {
        seat.types([key]);
        std::thread::sleep(Duration::from_millis(100));
    }
    let took = seat.shows("1b 5b 41");
    assert!(took < Duration::from_secs(2), "{took:?}");
    seat.types("a line\n");
    seat.shows("a line\r\na line\r\n");
    seat.types([4]);
    seat.shows("over");
    assert_ends(seat, 0, &engine, &d);
}

#[test]
fn a_question_is_seen_while_it_waits_for_its_answer() {
    let engine = engine!();
    let d = engine.project(&[]);
    let script = "echo go; printf 'password: '; read answer; echo $answer it is; echo $DOOR";
    let mut command = d.command(Docked::line(&["-it", "-e", "DOOR"], &["sh", "-c", script]));
    // The end of the question may be the beginning of the secret.
    command.env("DOOR", ": sesame-open");
    let mut seat = Seat::of(command);
    seat.shows("go\r\n");
    let took = seat.shows("password: ");
    assert!(took < Duration::from_secs(3), "{took:?}");
    seat.types("open\n");
    seat.shows("open it is");
    seat.shows("[secret DOOR]");
    assert_ends(seat, 0, &engine, &d);
}

#[test]
fn a_paste_comes_whole_and_what_is_no_text_is_shown_as_it_is() {
    let engine = engine!();
    let bytes: Vec<u8> = (0..300_000u32).map(|n| (n.wrapping_mul(n) >> 3) as u8).collect();
    let d = engine.project(&[]);
    d.project.write("same", &bytes);
    let mut seat = sh(
        &d,
        &["-it", "--exact-output"],
        "stty raw -echo; echo ready; head -c 300000 | cmp - same && echo the same; cat same; printf ':end'",
    );
    seat.shows("ready");
    let paste = seat.pastes(bytes.clone());
    seat.shows("the same\n");
    paste.join().unwrap().unwrap();
    seat.shows(":end");
    assert!(seat.seen.windows(bytes.len()).any(|seen| seen == bytes), "{} bytes were shown", seat.seen.len());
    assert_ends(seat, 0, &engine, &d);
}

#[test]
fn whatever_ends_it_the_terminal_is_given_back() {
    let engine = engine!();
    let d = engine.project(&[]);
    let busy = "printf '\\033[?1049h\\033[?25l'; stty raw -echo; echo ready; sleep 300";
    let signals = [(Signal::SIGTERM, 143), (Signal::SIGHUP, 129), (Signal::SIGINT, 130), (Signal::SIGQUIT, 131)];
    for (signal, code) in signals {
        let mut seat = sh(&d, &["-it"], busy);
        seat.shows("ready");
        wait_for("the keys to be the task's", || seat.is_raw().then_some(()));
        seat.kill(seat.pid(), signal);
        assert_ends(seat, code, &engine, &d);
        assert_eq!(d.project.reason(), "interrupted");
    }
    let mut seat = sh(&d, &["-it", "--ttl", "2s"], busy);
    seat.shows("ready");
    assert_eq!(seat.ends(), 124, "{}", seat.text());
    for left in ["\x1b[?47l", "\x1b[?25h"] {
        assert!(seat.text().rfind(left) > seat.text().rfind("\x1b[?25l"), "{:?}", seat.text());
    }
    let mut seat = sh(&d, &["-it"], busy);
    seat.shows("ready");
    wait_for("the keys to be the task's", || seat.is_raw().then_some(()));
    seat.kill(supervisor(&d), Signal::SIGKILL);
    assert_eq!(seat.ends(), 125, "{}", seat.text());
    assert_eq!(engine.holds(&d.last()), Vec::<String>::new());
    // Who was killed had the account of it: the next command strikes it out.
    d.aido(["runs"]).ok();
    assert_clean(&engine, &d);
}

#[test]
fn aido_can_be_suspended_and_goes_on() {
    let engine = engine!();
    let d = engine.project(&[]);
    let mut command = d.command(["-c"]);
    command.env("AIDO", host::aido()).env("PS1", "out> ");
    let shell = command.get_envs().filter_map(|(name, value)| Some((name.to_owned(), value?.to_owned())));
    let mut outer = std::process::Command::new("bash");
    outer.env_clear().envs(shell).args(["--norc", "--noediting", "-i"]).current_dir(d.project.path());
    let mut seat = Seat::of(outer);
    seat.shows("out> ");
    let inner = "trap \"echo int\" INT; echo rea\"\"dy; while :; do sleep 0.05; done";
    seat.types(format!("$AIDO run -q -it --offline --runtime tiny:1 -- sh -c '{inner}' & echo $!; fg\n"));
    seat.shows("ready\r\n");
    wait_for("the keys to be the task's", || seat.is_raw().then_some(()));
    let text = seat.text();
    let aido = text.lines().rev().find_map(|line| line.trim().parse::<i32>().ok()).expect("its number");
    seat.suspends(aido);
    assert_clean(&engine, &d);
}

#[test]
fn where_nobody_types_keys_stay_the_callers() {
    let engine = engine!();
    let d = engine.project(&[]);
    let mut seat = sh(&d, &["-t"], "cat; echo over; sleep 300");
    seat.shows("over");
    assert!(!seat.is_raw());
    seat.types([3]);
    assert_ends(seat, 130, &engine, &d);
    assert_eq!(d.project.reason(), "interrupted");
}

#[test]
fn without_a_terminal_there_is_none_to_give() {
    let engine = engine!();
    let d = engine.project(&[]);
    d.run(&["-t"], &["true"]).refused(&["-t needs a terminal", "aido run -i"]);
    d.aido(["shell"]).refused(&["-t needs a terminal"]);
    assert!(!d.project.path().join(".aido").exists(), "nothing was begun");
}

#[test]
fn a_shell_opens_in_a_sandbox_that_is_up() {
    let engine = engine!();
    let d = engine.project(&[("sandbox.yaml", "runtime: tiny:1\n")]);
    let id = d.aido(["sandbox", "up"]).ok().text().trim().to_string();
    let mut seat = Seat::of(d.command(["shell", "-q", &id]));
    seat.types("echo in $AIDO_OUTPUTS; exit 6\n");
    seat.shows("in /outputs\r\n");
    assert_ends(seat, 6, &engine, &d);
    d.aido(["sandbox", "destroy", &id]).ok();
}

#[test]
fn outputs_that_come_out_of_the_engine_are_counted() {
    let engine = engine!();
    let d = engine.project(&[]);
    // Nearly all of it is a hole, which an archive does not know.
    let script = "dd if=/dev/zero of=/outputs/hole bs=1M count=1 seek=1500 2>/dev/null; echo over";
    let line = Docked::line(&["--disk", "2GiB"], &["sh", "-c", script]);
    let mut seat = Seat::of(d.command(line.into_iter().filter(|word| !word.contains("quiet"))));
    seat.shows("over\r\n");
    seat.shows("aido: collecting outputs, ");
    // The first bytes may take their time; what is counted then is no longer 0 B.
    seat.shows("iB, ");
    seat.types([3]);
    seat.ends();
    assert!(!String::from_utf8_lossy(&d.project.evidence("stdout.log")).contains("collecting"));
}
