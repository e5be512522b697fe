//! Death and standstill at every step. aido stops at a chosen point (`runtime-linux/src/fault.rs`, debug builds);
//! there one of its processes is killed or stopped, and the others go on. Whatever that was: nothing of the run
//! outlives its time, the next command closes the record, and what was recorded before stays as it was.

use crate::family::{self, Family};
use crate::ground::{Ground, debug_build, ended, send, start, until};
use crate::host::{alive, marker};
use crate::project::Project;
use aido_runtime_linux::fault::POINTS;
use nix::sys::signal::Signal;
use std::collections::BTreeMap;
use std::fs;
use std::process::Stdio;
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

/// How many are tried at once: most of the time each of them waits.
const AT_ONCE: usize = 28;
/// The time limit of the runs, their grace, the command line's margin, and its patience while nothing is said.
const TTL: &str = "2s";
const BOUND: Duration = Duration::from_secs(2 + 5 + 10 + 30 + 30);
/// Before the task starts the command line waits a minute.
const BUILDING: Duration = Duration::from_secs(60 + 30);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Victim {
    CommandLine,
    Supervisor,
    Guard,
}

#[derive(Clone, Copy, Debug)]
struct Case {
    point: &'static str,
    victim: Victim,
    signal: Signal,
    /// In a run without namespaces.
    alone: bool,
}

/// What a run is to do so that it comes to this point, and how long its end may take.
fn task(point: &str, mark: &str) -> String {
    let holds_on = format!("trap '' TERM INT HUP; echo out; while :; do sleep {mark}; done");
    match point {
        "run.ended"
        | "supervise.killed"
        | "supervise.ended"
        | "supervise.collected"
        | "supervise.outcome"
        | "supervise.over"
        | "supervise.sealed"
        | "supervise.told"
        | "supervise.settled" => "echo out; echo x > /outputs/x".into(),
        _ => holds_on,
    }
}

/// One run, one blow. None: there is no such process at that point.
fn strike(case: Case) -> Result<Option<Duration>, String> {
    let what = format!("{case:?}");
    let ground = Ground::new();
    let mark = marker();
    let script = task(case.point, &mark);
    let isolation = if case.alone { "--isolation=landlock" } else { "--isolation=full" };
    let args = ["run", "--quiet", "--ttl", TTL, isolation, "--", "sh", "-c", &script];
    let mut run = start(&ground.project, case.point, &args);
    let me = run.id() as i32;
    // Who has told how a run ended goes on without the command line.
    let last = ["supervise.told", "supervise.settled"].contains(&case.point);
    let path = ground.project.path().canonicalize().unwrap();
    let held = || if last { family::held_in(&path) } else { Family::of(me).held() };
    let Some(held) = until(Duration::from_secs(40), held) else {
        send(me, Signal::SIGKILL);
        let _ = run.wait();
        return Err(format!("{what}: never came to the point"));
    };
    let family = Family::of(me);
    let victim = match case.victim {
        Victim::CommandLine => Some(me),
        Victim::Supervisor if last => Some(held),
        Victim::Supervisor => family.supervisor(),
        Victim::Guard => family.guard(),
    };
    let began = Instant::now();
    if let Some(victim) = victim {
        send(victim, case.signal);
    }
    if victim != Some(held) {
        send(held, Signal::SIGUSR1);
    }
    let stopped = case.signal == Signal::SIGSTOP && case.victim == Victim::CommandLine;
    let patience = BOUND.max(BUILDING);
    // A command line that was stopped stays so; all others come back.
    if !stopped && !ended(&mut run, patience) {
        return Err(format!("{what}: the command line did not come back in {patience:?}: {}", Family::of(me).words()));
    }
    if (last || case.point == "run.ended") && (case.signal, case.victim) == (Signal::SIGSTOP, Victim::Supervisor) {
        // Nobody waits for who brings a sealed run to the disk; it goes on where it was stopped.
        victim.into_iter().for_each(|pid| [Signal::SIGCONT, Signal::SIGUSR1].iter().for_each(|s| send(pid, *s)));
    }
    let all: Vec<i32> = family.pids().into_iter().chain([held]).collect();
    let rest = |pid: &i32| (*pid != me || !stopped) && family::lives(*pid);
    let gone = until(patience.saturating_sub(began.elapsed()).max(Duration::from_secs(10)), || {
        (alive(&mark).iter().all(|line| stopped && line.starts_with(&format!("{me}:")))
            && Family::of(me).pids().iter().chain(&all).all(|pid| !rest(pid)))
        .then_some(())
    });
    let took = began.elapsed();
    let words = Family::of(me).words();
    let _ = run.kill();
    let _ = run.wait();
    if gone.is_none() {
        all.iter().filter(|pid| **pid != me).for_each(|pid| send(*pid, Signal::SIGKILL));
        return Err(format!("{what}: something outlived it: {:?} {words}", alive(&mark)));
    }
    ground.check(&what)?;
    Ok(victim.map(|_| took))
}

/// Does all of them, many at once, and tells every failure.
fn all<T: Send>(cases: Vec<Case>, at_once: usize, strike: impl Fn(Case) -> Result<T, String> + Sync) -> Vec<(Case, T)> {
    let queue = Mutex::new(cases.into_iter());
    let (done, failed) = (Mutex::new(Vec::new()), Mutex::new(Vec::new()));
    thread::scope(|scope| {
        for _ in 0..at_once {
            scope.spawn(|| {
                while let Some(case) = { queue.lock().unwrap().next() } {
                    match strike(case) {
                        Ok(result) => done.lock().unwrap().push((case, result)),
                        Err(why) => failed.lock().unwrap().push(why),
                    }
                }
            });
        }
    });
    let failed = failed.into_inner().unwrap();
    assert!(failed.is_empty(), "{} failed:\n{}", failed.len(), failed.join("\n"));
    done.into_inner().unwrap()
}

const RUNS: [&str; 4] = ["run", "supervise", "guard", "task"];

fn of_a_run(point: &str) -> bool {
    // Without a control group nothing is held.
    RUNS.contains(&point.split('.').next().unwrap()) && (point != "supervise.held" || crate::host::has_cgroups())
}

#[test]
fn whatever_dies_or_stands_still_at_any_step_of_a_run_ends_in_time_and_is_recorded() {
    if !debug_build() {
        skip!("this aido was built without fault points");
    }
    let mut cases = Vec::new();
    // The ones that take longest first.
    for signal in [Signal::SIGSTOP, Signal::SIGKILL] {
        for victim in [Victim::Supervisor, Victim::CommandLine, Victim::Guard] {
            let alone = false;
            cases.extend(POINTS.iter().filter(|p| of_a_run(p)).map(|point| Case { point, victim, signal, alone }));
        }
    }
    let done = all(cases, AT_ONCE, strike);
    let struck: Vec<_> = done.iter().filter_map(|(case, took)| Some((case, (*took)?))).collect();
    let slowest = struck.iter().max_by_key(|(_, took)| *took).unwrap();
    eprintln!("{} blows struck, {} found nobody; the slowest: {slowest:?}", struck.len(), done.len() - struck.len());
    for point in POINTS.iter().filter(|point| of_a_run(point)) {
        let here = struck.iter().filter(|(case, _)| case.point == *point).count();
        // The command line and one more live at every point but before the fork and after the end.
        assert!(here >= 2, "only {here} blows at {point}");
    }
}

/// Stopped as soon as it exists, it has not asked to die with its supervisor yet, and holds all that one had open.
#[test]
fn a_guard_that_was_stopped_at_birth_does_not_outlive_its_supervisor() {
    if !debug_build() {
        skip!("this aido was built without fault points");
    }
    let ground = Ground::new();
    let mut run = start(&ground.project, "guard.born", &["run", "--quiet", "--", "true"]);
    let me = run.id() as i32;
    let guard = until(Duration::from_secs(20), || Family::of(me).held()).expect("the guard is held");
    let supervisor = Family::of(me).supervisor().unwrap();
    assert_ne!(guard, supervisor);
    send(guard, Signal::SIGSTOP);
    send(supervisor, Signal::SIGKILL);
    assert!(ended(&mut run, Duration::from_secs(20)), "the command line waits");
    let outlived = family::lives(guard);
    send(guard, Signal::SIGKILL);
    assert!(!outlived, "the guard is still there");
    ground.check("a guard stopped at birth").unwrap();
}

/// No kernel ends the family of a task that has no PID namespace: each of aido's processes has to.
#[test]
fn whatever_dies_or_stands_still_in_a_run_without_namespaces_ends_in_time_and_is_recorded() {
    if !debug_build() {
        skip!("this aido was built without fault points");
    }
    let tried = Project::new().aido(["run", "--quiet", "--isolation=landlock", "--", "true"]);
    if tried.code != Some(0) {
        skip!("no Landlock here: {}", tried.told());
    }
    let points = ["run.forked", "supervise.begun", "supervise.cloned", "supervise.built", "supervise.enforced"];
    let later = ["task.forked", "guard.forked", "supervise.output", "supervise.deadline", "supervise.killed"];
    let mut cases = Vec::new();
    for signal in [Signal::SIGSTOP, Signal::SIGKILL] {
        for victim in [Victim::Supervisor, Victim::CommandLine, Victim::Guard] {
            let here = points.into_iter().chain(later);
            cases.extend(here.map(|point| Case { point, victim, signal, alone: true }));
        }
    }
    all(cases, AT_ONCE, strike);
}

#[test]
fn the_making_of_a_sandbox_and_its_keeper_can_die_or_stand_still_at_any_step() {
    if !debug_build() {
        skip!("this aido was built without fault points");
    }
    let of_up = |point: &&&str| point.starts_with("up.") || point.starts_with("keeper.");
    let mut cases = Vec::new();
    for signal in [Signal::SIGSTOP, Signal::SIGKILL] {
        for victim in [Victim::CommandLine, Victim::Supervisor] {
            let alone = false;
            cases.extend(POINTS.iter().filter(of_up).map(|point| Case { point, victim, signal, alone }));
        }
    }
    all(cases, 12, strike_up);
}

/// `Supervisor` stands for the keeper here.
fn strike_up(case: Case) -> Result<(), String> {
    let what = format!("{case:?}");
    let ground = Ground::new();
    let path = ground.project.path().display().to_string();
    let mut up = start(&ground.project, case.point, &["sandbox", "up", "--quiet", "--ttl", "3s"]);
    let me = up.id() as i32;
    let keepers = || family::with_arguments(&["aido-keeper", &path]);
    let held = || keepers().into_iter().chain([me]).find(|pid| family::is_held(*pid));
    let Some(held) = until(Duration::from_secs(30), held) else {
        let _ = up.kill().and_then(|()| up.wait());
        return Err(format!("{what}: never came to the point"));
    };
    let victim = if case.victim == Victim::CommandLine { Some(me) } else { keepers().first().copied() };
    victim.into_iter().for_each(|pid| send(pid, case.signal));
    if victim != Some(held) {
        send(held, Signal::SIGUSR1);
    }
    let stopped = (case.signal == Signal::SIGSTOP).then_some(victim).flatten();
    if stopped != Some(me) && !ended(&mut up, Duration::from_secs(45)) {
        return Err(format!("{what}: `sandbox up` did not come back"));
    }
    // Three seconds later its time is over, whoever is left to see that.
    thread::sleep(Duration::from_millis(3500));
    if stopped == Some(me) {
        // It goes on long after its sandbox's time.
        send(me, Signal::SIGCONT);
        send(me, Signal::SIGUSR1);
        if !ended(&mut up, Duration::from_secs(45)) {
            return Err(format!("{what}: `sandbox up` did not go on"));
        }
    }
    if let Some(keeper) = stopped.filter(|pid| *pid != me && family::lives(*pid)) {
        let listed = ground.project.aido(["sandbox", "list"]);
        if listed.code != Some(0) {
            return Err(format!("{what}: a stopped keeper is in the way: {listed}"));
        }
        send(keeper, Signal::SIGCONT);
        send(keeper, Signal::SIGUSR1);
    }
    let gone = until(Duration::from_secs(20), || keepers().is_empty().then_some(()));
    if gone.is_none() {
        return Err(format!("{what}: a keeper stays: {:?}", keepers()));
    }
    ground.check(&what)?;
    let listed = ground.project.aido(["sandbox", "list", "--json"]).json();
    let open =
        listed.as_array().unwrap().iter().find(|sandbox| sandbox["ended"].is_null() && sandbox["kind"] == "kept");
    if let Some(open) = open {
        return Err(format!("{what}: this one has not ended: {open}"));
    }
    let kept = fs::read_dir(ground.project.path().join(".aido/kept")).unwrap().count();
    if kept == 0 { Ok(()) } else { Err(format!("{what}: {kept} marks are left")) }
}

#[test]
fn a_removal_or_a_closing_that_is_killed_half_way_is_finished_by_the_next_command() {
    if !debug_build() {
        skip!("this aido was built without fault points");
    }
    for point in POINTS.iter().filter(|p| p.starts_with("destroy.") || p.starts_with("recover.")) {
        let ground = Ground::new();
        let p = &ground.project;
        let mark = marker();
        let id = p
            .aido(["sandbox", "up", "--quiet", "--ttl", if *point == "recover.expired" { "1s" } else { "60s" }])
            .word();
        let keeper = family::with_arguments(&["aido-keeper", &id])[0];
        let args: &[&str] = match *point {
            "destroy.ended" | "destroy.removed" => &["sandbox", "destroy", &id],
            "recover.expired" => {
                send(keeper, Signal::SIGKILL);
                thread::sleep(Duration::from_millis(1200));
                &["runs"]
            }
            _ => {
                let mut run = p.command(["run", "--quiet", "--sandbox", &id, "--", "sleep", &mark]);
                let mut run = run.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
                let me = run.id() as i32;
                until(Duration::from_secs(20), || (alive(&mark).len() > 2).then_some(())).unwrap();
                let supervisor = Family::of(me).supervisor().unwrap();
                // The command line first: it would close the record itself.
                [me, supervisor].iter().for_each(|pid| send(*pid, Signal::SIGKILL));
                run.wait().unwrap();
                let over = || (alive(&mark).is_empty() && !family::lives(supervisor)).then_some(());
                until(Duration::from_secs(20), over).expect("the run ends");
                &["runs"]
            }
        };
        let mut command = start(p, point, args);
        let me = command.id() as i32;
        until(Duration::from_secs(20), || family::is_held(me).then_some(())).unwrap_or_else(|| panic!("{point}"));
        // While one is held half-way, another does the same.
        p.aido(["sandbox", "list"]).ok();
        send(me, Signal::SIGKILL);
        command.wait().unwrap();
        ground.check(point).unwrap();
        p.aido(["sandbox", "destroy", "--all"]).ok();
        until(Duration::from_secs(20), || family::with_arguments(&["aido-keeper", &id]).is_empty().then_some(()))
            .unwrap_or_else(|| panic!("{point}: its keeper stays"));
    }
}

/// AIDO_KILLS=1000 for a thorough round.
#[test]
fn kills_of_anybody_at_any_time_leave_nothing_behind() {
    let kills: usize = std::env::var("AIDO_KILLS").ok().and_then(|n| n.parse().ok()).unwrap_or(60);
    let seed = std::env::var("AIDO_SEED").ok().and_then(|n| n.parse().ok()).unwrap_or(u64::from(std::process::id()));
    eprintln!("{kills} kills, AIDO_SEED={seed}");
    let struck = Mutex::new(BTreeMap::<&str, usize>::new());
    thread::scope(|scope| {
        for worker in 0..4 {
            let struck = &struck;
            scope.spawn(move || random_kills(seed + worker, kills.div_ceil(4), struck));
        }
    });
    eprintln!("struck: {:?}", struck.into_inner().unwrap());
}

fn random_kills(seed: u64, kills: usize, struck: &Mutex<BTreeMap<&'static str, usize>>) {
    let ground = Ground::new();
    // Where the dice fall does not matter, as long as they fall everywhere.
    let mut dice = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut roll = |sides: u64| {
        dice ^= dice << 13;
        dice ^= dice >> 7;
        dice ^= dice << 17;
        dice % sides
    };
    let mut number = 0;
    // One that finds nobody any more is no blow.
    while number < kills {
        let mark = marker();
        let script = format!("echo out; echo x > /outputs/x; sleep 0.1; : {mark}");
        let args = ["run", "--quiet", "--ttl", "20s", "--", "sh", "-c", &script];
        let mut command = ground.project.command(args);
        let mut run = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let me = run.id() as i32;
        thread::sleep(Duration::from_micros(roll(260_000)));
        let family = Family::of(me);
        let (name, victim) = match roll(3) {
            0 => ("command line", Some(me)),
            1 => ("supervisor", family.supervisor()),
            _ => ("guard", family.guard()),
        };
        // The command line is our child that nobody has waited for; of the others only a moment has passed.
        let struck_one = victim.filter(|pid| family::lives(*pid));
        if let Some(pid) = struck_one {
            send(pid, Signal::SIGKILL);
            *struck.lock().unwrap().entry(name).or_default() += 1;
            number += 1;
        }
        assert!(ended(&mut run, Duration::from_secs(45)), "{number}: the command line hangs after the death of {name}");
        let gone = until(Duration::from_secs(30), || alive(&mark).is_empty().then_some(()));
        assert!(gone.is_some(), "{number}: after the death of {name}: {:?}", alive(&mark));
        if struck_one.is_some() && (number % 25 == 0 || number == kills) {
            ground.check(&format!("kill {number}")).unwrap();
        }
    }
}
