//! `--dangerous-allow-mutations`: the task changes the project itself, and what tools obey stays as it is.

use crate::family::Family;
use crate::ground::{debug_build, send, start, until};
use crate::output::Output;
use crate::project::Project;
use nix::sys::signal::Signal;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

fn open(p: &Project, script: &str) -> Output {
    p.aido(["run", "--quiet", "--dangerous-allow-mutations", "--", "sh", "-c", script])
}

#[track_caller]
fn git(p: &Project, args: &[&str]) -> String {
    let mut command = Command::new("git");
    command
        .current_dir(p.path())
        .args(["-c", "user.name=x", "-c", "user.email=x@x", "-c", "init.defaultBranch=main"])
        .args(args);
    let out = command.env("HOME", p.home()).output().expect("git");
    assert!(out.status.success(), "git {args:?}: {}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8_lossy(&out.stdout).into_owned()
}

/// A project with a commit; `.aido` is ignored, as people have it.
fn repository(files: &[(&str, &str)]) -> Project {
    let p = Project::with(files);
    git(&p, &["init", "--quiet"]);
    fs::write(p.path().join(".git/info/exclude"), ".aido\n").unwrap();
    git(&p, &["add", "--all"]);
    git(&p, &["commit", "--quiet", "--message", "first"]);
    p
}

/// Content and time of every file below a folder.
fn all(folder: &Path) -> Files {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap().flatten() {
        let path = entry.path();
        let about = path.symlink_metadata().unwrap();
        if about.is_dir() {
            found.extend(all(&path));
        } else {
            let content = if about.is_file() { fs::read(&path).unwrap() } else { Vec::new() };
            found.insert(path, (content, about.mtime(), about.mtime_nsec()));
        }
    }
    found
}

type Files = BTreeMap<PathBuf, (Vec<u8>, i64, i64)>;

/// The names of what differs.
fn differing(before: &Files, after: &Files) -> Vec<PathBuf> {
    let all = before.keys().chain(after.keys().filter(|path| !before.contains_key(*path)));
    all.filter(|path| before.get(*path) != after.get(*path)).cloned().collect()
}

fn events(p: &Project, kind: &str) -> Vec<Value> {
    let log = String::from_utf8(p.evidence("events.log")).unwrap();
    let all = log.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    all.filter(|event| event["type"] == kind).map(|event| event["data"].clone()).collect()
}

#[test]
fn the_task_changes_the_project_and_the_record_has_a_patch_of_it() {
    let p = repository(&[("a", "one\n"), ("gone", "x\n"), ("sub/b", "b\n")]);
    p.write("dirty", "before the run\n");
    p.write("a", "edited before\n");
    let repository = all(&p.path().join(".git"));
    let copy = p.home().join("copy");
    let status = Command::new("cp").arg("-a").arg(p.path()).arg(&copy).status().unwrap();
    assert!(status.success());
    open(&p, "echo two >> a; rm gone; echo new > sub/new; printf '\\000\\001' > bin; chmod +x sub/b").ok();
    assert_eq!(p.read("a"), "edited before\ntwo\n");
    assert_eq!(p.read("sub/new"), "new\n");
    assert!(!p.path().join("gone").exists());
    assert_eq!(differing(&repository, &all(&p.path().join(".git"))), Vec::<PathBuf>::new());
    let patch = p.evidence("changes.diff");
    let text = String::from_utf8_lossy(&patch).into_owned();
    assert!(text.contains("+two") && text.contains("deleted file mode") && text.contains("new mode 100755"), "{text}");
    // What was dirty before is no change of the task.
    assert!(!text.contains("+edited before") && !text.contains("before the run"), "{text}");
    let file = p.home().join("patch");
    fs::write(&file, &patch).unwrap();
    let applied = Command::new("git").current_dir(&copy).args(["apply", "--binary"]).arg(&file).output().unwrap();
    assert!(applied.status.success(), "{}", String::from_utf8_lossy(&applied.stderr));
    for name in ["a", "sub/new", "sub/b", "bin", "dirty"] {
        assert_eq!(fs::read(copy.join(name)).unwrap(), fs::read(p.path().join(name)).unwrap(), "{name}");
    }
    assert!(!copy.join("gone").exists());
    let head = git(&p, &["rev-parse", "HEAD"]).trim().to_string();
    let (before, after) = (&events(&p, "project_before")[0], &events(&p, "project_after")[0]);
    assert_eq!((&before["git"]["head"], &after["git"]["head"]), (&head.as_str().into(), &head.as_str().into()));
    assert_eq!((&before["git"]["branch"], &before["git"]["dirty"]), (&"refs/heads/main".into(), &2.into()));
    assert_eq!(after["git"]["dirty"], 6);
    let changes = &events(&p, "changes")[0];
    assert_eq!(changes["deleted"]["paths"], serde_json::json!(["gone"]));
    assert_eq!(changes["added"]["paths"], serde_json::json!(["bin", "sub/new"]));
    let seal = String::from_utf8(p.evidence("summary.json")).unwrap();
    assert!(seal.contains("--dangerous-allow-mutations"), "{seal}");
    p.aido(["show"]).ok().prints("--dangerous-allow-mutations").prints("5 entries");
    p.aido(["verify"]).ok();
    assert_eq!(git(&p, &["status", "--short"]).lines().count(), 6);
}

#[test]
fn it_is_a_flag_alone_and_said_aloud() {
    let p = Project::with(&[("a", "")]);
    p.aido(["run", "--dangerous-allow-mutations", "--", "true"]).ok().says("writes into");
    let both = p.aido(["run", "--dangerous-allow-mutations", "--filesystem", "overlay", "--", "true"]);
    both.says("cannot be used with");
    assert_ne!(p.sh("echo x > a").code, Some(0));
    p.write("sandbox.yaml", "permissions: {filesystem: open}\n");
    p.aido(["run", "--", "true"]).refused(&["no kind of file system"]);
    p.write("sandbox.yaml", "outputs: [out/]\n");
    p.aido(["run", "--dangerous-allow-mutations", "--", "true"]).refused(&["out/", "a place apart"]);
    fs::remove_file(p.path().join("sandbox.yaml")).unwrap();
    p.aido(["run", "--dangerous-allow-mutations", "--isolation", "landlock", "--", "true"])
        .refused(&["without namespaces", "kept from a task"]);
    p.aido(["run", "--dangerous-allow-mutations", "--backend", "docker", "--runtime", "x", "--", "true"])
        .refused(&["--backend: with `docker`", "kept from a task"]);
    let policy = p.home().join(".config/aido");
    fs::create_dir_all(&policy).unwrap();
    fs::write(policy.join("policy.yaml"), "mutations: false\n").unwrap();
    open(&p, "echo x > a").refused(&["your policy forbids"]);
    p.aido(["sandbox", "up", "--dangerous-allow-mutations"]).refused(&["your policy forbids"]);
    assert_eq!(p.read("a"), "");
}

/// Each of these is tried by a task that may write to the project, and fails.
const ATTACKS: [&str; 16] = [
    "echo x > .git/hooks/pre-commit",
    "mkdir -p .git/hooks && echo x > .git/hooks/post-checkout",
    "echo '[core]' >> .git/config",
    "echo x > .git/commondir",
    "mv .git elsewhere",
    "rm -rf .git",
    "rmdir .git",
    "echo x > .vscode/tasks.json",
    "echo x > .vscode/new.json",
    "mv .vscode elsewhere",
    "rm -rf deep/er/.idea; mv deep elsewhere",
    "mv deep/er deep/elsewhere",
    "echo x >> .envrc",
    "mv other .envrc",
    "ln -f .envrc linked && echo x >> linked",
    "echo x >> twin",
];

#[test]
fn what_tools_obey_cannot_be_changed_moved_or_replaced() {
    let p = repository(&[
        ("a", "one\n"),
        (".vscode/tasks.json", "{}\n"),
        ("deep/er/.idea/workspace.xml", "<x/>\n"),
        (".envrc", "true\n"),
        (".github/workflows/ci.yml", "on: push\n"),
        ("other", "evil\n"),
        (".env", "SECRET=hidden-from-all\n"),
    ]);
    fs::hard_link(p.path().join(".envrc"), p.path().join("twin")).unwrap();
    let worktree = p.home().join("tree");
    git(&p, &["worktree", "add", "--quiet", worktree.to_str().unwrap()]);
    fs::create_dir_all(p.path().join(".git/modules/m/hooks")).unwrap();
    let kept = |p: &Project| {
        let mut files = Files::new();
        [".git", ".vscode", "deep", ".github"].iter().for_each(|name| files.extend(all(&p.path().join(name))));
        for name in [".envrc", "twin", ".env"] {
            files.insert(name.into(), (p.read(name).into_bytes(), 0, 0));
        }
        files
    };
    let before = kept(&p);
    for attack in ATTACKS {
        open(&p, &format!("{{ {attack}; }} 2>/dev/null; echo ran > a"));
        assert_eq!(differing(&before, &kept(&p)), Vec::<PathBuf>::new(), "{attack}");
    }
    assert_eq!(p.read("a"), "ran\n");
    let seen = open(&p, "ls -A .git .aido; cat .env; cat .vscode/tasks.json; test -s .git/config || echo none");
    assert!(!seen.text().contains("hidden-from-all") && seen.text().contains("none"), "{seen}");
}

#[test]
fn what_tools_would_obey_and_is_new_is_taken_out_after_the_run() {
    let p = Project::with(&[("a", "one\n"), ("sub/x", "")]);
    symlink("a", p.path().join("AGENTS.md")).unwrap();
    let script = "
        git init -q . 2>/dev/null || mkdir -p .git/hooks; mkdir -p .git/hooks; echo evil > .git/hooks/pre-commit
        mkdir -p sub/.vscode .github/workflows; echo evil > sub/.vscode/tasks.json; echo evil > .envrc
        echo evil > .github/workflows/ci.yml; rm AGENTS.md; echo obey > AGENTS.md
        cp /bin/true tool; chmod 4755 tool; mv sub other; mkdir sub; echo evil > sub/.envrc; chmod 500 sub .git
        echo fine > plain; echo all: > Makefile";
    let out = open(&p, script);
    out.ok();
    let root = p.path();
    for gone in [".git", ".envrc", "other/.vscode/tasks.json", ".github/workflows/ci.yml", "tool", "sub/.envrc"] {
        assert!(root.join(gone).symlink_metadata().is_err(), "{gone} is still there: {out}");
        out.says(&format!(
            "{} was taken out of the project",
            gone.replace("/workflows/ci.yml", "/workflows").replace("/.vscode/tasks.json", "/.vscode")
        ));
    }
    assert_eq!(fs::read_link(root.join("AGENTS.md")).unwrap(), Path::new("a"));
    assert_eq!((p.read("plain"), p.read("Makefile")), ("fine\n".into(), "all:\n".into()));
    let aside = p.summary()["mutated"]["set_aside"].clone();
    let of = |path: &str| {
        aside.as_array().unwrap().iter().find(|one| one["path"] == path).unwrap()["at"].as_str().unwrap().to_string()
    };
    let hook = fs::canonicalize(p.last_sandbox()).unwrap().join(of(".git")).join(".git/hooks/pre-commit");
    assert_eq!(fs::read_to_string(hook).unwrap(), "evil\n");
    // Without a work tree the record has a list.
    let list = String::from_utf8(p.evidence("changes.diff")).unwrap();
    assert!(list.contains("A\t-\t5\t100644\tplain\n"), "{list}");
    fs::set_permissions(root.join("sub"), fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn a_repositorys_filters_and_programs_are_not_run_for_the_record() {
    let p = repository(&[("a", "one\n"), ("b", "two\n")]);
    let mark = p.home().join("mark");
    for (key, value) in [
        ("filter.evil.clean", format!("touch {}; cat", mark.display())),
        ("diff.evil.textconv", format!("touch {}; cat", mark.display())),
        ("core.fsmonitor", format!("touch {}", mark.display())),
        ("diff.external", format!("touch {}", mark.display())),
    ] {
        git(&p, &["config", key, &value]);
    }
    let _ = fs::remove_file(&mark);
    open(&p, "echo '* filter=evil diff=evil' > sub.attributes; echo x >> a").ok();
    assert!(!mark.exists());
    p.write(".gitattributes", "* filter=evil diff=evil\n");
    open(&p, "echo x >> b").ok();
    assert!(!mark.exists());
    let patch = String::from_utf8(p.evidence("changes.diff")).unwrap();
    assert!(patch.contains("+x") && patch.contains("b/b"), "{patch}");
}

#[test]
fn a_file_that_git_was_told_to_overlook_is_in_the_patch() {
    let p = repository(&[("a", "one\n"), ("b", "one\n")]);
    git(&p, &["update-index", "--assume-unchanged", "a"]);
    git(&p, &["update-index", "--skip-worktree", "b"]);
    open(&p, "echo two > a; echo three > b; touch -d '2001-01-01' a b").ok();
    let patch = String::from_utf8(p.evidence("changes.diff")).unwrap();
    assert!(patch.contains("+two") && patch.contains("+three"), "{patch}");
}

#[test]
fn ten_at_once_lose_nothing() {
    let p = repository(&[("a", "one\n")]);
    p.sh("true").ok();
    let repository = all(&p.path().join(".git"));
    let runs: Vec<_> = (0..10)
        .map(|n| {
            let script = format!("echo {n} > file-{n}; echo {n} >> shared");
            p.start(["run", "--quiet", "--dangerous-allow-mutations", "--", "sh", "-c", &script])
        })
        .collect();
    for run in runs {
        run.end().ok();
    }
    for n in 0..10 {
        assert_eq!(p.read(&format!("file-{n}")), format!("{n}\n"));
    }
    assert_eq!(p.read("shared").lines().count(), 10);
    assert_eq!(differing(&repository, &all(&p.path().join(".git"))), Vec::<PathBuf>::new());
    p.aido(["verify", "--all"]).ok();
}

#[test]
fn a_sandbox_that_stays_keeps_what_was_typed_for_it() {
    let p = repository(&[("a", "one\n")]);
    p.aido(["sandbox", "up", "--dangerous-allow-mutations"]).ok().says("writes into");
    p.sh("echo two > a").ok();
    assert_eq!(p.read("a"), "two\n");
    p.aido(["run", "--dangerous-allow-mutations", "--", "true"]).refused(&["belongs to a sandbox when it is made"]);
    p.aido(["sandbox", "destroy", "--all"]).ok();
    assert_eq!(p.sh("echo three > a").code, Some(2));
    assert_eq!(p.read("a"), "two\n");
}

#[test]
fn after_sigkill_the_next_command_tells_what_was_changed() {
    if !debug_build() {
        return;
    }
    let p = repository(&[("a", "one\n")]);
    let script = "echo half > a; echo evil > .envrc";
    let mut run =
        start(&p, "supervise.killed", &["run", "--quiet", "--dangerous-allow-mutations", "--", "sh", "-c", script]);
    let me = run.id() as i32;
    let held = until(Duration::from_secs(40), || Family::of(me).held()).expect("never came to the point");
    send(me, Signal::SIGKILL);
    send(held, Signal::SIGKILL);
    run.wait().unwrap();
    let gone = || (!Path::new(&format!("/proc/{held}")).exists()).then_some(());
    until(Duration::from_secs(20), gone).expect("the supervisor does not end");
    p.aido(["runs"]).ok().says("was interrupted");
    assert_eq!(p.read("a"), "half\n");
    assert!(!p.path().join(".envrc").exists());
    let patch = String::from_utf8(p.evidence("changes.diff")).unwrap();
    assert!(patch.contains("+half"), "{patch}");
    assert!(p.summary().to_string().contains("half-changed"));
    assert!(!p.last_sandbox().join("before").exists());
    p.aido(["verify", "--all"]).ok();
}

#[test]
fn secrets_that_the_task_writes_are_not_in_the_patch() {
    let p = repository(&[("a", "one\n")]);
    let mut command = p.command([
        "run",
        "--quiet",
        "--dangerous-allow-mutations",
        "-e",
        "TOKEN",
        "--",
        "sh",
        "-c",
        "echo \"$TOKEN\" > a",
    ]);
    command.env("TOKEN", "s3cret-value-of-mine");
    crate::running::Running::start(command).end().ok();
    assert_eq!(p.read("a"), "s3cret-value-of-mine\n");
    let patch = String::from_utf8(p.evidence("changes.diff")).unwrap();
    assert!(patch.contains("b/a") && !patch.contains("s3cret-value"), "{patch}");
}
