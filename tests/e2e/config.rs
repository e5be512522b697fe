//! `sandbox.yaml` as a person gets it wrong: every mistake is placed, explained, and nothing starts.

use crate::project::Project;
use std::time::Duration;

/// (the file, the place of the mistake, what must be said)
const MISTAKES: &[(&str, &str, &[&str])] = &[
    ("ttl: 5m\nruntme: host\n", "sandbox.yaml:2:1", &["runtme", "runtime", "^^^^^^"]),
    ("ttl: soon\n", "sandbox.yaml:1:6", &["soon", "^^^^"]),
    ("ttl: 5m\nttl: 6m\n", "sandbox.yaml:2:1", &["twice"]),
    ("ttl: 0s\n", "sandbox.yaml:1:6", &["range"]),
    ("ttl: 100h\n", "sandbox.yaml:1:6", &["24h"]),
    ("resources:\n  memory: 512 parsecs\n", "sandbox.yaml:2:11", &["parsecs"]),
    ("resources: {memory: 1KiB}\n", "sandbox.yaml:1:21", &["range"]),
    ("resources: {cpus: -1}\n", "sandbox.yaml:1:19", &["-1"]),
    ("memory: 1GiB\n", "sandbox.yaml:1:1", &["resources"]),
    ("permissions:\n  network: [10.0.0.1]\n", "sandbox.yaml:2:13", &["is an address"]),
    ("permissions:\n  network: [{host: a.example, port: [80]}]\n", "sandbox.yaml:2:31", &["port", "ports"]),
    ("permissions: {aws: readonly}\n", "sandbox.yaml:1:15", &["aws", "refused"]),
    ("inputs: src\n", "sandbox.yaml:1:9", &["list", "[src]"]),
    ("inputs: [nowhere/*.json]\n", "sandbox.yaml:1:10", &["nowhere/*.json"]),
    ("inputs: [../up]\n", "sandbox.yaml:1:10", &[".."]),
    ("name: ../../etc\n", "sandbox.yaml:1:7", &["name"]),
    ("runtime: rootfs:/\n", "sandbox.yaml:1:10", &["--runtime"]),
    ("env: {X: {from: NO_SUCH_VARIABLE_HERE}}\n", "sandbox.yaml:1:", &["NO_SUCH_VARIABLE_HERE"]),
    ("ttl: [5m\n", "sandbox.yaml:", &[]),
    ("ttl: 5m\n---\nttl: 6m\n", "sandbox.yaml:", &[]),
    ("ttl: !!python/object:os.system x\n", "sandbox.yaml:1:", &[]),
    ("just a text\n", "sandbox.yaml:1:1", &["mapping"]),
];

#[test]
fn every_mistake_is_placed_and_nothing_starts() {
    for (yaml, place, words) in MISTAKES {
        let p = Project::with(&[("sandbox.yaml", yaml), ("a", "")]);
        let out = p.aido(["run", "--", "touch", "/outputs/started"]);
        out.refused(&[place]).refused(words);
        assert!(!p.last_run().exists(), "{yaml:?} started{out}");
        // The same from `aido check`, which is for this; a variable may be set when it matters.
        if !yaml.contains("NO_SUCH_VARIABLE_HERE") {
            p.aido(["check"]).code(125).says(place);
        }
    }
}

#[test]
fn the_line_is_shown_with_a_caret_below_the_word() {
    let p = Project::with(&[("sandbox.yaml", "name: x\nresources:\n  memroy: 1GiB\n")]);
    let told = p.aido(["check"]).code(125).told();
    let lines: Vec<&str> = told.lines().collect();
    let at = lines.iter().position(|l| l.contains("memroy: 1GiB")).unwrap_or_else(|| panic!("{told}"));
    assert_eq!(lines[at].find("memroy"), lines[at + 1].find("^^^^^^"), "{told}");
    assert!(told.contains("`memory`"), "{told}");
}

#[test]
fn bombs_are_refused_quickly() {
    let mut aliases = String::from("a: &a [x,x,x,x,x,x,x,x,x]\n");
    for (new, old) in ('b'..='i').zip('a'..='h') {
        aliases += &format!("{new}: &{new} [{}]\n", vec![format!("*{old}"); 9].join(","));
    }
    let bombs = [aliases, "[".repeat(100_000), format!("name: {}\n", "x".repeat(2 << 20)), "- ".repeat(50_000)];
    for bomb in bombs {
        let p = Project::with(&[("sandbox.yaml", &bomb)]);
        let out = p.aido(["check"]);
        assert!(out.code(125).took < Duration::from_secs(5), "{:?}", out.took);
        assert!(out.stderr.len() < 4096, "{} bytes of complaint", out.stderr.len());
    }
}

#[test]
fn only_a_plain_file_is_read() {
    let p = Project::new();
    nix::unistd::mkfifo(&p.path().join("sandbox.yaml"), nix::sys::stat::Mode::S_IRUSR).unwrap();
    let out = p.aido(["check"]);
    assert!(out.code(125).took < Duration::from_secs(5), "{out}");
    for file in ["/dev/zero", "/dev/null/x", "missing.yaml", "."] {
        p.aido(["run", "-f", file, "--", "true"]).refused(&[]);
    }
}

#[test]
fn the_whole_schema_is_taken_and_check_shows_what_it_grants() {
    let yaml = "name: test-migration\nruntime: host\nttl: 1h30m\ninputs: [scripts/a.py, config/*.json]\n\
                outputs: [results/, migration.log]\npermissions:\n  filesystem: readonly\n  network: false\n\
                env: {STAGE: test, TOKEN: {from: AIDO_E2E_LEAK}}\nresources: {memory: 512MiB, cpus: 1.5, pids: 256, disk: 1GiB, output: 64MiB}\n";
    let p = Project::with(&[("sandbox.yaml", yaml), ("scripts/a.py", ""), ("config/x.json", "{}")]);
    let shown = p.aido(["check"]).ok().text();
    for word in ["test-migration", "scripts/a.py", "config/x.json", "results", "migration.log", "STAGE", "512"] {
        assert!(shown.contains(word), "{word} is not shown:\n{shown}");
    }
    assert!(!shown.contains("the caller's own"), "a secret's value was shown");
    p.aido(["check", "--json"]).ok().json();
    assert!(!p.path().join(".aido").exists(), "check changed the project");
}

#[test]
fn hostile_text_in_a_configuration_does_not_steer_the_terminal() {
    let p = Project::with(&[("sandbox.yaml", "\"ttl\\e[2J\": \"\u{202e}x\"\n\u{1b}[2J: x\n")]);
    let out = p.aido(["check"]);
    out.code(125);
    assert!(!out.told().contains('\u{1b}') && !out.told().contains('\u{202e}'), "{:?}", out.told());
}
