//! Whoever the task is, in whatever root and for whatever caller: the project's files are its own, it can change all of
//! them, and what it leaves belongs to the caller.

use crate::host;
use crate::output::Output;
use crate::overlay::{names, tree};
use crate::project::Project;
use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, lchown};
use std::path::Path;

/// A root, and the number of the task's user in it; None: whoever the caller is.
type Root = (String, Option<u32>);

/// The host, an image whose task is root, and one with a user of its own.
fn roots() -> Vec<Root> {
    let mut roots = vec![("host".to_string(), None)];
    match host::images() {
        Some(images) => roots.extend(
            [("tiny", 0), ("configured", 1234)].map(|(n, u)| (format!("oci:{}/{n}", images.display()), Some(u))),
        ),
        None => host::left_out("AIDO_IMAGES is not set: run ci/test"),
    }
    roots
}

/// All that can be done to a tree; the first command that fails ends it.
const ALL: &str = "set -e; cd /workspace; id -u; test -O . && test -O closed/secret; \
     echo more >> src/a.txt; mv src/b.txt src/moved.txt; mv src dir; rm -r old; chmod 600 run.sh; chmod 750 dir; \
     ln -s a.txt dir/link; ln dir/a.txt dir/hard; mkdir new; echo n > new/n; touch -t 200102030405 new/n run.sh; \
     echo x >> closed/secret; mkdir closed/in; rmdir gone; mkdir gone; echo g > gone/g; chmod 700 .; : > dir/empty; echo done";
const AGAIN: &str = "set -e; cd /workspace; cat dir/a.txt closed/secret gone/g new/n; rm -r dir new gone closed run.sh; ls -A; echo back > src; \
     mkdir old; echo done";
const FILES: [(&str, &str); 6] = [
    ("src/a.txt", "a\n"),
    ("src/b.txt", "b\n"),
    ("old/c.txt", "c\n"),
    ("run.sh", "#!/bin/sh\ntrue\n"),
    ("closed/secret", "s\n"),
    ("gone/.keep", ""),
];

/// With places that are closed to all but their owner.
fn project() -> Project {
    let p = Project::with(&FILES);
    fs::remove_file(p.path().join("gone/.keep")).unwrap();
    for (path, mode) in [("closed/secret", 0o600), ("closed", 0o700), ("gone", 0o700)] {
        fs::set_permissions(p.path().join(path), fs::Permissions::from_mode(mode)).unwrap();
    }
    p
}

fn run(p: &Project, options: &[&str], script: &str) -> Output {
    let line: Vec<&str> =
        ["run", "--quiet"].iter().chain(options).chain(&["--", "/bin/sh", "-c", script]).copied().collect();
    p.aido(line)
}

/// The first that does not belong to this user. A whiteout is the kernel's, and so the mounter's, who is the caller.
fn foreign(folder: &Path, owner: u32) -> Option<String> {
    let mut open = vec![folder.to_path_buf()];
    while let Some(at) = open.pop() {
        for entry in fs::read_dir(&at).unwrap_or_else(|e| panic!("{}: {e}", at.display())).flatten() {
            let found = entry.path().symlink_metadata().unwrap();
            if found.uid() != owner && !found.file_type().is_char_device() {
                return Some(format!("{} belongs to {}", entry.path().display(), found.uid()));
            }
            if found.is_dir() {
                open.push(entry.path());
            }
        }
    }
    None
}

fn changes_all(p: &Project, root: &str, user: Option<u32>, owner: u32) {
    let before = tree(&p.path());
    let up = ["sandbox", "up", "--quiet", "--filesystem", "overlay", "--runtime", root];
    let id = p.aido(up).word();
    let out = run(p, &["--sandbox", &id], ALL);
    out.ok().prints("done");
    if let Some(user) = user {
        assert!(out.text().lines().any(|line| line == user.to_string()), "{root}: {out}");
    }
    assert_eq!(tree(&p.path()), before, "{root}: it was seen outside");
    let listed = names(p, &[&id]);
    for line in ["D\told/c.txt\n", "\tnew/n\n", "M\tclosed/secret\n", "M\trun.sh\n", "A\tgone/g\n", "A\tdir/link\n"] {
        assert!(listed.contains(line), "{root}: {listed}");
    }
    let layer = p.path().join(".aido/sandboxes").join(&id).join("layer");
    assert_eq!(foreign(&layer, owner), None, "{root}");
    run(p, &["--sandbox", &id], AGAIN).ok().prints("a\nmore\ns\nx\ng\nn\ndone\n");
    p.aido(["apply", "--quiet", &id]).ok();
    assert_eq!(p.read("src"), "back\n", "{root}");
    assert!(!p.path().join("closed").exists() && !p.path().join("run.sh").exists(), "{root}");
    assert_eq!(foreign(&layer, owner), None, "{root}");
}

#[test]
fn every_task_changes_all_of_the_project_and_leaves_it_to_the_caller() {
    for (root, user) in roots() {
        let p = project();
        changes_all(&p, &root, user, nix::unistd::geteuid().as_raw());
        p.aido(["verify", "--all"]).ok();
        let id = p.last_sandbox();
        p.aido(["discard", "latest"]).ok();
        assert!(!id.join("layer/upper").exists(), "{root}");
        p.aido(["sandbox", "destroy", "latest"]).ok();
        run(&p, &["--runtime", &root, "--filesystem", "overlay"], "cd /workspace; mkdir -p a/b; echo x > a/b/c").ok();
        // By ordinary means: nothing is left that only somebody else could remove.
        fs::remove_dir_all(p.path().join(".aido")).unwrap_or_else(|e| panic!("{root}: {e}"));
    }
}

#[test]
fn a_project_of_somebody_else_is_changed_by_roots_tasks_as_its_owner() {
    if !host::is_root() {
        // Others cannot give files away.
        return;
    }
    for (root, user) in roots() {
        let p = project();
        for path in tree(&p.path()).keys().map(|path| p.path().join(path)).chain([p.path()]) {
            lchown(&path, Some(54321), Some(54322)).unwrap();
        }
        changes_all(&p, &root, user, 54321);
    }
}

#[test]
fn what_a_task_writes_into_the_project_itself_is_the_callers_too() {
    for (root, _) in roots() {
        let p = project();
        run(
            &p,
            &["--dangerous-allow-mutations", "--runtime", &root],
            "set -e; cd /workspace; echo x >> closed/secret; echo n > new; rm -r old",
        )
        .ok();
        assert_eq!((p.read("closed/secret"), p.read("new")), ("s\nx\n".into(), "n\n".into()), "{root}");
        assert!(!p.path().join("old").exists(), "{root}");
        assert_eq!(foreign(&p.path(), nix::unistd::geteuid().as_raw()), None, "{root}");
    }
}

#[test]
fn evidence_that_others_could_write_is_not_used_before_somebody_looked() {
    let p = Project::new();
    p.sh("true").ok();
    let folder = p.path().join(".aido");
    let mode = |mode| fs::set_permissions(&folder, fs::Permissions::from_mode(mode)).unwrap();
    let is = || fs::metadata(&folder).unwrap().permissions().mode() & 0o777;
    let mend = format!("chmod 700 '{}'", folder.display());
    for open in [0o777, 0o770, 0o702] {
        mode(open);
        let said = format!("can be written by others (mode {open:03o})");
        for line in [&["run", "--", "true"][..], &["sandbox", "up"], &["runs"], &["apply"], &["ui"]] {
            let mut command = p.command(line);
            command.env("TERM", "xterm");
            crate::running::Running::start(command).end().refused(&[&said, &mend]);
        }
        assert_eq!(is(), open, "it was mended without a word");
        let out = p.aido(["doctor"]);
        assert!(out.text().contains(&said) && out.text().contains(&mend), "{out}");
        let advice = p.aido(["doctor", "--json"]).json()["advice"].to_string();
        assert!(advice.contains("can be written by others"), "{advice}");
    }
    assert_eq!(fs::read_dir(folder.join("sandboxes")).unwrap().count(), 2, "something ran");
    // What others could only read is closed, and that is said once.
    mode(0o755);
    p.aido(["doctor"]).prints("can be read by others (mode 755)");
    p.sh("true").ok().says("was open to others (mode 755); it is closed now");
    assert_eq!(is(), 0o700);
    let out = p.sh("true");
    assert!(!out.ok().told().contains("open to others"), "{out}");
    let out = p.aido(["doctor"]);
    assert!(!out.text().contains("by others"), "{out}");
}

#[test]
fn keys_that_others_could_write_vouch_for_nobody() {
    let p = Project::new();
    p.sh("true").ok();
    p.aido(["verify"]).ok();
    let keys = p.home().join(".local/share/aido/keys");
    let found = |end: &str| {
        let all = fs::read_dir(&keys).unwrap().flatten().map(|entry| entry.path());
        all.into_iter().find(|path| path.to_string_lossy().ends_with(end)).unwrap_or_else(|| panic!("no {end}"))
    };
    for end in [".pub.pem", "current"] {
        let file = found(end);
        let before = fs::metadata(&file).unwrap().permissions();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o666)).unwrap();
        let said = "can be written by others (mode 666), and says whom to believe";
        p.aido(["verify"]).refused(&[said, "chmod go-w"]);
        p.aido(["doctor"]).prints(said);
        fs::set_permissions(&file, before).unwrap();
        p.aido(["verify"]).ok();
    }
    fs::set_permissions(found("current"), fs::Permissions::from_mode(0o666)).unwrap();
    p.sh("true").refused(&["can be written by others"]);
}
