//! Paths below a folder: any bytes that a kernel takes as names, and their two forms as text.

use crate::{Error, Result};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::fmt;

/// A relative path of plain names; shown with every byte that is no printable text escaped.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RelPath(Vec<u8>);

/// Any bytes, such as the target of a link; text as a path's.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Raw(pub Vec<u8>);

impl RelPath {
    /// A path from its bytes; refused: empty names, `.`, `..`, a leading or closing slash, a zero byte.
    pub fn new(bytes: impl Into<Vec<u8>>) -> Result<Self> {
        let bytes = bytes.into();
        let plain = |name: &[u8]| !matches!(name, b"" | b"." | b"..") && !name.contains(&0);
        match bytes.split(|b| *b == b'/').all(plain) {
            true => Ok(RelPath(bytes)),
            false => Err(Error::Name(escape(&bytes))),
        }
    }

    /// The folder itself; no such path leaves this crate.
    pub(crate) fn top() -> Self {
        RelPath(Vec::new())
    }

    pub(crate) fn join(&self, name: &[u8]) -> Self {
        let mut joined = Vec::with_capacity(self.0.len() + 1 + name.len());
        joined.extend_from_slice(&self.0);
        if !joined.is_empty() {
            joined.push(b'/');
        }
        joined.extend_from_slice(name);
        RelPath(joined)
    }

    /// The bytes of the path.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The last name.
    pub fn name(&self) -> &[u8] {
        self.0.rsplit(|b| *b == b'/').next().unwrap_or(&self.0)
    }

    /// The folder that it lies in; empty at the top.
    pub(crate) fn parent(&self) -> RelPath {
        let end = self.0.iter().rposition(|b| *b == b'/').unwrap_or(0);
        RelPath(self.0[..end].to_vec())
    }

    /// The folders above it, the outermost first, without the top.
    pub(crate) fn above(&self) -> impl Iterator<Item = RelPath> {
        let ends = self.0.iter().enumerate().filter(|(_, b)| **b == b'/');
        ends.map(|(end, _)| RelPath(self.0[..end].to_vec()))
    }

    /// Whether it is `other` or lies below it.
    pub fn is_within(&self, other: &RelPath) -> bool {
        let rest = self.0.strip_prefix(other.0.as_slice());
        rest.is_some_and(|rest| rest.is_empty() || rest[0] == b'/' || other.0.is_empty())
    }

    /// Whether one of its names is `.git`, as any file system would take it.
    pub fn is_in_git(&self) -> bool {
        names_git(&self.0)
    }

    /// The name as git prints it: quoted where it holds bytes that are not plain ASCII.
    pub fn quoted(&self) -> Vec<u8> {
        quote(b"", self)
    }

    /// The path from what [`fmt::Display`] wrote.
    pub fn from_text(text: &str) -> Result<Self> {
        RelPath::new(unescape(text).ok_or_else(|| Error::Name(text.to_string()))?)
    }
}

/// Whether a name in it is taken for `.git`: Windows and macOS drop dots, spaces, streams and some characters.
pub(crate) fn names_git(path: &[u8]) -> bool {
    path.split(|b| matches!(b, b'/' | b'\\')).any(|name| {
        let text = String::from_utf8_lossy(name).to_lowercase();
        let text = text.split(':').next().unwrap_or_default();
        let left: String = text.chars().filter(|c| !is_left_out(*c)).collect();
        matches!(left.trim_end_matches(['.', ' ']), ".git" | "git~1")
    })
}

fn is_left_out(c: char) -> bool {
    matches!(c, '\u{200c}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{206a}'..='\u{206f}' | '\u{feff}')
}

/// A name with its prefix (`a/`), quoted as git does with `core.quotePath`.
pub(crate) fn quote(prefix: &[u8], path: &RelPath) -> Vec<u8> {
    let plain = |b: &u8| (0x20..0x7f).contains(b) && !matches!(b, b'"' | b'\\');
    let mut out = prefix.to_vec();
    if path.0.iter().all(plain) {
        out.extend_from_slice(&path.0);
        return out;
    }
    out.insert(0, b'"');
    for byte in &path.0 {
        match byte {
            b'"' | b'\\' => out.extend([b'\\', *byte]),
            b'\t' => out.extend(b"\\t"),
            b'\n' => out.extend(b"\\n"),
            b'\r' => out.extend(b"\\r"),
            byte if plain(byte) => out.push(*byte),
            byte => out.extend(format!("\\{byte:03o}").bytes()),
        }
    }
    out.push(b'"');
    out
}

/// Text for any bytes, told apart for any two: what is not printable becomes `\xNN`, a backslash two.
pub(crate) fn escape(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '\\' => out.push_str("\\\\"),
                c if hides(c) => push_bytes(&mut out, c.encode_utf8(&mut [0; 4]).as_bytes()),
                c => out.push(c),
            }
        }
        push_bytes(&mut out, chunk.invalid());
    }
    out
}

/// Characters that move a terminal's cursor, or that make one name look like another.
fn hides(c: char) -> bool {
    c.is_control()
        || is_left_out(c)
        || matches!(c, '\u{200b}' | '\u{2028}' | '\u{2029}' | '\u{2060}'..='\u{2064}' | '\u{61c}')
        || matches!(c, '\u{2066}'..='\u{2069}' | '\u{e0000}'..='\u{e007f}')
}

fn push_bytes(out: &mut String, bytes: &[u8]) {
    bytes.iter().for_each(|byte| out.push_str(&format!("\\x{byte:02x}")));
}

fn unescape(text: &str) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        match (first, after) {
            (b'\\', [b'\\', after @ ..]) => {
                out.push(b'\\');
                rest = after;
            }
            (b'\\', [b'x', high, low, after @ ..]) => {
                let digit = |d: &u8| (*d as char).to_digit(16);
                out.push((digit(high)? * 16 + digit(low)?) as u8);
                rest = after;
            }
            (b'\\', _) => return None,
            (byte, _) => out.push(*byte),
        }
    }
    Some(out)
}

impl fmt::Display for RelPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&escape(&self.0))
    }
}

impl fmt::Debug for RelPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{self}`")
    }
}

impl fmt::Display for Raw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&escape(&self.0))
    }
}

impl fmt::Debug for Raw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{self}`")
    }
}

impl Serialize for RelPath {
    fn serialize<S: Serializer>(&self, to: S) -> std::result::Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for RelPath {
    fn deserialize<D: Deserializer<'de>>(from: D) -> std::result::Result<Self, D::Error> {
        RelPath::from_text(&String::deserialize(from)?).map_err(de::Error::custom)
    }
}

impl Serialize for Raw {
    fn serialize<S: Serializer>(&self, to: S) -> std::result::Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: Deserializer<'de>>(from: D) -> std::result::Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        unescape(&text).map(Raw).ok_or_else(|| de::Error::custom(format!("`{text}` is no escaped text")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_path_leads_nowhere_else() {
        for bad in ["", "/", "a/", "/a", "a//b", ".", "..", "a/../b", "./a", "a/.", "a\0b"] {
            assert!(RelPath::new(bad).is_err(), "{bad:?}");
        }
        assert!(RelPath::new("...").is_ok() && RelPath::new("a/..b").is_ok());
    }

    #[test]
    fn within_is_told_by_whole_names() {
        let path = |p: &str| RelPath::new(p).unwrap();
        assert!(
            path("a/b").is_within(&path("a"))
                && path("a").is_within(&path("a"))
                && path("a").is_within(&RelPath::top())
        );
        assert!(!path("ab").is_within(&path("a")) && !path("a").is_within(&path("a/b")));
        assert_eq!(path("a/b/c").above().collect::<Vec<_>>(), [path("a"), path("a/b")]);
    }

    #[test]
    fn git_is_known_by_all_its_names() {
        for name in [
            ".git",
            "a/.git/x",
            ".GIT",
            ".git.",
            ".git ",
            "git~1",
            "GIT~1/x",
            ".g\u{200c}it",
            ".git::$INDEX",
            "a\\.git\\x",
        ] {
            assert!(RelPath::new(name).unwrap().is_in_git(), "{name:?}");
        }
        for name in [".gitignore", "git", "a.git", ".github/x"] {
            assert!(!RelPath::new(name).unwrap().is_in_git(), "{name:?}");
        }
    }

    proptest! {
        #[test]
        fn text_is_told_back(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
            let text = escape(&bytes);
            prop_assert!(!text.chars().any(char::is_control));
            prop_assert_eq!(unescape(&text), Some(bytes));
        }
    }
}
