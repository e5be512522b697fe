//! Layers made by hand: what no honest kernel writes, and what only few would.

use crate::sandbox::{Sandbox, path};
use crate::tree;
use aido_changes::{Changes, Error, Folder, Kind, Limits, Mode, RelPath, Stack, compare};
use rustix::fs::{CWD, FileType, XattrFlags, mkdirat, mknodat, openat, setxattr};
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

fn whiteout(at: &Path) {
    mknodat(CWD, at, FileType::CharacterDevice, rustix::fs::Mode::empty(), 0).unwrap();
}

fn mark(at: &Path, name: &str, value: &str) {
    setxattr(at, name, value.as_bytes(), XattrFlags::empty()).unwrap();
}

fn with(sandbox: &Sandbox, hidden: &[RelPath], limits: &Limits) -> aido_changes::Result<Changes> {
    Changes::of(sandbox.stack(), Folder::open(&sandbox.project()).unwrap(), hidden, limits)
}

fn listing(changes: &Changes) -> String {
    let mut out = Vec::new();
    changes.name_status(&mut out).unwrap();
    String::from_utf8(out).unwrap()
}

/// Ten changes in 100,000 files: what is looked at is counted, not timed.
#[test]
fn reading_costs_what_changed_and_not_what_there_is() {
    let sandbox = Sandbox::new(1);
    for folder in 0..100 {
        let at = sandbox.project().join(format!("folder{folder}"));
        fs::create_dir(&at).unwrap();
        (0..1000).for_each(|n| drop(fs::File::create(at.join(format!("file{n}"))).unwrap()));
    }
    for n in 0..10 {
        let at = sandbox.at("upper0").join(format!("folder{n}"));
        fs::create_dir(&at).unwrap();
        match n % 2 {
            0 => fs::write(at.join("file7"), "changed").unwrap(),
            _ => whiteout(&at.join("file7")),
        }
    }
    let started = std::time::Instant::now();
    let changes = sandbox.changes();
    eprintln!("10 changes among 100,000 files: {:?}", started.elapsed());
    assert_eq!(changes.list.len(), 10);
    let cost = changes.cost;
    assert_eq!((cost.layer_entries, cost.project_entries, cost.bytes), (20, 20, 35), "{cost:?}");
    // A folder that is gone is walked: each of its files is named.
    fs::remove_dir_all(sandbox.at("upper0/folder0")).unwrap();
    whiteout(&sandbox.at("upper0/folder0"));
    let changes = sandbox.changes();
    assert_eq!(changes.list.len(), 9 + 1001);
    assert!(changes.cost.project_entries > 1000 && changes.cost.project_entries < 3000, "{:?}", changes.cost);
}

/// The marks as the kernel takes them: it is asked what it shows.
#[test]
fn marks_are_read_as_the_kernel_reads_them() {
    let sandbox = Sandbox::new(2);
    for file in ["opaque/a", "opaque/b", "white/gone", "white/kept", "folder/in", "file"] {
        fs::create_dir_all(sandbox.project().join(file).parent().unwrap()).unwrap();
        fs::write(sandbox.project().join(file), file).unwrap();
    }
    let upper = sandbox.at("upper0");
    for folder in ["opaque", "white"] {
        fs::create_dir(upper.join(folder)).unwrap();
    }
    fs::write(upper.join("opaque/a"), "other").unwrap();
    mark(&upper.join("opaque"), "user.overlay.opaque", "y");
    fs::write(upper.join("white/gone"), "").unwrap();
    mark(&upper.join("white/gone"), "user.overlay.whiteout", "y");
    mark(&upper.join("white"), "user.overlay.opaque", "x");
    mark(&upper, "user.overlay.opaque", "x");
    whiteout(&upper.join("folder"));
    let Some(merged) = sandbox.work("marks") else { return };
    let changes = sandbox.changes();
    tree::assert_same("marks", &tree::with(&tree::read(&sandbox.project()), &changes.list), &merged);
    assert!(listing(&changes).contains("D\twhite/gone\n") && listing(&changes).contains("D\topaque/b\n"), "{merged:?}");
}

#[test]
fn a_task_cannot_forge_a_mark() {
    let sandbox = Sandbox::new(1);
    for file in ["kept", "f"] {
        fs::write(sandbox.project().join(file), "").unwrap();
    }
    let Some(merged) = sandbox.work("forged") else { return };
    let changes = sandbox.changes();
    tree::assert_same("forged", &tree::with(&tree::read(&sandbox.project()), &changes.list), &merged);
    assert_eq!(listing(&changes), "A\tnew/\n");
}

#[test]
fn a_layer_that_says_otherwise_is_refused() {
    for (name, value) in [
        ("user.overlay.redirect", "/etc"),
        ("user.overlay.metacopy", ""),
        ("user.overlay.opaque", "z"),
        ("trusted.overlay.opaque", "y"),
    ] {
        if name.starts_with("trusted") && !rustix::process::getuid().is_root() {
            continue;
        }
        let sandbox = Sandbox::new(1);
        fs::create_dir(sandbox.at("upper0/d")).unwrap();
        mark(&sandbox.at("upper0/d"), name, value);
        let told = with(&sandbox, &[], &Limits::default());
        assert!(matches!(told, Err(Error::Layer { .. })), "{name}: {told:?}");
    }
}

#[test]
fn nothing_is_read_through_a_link_of_a_layer() {
    let sandbox = Sandbox::new(2);
    fs::create_dir(sandbox.at("secret")).unwrap();
    fs::write(sandbox.at("secret/key"), "secret").unwrap();
    fs::create_dir(sandbox.at("upper0/a")).unwrap();
    fs::write(sandbox.at("upper0/a/key"), "mine").unwrap();
    symlink(sandbox.at("secret"), sandbox.at("upper1/a")).unwrap();
    symlink("../secret", sandbox.project().join("b")).unwrap();
    fs::create_dir(sandbox.at("upper1/b")).unwrap();
    fs::write(sandbox.at("upper1/b/key"), "mine").unwrap();
    let changes = sandbox.changes();
    assert_eq!(listing(&changes), "D\tb\nA\ta\nA\tb/key\n");
    assert_eq!(changes.list[1].after.as_ref().unwrap().mode, Mode::Link);
}

#[test]
fn a_tree_of_any_depth_and_a_file_of_any_length_are_told() {
    let sandbox = Sandbox::new(1);
    let flags = rustix::fs::OFlags::RDONLY | rustix::fs::OFlags::DIRECTORY;
    let mut at = fs::File::open(sandbox.at("upper0")).unwrap();
    // 2047 folders are as deep as a path of the kernel's goes.
    for _ in 0..2100 {
        mkdirat(&at, "d", rustix::fs::Mode::RWXU).unwrap();
        at = openat(&at, "d", flags, rustix::fs::Mode::empty()).unwrap().into();
    }
    let sparse = fs::File::create(sandbox.at("upper0/sparse")).unwrap();
    sparse.set_len(1 << 42).unwrap();
    fs::write(sandbox.at("upper0").join("n".repeat(255)), "x").unwrap();
    let changes = sandbox.changes();
    assert_eq!(changes.list.len(), 3);
    let unfit: Vec<&str> = changes.list.iter().filter_map(|change| change.unfit()).collect();
    assert!(unfit.len() == 2 && unfit[0].contains("too long") && unfit[1].contains("larger"), "{unfit:?}");
    assert_eq!(changes.list[2].after.as_ref().unwrap().size, 1 << 42);
    assert!(changes.cost.bytes == 1, "{:?}", changes.cost);
    let mut patch = Vec::new();
    assert_eq!(changes.patch(&mut patch, Default::default()).unwrap().len(), 2);
}

#[test]
fn too_many_names_are_an_error_and_no_shorter_list() {
    let sandbox = Sandbox::new(1);
    (0..50).for_each(|n| fs::write(sandbox.at("upper0").join(format!("f{n}")), "x").unwrap());
    let few = Limits { entries: 40, ..Limits::default() };
    assert!(matches!(with(&sandbox, &[], &few), Err(Error::TooMany { .. })));
    let short = Limits { path_bytes: 100, ..Limits::default() };
    assert!(matches!(with(&sandbox, &[], &short), Err(Error::TooMany { .. })));
    let unread = Limits { all_bytes: 10, ..Limits::default() };
    let changes = with(&sandbox, &[], &unread).unwrap();
    assert_eq!(changes.list.iter().filter(|change| change.unfit().is_some()).count(), 40);
}

#[test]
fn what_the_task_was_not_shown_is_flagged_and_goes_nowhere() {
    let sandbox = Sandbox::new(1);
    fs::create_dir(sandbox.project().join("d")).unwrap();
    fs::write(sandbox.project().join("d/secret"), "x").unwrap();
    fs::write(sandbox.project().join("d/open"), "x").unwrap();
    whiteout(&sandbox.at("upper0/d"));
    fs::write(sandbox.at("upper0/d2"), "x").unwrap();
    let changes = with(&sandbox, &[path("d/secret")], &Limits::default()).unwrap();
    let flagged: Vec<String> = changes.list.iter().filter(|c| c.hidden).map(|c| c.path.to_string()).collect();
    assert_eq!(flagged, ["d/secret"]);
    let mut patch = Vec::new();
    assert_eq!(changes.patch(&mut patch, Default::default()).unwrap()[0].path, path("d/secret"));
    assert!(!String::from_utf8(patch).unwrap().contains("secret"));
}

#[test]
fn a_listing_is_as_gits_and_deletions_come_first() {
    let sandbox = Sandbox::new(1);
    for (file, text) in [("z", "1\n2\n"), ("m", "1\n2\n3\n"), ("b", "moved\n"), ("run", "x\n")] {
        fs::write(sandbox.project().join(file), text).unwrap();
    }
    let upper = sandbox.at("upper0");
    whiteout(&upper.join("z"));
    whiteout(&upper.join("b"));
    fs::create_dir(upper.join("to")).unwrap();
    fs::write(upper.join("to/b"), "moved\n").unwrap();
    fs::write(upper.join("m"), "1\ntwo\n3\n4\n").unwrap();
    fs::write(upper.join("a\nb\u{fc}"), [0, 1, 2]).unwrap();
    fs::write(upper.join("run"), "x\n").unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    fs::set_permissions(upper.join("run"), mode).unwrap();
    let changes = sandbox.changes();
    let expected = "D\tz\nA\t\"a\\nb\\303\\274\"\nM\tm\nM\trun\nR100\tb\tto/b\n";
    assert_eq!(listing(&changes), expected);
    assert_eq!(changes.list[3].kind, Kind::Mode);
    let mut out = Vec::new();
    changes.write_stat(&mut out).unwrap();
    let expected = " z | 2 --\n \"a\\nb\\303\\274\" | Bin 0 -> 3 bytes\n m | 3 ++-\n run | 0\n b => to/b | 0\n \
                    5 changed, 2 lines added (+), 3 lines removed (-)\n";
    assert_eq!(String::from_utf8(out).unwrap(), expected);
    let json = serde_json::to_value(&changes).unwrap();
    assert_eq!(json["list"][1]["path"], "a\\x0ab\u{fc}");
}

#[test]
fn a_text_that_was_moved_and_edited_is_a_rename_that_git_takes() {
    let sandbox = Sandbox::new(1);
    let text = |n: usize| (0..40).map(|line| format!("line {} of {n}\n", line)).collect::<String>();
    fs::create_dir(sandbox.at("upper0/to")).unwrap();
    for n in 0..3 {
        fs::write(sandbox.project().join(format!("f{n}")), text(n)).unwrap();
        whiteout(&sandbox.at("upper0").join(format!("f{n}")));
    }
    fs::write(sandbox.at("upper0/to/edited"), text(1).replace("line 7 ", "line seven ")).unwrap();
    fs::write(sandbox.at("upper0/to/f2"), text(2)).unwrap();
    fs::write(sandbox.at("upper0/to/other"), "another text\n".repeat(30)).unwrap();
    let changes = sandbox.changes();
    assert_eq!(listing(&changes), "D\tf0\nR096\tf1\tto/edited\nR100\tf2\tto/f2\nA\tto/other\n");
    let after = tree::with(&tree::read(&sandbox.project()), &changes.list);
    crate::repository::takes_the_patch(&sandbox, &changes, &after, "an edited rename");
    crate::repository::takes_a_branch(&sandbox, &after, "an edited rename");
}

#[test]
fn two_sandboxes_are_compared_by_what_they_leave() {
    let sandbox = Sandbox::new(2);
    for file in ["same", "one", "gone"] {
        fs::write(sandbox.project().join(file), "before").unwrap();
    }
    for upper in ["upper0", "upper1"] {
        fs::write(sandbox.at(upper).join("same"), "after").unwrap();
        fs::create_dir_all(sandbox.at(upper).join("new")).unwrap();
    }
    fs::write(sandbox.at("upper0/one"), "after").unwrap();
    whiteout(&sandbox.at("upper1/gone"));
    fs::write(sandbox.at("upper1/new/x"), "x").unwrap();
    let of = |upper: &str| {
        let stack = Stack::open(&[sandbox.at(upper)]).unwrap();
        Changes::of(stack, Folder::open(&sandbox.project()).unwrap(), &[], &Limits::default()).unwrap()
    };
    let differences = compare(&of("upper0"), &of("upper1"));
    let paths: Vec<String> = differences.iter().map(|difference| difference.path.to_string()).collect();
    assert_eq!(paths, ["gone", "new/x", "one"]);
    assert!(differences[0].a.is_some() && differences[0].b.is_none());
    assert!(differences[2].b == differences[2].before && differences[2].a != differences[2].before);
    assert!(compare(&of("upper0"), &of("upper0")).is_empty());
}
