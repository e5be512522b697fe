//! The promises on this very host, as whoever runs the tests.
//!
//! Each scene plays in a process of its own, since making a group may move the process that asks.
//! Where the host gives this user no group the test says so and ends; with `AIDO_MUST_WORK=1` that
//! is a failure for root on a host whose control groups can be written.

use super::*;
use aido_runtime::{Control, Force};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, Command, Stdio};

const SCENE: &str = "AIDO_CGROUP_SCENE";
const MIB: u64 = 1 << 20;

/// Whether the host should hold this control; loud if not.
fn given(control: Control) -> bool {
    let standing =
        probe().into_iter().find(|held| held.control == control).expect("probe names every control").standing;
    if standing.force == Force::InForce {
        return true;
    }
    assert!(standing.why.is_some(), "absent without a reason: {standing:?}");
    let must = std::env::var_os("AIDO_MUST_WORK").is_some_and(|v| v == "1");
    let able = nix::unistd::geteuid().is_root() && !read_only();
    assert!(!(must && able), "root on this host should have {control}: {standing:?}");
    eprintln!("SKIPPED: no {control} control: {standing:?}");
    false
}

fn read_only() -> bool {
    let map = Map::read().expect("/proc is readable");
    let spots = [map.v2(), map.v1("memory")];
    let writable = |dir: &PathBuf| rustix::fs::access(dir, rustix::fs::Access::WRITE_OK).is_ok();
    !spots.iter().flatten().any(|spot| writable(&spot.own) || writable(&spot.top))
}

/// Starts a scene in a new process.
fn start(scene: &str) -> Child {
    let here = module_path!().split_once("::").expect("the crate's name comes first").1;
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", &format!("{here}::scene"), "--ignored", "--nocapture"])
        .env(SCENE, scene)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

fn play(scene: &str) {
    let output = start(scene).wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{scene}:\n{said}");
    // One test that was run: a name that matches nothing would pass, too.
    assert!(said.contains("1 passed"), "{said}");
    said.lines().filter(|line| line.starts_with("FACT")).for_each(|line| eprintln!("{scene}: {line}"));
}

#[test]
fn the_memory_limit_kills_and_is_told() {
    if given(Control::Memory) {
        play("memory");
    }
}

#[test]
fn the_process_limit_refuses_forks() {
    if given(Control::Pids) {
        play("pids");
    }
}

#[test]
fn the_processor_limit_holds_back() {
    if given(Control::Cpus) {
        play("cpus");
    }
}

#[test]
fn a_fork_bomb_is_killed_as_a_whole() {
    if given(Control::Pids) {
        play("bomb");
    }
}

#[test]
fn what_a_killed_supervisor_left_is_found_and_ended() {
    if !given(Control::Pids) && !given(Control::Memory) {
        return;
    }
    let mut supervisor = start("crash");
    let lines = BufReader::new(supervisor.stdout.take().unwrap()).lines();
    let mut facts = lines.map_while(Result::ok).filter_map(|line| line.strip_prefix("FACT ").map(str::to_string));
    let held = facts.next().expect("the scene tells what it made");
    let (leftover, pid) = (facts.next().expect("and its record"), facts.next().expect("and its task"));
    supervisor.kill().unwrap();
    supervisor.wait().unwrap();
    eprintln!("crash: {held} {leftover}");
    let groups = || -> Vec<PathBuf> {
        let record: serde_json::Value = serde_json::from_str(&leftover).unwrap();
        record["groups"].as_array().unwrap().iter().map(|g| g.as_str().unwrap().into()).collect()
    };
    assert!(!groups().is_empty() && groups().iter().all(|g| g.is_dir()), "the scene left nothing to end");
    assert!(PathBuf::from(format!("/proc/{pid}")).exists(), "the task should outlive its supervisor here");
    destroy(&leftover).unwrap();
    assert!(groups().iter().all(|g| !g.exists()), "{:?}", groups());
    let state = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    assert!(state.is_empty() || state.contains(") Z ") || state.contains(") X "), "{state}");
    destroy(&leftover).expect("gone is no error");
}

#[test]
fn systemd_ends_what_outlives_its_time() {
    if !given(Control::Pids) {
        return;
    }
    let mut supervisor = start("overdue");
    let lines = BufReader::new(supervisor.stdout.take().unwrap()).lines();
    let mut facts = lines.map_while(Result::ok).filter_map(|line| line.strip_prefix("FACT ").map(str::to_string));
    let leftover = facts.nth(1).expect("what was made, then its record");
    let record: serde_json::Value = serde_json::from_str(&leftover).unwrap();
    if record["scope"] != true {
        supervisor.kill().unwrap();
        supervisor.wait().unwrap();
        destroy(&leftover).unwrap();
        eprintln!("SKIPPED: this host has no second watchdog: {leftover}");
        return;
    }
    let group = PathBuf::from(record["groups"][0].as_str().unwrap());
    assert!(group.is_dir());
    let until = Instant::now() + Duration::from_secs(30);
    while group.exists() {
        assert!(Instant::now() < until, "the task lives on in {}", group.display());
        std::thread::sleep(Duration::from_millis(50));
    }
    supervisor.wait().unwrap();
}

#[test]
fn a_name_that_is_no_group_of_ours_is_refused() {
    let want = Want { memory: Some(MIB), cpus_milli: None, pids: Some(1) };
    for name in ["", "x", "aido-a/../b", "aido-a b", "aido-\n", "Aido-1", "aido-a.service"] {
        let (group, held) = create(Here::look(), name, &want, 1000);
        assert!(group.is_none() && held.len() == 2, "{name}");
        assert!(held.iter().all(|h| h.standing.force == Force::Absent));
    }
}

/// The other half of the tests above: what runs in the process that they start.
#[test]
#[ignore = "only started by the other tests of this file"]
fn scene() {
    match std::env::var(SCENE).expect("started by hand").as_str() {
        "memory" => memory(),
        "pids" => pids(),
        "cpus" => cpus(),
        "bomb" => bomb(),
        "crash" => crash(),
        "overdue" => overdue(),
        other => panic!("{other}"),
    }
}

fn fact(text: impl std::fmt::Display) {
    println!("\nFACT {text}");
}

fn group(want: &Want) -> Group {
    group_for(want, 120_000)
}

/// A group with every asked control in force.
fn group_for(want: &Want, lives_ms: u64) -> Group {
    let name = format!("aido-test-{}", std::process::id());
    let (group, held) = create(Here::look(), &name, want, lives_ms);
    fact(format_args!("{:?}", held.iter().map(|h| (h.control, &h.standing.by)).collect::<Vec<_>>()));
    assert!(held.iter().all(|h| h.standing.force == Force::InForce), "{held:?}");
    group.expect("a control in force has a group")
}

/// A shell that waits outside of its work until it is in the group.
fn task(group: &Group, script: &str) -> Child {
    let mut shell = Command::new("/bin/sh")
        .args(["-c", &format!("read go; {script}")])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    group.add(shell.id() as i32).unwrap();
    shell.stdin.take().unwrap().write_all(b"go\n").unwrap();
    shell
}

fn end(group: Group, mut task: Child) {
    assert!(group.kill(), "something outlasts the kill");
    task.wait().unwrap();
    let folders = group.task_folders();
    assert!(folders.iter().all(|dir| knob::words(dir, "cgroup.procs").is_empty()));
    group.remove().unwrap();
    assert!(folders.iter().all(|dir| !dir.exists()), "{folders:?}");
}

fn memory() {
    let group = group(&Want { memory: Some(48 * MIB + 1), ..Want::default() });
    assert_eq!(group.oom_kills(), 0);
    if let (Kind::V2(task), Some(fd)) = (&group.0, group.clone_into()) {
        let (open, named) = (rustix::fs::fstat(fd).unwrap(), rustix::fs::stat(&task.folder).unwrap());
        assert_eq!((open.st_dev, open.st_ino), (named.st_dev, named.st_ino), "clone would go elsewhere");
    }
    let mut shell = task(&group, "dd if=/dev/zero of=/dev/null bs=200M count=1; sleep 300");
    let watch = group.oom_watch().expect("a memory group is watched");
    let mut polled = [PollFd::new(watch, PollFlags::POLLIN)];
    let until = Instant::now() + Duration::from_secs(30);
    while group.oom_kills() == 0 {
        assert!(Instant::now() < until, "200 MB went through a limit of 48 MiB");
        poll(&mut polled, PollTimeout::from(5000u16)).unwrap();
        assert!(polled[0].revents().is_some_and(|r| r.contains(PollFlags::POLLIN)), "no notice in 5 s");
    }
    let usage = group.usage();
    fact(format_args!("kills {} {usage:?}", group.oom_kills()));
    // The peak needs Linux 5.19 on version 2.
    let peak = usage.memory_peak.unwrap_or(40 * MIB);
    assert!((32 * MIB..=49 * MIB).contains(&peak), "{peak}");
    let whole = matches!(&group.0, Kind::V2(t) if knob::read(&t.folder, "memory.oom.group").is_ok_and(|v| v == "1"));
    if whole {
        shell.wait().unwrap();
    }
    end(group, shell);
}

fn pids() {
    let group = group(&Want { pids: Some(6), ..Want::default() });
    let mut shell = task(&group, "for i in 1 2 3 4 5 6 7 8 9; do sleep 300 & done; sleep 300");
    let mut said = String::new();
    let mut stderr = shell.stderr.take().unwrap();
    let until = Instant::now() + Duration::from_secs(20);
    while group.usage().pids_refused == Some(0) {
        assert!(Instant::now() < until, "nine processes went through a limit of six");
        std::thread::sleep(Duration::from_millis(20));
    }
    let inside = knob::words(&group.task_folders()[0], "cgroup.procs").len();
    assert!(inside <= 6, "{inside} processes");
    let usage = group.usage();
    end(group, shell);
    stderr.read_to_string(&mut said).unwrap();
    fact(format_args!("{usage:?} {}", said.trim()));
    assert!(usage.pids_refused > Some(0) && usage.pids_peak.unwrap_or(6) <= 6, "{usage:?}");
}

fn cpus() {
    let group = group(&Want { cpus_milli: Some(200), ..Want::default() });
    let start = Instant::now();
    let shell = task(&group, "while :; do :; done");
    std::thread::sleep(Duration::from_secs(2));
    let (usage, wall) = (group.usage(), start.elapsed().as_micros() as u64);
    end(group, shell);
    fact(format_args!("{usage:?} in {wall} us"));
    assert!(usage.cpu_throttled > Some(0), "{usage:?}");
    if let (Some(user), Some(system)) = (usage.cpu_user_us, usage.cpu_system_us) {
        assert!(user + system < wall * 2 / 5, "{usage:?} in {wall} us, where a fifth was given");
        assert!(user + system > wall / 50, "{usage:?}: the task did not run");
    }
}

fn bomb() {
    let group = group(&Want { pids: Some(100), ..Want::default() });
    let mut shell = task(&group, "b() { b | b & }; while :; do b; done");
    // Its complaints would fill the pipe and quieten it.
    drop(shell.stderr.take());
    let until = Instant::now() + Duration::from_secs(20);
    while group.usage().pids_refused == Some(0) {
        assert!(Instant::now() < until, "the bomb is a dud");
        std::thread::sleep(Duration::from_millis(5));
    }
    let start = Instant::now();
    end(group, shell);
    fact(format_args!("ended in {:?}", start.elapsed()));
}

fn crash() {
    let want = Want { memory: given(Control::Memory).then_some(64 * MIB), cpus_milli: None, pids: None };
    let want = Want { pids: given(Control::Pids).then_some(20), ..want };
    let group = group(&want);
    let mut shell = task(&group, "sleep 600 & sleep 600");
    fact(group.leftover());
    fact(shell.id());
    std::io::stdout().flush().unwrap();
    shell.wait().unwrap();
}

fn overdue() {
    let group = group_for(&Want { pids: Some(20), ..Want::default() }, 1500);
    let mut shell = task(&group, "trap '' TERM HUP INT; while :; do sleep 600; done");
    fact(group.leftover());
    std::io::stdout().flush().unwrap();
    shell.wait().unwrap();
}
