//! `aido run`: how tasks are found, what they are told, how they end.

use crate::output::find;
use crate::project::Project;
use nix::sys::signal::Signal;
use std::io::Write;
use std::process::Stdio;

#[test]
fn the_tasks_own_status_is_ours() {
    let p = Project::new();
    for code in [0, 1, 7, 42, 255] {
        p.sh(&format!("exit {code}")).code(code).stdout("");
        assert_eq!(p.reason(), "exited");
    }
}

#[test]
fn a_status_that_looks_like_ours_is_told_apart() {
    let p = Project::new();
    for code in [124, 125, 126, 127, 137] {
        p.sh(&format!("exit {code}")).code(code);
        assert_eq!(p.reason(), "exited", "exit {code}");
    }
}

#[test]
fn what_is_not_there_is_127() {
    let p = Project::new();
    p.aido(["run", "no-such-command-anywhere"]).code(127).stdout("").says("no-such-command-anywhere");
    assert_eq!(p.reason(), "not_found");
}

#[test]
fn what_cannot_be_executed_is_126() {
    let p = Project::with(&[("not-a-program", "#!/no/such/interpreter\n")]);
    p.aido(["run", "--", "/usr"]).code(126).stdout("").says("/usr");
    assert_eq!(p.reason(), "not_executable");
}

#[test]
fn a_signal_is_128_and_its_number() {
    let p = Project::new();
    for (name, code) in [("TERM", 143), ("KILL", 137), ("ABRT", 134), ("USR1", 138)] {
        p.sh(&format!("kill -{name} $$")).code(code);
        assert_eq!(p.reason(), "signalled", "{name}");
    }
}

#[test]
fn output_is_passed_on_and_kept_byte_by_byte() {
    let script = "#!/usr/bin/env python3\nimport os\nos.write(1, bytes(range(256)) * 3 + b'no line end')\nos.write(2, b'\\x00\\xff')\n";
    let p = Project::with(&[("bytes.py", script)]);
    let out = p.aido(["run", "--quiet", "bytes.py"]);
    out.ok();
    let expected = [(0..=255).collect::<Vec<u8>>().repeat(3), b"no line end".to_vec()].concat();
    assert!(out.stdout == expected && out.stderr == b"\x00\xff", "{out}");
    assert_eq!(p.evidence("stdout.log"), expected);
    assert_eq!(p.evidence("stderr.log"), b"\x00\xff");
    let logs = p.command(["logs", "--raw"]).output().unwrap();
    assert_eq!(logs.stdout, expected, "aido logs --raw");
}

#[test]
fn only_the_tasks_words_are_on_standard_output() {
    let p = Project::new();
    let out = p.aido(["run", "--", "echo", "mine"]);
    out.ok().stdout("mine\n");
    p.aido(["run", "--quiet", "--", "echo", "mine"]).ok().stdout("mine\n");
    let out = p.aido(["run", "--quiet", "--", "true"]);
    assert!(out.ok().stderr.is_empty(), "{out}");
}

#[test]
fn a_script_runs_by_its_first_line_or_its_extension() {
    let p = Project::with(&[
        ("plain.py", "import sys; print('python', sys.argv[1:])\n"),
        ("plain.sh", "echo shell \"$@\"\n"),
        ("tools/with-line", "#!/bin/sh\necho line \"$@\"\n"),
    ]);
    p.aido(["run", "plain.py", "a", "-b", "--c=d e"]).ok().stdout("python ['a', '-b', '--c=d e']\n");
    p.aido(["run", "plain.sh", "x y"]).ok().stdout("shell x y\n");
    p.aido(["run", "tools/with-line", "--quiet"]).ok().stdout("line --quiet\n");
}

#[test]
fn a_command_of_several_words_is_passed_as_it_was_typed() {
    let p = Project::new();
    let line = ["run", "--", "printf", "[%s]", "a b", "", "--quiet", "$HOME", "*"];
    p.aido(line).ok().stdout("[a b][][--quiet][$HOME][*]");
}

#[test]
fn the_task_starts_in_the_workspace_with_a_clean_environment() {
    let p = Project::new();
    let out = p.sh("pwd; env");
    let text = out.ok().text();
    assert!(text.starts_with("/workspace\n"), "{out}");
    assert!(!text.contains("AIDO_E2E_LEAK") && !text.contains("the caller's own"), "{out}");
    let allowed = [
        "AIDO_OUTPUTS",
        "AIDO_SANDBOX",
        "HOME",
        "LANG",
        "LC_ALL",
        "PATH",
        "PWD",
        "SHLVL",
        "OLDPWD",
        "_",
        "TERM",
        "TMPDIR",
        "USER",
        "HOSTNAME",
    ];
    for line in text.lines().skip(1) {
        let name = line.split('=').next().unwrap();
        assert!(allowed.contains(&name), "an unexpected variable {name}{out}");
    }
    assert!(text.contains("AIDO_OUTPUTS=/outputs\n"), "{out}");
    let home = text.lines().find_map(|l| l.strip_prefix("HOME=")).unwrap();
    assert_ne!(home, p.home().to_str().unwrap());
}

#[test]
fn variables_come_by_value_or_from_the_caller_and_the_latter_leave_no_trace() {
    let p = Project::with(&[("sandbox.yaml", "env: {STAGE: test, TOKEN: {from: AIDO_E2E_LEAK}}\n")]);
    let out = p.aido([
        "run",
        "--quiet",
        "-e",
        "MORE=a=b",
        "--",
        "sh",
        "-c",
        "echo $STAGE; echo $MORE; test -n \"$TOKEN\" && echo given",
    ]);
    out.ok().stdout("test\na=b\ngiven\n");
    let found = std::process::Command::new("grep")
        .args(["-r", "the caller's own"])
        .arg(p.path().join(".aido"))
        .output()
        .unwrap();
    assert!(found.stdout.is_empty(), "the value is on the disk: {}", String::from_utf8_lossy(&found.stdout));
}

#[test]
fn standard_input_is_passed_on_when_asked_for() {
    let p = Project::new();
    for (flag, expected) in [("-i", "three words here\n"), ("--quiet", "")] {
        let mut command = p.command(["run", flag, "--", "cat"]);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        // Without -i nobody may read it: a closed pipe is then no failure of ours.
        let _ = child.stdin.take().unwrap().write_all(b"three words here\n");
        let out = child.wait_with_output().unwrap();
        assert_eq!(String::from_utf8_lossy(&out.stdout), expected, "{flag}: {}", String::from_utf8_lossy(&out.stderr));
        assert_eq!(out.status.code(), Some(0), "{flag}");
    }
}

#[test]
fn control_c_ends_the_run_in_order() {
    let p = Project::new();
    let mark = crate::host::marker();
    let mut running = p.start(["run", "--quiet", "--", "sh", "-c", &format!("echo up; sleep {mark} & wait")]);
    running.wait_for("up");
    running.signal(Signal::SIGINT);
    running.end().code(130);
    crate::host::assert_gone(&mark);
    assert_eq!(p.reason(), "interrupted");
    crate::chain::check(&p.evidence("events.log")).unwrap();
}

#[test]
fn a_task_may_end_itself_well_when_interrupted() {
    let p = Project::new();
    let script = "trap 'echo cleaning > $AIDO_OUTPUTS/trace; exit 3' INT TERM; echo up; while :; do sleep 0.05; done";
    let mut running = p.start(["run", "--quiet", "--", "sh", "-c", script]);
    running.wait_for("up");
    running.signal(Signal::SIGINT);
    running.end().code(130);
    assert_eq!(p.output("trace"), "cleaning\n");
}

#[test]
fn what_was_assumed_without_a_configuration_is_said_in_a_line() {
    let p = Project::new();
    let out = p.aido(["run", "--", "true"]);
    out.ok();
    let told = out.told();
    let line = told.lines().find(|l| l.contains("sandbox.yaml"));
    let line = line.unwrap_or_else(|| panic!("nothing said of the missing file{out}"));
    assert!(line.contains("host") && line.contains("15m"), "{line:?}{out}");
}

#[test]
fn json_ends_with_the_summary_and_explanations() {
    let p = Project::new();
    let out = p.aido(["run", "--json", "--", "sh", "-c", "echo noise; exit 5"]);
    let last = out.code(5).text().lines().last().unwrap_or_default().to_string();
    let mut summary = serde_json::from_str::<serde_json::Value>(&last).unwrap()["summary"].take();
    assert_eq!(summary, p.aido(["show", "--json"]).ok().json());
    let beside = ["explanations_version", "explanations"].map(|name| summary.as_object_mut().unwrap().remove(name));
    assert_eq!(beside, [Some(1.into()), Some(serde_json::json!([]))]);
    assert_eq!(find(&summary, "reason").unwrap(), "exited");
    assert_eq!(find(&summary, "code").unwrap(), 5);
    assert_eq!(summary, p.summary());
    assert_eq!(p.evidence("stdout.log"), b"noise\n");
}

#[test]
fn a_mistake_in_the_command_line_is_125() {
    let p = Project::new();
    for line in [&["run", "--no-such-option", "x"][..], &["run", "--ttl", "soon", "x"], &["no-such-command"], &["run"]]
    {
        p.aido(line).refused(&[]);
    }
    assert!(!p.path().join(".aido").exists(), "a refused command left records");
}

#[test]
fn a_detached_run_prints_its_id_and_goes_on() {
    let p = Project::new();
    let mark = crate::host::marker();
    let id =
        p.aido(["run", "--detach", "--quiet", "--", "sh", "-c", &format!("echo begun; sleep 1; echo {mark}")]).word();
    let out = p.aido(["logs", "--follow", &id]);
    out.ok().stdout(&format!("begun\n{mark}\n"));
    p.aido(["show", &id, "--json"]).ok().json();
    crate::host::assert_gone(&mark);
}

#[test]
fn help_and_version_are_for_standard_output() {
    let p = Project::new();
    p.aido(["--version"]).ok().prints("aido ");
    for command in [&["--help"][..], &["run", "--help"], &["sandbox", "up", "--help"], &["doctor", "--help"]] {
        let out = p.aido(command);
        assert!(out.ok().stdout.len() > 100 && out.stderr.is_empty(), "{out}");
    }
    p.aido(["run", "--help"]).prints("124");
}
