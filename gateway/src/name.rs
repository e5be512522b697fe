//! Host names in the one form that is compared: ASCII, lower case, no dot at the end, never an address.

use std::fmt;

/// The longest name that DNS can carry, without the dot at its end.
const LONGEST: usize = 253;
const LONGEST_LABEL: usize = 63;

/// A host's name, normalised. Two spellings of one name are equal.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct HostName(String);

/// Why a text is no name that could be granted or asked for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Nothing at all, or an empty label.
    #[error("`{0}` has an empty part: write a name such as `docs.example.com`")]
    Empty(String),
    /// Longer than DNS can carry.
    #[error("the name is too long: {LONGEST} characters at most, {LONGEST_LABEL} in each part")]
    TooLong,
    /// A character that no host name has.
    #[error("`{0}` is no host name: letters, digits, `-` and `.` only; no scheme, port or path (ports go to `ports:`)")]
    Character(String),
    /// An address in one of its many spellings.
    #[error("`{0}` is an address, not a name: name the host; where it is on a private network, add `private: true`")]
    Address(String),
    /// A wildcard that is not one whole label at the front.
    #[error("`{0}`: a wildcard is one whole part at the front, as in `*.cdn.example.com`")]
    Wildcard(String),
    /// A wildcard over names that belong to different people.
    #[error(
        "`{0}` would cover names of strangers, since anybody can have one below `{1}`: name the hosts, or `*.YOURS.{1}`"
    )]
    PublicSuffix(String, String),
}

impl HostName {
    /// A name as a person writes it: may be in any script, in any case, with a dot at the end.
    pub fn written(text: &str) -> Result<Self, NameError> {
        if text.len() > LONGEST * 4 {
            return Err(NameError::TooLong);
        }
        if text.is_ascii() {
            return Self::ascii(text);
        }
        let ascii = idna::domain_to_ascii(text).map_err(|_| NameError::Character(shown(text)))?;
        Self::ascii(&ascii)
    }

    /// A name as protocols carry it. Anything but ASCII is refused, so that nothing is mapped behind a client's back.
    pub fn ascii(text: &str) -> Result<Self, NameError> {
        let name = text.strip_suffix('.').unwrap_or(text);
        if name.len() > LONGEST {
            return Err(NameError::TooLong);
        }
        let bare = name.trim_start_matches('[').trim_end_matches(']');
        let bare = bare.split('%').next().unwrap_or_default();
        if bare.parse::<std::net::Ipv6Addr>().is_ok() {
            return Err(NameError::Address(shown(text)));
        }
        if let Some(wrong) = name.bytes().find(|b| !b.is_ascii_alphanumeric() && !b"-_.".contains(b)) {
            return Err(if wrong == b'*' {
                NameError::Wildcard(shown(text))
            } else {
                NameError::Character(shown(text))
            });
        }
        for label in name.split('.') {
            check_label(label, text)?;
        }
        let last = name.rsplit('.').next().unwrap_or_default();
        if is_number(last) {
            return Err(NameError::Address(shown(text)));
        }
        Ok(Self(name.to_ascii_lowercase()))
    }

    /// The name itself.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn check_label(label: &str, whole: &str) -> Result<(), NameError> {
    if label.is_empty() {
        return Err(NameError::Empty(shown(whole)));
    }
    if label.len() > LONGEST_LABEL {
        return Err(NameError::TooLong);
    }
    if label.starts_with('-') || label.ends_with('-') {
        return Err(NameError::Character(shown(whole)));
    }
    // What is not the ASCII form of anything would be compared as something that no person sees.
    let lower = label.to_ascii_lowercase();
    if lower.starts_with("xn--") && idna::domain_to_ascii_strict(&lower).is_err() {
        return Err(NameError::Character(shown(whole)));
    }
    Ok(())
}

/// Whether resolvers take a last label for the end of an IPv4 address: `127.1`, `0x7f.1`, `017700000001`, `2130706433`.
fn is_number(label: &str) -> bool {
    let hex = label.strip_prefix("0x").or_else(|| label.strip_prefix("0X"));
    match hex {
        Some(digits) => digits.bytes().all(|b| b.is_ascii_hexdigit()),
        None => label.bytes().all(|b| b.is_ascii_digit()),
    }
}

/// Text from elsewhere, short and harmless enough for a message.
pub(crate) fn shown(text: &str) -> String {
    let mut shown: String = text.chars().take(80).flat_map(char::escape_default).collect();
    if text.chars().nth(80).is_some() {
        shown.push('…');
    }
    shown
}

impl fmt::Display for HostName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl serde::Serialize for HostName {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

/// What a rule names: one host, or all that are one label below another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HostPattern {
    /// This host and no other.
    Exact(HostName),
    /// `*.NAME`: each name that has exactly one label more.
    Below(HostName),
}

impl HostPattern {
    /// Reads a pattern as a person writes it.
    pub fn written(text: &str) -> Result<Self, NameError> {
        let Some(parent) = text.strip_prefix("*.") else {
            return HostName::written(text).map(Self::Exact);
        };
        let parent = HostName::written(parent)?;
        let suffix = psl::suffix_str(parent.as_str());
        if suffix.is_none_or(|suffix| suffix == parent.as_str()) {
            return Err(NameError::PublicSuffix(shown(text), parent.0));
        }
        Ok(Self::Below(parent))
    }

    /// Whether the pattern covers this name.
    pub fn covers(&self, name: &HostName) -> bool {
        match self {
            Self::Exact(exact) => exact == name,
            Self::Below(parent) => {
                let below = name.0.strip_suffix(parent.as_str()).and_then(|head| head.strip_suffix('.'));
                below.is_some_and(|label| !label.is_empty() && !label.contains('.'))
            }
        }
    }

    /// Whether some name is covered by both.
    pub(crate) fn meets(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Below(one), Self::Below(two)) => one == two,
            (Self::Exact(name), pattern) | (pattern, Self::Exact(name)) => pattern.covers(name),
        }
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(name) => name.fmt(f),
            Self::Below(parent) => write!(f, "*.{parent}"),
        }
    }
}

#[cfg(test)]
#[path = "name_tests.rs"]
mod tests;
