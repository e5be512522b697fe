//! Ends an apply at every place where a kill could, and takes it back or to its end; and what is refused.

use super::{Applied, Options, Why, finish, undo};
use crate::{Changes, Error, Folder, Limits, RelPath, Result, Selection, Stack};
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};
use tempfile::TempDir;

thread_local! {
    /// How many places may still be passed; `None`: all.
    static LEFT: Cell<Option<usize>> = const { Cell::new(None) };
    /// A file that somebody else writes after so many places.
    static MEDDLE: RefCell<Option<(usize, PathBuf)>> = const { RefCell::new(None) };
}

/// Fails at the place where the test wants the end, and at each after it: as after a kill nothing more is done.
pub(super) fn pulse() -> Result<()> {
    MEDDLE.with_borrow_mut(|meddle| match meddle {
        Some((0, file)) => {
            fs::write(file, "the user's own\n").unwrap();
            *meddle = None;
        }
        Some((n, _)) => *n -= 1,
        None => {}
    });
    LEFT.with(|left| match left.get() {
        Some(0) => Err(Error::io("the end", std::io::Error::other("killed"))),
        Some(n) => {
            left.set(Some(n - 1));
            Ok(())
        }
        None => Ok(()),
    })
}

struct Room {
    room: TempDir,
    record: PathBuf,
}

type Tree = BTreeMap<String, String>;

impl Room {
    /// A project and a layer over it: an addition, a change, a mode, a link, a deletion, a folder that is gone, a file
    /// for a folder and a folder for a file.
    fn new() -> Self {
        let room = tempfile::tempdir().unwrap();
        let room = Room { record: room.path().join("record"), room };
        for folder in ["project/gone", "project/was-folder/in", "upper/new/deep", "upper/was-file"] {
            fs::create_dir_all(room.at(folder)).unwrap();
        }
        for file in ["same", "changed", "mode", "deleted", "gone/a", "gone/b", "was-folder/in/x", "was-file"] {
            fs::write(room.at("project").join(file), format!("the project's {file}\n")).unwrap();
        }
        symlink("same", room.at("project/link")).unwrap();
        for (file, content) in [
            ("new/deep/file", "new\n"),
            ("changed", "changed\n"),
            ("was-folder", "a file now\n"),
            ("was-file/y", "y\n"),
        ] {
            fs::write(room.at("upper").join(file), content).unwrap();
        }
        fs::write(room.at("upper/mode"), "the project's mode\n").unwrap();
        fs::set_permissions(room.at("upper/mode"), fs::Permissions::from_mode(0o755)).unwrap();
        symlink("changed", room.at("upper/link")).unwrap();
        room.whiteout("deleted");
        room.whiteout("gone");
        room
    }

    fn at(&self, name: &str) -> PathBuf {
        self.room.path().join(name)
    }

    fn whiteout(&self, name: &str) {
        let (at, mode) = (self.at("upper").join(name), rustix::fs::Mode::empty());
        rustix::fs::mknodat(rustix::fs::CWD, at, rustix::fs::FileType::CharacterDevice, mode, 0).unwrap();
    }

    fn stack(&self) -> Stack {
        Stack::open(&[self.at("upper")]).unwrap()
    }

    fn project(&self) -> Folder {
        Folder::open(&self.at("project")).unwrap()
    }

    fn changes(&self) -> Changes {
        Changes::of(self.stack(), self.project(), &[], &Limits::default()).unwrap()
    }

    fn apply<'a>(&'a self, changes: &Changes, set: impl FnOnce(&mut Options<'a>)) -> Result<Applied> {
        let mut options = Options {
            selection: Selection::all(),
            base: None,
            started: None,
            active: &|_| None,
            allow_active: false,
            allow_links_out: false,
            dry_run: false,
            record: &self.record,
        };
        set(&mut options);
        changes.apply(&options)
    }

    fn tree(&self) -> Tree {
        let mut tree = Tree::new();
        below(&self.at("project"), "", &mut tree);
        tree
    }
}

fn below(folder: &Path, at: &str, tree: &mut Tree) {
    for item in fs::read_dir(folder).unwrap() {
        let item = item.unwrap();
        let name = format!("{at}/{}", item.file_name().display());
        let (path, meta) = (item.path(), item.metadata().unwrap());
        let mode = meta.permissions().mode();
        let text = if meta.is_dir() {
            below(&path, &name, tree);
            format!("folder {mode:o}")
        } else if meta.is_symlink() {
            format!("link {}", fs::read_link(&path).unwrap().display())
        } else {
            format!("file {mode:o} {}", fs::read_to_string(&path).unwrap())
        };
        tree.insert(name, text);
    }
}

#[test]
fn ended_anywhere_it_can_be_undone_or_finished() {
    let whole = Room::new();
    let before = whole.tree();
    let applied = whole.apply(&whole.changes(), |_| {}).unwrap();
    assert!(applied.written && applied.refused.is_empty(), "{applied:?}");
    let after = whole.tree();
    assert_ne!(before, after);
    let mut ended = 0;
    for places in 0.. {
        let [undone, finished] = [Room::new(), Room::new()].map(|room| {
            let changes = room.changes();
            LEFT.set(Some(places));
            let ended = room.apply(&changes, |_| {}).is_err();
            LEFT.set(None);
            (room, ended)
        });
        assert_eq!(undone.1, finished.1);
        if !undone.1 {
            break;
        }
        ended += 1;
        let (undone, finished) = (undone.0, finished.0);
        assert!(undo(&undone.at("record"), &undone.project()).unwrap().refused.is_empty());
        assert_eq!(undone.tree(), before, "undone after {places} places");
        let recorded = finished.at("record/record.json").exists();
        assert!(finish(&finished.at("record"), &finished.project(), &finished.stack()).unwrap().is_empty());
        assert_eq!(finished.tree(), if recorded { after.clone() } else { before.clone() }, "finished after {places}");
        // Taken back after it was finished, and that ended half-way and taken again.
        for places in 0..12 {
            LEFT.set(Some(places));
            let _ = undo(&finished.at("record"), &finished.project());
            LEFT.set(None);
        }
        assert!(undo(&finished.at("record"), &finished.project()).unwrap().refused.is_empty());
        assert_eq!(finished.tree(), before);
    }
    assert!(ended > 30, "only {ended} places");
}

#[test]
fn a_dry_run_says_what_is_then_done() {
    let room = Room::new();
    let before = room.tree();
    let dry = room.apply(&room.changes(), |options| options.dry_run = true).unwrap();
    assert_eq!(room.tree(), before);
    assert!(!room.at("record").exists() && !dry.written);
    let applied = room.apply(&room.changes(), |_| {}).unwrap();
    assert_eq!(dry.acts, applied.acts);
    assert!(room.apply(&room.changes(), |_| {}).unwrap().acts.is_empty());
}

#[test]
fn what_the_project_changed_since_stops_everything() {
    let room = Room::new();
    let base: crate::Base = serde_json::from_str(&serde_json::to_string(&room.changes().base).unwrap()).unwrap();
    fs::write(room.at("project/changed"), "the user's own\n").unwrap();
    fs::remove_file(room.at("project/gone/a")).unwrap();
    fs::write(room.at("project/gone/a"), "also new\n").unwrap();
    let before = room.tree();
    let drifts = base.since(&room.project(), None).unwrap();
    assert_eq!(drifts.iter().map(|drift| drift.path.to_string()).collect::<Vec<_>>(), ["changed", "gone/a"]);
    let applied = room.apply(&room.changes(), |options| options.base = Some(&base)).unwrap();
    assert_eq!(room.tree(), before);
    assert_eq!(applied.refused.len(), 2, "{applied:?}");
    let said = applied.refused[0].to_string();
    for part in ["was: a file of 22 bytes", "is: a file of 15 bytes", "would become: a file of 8 bytes"] {
        assert!(said.contains(part), "{said}");
    }
    // What was not touched may be chosen alone.
    let chosen = Selection::of(&["new"]).unwrap();
    let applied =
        room.apply(&room.changes(), |options| (options.base, options.selection) = (Some(&base), chosen)).unwrap();
    assert!(applied.written && room.at("project/new/deep/file").exists() && room.at("project/deleted").exists());
}

#[test]
fn a_file_touched_after_the_start_is_not_overwritten() {
    let room = Room::new();
    let now = SystemTime::now();
    let applied = room.apply(&room.changes(), |options| options.started = Some(now - Duration::from_secs(60))).unwrap();
    assert!(
        !applied.written
            && applied.refused.iter().any(|refusal| refusal.to_string().contains("after the sandbox started"))
    );
    let applied = room.apply(&room.changes(), |options| options.started = Some(now + Duration::from_secs(60))).unwrap();
    assert!(applied.written, "{applied:?}");
}

#[test]
fn nothing_is_written_through_a_link_of_the_project() {
    let room = Room::new();
    let changes = room.changes();
    fs::create_dir(room.at("outside")).unwrap();
    symlink("../outside", room.at("project/new")).unwrap();
    let before = room.tree();
    let applied = room.apply(&changes, |_| {}).unwrap();
    assert!(matches!(applied.refused[..], [super::Refusal { why: Why::Through(_), .. }]), "{applied:?}");
    assert_eq!(room.tree(), before);
    // Where the link was there from the start the layer makes a folder of it. It goes when that is chosen too.
    let changes = room.changes();
    let alone = Selection::exactly([RelPath::new("new/deep/file").unwrap()]);
    let applied = room.apply(&changes, |options| options.selection = alone).unwrap();
    assert!(matches!(applied.refused[..], [super::Refusal { why: Why::Through(_), .. }]), "{applied:?}");
    assert!(room.apply(&changes, |_| {}).unwrap().written && room.at("project/new/deep/file").exists());
    assert!(fs::read_dir(room.at("outside")).unwrap().next().is_none());
    undo(&room.record, &room.project()).unwrap();
    assert_eq!(room.tree(), before);
}

#[test]
fn git_active_files_and_links_that_lead_out_are_refused() {
    let room = Room::new();
    fs::create_dir_all(room.at("upper/sub/.GIT/hooks")).unwrap();
    fs::write(room.at("upper/sub/.GIT/hooks/pre-commit"), "x").unwrap();
    fs::write(room.at("upper/.envrc"), "x").unwrap();
    for (name, target) in
        [("abs", "/etc/passwd"), ("up", "../x"), ("over", "new/../../x"), ("to-git", "sub/.git/config")]
    {
        symlink(target, room.at("upper").join(name)).unwrap();
    }
    symlink("../../changed", room.at("upper/new/deep/fine")).unwrap();
    fs::set_permissions(room.at("upper/changed"), fs::Permissions::from_mode(0o6755)).unwrap();
    let active = |path: &RelPath| (path.name() == b".envrc").then(|| "a shell loads it".to_string());
    let refused = |allow: bool| -> Vec<String> {
        let applied = room.apply(&room.changes(), |options| {
            (options.active, options.allow_active, options.allow_links_out) = (&active, allow, allow);
        });
        applied.unwrap().refused.iter().map(|refusal| refusal.path.to_string()).collect()
    };
    assert_eq!(refused(false), [".envrc", "abs", "over", "sub/.GIT/hooks/pre-commit", "to-git", "up"]);
    // Never, whatever is allowed.
    assert_eq!(refused(true), ["sub/.GIT/hooks/pre-commit"]);
    let rest = Selection::exactly(["changed", "new/deep/fine", "abs"].map(|path| RelPath::new(path).unwrap()));
    room.apply(&room.changes(), |options| (options.selection, options.allow_links_out) = (rest, true)).unwrap();
    let mode = fs::metadata(room.at("project/changed")).unwrap().permissions().mode();
    assert_eq!(mode & 0o7777, 0o755, "setuid and setgid never");
}

#[test]
fn what_changed_after_it_was_applied_is_not_taken_back() {
    let room = Room::new();
    let before = room.tree();
    room.apply(&room.changes(), |_| {}).unwrap();
    fs::write(room.at("project/changed"), "edited by hand\n").unwrap();
    let undone = undo(&room.at("record"), &room.project()).unwrap();
    assert_eq!(undone.refused.len(), 1, "{undone:?}");
    let mut expected = before;
    expected.insert("/changed".into(), "file 100644 edited by hand\n".into());
    assert_eq!(room.tree(), expected);
}

#[test]
fn a_folder_that_would_be_a_file_keeps_what_nobody_knew() {
    let room = Room::new();
    let changes = room.changes();
    fs::write(room.at("project/was-folder/mine"), "x").unwrap();
    let before = room.tree();
    let applied = room.apply(&changes, |_| {}).unwrap();
    assert!(matches!(&applied.refused[..], [one] if matches!(one.why, Why::InTheWay(_))), "{applied:?}");
    assert_eq!(room.tree(), before);
}

#[test]
fn a_layer_that_changed_after_it_was_read_is_not_brought_in() {
    let room = Room::new();
    let (before, changes) = (room.tree(), room.changes());
    fs::write(room.at("upper/new/deep/file"), "bad\n").unwrap();
    let applied = room.apply(&changes, |_| {}).unwrap();
    assert!(!applied.refused.is_empty(), "{applied:?}");
    assert!(!room.at("project/new/deep/file").exists());
    assert!(undo(&room.at("record"), &room.project()).unwrap().refused.is_empty());
    assert_eq!(room.tree(), before);
}

#[test]
fn a_file_that_the_project_keeps_closed_stays_closed() {
    let room = Room::new();
    fs::set_permissions(room.at("project/changed"), fs::Permissions::from_mode(0o600)).unwrap();
    let before = room.tree();
    room.apply(&room.changes(), |_| {}).unwrap();
    assert_eq!(room.tree()["/changed"], "file 100600 changed\n");
    undo(&room.at("record"), &room.project()).unwrap();
    assert_eq!(room.tree(), before);
}

/// Whenever somebody writes a file while it is replaced, what was written is there at the end, also after it was undone.
#[test]
fn what_is_written_under_our_hands_is_not_lost() {
    for file in ["changed", "deleted", "new-file"] {
        let mut refused = 0;
        for places in 0.. {
            let room = Room::new();
            fs::write(room.at("upper/new-file"), "new\n").unwrap();
            let changes = room.changes();
            MEDDLE.set(Some((places, room.at("project").join(file))));
            let applied = room.apply(&changes, |_| {});
            if MEDDLE.replace(None).is_some() {
                break;
            }
            refused += usize::from(applied.is_err() || applied.is_ok_and(|applied| !applied.refused.is_empty()));
            let mine = |when: &str| {
                let content = fs::read_to_string(room.at("project").join(file)).unwrap();
                assert_eq!(content, "the user's own\n", "{file}, {places} places, {when}");
            };
            mine("applied");
            let _ = undo(&room.record, &room.project());
            mine("undone");
        }
        assert!(refused > 3, "{file}: refused {refused} times");
    }
}
