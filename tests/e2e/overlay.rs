//! Tasks that may change the project, in a layer of their sandbox: nothing of it is seen outside, all of it in the next
//! run, and what was changed can be looked at, compared, forked and dropped.

use crate::host::marker;
use crate::output::Output;
use crate::project::Project;
use crate::running::Running;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What a person's own tools do in the project.
#[track_caller]
pub(crate) fn git(p: &Project, args: &[&str]) -> Output {
    let mut command = Command::new("git");
    command.args(args).current_dir(p.path()).env_clear().env("PATH", "/usr/local/bin:/usr/bin:/bin");
    command.env("HOME", p.home()).env("LANG", "C.UTF-8");
    Running::start(command).end()
}

/// A repository with one commit.
pub(crate) fn repository(files: &[(&str, &str)]) -> Project {
    let p = Project::with(files);
    for args in [
        &["init", "-q", "-b", "main"][..],
        &["config", "user.name", "T"],
        &["config", "user.email", "t@example.org"],
        &["add", "."],
        &["commit", "-q", "-m", "first"],
    ] {
        git(&p, args).ok();
    }
    p
}

/// What a folder holds but for evidence: modes, targets, contents.
pub(crate) fn tree(folder: &Path) -> BTreeMap<PathBuf, (u32, Vec<u8>)> {
    let mut found = BTreeMap::new();
    let mut open = vec![folder.to_path_buf()];
    while let Some(at) = open.pop() {
        for entry in fs::read_dir(&at).unwrap().flatten().filter(|entry| entry.file_name() != ".aido") {
            let (path, meta) = (entry.path(), entry.path().symlink_metadata().unwrap());
            let content = match meta.file_type() {
                kind if kind.is_file() => fs::read(&path).unwrap(),
                kind if kind.is_symlink() => fs::read_link(&path).unwrap().into_os_string().into_encoded_bytes(),
                _ => Vec::new(),
            };
            if meta.is_dir() {
                open.push(path.clone());
            }
            found.insert(path.strip_prefix(folder).unwrap().to_path_buf(), (meta.permissions().mode(), content));
        }
    }
    found
}

/// A script in a fresh sandbox.
pub(crate) fn change(p: &Project, script: &str) -> Output {
    p.aido(["run", "--quiet", "--filesystem", "overlay", "--", "sh", "-c", script])
}

/// A sandbox that is up.
pub(crate) fn up(p: &Project) -> String {
    p.aido(["sandbox", "up", "--quiet", "--filesystem", "overlay"]).word()
}

pub(crate) fn within(p: &Project, sandbox: &str, script: &str) -> Output {
    p.aido(["run", "--quiet", "--sandbox", sandbox, "--", "sh", "-c", script])
}

pub(crate) fn names(p: &Project, args: &[&str]) -> String {
    let all: Vec<&str> = ["diff", "--name-status"].iter().chain(args).copied().collect();
    p.aido(all).ok().text()
}

const FILES: [(&str, &str); 4] =
    [("src/a.txt", "one\ntwo\nthree\n"), ("src/b.txt", "b\n"), ("old/c.txt", "c\n"), ("run.sh", "#!/bin/sh\ntrue\n")];

const ALL_KINDS: &str = "echo more >> src/a.txt; mv src/b.txt src/moved.txt; rm -r old; chmod -x run.sh; \
     ln -s a.txt src/link; printf 'a\\0b' > bin; mkdir -p new/deep; echo n > new/deep/n.txt";

#[test]
fn ten_sandboxes_at_once_do_not_see_each_other() {
    let p = Project::with(&FILES);
    let before = tree(&p.path());
    let script = |n: u32| {
        format!("for i in 1 2 3 4 5 6 7 8 9; do echo {n} >> src/a.txt; sleep 0.05; done; echo {n} > mine; ls; cat mine")
    };
    let runs: Vec<Running> =
        (0..10).map(|n| p.start(["run", "-q", "--filesystem", "overlay", "--", "sh", "-c", &script(n)])).collect();
    for (n, running) in runs.into_iter().enumerate() {
        running.end().ok().stdout(&format!("mine\nold\nrun.sh\nsrc\n{n}\n"));
    }
    assert_eq!(tree(&p.path()), before);
    let listed = p.aido(["runs", "--json"]).ok().json();
    let mut told: Vec<String> = Vec::new();
    for run in listed.as_array().unwrap() {
        let patch = p.aido(["diff", run["run"].as_str().unwrap()]).ok().text();
        let added: Vec<&str> = patch.lines().filter(|l| l.starts_with('+') && l.len() == 2).collect();
        assert!(added.len() == 10 && added.iter().all(|line| *line == added[0]), "{patch}");
        told.push(added[0].to_string());
    }
    told.sort();
    assert_eq!(told, (0..10).map(|n| format!("+{n}")).collect::<Vec<_>>());
    p.aido(["verify", "--all"]).ok();
}

#[test]
fn outputs_secrets_and_what_is_hidden_are_as_without() {
    let p = Project::with(&[
        ("a.txt", "a\n"),
        (".env", "K=1\n"),
        ("key.pem", "S3cret-value-of-the-test\n"),
        ("src/in", "i\n"),
    ]);
    git(&p, &["init", "-q"]).ok();
    p.write("sandbox.yaml", "outputs: [out/]\nsecrets: [key.pem]\npermissions: {filesystem: overlay}\n");
    let script = "cat key.pem > out/k; cat .env .git/config .aido/ledger.jsonl 2>/dev/null; echo x > a.txt; echo done";
    let out = p.aido(["run", "--quiet", "--", "sh", "-c", script]);
    out.ok().stdout("done\n");
    assert!(!p.output("out/k").contains("S3cret"), "a secret came out");
    assert_eq!(names(&p, &[]), "M\ta.txt\n");
    // Only what was named is there; the rest is not even listed with its content.
    p.write("sandbox.yaml", "inputs: [src/]\npermissions: {filesystem: overlay}\n");
    let out = p.aido([
        "run",
        "--quiet",
        "--",
        "sh",
        "-c",
        "cat a.txt 2>/dev/null; cat src/in; echo y > src/in; echo z > fresh",
    ]);
    out.ok().stdout("i\n");
    assert_eq!(names(&p, &[]), "A\tfresh\nM\tsrc/in\n");
    assert_eq!((p.read("src/in"), p.read("a.txt")), ("i\n".into(), "a\n".into()));
}

#[test]
fn a_diff_has_all_of_it_in_every_form_and_git_takes_the_patch() {
    let p = repository(&FILES);
    change(&p, ALL_KINDS).ok();
    let listed = names(&p, &[]);
    assert_eq!(
        listed,
        "D\told/c.txt\nA\tbin\nA\tnew/deep/n.txt\nM\trun.sh\nM\tsrc/a.txt\nA\tsrc/link\nR100\tsrc/b.txt\tsrc/moved.txt\n"
    );
    p.aido(["diff", "--stat"]).ok().prints("src/a.txt | 1 +").prints("Bin 0 -> 3 bytes").prints("7 changed");
    let told = p.aido(["diff", "--json"]).ok().json();
    assert_eq!(told["changes"].as_array().unwrap().len(), 8, "{told}");
    assert_eq!(told["version"], 1);
    // The bytes of a pipe are the patch and nothing else: git makes of the project what the task made of it.
    let patch = p.aido(["diff"]).ok().stdout.clone();
    let q = repository(&FILES);
    q.write("../it.patch", &patch);
    git(&q, &["apply", "--index", "../it.patch"]).ok();
    assert_eq!(q.read("src/a.txt"), "one\ntwo\nthree\nmore\n");
    assert_eq!(
        (q.read("src/moved.txt"), q.read("bin"), q.read("new/deep/n.txt")),
        ("b\n".into(), "a\0b".into(), "n\n".into())
    );
    assert!(!q.path().join("old").exists() && !q.path().join("src/b.txt").exists());
    assert_eq!(fs::read_link(q.path().join("src/link")).unwrap().to_str(), Some("a.txt"));
    // What a name holds never steers a terminal, nor breaks a line.
    change(&p, "echo x > \"$(printf 'a\\n\\033]0;owned')\"").ok();
    assert_eq!(names(&p, &[]), "A\t\"a\\n\\033]0;owned\"\n");
}

#[test]
fn a_discard_drops_it_all_and_the_sandbox_goes_on() {
    let p = Project::with(&FILES);
    let id = up(&p);
    within(&p, &id, ALL_KINDS).ok();
    p.aido(["discard", &id]).ok().says("dropped");
    within(&p, &id, "cat old/c.txt; ls; echo again > src/a.txt").ok().stdout("c\nold\nrun.sh\nsrc\n");
    assert_eq!(names(&p, &[&id]), "M\tsrc/a.txt\n");
    let ledger = p.read(".aido/ledger.jsonl");
    assert!(ledger.contains("\"changes_discarded\""), "{ledger}");
    p.aido(["verify", "--all"]).ok();
}

#[test]
fn a_sandbox_that_runs_or_that_changes_nothing_is_not_forked() {
    let p = Project::with(&FILES);
    let (a, mark) = (up(&p), marker());
    let script = format!("echo up; sleep {mark}");
    let mut running = p.start(["run", "--quiet", "--sandbox", &a, "--", "sh", "-c", &script]);
    running.wait_for("up");
    p.aido(["sandbox", "fork", &a]).refused(&[&a]);
    p.aido(["apply", &a]).refused(&[&a]);
    p.aido(["discard", &a]).refused(&[&a]);
    running.signal(nix::sys::signal::Signal::SIGINT);
    running.end();
    let fork = p.aido(["sandbox", "fork", "--quiet", &a]).word();
    assert_eq!(p.aido(["sandbox", "list", "--json"]).ok().json().as_array().unwrap().len(), 2, "{fork}");
    let plain = p.aido(["sandbox", "up", "--quiet"]).word();
    p.aido(["sandbox", "fork", &plain]).refused(&["cannot be forked"]);
}

/// No evidence, no sandbox.
fn untouched(p: &Project) -> bool {
    !p.path().join(".aido/sandboxes").exists()
}

#[test]
fn where_no_layer_can_be_had_it_is_refused_before_anything_is_made() {
    let p = Project::with(&FILES);
    let args = |more: &[&'static str]| {
        let all: Vec<&str> = ["run", "--filesystem", "overlay"].iter().chain(more).copied().collect();
        p.aido(all.iter().chain(&["--", "true"]))
    };
    args(&["--isolation", "landlock"]).refused(&["overlay", "landlock"]);
    assert!(untouched(&p), "something was made");
    args(&["--backend", "docker", "--runtime", "tiny:1"]).refused(&["overlay", "docker"]);
    assert!(untouched(&p), "something was made");
    p.aido(["sandbox", "up", "--filesystem", "overlay", "--isolation", "landlock"]).refused(&["overlay", "landlock"]);
    assert!(untouched(&p), "something was made");
}

#[test]
fn a_project_that_lies_on_an_overlay_is_refused_by_name() {
    if !crate::host::is_root() {
        // Only the host's root can mount what a container has.
        return;
    }
    let p = Project::with(&FILES);
    let place = p.home();
    let aido = crate::host::aido();
    let script = format!(
        "cd {0} && mkdir lower upper work merged && mount -t overlay o -o lowerdir=lower,upperdir=upper,workdir=work merged \
         && cd merged && echo x > f && HOME={0} {1} run --filesystem overlay -- true; echo $?; ls -A",
        place.display(),
        aido.display()
    );
    let mut command = Command::new("unshare");
    command
        .args(["--mount", "sh", "-c", &script])
        .env_clear()
        .env("PATH", "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin");
    let out = Running::start(command).end();
    out.ok().prints("125").says("overlay").says("merged");
}

#[test]
fn the_record_tells_what_was_changed() {
    let p = repository(&FILES);
    let out = p.aido(["run", "--filesystem", "overlay", "--", "sh", "-c", ALL_KINDS]);
    out.ok().says("7 files").says("aido diff");
    let events = String::from_utf8(p.evidence("events.log")).unwrap();
    let event: Value = events
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .find(|event| event["type"] == "changes")
        .unwrap_or_else(|| panic!("no event in {events}"));
    let data = &event["data"];
    let count = |kind: &str| data[kind]["count"].as_u64().unwrap_or_default();
    assert_eq!(["deleted", "added", "modified", "renamed", "mode"].map(count), [1, 3, 1, 1, 1], "{data}");
    assert!(data["digest"].as_str().unwrap().starts_with("sha256:"), "{data}");
    assert_eq!(p.evidence("changes.diff"), p.aido(["diff"]).ok().stdout);
    p.aido(["show"]).ok().prints("7 files").prints("aido diff");
    let seal = String::from_utf8(p.evidence("seal.json")).unwrap();
    assert!(!seal.is_empty());
    p.aido(["verify"]).ok();
    // It is a part of what is sealed.
    let file = p.last_run().join("changes.diff");
    let mut bytes = fs::read(&file).unwrap();
    bytes.extend(b"\n");
    fs::write(&file, bytes).unwrap();
    let out = p.aido(["verify"]);
    assert!(out.code != Some(0) && format!("{out}").contains("changes.diff"), "{out}");
}

#[test]
fn what_is_kept_of_the_changes_holds_no_secret_and_has_a_bound() {
    let p = Project::with(&FILES);
    p.write("sandbox.yaml", "secrets: [key.pem]\npermissions: {filesystem: overlay}\nresources: {output: 4KiB}\n");
    p.write("key.pem", "S3cret-value-of-the-test\n");
    p.aido(["run", "--quiet", "--", "sh", "-c", "cat key.pem > src/a.txt"]).ok();
    let kept = String::from_utf8(p.evidence("changes.diff")).unwrap();
    assert!(!kept.contains("S3cret-value") && kept.contains("src/a.txt"), "{kept}");
    p.aido(["run", "--quiet", "--", "sh", "-c", "seq 1 100000 > src/a.txt"]).ok();
    let kept = String::from_utf8(p.evidence("changes.diff")).unwrap();
    assert!(kept.len() <= 4096 && kept.contains("M\tsrc/a.txt") && kept.contains("larger"), "{kept}");
    p.aido(["verify", "--all"]).ok();
}
