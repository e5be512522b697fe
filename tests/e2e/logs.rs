//! What a task wrote, in the order in which it came, when, and by what is looked for.

use crate::project::Project;
use serde_json::{Value, json};

const TASK: &str = "\
echo one
echo two >&2
echo three
sleep 0.3
echo four >&2
printf five
sleep 0.3
echo six >&2
sleep 0.3
printf ' and more\\n'";

fn lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn both_streams_come_in_the_order_in_which_they_were_written() {
    let p = Project::new();
    p.aido(["run", "--", "sh", "-c", TASK]).ok();
    let told = lines(&p.aido(["logs", "--json"]).ok().text());
    let texts: Vec<_> =
        told.iter().map(|line| (line["stream"].as_str().unwrap(), line["text"].as_str().unwrap())).collect();
    // A pipe each: what was written within one turn of the reader has no order, and a line that began is told when it ends.
    assert_eq!(texts.iter().position(|t| *t == ("stderr", "four")).map(|at| at >= 3), Some(true), "{texts:?}");
    assert_eq!(texts[4..], [("stderr", "six"), ("stdout", "five and more")], "{texts:?}");
    let times: Vec<&str> = told.iter().map(|line| line["time"].as_str().unwrap()).collect();
    assert!(times[0] < times[3] && times[3] < times[4], "{times:?}");
    // Two pipes of one program.
    let both = p.command(["logs"]).output().unwrap();
    assert_eq!(both.stdout, b"one\nthree\nfive and more\n");
    assert_eq!(both.stderr, b"two\nfour\nsix\n");
    p.aido(["verify"]).ok();
}

#[test]
fn lines_begin_with_the_time_at_which_they_came() {
    let p = Project::new();
    p.aido(["run", "--", "sh", "-c", TASK]).ok();
    let told = p.aido(["logs", "--timestamps", "--stderr"]).ok().text();
    let times: Vec<jiff::Timestamp> =
        told.lines().map(|line| line.split(' ').next().unwrap().parse().unwrap()).collect();
    assert_eq!(times.len(), 3, "{told}");
    for pair in times.windows(2) {
        let apart = pair[1].duration_since(pair[0]).as_millis();
        assert!((250..30_000).contains(&apart), "{apart} ms apart: {told}");
    }
    // What came since the last line, and not before.
    let since = times[2].to_string();
    p.aido(["logs", "--stderr", "--since", &since]).ok().stdout("six\n");
    p.aido(["logs", "--stderr", "--since", "1h"]).ok().stdout("two\nfour\nsix\n");
    p.aido(["logs", "--since", "0s"]).ok().stdout("");
    p.aido(["logs", "--since", "yesterday"]).refused(&["yesterday", "10m"]);
}

#[test]
fn lines_are_found_by_a_pattern() {
    let p = Project::new();
    p.aido(["run", "--", "sh", "-c", TASK]).ok();
    p.aido(["logs", "--grep", "^(one|f)"]).ok().stdout("one\nfive and more\n");
    p.aido(["logs", "--stderr", "-g", "(?i)SIX"]).ok().stdout("six\n");
    p.aido(["logs", "--grep", "nothing of this"]).ok().stdout("");
    let events = p.aido(["logs", "--events", "--grep", "started"]).ok().text();
    assert!(events.lines().count() == 1 && events.contains("started"), "{events}");
    p.aido(["logs", "--grep", "("]).refused(&["--grep", "regular expression"]);
}

#[test]
fn who_follows_sees_lines_in_order_while_they_come() {
    let p = Project::new();
    let id = p.aido(["run", "--detach", "--", "sh", "-c", TASK]).ok().text();
    let told = lines(&p.aido(["logs", "--follow", "--json", id.trim()]).ok().text());
    let last: Vec<_> = told.iter().skip(4).map(|line| &line["text"]).collect();
    assert_eq!(last, [&json!("six"), &json!("five and more")]);
}

#[test]
fn an_order_that_somebody_forged_shows_every_byte_once_and_does_not_verify() {
    let p = Project::new();
    p.aido(["run", "--", "sh", "-c", "echo one; sleep 0.1; echo two"]).ok();
    let path = p.last_run().join("order.log");
    for forged in
        ["9 out 8\n1 out 0\n5 err 99999999999999999999\n", "18446744073709551615 out 1\n0 out 4\n", "\u{1b}[2J\n", ""]
    {
        std::fs::write(&path, forged).unwrap();
        p.aido(["logs"]).ok().stdout("one\ntwo\n");
        p.aido(["logs", "--timestamps"]);
        p.aido(["verify"]).code(1).prints("order.log");
    }
    std::fs::remove_file(&path).unwrap();
    p.aido(["logs"]).ok().stdout("one\ntwo\n");
    p.aido(["logs", "--timestamps"]).refused(&["not on record", "leave out"]);
    p.aido(["verify"]).code(1).prints("order.log");
}
