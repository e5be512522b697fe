//! The keeper of a sandbox that stays: ends it at its time, without another command, and is gone afterwards.

use crate::host::{aido, alive, assert_gone, marker, wait_for};
use crate::project::Project;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use std::fs;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

fn up(p: &Project, ttl: &str) -> String {
    p.aido(["sandbox", "up", "--quiet", "--ttl", ttl]).word()
}

fn state(p: &Project, id: &str) -> Value {
    serde_json::from_str(&p.read(&format!(".aido/sandboxes/{id}/state.json"))).unwrap()
}

fn keeper(p: &Project, id: &str) -> i32 {
    let pid = state(p, id)["keeper"]["pid"].as_i64().expect("its keeper is on record") as i32;
    assert!(alive(id).iter().any(|line| line.starts_with(&format!("{pid}: aido-keeper"))), "{:?}", alive(id));
    pid
}

fn send(pid: i32, signal: Signal) {
    kill(Pid::from_raw(pid), signal).unwrap();
}

fn wait_until_ended(p: &Project, id: &str) -> String {
    let why = wait_for("the end on record", || state(p, id)["ended"]["why"].as_str().map(str::to_owned));
    wait_for("the end of the keeper", || alive(id).is_empty().then_some(()));
    why
}

/// Lines of the ledger about this sandbox, which is whole.
fn ledger(p: &Project, id: &str) -> Vec<String> {
    let records = crate::chain::check(p.read(".aido/ledger.jsonl").as_bytes()).unwrap();
    let about = records.iter().filter(|record| record["data"]["sandbox"] == id);
    about.map(|record| record["type"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_sandbox_ends_by_itself_and_its_keeper_is_gone() {
    let p = Project::new();
    let began = Instant::now();
    let id = up(&p, "1s");
    keeper(&p, &id);
    assert_eq!(wait_until_ended(&p, &id), "its time limit");
    assert!(began.elapsed() >= Duration::from_secs(1) && began.elapsed() < Duration::from_secs(8));
    assert_eq!(ledger(&p, &id), ["sandbox_created", "sandbox_ended"]);
    // It was said in the record, and the next command says so, once.
    let out = p.aido(["sandbox", "list"]);
    out.ok().prints("ended (its time limit, ").says(&format!("sandbox {id} has ended by itself"));
    assert!(!out.told().contains("keeper"), "{out}");
    assert_eq!(fs::read_dir(p.path().join(".aido/kept")).unwrap().count(), 0);
    let out = p.aido(["sandbox", "list"]);
    assert!(out.ok().told().is_empty(), "{out}");
    p.aido(["run", "--sandbox", &id, "--", "true"]).refused(&["time limit"]);
}

#[test]
fn the_word_of_its_end_waits_for_a_command_that_may_speak_and_is_not_doubled() {
    let p = Project::new();
    let id = up(&p, "1s");
    wait_until_ended(&p, &id);
    let word = "has ended by itself";
    // Who wants quiet is told nothing, and takes nothing from others.
    for quiet in [&["run", "-q", "--", "true"][..], &["verify", "-q"], &["export", "-q"]] {
        let out = p.aido(quiet);
        assert!(!out.ok().told().contains(word), "{out}");
    }
    p.aido(["run", "--", "true"]).ok().says(&format!("sandbox {id} {word}"));
    // A refusal that says it of the same sandbox says it for all.
    let id = up(&p, "1s");
    wait_until_ended(&p, &id);
    let out = p.aido(["run", "--sandbox", &id, "--", "true"]);
    out.refused(&["is over: its time limit of 1s has passed", "aido sandbox up"]);
    assert!(!out.told().contains(word), "{out}");
    assert!(!p.aido(["runs"]).ok().told().contains(word));
    // Of another one it says nothing.
    let ids = [up(&p, "1s"), up(&p, "1s")];
    ids.iter().for_each(|id| drop(wait_until_ended(&p, id)));
    let out = p.aido(["run", "--sandbox", &ids[0], "--", "true"]);
    out.refused(&["is over"]).says(&format!("sandbox {} {word}", ids[1]));
}

#[test]
fn a_keeper_holds_nothing_of_its_caller() {
    let p = Project::new();
    let id = up(&p, "60s");
    let pid = keeper(&p, &id);
    let proc = |name: &str| Path::new("/proc").join(pid.to_string()).join(name);
    assert_eq!(fs::read(proc("environ")).unwrap(), b"", "variables of the caller may be secrets");
    assert_eq!(fs::read_link(proc("cwd")).unwrap(), Path::new("/"));
    assert_eq!(fs::read_to_string(proc("comm")).unwrap(), "aido-keeper\n");
    let stat = fs::read_to_string(proc("stat")).unwrap();
    let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    assert_eq!((fields[3], fields[4]), (pid.to_string().as_str(), "0"), "a session of its own, no terminal");
    let threads = fs::read_dir(proc("task")).unwrap().count();
    assert_eq!(threads, 1);
    for stream in 0..3 {
        assert_eq!(fs::read_link(proc(&format!("fd/{stream}"))).unwrap(), Path::new("/dev/null"));
    }
    let ours = p.path().join(".aido");
    for entry in fs::read_dir(proc("fd")).unwrap().flatten() {
        let target = fs::read_link(entry.path()).unwrap_or_default();
        let harmless = target.starts_with(&ours)
            || ["/dev/null", "anon_inode:[timerfd]", "anon_inode:inotify"].contains(&target.to_str().unwrap());
        assert!(harmless, "{target:?}");
    }
    p.aido(["sandbox", "destroy", &id]).ok();
    assert_gone(&id);
}

#[test]
fn what_runs_in_a_sandbox_ends_with_it_whatever_it_ignores() {
    let p = Project::new();
    let mark = marker();
    let id = up(&p, "2s");
    let script = format!("trap '' INT TERM HUP; while :; do sleep {mark}; done");
    p.aido(["run", "--quiet", "--detach", "--sandbox", &id, "--", "sh", "-c", &script]).ok();
    wait_for("the task", || (!alive(&mark).is_empty()).then_some(()));
    // No command from here on.
    assert_eq!(wait_until_ended(&p, &id), "its time limit");
    assert_gone(&mark);
    // The run's own limit is the sandbox's, and its record says so.
    let run = p.path().join(".aido/sandboxes").join(&id).join("runs/latest");
    let summary: Value = serde_json::from_slice(&fs::read(run.join("summary.json")).unwrap()).unwrap();
    assert_eq!(summary["outcome"]["end"]["reason"], "deadline");
    // The run's line comes when the disk has its record, so perhaps after the sandbox's.
    wait_for("the run's line", || ledger(&p, &id).contains(&"run_sealed".to_owned()).then_some(()));
    let mut lines = ledger(&p, &id);
    lines.sort();
    assert_eq!(lines, ["run_begun", "run_sealed", "sandbox_created", "sandbox_ended"]);
}

#[test]
fn a_stopped_supervisor_does_not_keep_a_sandbox_alive() {
    let p = Project::new();
    let mark = marker();
    let id = up(&p, "1s");
    p.aido(["run", "--quiet", "--detach", "--sandbox", &id, "--", "sleep", &mark]).ok();
    let run = p.path().join(".aido/sandboxes").join(&id).join("runs/latest");
    let events = fs::read_to_string(run.join("events.log")).unwrap();
    let supervised = events.lines().map(|l| serde_json::from_str::<Value>(l).unwrap());
    let supervised = supervised.into_iter().find(|e| e["type"] == "supervised").unwrap();
    let supervisor = supervised["data"]["pid"].as_i64().unwrap() as i32;
    send(supervisor, Signal::SIGSTOP);
    let end = Instant::now() + Duration::from_secs(100);
    while state(&p, &id)["ended"].is_null() {
        assert!(Instant::now() < end, "its keeper did nothing");
        thread::sleep(Duration::from_millis(200));
    }
    assert_gone(&mark);
    assert!(!Path::new(&format!("/proc/{supervisor}/exe")).exists(), "the supervisor is still there");
    assert!(run.join("summary.json").is_file());
    crate::chain::check(&fs::read(run.join("events.log")).unwrap()).unwrap();
}

#[test]
fn where_the_keeper_was_killed_the_next_command_ends_the_sandbox_and_says_so_once() {
    let p = Project::new();
    let id = up(&p, "4s");
    send(keeper(&p, &id), Signal::SIGKILL);
    wait_for("the keeper's death", || alive(&id).is_empty().then_some(()));
    // Until its time is over it is what it was, and the list tells the truth.
    let told = || p.aido(["sandbox", "list"]).ok().text().contains("its keeper is gone").then_some(());
    wait_for("the list says that its keeper is gone", told);
    p.aido(["run", "--quiet", "--sandbox", &id, "--", "echo", "in"]).ok().stdout("in\n");
    wait_for("its time", || (p.aido(["check", "--json"]).code.is_some() && over(&p, &id)).then_some(()));
    assert!(state(&p, &id)["ended"].is_null(), "who ended it?");
    p.aido(["runs"]).ok().says(&id).says("its keeper was gone");
    assert_eq!(state(&p, &id)["ended"]["why"], "its time limit");
    let out = p.aido(["runs"]);
    assert!(!out.told().contains(&id), "said twice{out}");
    assert_eq!(ledger(&p, &id).iter().filter(|line| *line == "sandbox_ended").count(), 1);
}

fn over(p: &Project, id: &str) -> bool {
    let deadline = state(p, id)["deadline"]["boottime_ms"].as_u64().unwrap();
    let uptime = fs::read_to_string("/proc/uptime").unwrap();
    let now: f64 = uptime.split_whitespace().next().unwrap().parse().unwrap();
    now * 1000.0 > deadline as f64 + 100.0
}

#[test]
fn what_a_restart_left_is_ended_by_the_next_command() {
    let p = Project::new();
    let id = up(&p, "10m");
    let file = format!(".aido/sandboxes/{id}/state.json");
    let keeper = keeper(&p, &id);
    let boot = state(&p, &id)["deadline"]["boot_id"].as_str().unwrap().to_owned();
    send(keeper, Signal::SIGSTOP);
    // As if all of that had been before the machine was started: the number is another process's now.
    p.write(&file, p.read(&file).replace(&boot, "00000000-0000-0000-0000-000000000000"));
    p.aido(["runs"]).ok().says(&id).says("started again");
    assert_eq!(state(&p, &id)["ended"]["why"], "the machine was started again");
    assert_eq!(alive(&id).len(), 1, "a process of another start must not be touched");
    send(keeper, Signal::SIGCONT);
    wait_for("the keeper sees that it is over", || alive(&id).is_empty().then_some(()));
}

/// A clock that has gone on by two hours, as it does while a machine sleeps: what a time namespace shows.
#[test]
fn a_sandbox_whose_time_passed_while_the_machine_slept_is_over() {
    let p = Project::new();
    let id = up(&p, "1h");
    let aido = aido().display().to_string();
    let like = p.command(["unused"]);
    let mut command = std::process::Command::new("unshare");
    command.args(["--user", "--map-root-user", "--fork", "--time", "--boottime", "7200", &aido, "sandbox", "list"]);
    command.env_clear().envs(like.get_envs().filter_map(|(name, value)| Some((name, value?)))).current_dir(p.path());
    let out = crate::running::Running::start(command).end();
    if out.told().contains("unshare") {
        skip!("no time namespaces here: {}", out.told());
    }
    out.ok().prints("ended").says(&id).says("its time limit has passed");
    assert_eq!(state(&p, &id)["ended"]["why"], "its time limit");
    wait_for("its keeper sees that it is over", || alive(&id).is_empty().then_some(()));
    p.aido(["run", "--sandbox", &id, "--", "true"]).refused(&["time limit"]);
}

#[test]
fn a_stopped_keeper_is_not_waited_for() {
    let p = Project::new();
    let id = up(&p, "10m");
    let keeper = keeper(&p, &id);
    send(keeper, Signal::SIGSTOP);
    let began = Instant::now();
    p.aido(["sandbox", "destroy", &id]).ok();
    assert!(began.elapsed() < Duration::from_secs(5));
    assert_gone(&id);
}

#[test]
fn a_keeper_notices_that_its_sandbox_is_gone() {
    let p = Project::new();
    let ids = [up(&p, "10m"), up(&p, "10m")];
    let [_, _] = ids.each_ref().map(|id| keeper(&p, id));
    fs::remove_dir_all(p.path().join(".aido/sandboxes").join(&ids[0])).unwrap();
    wait_for("its keeper's end", || alive(&ids[0]).is_empty().then_some(()));
    keeper(&p, &ids[1]);
    fs::remove_dir_all(p.path().join(".aido")).unwrap();
    wait_for("the other's", || alive(&ids[1]).is_empty().then_some(()));
}

#[test]
fn a_moved_project_takes_its_keepers_along() {
    let p = Project::new();
    let id = up(&p, "3s");
    let elsewhere = p.path().with_file_name("elsewhere");
    fs::rename(p.path(), &elsewhere).unwrap();
    let file = elsewhere.join(".aido/sandboxes").join(&id).join("state.json");
    wait_for("its end", || fs::read_to_string(&file).unwrap().contains("its time limit").then_some(()));
    wait_for("its keeper's end", || alive(&id).is_empty().then_some(()));
    fs::rename(elsewhere, p.path()).unwrap();
}

#[test]
fn without_a_keeper_there_is_no_sandbox() {
    let p = Project::new();
    p.aido(["runs"]).ok();
    // No room for another process. For root that limit does not count: ordinary users' rounds try it.
    if crate::host::is_root() {
        return;
    }
    let mut command = std::process::Command::new("prlimit");
    let like = p.command(["unused"]);
    command.env_clear().envs(like.get_envs().filter_map(|(name, value)| Some((name, value?)))).arg("--nproc=1");
    command.arg(aido()).args(["sandbox", "up"]).current_dir(p.path());
    let out = crate::running::Running::start(command).end();
    out.refused(&[]);
    assert!(out.stdout.is_empty(), "{out}");
    let left = fs::read_dir(p.path().join(".aido/sandboxes")).map(|all| all.count()).unwrap_or(0);
    assert_eq!(left, 0);
    assert_eq!(p.aido(["sandbox", "list", "--json"]).ok().json().to_string(), "[]");
}

#[test]
fn keepers_destroyers_and_sweepers_at_the_same_moment_do_not_hurt_each_other() {
    let p = Project::new();
    for round in 0..4 {
        let ids: Vec<String> = (0..4).map(|_| up(&p, "1s")).collect();
        let meant = Instant::now() + Duration::from_millis(700 + 80 * round);
        thread::sleep(meant.saturating_duration_since(Instant::now()));
        thread::scope(|scope| {
            for id in &ids[..2] {
                scope.spawn(|| drop(p.aido(["sandbox", "destroy", id]).ok().text()));
            }
            for _ in 0..3 {
                scope.spawn(|| drop(p.aido(["runs"]).ok().text()));
                scope.spawn(|| drop(p.aido(["sandbox", "list"]).ok().text()));
            }
        });
        for id in &ids {
            wait_for("every keeper's end", || alive(id).is_empty().then_some(()));
            let told = ledger(&p, id);
            assert!(told.iter().filter(|line| *line == "sandbox_ended").count() <= 1, "{told:?}");
        }
        for id in &ids[2..] {
            wait_until_ended(&p, id);
            assert_eq!(ledger(&p, id), ["sandbox_created", "sandbox_ended"]);
        }
        for id in &ids[..2] {
            assert_eq!(ledger(&p, id).last().unwrap(), "sandbox_destroyed");
        }
    }
    p.sh("echo again").ok().stdout("again\n");
}
