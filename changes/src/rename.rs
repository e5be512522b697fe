//! Finds the files that only changed their place: the same content, deleted here and added there.

use crate::{Change, Kind, Mode, RelPath};
use std::collections::{BTreeMap, HashMap};

/// Turns pairs of a deletion and an addition into renames. A file of the same name is preferred.
pub(crate) fn find(list: &mut Vec<Change>) {
    let mut gone: HashMap<String, Vec<usize>> = HashMap::new();
    for (n, change) in list.iter().enumerate().rev() {
        if let (Kind::Deleted, Some(digest)) = (&change.kind, moved(change, change.before.as_ref())) {
            gone.entry(digest).or_default().push(n);
        }
    }
    let mut added: Vec<usize> = (0..list.len()).filter(|n| list[*n].kind == Kind::Added).collect();
    added.sort_by(|a, b| list[*a].path.cmp(&list[*b].path));
    let mut taken: BTreeMap<usize, RelPath> = BTreeMap::new();
    for n in added {
        let Some(digest) = moved(&list[n], list[n].after.as_ref()) else { continue };
        let Some(from) = gone.get_mut(&digest).and_then(|gone| take(gone, list, &list[n].path)) else { continue };
        taken.insert(from, list[from].path.clone());
        list[n].before = list[from].before.clone();
        list[n].kind = Kind::Renamed { from: list[from].path.clone() };
    }
    let mut n = 0;
    list.retain(|_| {
        n += 1;
        !taken.contains_key(&(n - 1))
    });
}

/// The digest of a file that may have been moved: it has content, and the task was shown it.
fn moved(change: &Change, entry: Option<&crate::Entry>) -> Option<String> {
    let entry = entry.filter(|entry| matches!(entry.mode, Mode::File | Mode::Executable) && entry.size > 0);
    entry.filter(|_| !change.hidden).and_then(|entry| entry.digest.clone())
}

/// Takes one of the files that are gone: of the same name if there is one among the first, else the first.
fn take(gone: &mut Vec<usize>, list: &[Change], to: &RelPath) -> Option<usize> {
    // The search is short, so that many equal files take no quadratic time.
    const LOOKED_AT: usize = 64;
    let last = gone.len().checked_sub(1)?;
    let from = last.saturating_sub(LOOKED_AT);
    let same = (from..gone.len()).rev().find(|n| list[gone[*n]].path.name() == to.name());
    Some(gone.remove(same.unwrap_or(last)))
}
