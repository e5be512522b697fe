//! Walks a folder of the project by names and types alone: nothing is opened but folders, no link is followed.

use crate::settings::{At, Error, Result};
use std::ffi::OsString;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// Entries that all walks of one command may see together.
const MAX_ENTRIES: usize = 200_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    File,
    Folder,
    Link,
    /// A socket, FIFO or device: a door to something outside.
    Other,
    /// A folder that this user cannot list.
    Closed,
}

/// How many entries may still be seen.
pub(super) struct Budget(usize);

impl Budget {
    pub(super) fn new() -> Self {
        Budget(MAX_ENTRIES)
    }

    #[cfg(test)]
    pub(super) fn of(entries: usize) -> Self {
        Budget(entries)
    }
}

/// Visits what lies below `root`, depth first, names in the order of their bytes. The visitor gets the path relative to
/// `root` and says whether to go into a folder.
pub(super) fn walk(root: &Path, budget: &mut Budget, visit: &mut dyn FnMut(&Path, Kind) -> Result<bool>) -> Result<()> {
    // The folders that are open now, each with the names in it that wait, and one path for all of them: a hundred
    // thousand names are looked at before a task starts.
    let mut open = vec![list(root, Path::new(""), budget)?.unwrap_or_default()];
    let mut path = PathBuf::new();
    while let Some(waiting) = open.last_mut() {
        let Some((name, kind)) = waiting.pop() else {
            open.pop();
            path.pop();
            continue;
        };
        path.push(name);
        if visit(&path, kind)? && kind == Kind::Folder {
            match list(root, &path, budget)? {
                Some(entries) => {
                    open.push(entries);
                    continue;
                }
                None => {
                    visit(&path, Kind::Closed)?;
                }
            }
        }
        path.pop();
    }
    Ok(())
}

/// The entries of one folder, the last first. `None`: this user may not list it.
fn list(root: &Path, folder: &Path, budget: &mut Budget) -> Result<Option<Vec<(OsString, Kind)>>> {
    let full = root.join(folder);
    let fail = |e: std::io::Error| Error::new(At::Nowhere, format!("cannot list {}: {e}", full.display()));
    let mut names: Vec<(OsString, Kind)> = Vec::new();
    let reader = match std::fs::read_dir(&full) {
        Ok(reader) => reader,
        Err(e) if e.kind() == ErrorKind::PermissionDenied => return Ok(None),
        // It went away between two looks.
        Err(e) if e.kind() == ErrorKind::NotFound && !folder.as_os_str().is_empty() => return Ok(Some(Vec::new())),
        Err(e) => return Err(fail(e)),
    };
    for entry in reader {
        let entry = entry.map_err(fail)?;
        budget.0 = budget.0.checked_sub(1).ok_or_else(|| too_many(root))?;
        let kind = match entry.file_type() {
            Ok(t) if t.is_dir() => Kind::Folder,
            Ok(t) if t.is_file() => Kind::File,
            Ok(t) if t.is_symlink() => Kind::Link,
            _ => Kind::Other,
        };
        names.push((entry.file_name(), kind));
    }
    names.sort_unstable_by(|a, b| b.0.cmp(&a.0));
    Ok(Some(names))
}

fn too_many(root: &Path) -> Error {
    let what = format!(
        "{} holds more than {MAX_ENTRIES} files and folders; aido does not look for secrets in so many",
        root.display()
    );
    Error::new(At::Nowhere, what).remedy("name what the task needs: `inputs:` in sandbox.yaml, or `--input`")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn visits_each_entry_once_in_order_and_stops_at_its_budget() {
        let folder = tempfile::tempdir().unwrap();
        for path in ["b/x", "b/a/deep", "a.txt", "c"] {
            let path = folder.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "").unwrap();
        }
        let mut seen = Vec::new();
        let mut note = |path: &Path, _: Kind| {
            seen.push(path.display().to_string());
            Ok(true)
        };
        walk(folder.path(), &mut Budget::of(6), &mut note).unwrap();
        assert_eq!(seen, ["a.txt", "b", "b/a", "b/a/deep", "b/x", "c"]);
        assert!(walk(folder.path(), &mut Budget::of(5), &mut |_, _| Ok(true)).is_err());
        assert!(walk(&folder.path().join("none"), &mut Budget::of(5), &mut |_, _| Ok(true)).is_err());
    }

    #[test]
    fn thousands_of_entries_take_milliseconds() {
        let folder = tempfile::tempdir().unwrap();
        for n in 0..40 {
            let sub = folder.path().join(format!("d{n}"));
            std::fs::create_dir(&sub).unwrap();
            for m in 0..100 {
                std::fs::File::create(sub.join(format!("f{m}"))).unwrap();
            }
        }
        let started = std::time::Instant::now();
        let mut count = 0;
        walk(folder.path(), &mut Budget::new(), &mut |_, _| {
            count += 1;
            Ok(true)
        })
        .unwrap();
        assert_eq!(count, 4040);
        assert!(started.elapsed().as_millis() < 500, "{:?}", started.elapsed());
    }
}
