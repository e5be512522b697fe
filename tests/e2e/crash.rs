//! Death at any moment, and callers that leave a mess behind.

use crate::host::{aido, alive, marker, wait_for};
use crate::project::Project;
use crate::running::Running;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::os::unix::net::UnixListener;
use std::process::Command;
use std::thread;
use std::time::Duration;

/// Children of a process, as the kernel lists them.
fn children(of: i32) -> Vec<i32> {
    let listed = std::fs::read_to_string(format!("/proc/{of}/task/{of}/children")).unwrap_or_default();
    listed.split_whitespace().filter_map(|pid| pid.parse().ok()).collect()
}

/// First processes of sandboxes that nobody looks after any more.
fn orphaned_guards() -> Vec<i32> {
    let all = std::fs::read_dir("/proc").unwrap().flatten();
    let pids = all.filter_map(|e| e.file_name().to_str()?.parse::<i32>().ok());
    let is_orphan = |pid: &i32| {
        let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        line.starts_with(b"aido-init") && status.lines().any(|line| line == "PPid:\t1")
    };
    pids.filter(is_orphan).collect()
}

#[test]
fn a_supervisor_killed_at_any_moment_leaves_nothing_and_nobody_waits() {
    let p = Project::new();
    let mut killed = 0;
    for delay_us in (0..60_000).step_by(2_500) {
        let mark = marker();
        let running = p.start(["run", "--quiet", "--", "sleep", &mark]);
        // The supervisor is the command line's only child; catch it as soon as it is there.
        let supervisor = wait_for("the supervisor", || children(running.pid()).first().copied());
        thread::sleep(Duration::from_micros(delay_us));
        if kill(Pid::from_raw(supervisor), Signal::SIGKILL).is_ok() {
            killed += 1;
        }
        let out = running.end();
        assert!(out.code.is_some_and(|code| code != 0), "after {delay_us} us: {out}");
        assert!(out.took < Duration::from_secs(10), "after {delay_us} us the command line waited: {out}");
        wait_for("the end of all that the run started", || alive(&mark).is_empty().then_some(()));
        wait_for("the end of half-built sandboxes", || orphaned_guards().is_empty().then_some(()));
    }
    assert!(killed > 20, "only {killed} were caught");
    let runs = p.aido(["runs", "--json"]).ok().text();
    assert!(!runs.contains("\"running\""), "{runs}");
    p.sh("echo again").ok().stdout("again\n");
}

#[test]
fn a_supervisor_killed_while_outputs_are_collected_leaves_nobody_copying() {
    let p = Project::new();
    let running = p.start(["run", "--quiet", "--", "sh", "-c", "head -c 400M /dev/urandom > /outputs/big; echo full"]);
    let me = running.pid();
    let supervisor = wait_for("the supervisor", || children(me).first().copied());
    let outputs = wait_for("the outputs", || {
        let folder = p.last_sandbox().join("outputs/big");
        folder.exists().then_some(folder)
    });
    kill(Pid::from_raw(supervisor), Signal::SIGKILL).expect("it still collects");
    let out = running.end();
    assert!(out.code.is_some_and(|code| code != 0), "{out}");
    thread::sleep(Duration::from_millis(300));
    let size = || outputs.metadata().map(|m| m.len()).unwrap_or(0);
    let first = size();
    thread::sleep(Duration::from_millis(700));
    assert_eq!(first, size(), "somebody goes on copying");
    p.aido(["show"]).ok().prints("interrupted");
}

#[test]
fn a_caller_that_ignores_its_children_gets_the_tasks_status_in_time() {
    let p = Project::new();
    let mut command = p.command(["unused"]);
    let python =
        "import os, signal, sys; signal.signal(signal.SIGCHLD, signal.SIG_IGN); os.execv(sys.argv[1], sys.argv[1:])";
    let program = aido();
    command = wrapped(
        command,
        "python3",
        &["-c", python, &program.to_string_lossy(), "run", "-q", "--", "sh", "-c", "exit 5"],
    );
    let out = Running::start(command).end();
    out.code(5);
    assert!(out.took < Duration::from_secs(10), "{out}");
}

/// The folder and environment of a project's command, another program.
fn wrapped(like: Command, program: &str, args: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.env_clear().envs(like.get_envs().filter_map(|(name, value)| Some((name, value?)))).args(args);
    if let Some(folder) = like.get_current_dir() {
        command.current_dir(folder);
    }
    command
}

#[test]
fn a_caller_with_hundreds_of_open_files_and_a_tiny_limit_is_served_and_their_lock_is_not_kept() {
    let p = Project::new();
    let program = aido().to_string_lossy().into_owned();
    let python = "import os, sys\nfor i in range(200): os.dup2(1, 100 + i)\nos.execv(sys.argv[1], sys.argv[1:])";
    let args = ["-c", python, &program, "run", "-q", "--", "sh", "-c", "ls /proc/self/fd | wc -l"];
    let out = Running::start(wrapped(p.command(["unused"]), "python3", &args)).end();
    // Three streams and the folder that is being listed.
    out.ok().stdout("4\n");
    let shell = format!("ulimit -Sn 32; exec {program} run -q -- true");
    Running::start(wrapped(p.command(["unused"]), "sh", &["-c", &shell])).end().ok();
    let shell =
        format!("exec 9>lock; flock 9; {program} run -q --detach -- sleep 5; exec 9>&-; flock -n lock echo free");
    let out = Running::start(wrapped(p.command(["unused"]), "sh", &["-c", &shell])).end();
    out.ok().prints("free");
    p.aido(["sandbox", "destroy", "--all"]).ok();
}

#[test]
fn a_socket_that_the_host_makes_in_an_input_later_is_out_of_reach() {
    let p = Project::with(&[("data/x", "x")]);
    // It does not look before it connects: what is not there yet may stay so in its view of the folder.
    let script = "import socket, time\nprint('up', flush=True)\ntime.sleep(3)\ns = socket.socket(socket.AF_UNIX)\n\
                  try:\n    s.connect('data/s'); print('REACHED')\nexcept ConnectionRefusedError as e: print('refused')\n";
    p.write("c.py", script);
    let mut running = p.start(["run", "-q", "--input", "data", "--input", "c.py", "c.py"]);
    running.wait_for("up");
    let _listener = UnixListener::bind(p.path().join("data/s")).unwrap();
    // On the host it can be reached: the refusal inside is the sandbox's.
    std::os::unix::net::UnixStream::connect(p.path().join("data/s")).unwrap();
    running.end().ok().stdout("up\nrefused\n");
}

#[test]
fn a_log_that_cannot_grow_is_cut_and_said_and_the_status_stays() {
    let p = Project::new();
    // Files of at most 20 KiB: enough for the record, too little for what the task prints.
    let shell =
        format!("ulimit -f 40; exec {} run -- sh -c 'head -c 200000 /dev/zero; exit 6'", aido().to_string_lossy());
    let out = Running::start(wrapped(p.command(["unused"]), "sh", &["-c", &shell])).end();
    out.code(6).says("standard output was cut");
    assert!(!out.told().contains("nothing ran"), "{out}");
    assert_eq!(out.stdout.len(), 20_480);
    assert_eq!(p.summary()["output"]["stdout"]["dropped"], 200_000 - 20_480);
}
