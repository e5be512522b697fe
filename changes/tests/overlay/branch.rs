//! Branches in repositories that are not as simple as they could be.

use crate::repository::{commit_all, git};
use crate::sandbox::{Sandbox, path};
use aido_changes::{Branch, Branched, Changes, Folder, Limits, Selection};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

fn branch(sandbox: &Sandbox, project: &Path, name: &str) -> aido_changes::Result<Branched> {
    let changes = Changes::of(sandbox.stack(), Folder::open(project).unwrap(), &[], &Limits::default())?;
    changes.branch(&Branch { project, name, message: "tried\n", selection: Selection::all() })
}

fn shown(project: &Path, at: &str) -> String {
    String::from_utf8(git(project, &["show", at])).unwrap()
}

#[test]
fn no_program_of_the_repository_runs_and_contents_stay_as_they_are() {
    let sandbox = Sandbox::new(1);
    let project = sandbox.project();
    let ran = sandbox.at("ran");
    fs::write(project.join("f"), "f\n").unwrap();
    commit_all(&project);
    let program = sandbox.at("program");
    fs::write(&program, format!("#!/bin/sh\necho \"$0\" >>'{}'\ncat\n", ran.display())).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    fs::create_dir_all(project.join(".git/hooks")).unwrap();
    for hook in ["pre-commit", "post-commit", "reference-transaction", "post-index-change", "post-checkout"] {
        fs::copy(&program, project.join(".git/hooks").join(hook)).unwrap();
    }
    let program = program.to_str().unwrap();
    for setting in ["core.fsmonitor", "filter.x.clean", "filter.x.smudge", "core.editor", "gpg.program"] {
        git(&project, &["config", setting, program]);
    }
    git(&project, &["config", "commit.gpgSign", "true"]);
    git(&project, &["config", "core.autocrlf", "true"]);
    fs::write(sandbox.at("upper0/.gitattributes"), "* filter=x text\n").unwrap();
    fs::write(project.join(".git/info/attributes"), "* filter=x text\n").unwrap();
    fs::write(sandbox.at("upper0/f"), "a\r\nb\r\n").unwrap();
    let _ = fs::remove_file(&ran);
    let branched = branch(&sandbox, &project, "try").unwrap();
    assert!(!ran.exists(), "{}", fs::read_to_string(&ran).unwrap());
    fs::remove_dir_all(project.join(".git/hooks")).unwrap();
    git(&project, &["config", "--unset", "core.fsmonitor"]);
    assert_eq!(shown(&project, "try:f"), "a\r\nb\r\n");
    assert_eq!(String::from_utf8(git(&project, &["rev-parse", "try"])).unwrap().trim(), branched.commit);
    // There is one now, and it is not moved.
    assert!(branch(&sandbox, &project, "try").unwrap_err().to_string().contains("there is a branch"));
    for bad in ["-x", "a..b", "x.lock", "", "a b", "@{-1}"] {
        assert!(branch(&sandbox, &project, bad).is_err(), "{bad}");
    }
}

#[test]
fn a_project_in_a_folder_of_the_work_tree_and_what_git_ignores() {
    let sandbox = Sandbox::new(1);
    let top = sandbox.project();
    let project = top.join("sub folder");
    fs::create_dir(&project).unwrap();
    for (file, text) in [("tracked.log", "x"), ("edited", "committed"), ("dir/a", "a")] {
        fs::create_dir_all(project.join(file).parent().unwrap()).unwrap();
        fs::write(project.join(file), text).unwrap();
    }
    fs::write(top.join("outside"), "x").unwrap();
    fs::write(top.join(".gitignore"), "*.log\nbuild/\n").unwrap();
    commit_all(&top);
    fs::write(project.join("edited"), "not committed").unwrap();
    let upper = sandbox.at("upper0");
    fs::create_dir(upper.join("build")).unwrap();
    for file in ["tracked.log", "new.log", "build/out", "edited", "new", ":(top)x"] {
        fs::write(upper.join(file), "changed").unwrap();
    }
    rustix::fs::mknodat(
        rustix::fs::CWD,
        upper.join("dir"),
        rustix::fs::FileType::CharacterDevice,
        rustix::fs::Mode::empty(),
        0,
    )
    .unwrap();
    fs::create_dir_all(upper.join("x/.git")).unwrap();
    fs::write(upper.join("x/.git/config"), "bad").unwrap();
    let branched = branch(&sandbox, &project, "try").unwrap();
    assert_eq!(branched.ignored, [path("build/out"), path("new.log")]);
    assert_eq!(branched.uncommitted, [path("edited")]);
    assert_eq!(branched.left_out.iter().map(|left| left.path.to_string()).collect::<Vec<_>>(), ["x/.git/config"]);
    let listed = String::from_utf8(git(&top, &["ls-tree", "-r", "--name-only", "try"])).unwrap();
    let expected =
        ".gitignore\noutside\nsub folder/:(top)x\nsub folder/edited\nsub folder/new\nsub folder/tracked.log\n";
    assert_eq!(listed, expected);
    assert_eq!(shown(&top, "try:sub folder/tracked.log"), "changed");
}

#[test]
fn a_submodule_is_another_repository_and_no_repository_is_said() {
    let sandbox = Sandbox::new(1);
    let project = sandbox.project();
    fs::write(sandbox.at("upper0/f"), "x").unwrap();
    assert!(branch(&sandbox, &project, "try").is_err());
    git(&project, &["init", "-q", "-b", "main"]);
    git(&project, &["config", "user.name", "t"]);
    git(&project, &["config", "user.email", "t@example.org"]);
    // Without a commit yet, it is the first.
    branch(&sandbox, &project, "first").unwrap();
    assert_eq!(shown(&project, "first:f"), "x");
    let module = project.join("module");
    fs::create_dir(&module).unwrap();
    fs::write(module.join("m"), "m").unwrap();
    commit_all(&module);
    commit_all(&project);
    fs::create_dir(sandbox.at("upper0/module")).unwrap();
    fs::write(sandbox.at("upper0/module/m"), "changed").unwrap();
    let branched = branch(&sandbox, &project, "try").unwrap();
    assert_eq!(branched.left_out.iter().map(|left| left.path.to_string()).collect::<Vec<_>>(), ["module/m"]);
    let listed = String::from_utf8(git(&project, &["ls-tree", "-r", "try"])).unwrap();
    assert!(listed.contains("160000") && !listed.contains("module/m"), "{listed}");
}
