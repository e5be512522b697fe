//! Names of sandboxes and runs: `s` or `r` and twelve random hex digits.

use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::path::Path;

const DIGITS: usize = 12;

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Id(String);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Of {
    Sandbox,
    Run,
}

impl Of {
    fn letter(self) -> char {
        match self {
            Of::Sandbox => 's',
            Of::Run => 'r',
        }
    }

    fn word(self) -> &'static str {
        match self {
            Of::Sandbox => "sandbox",
            Of::Run => "run",
        }
    }
}

impl Id {
    pub(crate) fn random(of: Of) -> Result<Id> {
        Ok(Id(format!("{}{}", of.letter(), random_hex()?)))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The ID in a file name; other files in our folders are none of ours.
    pub(crate) fn parse(of: Of, name: &str) -> Option<Id> {
        Id::is(of, name).then(|| Id(name.to_owned()))
    }

    /// Whether a name is such an ID.
    pub(crate) fn is(of: Of, name: &str) -> bool {
        name.strip_prefix(of.letter()).is_some_and(|digits| digits.len() == DIGITS && is_hex(digits))
    }

    /// The only one of `known` (newest first) that starts with what was typed.
    pub(crate) fn pick<'a, T>(of: Of, asked: &str, known: &'a [T], id: impl Fn(&T) -> &Id) -> Result<&'a T> {
        let what = of.word();
        let unknown = || Error::Unknown {
            what,
            asked: asked.to_owned(),
            known: known.iter().map(|k| id(k).to_string()).collect(),
        };
        if asked == "latest" {
            return known.first().ok_or_else(unknown);
        }
        let typed = asked.to_ascii_lowercase();
        let digits = typed.strip_prefix(of.letter()).unwrap_or(&typed);
        if typed.is_empty() || digits.len() > DIGITS || !is_hex(digits) {
            return Err(unknown());
        }
        let found: Vec<&T> = known.iter().filter(|k| id(k).0[1..].starts_with(digits)).collect();
        match found[..] {
            [] => Err(unknown()),
            [one] => Ok(one),
            _ => Err(Error::Ambiguous {
                what,
                asked: asked.to_owned(),
                candidates: found.iter().map(|k| id(k).to_string()).collect(),
            }),
        }
    }
}

fn is_hex(text: &str) -> bool {
    text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

/// Twelve digits from the kernel's generator.
pub(crate) fn random_hex() -> Result<String> {
    let mut bytes = [0u8; DIGITS / 2];
    crate::platform::random(&mut bytes).map_err(|e| Error::io("draw random bytes from", Path::new("the kernel"), e))?;
    Ok(crate::chain::hex(&bytes))
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl From<Id> for String {
    fn from(id: Id) -> String {
        id.0
    }
}

impl TryFrom<String> for Id {
    type Error = String;

    fn try_from(text: String) -> std::result::Result<Self, String> {
        Id::parse(Of::Sandbox, &text)
            .or_else(|| Id::parse(Of::Run, &text))
            .ok_or_else(|| "no ID: `s` or `r` and 12 hex digits".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(texts: &[&str]) -> Vec<Id> {
        texts.iter().map(|t| Id::parse(Of::Run, t).unwrap()).collect()
    }

    fn pick(asked: &str, known: &[Id]) -> Result<String> {
        Id::pick(Of::Run, asked, known, |k| k).map(|k| k.to_string())
    }

    #[test]
    fn any_unique_prefix_finds_a_run() {
        let known = ids(&["rab0000000001", "rab1000000001", "r0c0000000001"]);
        assert_eq!(pick("rab0", &known).unwrap(), "rab0000000001");
        assert_eq!(pick("ab1", &known).unwrap(), "rab1000000001");
        assert_eq!(pick("0", &known).unwrap(), "r0c0000000001");
        assert_eq!(pick("AB1", &known).unwrap(), "rab1000000001");
        assert_eq!(pick("latest", &known).unwrap(), "rab0000000001");
        assert_eq!(pick("rab0000000001", &known).unwrap(), "rab0000000001");
    }

    #[test]
    fn an_ambiguous_prefix_lists_the_candidates() {
        let known = ids(&["rab0000000001", "rab1000000001", "r0c0000000001"]);
        let said = pick("ab", &known).unwrap_err().to_string();
        assert!(said.contains("rab0000000001, rab1000000001"), "{said}");
        assert!(!said.contains("r0c"), "{said}");
        assert!(matches!(pick("r", &known), Err(Error::Ambiguous { .. })));
    }

    #[test]
    fn an_unknown_id_says_which_exist() {
        let known = ids(&["rab0000000001"]);
        for asked in ["f", "", "sab0", "rab00000000010", "../etc", "rr", "ab\u{1b}[2J"] {
            let said = pick(asked, &known).unwrap_err().to_string();
            assert!(said.contains("rab0000000001"), "{asked}: {said}");
        }
        assert!(pick("latest", &[]).unwrap_err().to_string().contains("no run yet"));
        assert!(matches!(pick("", &known), Err(Error::Unknown { .. })), "nothing typed must not mean the only one");
    }

    #[test]
    fn new_ids_have_the_stored_shape() {
        let id = Id::random(Of::Sandbox).unwrap();
        assert_eq!(Id::parse(Of::Sandbox, id.as_str()), Some(id.clone()));
        assert_eq!(Id::parse(Of::Run, id.as_str()), None);
        assert_ne!(Id::random(Of::Sandbox).unwrap(), id);
    }
}
