//! What a command said and how it ended, with loud complaints.

use serde_json::Value;
use std::fmt;
use std::time::Duration;

pub(crate) struct Output {
    pub(crate) line: String,
    pub(crate) code: Option<i32>,
    pub(crate) signal: Option<i32>,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: Vec<u8>,
    pub(crate) took: Duration,
}

impl fmt::Display for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "\n$ {}", self.line)?;
        writeln!(f, "exit {:?}, signal {:?}, after {:?}", self.code, self.signal, self.took)?;
        writeln!(f, "--- stdout\n{}", String::from_utf8_lossy(&self.stdout))?;
        write!(f, "--- stderr\n{}\n---", String::from_utf8_lossy(&self.stderr))
    }
}

impl Output {
    #[track_caller]
    pub(crate) fn code(&self, expected: i32) -> &Output {
        assert!(self.code == Some(expected), "expected exit {expected}{self}");
        self
    }

    #[track_caller]
    pub(crate) fn ok(&self) -> &Output {
        self.code(0)
    }

    /// aido itself refused, and said this.
    #[track_caller]
    pub(crate) fn refused(&self, words: &[&str]) -> &Output {
        self.code(125).stdout("");
        words.iter().for_each(|word| {
            self.says(word);
        });
        self
    }

    #[track_caller]
    pub(crate) fn stdout(&self, expected: &str) -> &Output {
        assert!(self.stdout == expected.as_bytes(), "expected on stdout: {expected:?}{self}");
        self
    }

    /// Something is on standard error.
    #[track_caller]
    pub(crate) fn says(&self, words: &str) -> &Output {
        assert!(self.told().contains(words), "expected on stderr: {words:?}{self}");
        self
    }

    /// Something is on standard output.
    #[track_caller]
    pub(crate) fn prints(&self, words: &str) -> &Output {
        assert!(self.text().contains(words), "expected on stdout: {words:?}{self}");
        self
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    pub(crate) fn told(&self) -> String {
        String::from_utf8_lossy(&self.stderr).into_owned()
    }

    /// The only word on the only line of standard output.
    #[track_caller]
    pub(crate) fn word(&self) -> String {
        self.ok();
        let text = self.text();
        let word = text.trim_end_matches('\n');
        let alone = text.ends_with('\n') && !word.is_empty() && !word.contains(char::is_whitespace);
        assert!(alone, "expected one word on stdout{self}");
        word.to_string()
    }

    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.stdout).unwrap_or_else(|e| panic!("stdout is no JSON: {e}{self}"))
    }

    /// The value of `KEY=VALUE` on standard output.
    #[track_caller]
    pub(crate) fn key(&self, key: &str) -> String {
        let text = self.text();
        let found = text.lines().find_map(|l| l.strip_prefix(key)?.strip_prefix('='));
        found.unwrap_or_else(|| panic!("no {key}= on stdout{self}")).to_string()
    }
}

/// The first value under this key, at any depth: the tests hold what is said, not where it stands.
pub(crate) fn find<'a>(value: &'a Value, key: &str) -> Option<&'a Value> {
    match value {
        Value::Object(map) => map.get(key).or_else(|| map.values().find_map(|v| find(v, key))),
        Value::Array(list) => list.iter().find_map(|v| find(v, key)),
        _ => None,
    }
}
