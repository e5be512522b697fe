//! Paths of HTTP requests, and patterns for them.
//!
//! A server may decode a path, take dots and doubled slashes out of it, or cut parameters off, and no two do it alike. So
//! a path is compared only if all of them see the same parts; one that can be read in two ways is refused.

use super::refusal::Reason;

/// A pattern, checked: parts between slashes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PathPattern {
    written: String,
    parts: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    /// `**`: any number of parts, none too.
    Any,
    /// Text with `*` for anything within a part.
    Text(Vec<u8>),
}

/// The longest pattern, and how many `**` it may have: what it costs to compare is bounded.
const LONGEST: usize = 1024;
const MOST_ANY: usize = 4;
/// The longest path that is compared.
const LONGEST_PATH: usize = 16 * 1024;

impl PathPattern {
    /// Reads a pattern. What could match nothing, or not what it seems to, is refused with what mends it.
    pub(super) fn written(text: &str) -> Result<Self, String> {
        if !text.starts_with('/') {
            return Err(format!("`{text}` must begin with a slash: `/{}`", text.trim_start_matches('/')));
        }
        if text.len() > LONGEST {
            return Err(format!("a path has {LONGEST} characters at most"));
        }
        if let Some(wrong) = text.chars().find(|c| "?#".contains(*c)) {
            return Err(format!("`{text}`: `{wrong}` begins what is no part of a path; a query is never compared"));
        }
        let parts = parts_of(text).map_err(|_| format!("`{text}` holds something that servers read in different ways: no `.`, `..`, `//`, `;`, `\\`, and no encoded slash"))?;
        if let Some(part) =
            parts.iter().find(|part| part.windows(2).any(|two| two == b"**") && part.as_slice() != b"**")
        {
            return Err(format!("`{}`: `**` is a whole part, as in `/v1/**`", String::from_utf8_lossy(part)));
        }
        let parts: Vec<Part> =
            parts.into_iter().map(|part| if part == b"**" { Part::Any } else { Part::Text(part) }).collect();
        if parts.iter().filter(|part| **part == Part::Any).count() > MOST_ANY {
            return Err(format!("`{text}` has more than {MOST_ANY} times `**`"));
        }
        Ok(Self { written: text.to_owned(), parts })
    }

    /// Whether these parts of a path are matched.
    pub(super) fn allows(&self, path: &[Vec<u8>]) -> bool {
        matches(&self.parts, path, false)
    }

    /// The same for a rule that refuses: letters count in either case, and a slash at the end hides nothing.
    pub(super) fn refuses(&self, path: &[Vec<u8>]) -> bool {
        let open = match path {
            [head @ .., last] if last.is_empty() && !head.is_empty() => head,
            _ => path,
        };
        matches(&self.parts, path, true) || matches(&self.parts, open, true)
    }
}

impl std::fmt::Display for PathPattern {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.written)
    }
}

/// The parts of a path, decoded; refused where two servers could see different ones.
pub(super) fn parts_of(path: &str) -> Result<Vec<Vec<u8>>, Reason> {
    let Some(rest) = path.strip_prefix('/') else {
        return Err(Reason::PathAmbiguous);
    };
    if path.len() > LONGEST_PATH {
        return Err(Reason::PathAmbiguous);
    }
    let parts = rest.split('/').map(decoded).collect::<Result<Vec<_>, _>>()?;
    // An empty part in the middle is a doubled slash. At the end it is the slash itself.
    let (_, before) = parts.split_last().ok_or(Reason::PathAmbiguous)?;
    if before.iter().any(Vec::is_empty) {
        return Err(Reason::PathAmbiguous);
    }
    Ok(parts)
}

fn decoded(part: &str) -> Result<Vec<u8>, Reason> {
    let bytes = part.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let byte = match bytes[at] {
            b'%' => {
                let pair = bytes.get(at + 1..at + 3).and_then(|two| std::str::from_utf8(two).ok());
                let pair = pair.filter(|two| two.bytes().all(|b| b.is_ascii_hexdigit()));
                at += 2;
                pair.and_then(|two| u8::from_str_radix(two, 16).ok()).ok_or(Reason::PathAmbiguous)?
            }
            raw @ 0x21..=0x7e => raw,
            _ => return Err(Reason::PathAmbiguous),
        };
        at += 1;
        // Separators, parameters and ends of strings, however they are written. A percent sign that was encoded may be decoded twice.
        if matches!(byte, b'/' | b'\\' | b';' | b'?' | b'#' | b'%' | 0..=0x1f | 0x7f) {
            return Err(Reason::PathAmbiguous);
        }
        out.push(byte);
    }
    // Bytes that are no UTF-8 are read as anything: `%c0%ae` was a dot to some.
    if out == b"." || out == b".." || std::str::from_utf8(&out).is_err() {
        return Err(Reason::PathAmbiguous);
    }
    Ok(out)
}

fn matches(pattern: &[Part], path: &[Vec<u8>], folded: bool) -> bool {
    match pattern.split_first() {
        None => path.is_empty(),
        Some((Part::Any, rest)) => (0..=path.len()).any(|skip| matches(rest, &path[skip..], folded)),
        Some((Part::Text(text), rest)) => {
            path.split_first().is_some_and(|(part, others)| glob(text, part, folded) && matches(rest, others, folded))
        }
    }
}

/// `*` for any bytes, by going back to the last star only: linear times the number of stars.
fn glob(pattern: &[u8], text: &[u8], folded: bool) -> bool {
    let same = |a: u8, b: u8| a == b || (folded && a.eq_ignore_ascii_case(&b));
    let (mut p, mut t) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        match pattern.get(p) {
            Some(b'*') => {
                star = Some((p + 1, t));
                p += 1;
            }
            Some(&byte) if same(byte, text[t]) => {
                p += 1;
                t += 1;
            }
            _ => match star {
                Some((after, from)) => {
                    star = Some((after, from + 1));
                    p = after;
                    t = from + 1;
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|byte| *byte == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn allows(pattern: &str, path: &str) -> bool {
        PathPattern::written(pattern).unwrap().allows(&parts_of(path).unwrap())
    }

    #[test]
    fn patterns_match_whole_paths() {
        assert!(allows("/v1/charges/**", "/v1/charges/ch_1/refunds") && allows("/v1/charges/**", "/v1/charges"));
        assert!(
            !allows("/v1/charges/**", "/v1/chargesx")
                && !allows("/v1/charges/**", "/v1")
                && !allows("/v1/charges", "/v1/charges/")
        );
        assert!(allows("/*/*.json", "/a/b.json") && !allows("/*/*.json", "/a/c/b.json") && !allows("/*", "/a/b"));
        assert!(allows("/**/end", "/a/b/end") && allows("/**/end", "/end") && allows("/**", "/") && allows("/", "/"));
        assert!(allows("/caf%C3%A9", "/caf%c3%a9") && allows("/~me", "/%7Eme"), "encoded or not is the same");
        assert!(!allows("/A", "/a"), "letters count");
    }

    #[test]
    fn what_can_be_read_in_two_ways_is_refused() {
        let wrong = [
            "",
            "a",
            "/..",
            "/a/../b",
            "/a/./b",
            "/a/%2e%2e/b",
            "/a/.%2E/b",
            "/a//b",
            "//a",
            "/a%2fb",
            "/a%5cb",
            "/a\\b",
            "/a/..;/b",
            "/a;x=1/b",
            "/a%3b/b",
            "/a%00",
            "/a%0a",
            "/a%",
            "/a%2",
            "/a%zz",
            "/a%252e%252e/b",
            "/a%25",
            "/a b",
            "/a\u{e9}",
            "/a%+1",
            "/a?b",
            "/a#b",
            "/a%3fb",
            "/a%23b",
            "/a/%c0%ae%c0%ae/b",
            "/a%c0%afb",
            "/a%ff",
        ];
        for path in wrong {
            assert!(parts_of(path).is_err(), "{path} was read");
        }
    }

    #[test]
    fn a_refusing_pattern_is_not_walked_round_by_case_or_slash() {
        let pattern = PathPattern::written("/admin/**").unwrap();
        for path in ["/admin", "/ADMIN/x", "/Admin/", "/%61dmin/x"] {
            assert!(pattern.refuses(&parts_of(path).unwrap()), "{path}");
        }
        assert!(PathPattern::written("/x").unwrap().refuses(&parts_of("/x/").unwrap()));
        assert!(!pattern.refuses(&parts_of("/adm").unwrap()));
    }

    #[test]
    fn a_bad_pattern_says_what_to_write() {
        assert!(PathPattern::written("v1/x").unwrap_err().contains("`/v1/x`"));
        for text in ["/a?b", "/a**", "/**a", "/../x", "/a//b", "/**/**/**/**/**"] {
            assert!(PathPattern::written(text).is_err(), "{text}");
        }
    }

    /// The plain way, which may take any time.
    fn slow(pattern: &[u8], text: &[u8]) -> bool {
        match pattern.split_first() {
            None => text.is_empty(),
            Some((b'*', rest)) => (0..=text.len()).any(|skip| slow(rest, &text[skip..])),
            Some((byte, rest)) => text.first() == Some(byte) && slow(rest, &text[1..]),
        }
    }

    fn written(part: &[u8]) -> String {
        part.iter().map(|b| if b.is_ascii() { char::from(*b).to_string() } else { format!("%{b:02x}") }).collect()
    }

    proptest! {
        #[test]
        fn the_quick_glob_is_the_plain_one(pattern in "[ab*]{0,8}", text in "[ab]{0,10}") {
            prop_assert_eq!(glob(pattern.as_bytes(), text.as_bytes(), false), slow(pattern.as_bytes(), text.as_bytes()));
        }

        /// What is read has the same parts after a server took out dots and slashes, and decoded once more.
        #[test]
        fn what_is_read_is_already_normal(path in "/[a-c./%25eE;\\\\]{0,12}") {
            if let Ok(parts) = parts_of(&path) {
                for part in &parts {
                    prop_assert!(part != b"." && part != b".." && !part.contains(&b'/') && !part.contains(&b'%'));
                }
                let again = format!("/{}", parts.iter().map(|p| written(p)).collect::<Vec<_>>().join("/"));
                prop_assert_eq!(parts_of(&again).unwrap(), parts);
            }
        }
    }
}
