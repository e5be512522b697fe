//! `--json` of every command: what docs/JSON.md says is what programs get.

use crate::host;
use crate::output::Output;
use crate::project::Project;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::process::Command;

const PAGE: &str = include_str!("../../docs/JSON.md");

/// By command: the version, and the keys.
fn documented() -> BTreeMap<String, (u64, Vec<String>)> {
    let ticked = |text: &str| text.split('`').skip(1).step_by(2).map(str::to_string).collect::<Vec<_>>();
    let rows = PAGE.lines().filter_map(|line| {
        let cells: Vec<&str> = line.strip_prefix("| `")?.split(" | ").collect();
        let [command, version, keys] = cells[..] else { return None };
        let keys = ticked(keys.rsplit_once(": ").map_or(keys, |(_, keys)| keys));
        Some((command.trim_end_matches('`').to_string(), (version.parse().ok()?, keys)))
    });
    rows.collect()
}

/// Holds a document, or each line of a list, against the page.
#[track_caller]
fn holds(command: &str, told: &Value) {
    let documented = documented();
    let (version, keys) = documented.get(command).unwrap_or_else(|| panic!("{command} is not documented"));
    let lines = match told {
        Value::Array(lines) => lines.iter().collect(),
        other => vec![other],
    };
    assert!(!lines.is_empty(), "{command}: nothing to look at");
    for line in lines {
        let has: BTreeSet<&str> = line.as_object().unwrap().keys().map(String::as_str).collect();
        let may: BTreeSet<&str> = keys.iter().map(|key| key.trim_end_matches('?')).collect();
        let missing: Vec<&String> =
            keys.iter().filter(|key| !key.ends_with('?') && !has.contains(key.as_str())).collect();
        let more: Vec<&&str> = has.difference(&may).collect();
        assert!(
            missing.is_empty() && more.is_empty(),
            "{command}: {missing:?} missing, {more:?} not documented: {line}"
        );
        let told = line.get("version").or(line.get("v")).and_then(Value::as_u64);
        assert_eq!(told, Some(*version), "{command}: {line}");
    }
}

fn lines(out: &Output) -> Vec<Value> {
    out.text().lines().map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}{out}"))).collect()
}

/// Every command that has the option, by its manual page.
#[test]
fn every_command_that_has_it_is_documented_and_no_other() {
    let p = Project::new();
    p.aido(["man", "pages"]).ok();
    let mut have = BTreeSet::new();
    for page in fs::read_dir(p.path().join("pages")).unwrap().flatten() {
        let name = page.file_name().into_string().unwrap();
        let text = fs::read_to_string(page.path()).unwrap();
        if let Some(command) = name.trim_end_matches(".1").strip_prefix("aido-").filter(|_| text.contains(r"\-\-json"))
        {
            have.insert(command.replace('-', " "));
        }
    }
    let forms = ["logs --events", "diff A B", "apply --undo", "apply --undo list"].map(str::to_string);
    let documented: BTreeSet<String> = documented().into_keys().filter(|command| !forms.contains(command)).collect();
    assert_eq!(have, documented);
}

#[test]
fn a_run_tells_its_events_as_they_come_and_its_summary_last() {
    let p = Project::new();
    let mut running = p.start(["run", "--json", "--", "sh", "-c", "echo noise; sleep 3; exit 5"]);
    // While the task runs, not afterwards.
    running.wait_for("\"type\":\"enforced\"");
    let out = running.end();
    out.code(5);
    let told = lines(&out);
    told.iter().for_each(|line| holds("run", line));
    let (summary, events) = told.split_last().unwrap();
    assert_eq!(summary["summary"], p.aido(["show", "--json"]).ok().json());
    let stored = String::from_utf8(p.evidence("events.log")).unwrap();
    let shown: Vec<String> = out
        .text()
        .lines()
        .filter_map(|line| Some(line.strip_prefix("{\"version\":1,\"event\":")?.strip_suffix('}')?.to_string()))
        .collect();
    assert_eq!(shown, stored.lines().collect::<Vec<_>>(), "not what is on record");
    assert_eq!(shown.len(), events.len());
    assert!(!out.text().contains("noise\\n") && told.len() > 5, "{out}");

    let detached = p.aido(["run", "-q", "--json", "--detach", "--", "true"]);
    holds("run", &detached.ok().json());
    p.aido(["logs", "-f", detached.json()["run"].as_str().unwrap()]).ok();
}

#[test]
fn commands_that_look_back_are_as_documented() {
    let p = Project::with(&[("main.py", "")]);
    p.sh("echo out; echo err >&2; printf '\\377'").ok();
    let ask = |args: &[&str]| p.aido(args.iter().chain(&["--json"]));
    for command in ["runs", "show", "verify", "sandbox list", "init", "check", "key show", "key export", "key rotate"] {
        let out = ask(&command.split(' ').collect::<Vec<_>>());
        holds(command, &out.ok().json());
        assert!(!out.text().contains('\u{1b}'));
    }
    holds("doctor", &ask(&["doctor"]).json());
    holds("logs", &Value::Array(lines(ask(&["logs"]).ok())));
    holds("logs --events", &Value::Array(lines(ask(&["logs", "--events"]).ok())));
    holds("export", &ask(&["export", "-o", "run.tar"]).ok().json());
    holds("prune", &ask(&["prune", "--keep", "0", "--dry-run"]).ok().json());
    let up = ask(&["sandbox", "up", "-q"]).ok().json();
    holds("sandbox up", &up);
    let destroyed = ask(&["sandbox", "destroy", up["id"].as_str().unwrap()]).ok().json();
    holds("sandbox destroy", &destroyed);
    assert_eq!(destroyed["destroyed"], serde_json::json!([up["id"]]));
    holds("sandbox destroy", &Project::new().aido(["sandbox", "destroy", "--all", "--json"]).ok().json());
}

#[test]
fn commands_on_images_are_as_documented() {
    let p = Project::new();
    let ask = |args: &[&str]| p.aido(args.iter().chain(&["--json"]));
    let made = Command::new("tar").args(["-cf", "root.tar", "/etc/hostname"]).current_dir(p.path()).output().unwrap();
    assert!(made.status.success());
    holds("image import", &ask(&["image", "import", "rootfs-archive:root.tar", "base:1"]).ok().json());
    holds("image list", &ask(&["image", "list"]).ok().json());
    holds("image verify", &ask(&["image", "verify"]).ok().json());
    holds("image export", &ask(&["image", "export", "base:1", "-o", "base.tar"]).ok().json());
    holds("image prune", &ask(&["image", "prune", "--dry-run"]).ok().json());
    holds("image remove", &ask(&["image", "remove", "base:1"]).ok().json());
    let Some(registry) = host::registry() else { skip!("no registry (AIDO_REGISTRY)") };
    let image = format!("{registry}/tiny:latest");
    holds("image pull", &ask(&["image", "pull", &image]).ok().json());
}

#[test]
fn commands_on_changes_are_as_documented() {
    let p = Project::with(&[("f", "before\n")]);
    let ask = |args: &[&str]| p.aido(args.iter().chain(&["--json"]));
    let up = ask(&["sandbox", "up", "-q", "--filesystem", "overlay"]);
    if up.code != Some(0) {
        skip!("no layer can be had here: {}", up.told());
    }
    let id = up.json()["id"].as_str().unwrap().to_string();
    let change = |text: &str| p.aido(["run", "-q", "--sandbox", &id, "--", "sh", "-c", &format!("echo {text} >f")]);
    change("a").ok();
    holds("diff", &ask(&["diff", &id]).ok().json());
    let fork = ask(&["sandbox", "fork", "-q", &id]).ok().json();
    holds("sandbox fork", &fork);
    holds("diff A B", &ask(&["diff", &id, fork["id"].as_str().unwrap()]).ok().json());
    holds("apply", &ask(&["apply", &id]).ok().json());
    holds("apply --undo list", &ask(&["apply", "--undo", "list"]).ok().json());
    holds("apply --undo", &ask(&["apply", "--undo"]).ok().json());
    holds("discard", &ask(&["discard", &id]).ok().json());
    p.aido(["sandbox", "destroy", "--all"]).ok();
}
