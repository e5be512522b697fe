//! A repository that somebody cloned: what its `sandbox.yaml` and its links must not reach.

use crate::project::Project;
use nix::fcntl::{AT_FDCWD, RenameFlags, renameat2};
use std::os::unix::fs::symlink;
use std::sync::atomic::{AtomicBool, Ordering};

/// A folder outside the project that looks like a root and holds a secret.
fn outside(p: &Project) -> std::path::PathBuf {
    let folder = p.home().join("elsewhere");
    std::fs::create_dir_all(folder.join("bin")).unwrap();
    std::fs::write(folder.join("key"), "OUTSIDE").unwrap();
    folder
}

#[test]
fn a_root_folder_of_a_file_is_the_projects_and_shows_none_of_its_secrets() {
    let p = Project::with(&[(".env", "S=1"), ("bin/x", ""), (".git/bin/x", "")]);
    symlink(outside(&p), p.path().join("rt")).unwrap();
    for (root, said) in
        [("rt", "leads out of the project"), (".", "the project lies in it"), (".git", "to its secrets")]
    {
        p.write("sandbox.yaml", format!("runtime: \"rootfs:{root}\"\n"));
        p.aido(["run", "--", "/bin/x"]).code(125).says(said);
        p.aido(["sandbox", "up"]).code(125).says(said);
    }
    // What is typed is the user's own word, but for the project itself.
    std::fs::remove_file(p.path().join("sandbox.yaml")).unwrap();
    p.aido(["run", "--runtime", "rootfs:.", "--", "/bin/x"]).code(125).says("the project lies in it");
    p.aido(["run", "--runtime", "rootfs:rt", "--", "/bin/x"]).code(127);
}

#[test]
fn a_link_with_a_harmless_name_gives_no_secret_and_nothing_gives_the_evidence() {
    let p = Project::with(&[(".env", "S=1"), (".git/config", "token"), ("a.py", "print(open('notes.txt').read())")]);
    symlink(".git", p.path().join("docs")).unwrap();
    symlink(".env", p.path().join("notes.txt")).unwrap();
    symlink(".", p.path().join("self")).unwrap();
    p.aido(["run", "--input", "docs", "--", "ls"]).code(125).says("`docs` is a link to `.git`");
    p.aido(["run", "--input", "notes.txt", "a.py"]).code(125).says("`notes.txt` is a link to `.env`");
    p.aido(["run", "-q", "--input", ".env", "--", "cat", ".env"]).ok().stdout("S=1");
    p.aido(["run", "--input", ".aido", "--", "ls"]).code(125).says("evidence of earlier runs");
    p.aido(["run", "-q", "--input", "self", "--", "ls", "-A", "self"]).ok();
    let seen = p.aido(["run", "-q", "--input", "self", "--", "ls", "-A", "self"]).ok().text();
    assert!(seen.contains("a.py") && !seen.contains(".aido") && !seen.contains(".env"), "{seen}");
}

#[test]
fn an_input_that_is_swapped_for_a_link_meanwhile_leads_nowhere() {
    let p = Project::with(&[("in/key", "inside")]);
    symlink(outside(&p), p.path().join("evil")).unwrap();
    let (one, other) = (p.path().join("in"), p.path().join("evil"));
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                renameat2(AT_FDCWD, &one, AT_FDCWD, &other, RenameFlags::RENAME_EXCHANGE).unwrap();
            }
        });
        for _ in 0..40 {
            let out = p.aido(["run", "-q", "--input", "in", "--", "cat", "in/key"]);
            assert!(!out.text().contains("OUTSIDE"), "{out}");
        }
        stop.store(true, Ordering::Relaxed);
    });
}

#[test]
fn names_in_a_cloned_state_do_not_steer_the_terminal() {
    let p = Project::new();
    let id = p.aido(["sandbox", "up", "--quiet"]).ok().word();
    let state = format!(".aido/sandboxes/{id}/state.json");
    let name = p.read(&state).replacen("\"project\"", "\"\\u001b]0;x\\u0007\"", 1);
    p.write(&state, name);
    let listed = p.aido(["sandbox", "list"]).ok().text();
    assert!(listed.contains(&id) && !listed.contains(['\u{1b}', '\u{7}']), "{listed:?}");
}
