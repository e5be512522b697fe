//! The command line as the deadline's second owner: it comes back in time whoever was stopped, and whoever does
//! not read what it shows.

use crate::family::{self, Family};
use crate::host::{aido, alive, assert_gone, marker, wait_for};
use crate::project::Project;
use crate::running::Running;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// Grace and margin.
const AFTER: Duration = Duration::from_secs(15);

fn stop_the_supervisor_of(running: &Running) -> i32 {
    let supervisor = Family::of(running.pid()).supervisor().expect("it has a supervisor");
    kill(Pid::from_raw(supervisor), Signal::SIGSTOP).unwrap();
    supervisor
}

fn up(p: &Project, ttl: &str, mark: &str) -> Running {
    let script = format!("echo up; while :; do sleep {mark}; done");
    let mut running = p.start(["run", "--quiet", "--ttl", ttl, "--", "sh", "-c", &script]);
    running.wait_for("up");
    running
}

#[test]
fn a_stopped_supervisor_holds_nobody_up_past_the_limit() {
    let p = Project::new();
    let mark = marker();
    let running = up(&p, "3s", &mark);
    let supervisor = stop_the_supervisor_of(&running);
    let out = running.end();
    out.code(124).says("did not end the run in time");
    let limit = Duration::from_secs(3) + AFTER;
    assert!(out.took >= Duration::from_secs(3) && out.took < limit + Duration::from_secs(5), "{out}");
    assert!(!family::lives(supervisor));
    assert_gone(&mark);
    assert_eq!(p.reason(), "deadline");
    assert_eq!(p.summary()["exit_code"], 124);
    crate::chain::check(&p.evidence("events.log")).unwrap();
    // It is no news for the next command.
    let out = p.aido(["runs"]);
    assert!(out.ok().told().is_empty(), "{out}");
}

#[test]
fn a_stopped_supervisor_does_not_keep_anybody_from_interrupting() {
    let p = Project::new();
    let mark = marker();
    let running = up(&p, "10m", &mark);
    stop_the_supervisor_of(&running);
    running.signal(Signal::SIGINT);
    let asked = Instant::now();
    running.end().code(130);
    assert!(asked.elapsed() < AFTER + Duration::from_secs(5), "{:?}", asked.elapsed());
    assert_gone(&mark);
    assert_eq!(p.reason(), "interrupted");
}

#[test]
fn a_sandbox_with_a_stopped_supervisor_can_be_destroyed() {
    let p = Project::new();
    let mark = marker();
    let id = p.aido(["sandbox", "up", "--quiet"]).word();
    let script = format!("echo up; sleep {mark}");
    let mut running = p.start(["run", "--quiet", "--sandbox", &id, "--", "sh", "-c", &script]);
    running.wait_for("up");
    stop_the_supervisor_of(&running);
    let out = p.aido(["sandbox", "destroy", &id]);
    out.ok();
    assert!(out.took < Duration::from_secs(20), "{out}");
    assert_gone(&mark);
    assert_ne!(running.end().code, Some(0));
}

#[test]
fn a_detached_run_whose_supervisor_was_stopped_ends_in_time_and_the_next_command_closes_it() {
    let p = Project::new();
    let mark = marker();
    p.aido(["run", "--quiet", "--detach", "--ttl", "1s", "--", "sleep", &mark]).ok();
    let writer = fs::read_to_string(p.last_run().join("events.log")).unwrap();
    let writer = writer.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    let writer = writer.into_iter().find(|event| event["type"] == "supervised").unwrap();
    let supervisor = writer["data"]["pid"].as_i64().unwrap() as i32;
    kill(Pid::from_raw(supervisor), Signal::SIGSTOP).unwrap();
    // Nobody watches: the guard's own clock.
    let began = Instant::now();
    let task = || alive(&mark).into_iter().filter(|line| !line.starts_with(&format!("{supervisor}:"))).count();
    while task() > 0 {
        assert!(began.elapsed() < Duration::from_secs(15), "{:?}", alive(&mark));
        thread::sleep(Duration::from_millis(100));
    }
    // The record is the supervisor's until it must be taken for dead.
    let patience = Instant::now() + Duration::from_secs(100);
    while family::lives(supervisor) {
        assert!(Instant::now() < patience, "no command ended it");
        thread::sleep(Duration::from_secs(2));
        p.aido(["runs"]).ok();
    }
    assert_eq!(p.reason(), "deadline");
    crate::chain::check(&p.evidence("events.log")).unwrap();
}

/// A command line whose output nobody reads.
fn unread(p: &Project, args: &[&str], stderr_too: bool) -> Child {
    let mut command = p.command(args);
    command.stdout(Stdio::piped());
    let shell = format!("exec {} \"$@\" 2>&1", aido().display());
    if stderr_too {
        let like = p.command(["unused"]);
        command = Command::new("sh");
        command.args(["-c", &shell, "sh"]).args(args).env_clear().current_dir(p.path()).stdout(Stdio::piped());
        command.envs(like.get_envs().filter_map(|(name, value)| Some((name, value?)))).stdin(Stdio::null());
    } else {
        command.stderr(Stdio::piped());
    }
    command.spawn().unwrap()
}

fn ended_within(child: &mut Child, patience: Duration) -> Option<i32> {
    let until = Instant::now() + patience;
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return Some(status.code().expect("not killed"));
        }
        if Instant::now() > until {
            let _ = child.kill();
            let _ = child.wait();
            return None;
        }
        thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn a_reader_who_never_reads_is_waited_for_until_the_time_is_over_and_no_longer() {
    thread::scope(|scope| [false, true].into_iter().for_each(|too| drop(scope.spawn(move || never_read(too)))));
}

fn never_read(stderr_too: bool) {
    let p = Project::new();
    let script = "head -c 300000 /dev/zero; echo told >&2; exit 7";
    let args = ["run", "--ttl", "1s", "--", "sh", "-c", script];
    let mut child = unread(&p, &args, stderr_too);
    wait_for("the seal", || p.last_run().join("summary.json").is_file().then_some(()));
    let sealed = fs::canonicalize(p.last_run()).unwrap();
    // Somebody may look at the first page for as long as the run could have taken.
    thread::sleep(Duration::from_secs(5));
    assert!(child.try_wait().unwrap().is_none(), "it did not wait for its reader");
    // Limit, grace, margin; a reader's five seconds; ten for a word that nobody hears, twice.
    let code = ended_within(&mut child, Duration::from_secs(1) + AFTER + Duration::from_secs(5 + 25));
    assert_eq!(code, Some(7), "it waits for a reader for ever");
    if !stderr_too {
        let mut said = String::new();
        child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
        assert!(said.contains("of standard output were not shown") && said.contains("stdout.log"), "{said}");
    }
    assert_eq!(fs::read(sealed.join("stdout.log")).unwrap().len(), 300_000);
}

#[test]
fn a_slow_reader_gets_everything() {
    let p = Project::new();
    let args = ["run", "--quiet", "--ttl", "1s", "--", "sh", "-c", "head -c 600000 /dev/zero"];
    let mut child = unread(&p, &args, false);
    let mut stdout = child.stdout.take().unwrap();
    let mut got = 0;
    let mut piece = vec![0; 30_000];
    // In all longer than limit, grace and margin.
    loop {
        thread::sleep(Duration::from_millis(800));
        match stdout.read(&mut piece).unwrap() {
            0 => break,
            n => got += n,
        }
    }
    assert_eq!((got, child.wait().unwrap().code()), (600_000, Some(0)));
}

#[test]
fn output_is_whole_wherever_it_goes() {
    let p = Project::new();
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("shown");
    let begun = |options: &fs::OpenOptions| {
        fs::write(&file, "before, and more than that\n").unwrap();
        options.open(&file).unwrap()
    };
    let mut here = fs::OpenOptions::new();
    let mut in_the_middle = begun(here.write(true));
    in_the_middle.write_all(b"BEFORE").unwrap();
    let (socket, mut listening) = std::os::unix::net::UnixStream::pair().unwrap();
    let listener = thread::spawn(move || {
        let mut all = Vec::new();
        listening.read_to_end(&mut all).map(|_| all).unwrap()
    });
    let shown = |target: Stdio| {
        let mut command = p.command(["run", "--quiet", "--", "seq", "500000"]);
        assert_eq!(command.stdout(target).status().unwrap().code(), Some(0));
        fs::read(p.last_run().join("stdout.log")).unwrap()
    };
    let kept = shown(in_the_middle.into());
    assert_eq!(kept.len(), 3_388_895);
    let found = fs::read(&file).unwrap();
    assert!(found.starts_with(b"BEFORE") && found[6..] == kept, "a file that stands in its middle");
    // The kernel hands nothing on to such a file by itself.
    let kept = shown(begun(fs::OpenOptions::new().append(true)).into());
    assert!(fs::read(&file).unwrap().strip_prefix(b"before, and more than that\n") == Some(&kept), "appended");
    let kept = shown(OwnedFd::from(socket).into());
    assert!(listener.join().unwrap() == kept, "a socket");
    let piped = p.aido(["run", "--quiet", "--", "seq", "500000"]);
    assert!(piped.ok().stdout == fs::read(p.last_run().join("stdout.log")).unwrap(), "a pipe");
    shown(Stdio::null());
    let mut child = unread(&p, &["run", "--ttl", "60s", "--", "sh", "-c", "seq 500000; exec sleep 50"], false);
    child.stdout.take().unwrap().read_exact(&mut [0; 100_000]).unwrap();
    let code = ended_within(&mut child, Duration::from_secs(20));
    assert_eq!(code, Some(128 + 13), "nobody reads on");
}

#[test]
fn a_terminal_that_was_stopped_holds_nothing_up() {
    // Ctrl-S on a terminal, and nobody who lets it go on.
    let python = r#"
import os, pty, subprocess, sys, termios, time
ours, theirs = pty.openpty()
mode = termios.tcgetattr(theirs); mode[0] |= termios.IXON; termios.tcsetattr(theirs, termios.TCSANOW, mode)
termios.tcflow(theirs, termios.TCOOFF)
began = time.monotonic()
child = subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL, stdout=theirs, stderr=subprocess.DEVNULL)
print(child.wait(timeout=70), round(time.monotonic() - began))
"#;
    let p = Project::new();
    let like = p.command(["unused"]);
    let mut command = Command::new("python3");
    let program = aido().display().to_string();
    let script = "i=0; while [ $i -lt 4000 ]; do echo line $i of many; i=$((i+1)); done; exit 7";
    command.args(["-c", python, &program, "run", "--ttl", "2s", "--", "sh", "-c", script]);
    command.env_clear().envs(like.get_envs().filter_map(|(name, value)| Some((name, value?)))).current_dir(p.path());
    let out = Running::start(command).end();
    assert!(out.ok().text().starts_with("7 "), "{out}");
    assert!(p.last_run().join("summary.json").is_file());
}
