//! What a task is refused is on record, by name; profiles of system calls; the second mechanism.

use crate::host::{self, alive, marker};
use crate::project::Project;
use serde_json::Value;
use std::fs;
use std::time::Duration;

/// The refusals of the last run, as `call answer count`.
fn refused(p: &Project) -> Vec<String> {
    let summary = p.summary();
    let list = summary["outcome"]["refused"].as_array().cloned().unwrap_or_default();
    let line = |r: &Value| {
        format!("{} {} {}", r["call"].as_str().unwrap(), r["answer"].as_str().unwrap(), r["count"].as_u64().unwrap())
    };
    list.iter().map(line).collect()
}

#[test]
fn refused_calls_are_on_record_with_who_made_them() {
    let calls = "import ctypes, threading\nlibc = ctypes.CDLL(None)\nfor n in range(3): libc.unshare(0x10000000)\n\
                 libc.syscall(425, 1, 0)\nlibc.ioctl(0, 0x5412, b'x')\nlibc.syscall(310, 1, 0, 0, 0, 0)\n\
                 t = threading.Thread(target=print, args=('thread',)); t.start(); t.join()\n";
    let p = Project::with(&[("calls.py", calls)]);
    p.aido(["run", "-q", "calls.py"]).ok().stdout("thread\n");
    let seen = ["unshare EPERM 3", "io_uring_setup ENOSYS 1", "ioctl EPERM 1", "process_vm_readv ENOSYS 1"];
    assert_eq!(refused(&p), seen, "{}", p.summary());
    let first = &p.summary()["outcome"]["refused"][0];
    assert_eq!((&first["process"], &first["detail"]), (&Value::from("python3"), &Value::from("CLONE_NEWUSER")));
    let events = String::from_utf8(p.evidence("events.log")).unwrap();
    assert_eq!(events.matches("\"type\":\"refused\"").count(), 4, "each kind once: {events}");
    p.aido(["show"]).ok().prints("python3 called unshare (CLONE_NEWUSER): EPERM, 3 times").prints("(TIOCSTI)");
    // An ordinary task is refused nothing, though its libraries try what is hidden.
    p.aido(["run", "-q", "--", "python3", "-c", "import subprocess; subprocess.run(['true'])"]).ok();
    assert_eq!(refused(&p), Vec::<String>::new());
}

#[test]
fn a_storm_of_refusals_is_counted_and_ends_with_its_run() {
    let storm = "import ctypes, os\nlibc = ctypes.CDLL(None)\nfor n in range(4): os.fork()\nwhile True: libc.unshare(0x10000000)\n";
    let p = Project::with(&[("storm.py", storm)]);
    let out = p.aido(["run", "-q", "--ttl", "4s", "storm.py"]);
    out.code(124);
    assert!(out.took < Duration::from_secs(14), "the storm held the deadline up{out}");
    let summary = p.summary();
    let count = summary["outcome"]["refused"][0]["count"].as_u64().unwrap();
    // Some thousands at once, then a thousand a second: the supervisor is outside of the task's bounds.
    assert!((1_000..30_000).contains(&count), "{count}");
    let events = String::from_utf8(p.evidence("events.log")).unwrap();
    assert_eq!(events.matches("\"type\":\"refused\"").count(), 1);
}

#[test]
fn the_strict_profile_is_chosen_by_file_and_by_option_and_is_on_record() {
    let socket = "import socket\ntry: socket.socket(); print('made')\nexcept PermissionError: print('refused')\n";
    let p = Project::with(&[("s.py", socket)]);
    p.aido(["run", "-q", "s.py"]).ok().stdout("made\n");
    p.aido(["run", "-q", "--syscalls", "strict", "s.py"]).ok().stdout("refused\n");
    p.write("sandbox.yaml", "permissions: {syscalls: strict}\n");
    p.aido(["run", "-q", "s.py"]).ok().stdout("refused\n");
    assert_eq!(refused(&p), ["socket EPERM 1"]);
    assert!(p.summary()["enforced"]["syscalls"]["by"].as_str().unwrap().contains("(strict)"));
    // A sandbox that is up keeps the profile that it was made with.
    p.aido(["sandbox", "up", "-q"]).ok();
    p.aido(["run", "-q", "s.py"]).ok().stdout("refused\n");
    p.aido(["run", "--syscalls", "default", "s.py"]).code(125).says("--syscalls belongs to a sandbox when it is made");
    p.aido(["sandbox", "destroy", "--all"]).ok();
    p.write("sandbox.yaml", "permissions: {syscalls: own.json}\n");
    p.write("own.json", "{\"defaultAction\": \"SCMP_ACT_ALLOW\"}");
    p.aido(["run", "s.py"]).code(125).says("sandbox.yaml:1:25").says("--syscalls FILE");
}

#[test]
fn a_profile_of_the_users_own_is_obeyed_and_what_it_opens_is_said() {
    let p = Project::new();
    let own = r#"{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO"}]}"#;
    p.write("own.json", own);
    let script = "mkdir /tmp/x; unshare -U true; echo over";
    let out = p.aido(["run", "--syscalls", "own.json", "--", "sh", "-c", script]);
    out.ok().stdout("over\n").says("in a weaker form: syscalls").says("No space left on device");
    assert!(refused(&p).iter().any(|line| line.starts_with("mkdir")), "{}", p.summary());
    let standing = p.summary()["enforced"]["syscalls"].to_string();
    assert!(standing.contains("unshare") && standing.contains("io_uring_setup"), "{standing}");
    for (text, why) in [("{", "form"), ("{\"defaultAction\": \"SCMP_ACT_KILL\"}", "allows no `read`")] {
        p.write("own.json", text);
        p.aido(["run", "--syscalls", "own.json", "--", "true"]).code(125).says(why);
    }
    p.aido(["run", "--syscalls", "none.json", "--", "true"]).code(125).says("none.json");
}

#[test]
fn without_namespaces_files_are_closed_all_the_same_and_the_first_line_says_what_is_weaker() {
    let p = Project::with(&[(".env", "SECRET=1"), ("data/x", "in\n"), ("a.sh", "cat data/x")]);
    fs::write(p.home().join("key"), "a key").unwrap();
    let key = p.home().join("key").display().to_string();
    let script = format!(
        "cat data/x; cat '{key}' .env '{}/.env'; echo no > data/x; echo no > '{key}'; chmod 777 data/x; \
         echo kept > results/r; echo out > $AIDO_OUTPUTS/o; rm '{key}'; ln data/x results/l; exit 4",
        p.path().display()
    );
    let out = p.aido(["run", "--isolation", "landlock", "--output", "results/", "--", "sh", "-c", &script]);
    out.code(4).stdout("in\n").says("in force in a weaker form: identity");
    assert_eq!((p.output("results/r"), p.output("o")), ("kept\n".into(), "out\n".into()));
    assert_eq!((fs::read_to_string(p.home().join("key")).unwrap(), p.read("data/x")), ("a key".into(), "in\n".into()));
    let shown = p.aido(["show"]).ok().text();
    let first = shown.lines().next().unwrap();
    assert!(first.contains("by Landlock alone") && first.contains("processes") && first.contains("disk"), "{first}");
    assert_eq!(p.summary()["isolation"], "landlock");
    assert!(p.summary()["enforced"]["files"]["proof"].as_str().unwrap().contains("EACCES"), "{}", p.summary());
    assert!(!p.last_sandbox().join("scratch").exists(), "what the task found is left behind");
    p.write("main.py", "import beside; print(beside.WORD)");
    p.write("beside.py", "WORD = 'beside'");
    p.aido(["run", "-q", "--isolation", "landlock", "main.py"]).ok().stdout("beside\n");
    // Never by itself, and never with a root that needs more.
    p.aido(["run", "--isolation", "landlock", "--runtime", "rootfs:/usr", "--", "true"])
        .code(125)
        .says("no other root");
}

#[test]
fn without_namespaces_nothing_is_reached_and_nothing_outlives_the_run() {
    let p = Project::new();
    let (mark, victim) = (marker(), marker());
    let mut other = std::process::Command::new("sleep").arg(&victim).spawn().unwrap();
    let probe = format!(
        "import os, socket, signal\n\
         def tried(what, f):\n    try: f(); print(what, 'SUCCEEDED')\n    except OSError as e: print(what, 'refused')\n\
         tried('inet', lambda: socket.socket())\n\
         tried('unix', lambda: socket.socket(socket.AF_UNIX))\n\
         tried('kill', lambda: os.kill({0}, signal.SIGTERM))\n\
         tried('nice', lambda: os.setpriority(os.PRIO_PROCESS, {0}, 19))\n\
         tried('environ', lambda: open('/proc/{0}/environ').read())\n\
         tried('mem', lambda: open('/proc/{0}/mem'))\n\
         tried('limit', lambda: __import__('resource').prlimit({0}, 7, (5, 5)))\n\
         for n in range(3):\n    if os.fork() == 0:\n        os.setsid()\n        if os.fork() == 0: os.execvp('sleep', ['sleep', '{mark}'])\n        os._exit(0)\n",
        other.id()
    );
    p.write("probe.py", probe);
    let out = p.aido(["run", "-q", "--isolation", "landlock", "probe.py"]);
    let gone = alive(&mark);
    let lives = other.try_wait().unwrap().is_none();
    other.kill().unwrap();
    other.wait().unwrap();
    out.ok();
    assert!(lives, "the task ended a process of the host{out}");
    assert_eq!(out.text().lines().filter(|line| line.ends_with("refused")).count(), 7, "{out}");
    assert_eq!(gone, Vec::<String>::new());
    let calls = refused(&p).join(" ");
    assert!(calls.contains("socket EPERM"), "{calls}");
    // The deadline holds for whoever ignores it, in the background too.
    let script = format!("trap '' TERM; (trap '' TERM; setsid sleep {mark}) & while :; do sleep {mark}; done");
    let out = p.aido(["run", "-q", "--isolation", "landlock", "--ttl", "1s", "--", "sh", "-c", &script]);
    out.code(124);
    assert!(out.took < Duration::from_secs(16), "{out}");
    host::assert_gone(&mark);
}
