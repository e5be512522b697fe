//! What long work shows at a terminal, and that it shows nothing elsewhere.

use crate::project::Project;
use crate::seat::Seat;
use nix::sys::signal::Signal;

/// A file of nothing but a hole: it costs no memory, and its digest takes its time.
const LARGE: &str = "truncate -s 6G /outputs/hole";
/// Digesting so much takes longer than the delay on any machine, and not long.
const MIDDLE: &str = "truncate -s 1500M /outputs/hole";

fn run<'a>(options: &[&'a str], script: &'a str) -> Vec<&'a str> {
    [&["run", "--ttl", "2m", "--disk", "8GiB"], options, &["--", "sh", "-c", script]].concat()
}

#[test]
fn outputs_that_take_their_time_are_seen_coming() {
    let p = Project::new();
    let script = format!("printf 'a line without an end'; {LARGE}");
    let mut seat = Seat::at(&p, &run(&[], &script));
    seat.shows("a line without an end\r\n");
    // How many there will be is known to nobody.
    seat.shows("aido: collecting outputs, ");
    seat.shows("iB/s");
    seat.kill(seat.pid(), Signal::SIGINT);
    let status = seat.ends();
    let text = seat.text();
    assert!(text.contains("MiB, ") || text.contains("GiB, "), "{text}");
    assert!(!text.contains("\u{1b}[?25l"), "the cursor is hidden: {text}");
    // It is no part of what the task wrote, and is gone when the end is said.
    assert_eq!(p.evidence("stdout.log"), b"a line without an end");
    assert_eq!(p.evidence("stderr.log"), b"");
    let last = text.lines().rev().find(|line| line.contains("aido: ")).unwrap();
    assert!(!last.contains("collecting") || last.rfind("collecting") < last.rfind("\u{1b}[2K"), "{status} {last:?}");
}

#[test]
fn in_a_terminal_of_its_own_the_callers_is_given_back_first() {
    let p = Project::new();
    let mut seat = Seat::at(&p, &run(&["-it"], LARGE));
    seat.shows("aido: collecting outputs, ");
    assert!(!seat.is_raw(), "Ctrl-C would do nothing");
    seat.types([3]);
    seat.ends();
    assert!(seat.text().contains("left out"), "{}", seat.text());
    p.aido(["show"]).ok().prints("interrupted");
}

#[test]
fn who_does_not_look_or_wants_quiet_is_shown_none_of_it() {
    let p = Project::new();
    let out = p.aido(run(&[], MIDDLE));
    assert!(!out.ok().told().contains("collecting") && !out.told().contains('\u{1b}'), "{out}");
    let mut seat = Seat::at(&p, &run(&["--quiet"], MIDDLE));
    assert_eq!(seat.ends(), 0);
    assert_eq!(seat.text(), "");
    // So it is with what is handed on.
    let out = p.aido(["export", "-o", "a.tar.zst"]);
    assert!(!out.ok().told().contains("iB/s") && !out.told().contains('\u{1b}'), "{out}");
    let mut seat = Seat::at(&p, &["export", "--quiet", "-o", "b.tar.zst"]);
    assert_eq!((seat.ends(), seat.text()), (0, String::new()));
    let mut seat = Seat::at(&p, &["export", "-o", "c.tar.zst"]);
    for words in ["aido: checking [", "GiB", "iB/s", "aido: writing [", "wrote run "] {
        seat.shows(words);
    }
    assert_eq!(seat.ends(), 0);
    assert!(p.path().join("c.tar.zst").exists());
}

#[test]
fn what_is_done_at_once_flashes_nowhere() {
    let p = Project::new();
    let mut seat = Seat::at(&p, &["run", "--", "sh", "-c", "echo x >/outputs/x"]);
    assert_eq!(seat.ends(), 0);
    assert!(!seat.text().contains("collecting") && !seat.text().contains("closing"), "{}", seat.text());
    let mut seat = Seat::at(&p, &["export"]);
    assert_eq!(seat.ends(), 0);
    let text = seat.text();
    assert!(!text.contains("checking") && !text.contains("writing") && !text.contains('\u{1b}'), "{text:?}");
}
