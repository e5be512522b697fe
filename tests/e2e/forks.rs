//! Sandboxes that begin with what another one changed, and sandboxes side by side.

use crate::host::marker;
use crate::output::find;
use crate::overlay::{change, names, tree, up, within};
use crate::project::Project;
use crate::running::Running;
use std::fs;
use std::time::{Duration, Instant};

const FILES: [(&str, &str); 4] =
    [("src/a.txt", "one\ntwo\nthree\n"), ("src/b.txt", "b\n"), ("old/c.txt", "c\n"), ("run.sh", "#!/bin/sh\ntrue\n")];

/// The layers that were handed over and are still kept.
fn kept_layers(p: &Project) -> usize {
    fs::read_dir(p.path().join(".aido/layers"))
        .map_or(0, |all| all.flatten().filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())).count())
}

fn fork(p: &Project, first: &str) -> String {
    p.aido(["sandbox", "fork", "--quiet", first]).word()
}

#[test]
fn forks_begin_alike_and_go_their_own_ways() {
    let p = Project::with(&FILES);
    let before = tree(&p.path());
    let a = up(&p);
    within(&p, &a, "echo base > base; rm src/b.txt; echo 0 > src/a.txt").ok();
    let b = fork(&p, &a);
    within(&p, &b, "cat base src/a.txt; test ! -e src/b.txt; echo B > src/a.txt; rm base; echo only > only-b")
        .ok()
        .stdout("base\n0\n");
    within(&p, &a, "cat base src/a.txt; echo A > src/a.txt; test ! -e only-b").ok().stdout("base\n0\n");
    let c = fork(&p, &b);
    within(&p, &c, "cat src/a.txt only-b; test ! -e base; echo C > src/a.txt; echo back > src/b.txt")
        .ok()
        .stdout("B\nonly\n");
    assert_eq!(names(&p, &[&a]), "D\tsrc/b.txt\nA\tbase\nM\tsrc/a.txt\n");
    assert_eq!(names(&p, &[&b]), "D\tsrc/b.txt\nA\tonly-b\nM\tsrc/a.txt\n");
    assert_eq!(names(&p, &[&c]), "A\tonly-b\nM\tsrc/a.txt\nM\tsrc/b.txt\n");
    assert_eq!(tree(&p.path()), before);
    // The first goes; what it handed over stays for the others, and goes with the last of them.
    p.aido(["sandbox", "destroy", &a]).ok();
    within(&p, &b, "cat src/a.txt only-b; test ! -e src/b.txt").ok().stdout("B\nonly\n");
    within(&p, &c, "cat src/a.txt src/b.txt").ok().stdout("C\nback\n");
    assert_eq!(kept_layers(&p), 2);
    p.aido(["sandbox", "destroy", &b]).ok();
    within(&p, &c, "cat src/a.txt only-b").ok().stdout("C\nonly\n");
    p.aido(["verify", "--all"]).ok();
    p.aido(["sandbox", "destroy", &c]).ok();
    p.aido(["runs"]).ok();
    assert_eq!(kept_layers(&p), 0);
}

#[test]
fn forks_of_forks_while_others_run_hold_what_they_began_with() {
    let p = Project::with(&FILES);
    let first = up(&p);
    within(&p, &first, "echo 0 > depth; mkdir -p d/e; echo keep > d/e/f").ok();
    let (mut chain, mut last) = (vec![first.clone()], first);
    for n in 1..8 {
        last = fork(&p, &last);
        // A file goes, comes back and goes again, and so does the folder.
        let turn = if n % 2 == 0 { "mkdir -p d/e; echo back > d/e/f" } else { "rm -r d" };
        within(&p, &last, &format!("echo {n} >> depth; {turn}")).ok();
        chain.push(last.clone());
    }
    let mark = marker();
    let mut running =
        p.start(["run", "--quiet", "--sandbox", &chain[6], "--", "sh", "-c", &format!("echo up; sleep {mark}")]);
    running.wait_for("up");
    // Below a sandbox that runs nothing moves: another one beside it can be forked and run.
    let beside = fork(&p, &chain[5]);
    within(&p, &beside, "cat depth; test ! -e d").ok().stdout("0\n1\n2\n3\n4\n5\n");
    p.aido(["sandbox", "fork", &chain[6]]).refused(&[&chain[6]]);
    running.signal(nix::sys::signal::Signal::SIGINT);
    running.end();
    for (n, sandbox) in chain.iter().enumerate() {
        let depth: String = (0..=n).map(|at| format!("{at}\n")).collect();
        let f = if n == 0 {
            "keep\n"
        } else if n % 2 == 0 {
            "back\n"
        } else {
            ""
        };
        within(&p, sandbox, "cat depth; cat d/e/f 2>/dev/null || true").ok().stdout(&format!("{depth}{f}"));
        let f = if n % 2 == 0 { "A\td/e/f\n" } else { "" };
        assert_eq!(names(&p, &[sandbox]), format!("{f}A\tdepth\n"));
    }
    p.aido(["verify", "--all"]).ok();
}

#[test]
fn a_fork_outlives_the_first_by_its_time_its_end_and_its_removal() {
    let p = Project::with(&FILES);
    let short = p.aido(["sandbox", "up", "--quiet", "--filesystem", "overlay", "--ttl", "6s"]).word();
    let begun = Instant::now();
    within(&p, &short, "echo short > s").ok();
    let of_short = p.aido(["sandbox", "fork", "--quiet", "--ttl", "1h", &short]).word();
    let first = up(&p);
    within(&p, &first, "echo first > f; rm src/b.txt").ok();
    let of_first = fork(&p, &first);
    p.aido(["sandbox", "destroy", &first]).ok();
    within(&p, &of_first, "cat f; test ! -e src/b.txt; echo more >> f").ok().stdout("first\n");
    std::thread::sleep(Duration::from_secs(7).saturating_sub(begun.elapsed()));
    within(&p, &short, "true").refused(&[&short]);
    within(&p, &of_short, "cat s").ok().stdout("short\n");
    // Removed with all that they were.
    p.aido(["prune", "--keep", "0"]).ok();
    for sandbox in [&short, &first] {
        assert!(!p.path().join(".aido/sandboxes").join(sandbox).exists(), "{sandbox} is still there");
    }
    within(&p, &of_short, "cat s").ok().stdout("short\n");
    within(&p, &of_first, "cat f").ok().stdout("first\nmore\n");
    assert_eq!(names(&p, &[&of_first]), "D\tsrc/b.txt\nA\tf\n");
    assert_eq!(kept_layers(&p), 2);
    p.aido(["apply", "--quiet", &of_short]).ok();
    assert_eq!(p.read("s"), "short\n");
}

#[test]
fn ten_attempts_on_one_tree_are_compared_afterwards() {
    let p = Project::with(&FILES);
    let all: Vec<String> = (0..10).map(|_| up(&p)).collect();
    let script = |n: usize| format!("echo {n} > src/a.txt; echo same > s; [ {n} != 3 ] || rm run.sh; exit {n}");
    let runs: Vec<Running> = all
        .iter()
        .enumerate()
        .map(|(n, id)| p.start(["run", "-q", "--sandbox", id, "--", "sh", "-c", &script(n)]))
        .collect();
    for (n, running) in runs.into_iter().enumerate() {
        running.end().code(n as i32);
    }
    for n in 1..10 {
        let told = p.aido(["diff", "--json", &all[0], &all[n]]).ok().json();
        let files = told["files"].to_string();
        assert!(files.contains("src/a.txt") && !files.contains("\"s\""), "{told}");
        assert_eq!(files.contains("run.sh"), n == 3, "{told}");
    }
}

#[test]
fn two_sandboxes_are_compared_and_one_without_changes_is_told_so() {
    let p = Project::with(&FILES);
    let (one, other) = (up(&p), up(&p));
    p.aido(["diff", &one]).refused(&["nothing was changed"]);
    within(&p, &one, "echo 1 > src/a.txt; echo same > s").ok();
    within(&p, &other, "echo 2 > src/a.txt; echo same > s; rm run.sh; exit 3").code(3);
    let told = p.aido(["diff", "--json", &one, &other]).ok().json();
    let files = told["files"].to_string();
    assert!(files.contains("src/a.txt") && files.contains("run.sh") && !files.contains("\"s\""), "{told}");
    assert!(find(&told["sides"], "sandbox").is_some(), "{told}");
    p.aido(["diff", &one, &other]).ok().prints("src/a.txt").prints("run.sh");
    let idle = up(&p);
    within(&p, &idle, "true").ok();
    p.aido(["diff"]).ok().says("left the project as it is");
    for sandbox in [&one, &other, &idle] {
        p.aido(["sandbox", "destroy", sandbox]).ok();
    }
    p.aido(["run", "--quiet", "--", "true"]).ok();
    p.aido(["diff"]).refused(&["nothing was changed", "--filesystem overlay"]);
}

#[test]
fn nothing_is_seen_outside_and_all_of_it_in_the_next_run() {
    let p = Project::with(&FILES);
    let before = tree(&p.path());
    let id = up(&p);
    let script = "echo more >> src/a.txt; mv src/b.txt src/moved.txt; rm -r old; chmod -x run.sh; mkdir -p new/deep; \
         echo n > new/deep/n.txt";
    within(&p, &id, script).ok();
    for _ in 0..2 {
        within(&p, &id, "cat new/deep/n.txt src/moved.txt; test ! -e old && test ! -e src/b.txt && echo gone")
            .ok()
            .stdout("n\nb\ngone\n");
    }
    assert_eq!(tree(&p.path()), before);
    // A fresh sandbox begins with the project.
    p.aido(["sandbox", "destroy", &id]).ok();
    change(&p, "cat old/c.txt src/b.txt; ls").ok().stdout("c\nb\nold\nrun.sh\nsrc\n");
    p.aido(["run", "--quiet", "--", "sh", "-c", "echo x > src/a.txt"]).says("ead-only");
    assert_eq!(tree(&p.path()), before);
    p.aido(["verify", "--all"]).ok();
}

#[test]
fn what_is_written_is_bounded_and_it_is_said() {
    for (script, one_file) in [
        ("head -c 64M /dev/zero > big; sleep 30", true),
        // By a child, by the task itself, and by one that heeds no signal.
        ("head -c 64M /dev/zero > big; exit 0", true),
        ("exec head -c 64M /dev/zero > big", true),
        ("trap '' XFSZ; head -c 64M /dev/zero > big; exit 0", true),
        ("for n in 1 2 3 4; do head -c 3M /dev/zero > f$n; done", false),
    ] {
        let p = Project::with(&FILES);
        let args = ["run", "--disk", "8MiB", "--filesystem", "overlay", "--", "sh", "-c", script];
        let out = p.aido(args);
        out.code(153).says("disk limit of 8 MiB");
        assert!(out.took.as_secs() < 25, "{script}: {out}");
        assert_eq!(p.reason(), "out_of_disk", "{script}");
        let events = String::from_utf8(p.evidence("events.log")).unwrap();
        assert!(events.contains("\"limit_hit\"") && events.contains("\"limit\":\"disk\""), "{script}: {events}");
        p.aido(["show"]).ok().prints("was ended by its disk limit of 8 MiB");
        assert!(!p.path().join("big").exists());
        p.aido(["verify", "--all"]).ok();
        if one_file {
            let big = p.last_sandbox().join("layer/upper/big").metadata().unwrap().len();
            assert!(big <= (8 << 20) + (1 << 16), "{script}: {big} bytes");
        }
    }
    // As much as is allowed is none too much.
    let p = Project::with(&FILES);
    let args =
        ["run", "--quiet", "--disk", "8MiB", "--filesystem", "overlay", "--", "sh", "-c", "head -c 7M /dev/zero > big"];
    p.aido(args).ok();
}

#[test]
fn files_without_a_name_count_while_they_are_open() {
    let hold = "exec 3>a 4>b 5>c; rm a b c; for n in 3 4 5; do head -c 3M /dev/zero >&$n; done; sleep 60";
    // By a thread whose descriptors are its own.
    let thread = "import ctypes, os, threading, time
def hold():
    assert ctypes.CDLL(None).close_range(90, 90, 2) == 0
    for name in 'abc':
        held = os.open(name, os.O_CREAT | os.O_WRONLY)
        os.unlink(name)
        os.write(held, bytes(3 << 20))
    time.sleep(60)
one = threading.Thread(target=hold)
one.start()
one.join()
";
    for task in [["sh", "-c", hold], ["python3", "-c", thread]] {
        let p = Project::with(&FILES);
        let out = p.aido(["run", "--disk", "8MiB", "--filesystem", "overlay", "--"].iter().chain(&task));
        out.code(153).says("disk limit of 8 MiB");
        assert!(out.took.as_secs() < 25, "{out}");
    }
    // What is closed again is gone, as are files that were never on the disk.
    let close = "for n in 1 2 3 4; do exec 3>a; rm a; head -c 3M /dev/zero >&3; sleep 1.2; exec 3>&-; done; \
        exec 3>/tmp/a; rm /tmp/a; head -c 7M /dev/zero >&3; sleep 2";
    let p = Project::with(&FILES);
    p.aido(["run", "--quiet", "--disk", "8MiB", "--filesystem", "overlay", "--", "sh", "-c", close]).ok();
}
