//! A secret that is planted, and everything under `.aido/` searched for it: whatever the task does with it, it is not there.

use crate::chain::check;
use crate::host::wait_for;
use crate::project::Project;
use crate::running::Running;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use std::fs;
use std::path::Path;
use std::time::Duration;

/// Signs that every encoding treats in its own way.
pub(crate) const TOKEN: &str = "tk-9f/Zq+8w=Lm&3x?Vb~Rr5 Yh%Jd";
/// Lines of a secret file.
const LINES: [&str; 3] = ["k3y-line-one/AAABBBCCCDDDEEEFFF", "second+line=of*the_file", "PIN=tell-nobody-of-it"];

fn key() -> String {
    format!("-----BEGIN SECRET-----\n{}\n-----END SECRET-----\n", LINES.join("\n"))
}

/// Does all that a careless or a curious task does with a secret.
const LEAK: &str = r#"
import base64, os, subprocess, sys, time, urllib.parse, json, ctypes, pathlib
token = os.environ["TOKEN"]
key = open("deploy/key.pem").read()
values = [token, key, *key.splitlines()[1:-1]]
def forms(value):
    raw = value.encode()
    yield value
    yield raw.hex(); yield raw.hex().upper()
    for before in (b"", b"a", b"ab"):
        for after in (b"", b"c", b"cd"):
            yield base64.b64encode(before + raw + after).decode()
            yield base64.urlsafe_b64encode(before + raw + after).decode().rstrip("=")
            yield base64.encodebytes(b"some filler in front " + before + raw + b" and some behind" + after).decode()
    yield urllib.parse.quote(value); yield urllib.parse.quote(value, safe="")
    yield urllib.parse.quote_plus(value); yield urllib.parse.quote(value).lower().replace("%2f", "%2f")
    yield json.dumps(value)
print("START", flush=True)
for value in values:
    for form in forms(value):
        print("out", form); print("err", form, file=sys.stderr)
sys.stdout.flush(); sys.stderr.flush()
for stream in (sys.stdout, sys.stderr):
    for form in (token, base64.b64encode(token.encode()).decode()):
        for n in range(0, len(form), 5):
            stream.write(form[n:n + 5]); stream.flush(); time.sleep(0.02)
    for letter in token:
        os.write(stream.fileno(), letter.encode())
    stream.write("\n"); stream.flush()
out = pathlib.Path(os.environ["AIDO_OUTPUTS"])
for n, value in enumerate(values):
    (out / f"plain{n}.txt").write_text(f"before {value} after\n")
    (out / f"forms{n}.txt").write_text("\n".join(forms(value)))
    (out / f"binary{n}.bin").write_bytes(b"\0" * 70000 + value.encode() + b"\0" * 200000 + value.encode().hex().encode())
flat = token.replace("/", "_")
(out / f"named-{LINE}").write_text("x"); (out / f"folder-{LINE}").mkdir(); (out / f"folder-{LINE}" / "in").write_text("y")
os.symlink(token, out / "link"); os.mkfifo(out / f"fifo-{LINE}")
subprocess.run(["true", token, f"--password={token}", LINE])
subprocess.run(["sh", "-c", ": " + "'" + token + "'"])
try: subprocess.run([f"/usr/bin/no-such-{LINE}"])
except OSError: pass
ctypes.CDLL(None).prctl(15, LINE[:15].encode())
for path in (f"/usr/{LINE}", f"/workspace/{LINE}", f"/no/{LINE}", f"/etc/{token}"):
    for mode in ("r", "w"):
        try: open(path, mode)
        except OSError: pass
try: os.mkdir(f"/workspace/{LINE}")
except OSError: pass
# A call that the profile refuses, by a process of that name.
ctypes.CDLL(None).syscall(165, b"x", b"y", b"z", 0, 0)
print("END", flush=True)
"#;

fn planted() -> Project {
    let leak = LEAK.replace("{LINE}", LINES[1]).replace("LINE", &format!("{:?}", LINES[1]));
    let yaml = "name: planted\nsecrets: [deploy/key.pem]\nenv: {TOKEN: {from: MY_TOKEN}}\n";
    Project::with(&[("leak.py", &leak), ("deploy/key.pem", &key()), ("sandbox.yaml", yaml)])
}

fn run(p: &Project, options: &[&str]) -> Running {
    let mut command = p.command(["run"].iter().chain(options).chain(&["leak.py"]));
    command.env("MY_TOKEN", TOKEN);
    Running::start(command)
}

fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let sextet = |n: usize| {
        (0..6).fold(0, |all, bit| {
            let at = 6 * n + bit;
            all << 1 | bytes.get(at / 8).map_or(0, |byte| usize::from(byte >> (7 - at % 8) & 1))
        })
    };
    (0..bytes.len() * 8 / 6).map(|n| char::from(LETTERS[sextet(n)])).collect()
}

/// What gives a secret away: itself, and its forms, all but the ends that other bytes decide too.
fn telling() -> Vec<(String, Vec<u8>)> {
    let mut parts = Vec::new();
    for value in [TOKEN].iter().chain(&LINES) {
        let mut add = |what: &str, form: String| parts.push((format!("{what} of {value}"), form.into_bytes()));
        add("itself", value.to_string());
        let hex: String = value.bytes().map(|byte| format!("{byte:02x}")).collect();
        add("upper hex", hex.to_uppercase());
        add("hex", hex);
        let escaped = |keep: &str| -> String {
            let letter = |byte: u8| match byte {
                byte if byte.is_ascii_alphanumeric() || keep.as_bytes().contains(&byte) => char::from(byte).to_string(),
                byte => format!("%{byte:02X}"),
            };
            value.bytes().map(letter).collect()
        };
        add("URL", escaped("-_.~"));
        add("URL path", escaped("-_.~/"));
        for shift in 0..3 {
            let text = base64(&[&b"abc"[..shift], value.as_bytes()].concat());
            let core = text[[0, 2, 3][shift]..].to_string();
            add("URL-safe Base64", core.replace('+', "-").replace('/', "_"));
            add("Base64", core);
        }
    }
    parts
}

/// Where any of it is found.
pub(crate) fn search(bytes: &[u8]) -> Option<String> {
    let flat: Vec<u8> = bytes.iter().copied().filter(|byte| !matches!(byte, b'\n' | b'\r')).collect();
    let found = telling().into_iter().find(|(_, part)| {
        let has = |bytes: &[u8]| bytes.windows(part.len()).any(|window| window == part);
        has(bytes) || has(&flat)
    });
    found.map(|(what, _)| what)
}

fn everything(folder: &Path, found: &mut Vec<String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let mut note = |what: Option<String>| found.extend(what.map(|what| format!("{what} in {}", path.display())));
        note(search(path.file_name().unwrap().as_encoded_bytes()));
        let kind = path.symlink_metadata().unwrap().file_type();
        if kind.is_dir() {
            everything(&path, found);
        } else if kind.is_symlink() {
            note(search(fs::read_link(&path).unwrap().as_os_str().as_encoded_bytes()));
        } else {
            note(search(&fs::read(&path).unwrap()));
        }
    }
}

#[track_caller]
fn nothing_is_left(p: &Project) {
    let mut found = Vec::new();
    everything(&p.path().join(".aido"), &mut found);
    assert!(found.is_empty(), "{found:#?}");
}

#[track_caller]
fn nothing_is_shown(p: &Project) {
    for args in [
        &["show"][..],
        &["show", "--json"],
        &["logs"],
        &["logs", "--stderr"],
        &["logs", "--events"],
        &["logs", "--events", "--json"],
        &["logs", "--raw"],
        &["logs", "--json"],
        &["runs", "--json"],
        &["check"],
        &["check", "--json"],
    ] {
        let out = p.command(args).env("MY_TOKEN", TOKEN).output().unwrap();
        assert!(out.status.success(), "{args:?}");
        for bytes in [&out.stdout, &out.stderr] {
            assert_eq!(search(bytes), None, "{args:?}: {}", String::from_utf8_lossy(bytes));
        }
    }
}

#[test]
fn a_planted_secret_is_nowhere_whatever_the_task_does_with_it() {
    for options in [&[][..], &["--json"], &["--isolation", "landlock"]] {
        let p = planted();
        let out = run(&p, options).end();
        out.ok();
        assert_eq!((search(&out.stdout), search(&out.stderr)), (None, None), "{out}");
        nothing_is_left(&p);
        nothing_is_shown(&p);
        let log = String::from_utf8(p.evidence("stdout.log")).unwrap();
        assert!(log.starts_with("START\n") && log.ends_with("END\n"), "{log}");
        assert!(log.contains("out [secret MY_TOKEN]\n") && log.contains("[secret deploy/key.pem]"), "{log}");
        let summary = p.summary();
        let count = |what: &str| {
            let all = summary["redacted"].as_array().unwrap();
            all.iter().find(|found| found["what"] == what).and_then(|found| found["count"].as_u64()).unwrap_or(0)
        };
        assert!(count("secret MY_TOKEN") > 20 && count("secret deploy/key.pem") > 20, "{summary}");
        let artifacts = summary["outputs"]["artifacts"].as_array().unwrap();
        assert!(artifacts.len() == 15 && artifacts.iter().all(|a| a["redacted"].as_u64() > Some(0)), "{artifacts:?}");
        let input = summary["inputs"].as_array().unwrap().iter().find(|i| i["path"] == "deploy/key.pem").unwrap();
        assert_eq!((&input["secret"], &input["size"]), (&Value::from(true), &Value::from(key().len())));
        assert!(input.get("digest").is_none(), "{input}");
        let omitted = summary["outputs"]["omitted"].to_string();
        assert_eq!(omitted.matches("its name holds a secret").count(), 3, "{omitted}");
        let events = check(&p.evidence("events.log")).unwrap();
        let told: Vec<&Value> = events.iter().filter(|e| e["type"] == "redacted").map(|e| &e["data"]).collect();
        assert_eq!(told.len(), 4, "each kind once for each stream: {told:?}");
    }
}

#[test]
fn the_same_search_finds_it_where_output_is_kept_exactly() {
    let p = planted();
    let out = run(&p, &["--exact-output"]).end();
    out.ok().says("kept byte for byte");
    assert!(search(&out.stdout).is_some());
    let log = p.evidence("stdout.log");
    for (what, part) in telling() {
        let flat: Vec<u8> = log.iter().copied().filter(|byte| *byte != b'\n').collect();
        let has = |bytes: &[u8]| bytes.windows(part.len()).any(|window| window == part);
        assert!(has(&log) || has(&flat), "the task does not write {what}, so that no test can miss it");
    }
    let mut found = Vec::new();
    everything(&p.path().join(".aido"), &mut found);
    assert!(found.iter().any(|place| place.contains("stderr.log")) && found.len() > 5, "{found:?}");
    // Even then it is in the task's output alone.
    let elsewhere =
        |place: &&String| ["summary.json", "events.log", "plan.json", "ledger"].iter().any(|n| place.contains(n));
    assert_eq!(found.iter().find(elsewhere), None, "{found:?}");
    let plan: Value = serde_json::from_slice(&p.evidence("plan.json")).unwrap();
    assert_eq!(plan["exact_output"], true);
    assert!(p.summary()["warnings"].to_string().contains("--exact-output"));
}

#[test]
fn a_supervisor_that_is_killed_in_the_middle_leaves_no_secret() {
    for wait in [50, 150, 300, 500] {
        let p = planted();
        let running = run(&p, &[]);
        let me = running.pid();
        let log = wait_for("the task", || {
            let log = p.last_run().join("stdout.log");
            fs::metadata(&log).is_ok_and(|m| m.len() > 0).then_some(log)
        });
        std::thread::sleep(Duration::from_millis(wait));
        let child = fs::read_to_string(format!("/proc/{me}/task/{me}/children")).unwrap_or_default();
        if let Some(child) = child.split_whitespace().next().and_then(|pid| pid.parse().ok()) {
            let _ = kill(Pid::from_raw(child), Signal::SIGKILL);
        }
        let out = running.end();
        assert_eq!((search(&out.stdout), search(&out.stderr)), (None, None), "{out}");
        assert!(fs::metadata(log).is_ok());
        nothing_is_left(&p);
        nothing_is_shown(&p);
    }
}

#[test]
fn no_process_of_ours_shows_it_in_its_title() {
    let p = Project::with(&[("k.pem", &key())]);
    let mut command = p.command(["run", "--detach", "-e", "MY_TOKEN", "--secret-file", "k.pem", "--", "sleep", "3"]);
    let out = command.env("MY_TOKEN", TOKEN).output().unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    let mut ours = 0;
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let read = |name: &str| fs::read(entry.path().join(name)).unwrap_or_default();
        let (line, name) = (read("cmdline"), read("comm"));
        ours += usize::from(line.starts_with(b"aido-init"));
        assert_eq!((search(&line), search(&name)), (None, None), "{}", String::from_utf8_lossy(&line));
    }
    assert!(ours > 0, "the sandbox's first process was not seen");
    p.aido(["sandbox", "destroy", "--all"]).ok();
}
