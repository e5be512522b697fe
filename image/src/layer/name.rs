//! Names of entries: normal form, and the names that hide what lies below.

use crate::tape::{hostile, shown};
use crate::{Error, Kind, Result, limits};

/// What an entry's name asks for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    /// The entry itself, at this relative path; the empty path is the root.
    Entry(Vec<u8>),
    /// Whatever lower layers have at this path is gone.
    Whiteout(Vec<u8>),
    /// Whatever lower layers have in this folder is gone.
    Opaque(Vec<u8>),
    /// Bookkeeping of a union file system that nobody needs.
    Nothing,
}

const WHITEOUT: &[u8] = b".wh.";
const OPAQUE: &[u8] = b".wh..wh..opq";

/// A relative path without empty components, `.` and `..`. A leading slash means the layer's own
/// root, as it does to every unpacker; a name that climbs is refused, since no honest tool writes it.
pub(super) fn normal(path: &[u8]) -> Result<Vec<u8>> {
    if path.len() > limits::PATH_BYTES {
        return Err(Error::new(Kind::Limit, format!("{}… is longer than {} bytes", shown(path), limits::PATH_BYTES)));
    }
    if path.contains(&0) {
        return Err(hostile(format!("{} has a zero byte", shown(path))));
    }
    let mut clean = Vec::with_capacity(path.len());
    let mut depth = 0;
    for component in path.split(|b| *b == b'/').filter(|c| !c.is_empty() && *c != b".") {
        if component == b".." {
            return Err(hostile(format!("{} climbs out of the layer", shown(path))));
        }
        if component.len() > limits::NAME_BYTES {
            let what = format!("a name is longer than {} bytes: {}…", limits::NAME_BYTES, shown(component));
            return Err(Error::new(Kind::Limit, what));
        }
        depth += 1;
        if depth > 1 {
            clean.push(b'/');
        }
        clean.extend_from_slice(component);
    }
    if depth > limits::DEPTH {
        let what = format!("{}… lies deeper than {} folders", shown(path), limits::DEPTH);
        return Err(Error::new(Kind::Limit, what));
    }
    Ok(clean)
}

/// Parent and last component; the root is its own parent.
pub(super) fn split(path: &[u8]) -> (&[u8], &[u8]) {
    match path.iter().rposition(|b| *b == b'/') {
        Some(slash) => (&path[..slash], &path[slash + 1..]),
        None => (b"", path),
    }
}

/// The folders above a path, the nearest first; the root last.
pub(super) fn ancestors(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut next = (!path.is_empty()).then(|| split(path).0);
    std::iter::from_fn(move || {
        let current = next?;
        next = (!current.is_empty()).then(|| split(current).0);
        Some(current)
    })
}

pub(super) fn meaning(path: &[u8]) -> Result<Meaning> {
    let path = normal(path)?;
    let (parent, last) = split(&path);
    let reserved = |path: &[u8]| path.split(|b| *b == b'/').any(|c| c.starts_with(WHITEOUT));
    if reserved(parent) {
        return Err(hostile(format!("{} lies in a folder with a reserved name", shown(&path))));
    }
    let Some(hidden) = last.strip_prefix(WHITEOUT) else { return Ok(Meaning::Entry(path)) };
    if last == OPAQUE {
        return Ok(Meaning::Opaque(parent.to_vec()));
    }
    if hidden.starts_with(WHITEOUT) {
        return Ok(Meaning::Nothing);
    }
    if matches!(hidden, b"" | b"." | b"..") {
        return Err(hostile(format!("{} hides nothing that could exist", shown(&path))));
    }
    let slash: &[u8] = if parent.is_empty() { b"" } else { b"/" };
    Ok(Meaning::Whiteout([parent, slash, hidden].concat()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_one_normal_form() {
        for (given, clean) in
            [("./a//b/", "a/b"), ("/etc/passwd", "etc/passwd"), ("././", ""), ("...", "..."), ("/", "")]
        {
            assert_eq!(normal(given.as_bytes()).unwrap(), clean.as_bytes());
        }
        for climbing in ["..", "a/../b", "../a", "/../a", "a/.."] {
            assert_eq!(normal(climbing.as_bytes()).unwrap_err().kind, Kind::Hostile);
        }
        let deep = "a/".repeat(limits::DEPTH + 1);
        let long = "a".repeat(limits::NAME_BYTES + 1);
        let path = "abc/".repeat(limits::PATH_BYTES);
        for big in [deep, long, path] {
            assert_eq!(normal(big.as_bytes()).unwrap_err().kind, Kind::Limit);
        }
    }

    #[test]
    fn whiteouts_are_told_from_files() {
        let read = |path: &str| meaning(path.as_bytes()).unwrap();
        assert_eq!(read("a/.wh.b"), Meaning::Whiteout(b"a/b".to_vec()));
        assert_eq!(read(".wh.b"), Meaning::Whiteout(b"b".to_vec()));
        assert_eq!(read("a/.wh..wh..opq"), Meaning::Opaque(b"a".to_vec()));
        assert_eq!(read(".wh..wh.plnk"), Meaning::Nothing);
        assert_eq!(read("a/b.wh.c"), Meaning::Entry(b"a/b.wh.c".to_vec()));
        for wrong in [".wh.", "a/.wh..", ".wh...", ".wh.a/b", ".wh..wh..opq/x"] {
            assert!(meaning(wrong.as_bytes()).is_err(), "{wrong} was taken");
        }
    }

    #[test]
    fn ancestors_end_at_the_root() {
        let above: Vec<&[u8]> = ancestors(b"a/b/c").collect();
        assert_eq!(above, [&b"a/b"[..], b"a", b""]);
        assert_eq!(ancestors(b"").count(), 0);
    }
}
