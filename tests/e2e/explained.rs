//! What was denied is explained, and the change that is printed really allows it: each is applied, and the same task
//! then succeeds. Outputs that tools would act on are named.

use crate::host;
use crate::output::Output;
use crate::project::Project;
use serde_json::Value;
use std::fs;

const EATER: &str = "import mmap\nkept = []\nfor i in range(8):\n    m = mmap.mmap(-1, 8 << 20)\n    for at in range(0, 8 << 20, 4096): m[at] = 1\n    kept.append(m)\n";
const FORKS: &str = "import os, time\nfor n in range(60):\n    if os.fork() == 0: time.sleep(2); os._exit(0)\n";

/// The explanations of the last run.
#[track_caller]
fn explained(p: &Project) -> Vec<Value> {
    let shown = p.aido(["show", "--json"]).ok().json();
    assert_eq!(shown["explanations_version"], 1);
    shown["explanations"].as_array().unwrap().clone()
}

/// The change that the last run's explanations have for this key.
#[track_caller]
fn change(p: &Project, key: &str) -> String {
    let all = explained(p);
    let mut lines = all.iter().filter_map(|found| found["change"]["yaml"].as_str());
    let found = lines.rfind(|line| line.starts_with(&format!("{key}:")));
    found.unwrap_or_else(|| panic!("no change of `{key}`: {all:#?}")).to_string()
}

/// Does with the `sandbox.yaml` what a person would: the line in place of the key's own, or added.
fn apply(p: &Project, line: &str) {
    let key = format!("{}:", line.split(':').next().unwrap());
    let before = fs::read_to_string(p.path().join("sandbox.yaml")).unwrap_or_default();
    let mut lines: Vec<&str> = before.lines().filter(|old| !old.starts_with(&key)).collect();
    lines.push(line);
    p.write("sandbox.yaml", lines.join("\n") + "\n");
}

/// The task fails, the change is applied as it is printed on the screen, the same task succeeds.
#[track_caller]
fn mended(p: &Project, task: &[&str], key: &str, line: &str) -> Output {
    let run = |p: &Project| p.aido(["run"].iter().chain(task));
    let failed = run(p);
    assert_ne!(failed.code, Some(0), "{failed}");
    failed.says("denied; `aido show` says why");
    let change = change(p, key);
    assert_eq!(change, line);
    p.aido(["show"]).ok().prints(&format!("to allow it: {change}"));
    apply(p, &change);
    p.aido(["check"]).ok();
    let mended = run(p);
    mended.ok();
    mended
}

#[test]
fn a_write_to_the_project_is_allowed_by_an_output() {
    let p = Project::with(&[("sandbox.yaml", "name: x\noutputs: [other.log]\n"), ("a.py", "")]);
    let task = ["--", "sh", "-c", "mkdir -p results/deep && echo r > results/deep/r && cat results/deep/r"];
    mended(&p, &task, "outputs", "outputs: [other.log, results/]").stdout("r\n");
    assert_eq!(p.output("results/deep/r"), "r\n");
    let file = ["--", "python3", "-c", "open('new.txt', 'w').write('n')"];
    mended(&p, &file, "outputs", "outputs: [other.log, results/, new.txt]");
    assert_eq!(p.output("new.txt"), "n");
    assert!(!p.path().join("results").exists() && !p.path().join("new.txt").exists(), "the project was written to");
}

#[test]
fn a_read_of_what_was_kept_back_is_allowed_by_an_input() {
    let p = Project::with(&[(".env", "TOKEN=1\n"), ("a.py", "print(len(open('.env').read()))\n")]);
    mended(&p, &["a.py"], "secrets", "secrets: [.env]").stdout("8\n");
    let p = Project::with(&[
        ("sandbox.yaml", "inputs: [a.sh]\n"),
        ("a.sh", "cat 'data of mine/b'"),
        ("data of mine/b", "b\n"),
    ]);
    mended(&p, &["a.sh"], "inputs", "inputs: [a.sh, \"data of mine/b\"]").stdout("b\n");
    let p = Project::with(&[(".git/HEAD", "ref: refs/heads/main\n")]);
    mended(&p, &["--", "cat", ".git/HEAD"], "inputs", "inputs: [., .git]").stdout("ref: refs/heads/main\n");
}

#[test]
fn bounds_that_were_hit_are_raised() {
    let p = Project::with(&[("sandbox.yaml", "ttl: 1s\n")]);
    mended(&p, &["--", "sleep", "3"], "ttl", "ttl: 10s");
    let p = Project::with(&[("sandbox.yaml", "resources: {disk: 1MiB, output: 1MiB}\n")]);
    let task = ["--", "dd", "if=/dev/zero", "of=/tmp/big", "bs=64k", "count=24"];
    mended(&p, &task, "resources", "resources: {disk: 2MiB, output: 1MiB}");
    // Without control groups these bounds are refused (tests/e2e/limits.rs), so that nothing can hit them.
    if !host::has_cgroups() {
        return;
    }
    let p = Project::with(&[("sandbox.yaml", "resources: {memory: 48MiB, pids: 100}\n"), ("eat.py", EATER)]);
    mended(&p, &["eat.py"], "resources", "resources: {memory: 128MiB, pids: 100}");
    let p = Project::with(&[("sandbox.yaml", "resources: {pids: 40}\n"), ("forks.py", FORKS)]);
    mended(&p, &["forks.py"], "resources", "resources: {pids: 80}");
    let events = String::from_utf8(p.evidence("events.log")).unwrap();
    assert!(!events.contains("limit_hit"), "{events}");
}

#[test]
fn output_that_was_cut_is_kept_with_the_change() {
    let p = Project::with(&[("sandbox.yaml", "resources: {output: 1KiB}\n")]);
    let task = ["run", "--", "sh", "-c", "head -c 100000 /dev/zero"];
    p.aido(task).ok().says("1 thing was denied");
    let change = change(&p, "resources");
    assert_eq!(change, "resources: {output: 128KiB}");
    assert!(String::from_utf8(p.evidence("events.log")).unwrap().contains("\"limit_hit\""));
    apply(&p, &change);
    p.aido(task).ok();
    assert_eq!((p.evidence("stdout.log").len(), explained(&p)), (100_000, vec![]));
}

#[test]
fn a_call_is_allowed_by_the_wider_profile_or_by_what_only_a_person_types() {
    let p = Project::with(&[
        ("sandbox.yaml", "permissions: {syscalls: strict}\n"),
        ("s.py", "import socket\nsocket.socket()\n"),
    ]);
    mended(&p, &["s.py"], "permissions", "permissions: {syscalls: default}");
    // Where memory lies is told to nobody by default; what the kernel answers does not matter here, but that it was asked.
    if cfg!(not(target_arch = "x86_64")) {
        skip!("the call that this tries is one of x86-64");
    }
    let call = "import ctypes\nlibc = ctypes.CDLL(None, use_errno=True)\nlibc.syscall(239, 0, 0, 0, 0, 0)\nraise SystemExit(ctypes.get_errno() == 1)\n";
    let p = Project::with(&[("call.py", call)]);
    assert_ne!(p.aido(["run", "call.py"]).code, Some(0));
    let found = &explained(&p)[0];
    assert!(found["change"].is_null() && found["instead"].as_str().unwrap().contains("--syscalls FILE"), "{found}");
    let default = include_str!("../../seccomp-profiles/default.json");
    let mut profile: Value = serde_json::from_str(default).unwrap();
    let rules = profile["syscalls"].as_array_mut().unwrap();
    rules.iter_mut().for_each(|rule| rule["names"].as_array_mut().unwrap().retain(|name| name != "get_mempolicy"));
    rules.push(serde_json::json!({"names": ["get_mempolicy"], "action": "SCMP_ACT_ALLOW"}));
    p.write("own.json", profile.to_string());
    p.aido(["run", "--syscalls", "own.json", "call.py"]).ok();
}

#[test]
fn a_program_that_an_image_lacks_is_found_on_the_host() {
    let Some(images) = host::images() else { skip!("AIDO_IMAGES is not set: run ci/test") };
    let p = Project::new();
    let image = format!("oci:{}", images.join("tiny").display());
    p.aido(["run", "--runtime", &image, "--", "python3", "-c", "print(1)"]).code(127);
    let change = change(&p, "runtime");
    assert_eq!(change, "runtime: host");
    apply(&p, &change);
    p.aido(["run", "--", "python3", "-c", "print(1)"]).ok().stdout("1\n");
    let events = p.aido(["logs", "--events"]).ok().text();
    assert!(!events.contains("image_resolved"), "{events}");
}

#[test]
fn what_no_change_allows_is_said_with_what_to_do_instead() {
    let p = Project::with(&[("a.py", "")]);
    fs::write(p.home().join("key"), "k").unwrap();
    let key = p.home().join("key").display().to_string();
    let project = p.path().canonicalize().unwrap().display().to_string();
    for (script, kind, word) in [
        ("echo x > /usr/x", "write", "$AIDO_OUTPUTS"),
        ("rm a.py", "write", "copy"),
        (&format!("cat {key}"), "", ""),
        ("cat /home/somebody/.ssh/id_rsa", "read", "copy it into the project"),
        (&format!("cat {project}/a.py"), "read", "relative path, a.py"),
        (
            "python3 -c 'import socket; socket.create_connection((\"example.com\", 80), 2)'",
            "network",
            "--allow-host NAME",
        ),
        ("unshare -U true", "call", "namespaces"),
        ("nowhere-to-be-found", "program", "install"),
    ] {
        let out = p.aido(["run", "--", "sh", "-c", script]);
        assert_ne!(out.code, Some(0), "{out}");
        let all = explained(&p);
        let Some(found) = all.iter().find(|found| found["kind"] == kind) else {
            assert!(kind.is_empty(), "{script}: {all:#?}{out}");
            continue;
        };
        assert!(found["change"].is_null(), "{found:#}");
        assert!(found["instead"].as_str().unwrap().contains(word), "{found:#}");
    }
    // What is missing is no denial.
    p.sh("cat nowhere; true").ok();
    assert_eq!(explained(&p), Vec::<Value>::new());
}

/// The task's words are never more than that, and cannot be anything else on the screen.
#[test]
fn what_the_task_says_is_marked_bounded_and_inert() {
    let p = Project::with(&[(".env", "")]);
    let script = r#"
import sys
w = sys.stdout.buffer.write
w(b"cat: .env\x1b]8;;http://evil\x07: No such file or directory\n")
w("cat: .env: No such file or directory \u202e\u2066\u009b31m\x1b]52;c;aGk=\x07\n".encode())
w(b"\xff\xfe cat: .env: No such file or directory\n" * 3)
for n in range(5000): w(b"mkdir: cannot create directory 'd%d': Read-only file system\n" % n)
w(b"x" * 100000 + b": Read-only file system\n")
w(b"Run r000000000000 succeeded\n  denied     nothing\ncat: .env: No such file or directory\n")
sys.exit(5)
"#;
    p.write("says.py", script);
    p.aido(["run", "-q", "says.py"]).code(5);
    let (all, summary) = (explained(&p), p.summary());
    assert!(all.len() <= 64 && all.iter().all(|found| found["from"] == "output"), "{all:#?}");
    assert_eq!(summary["outcome"]["end"], serde_json::json!({"reason": "exited", "code": 5}));
    assert!(summary["outcome"]["refused"].is_null() && summary.get("explanations").is_none(), "{summary}");
    let out = p.aido(["show"]);
    let text = out.ok().text();
    assert!(text.contains("which prove nothing") && text.lines().count() <= 45, "{text}");
    let bad = |c: char| (c.is_control() && c != '\n') || "\u{202e}\u{2066}\u{9b}".contains(c);
    assert!(!text.contains(bad) && !p.aido(["show", "--json"]).text().contains(bad), "{text:?}");
    // Nothing of it looks like a line of aido's own.
    assert_eq!(text.lines().filter(|line| line.starts_with("Run ")).count(), 1, "{text}");
}

#[test]
fn outputs_that_tools_act_on_are_named_and_held_against_the_project() {
    let p = Project::with(&[("Makefile", "all:\n"), ("same.txt", "one\n"), ("other.txt", "one\n")]);
    let script = "cd $AIDO_OUTPUTS && mkdir -p .git/hooks .vscode && echo x > .git/hooks/pre-commit && echo {} > .vscode/tasks.json \
                  && echo 'all: ; evil' > Makefile && echo one > same.txt && echo two > other.txt && echo new > new.txt";
    p.aido(["run", "--", "sh", "-c", script]).ok().says("active content among the outputs").says("and 2 more");
    let summary = p.summary();
    let of = |path: &str| {
        let all = summary["outputs"]["artifacts"].as_array().unwrap();
        let found = all.iter().find(|artifact| artifact["path"] == path).unwrap();
        (found["change"].as_str().unwrap().to_string(), found["active"].is_string())
    };
    assert_eq!(of(".git/hooks/pre-commit"), ("added".into(), true));
    assert_eq!(of(".vscode/tasks.json"), ("added".into(), true));
    assert_eq!(of("Makefile"), ("changed".into(), true));
    assert_eq!((of("same.txt"), of("other.txt")), (("same".into(), false), ("changed".into(), false)));
    assert_eq!(of("new.txt"), ("added".into(), false));
    p.aido(["show"]).ok().prints("active     .git/hooks/pre-commit: ").prints("new.txt (4 B, new)");
    let events = p.aido(["logs", "--events"]).ok().text();
    assert!(
        events.contains("changed Makefile, other.txt") && events.contains("/workspace read-only (input"),
        "{events}"
    );
}

/// The record is sealed whatever the task leaves: names alone made it too large to be written.
#[test]
fn names_of_outputs_cannot_make_a_run_that_is_not_sealed() {
    let script = "import os\nos.chdir(os.environ['AIDO_OUTPUTS'])\nfor n in range(40):\n    name = 'b' * 250\n    os.mkdir(name); os.chdir(name)\n\
                  for n in range(9000): open(f'{n:05}' + 'x' * 245, 'w').close()\n";
    let p = Project::with(&[("deep.py", script)]);
    p.aido(["run", "-q", "deep.py"]).ok();
    let outputs = p.summary()["outputs"].clone();
    let paths = outputs["artifacts"].as_array().unwrap();
    assert!(paths.len() > 500 && paths.len() < 2000, "{}", paths.len());
    assert!(outputs["omitted"].to_string().contains("bytes of paths"));
}
