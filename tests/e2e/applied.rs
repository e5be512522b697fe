//! What tasks changed is brought into the project: all of what was chosen or nothing, never what was not meant, and it
//! can be taken back.

mod killed;

use crate::output::Output;
use crate::overlay::{change, git, names, repository, tree, up, within};
use crate::project::Project;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::thread;
use std::time::Duration;

const FILES: [(&str, &str); 4] =
    [("src/a.txt", "one\n"), ("src/b.txt", "b\n"), ("old/c.txt", "c\n"), ("run.sh", "#!/bin/sh\ntrue\n")];

const CHANGES: &str =
    "echo more >> src/a.txt; rm -r old; chmod -x run.sh; ln -s a.txt src/link; mkdir new; echo n > new/n";

fn apply(p: &Project, args: &[&str]) -> Output {
    p.aido(["apply"].iter().chain(args))
}

#[test]
fn all_of_it_comes_in_and_is_taken_back() {
    let p = Project::with(&FILES);
    let before = tree(&p.path());
    change(&p, CHANGES).ok();
    apply(&p, &["--dry-run"]).ok().prints("src/a.txt").prints("remove");
    assert_eq!(tree(&p.path()), before, "a dry run wrote");
    assert!(!p.path().join(".aido/applied").exists_with_records(), "a dry run left a record");
    apply(&p, &[]).ok().prints("src/a.txt").says("--undo");
    assert_eq!((p.read("src/a.txt"), p.read("new/n")), ("one\nmore\n".into(), "n\n".into()));
    assert!(!p.path().join("old").exists());
    assert_eq!(fs::read_link(p.path().join("src/link")).unwrap().to_str(), Some("a.txt"));
    assert_eq!(fs::metadata(p.path().join("run.sh")).unwrap().permissions().mode() & 0o111, 0);
    // Once more there is nothing to do.
    apply(&p, &[]).ok().says("has all of it already");
    apply(&p, &["--undo"]).ok().says("taken back");
    assert_eq!(tree(&p.path()), before);
    apply(&p, &["--undo"]).refused(&["no apply to take back"]);
    // And again, as if nothing had been.
    apply(&p, &[]).ok();
    assert_eq!(p.read("new/n"), "n\n");
    let ledger = p.read(".aido/ledger.jsonl");
    let lines = |kind: &str| ledger.lines().filter(|line| line.contains(&format!("\"type\":\"{kind}\""))).count();
    assert_eq!((lines("changes_applied"), lines("apply_undone")), (2, 1), "{ledger}");
    assert!(ledger.contains("\"digest\":\"sha256:") && ledger.contains("\"of_run\":\"r"), "{ledger}");
    p.aido(["verify", "--all"]).ok();
}

trait Records {
    fn exists_with_records(&self) -> bool;
}

impl Records for std::path::PathBuf {
    fn exists_with_records(&self) -> bool {
        fs::read_dir(self).is_ok_and(|all| all.count() > 0)
    }
}

#[test]
fn some_of_it_comes_in_by_name_and_a_sandbox_goes_on() {
    let p = Project::with(&FILES);
    let id = up(&p);
    within(&p, &id, CHANGES).ok();
    apply(&p, &["--only", "new/**", "--only", "old", &id]).ok();
    assert_eq!((p.read("src/a.txt"), p.read("new/n")), ("one\n".into(), "n\n".into()));
    assert!(!p.path().join("old").exists());
    within(&p, &id, "cat new/n; test ! -e old; echo 2 >> new/n; echo last >> src/a.txt").ok().stdout("n\n");
    apply(&p, &[&id]).ok();
    assert_eq!((p.read("src/a.txt"), p.read("new/n")), ("one\nmore\nlast\n".into(), "n\n2\n".into()));
    assert_eq!(names(&p, &[&id]).lines().filter(|line| !line.is_empty()).count(), 0);
}

#[test]
fn where_the_project_changed_nothing_at_all_is_written() {
    let p = Project::with(&FILES);
    let id = up(&p);
    within(&p, &id, CHANGES).ok();
    p.write("src/a.txt", "mine\n");
    let before = tree(&p.path());
    let out = apply(&p, &[&id]);
    out.code(1).says("src/a.txt").says("was: ").says("is: ").says("would become: ").says("nothing was written");
    assert_eq!(tree(&p.path()), before);
    apply(&p, &["--json", &id]).code(1).prints("\"written\": false");
    // The others can be had.
    apply(&p, &["--only", "new", "--only", "old", &id]).ok();
    assert_eq!((p.read("src/a.txt"), p.read("new/n")), ("mine\n".into(), "n\n".into()));
    // A file that the task made, and the user meanwhile, too.
    within(&p, &id, "echo theirs > both").ok();
    p.write("both", "mine\n");
    apply(&p, &["--only", "both", &id]).code(1).says("both");
    assert_eq!(p.read("both"), "mine\n");
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
fn an_undo_that_left_something_alone_is_not_in_the_way_of_earlier_applies() {
    let p = Project::with(&FILES);
    let id = up(&p);
    within(&p, &id, "echo first > src/b.txt").ok();
    apply(&p, &[&id]).ok();
    within(&p, &id, "echo second > src/a.txt; echo n > new").ok();
    apply(&p, &[&id]).ok();
    p.write("src/a.txt", "mine\n");
    apply(&p, &["--undo"]).code(1).says("src/a.txt").says("tries again").says("goes on");
    assert_eq!((p.read("src/b.txt"), p.path().join("new").exists()), ("first\n".into(), false));
    apply(&p, &["--undo"]).ok().says("taken back");
    assert_eq!(p.read("src/b.txt"), "b\n");
    apply(&p, &["--undo"]).refused(&["no apply to take back", "--undo list"]);
    let listed = apply(&p, &["--undo", "list"]).ok().text();
    let newest = listed.lines().nth(1).unwrap().split_whitespace().next().unwrap().to_string();
    assert!(newest.ends_with(&id) && listed.contains("1 of them") && listed.contains("yes"), "{listed}");
    p.write("src/a.txt", "second\n");
    apply(&p, &["--undo", &newest]).ok().says("taken back");
    assert_eq!(p.read("src/a.txt"), "one\n");
    apply(&p, &["--undo", &newest]).refused(&["taken back already"]);
    apply(&p, &["--undo", "nothing"]).refused(&["there is no record"]);
}

#[test]
fn a_commit_has_what_was_brought_in_and_nothing_else() {
    let p = repository(&FILES);
    p.write("staged", "s\n");
    p.write("src/b.txt", "mine, staged\n");
    git(&p, &["add", "staged", "src/b.txt"]).ok();
    p.write("dirty", "d\n");
    let staged = git(&p, &["diff", "--cached"]).ok().text();
    change(&p, "echo more >> src/a.txt; rm -r old; echo n > new").ok();
    apply(&p, &["--commit", "-m", "from a task"]).ok();
    let shown = git(&p, &["show", "--name-status", "--format=%s", "HEAD"]).ok().text();
    assert_eq!(shown, "from a task\n\nA\tnew\nD\told/c.txt\nM\tsrc/a.txt\n");
    assert_eq!(git(&p, &["diff", "--cached"]).ok().text(), staged);
    git(&p, &["status", "--porcelain"]).ok().stdout("M  src/b.txt\nA  staged\n?? dirty\n");
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

#[test]
fn what_the_user_writes_between_two_runs_is_told_from_what_the_tasks_saw() {
    let p = Project::with(&FILES);
    let id = up(&p);
    within(&p, &id, "echo 1 >> src/a.txt").ok();
    apply(&p, &[&id]).ok();
    // Written after an apply: the layer has the file and does not show it to the next task.
    p.write("src/a.txt", "mine\n");
    p.write("src/b.txt", "mine, and seen\n");
    within(&p, &id, "cat src/a.txt; cat src/b.txt; echo 2 >> src/a.txt; echo 2 >> src/b.txt")
        .ok()
        .stdout("one\n1\nmine, and seen\n");
    apply(&p, &[&id]).code(1).says("`src/a.txt`: the project changed since; was: a file of 6 bytes");
    assert_eq!((p.read("src/a.txt"), p.read("src/b.txt")), ("mine\n".into(), "mine, and seen\n".into()));
    apply(&p, &["--only", "src/b.txt", &id]).ok();
    assert_eq!(p.read("src/b.txt"), "mine, and seen\n2\n");
    // While a run goes on.
    let script = "echo x >> old/c.txt; echo changed; sleep 2";
    let mut running = p.start(["run", "--quiet", "--sandbox", &id, "--", "sh", "-c", script]);
    running.wait_for("changed");
    p.write("old/c.txt", "mine\n");
    running.end().ok();
    apply(&p, &["--only", "old", &id]).code(1).says("`old/c.txt`: the project's file was touched");
    assert_eq!(p.read("old/c.txt"), "mine\n");
}

#[test]
fn a_link_in_the_place_of_what_tools_obey_is_active_too() {
    let p = Project::with(&FILES);
    change(&p, "mkdir x; echo '{}' > x/settings.json; ln -s x .claude; ln -s x .vscode").ok();
    apply(&p, &[]).code(1).says("`.claude`").says("`.vscode`").says("--allow-active");
    assert!(p.path().join(".claude").symlink_metadata().is_err() && !p.path().join("x").exists());
}

#[test]
fn no_branch_goes_behind_what_the_user_has_committed_since() {
    let p = repository(&FILES);
    change(&p, "echo task >> src/a.txt; echo n > new").ok();
    p.write("src/a.txt", "mine\none\n");
    git(&p, &["commit", "--quiet", "-am", "mine"]).ok();
    apply(&p, &["--branch", "try-1"]).code(1).says("`src/a.txt`: the project changed since").says("no branch was made");
    assert_ne!(git(&p, &["rev-parse", "--verify", "--quiet", "try-1"]).code, Some(0));
    apply(&p, &["--branch", "try-1", "--only", "new"]).ok();
    git(&p, &["diff", "--name-status", "HEAD", "try-1"]).ok().stdout("A\tnew\n");
}

#[test]
fn a_commit_of_folders_alone_stages_nothing_and_what_git_never_knew_is_no_failure() {
    let p = repository(&FILES);
    p.write(".gitignore", "*.pyc\n.env\n");
    p.write("x.pyc", "c");
    p.write("untracked", "u");
    git(&p, &["add", ".gitignore"]).ok();
    git(&p, &["commit", "--quiet", "-m", "ignore"]).ok();
    let id = up(&p);
    within(&p, &id, "mkdir empty").ok();
    apply(&p, &["--commit", "-m", "none", &id]).code(125).says("folders alone");
    git(&p, &["diff", "--cached", "--name-only"]).ok().stdout("");
    within(&p, &id, "rm x.pyc; echo more >> src/a.txt").ok();
    apply(&p, &["--commit", "-m", "some", &id]).ok();
    let shown = git(&p, &["show", "--name-status", "--format=%s", "HEAD"]).ok().text();
    assert_eq!(shown, "some\n\nM\tsrc/a.txt\n");
    git(&p, &["diff", "--cached", "--name-only"]).ok().stdout("");
}

#[test]
fn a_folder_that_the_user_moved_away_is_not_made_anew() {
    let p = Project::with(&FILES);
    change(&p, "echo task >> src/a.txt").ok();
    fs::rename(p.path().join("src"), p.path().join("lib")).unwrap();
    apply(&p, &[]).code(1).says("`src/a.txt`: the project changed since").says("is: nothing");
    assert!(!p.path().join("src").exists());
}

#[test]
fn what_git_ignores_comes_into_the_project_and_into_no_commit() {
    let p = repository(&[("a", "a\n"), ("kept.log", "tracked\n"), ("old.log", "tracked\n")]);
    git(&p, &["config", "core.excludesFile", "/dev/null"]).ok();
    p.write(".gitignore", "*.log\nbuild/\n");
    git(&p, &["add", ".gitignore"]).ok();
    git(&p, &["commit", "--quiet", "-m", "ignore"]).ok();
    let id = up(&p);
    let script = "echo 1 > new.log; mkdir build; echo o > build/out; echo more >> kept.log; rm old.log; echo b > b; echo c > ':(top)c'";
    within(&p, &id, script).ok();
    let out = apply(&p, &["--commit", "-m", "some", &id]);
    out.ok().says("not in the commit, since git ignores it: build/out").says("git ignores it: new.log");
    assert_eq!((p.read("new.log"), p.read("build/out")), ("1\n".into(), "o\n".into()));
    let shown = git(&p, &["show", "--name-status", "--format=%s", "HEAD"]).ok().text();
    assert_eq!(shown, "some\n\nA\t:(top)c\nA\tb\nM\tkept.log\nD\told.log\n");
    git(&p, &["status", "--porcelain"]).ok().stdout("");
    within(&p, &id, "echo 2 > more.log").ok();
    apply(&p, &["--commit", "-m", "none", &id]).code(125).says("git keeps none of them: it ignores them");
    assert_eq!(p.read("more.log"), "2\n");
    within(&p, &id, "echo 3 > last.log; echo 3 > a").ok();
    let told = apply(&p, &["--json", "--commit", "-m", "last", &id]).ok().json();
    assert_eq!(told["ignored"], serde_json::json!(["last.log"]));
}

#[test]
fn what_was_moved_into_a_folder_that_a_task_deleted_stays() {
    let p = Project::with(&FILES);
    p.write("mine/in/it", "mine\n");
    thread::sleep(Duration::from_millis(30));
    let id = up(&p);
    within(&p, &id, "rm -r old").ok();
    fs::rename(p.path().join("mine/in"), p.path().join("old/in")).unwrap();
    for round in ["after the run", "after another one"] {
        apply(&p, &[&id]).code(1).says("`old/in/it`").says("was: nothing").says("nothing was written");
        assert_eq!((p.read("old/in/it"), p.read("old/c.txt")), ("mine\n".into(), "c\n".into()), "{round}");
        within(&p, &id, "test ! -e old && echo n > new").ok();
    }
    apply(&p, &["--only", "old/c.txt", &id]).ok();
    assert_eq!(p.read("old/in/it"), "mine\n");
}

#[test]
fn a_repository_by_another_name_needs_a_word_also_when_it_comes_in_pieces() {
    let p = Project::with(&FILES);
    let id = up(&p);
    let bare = "mkdir -p $d/objects $d/refs; printf '[core]\n\tfsmonitor = touch pwned\n' > $d/config";
    within(&p, &id, &format!("d=lib; {bare}; d=whole; {bare}; echo 'ref: refs/heads/main' > whole/HEAD")).ok();
    apply(&p, &[&id]).code(1).says("`whole/HEAD`").says("`whole/config`").says("--allow-active");
    apply(&p, &["--only", "lib", &id]).ok();
    within(&p, &id, "echo 'ref: refs/heads/main' > lib/HEAD").ok();
    apply(&p, &["--only", "lib", &id]).code(1).says("`lib/HEAD`").says("--allow-active");
    assert!(!p.path().join("lib/HEAD").exists() && !p.path().join("whole").exists());
    // A file that leads there is never written.
    within(&p, &id, "mkdir sub; echo 'gitdir: ../lib' > sub/.git").ok();
    apply(&p, &["--allow-active", "--only", "sub", &id]).code(1).says("sub/.git").says("nothing is ever written");
    apply(&p, &["--allow-active", "--only", "lib", "--only", "whole", &id]).ok();
    assert!(p.path().join("lib/HEAD").exists());
}

#[test]
fn a_sandbox_in_which_nothing_ran_cannot_be_compared_and_why_is_said() {
    let p = Project::with(&FILES);
    let (one, other) = (up(&p), up(&p));
    within(&p, &one, "echo 1 > src/a.txt").ok();
    let words = [other.as_str(), "has no changes to compare", "none has run"];
    p.aido(["diff", &one, &other]).refused(&words);
    p.aido(["diff", &other, &one]).refused(&words);
}
