//! A tree as this crate is to see it: kinds, executable bits, digests.

use aido_changes::{Change, Kind, Mode};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::Path;

/// What lies at a path: `644 DIGEST`, `755 DIGEST`, `link DIGEST`, `folder`, `special`.
pub(crate) type Tree = BTreeMap<Vec<u8>, String>;

/// A tree on its way through a file: maps of JSON have text as keys.
#[derive(Serialize, Deserialize)]
pub(crate) struct Stored(pub(crate) Vec<(Vec<u8>, String)>);

pub(crate) fn digest(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|b| format!("{b:02x}")).collect()
}

/// Everything below a folder but a `.git` at its top.
pub(crate) fn read(root: &Path) -> Tree {
    let mut tree = Tree::new();
    below(root, b"", &mut tree);
    tree.retain(|path, _| path != b".git" && !path.starts_with(b".git/"));
    tree
}

fn below(folder: &Path, at: &[u8], tree: &mut Tree) {
    for item in fs::read_dir(folder).unwrap() {
        let item = item.unwrap();
        let path = item.path();
        let mut name = at.to_vec();
        if !name.is_empty() {
            name.push(b'/');
        }
        name.extend_from_slice(item.file_name().as_bytes());
        let meta = fs::symlink_metadata(&path).unwrap();
        let kind = meta.file_type();
        let text = if kind.is_dir() {
            below(&path, &name, tree);
            "folder".to_string()
        } else if kind.is_symlink() {
            format!("link {}", digest(fs::read_link(&path).unwrap().as_os_str().as_bytes()))
        } else if kind.is_file() {
            let mode = if meta.permissions().mode() & 0o100 == 0 { "644" } else { "755" };
            format!("{mode} {}", digest(&fs::read(&path).unwrap()))
        } else {
            assert!(kind.is_fifo() || kind.is_socket(), "{path:?}");
            "special".to_string()
        };
        tree.insert(name, text);
    }
}

/// The tree without folders and special files: what git keeps of it.
pub(crate) fn files(tree: &Tree) -> Tree {
    let kept = |text: &String| !matches!(text.as_str(), "folder" | "special");
    tree.iter().filter(|(_, text)| kept(text)).map(|(path, text)| (path.clone(), text.clone())).collect()
}

/// The project with the changes that were told.
pub(crate) fn with(project: &Tree, changes: &[Change]) -> Tree {
    let mut tree = project.clone();
    for change in changes {
        let path = change.path.as_bytes();
        match &change.kind {
            Kind::Deleted => assert!(tree.remove(path).is_some(), "{:?} was not there", change.path),
            Kind::Renamed { from, .. } => assert!(tree.remove(from.as_bytes()).is_some(), "{from:?} was not there"),
            _ => {}
        }
    }
    for change in changes.iter().filter(|change| change.kind != Kind::Deleted) {
        let path = change.path.as_bytes();
        for (end, _) in path.iter().enumerate().filter(|(_, b)| **b == b'/') {
            tree.insert(path[..end].to_vec(), "folder".to_string());
        }
        let after = change.after.as_ref().unwrap();
        let digest = || after.digest.clone().unwrap();
        let text = match after.mode {
            Mode::File => format!("644 {}", digest()),
            Mode::Executable => format!("755 {}", digest()),
            Mode::Link => format!("link {}", digest()),
            Mode::Folder => "folder".to_string(),
            Mode::Special => "special".to_string(),
        };
        tree.insert(path.to_vec(), text);
    }
    tree
}

/// Where two trees differ, for a person.
pub(crate) fn differences(a: &Tree, b: &Tree) -> Vec<String> {
    let mut paths: Vec<&Vec<u8>> = a.keys().chain(b.keys()).collect();
    paths.sort();
    paths.dedup();
    let differ = paths.into_iter().filter(|path| a.get(*path) != b.get(*path));
    differ.map(|p| format!("{:?}: {:?} / {:?}", String::from_utf8_lossy(p), a.get(p), b.get(p))).collect()
}

#[track_caller]
pub(crate) fn assert_same(what: &str, a: &Tree, b: &Tree) {
    let differ = differences(a, b);
    assert!(differ.is_empty(), "{what}:\n{}", differ.join("\n"));
}
