//! Finds the files that changed their place: the same content, or much of the same text, deleted here and added there.

use crate::read;
use crate::{Change, Cost, Entry, Folder, Kind, RelPath, Stack};
use std::collections::{BTreeSet, HashMap};
use std::hash::{DefaultHasher, Hash, Hasher};

/// Texts that are compared line by line: this many pairs, bytes of one and bytes of all of them. Where there are more,
/// only equal contents are told as renames.
const PAIRS: usize = 4096;
const TEXT: u64 = 256 << 10;
const TEXTS: u64 = 32 << 20;
/// Per cent of a text that must be the same.
const ENOUGH: u8 = 50;

/// Turns pairs of a deletion and an addition into renames.
pub(crate) fn find(list: &mut Vec<Change>, stack: &Stack, project: &Folder, cost: &mut Cost) {
    let mut pairs = Vec::new();
    equal(list, &mut pairs);
    pair(list, &pairs);
    let pairs = similar(list, stack, project, cost);
    pair(list, &pairs);
}

struct Pair {
    from: usize,
    to: usize,
    similarity: u8,
}

/// Makes the pairs renames; the deletions are no changes of their own any more.
fn pair(list: &mut Vec<Change>, pairs: &[Pair]) {
    let taken: BTreeSet<usize> = pairs.iter().map(|pair| pair.from).collect();
    for Pair { from, to, similarity } in pairs {
        list[*to].before = list[*from].before.clone();
        list[*to].kind = Kind::Renamed { from: list[*from].path.clone(), similarity: *similarity };
    }
    let mut n = 0;
    list.retain(|_| {
        n += 1;
        !taken.contains(&(n - 1))
    });
}

fn equal(list: &[Change], pairs: &mut Vec<Pair>) {
    let mut gone: HashMap<&str, Vec<usize>> = HashMap::new();
    for n in of_kind(list, &Kind::Deleted).into_iter().rev() {
        if let Some(digest) = list[n].before.as_ref().and_then(movable) {
            gone.entry(digest).or_default().push(n);
        }
    }
    for to in of_kind(list, &Kind::Added) {
        let digest = list[to].after.as_ref().and_then(movable);
        if let Some(from) = digest.and_then(|digest| take(gone.get_mut(digest)?, list, &list[to].path)) {
            pairs.push(Pair { from, to, similarity: 100 });
        }
    }
}

/// The changes of a kind, by path. What the task was not shown was not moved by it.
fn of_kind(list: &[Change], kind: &Kind) -> Vec<usize> {
    let mut found: Vec<usize> = (0..list.len()).filter(|n| list[*n].kind == *kind && !list[*n].hidden).collect();
    found.sort_by(|a, b| list[*a].path.cmp(&list[*b].path));
    found
}

/// The digest of a file with content.
fn movable(entry: &Entry) -> Option<&str> {
    entry.digest.as_deref().filter(|_| entry.mode.is_file() && entry.size > 0)
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

fn similar(list: &[Change], stack: &Stack, project: &Folder, cost: &mut Cost) -> Vec<Pair> {
    let is_text = |entry: &Entry| movable(entry).is_some() && !entry.binary && entry.size <= TEXT;
    let mut gone = of_kind(list, &Kind::Deleted);
    gone.retain(|n| list[*n].before.as_ref().is_some_and(is_text));
    let mut added = of_kind(list, &Kind::Added);
    added.retain(|n| list[*n].after.as_ref().is_some_and(is_text));
    let sizes = gone
        .iter()
        .filter_map(|n| list[*n].before.as_ref())
        .chain(added.iter().filter_map(|n| list[*n].after.as_ref()));
    let bytes: u64 = sizes.map(|entry| entry.size).sum();
    if gone.is_empty() || added.is_empty() || gone.len() * added.len() > PAIRS || bytes > TEXTS {
        return Vec::new();
    }
    cost.bytes += bytes;
    let from: Vec<_> = gone.iter().map(|n| lines(project, &list[*n].path, list[*n].before.as_ref())).collect();
    let layer = |n: usize| list[n].layer.map(|layer| stack.layer(layer));
    let to: Vec<_> = added.iter().map(|n| lines(layer(*n)?, &list[*n].path, list[*n].after.as_ref())).collect();
    let mut pairs = Vec::new();
    for (from_n, from) in gone.iter().zip(&from) {
        for (to_n, to) in added.iter().zip(&to) {
            if let (Some(from), Some(to)) = (from, to) {
                pairs.push(Pair { from: *from_n, to: *to_n, similarity: similarity(from, to) });
            }
        }
    }
    best(pairs)
}

/// The most similar first; each file once.
fn best(mut pairs: Vec<Pair>) -> Vec<Pair> {
    pairs.retain(|pair| pair.similarity >= ENOUGH);
    pairs.sort_by_key(|pair| std::cmp::Reverse(pair.similarity));
    let (mut from, mut to) = (BTreeSet::new(), BTreeSet::new());
    pairs.retain(|pair| {
        let free = !from.contains(&pair.from) && !to.contains(&pair.to);
        if free {
            from.insert(pair.from);
            to.insert(pair.to);
        }
        free
    });
    pairs
}

/// Bytes in lines that are the same.
type Lines = HashMap<u64, usize>;

/// The lines of a text; `None` where it is not what was read any more.
fn lines(folder: &Folder, path: &RelPath, entry: Option<&Entry>) -> Option<Lines> {
    let mut text = Vec::new();
    read::copy(folder, path, entry?, &mut text).ok()?;
    let mut lines = Lines::new();
    for line in text.split_inclusive(|b| *b == b'\n') {
        let mut hash = DefaultHasher::new();
        line.hash(&mut hash);
        *lines.entry(hash.finish()).or_default() += line.len();
    }
    Some(lines)
}

/// Per cent of the longer text that both have; never all, since they are not the same.
fn similarity(a: &Lines, b: &Lines) -> u8 {
    let longer = a.values().sum::<usize>().max(b.values().sum()).max(1);
    let common: usize = a.iter().map(|(line, bytes)| b.get(line).map_or(0, |other| *bytes.min(other))).sum();
    (common * 100 / longer).min(99) as u8
}
