//! `aido init` and `aido schema`: what is written runs, and what is promised to editors is what is read.

use crate::host;
use crate::output::Output;
use crate::project::Project;
use serde_json::Value;
use std::fs;
use std::os::unix::fs::symlink;
use std::process::{Command, Stdio};
use std::time::Duration;

/// (the files, what it is, the program that this machine would need)
type Made = (&'static [(&'static str, &'static str)], &'static str, &'static str);
const PROJECTS: &[Made] = &[
    (&[("pyproject.toml", "[project]\nname = \"x\"\n"), ("main.py", "print('it runs')\n")], "python", "python3"),
    (&[("requirements.txt", "")], "python", "python3"),
    (&[("package.json", r#"{"main": "lib.js"}"#), ("lib.js", "console.log('it runs')\n")], "node", "node"),
    (&[("run.sh", "#!/bin/sh\necho it runs\n"), ("README", "")], "shell", "sh"),
    (&[("deploy", "#!/usr/bin/env sh\necho it runs\n")], "shell", "sh"),
    (
        &[("Cargo.toml", "[package]\nname = \"x\"\nversion = \"0.1.0\"\n"), ("Cargo.lock", "version = 3\n")],
        "rust",
        "cargo",
    ),
    (&[("go.mod", "module x\n\ngo 1.22\n"), ("x.go", "package x\n")], "go", "go"),
    (&[("main.tf", "")], "terraform", "terraform"),
];

#[test]
fn a_project_of_each_kind_gets_a_file_that_is_checked_and_runs() {
    for (files, kind, program) in PROJECTS {
        let p = Project::with(files);
        let out = p.aido(["init"]);
        out.ok().says(kind);
        let next = out.text();
        p.aido(["check"]).ok().prints("is valid");
        let runtime = p.aido(["check", "--json"]).ok().json()["runtime"].as_str().unwrap().to_string();
        if runtime != "host" {
            // Not on this machine; the file names an image that has it, and this one cannot be asked for here.
            assert!(runtime.contains(':') && !runtime.contains(' '), "{program}: {runtime}");
            continue;
        }
        let words: Vec<&str> = next.split_whitespace().collect();
        assert_eq!(words[..2], ["aido", "run"], "{next:?}");
        let ran = p.aido(&words[1..]);
        ran.ok();
        if files.iter().any(|(_, text)| text.contains("it runs")) {
            ran.stdout("it runs\n");
        }
    }
}

#[test]
fn nothing_is_written_over_and_nothing_is_asked() {
    let p = Project::with(&[("main.py", ""), ("sandbox.yaml", "name: mine\n")]);
    p.aido(["init"]).refused(&["sandbox.yaml", "--force"]);
    p.aido(["init", "--json"]).refused(&["--force"]);
    assert_eq!(p.read("sandbox.yaml"), "name: mine\n");
    let shown = p.aido(["init", "--stdout"]).ok().text();
    assert_eq!(p.read("sandbox.yaml"), "name: mine\n");
    assert!(!p.path().join(".aido").exists(), "--stdout wrote something");
    let told = p.aido(["init", "--force", "--json"]).ok().json();
    assert_eq!(p.read("sandbox.yaml"), shown);
    assert_eq!((&told["version"], &told["file"]), (&1.into(), &"sandbox.yaml".into()));
    assert_eq!(told["found"][0]["kind"], "python");
    assert_eq!(told["next"], serde_json::json!(["aido", "run", "main.py"]));
    // What is there by whatever name is not followed.
    let linked = Project::new();
    symlink(p.path().join("main.py"), linked.path().join("sandbox.yaml")).unwrap();
    linked.aido(["init"]).refused(&["--force"]);
    linked.aido(["init", "--force"]).ok();
    assert_eq!(p.read("main.py"), "");
    linked.aido(["check"]).ok();
}

#[test]
fn what_is_not_allowed_is_not_written() {
    let p = Project::with(&[("main.py", "")]);
    let config = p.home().join(".config/aido");
    fs::create_dir_all(&config).unwrap();
    fs::write(config.join("policy.yaml"), "runtimes: []\n").unwrap();
    p.aido(["init"]).refused(&["policy"]);
    assert!(!p.path().join("sandbox.yaml").exists() && !p.path().join(".aido").exists());
}

#[test]
fn a_hostile_project_cannot_hurt() {
    let p = Project::with(&[
        ("a\nruntime: evil\n.py", ""),
        ("$(touch pwned).sh", "#!/bin/sh\n"),
        ("--force", ""),
        ("pyproject.toml", "requires-python = \"\u{1b}[2J3.9\nruntime: evil\"\n"),
    ]);
    nix::unistd::mkfifo(&p.path().join("package.json"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    symlink("/dev/zero", p.path().join("Cargo.toml")).unwrap();
    symlink("loop", p.path().join("loop")).unwrap();
    fs::File::create(p.path().join("setup.py")).unwrap().set_len(1 << 30).unwrap();
    fs::File::create(p.path().join(".python-version")).unwrap().set_len(1 << 30).unwrap();
    let out = p.aido(["init"]);
    assert!(out.ok().took < Duration::from_secs(10), "{out}");
    assert!(!out.told().contains('\u{1b}') && !out.text().contains('\u{1b}'), "{out}");
    let text = p.read("sandbox.yaml");
    assert!(!text.contains("evil") && !text.contains("pwned") && !text.contains('\u{1b}'), "{text}");
    p.aido(["check"]).ok();
    p.aido(["run", "-q", "--", "true"]).ok();

    // A folder for evidence that a stranger has laid elsewhere is not written to.
    let (planted, other) = (Project::with(&[("main.py", "")]), Project::new());
    symlink(other.path(), planted.path().join(".aido")).unwrap();
    planted.aido(["init"]).code(125);
    assert_eq!(fs::read_dir(other.path()).unwrap().count(), 0);
    assert!(!planted.path().join("sandbox.yaml").exists());
}

/// What a validator of JSON Schema says of each text; None where there is none on this machine.
fn judged(schema: &str, texts: &[String]) -> Option<Vec<bool>> {
    const JUDGE: &str = "\
import json, sys, yaml, jsonschema
schema, texts = json.load(sys.stdin)
jsonschema.Draft7Validator.check_schema(schema)
judge = jsonschema.Draft7Validator(schema)
print(json.dumps([judge.is_valid(yaml.safe_load(text)) for text in texts]))";
    let has =
        |code: &str| Command::new("/usr/bin/python3").args(["-c", code]).output().is_ok_and(|out| out.status.success());
    if !has("import jsonschema, yaml") {
        return None;
    }
    let schema: Value = serde_json::from_str(schema).unwrap();
    let mut judge = Command::new("/usr/bin/python3");
    judge.args(["-c", JUDGE]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut judge = judge.spawn().unwrap();
    serde_json::to_writer(judge.stdin.take().unwrap(), &(schema, texts)).unwrap();
    let out = judge.wait_with_output().unwrap();
    assert!(out.status.success());
    Some(serde_json::from_slice(&out.stdout).unwrap())
}

/// The YAML in a page of documentation, by the word that a block begins with.
fn blocks(page: &str) -> Vec<String> {
    let blocks = page.split("```yaml\n").skip(1).filter_map(|rest| rest.split_once("```"));
    blocks.map(|(block, _)| block.to_string()).collect()
}

const PAGES: [&str; 3] = [
    include_str!("../../docs/CONFIGURATION.md"),
    include_str!("../../docs/NETWORK.md"),
    include_str!("../../README.md"),
];

#[test]
fn every_file_that_is_shown_to_people_holds_against_the_schema() {
    let p = Project::new();
    let schema = p.aido(["schema"]).ok().text();
    let policy = p.aido(["schema", "--policy"]).ok().text();
    let (policies, mut texts): (Vec<String>, Vec<String>) = PAGES
        .iter()
        .flat_map(|page| blocks(page))
        .filter(|block| !block.contains("registries:"))
        .partition(|block| block.starts_with("version:"));
    for example in fs::read_dir(host::examples()).unwrap().flatten() {
        texts.extend(fs::read_to_string(example.path().join("sandbox.yaml")).ok());
    }
    assert!(texts.len() >= 5 && !policies.is_empty(), "{texts:?}");
    for (files, _, _) in PROJECTS {
        texts.push(Project::with(files).aido(["init", "--stdout"]).ok().text());
    }
    let Some(verdicts) = judged(&schema, &texts) else {
        skip!("the Python libraries jsonschema and yaml are missing (apt-get install python3-jsonschema python3-yaml)");
    };
    for (text, holds) in texts.iter().zip(verdicts) {
        assert!(holds, "the schema refuses what is documented:\n{text}");
    }
    assert!(judged(&policy, &policies).unwrap().iter().all(|holds| *holds), "{policies:?}");
}

/// Wrong by their shape, which a schema can say.
const WRONG: &[&str] = &[
    "runtme: host",
    "ttl: soon",
    "ttl: 900",
    "ttl: 5m3h",
    "memory: 1GiB",
    "name: ../../etc",
    "name: 12",
    "runtime: rootfs:/",
    "runtime: ./x",
    "runtime: 'oci:'",
    "inputs: src",
    "inputs: [1]",
    "outputs: {a: b}",
    "secrets: x",
    "record: some",
    "env: [A]",
    "env: {1X: a}",
    "env: {A: 1}",
    "env: {A: {form: B}}",
    "env: {A: {from: B, to: C}}",
    "resources: {memory: 512 parsecs}",
    "resources: {memory: 512M}",
    "resources: {memory: 1}",
    "resources: {cpus: -1}",
    "resources: {cpus: 5000}",
    "resources: {pids: 0}",
    "resources: [1]",
    "permissions: {aws: readonly}",
    "permissions: {filesystem: open}",
    "permissions: {syscalls: none}",
    "permissions: {network: some}",
    "permissions: {network: {all: true}}",
    "permissions: {network: [{host: a.example, port: [80]}]}",
    "permissions: {network: [{ports: [80]}]}",
    "permissions: {network: [{host: a.example, ports: [0]}]}",
    "permissions: {network: [{host: a.example, ports: ['80']}]}",
    "permissions: {network: [{host: a.example, tls: open}]}",
    "permissions: {network: [{host: a.example, private: 'yes, please'}]}",
    "permissions: {network: [{host: a.example, inject: {header: A, value: b}}]}",
    "permissions: {network: [{host: a.example, inject: {header: A, value: '${B}', from: {file: x}}}]}",
    "backend: docker",
    "just a text",
    "[a]",
];

/// The same of a policy.
const WRONG_POLICY: &[&str] =
    &["version: 2", "ttl: 5", "runtimes: host", "backend: podman", "backends: [x]", "mutations: 1", "name: x"];

#[test]
fn what_the_schema_refuses_is_refused_by_aido_and_the_other_way_round() {
    let p = Project::new();
    let texts = |wrong: &[&str]| wrong.iter().map(|text| format!("{text}\n")).collect::<Vec<_>>();
    let schema = p.aido(["schema"]).ok().text();
    let Some(verdicts) = judged(&schema, &texts(WRONG)) else {
        skip!("the Python libraries jsonschema and yaml are missing (apt-get install python3-jsonschema python3-yaml)");
    };
    for (text, holds) in WRONG.iter().zip(verdicts) {
        assert!(!holds, "the schema takes {text:?}");
        p.write("sandbox.yaml", text);
        p.aido(["check"]).code(125);
    }
    p.write("sandbox.yaml", "");
    let config = p.home().join(".config/aido");
    fs::create_dir_all(&config).unwrap();
    let policy = p.aido(["schema", "--policy"]).ok().text();
    for (text, holds) in WRONG_POLICY.iter().zip(judged(&policy, &texts(WRONG_POLICY)).unwrap()) {
        assert!(!holds, "the schema of policies takes {text:?}");
        fs::write(config.join("policy.yaml"), text).unwrap();
        p.aido(["check"]).code(125);
    }
}

#[test]
fn the_schema_lies_where_the_first_line_of_the_file_says() {
    let p = Project::with(&[("main.py", "")]);
    p.aido(["init"]).ok();
    let text = p.read("sandbox.yaml");
    let named = text.lines().next().unwrap().strip_prefix("# yaml-language-server: $schema=").unwrap();
    let shown: Output = p.aido(["schema"]);
    assert_eq!(p.read(named), shown.ok().text());
    assert_eq!(p.read(".aido/.gitignore"), "*\n");
    fs::remove_file(p.path().join(named)).unwrap();
    p.aido(["schema", "--write"]).ok().stdout(&format!("{}\n", text.lines().next().unwrap()));
    assert_eq!(p.read(named), shown.text());
    // It is no evidence, and does not stand in the way of any.
    p.aido(["run", "-q", "main.py"]).ok();
    p.aido(["verify", "--all"]).ok();
}
