//! The time limit, and the deaths of aido's own processes: nothing of a run outlives it.

use crate::host::{alive, assert_gone, marker, wait_for};
use crate::project::Project;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::time::Duration;

fn assert_ended(p: &Project, script: &str) {
    let mark = marker();
    let script = script.replace("MARK", &mark);
    let out = p.aido(["run", "--quiet", "--ttl", "1s", "--", "sh", "-c", &script]);
    out.code(124);
    assert_gone(&mark);
    assert_eq!(p.reason(), "deadline");
    // The limit, five seconds of grace, and room for a slow machine.
    assert!(out.took >= Duration::from_secs(1) && out.took < Duration::from_secs(16), "{out}");
    crate::chain::check(&p.evidence("events.log")).unwrap();
}

#[test]
fn the_limit_ends_a_sleeper_soon() {
    let p = Project::new();
    let mark = marker();
    let out = p.aido(["run", "--quiet", "--ttl", "1s", "--", "sleep", &mark]);
    out.code(124);
    assert!(out.took < Duration::from_secs(5), "a task that does not resist needs no grace{out}");
    assert_gone(&mark);
}

#[test]
fn the_limit_ends_who_ignores_every_signal() {
    assert_ended(&Project::new(), "trap '' INT TERM HUP QUIT USR1 USR2; echo up; while :; do sleep MARK; done");
}

#[test]
fn the_limit_ends_daemons() {
    let script = "for i in 1 2 3; do (setsid sh -c '(setsid sleep MARK &) &' >/dev/null 2>&1 &) ; done; sleep MARK";
    assert_ended(&Project::new(), script);
}

#[test]
fn the_limit_ends_stopped_processes() {
    assert_ended(&Project::new(), "sleep MARK & kill -STOP $!; kill -STOP $$");
}

#[test]
fn the_limit_ends_a_chain_of_forks() {
    let chain = "import os, time, sys\nend = time.monotonic() + 60\nwhile time.monotonic() < end:\n    if os.fork(): os._exit(0)\n    os.setsid()\n    time.sleep(0.001)\n";
    let p = Project::with(&[("chain.py", chain)]);
    let mark = marker();
    let script = format!("python3 chain.py {mark} & sleep {mark}");
    p.aido(["run", "--quiet", "--ttl", "2s", "--", "sh", "-c", &script]).code(124);
    assert_gone(&mark);
}

#[test]
fn the_end_of_the_task_is_the_end_of_its_children() {
    let p = Project::new();
    let mark = marker();
    let out = p.sh(&format!("(setsid sleep {mark} &) ; (sleep {mark} >/dev/null 2>&1 &) ; echo over"));
    out.ok().stdout("over\n");
    assert!(out.took < Duration::from_secs(10), "{out}");
    assert_gone(&mark);
}

/// A run that holds on, with its pid and that of the process above its sandbox.
fn held(p: &Project, mark: &str) -> crate::running::Running {
    let script = format!("trap '' INT TERM HUP; echo up; sleep {mark} & while :; do sleep 0.05; done");
    let mut running = p.start(["run", "--quiet", "--", "sh", "-c", &script]);
    running.wait_for("up");
    running
}

#[test]
fn the_death_of_the_command_line_ends_the_run_and_it_is_sealed_as_interrupted() {
    let p = Project::new();
    let mark = marker();
    let running = held(&p, &mark);
    running.signal(Signal::SIGKILL);
    drop(running.end());
    wait_for("the end of the run", || alive(&mark).is_empty().then_some(()));
    wait_for("the seal", || p.last_run().join("summary.json").exists().then_some(()));
    assert_eq!(p.reason(), "interrupted");
    crate::chain::check(&p.evidence("events.log")).unwrap();
    p.aido(["runs"]).ok().prints("interrupted");
}

#[test]
fn the_death_of_every_aido_process_ends_the_run_and_the_next_command_says_so() {
    let p = Project::new();
    let mark = marker();
    let running = held(&p, &mark);
    let me = running.pid();
    // Whoever else carries aido's name for this run, but the command line and the task.
    for pid in family(me).into_iter().chain([me]) {
        let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
    }
    drop(running.end());
    wait_for("the end of the run", || alive(&mark).is_empty().then_some(()));
    let said = p.aido(["runs", "--json"]).ok().text();
    assert!(said.contains("interrupted") || said.contains("lost"), "{said}");
    p.aido(["show"]).ok();
    crate::chain::check(&p.evidence("events.log")).unwrap();
    // And the project works on.
    p.sh("echo again").ok().stdout("again\n");
}

/// Processes on the host that run aido's own program and descend from this one, or lost their parent.
fn family(of: i32) -> Vec<i32> {
    let program = std::fs::read_link(format!("/proc/{of}/exe")).expect("the command line lives");
    let all = std::fs::read_dir("/proc").unwrap().flatten();
    let pids = all.filter_map(|e| e.file_name().to_str()?.parse::<i32>().ok());
    let ours = |pid: &i32| {
        let environ = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        let same = std::fs::read(format!("/proc/{of}/environ")).unwrap_or_default();
        std::fs::read_link(format!("/proc/{pid}/exe")).is_ok_and(|exe| exe == program) && environ == same
    };
    pids.filter(|pid| *pid != of).filter(ours).collect()
}

#[test]
fn the_death_of_the_supervisor_alone_ends_the_run() {
    let p = Project::new();
    let mark = marker();
    let running = held(&p, &mark);
    let others = family(running.pid());
    assert!(!others.is_empty(), "no supervisor apart from the command line was found");
    for pid in others {
        let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
    }
    let out = running.end();
    assert!(out.code.is_some_and(|c| c != 0), "{out}");
    wait_for("the end of the run", || alive(&mark).is_empty().then_some(()));
    let said = p.aido(["runs", "--json"]).ok().text();
    assert!(said.contains("interrupted") || said.contains("lost"), "{said}");
}
