//! Memory, processors, processes, output: bounded, or refused with the remedy, or weaker by name.

use crate::host;
use crate::output::find;
use crate::project::Project;

const EATER: &str = "import mmap\nkept = []\nfor i in range(64):\n    m = mmap.mmap(-1, 8 << 20)\n    for at in range(0, 8 << 20, 4096): m[at] = 1\n    kept.append(m)\n    print(i + 1, flush=True)\n";
const FORKS: &str = "import os, time\nn = 0\ntry:\n    while n < 200:\n        if os.fork() == 0: time.sleep(30); os._exit(0)\n        n += 1\nexcept BlockingIOError:\n    print('refused after', n)\n    raise SystemExit(9)\nprint('all', n)\n";

fn with(name: &str, text: &str) -> Project {
    Project::with(&[(name, text)])
}

/// Where the host gives this user no control groups, what was asked for is refused, and the remedy is named.
fn refused_without_cgroups(flag: &str, value: &str) {
    let control = flag.trim_start_matches("--");
    let p = Project::new();
    let out = p.aido(["run", flag, value, "--", "true"]);
    out.refused(&[control, "--accept-weaker"]);
    let weaker = p.aido(["run", "--quiet", flag, value, "--accept-weaker", control, "--", "echo", "ran"]);
    weaker.ok().stdout("ran\n");
    let enforced =
        find(&p.summary(), control).unwrap_or_else(|| panic!("{control} is not in {}", p.summary())).to_string();
    assert!(enforced.contains("weaker") || enforced.contains("absent"), "{enforced}");
}

#[test]
fn memory_is_bounded_and_the_kill_is_named() {
    if !host::has_cgroups() {
        return refused_without_cgroups("--memory", "64MiB");
    }
    let p = with("eat.py", EATER);
    p.aido(["run", "--quiet", "--memory", "64MiB", "eat.py"]).code(137);
    assert_eq!(p.reason(), "out_of_memory");
    let summary = p.summary();
    assert_eq!(find(&summary, "limit").unwrap(), 64 << 20);
    p.aido(["show"]).ok().prints("64");
    // Not a bound that always strikes.
    p.aido(["run", "--quiet", "--memory", "900MiB", "eat.py"]).ok();
}

#[test]
fn memory_that_is_no_process_is_bounded_too() {
    if !host::has_cgroups() {
        return refused_without_cgroups("--memory", "64MiB");
    }
    let memfd =
        "import os\nfd = os.memfd_create('x')\nfor i in range(512): os.write(fd, b'x' * (1 << 20))\nprint('all')\n";
    let p = with("memfd.py", memfd);
    let out = p.aido(["run", "--quiet", "--memory", "64MiB", "--disk", "1GiB", "memfd.py"]);
    assert!(out.code(137).stdout.is_empty(), "{out}");
    let out =
        p.aido(["run", "--quiet", "--memory", "64MiB", "--", "dd", "if=/dev/zero", "of=/tmp/x", "bs=1M", "count=512"]);
    assert_ne!(out.code, Some(0), "tmpfs is not counted{out}");
}

#[test]
fn processes_are_bounded() {
    if !host::has_cgroups() {
        return refused_without_cgroups("--pids", "20");
    }
    let p = with("forks.py", FORKS);
    let out = p.aido(["run", "--quiet", "--pids", "20", "forks.py"]);
    out.code(9).prints("refused after");
    let made: u32 = out.text().split_whitespace().last().unwrap().parse().unwrap();
    assert!((5..20).contains(&made), "{out}");
    p.aido(["run", "--quiet", "--pids", "400", "forks.py"]).ok().stdout("all 200\n");
}

#[test]
fn processors_are_bounded() {
    if !host::has_cgroups() {
        return refused_without_cgroups("--cpus", "0.2");
    }
    // What starting Python takes is not counted: on an emulated machine that is more than the bound.
    let spin = "import time, os\ns = os.times()\nend = time.monotonic() + 2\nwhile time.monotonic() < end: pass\nt = os.times()\nprint(int((t.user - s.user + t.system - s.system) * 1000))\n";
    let p = with("spin.py", spin);
    let used = |limit: &str| -> u32 {
        p.aido(["run", "--quiet", "--cpus", limit, "spin.py"]).ok().text().trim().parse().unwrap()
    };
    let held = used("0.2");
    assert!(held < 1000, "0.2 processors for 2 s are 400 ms, and it had {held} ms");
}

#[test]
fn what_is_not_asked_for_is_held_where_it_can_be_and_named_where_not() {
    let p = Project::new();
    let out = p.aido(["run", "--", "true"]);
    out.ok();
    for control in ["memory", "cpus", "pids"] {
        let summary = p.summary();
        let enforced = find(&summary, "enforced").unwrap_or(&summary);
        let standing = find(enforced, control).unwrap_or_else(|| panic!("nothing on {control}: {summary}")).to_string();
        assert_eq!(standing.contains("in-force"), host::has_cgroups(), "{control}: {standing}");
        assert_eq!(
            out.told().contains(control),
            !host::has_cgroups(),
            "a warning names {control}, or none is needed{out}"
        );
    }
}

#[test]
fn kept_output_is_bounded_and_the_cut_is_recorded() {
    let p = Project::with(&[("sandbox.yaml", "resources: {output: 1KiB}\n")]);
    p.sh("head -c 100000 /dev/zero; head -c 50000 /dev/zero >&2").ok();
    assert_eq!(p.evidence("stdout.log").len(), 1024);
    assert_eq!(p.evidence("stderr.log").len(), 1024);
    let kept = |stream: &str| find(&p.summary(), "output").unwrap()[stream]["dropped"].clone();
    assert_eq!((kept("stdout"), kept("stderr")), (98976.into(), 48976.into()));
    let events = crate::chain::check(&p.evidence("events.log")).unwrap();
    assert_eq!(crate::chain::kinds(&events).iter().filter(|k| **k == "output_truncated").count(), 2);
}

#[test]
fn an_endless_writer_is_held_back_not_buffered() {
    let p = Project::with(&[("sandbox.yaml", "resources: {output: 64KiB}\nttl: 2s\n")]);
    let out = p.aido(["run", "--json", "--", "sh", "-c", "yes"]);
    out.code(124);
    assert_eq!(p.evidence("stdout.log").len(), 64 << 10);
}

#[test]
fn the_configuration_bounds_as_the_flag_does() {
    let yaml = "resources: {pids: 20}\n";
    let p = Project::with(&[("sandbox.yaml", yaml), ("forks.py", FORKS)]);
    let out = p.aido(["run", "--quiet", "forks.py"]);
    if host::has_cgroups() {
        out.code(9);
    } else {
        out.refused(&["pids"]);
    }
}

#[test]
fn a_bound_that_was_accepted_as_weaker_still_bounds_each_process() {
    if host::has_cgroups() {
        // A stronger mechanism is at hand here, so the weaker one must not be taken.
        let p = Project::new();
        p.aido(["run", "--quiet", "--memory", "64MiB", "--accept-weaker", "memory", "--", "true"]).ok();
        let standing = find(&p.summary(), "memory").unwrap().to_string();
        assert!(!standing.contains("weaker"), "{standing}");
        return;
    }
    let p = with("eat.py", EATER);
    let out = p.aido(["run", "--quiet", "--memory", "128MiB", "--accept-weaker", "memory", "eat.py"]);
    assert_ne!(out.code, Some(0), "half a gigabyte fitted into 128 MiB{out}");
}
