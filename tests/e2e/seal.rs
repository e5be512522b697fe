//! Signed evidence, checked by programs that are not aido: `tests/second/verify.py` and openssl.

use crate::host::{is_root, our_file, wait_for};
use crate::output::Output;
use crate::project::Project;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What the second implementation says of a run, and its exit status.
#[track_caller]
fn second(run: &Path, keys: &[PathBuf]) -> (i32, String) {
    let out = python().arg(our_file("second/verify.py")).arg(run).args(keys).output().expect("python3");
    let said = String::from_utf8_lossy(&out.stdout).into_owned() + &String::from_utf8_lossy(&out.stderr);
    assert!(!said.contains("Traceback"), "{said}");
    (out.status.code().expect("it ends by itself"), said)
}

/// The system's Python, which has the packages of the system; where there is none, the one that is found.
fn python() -> Command {
    let system = Path::new("/usr/bin/python3");
    Command::new(if system.exists() { system } else { Path::new("python3") })
}

fn has_library() -> bool {
    let tried = python().args(["-c", "import cryptography"]).output();
    tried.is_ok_and(|out| out.status.success())
}

fn keys_of(p: &Project) -> PathBuf {
    p.home().join(".local/share/aido/keys")
}

/// The public halves that this user has.
fn public(p: &Project) -> Vec<PathBuf> {
    let all = fs::read_dir(keys_of(p)).unwrap().map(|e| e.unwrap().path());
    all.filter(|path| path.to_string_lossy().ends_with(".pub.pem")).collect()
}

fn run_folder(p: &Project) -> PathBuf {
    p.last_run().canonicalize().unwrap()
}

const TASK: &str = "echo out; echo err >&2; mkdir -p /outputs/d; echo a > /outputs/d/a; echo b > /outputs/b; exit 3";

/// Applies a change to a copy of a run's sandbox and says what the second implementation makes of it.
fn after(p: &Project, change: impl FnOnce(&Path)) -> (i32, String) {
    let place = tempfile::tempdir().unwrap();
    let (from, run) = (p.last_sandbox().canonicalize().unwrap(), run_folder(p));
    let to = place.path().join(from.file_name().unwrap());
    assert!(Command::new("cp").arg("-a").args([&from, &to]).status().unwrap().success());
    let copy = to.join("runs").join(run.file_name().unwrap());
    change(&copy);
    second(&copy, &public(p))
}

fn edit(path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = fs::read(path).unwrap();
    change(&mut bytes);
    fs::write(path, bytes).unwrap();
}

fn copy(from: &Path, to: &Path, name: &str) {
    fs::copy(from.join(name), to.join(name)).unwrap();
}

#[test]
fn a_second_implementation_believes_a_run_and_nothing_that_was_done_to_it() {
    if !has_library() {
        skip!("the second implementation needs python3-cryptography");
    }
    let p = Project::new();
    p.sh(TASK).code(3);
    let run = run_folder(&p);
    let (code, said) = second(&run, &public(&p));
    assert!(code == 0 && said.contains("sealed by writer") && said.contains("9 subjects"), "{said}");
    let (code, said) = after(&p, |_| {});
    assert_eq!(code, 0, "{said}");

    let events = fs::read(run.join("events.log")).unwrap();
    let lines = events.split_inclusive(|b| *b == b'\n').count();
    for number in 0..lines {
        let without = |run: &Path| {
            let kept: Vec<&[u8]> = events.split_inclusive(|b| *b == b'\n').collect();
            let kept: Vec<u8> =
                kept.iter().enumerate().filter(|(n, _)| *n != number).flat_map(|(_, l)| *l).copied().collect();
            fs::write(run.join("events.log"), kept).unwrap();
        };
        let (code, said) = after(&p, without);
        assert_eq!(code, 1, "without record {number}: {said}");
    }
    for name in ["events.log", "stdout.log", "stderr.log", "summary.json", "plan.json", "seal.json"] {
        let path = |run: &Path| run.join(name);
        assert_eq!(after(&p, |run| edit(&path(run), |bytes| bytes[0] ^= 1)).0, 1, "{name}: first byte");
        assert_eq!(
            after(&p, |run| edit(&path(run), |bytes| {
                bytes.pop();
            }))
            .0,
            i32::from(name != "seal.json"),
            "{name}: cut"
        );
        assert_eq!(after(&p, |run| edit(&path(run), |bytes| bytes.push(b'x'))).0, 1, "{name}: longer");
        if name != "seal.json" {
            assert_eq!(after(&p, |run| fs::remove_file(path(run)).unwrap()).0, 1, "{name}: gone");
        }
    }
    let outside = |run: &Path, name: &str| run.parent().unwrap().parent().unwrap().join(name);
    for name in ["sandbox.yaml", "outputs/b", "outputs/d/a"] {
        let (code, said) = after(&p, |run| edit(&outside(run, name), |bytes| bytes.push(b'x')));
        assert!(code == 1 && said.contains(&format!("{name} was changed")), "{said}");
        assert_eq!(after(&p, |run| fs::remove_file(outside(run, name)).unwrap()).0, 1, "{name}: gone");
    }
    let (code, said) = after(&p, |run| fs::write(run.join("extra"), "").unwrap());
    assert!(code == 1 && said.contains("extra was added"), "{said}");
    // Every bit of the payload is signed.
    let seal: Value = serde_json::from_slice(&p.evidence("seal.json")).unwrap();
    let payload = seal["payload"].as_str().unwrap();
    for at in (0..payload.len() - 4).step_by(payload.len() / 8) {
        let other = if payload.as_bytes()[at] == b'A' { "B" } else { "A" };
        let mut changed = payload.to_owned();
        changed.replace_range(at..=at, other);
        let changed = p.read(".aido/sandboxes/latest/runs/latest/seal.json").replace(payload, &changed);
        assert_eq!(after(&p, |run| fs::write(run.join("seal.json"), changed).unwrap()).0, 1, "payload at {at}");
    }
}

#[test]
fn runs_that_change_places_and_keys_that_are_not_trusted_are_found() {
    if !has_library() {
        skip!("the second implementation needs python3-cryptography");
    }
    let (p, stranger) = (Project::new(), Project::new());
    p.sh("echo one").ok();
    let first = run_folder(&p);
    p.sh("echo one").ok();
    stranger.sh("echo one").ok();
    let (code, said) = second(&run_folder(&p), &public(&stranger));
    assert!(code == 1 && said.contains("not trusted"), "{said}");
    let (code, said) = after(&p, |run| copy(&first, run, "seal.json"));
    assert!(code == 1 && said.contains("another run"), "{said}");
    let all = ["events.log", "seal.json", "summary.json", "plan.json", "stdout.log", "stderr.log"];
    let (code, said) = after(&p, |run| all.iter().for_each(|name| copy(&first, run, name)));
    assert!(code == 1 && said.contains("this is run"), "{said}");
    let (code, said) = after(&p, |run| copy(&first, run, "events.log"));
    assert_eq!(code, 1, "{said}");
}

/// A killed supervisor leaves what it signed, and what it signed holds.
#[test]
fn what_a_killed_supervisor_leaves_is_proven_up_to_its_last_checkpoint() {
    if !has_library() {
        skip!("the second implementation needs python3-cryptography");
    }
    let p = Project::new();
    let running = p.start(["run", "--quiet", "--", "sh", "-c", "while :; do echo line; sleep 0.05; done"]);
    let milestone = |text: &[u8]| {
        let text = String::from_utf8_lossy(text).into_owned();
        text.lines().filter(|line| line.contains(r#""type":"checkpoint""#)).count()
    };
    let log = p.last_run().join("events.log");
    wait_for("a timed checkpoint", || fs::read(&log).ok().filter(|text| milestone(text) > 3));
    let records: Vec<Value> =
        fs::read_to_string(&log).unwrap().lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    let supervised = records.iter().find(|record| record["type"] == "supervised").unwrap();
    kill(Pid::from_raw(supervised["data"]["pid"].as_i64().unwrap() as i32), Signal::SIGKILL).unwrap();
    // The command line closes the record, by the key of the same user.
    running.end().code(125);
    let (code, said) = second(&run_folder(&p), &public(&p));
    assert!(code == 0 && said.contains("sealed by recovery"), "{said}");
    assert_eq!(p.reason(), "lost");
    // Without what was added since, as if nobody had come: the prefix is proven, and only that.
    let unsealed = |run: &Path, change: &dyn Fn(&mut Vec<&str>)| {
        fs::remove_file(run.join("seal.json")).unwrap();
        fs::remove_file(run.join("summary.json")).unwrap();
        let text = fs::read_to_string(run.join("events.log")).unwrap();
        let mut lines: Vec<&str> = text.lines().collect();
        lines.truncate(lines.len() - 2);
        change(&mut lines);
        fs::write(run.join("events.log"), lines.join("\n") + "\n").unwrap();
    };
    let (code, said) = after(&p, |run| unsealed(run, &|_| {}));
    assert!(code == 3 && said.contains("proven by checkpoints") && !said.contains("'stdout': 0"), "{said}");
    let (code, said) = after(&p, |run| {
        unsealed(run, &|_| {});
        edit(&run.join("stdout.log"), |bytes| bytes[2] = b'X');
    });
    assert!(code == 1 && said.contains("stdout.log does not begin"), "{said}");
    let (code, said) = after(&p, |run| {
        unsealed(run, &|lines| {
            lines.remove(4);
        })
    });
    assert_eq!(code, 1, "{said}");
}

/// The commands of docs/EVIDENCE.md.
#[test]
fn openssl_believes_the_seal_and_not_another() {
    if !Command::new("openssl").arg("version").output().is_ok_and(|out| out.status.success()) {
        skip!("openssl is not installed");
    }
    let p = Project::new();
    p.sh("echo x").ok();
    p.aido(["key", "export", "-o", "key.pub.pem"]).ok().stdout("");
    let script = r#"
import base64, json, sys
seal = json.load(open(sys.argv[1] + "/seal.json"))
kind, payload = seal["payloadType"].encode(), base64.b64decode(seal["payload"])
open("signed", "wb").write(b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(payload), payload))
open("sig", "wb").write(base64.b64decode(seal["signatures"][0]["sig"]))
"#;
    let in_project = |program: &str, args: &[&str]| {
        Command::new(program).args(args).current_dir(p.path()).output().unwrap_or_else(|e| panic!("{program}: {e}"))
    };
    let framed = in_project("python3", &["-c", script, p.last_run().to_str().unwrap()]);
    assert!(framed.status.success(), "{framed:?}");
    let verify =
        ["pkeyutl", "-verify", "-rawin", "-pubin", "-inkey", "key.pub.pem", "-sigfile", "sig", "-in", "signed"];
    let said = in_project("openssl", &verify);
    assert!(said.status.success(), "{said:?}");
    edit(&p.path().join("signed"), |bytes| *bytes.last_mut().unwrap() ^= 1);
    assert!(!in_project("openssl", &verify).status.success());
    // The private half is in a form that openssl takes, and belongs to the public one.
    let secret = public(&p)[0].with_extension("").with_extension("pem");
    let derived = in_project("openssl", &["pkey", "-in", secret.to_str().unwrap(), "-pubout"]);
    assert_eq!(String::from_utf8_lossy(&derived.stdout), p.read("key.pub.pem"), "{derived:?}");
}

#[test]
fn keys_are_shown_exported_and_replaced() {
    let p = Project::new();
    p.aido(["key", "show"]).ok().prints("no key yet");
    p.aido(["key", "export"]).refused(&["there is no key yet"]);
    assert!(!keys_of(&p).exists(), "looking makes nothing");
    p.sh("true").ok();
    let shown = |p: &Project| p.aido(["key", "show", "--json"]).ok().json();
    let first = shown(&p)["current"]["id"].as_str().unwrap().to_owned();
    p.aido(["key", "show"]).ok().prints(&first).prints("BEGIN PUBLIC KEY");
    let pem = p.aido(["key", "export"]).ok().text();
    assert!(pem.starts_with("-----BEGIN PUBLIC KEY-----\n") && !pem.contains("PRIVATE"), "{pem}");
    p.aido(["key", "export", "-o", "k.pem", &first[..8]]).ok();
    p.aido(["key", "export", "-o", "k.pem"]).ok();
    assert_eq!(p.read("k.pem"), pem);
    p.write("k.pem", "mine");
    p.aido(["key", "export", "-o", "k.pem"]).refused(&["k.pem is there already"]);
    p.aido(["key", "export", "nothing"]).refused(&["no key `nothing`", &first[..16]]);

    let second = p.aido(["key", "rotate"]).says(&first[..16]).word();
    assert_ne!(second, first);
    let now = shown(&p);
    assert_eq!((now["current"]["id"].as_str(), now["current"]["follows"].as_str()), (Some(&*second), Some(&*first)));
    assert_eq!(now["older"][0]["id"].as_str(), Some(&*first));
    p.sh("true").ok();
    assert!(p.read(".aido/sandboxes/latest/runs/latest/events.log").contains(&second));
    assert!(!keys_of(&p).join(format!("{first}.pem")).exists());
    let text = p.aido(["key", "show"]).ok().text();
    assert!(text.contains("is still believed") && text.contains(&first[..16]), "{text}");
}

#[test]
fn a_key_that_is_open_to_others_is_refused_before_anything_is_made() {
    let p = Project::new();
    p.sh("true").ok();
    let secret = public(&p)[0].with_extension("").with_extension("pem");
    fs::set_permissions(&secret, Permissions::from_mode(0o644)).unwrap();
    let before = fs::read_dir(p.path().join(".aido/sandboxes")).unwrap().count();
    let mend = format!("chmod 600 '{}'", secret.display());
    p.sh("true").refused(&["is a private key and open to others (mode 644)", &mend]);
    p.aido(["key", "show"]).ok().says(&mend);
    assert_eq!(fs::read_dir(p.path().join(".aido/sandboxes")).unwrap().count(), before);
    assert!(Command::new("sh").args(["-c", &mend]).status().unwrap().success());
    p.sh("true").ok();
}

fn unkept(p: &Project, out: &Output) {
    out.ok().says("no key of yours signs this run");
    let seal: Value = serde_json::from_slice(&p.evidence("seal.json")).unwrap();
    let key = fs::read_to_string(p.last_run().join("events.log")).unwrap();
    assert!(key.contains(r#""kept":false"#) && seal["payloadType"] == "application/vnd.in-toto+json", "{key}");
    let warnings = p.summary()["warnings"].to_string();
    assert!(warnings.contains("thrown away"), "{warnings}");
}

fn without_home(p: &Project, change: impl FnOnce(&mut Command)) -> Output {
    let mut command = p.command(["run", "--", "true"]);
    change(&mut command);
    crate::running::Running::start(command).end()
}

#[test]
fn without_a_home_a_run_has_a_key_of_its_own_and_says_so() {
    let p = Project::new();
    unkept(
        &p,
        &without_home(&p, |command| {
            command.env_remove("HOME");
        }),
    );
    unkept(
        &p,
        &without_home(&p, |command| {
            command.env("XDG_DATA_HOME", "/dev/null");
        }),
    );
    if is_root() {
        // For root a folder that nobody may write is one of procfs.
        unkept(
            &p,
            &without_home(&p, |command| {
                command.env("HOME", "/proc/self");
            }),
        );
    } else {
        // A home in which nothing was made yet.
        let p = Project::new();
        fs::set_permissions(p.home(), Permissions::from_mode(0o500)).unwrap();
        unkept(&p, &without_home(&p, |_| ()));
        fs::set_permissions(p.home(), Permissions::from_mode(0o700)).unwrap();
    }
    // XDG_DATA_HOME alone is enough for a key, and what cannot be anchored is a warning.
    let data = p.home().join("data");
    let out = without_home(&p, |command| {
        command.env_remove("HOME").env("XDG_DATA_HOME", &data);
    });
    assert!(!out.told().contains("no key of yours"), "{out}");
    out.ok().says("nothing outside of the project knows its ledger");
    assert!(data.join("aido/keys/current").exists());
}

/// The key must be out of the task's reach, wherever the project and the home lie.
#[test]
fn the_task_finds_no_key() {
    let p = Project::new();
    p.sh("true").ok();
    let secret = public(&p)[0].with_extension("").with_extension("pem");
    let pem = fs::read_to_string(&secret).unwrap();
    let body = pem.lines().nth(1).unwrap();
    let look = format!(
        "cat {} 2>/dev/null; grep -rls 'BEGIN PRIVATE KEY' /root /home /workspace /outputs /tmp /etc /var 2>/dev/null; \
         for p in /proc/[0-9]*; do tr -d '\\0' < $p/environ; grep -s aido/keys $p/maps $p/mountinfo; ls -l $p/fd; done 2>/dev/null; true",
        secret.display()
    );
    let out = p.aido(["run", "--quiet", "--", "sh", "-c", &look]).text();
    assert!(!out.contains(body) && !out.contains("aido/keys") && !out.contains("/.local"), "{out}");
    // A project that holds the home of its keys does not show them, by a pattern neither.
    let inside = p.path().join("data");
    for args in [&[][..], &["--input", "data/**"], &["--input", "data"], &["--input", "data/aido/keys/current"]] {
        let mut command = p.command(["run", "--quiet"]);
        command.args(args).args([
            "--",
            "sh",
            "-c",
            "find /workspace; cat /workspace/data/aido/keys/* 2>/dev/null; true",
        ]);
        command.env("XDG_DATA_HOME", &inside);
        let out = crate::running::Running::start(command).end();
        assert!(!out.text().contains("PRIVATE") && !out.text().contains(".pem"), "{args:?}: {out}");
    }
}
