//! Random trees, random work in them.

use crate::repository;
use crate::sandbox::{Sandbox, path};
use crate::tree;
use aido_changes::{Applied, Folder, Mode, Options, Selection, undo};
use std::ffi::OsString;
use std::fs;
use std::io::Write;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 11
    }

    fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }

    fn one<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.below(of.len())]
    }
}

fn names() -> Vec<Vec<u8>> {
    let plain = [
        "a",
        "b",
        "c",
        "d",
        "d-x",
        "d x",
        "tab\tname",
        "new\nline",
        "quo\"te",
        "back\\slash",
        "\u{fc}ml\u{e4}ut",
        "-dash",
    ];
    let mut names: Vec<Vec<u8>> = plain.iter().map(|name| name.as_bytes().to_vec()).collect();
    names.extend([
        vec![0xff, 0xfe, b'x'],
        vec![b'n'; 255],
        b"\x1b[31m".to_vec(),
        b":(top)x".to_vec(),
        b" sp ".to_vec(),
    ]);
    names
}

fn odd_name(r: &mut Random) -> OsString {
    OsString::from_vec(r.one(&names()).clone())
}

fn content(r: &mut Random) -> Vec<u8> {
    match r.below(8) {
        0 => Vec::new(),
        1 => (0..r.below(3000)).map(|_| r.next() as u8).collect(),
        2 => b"one\r\ntwo\rthree\n".to_vec(),
        3 => b"no newline".to_vec(),
        _ => {
            let mut text: Vec<u8> =
                (0..r.below(60)).flat_map(|_| format!("line {}\n", r.below(9)).into_bytes()).collect();
            if r.below(3) == 0 {
                text.extend(b"end");
            }
            text
        }
    }
}

fn all(root: &Path) -> (Vec<PathBuf>, Vec<PathBuf>) {
    let (mut folders, mut others) = (vec![root.to_path_buf()], Vec::new());
    let mut n = 0;
    while n < folders.len() {
        let mut items: Vec<PathBuf> = fs::read_dir(&folders[n]).unwrap().map(|item| item.unwrap().path()).collect();
        items.sort();
        for item in items {
            let kind = fs::symlink_metadata(&item).unwrap().file_type();
            if kind.is_dir() {
                folders.push(item);
            } else if kind.is_file() || kind.is_symlink() {
                // A pipe would be waited for.
                others.push(item);
            }
        }
        n += 1;
    }
    (folders, others)
}

fn some_name(r: &mut Random, folders: &[PathBuf]) -> PathBuf {
    let folder = r.one(folders).clone();
    folder.join(odd_name(r))
}

/// A project of some forty entries.
pub(crate) fn project(root: &Path, r: &mut Random) {
    for _ in 0..40 {
        let (folders, _) = all(root);
        let at = some_name(r, &folders);
        if at.as_os_str().len() > 1500 || fs::symlink_metadata(&at).is_ok() {
            continue;
        }
        match r.below(5) {
            0 | 1 => fs::create_dir(&at).unwrap(),
            2 => symlink(odd_name(r), &at).unwrap(),
            _ => {
                fs::write(&at, content(r)).unwrap();
                fs::set_permissions(&at, fs::Permissions::from_mode(*r.one(&[0o644, 0o755, 0o600]))).unwrap();
            }
        }
    }
}

/// Random work; what a kernel refuses is no work.
pub(crate) fn work(root: &Path, seed: u64) {
    let mut r = Random::new(seed);
    for _ in 0..30 {
        let _ = step(root, &mut r);
    }
}

fn step(root: &Path, r: &mut Random) -> std::io::Result<()> {
    let (folders, files) = all(root);
    let new = some_name(r, &folders);
    if new.as_os_str().len() > 1500 {
        return Ok(());
    }
    let folder = r.one(&folders).clone();
    if files.is_empty() {
        return fs::write(new, content(r));
    }
    let file = r.one(&files).clone();
    match r.below(16) {
        0 => fs::write(new, content(r)),
        1 => fs::write(file, content(r)),
        2 => fs::OpenOptions::new().append(true).open(file)?.write_all(b"more\n"),
        3 => fs::rename(file, new),
        4 if folder != root => moved(&folder, &new),
        5 | 6 => fs::remove_file(file),
        7 if folder != root => fs::remove_dir_all(folder),
        8 => fs::set_permissions(file, fs::Permissions::from_mode(*r.one(&[0o755, 0o644, 0, 0o4755]))),
        9 => symlink(odd_name(r), new),
        10 => fs::hard_link(file, new),
        11 => fs::create_dir(new),
        // A folder where a file was, a file where a folder was, a folder made anew.
        12 => fs::remove_file(&file)
            .and_then(|()| fs::create_dir(&file))
            .and_then(|()| fs::write(file.join("in"), content(r))),
        13 if folder != root => fs::remove_dir_all(&folder).and_then(|()| fs::write(&folder, content(r))),
        14 if folder != root => {
            fs::remove_dir_all(&folder)?;
            fs::create_dir(&folder)?;
            fs::write(folder.join("a"), content(r))
        }
        15 => {
            let pipe = root.join(format!("pipe{}", r.below(3)));
            let made =
                rustix::fs::mknodat(rustix::fs::CWD, pipe, rustix::fs::FileType::Fifo, rustix::fs::Mode::RWXU, 0);
            made.map_err(Into::into)
        }
        _ => fs::set_permissions(folder, fs::Permissions::from_mode(*r.one(&[0o755, 0]))),
    }
}

/// As `mv` does it where a rename is refused: overlay renames no folder of the project.
fn moved(from: &Path, to: &Path) -> std::io::Result<()> {
    if to.starts_with(from) || fs::symlink_metadata(to).is_ok() {
        return Ok(());
    }
    if fs::rename(from, to).is_ok() {
        return Ok(());
    }
    let status = std::process::Command::new("cp").arg("-a").arg(from).arg(to).status()?;
    if status.success() { fs::remove_dir_all(from) } else { Ok(()) }
}

/// What is brought in: all but what can only be shown.
fn fit(changes: &aido_changes::Changes) -> Selection {
    let mut paths = Vec::new();
    for change in changes.list.iter().filter(|change| change.unfit().is_none()) {
        paths.push(change.path.clone());
        if let aido_changes::Kind::Renamed { from, .. } = &change.kind {
            paths.push(from.clone());
        }
    }
    Selection::exactly(paths)
}

fn apply(changes: &aido_changes::Changes, record: &Path) -> Applied {
    let options = Options {
        selection: fit(changes),
        base: None,
        started: None,
        active: &|_| None,
        allow_active: false,
        allow_links_out: true,
        dry_run: false,
        record,
    };
    changes.apply(&options).unwrap()
}

fn seeds() -> std::ops::Range<u64> {
    match std::env::var("AIDO_CHANGES_SEED") {
        Ok(seed) => seed.parse().map(|seed: u64| seed..seed + 1).unwrap(),
        Err(_) => 0..9,
    }
}

#[test]
fn what_is_told_applied_undone_and_patched_is_what_the_mount_showed() {
    for seed in seeds() {
        let sandbox = Sandbox::new(1 + seed as usize % 3);
        project(&sandbox.project(), &mut Random::new(seed + 1000));
        let Some(merged) = sandbox.work(&format!("random {seed}")) else { return };
        let what = |did: &str| format!("seed {seed}, {did}");
        let before = tree::read(&sandbox.project());
        let changes = sandbox.changes();
        tree::assert_same(&what("told"), &tree::with(&before, &changes.list), &merged);
        for change in &changes.list {
            let same = change.before.as_ref().zip(change.after.as_ref()).is_some_and(|(a, b)| a.is_same(b));
            let moved = matches!(change.kind, aido_changes::Kind::Renamed { .. });
            assert!(!same || moved || change.after.as_ref().is_some_and(|after| after.setid), "{change:?}");
        }

        let mut expected = merged.clone();
        expected.retain(|_, text| text != "special");
        let copy = sandbox.copy("applied");
        let over = sandbox.changes_over(&copy);
        let record = sandbox.at("record");
        let applied = apply(&over, &record);
        assert!(applied.refused.is_empty(), "{}: {:?}", what("apply"), applied.refused);
        tree::assert_same(&what("applied"), &tree::read(&copy), &expected);
        let again = apply(&over, &sandbox.at("record-again"));
        assert!(again.acts.is_empty() && again.refused.is_empty(), "{}: {again:?}", what("again"));
        if !over.list.iter().all(|change| change.unfit().is_some()) && record.exists() {
            let undone = undo(&record, &Folder::open(&copy).unwrap()).unwrap();
            assert!(undone.refused.is_empty(), "{}: {:?}", what("undo"), undone.refused);
        }
        tree::assert_same(&what("undone"), &tree::read(&copy), &before);

        repository::takes_the_patch(&sandbox, &changes, &merged, &what("git apply"));
        repository::takes_a_branch(&sandbox, &merged, &what("branch"));
    }
}

/// Root reads everything; an ordinary user must open what the task closed.
#[test]
fn an_ordinary_user_reads_the_same() {
    if !rustix::process::getuid().is_root() {
        // The test above was that.
        return;
    }
    let room = tempfile::tempdir().unwrap();
    let nobody = 65534;
    std::os::unix::fs::chown(room.path(), Some(nobody), Some(nobody)).unwrap();
    let program = room.path().join("test");
    fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
    let output = std::process::Command::new("setpriv")
        .args(["--reuid", "65534", "--regid", "65534", "--clear-groups"])
        .arg(&program)
        .args(["--exact", "random::what_is_told_applied_undone_and_patched_is_what_the_mount_showed", "--nocapture"])
        .env("TMPDIR", room.path())
        .env("HOME", room.path())
        .current_dir(room.path())
        .output()
        .expect("setpriv of util-linux");
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
    if said.contains("skipped:") {
        crate::sandbox::skip("an overlay as nobody");
    }
}

#[test]
fn special_files_are_told_and_nothing_else_is_made_of_them() {
    let sandbox = Sandbox::new(1);
    fs::write(sandbox.project().join("f"), "x").unwrap();
    if sandbox.work("specials").is_none() {
        return;
    }
    let changes = sandbox.changes();
    let of = |name: &str| changes.list.iter().find(|change| change.path == path(name)).unwrap();
    for name in ["f", "pipe", "socket"] {
        assert_eq!(of(name).after.as_ref().unwrap().mode, Mode::Special, "{name}");
        assert!(of(name).unfit().is_some(), "{name}");
    }
    let mut patch = Vec::new();
    let left_out = changes.patch(&mut patch, Default::default()).unwrap();
    assert!(patch.is_empty() && left_out.len() == 3, "{left_out:?}");
}
