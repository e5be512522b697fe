//! Real git as the judge of patches and branches.

use crate::sandbox::Sandbox;
use crate::tree::{self, Tree};
use aido_changes::{Branch, Changes, Hashes, Selection};
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

pub(crate) fn git(folder: &Path, args: &[&str]) -> Vec<u8> {
    git_fed(folder, args, b"")
}

pub(crate) fn git_fed(folder: &Path, args: &[&str], input: &[u8]) -> Vec<u8> {
    let mut command = Command::new("git");
    command.current_dir(folder).args([
        "-c",
        "user.name=t",
        "-c",
        "user.email=t@example.org",
        "-c",
        "core.autocrlf=false",
    ]);
    command.args(args).env("GIT_CONFIG_NOSYSTEM", "1").env("GIT_CONFIG_GLOBAL", "/dev/null");
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("git");
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_vec();
    let feeding = std::thread::spawn(move || std::io::Write::write_all(&mut stdin, &input));
    let output = child.wait_with_output().unwrap();
    let _ = feeding.join().unwrap();
    assert!(output.status.success(), "git {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

pub(crate) fn commit_all(folder: &Path) {
    // git knows no empty folders, and one is in the way of a file that is to come in its place.
    let swept = Command::new("find").arg(folder).args(["-mindepth", "1", "-type", "d", "-empty", "-delete"]).status();
    assert!(swept.unwrap().success());
    git(folder, &["init", "-q", "-b", "main"]);
    git(folder, &["config", "user.name", "t"]);
    git(folder, &["config", "user.email", "t@example.org"]);
    git(folder, &["add", "-A", "-f"]);
    git(folder, &["commit", "-q", "--allow-empty", "-m", "before"]);
}

/// `git apply`, in a plain folder and on an index, gives what the mount showed.
pub(crate) fn takes_the_patch(sandbox: &Sandbox, changes: &Changes, merged: &Tree, what: &str) {
    let mut patch = Vec::new();
    changes.patch(&mut patch, Hashes::Sha1).unwrap();
    fs::write(sandbox.at("patch"), &patch).unwrap();
    if patch.is_empty() {
        return;
    }
    let file = sandbox.at("patch");
    let file = file.to_str().unwrap();
    let plain = sandbox.copy("patched");
    commit_all(&plain);
    git(&plain, &["apply", "--binary", "--whitespace=nowarn", file]);
    tree::assert_same(what, &tree::files(&tree::read(&plain)), &tree::files(merged));
    git(&plain, &["apply", "-R", "--binary", "--whitespace=nowarn", file]);
    // Contents only: git 2.47 loses the mode of a file that `-R` brings back.
    let contents =
        |tree: Tree| tree.into_iter().map(|(path, text)| (path, text.rsplit(' ').next().unwrap().into())).collect();
    let before = contents(tree::files(&tree::read(&sandbox.project())));
    tree::assert_same(&format!("{what} -R"), &contents(tree::files(&tree::read(&plain))), &before);

    let indexed = sandbox.copy("indexed");
    commit_all(&indexed);
    git(&indexed, &["apply", "--index", "--binary", "--whitespace=nowarn", file]);
    tree::assert_same(&format!("{what} --index"), &tree::files(&tree::read(&indexed)), &tree::files(merged));
    git(&indexed, &["diff", "--quiet"]);
}

/// A branch holds what the mount showed, and nothing else of the repository moved.
pub(crate) fn takes_a_branch(sandbox: &Sandbox, merged: &Tree, what: &str) {
    let copy = sandbox.copy("branched");
    commit_all(&copy);
    let untouched = || {
        let read = |name: &str| fs::read(copy.join(".git").join(name)).unwrap_or_default();
        (read("index"), read("HEAD"), read("config"), read("refs/heads/main"), tree::read(&copy))
    };
    let before = untouched();
    let branch = Branch { project: &copy, name: "aido/try", message: "tried\n", selection: Selection::all() };
    let branched = sandbox.changes_over(&copy).branch(&branch).unwrap();
    assert!(before == untouched(), "{what}: the repository was touched");
    assert!(branched.uncommitted.is_empty() && branched.ignored.is_empty(), "{what}: {branched:?}");
    let out = sandbox.at("checkout");
    git(&copy, &["worktree", "add", "-q", out.to_str().unwrap(), "aido/try"]);
    fs::remove_file(out.join(".git")).unwrap();
    tree::assert_same(what, &tree::files(&tree::read(&out)), &tree::files(merged));
}
