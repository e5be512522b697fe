use super::super::{Ownership, unpack};
use super::*;
use crate::recipe::Pen;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// One entry of a layer; names are few, so that layers meet.
type Seed = (Vec<&'static str>, u8, u32);

/// Unpacks a layer below `home`; entries that do not go together are left out.
fn layer(home: &Path, number: usize, seeds: &[Seed]) -> PathBuf {
    let mut taken: BTreeMap<String, bool> = BTreeMap::new();
    let mut tar = tar::Builder::new(Vec::new());
    for (names, kind, mode) in seeds {
        let folder = kind % 6 < 2;
        let parents: Vec<String> = (1..names.len()).map(|depth| names[..depth].join("/")).collect();
        let path = names.join("/");
        let fits = parents.iter().all(|parent| taken.get(parent) != Some(&false)) && !taken.contains_key(&path);
        if !fits {
            continue;
        }
        taken.extend(parents.into_iter().map(|parent| (parent, true)));
        let (parent, name) = path.rsplit_once('/').map_or(("", path.as_str()), |(parent, name)| (parent, name));
        let slash = if parent.is_empty() { "" } else { "/" };
        let (entry, kind) = match kind % 6 {
            0 | 1 => (format!("{path}/"), tar::EntryType::Directory),
            2 => (format!("{parent}{slash}.wh.{name}"), tar::EntryType::Regular),
            3 => (format!("{parent}{slash}.wh..wh..opq"), tar::EntryType::Regular),
            4 => (path.clone(), tar::EntryType::Symlink),
            _ => (path.clone(), tar::EntryType::Regular),
        };
        if !entry.contains(".wh.") {
            taken.insert(path.clone(), folder);
        }
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(*mode);
        header.set_mtime(1_000_000 + number as u64);
        let data = if kind == tar::EntryType::Regular { format!("{number}") } else { String::new() };
        header.set_size(data.len() as u64);
        if kind == tar::EntryType::Symlink {
            header.set_link_name(format!("to-{number}")).unwrap();
        }
        tar.append_data(&mut header, entry, data.as_bytes()).unwrap();
    }
    let folder = home.join(number.to_string());
    std::fs::create_dir(&folder).unwrap();
    let root = beneath::own_folder(&folder).unwrap();
    let bytes = tar.into_inner().unwrap();
    unpack(&bytes[..], root, Ownership::Squash, Pen::beside(&folder).unwrap(), std::io::sink(), &Arc::default())
        .unwrap();
    folder
}

fn is_opaque(folder: &Path) -> bool {
    let mut value = [0; 1];
    matches!(rustix::fs::getxattr(folder, OsStr::from_bytes(OPAQUE), &mut value), Ok(1) if value == *b"y")
}

/// What an overlay mount of these folders shows, topmost first, by the rules of its documentation.
fn view(folders: &[PathBuf], path: &Path, seen: &mut BTreeMap<PathBuf, (u32, i64, Vec<u8>)>) {
    let top = std::fs::symlink_metadata(&folders[0]).unwrap();
    seen.insert(path.to_owned(), (top.mode(), top.mtime(), Vec::new()));
    let open = folders.iter().position(|folder| is_opaque(folder)).map_or(folders, |last| &folders[..=last]);
    let names: BTreeSet<_> =
        open.iter().flat_map(|f| std::fs::read_dir(f).unwrap().map(|entry| entry.unwrap().file_name())).collect();
    for name in names {
        let there: Vec<PathBuf> = open.iter().map(|f| f.join(&name)).filter(|p| p.symlink_metadata().is_ok()).collect();
        let meta = there[0].symlink_metadata().unwrap();
        let path = path.join(&name);
        if meta.is_dir() {
            let merged: Vec<PathBuf> =
                there.into_iter().take_while(|p| p.symlink_metadata().unwrap().is_dir()).collect();
            view(&merged, &path, seen);
        } else if meta.is_symlink() {
            let to = std::fs::read_link(&there[0]).unwrap().into_os_string().into_encoded_bytes();
            seen.insert(path, (meta.mode(), meta.mtime(), to));
        } else if !meta.file_type().is_char_device() {
            seen.insert(path, (meta.mode(), meta.mtime(), std::fs::read(&there[0]).unwrap()));
        }
    }
}

fn seen(folders: &[PathBuf]) -> BTreeMap<PathBuf, (u32, i64, Vec<u8>)> {
    let mut seen = BTreeMap::new();
    view(folders, Path::new(""), &mut seen);
    seen
}

fn merged(home: &Path, folders: &[PathBuf]) -> PathBuf {
    let target = home.join("merged");
    std::fs::create_dir(&target).unwrap();
    let roots: Vec<OwnedFd> = folders.iter().map(|folder| beneath::own_folder(folder).unwrap()).collect();
    union(&roots, beneath::own_folder(&target).unwrap()).unwrap();
    target
}

fn seed() -> impl Strategy<Value = Seed> {
    let names = prop::collection::vec(prop::sample::select(vec!["a", "b", "c"]), 1..4);
    (names, any::<u8>(), prop::sample::select(vec![0o755, 0o711, 0o1777]))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn a_merged_stack_shows_what_the_stack_shows(
        stack in prop::collection::vec(prop::collection::vec(seed(), 0..9), 2..8),
        cut in any::<(prop::sample::Index, prop::sample::Index)>(),
    ) {
        let home = tempfile::tempdir().unwrap();
        let mut folders: Vec<PathBuf> = stack.iter().enumerate().map(|(n, seeds)| layer(home.path(), n, seeds)).collect();
        folders.reverse();
        let (a, b) = (cut.0.index(folders.len()), cut.1.index(folders.len()));
        let (first, last) = (a.min(b), a.max(b));
        // Whatever lies above and below: the merged one takes the place of those that it was made of.
        let whole = seen(&folders);
        let one = merged(home.path(), &folders[first..=last]);
        let fewer = [&folders[..first], &[one], &folders[last + 1..]].concat();
        prop_assert_eq!(seen(&fewer), whole);
    }
}

#[test]
fn files_are_linked_and_marks_stay() {
    let home = tempfile::tempdir().unwrap();
    let low = layer(home.path(), 0, &[(vec!["a", "b"], 5, 0o600), (vec!["c"], 5, 0o644)]);
    let top = layer(home.path(), 1, &[(vec!["a", "c"], 2, 0), (vec!["b", "x"], 3, 0), (vec!["c", "b"], 5, 0o755)]);
    let one = merged(home.path(), &[top, low.clone()]);
    let inode = |path: PathBuf| std::fs::metadata(path).unwrap().ino();
    assert_eq!(inode(one.join("a/b")), inode(low.join("a/b")));
    assert!(std::fs::symlink_metadata(one.join("a/c")).unwrap().file_type().is_char_device());
    let mut value = [0; 4];
    assert_eq!(rustix::fs::getxattr(one.join("a"), OsStr::from_bytes(ORIGIN), &mut value), Ok(0));
    assert!(rustix::fs::getxattr(one.join("c"), OsStr::from_bytes(ORIGIN), &mut value).is_err());
    // A folder over a file hides it and all below, for ever.
    assert!(is_opaque(&one.join("b")) && is_opaque(&one.join("c")) && !is_opaque(&one.join("a")));
}

#[test]
fn what_has_too_many_names_is_copied() {
    let home = tempfile::tempdir().unwrap();
    let low = layer(home.path(), 0, &[(vec!["a"], 5, 0o640), (vec!["b"], 4, 0o777)]);
    let other = tempfile::tempdir_in("/dev/shm");
    let Ok(other) = other else { return };
    if std::fs::metadata(other.path()).unwrap().dev() == std::fs::metadata(home.path()).unwrap().dev() {
        return;
    }
    let folders = [low.clone(), layer(home.path(), 1, &[])];
    let one = merged(other.path(), &folders);
    assert_eq!(seen(std::slice::from_ref(&one)), seen(&folders));
    assert_eq!(std::fs::metadata(one.join("a")).unwrap().nlink(), 1);
}
