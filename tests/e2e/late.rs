//! The digest of a large folder is taken while the task runs: the record has it all the same, or says that it is missing.

use crate::host::{alive, marker, wait_for};
use crate::project::Project;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs;

/// More entries than a digest of contents covers, and a secret among them.
fn large() -> Project {
    let p = Project::new();
    for folder in 0..20 {
        let folder = p.path().join(format!("many/d{folder}"));
        fs::create_dir_all(&folder).unwrap();
        (0..250).for_each(|n| fs::write(folder.join(format!("f{n}")), "x").unwrap());
    }
    p.write("many/.env", "KEY=1");
    p
}

#[test]
fn a_task_shorter_than_the_digest_has_it_in_its_seal() {
    let p = large();
    let mut digests = Vec::new();
    for filesystem in ["overlay", "readonly"] {
        p.aido(["run", "--quiet", "--filesystem", filesystem, "--input", "many", "--", "true"]).ok();
        let summary = p.summary();
        let input = &summary["inputs"][0];
        assert_eq!((&input["kind"], &input["entries"]), (&"metadata".into(), &5020.into()), "{input}");
        assert!(input.get("pending").is_none(), "{input}");
        digests.push(input["digest"].as_str().unwrap().to_owned());
        let events = String::from_utf8(p.evidence("events.log")).unwrap();
        let (early, late) = (events.find("\"type\":\"inputs\"").unwrap(), events.find("\"type\":\"input\"").unwrap());
        assert!(early < late && events[early..late].contains("\"pending\":true"), "{events}");
        p.aido(["show"]).ok().prints("many (5020 entries, by name, size and time only)");
    }
    assert_eq!(digests[0], digests[1]);
    p.write("many/d3/f3", "longer");
    p.aido(["run", "--quiet", "--input", "many", "--", "true"]).ok();
    assert_ne!(p.summary()["inputs"][0]["digest"], digests[0].as_str());
    p.aido(["verify", "--all", "--strict"]).ok();
}

#[test]
fn a_supervisor_that_dies_leaves_a_record_that_says_what_is_missing() {
    let p = large();
    let mark = marker();
    let script = format!("echo on; sleep {mark}");
    let mut running = p.start(["run", "--quiet", "--input", "many", "--", "sh", "-c", &script]);
    running.wait_for("on");
    let children = fs::read_to_string(format!("/proc/{0}/task/{0}/children", running.pid())).unwrap();
    let supervisor: i32 = children.split_whitespace().next().unwrap().parse().unwrap();
    let below = fs::read_to_string(format!("/proc/{supervisor}/task/{supervisor}/children")).unwrap();
    kill(Pid::from_raw(supervisor), Signal::SIGKILL).unwrap();
    running.end().code(125);
    wait_for("the end of the task", || alive(&mark).is_empty().then_some(()));
    for pid in below.split_whitespace() {
        wait_for("the end of what the supervisor began", || {
            let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
            (status.is_empty() || status.contains("State:\tZ")).then_some(())
        });
    }
    assert_eq!(p.summary()["inputs"][0]["pending"], true);
    p.aido(["show"]).ok().prints("many (its digest is missing)");
    p.aido(["verify", "--all"]).ok();
}
