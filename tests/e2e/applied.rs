//! What tasks changed is brought into the project: all of what was chosen or nothing, never what was not meant, and it
//! can be taken back.

use crate::output::Output;
use crate::overlay::{change, git, repository, tree, up, within};
use crate::project::Project;
use std::fs;
use std::os::unix::fs::symlink;

const FILES: [(&str, &str); 4] =
    [("src/a.txt", "one\n"), ("src/b.txt", "b\n"), ("old/c.txt", "c\n"), ("run.sh", "#!/bin/sh\ntrue\n")];

const CHANGES: &str =
    "echo more >> src/a.txt; rm -r old; chmod -x run.sh; ln -s a.txt src/link; mkdir new; echo n > new/n";

fn apply(p: &Project, args: &[&str]) -> Output {
    p.aido(["apply"].iter().chain(args))
}

#[test]
fn what_is_active_needs_a_word_and_git_is_never_written() {
    let p = Project::with(&FILES);
    let before = tree(&p.path());
    let script = "mkdir -p .git/hooks .vscode sub/.git; echo x > .git/hooks/post-commit; echo '{}' > .vscode/tasks.json; \
        echo x > sub/.git/config; echo x > .envrc; echo 1 > src/b.txt";
    change(&p, script).ok();
    let out = apply(&p, &[]);
    out.code(1).says(".git/hooks/post-commit").says(".vscode/tasks.json").says(".envrc").says("--allow-active");
    assert_eq!(tree(&p.path()), before);
    apply(&p, &["--allow-active"]).code(1).says("where nothing is ever written").says("sub/.git/config");
    assert_eq!(tree(&p.path()), before);
    apply(&p, &["--allow-active", "--only", ".vscode", "--only", ".envrc", "--only", "src"]).ok();
    assert_eq!((p.read(".envrc"), p.read("src/b.txt")), ("x\n".into(), "1\n".into()));
    assert!(!p.path().join(".git").exists() && !p.path().join("sub").exists());
}

#[test]
fn no_link_leads_out_neither_one_that_comes_nor_one_in_the_way() {
    let p = Project::with(&FILES);
    let outside = p.home().join("outside");
    fs::create_dir(&outside).unwrap();
    let id = up(&p);
    within(&p, &id, "ln -s /etc/passwd out; ln -s ../../x src/up; mkdir deep; echo x > deep/f; echo n > src/b.txt")
        .ok();
    apply(&p, &[&id]).code(1).says("leads out of the project").says("src/up");
    assert!(p.path().join("out").symlink_metadata().is_err());
    // The user's own link lies where the task made a folder: what is behind it stays as it is.
    symlink(&outside, p.path().join("deep")).unwrap();
    apply(&p, &["--only", "deep", &id]).code(1).says("deep");
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 0);
    fs::remove_file(p.path().join("deep")).unwrap();
    apply(&p, &["--allow-links-out", &id]).ok();
    assert_eq!(fs::read_link(p.path().join("out")).unwrap().to_str(), Some("/etc/passwd"));
    assert_eq!(p.read("deep/f"), "x\n");
}

#[test]
fn an_undo_leaves_alone_what_was_changed_since() {
    let p = Project::with(&FILES);
    change(&p, CHANGES).ok();
    apply(&p, &["--quiet"]).ok().stdout("");
    p.write("src/a.txt", "mine\n");
    apply(&p, &["--undo"]).code(1).says("src/a.txt").says("left alone");
    assert_eq!((p.read("src/a.txt"), p.read("old/c.txt")), ("mine\n".into(), "c\n".into()));
    assert!(!p.path().join("new").exists());
}

#[test]
fn a_branch_has_it_and_the_work_tree_does_not() {
    let p = repository(&FILES);
    p.write("staged", "s\n");
    git(&p, &["add", "staged"]).ok();
    p.write("src/b.txt", "mine\n");
    let index = fs::read(p.path().join(".git/index")).unwrap();
    let (before, head) = (files(&p), git(&p, &["rev-parse", "HEAD"]).ok().text());
    change(&p, CHANGES).ok();
    let commit = apply(&p, &["--quiet", "--branch", "try-1"]).word();
    assert_eq!((files(&p), fs::read(p.path().join(".git/index")).unwrap()), (before, index));
    assert_eq!(git(&p, &["rev-parse", "HEAD"]).ok().text(), head);
    assert_eq!(git(&p, &["symbolic-ref", "HEAD"]).ok().text(), "refs/heads/main\n");
    assert_eq!(git(&p, &["rev-parse", "try-1"]).word(), commit);
    git(&p, &["diff", "--name-status", "--no-renames", "HEAD", "try-1"])
        .ok()
        .stdout("A\tnew/n\nD\told/c.txt\nM\trun.sh\nM\tsrc/a.txt\nA\tsrc/link\n");
    git(&p, &["fsck", "--strict"]).ok();
    // Not a second time, and not with a name that is none.
    apply(&p, &["--branch", "try-1"]).refused(&["try-1"]);
    apply(&p, &["--branch", "--upload-pack=x"]).code(125);
    apply(&p, &["--branch", "a..b"]).refused(&["a..b"]);
    assert!(p.read(".aido/ledger.jsonl").contains("\"changes_branched\""));
}

/// The work tree alone.
fn files(p: &Project) -> std::collections::BTreeMap<std::path::PathBuf, (u32, Vec<u8>)> {
    let mut all = tree(&p.path());
    all.retain(|path, _| !path.starts_with(".git"));
    all
}
