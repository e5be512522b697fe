//! `aido run -t`: a terminal of the task's own, at the caller's.

use crate::family;
use crate::host::{self, assert_gone, marker, wait_for};
use crate::project::Project;
use crate::seat::Seat;
use nix::sys::signal::Signal;
use std::time::Duration;

/// A shell script at a terminal, with these options of `run`.
#[track_caller]
fn sh(p: &Project, options: &[&str], script: &str) -> Seat {
    Seat::at(p, &[&["run", "--quiet"], options, &["--", "sh", "-c", script]].concat())
}

const LOOK: &str = "test -t 0 && test -t 1 && test -t 2 && echo all three; tty; stty size; echo $TERM; \
    echo direct >/dev/tty; echo by name >$(tty); exit 3";

#[track_caller]
fn looks(p: &Project, options: &[&str]) {
    let mut seat = sh(p, options, LOOK);
    for words in ["all three", "/dev/pts/0", "33 101", "xterm", "direct", "by name"] {
        seat.shows(words);
    }
    assert_eq!(seat.ends(), 3, "{}", seat.text());
    let plan: serde_json::Value = serde_json::from_slice(&p.evidence("plan.json")).unwrap();
    assert_eq!(plan["task"]["tty"], true);
    let log = String::from_utf8(p.evidence("stdout.log")).unwrap();
    assert!(log.starts_with("all three\r\n/dev/pts/0\r\n33 101\r\nxterm\r\n") && log.ends_with("by name\r\n"), "{log}");
    assert_eq!(p.evidence("stderr.log"), b"");
    p.aido(["verify"]).ok();
}

#[test]
fn the_task_has_a_terminal_of_its_own() {
    looks(&Project::new(), &["-it"]);
    looks(&Project::new(), &["-t"]);
}

#[test]
fn so_it_has_in_an_image_whoever_it_is_there() {
    let Some(images) = host::images() else { skip!("AIDO_IMAGES is not set: run ci/test") };
    let p = Project::new();
    let image = format!("oci:{}", images.join("tiny").display());
    let mut seat = sh(&p, &["-it", "--runtime", &image], LOOK);
    for words in ["all three\r\n", "/dev/pts/0\r\n", "33 101\r\n", "direct\r\n", "by name\r\n"] {
        seat.shows(words);
    }
    assert_eq!(seat.ends(), 3, "{}", seat.text());
    if !host::is_root() && !host::has_subordinate_ids() {
        return;
    }
    // An image with a user of its own.
    let image = format!("oci:{}", images.join("configured").display());
    let mut seat = sh(&p, &["-it", "--runtime", &image], "echo uid $(id -u); echo by name >$(tty); exit 4");
    seat.shows("by name\r\n");
    assert_eq!(seat.ends(), 4, "{}", seat.text());
}

#[test]
fn a_new_size_is_told_at_once() {
    let p = Project::new();
    let script = "trap 'stty size; exit' WINCH; echo ready; while :; do sleep 0.05; done";
    let mut seat = sh(&p, &["-it"], script);
    seat.shows("ready");
    seat.resize(77, 22);
    seat.shows("22 77\r\n");
    assert_eq!(seat.ends(), 0);
}

#[test]
fn keys_are_the_tasks_own() {
    let p = Project::new();
    let mut seat = sh(&p, &["-it"], "trap 'echo got it; exit 9' INT; echo ready; while :; do sleep 0.05; done");
    seat.shows("ready");
    assert!(seat.is_raw());
    seat.types([3]);
    seat.shows("got it");
    assert_eq!(seat.ends(), 9);
    assert_eq!(p.reason(), "exited", "it was no wish of aido's");
    let mut seat = sh(&p, &["-it"], "cat; echo over");
    seat.types("a line\n");
    seat.shows("a line\r\na line\r\n");
    seat.types([4]);
    seat.shows("over");
    assert_eq!(seat.ends(), 0);
}

#[test]
fn a_shell_has_job_control() {
    let p = Project::new();
    let mut seat = Seat::at(&p, &["run", "-q", "-it", "-e", "PS1=at> ", "--", "bash", "--norc", "--noediting", "-i"]);
    seat.shows("at> ");
    assert!(!seat.text().contains("job control"), "{}", seat.text());
    seat.types("sleep 1000\n");
    std::thread::sleep(Duration::from_millis(300));
    seat.types([26]);
    seat.shows("Stopped");
    seat.shows("at> ");
    seat.types("bg; jobs; fg\n");
    seat.shows("Running");
    std::thread::sleep(Duration::from_millis(300));
    seat.types([3]);
    seat.shows("at> ");
    seat.types([4]);
    seat.ends();
    assert_eq!(p.reason(), "exited");
}

#[test]
fn a_question_is_seen_while_it_waits_for_its_answer() {
    let p = Project::new();
    let mut seat = sh(&p, &["-it"], "echo go; printf 'password: '; read answer; echo $answer it is");
    seat.shows("go\r\n");
    let took = seat.shows("password: ");
    assert!(took < Duration::from_secs(2), "{took:?}");
    seat.types("open\n");
    seat.shows("open it is");
    assert_eq!(seat.ends(), 0);
    // Its end may be the beginning of a secret.
    let mut command = p.command(["run", "-q", "-it", "-e", "DOOR", "--"]);
    command.args(["sh", "-c", "echo go; printf 'password: '; read answer; echo $DOOR"]).env("DOOR", ": sesame-open");
    let mut seat = Seat::of(command);
    seat.shows("go\r\n");
    let took = seat.shows("password: ");
    assert!(took < Duration::from_secs(2), "{took:?}");
    seat.types("\n");
    seat.shows("[secret DOOR]");
    assert_eq!(seat.ends(), 0);
}

#[test]
fn a_secret_that_is_typed_key_by_key_is_kept_out() {
    let p = Project::new();
    let mut command = p.command(["run", "-q", "-it", "-e", "DOOR", "--", "sh", "-c", "echo go; cat"]);
    command.env("DOOR", "sesame-open-wide-now");
    let mut seat = Seat::of(command);
    seat.shows("go\r\n");
    for key in "sesame-open-wide-now".bytes() {
        seat.types([key]);
        std::thread::sleep(Duration::from_millis(60));
    }
    seat.types("\n");
    seat.shows("[secret DOOR]");
    seat.types([4]);
    seat.ends();
    let log = String::from_utf8(p.evidence("stdout.log")).unwrap();
    assert!(log.contains("[secret DOOR]") && !log.contains("sesa") && !log.contains("open"), "{log}");
}

#[test]
fn the_callers_terminal_is_out_of_reach() {
    let p = Project::new();
    let type_in = "import fcntl, termios, os\n\
        for at in (0, os.open('/dev/tty', os.O_RDWR)):\n\
        \x20   for request in (termios.TIOCSTI, termios.TIOCSTI | 1 << 40):\n\
        \x20       try:\n\
        \x20           fcntl.ioctl(at, request & 0xffffffff, b'x'); print('typed')\n\
        \x20       except OSError as e: print('refused', e.errno)\n\
        print('end')\n";
    p.write("type_in.py", type_in);
    let mut seat = Seat::at(&p, &["run", "-q", "-it", "type_in.py"]);
    seat.shows("end");
    assert_eq!(seat.ends(), 0);
    assert!(!seat.text().contains("typed"), "{}", seat.text());
    assert_eq!(seat.text().matches("refused 1").count(), 4, "{}", seat.text());
    // There is one terminal inside, and no way to the others.
    let mut seat = sh(&p, &["-it"], "ls /dev/pts; ls /proc/*/fd >/dev/null 2>&1; cat /proc/1/fd/0; exit 0");
    assert_eq!(seat.ends(), 0);
    assert!(seat.text().starts_with("0\tptmx\r\n") || seat.text().starts_with("0  ptmx\r\n"), "{}", seat.text());
    assert!(seat.text().contains("Permission denied"), "{}", seat.text());
}

#[test]
fn a_supervisor_that_is_killed_leaves_the_terminal_as_it_was() {
    let p = Project::new();
    let mark = marker();
    let mut seat = sh(&p, &["-it"], &format!("stty raw; echo ready; sleep {mark}"));
    seat.shows("ready");
    assert!(seat.is_raw());
    seat.kill(seat.supervisor(), Signal::SIGKILL);
    assert_eq!(seat.ends(), 125, "{}", seat.text());
    assert_gone(&mark);
    // Closing words stand at the beginnings of lines.
    assert!(seat.text().contains("\r\n  ") || seat.text().contains("was killed"), "{}", seat.text());
}

#[test]
fn a_signal_to_aido_ends_the_run_and_gives_the_terminal_back() {
    for (signal, code) in [(Signal::SIGTERM, 143), (Signal::SIGHUP, 129), (Signal::SIGINT, 130)] {
        let p = Project::new();
        let mark = marker();
        let mut seat = sh(&p, &["-it"], &format!("echo ready; sleep {mark}"));
        seat.shows("ready");
        assert!(seat.is_raw());
        seat.kill(seat.pid(), signal);
        assert_eq!(seat.ends(), code, "{}", seat.text());
        assert_gone(&mark);
    }
}

#[test]
fn the_time_limit_ends_a_full_screen_and_leaves_the_other_one() {
    let p = Project::new();
    let mark = marker();
    let script = format!(
        "printf '\\033[?1049h\\033[?25l'; stty raw -echo; trap '' TERM HUP; echo ready; sleep {mark} & wait; wait"
    );
    let mut seat = sh(&p, &["-it", "--ttl", "2s"], &script);
    seat.shows("ready");
    assert_eq!(seat.ends(), 124, "{}", seat.text());
    for left in ["\x1b[?47l", "\x1b[?25h"] {
        assert!(seat.text().rfind(left) > seat.text().rfind("\x1b[?25l"), "{:?}", seat.text());
    }
    assert_gone(&mark);
}

#[test]
fn who_keeps_the_terminal_open_holds_nobody_up() {
    let p = Project::new();
    let mark = marker();
    let script = format!("trap '' HUP; setsid sleep {mark} & sleep {mark} & echo ready; exit 5");
    let mut seat = sh(&p, &["-it"], &script);
    seat.shows("ready");
    let began = std::time::Instant::now();
    assert_eq!(seat.ends(), 5);
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    assert_gone(&mark);
}

#[test]
fn a_terminal_that_everybody_closed_can_be_opened_again() {
    let p = Project::new();
    let mut seat = sh(&p, &["-it"], "exec </dev/null >/dev/null 2>&1; sleep 0.3; echo again >/dev/tty");
    seat.shows("again");
    assert_eq!(seat.ends(), 0);
    assert_eq!(p.evidence("stdout.log"), b"again\r\n");
}

#[test]
fn a_large_paste_comes_whole() {
    let p = Project::new();
    let bytes: Vec<u8> = (0..1u32 << 20).map(|n| (n * 7 % 251) as u8).collect();
    p.write("same", &bytes);
    let script = "stty raw -echo; echo ready; head -c 1048576 | cmp - same && echo the same";
    let mut seat = sh(&p, &["-it"], script);
    seat.shows("ready");
    let paste = seat.pastes(bytes);
    seat.shows("the same");
    paste.join().unwrap().unwrap();
    assert_eq!(seat.ends(), 0);
}

#[test]
fn what_is_no_text_comes_as_it_is() {
    let p = Project::new();
    let bytes: Vec<u8> = (0..400_000u32).map(|n| (n.wrapping_mul(n) >> 3) as u8).collect();
    p.write("bytes", &bytes);
    let mut seat = sh(&p, &["-it", "--exact-output"], "stty raw -echo; printf 'begin:'; cat bytes; printf ':end'");
    seat.shows(":end");
    assert_eq!(seat.ends(), 0);
    let shown: Vec<u8> = [b"begin:", &bytes[..], b":end"].concat();
    assert!(seat.seen.windows(shown.len()).any(|seen| seen == shown), "{} bytes were shown", seat.seen.len());
    assert!(p.evidence("stdout.log") == shown, "the record differs");
}

#[test]
fn aido_can_be_suspended_and_goes_on() {
    let p = Project::new();
    let mark = marker();
    let mut command = p.command(["-c"]);
    command.env("AIDO", host::aido()).env("PS1", "out> ");
    let shell = command.get_envs().filter_map(|(name, value)| Some((name.to_owned(), value?.to_owned())));
    let mut outer = std::process::Command::new("bash");
    outer.env_clear().envs(shell).args(["--norc", "--noediting", "-i"]).current_dir(p.path());
    let mut seat = Seat::of(outer);
    seat.shows("out> ");
    let inner = format!("trap \"echo int\" INT; echo rea\"\"dy; while :; do sleep 0.05; done; : {mark}");
    seat.types(format!("$AIDO run -q -it -- sh -c '{inner}'\n"));
    seat.shows("ready\r\n");
    wait_for("the keys to be the task's", || seat.is_raw().then_some(()));
    let aido = family::with_arguments(&[&mark, "run"]).into_iter().find(|pid| has_parent(*pid, seat.pid()));
    let aido = aido.expect("aido runs");
    seat.suspends(aido);
    assert_gone(&mark);
}

fn has_parent(pid: i32, parent: i32) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    status.lines().any(|line| line == format!("PPid:\t{parent}"))
}

#[test]
fn where_nobody_types_who_reads_finds_the_end_and_keys_stay_the_callers() {
    let p = Project::new();
    let mut seat = sh(&p, &["-t"], "cat; echo over; sleep 1000");
    seat.shows("over");
    assert!(!seat.is_raw());
    seat.types([3]);
    assert_eq!(seat.ends(), 130, "{}", seat.text());
    assert_eq!(p.reason(), "interrupted");
}

#[test]
fn without_a_terminal_there_is_none_to_give() {
    let p = Project::new();
    p.aido(["run", "-t", "--", "true"]).refused(&["-t needs a terminal", "aido run -i"]);
    p.aido(["run", "-it", "--", "true"]).refused(&["-t needs a terminal"]);
    assert!(!p.path().join(".aido").exists(), "nothing was begun");
    let mut seat = sh(&p, &["-it", "--isolation", "landlock"], "echo ran");
    assert_eq!(seat.ends(), 125);
    let said = seat.text();
    assert!(
        said.contains("gets no terminal") && said.contains("--isolation full") && !said.contains("ran\r\n"),
        "{said}"
    );
}

#[test]
fn a_shell_opens_in_the_sandbox_that_is_up_or_in_a_fresh_one() {
    let p = Project::new();
    let mut seat = Seat::at(&p, &["shell", "-q"]);
    seat.types("echo in $AIDO_OUTPUTS; exit 6\n");
    seat.shows("in /outputs\r\n");
    assert_eq!(seat.ends(), 6);
    let id = p.aido(["sandbox", "up"]).ok().text().trim().to_string();
    let mut seat = Seat::at(&p, &["shell", "-q", &id]);
    seat.types("exit\n");
    assert_eq!(seat.ends(), 0);
    assert_eq!(p.aido(["runs", "--json"]).ok().json()[0]["sandbox"], id.as_str());
    p.aido(["sandbox", "destroy", &id]).ok();
    p.aido(["shell"]).refused(&["-t needs a terminal"]);
}

#[test]
fn whoever_looks_later_is_not_steered() {
    let p = Project::new();
    let mut seat = sh(&p, &["-it"], "printf '\\033]0;title\\007\\033[2Jtext\\n'");
    seat.shows("\x1b]0;title\x07\x1b[2Jtext\r\n");
    assert_eq!(seat.ends(), 0);
    let mut seat = Seat::at(&p, &["logs"]);
    seat.shows("text");
    assert_eq!(seat.ends(), 0);
    assert!(!seat.text().contains('\x1b'), "{:?}", seat.text());
}
