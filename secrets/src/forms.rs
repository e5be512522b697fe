//! From a secret to the byte strings that give it away.

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use std::collections::HashSet;

/// Bytes of a secret up to which it is known in all forms; what is beyond is known as it is.
pub const LONGEST: usize = 64 << 10;
/// Bytes of all secrets together up to which they are known in all forms.
const ALL: usize = 256 << 10;
/// Shorter ones would hit anything.
pub(crate) const SHORTEST: usize = 4;
/// The shortest line, or value of a line, that is a secret of its own.
const LINE: usize = 8;
/// Up to here the lines of a secret have forms of their own.
const LINES_IN_FORMS: usize = 8 << 10;
/// What is longer than this is known by pieces of half the length: so nothing longer is ever held back.
pub(crate) const NEEDLE: usize = 128;
/// Characters of an encoded needle before a line break in it counts: a line that just ends in the first letter of a
/// needle must not be held back.
pub(crate) const BEFORE_BREAK: usize = 4;
/// The shortest that may be broken over two lines.
const BREAKS: usize = 16;

/// One byte string to be found.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Needle {
    pub(crate) bytes: Vec<u8>,
    /// The number of its secret.
    pub(crate) secret: usize,
    /// Line ends may lie in it, as encoders put them; `+` and `/` stand for `-` and `_` too.
    pub(crate) breaks: bool,
}

impl Needle {
    /// As the text may have it: in the other alphabet of Base64, where that makes a difference.
    pub(crate) fn other(&self) -> Option<Vec<u8>> {
        let other = |byte: &u8| match byte {
            b'+' => b'-',
            b'/' => b'_',
            byte => *byte,
        };
        let differs = self.breaks && self.bytes.iter().any(|byte| matches!(byte, b'+' | b'/'));
        differs.then(|| self.bytes.iter().map(other).collect())
    }
}

/// The needles of all values, none twice; the first of two equal secrets has them.
pub(crate) fn needles(values: &[&[u8]]) -> Vec<Needle> {
    let mut all = Needles { seen: HashSet::new(), list: Vec::new() };
    let mut total = 0;
    for (secret, value) in values.iter().enumerate().filter(|(_, value)| value.len() >= SHORTEST) {
        total += value.len();
        let forms = value.len() <= LONGEST && total <= ALL;
        all.value(secret, value, forms);
        let lines = lines(value);
        for line in lines {
            all.value(secret, line, forms && value.len() <= LINES_IN_FORMS);
        }
    }
    all.list
}

/// What of a text stands for itself: each line, and in `NAME=value`, `name: value` and the like the value alone.
fn lines(value: &[u8]) -> Vec<&[u8]> {
    let mut found = Vec::new();
    let add = |part: &[u8]| {
        let same = |line: &[u8]| line.len() == value.len();
        (part.len() >= LINE && !same(part) && is_telling(part)).then_some(())
    };
    let mut texts: Vec<&[u8]> = value.split(|byte| matches!(byte, b'\n' | b'\r')).collect();
    // A text in JSON has its line ends written out.
    texts.extend(texts.clone().iter().flat_map(|line| split_written(line)));
    if texts.len() == 1 && !value.contains(&b'=') {
        return found;
    }
    for line in texts.into_iter().map(trimmed) {
        if add(line).is_some() {
            found.push(line);
        }
        let named = line.iter().position(|byte| matches!(byte, b'=' | b':'));
        if let Some(at) = named.filter(|at| *at <= 64 && line[..*at].iter().all(|byte| is_name(*byte))) {
            let told = trimmed(&line[at + 1..]);
            if add(told).is_some() {
                found.push(told);
            }
        }
    }
    found
}

fn split_written(line: &[u8]) -> Vec<&[u8]> {
    let (mut parts, mut from, mut at) = (Vec::new(), 0, 0);
    while at + 1 < line.len() {
        if line[at] == b'\\' && matches!(line[at + 1], b'n' | b'r') {
            parts.push(&line[from..at]);
            from = at + 2;
            at += 1;
        }
        at += 1;
    }
    if !parts.is_empty() {
        parts.push(&line[from..]);
    }
    parts
}

fn is_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.' | b' ' | b'"' | b'\'' | b'\t')
}

/// Without space, quotes and commas around it.
fn trimmed(line: &[u8]) -> &[u8] {
    let rim = |byte: &u8| byte.is_ascii_whitespace() || matches!(byte, b'"' | b'\'' | b',');
    let from = line.iter().position(|byte| !rim(byte)).unwrap_or(line.len());
    let to = line.iter().rposition(|byte| !rim(byte)).map_or(from, |last| last + 1);
    &line[from..to]
}

/// Not what every file of its kind has: rulers, fill, the head and foot of a PEM block.
fn is_telling(part: &[u8]) -> bool {
    let armour = part.starts_with(b"-----") && part.ends_with(b"-----");
    let mut different = [false; 256];
    part.iter().for_each(|byte| different[usize::from(*byte)] = true);
    !armour && different.iter().filter(|seen| **seen).count() >= 4
}

struct Needles {
    seen: HashSet<(Vec<u8>, bool)>,
    list: Vec<Needle>,
}

impl Needles {
    fn value(&mut self, secret: usize, value: &[u8], forms: bool) {
        self.tight(secret, value.to_vec());
        if !forms {
            return;
        }
        self.tight(secret, escaped(value));
        for keeps in [is_unreserved, is_path, is_component, is_address, is_nothing] {
            for digits in [UPPER, LOWER] {
                self.tight(secret, percent(value, keeps, digits));
            }
        }
        self.tight(secret, form(value));
        for digits in [LOWER, UPPER] {
            self.encoded(secret, value.iter().flat_map(|byte| hex(*byte, digits)).collect());
        }
        for shift in 0..3 {
            for text in base64(value, shift) {
                self.encoded(secret, text);
            }
        }
    }

    /// Something that is only found whole.
    fn tight(&mut self, secret: usize, bytes: Vec<u8>) {
        self.pieces(secret, bytes, false);
    }

    /// Something that encoders break into lines.
    fn encoded(&mut self, secret: usize, text: Vec<u8>) {
        if text.len() < BREAKS {
            return self.pieces(secret, text, false);
        }
        self.pieces(secret, text, true);
    }

    fn pieces(&mut self, secret: usize, bytes: Vec<u8>, breaks: bool) {
        if bytes.len() <= NEEDLE {
            return self.needle(secret, &bytes, breaks);
        }
        let last = &bytes[bytes.len() - NEEDLE / 2..];
        for piece in bytes.chunks_exact(NEEDLE / 2).chain([last]).filter(|piece| is_telling(piece)) {
            self.needle(secret, piece, breaks);
        }
    }

    fn needle(&mut self, secret: usize, bytes: &[u8], breaks: bool) {
        self.add(secret, bytes, breaks);
        // Broken in its first letters it is found by the rest.
        if breaks && bytes.len() >= BREAKS + BEFORE_BREAK {
            let rest = &bytes[BEFORE_BREAK..];
            // A second break comes after a whole line at the earliest.
            self.add(secret, rest, rest.len() >= 20);
        }
    }

    fn add(&mut self, secret: usize, bytes: &[u8], breaks: bool) {
        if bytes.len() >= SHORTEST && self.seen.insert((bytes.to_vec(), breaks)) {
            self.list.push(Needle { bytes: bytes.to_vec(), secret, breaks });
        }
    }
}

const LOWER: &[u8; 16] = b"0123456789abcdef";
const UPPER: &[u8; 16] = b"0123456789ABCDEF";

fn hex(byte: u8, digits: &[u8; 16]) -> [u8; 2] {
    [digits[usize::from(byte >> 4)], digits[usize::from(byte & 15)]]
}

/// As it stands in a JSON text, a Python or a shell literal.
fn escaped(value: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(value.len());
    for byte in value {
        match byte {
            b'\n' => out.extend(b"\\n"),
            b'\r' => out.extend(b"\\r"),
            b'\t' => out.extend(b"\\t"),
            b'"' | b'\\' => out.extend([b'\\', *byte]),
            _ => out.push(*byte),
        }
    }
    out
}

/// What is left as it is in a URL: the RFC's own set.
fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte)
}

/// The set of `quote` and of paths.
fn is_path(byte: u8) -> bool {
    is_unreserved(byte) || byte == b'/'
}

/// The set of `encodeURIComponent`.
fn is_component(byte: u8) -> bool {
    is_unreserved(byte) || b"!'()*".contains(&byte)
}

/// The set of `encodeURI`.
fn is_address(byte: u8) -> bool {
    is_component(byte) || b";,/?:@&=+$#".contains(&byte)
}

fn is_nothing(_: u8) -> bool {
    false
}

fn percent(value: &[u8], keeps: fn(u8) -> bool, digits: &[u8; 16]) -> Vec<u8> {
    let mut out = Vec::with_capacity(value.len());
    for byte in value {
        if keeps(*byte) {
            out.push(*byte);
        } else {
            out.push(b'%');
            out.extend(hex(*byte, digits));
        }
    }
    out
}

/// As a form is sent: a space is a plus.
fn form(value: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(value.len());
    for byte in value {
        match byte {
            b' ' => out.push(b'+'),
            b'*' => out.push(b'*'),
            byte if byte.is_ascii_alphanumeric() || b"-_.".contains(byte) => out.push(*byte),
            byte => {
                out.push(b'%');
                out.extend(hex(*byte, UPPER));
            }
        }
    }
    out
}

/// The value in Base64, `shift` bytes after the beginning of a group: the characters that it alone decides, and those
/// with the end that it has where nothing follows it, with and without padding.
fn base64(value: &[u8], shift: usize) -> Vec<Vec<u8>> {
    let mut bytes = vec![0; shift];
    bytes.extend(value);
    let text = STANDARD_NO_PAD.encode(&bytes).into_bytes();
    let (from, to) = ((8 * shift).div_ceil(6), 8 * bytes.len() / 6);
    if from >= to {
        return Vec::new();
    }
    let mut forms = vec![text[from..to].to_vec()];
    if to < text.len() {
        let padding = vec![b'='; text.len().div_ceil(4) * 4 - text.len()];
        forms.push(text[from..].to_vec());
        forms.push([&text[from..], &padding].concat());
    }
    forms
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(value: &str) -> Vec<String> {
        needles(&[value.as_bytes()]).into_iter().map(|n| String::from_utf8(n.bytes).unwrap()).collect()
    }

    #[test]
    fn a_value_is_known_in_every_form() {
        let forms = of("p@ss w0rd/42");
        // What other programs make of it, at the beginning, after one byte and after two.
        for form in [
            "p@ss w0rd/42",
            "p%40ss%20w0rd%2F42",
            "p%40ss%20w0rd%2f42",
            "p%40ss%20w0rd/42",
            "p@ss%20w0rd/42",
            "p%40ss+w0rd%2F42",
            "7040737320773072642f3432",
            "7040737320773072642F3432",
            "cEBzcyB3MHJkLzQy",
            "BAc3MgdzByZC80M",
            "wQHNzIHcwcmQvNDI",
        ] {
            assert!(forms.iter().any(|known| known == form), "{form}: {forms:?}");
        }
    }

    #[test]
    fn lines_and_what_they_tell_are_secrets_of_their_own() {
        let file = "# settings\nDB_PASSWORD=hunter2hunter2\nshort=abc\n-----BEGIN PRIVATE KEY-----\n--------------\n\"key\": \"one-line\\ntwo-lines\",\n";
        let parts: Vec<String> =
            lines(file.as_bytes()).iter().map(|l| String::from_utf8_lossy(l).into_owned()).collect();
        for part in ["# settings", "DB_PASSWORD=hunter2hunter2", "hunter2hunter2", "one-line", "two-lines"] {
            assert!(parts.iter().any(|known| known == part), "{part}: {parts:?}");
        }
        assert!(!parts.iter().any(|part| part.starts_with("--") || part == "abc"), "{parts:?}");
        assert!(lines(b"one line alone: a word").is_empty());
    }

    #[test]
    fn a_long_value_is_known_by_pieces_and_short_ones_not_at_all() {
        let long: Vec<u8> = (0..3000u32).flat_map(|n| n.to_le_bytes()).collect();
        let found = needles(&[&long]);
        assert!(found.iter().all(|needle| needle.bytes.len() <= NEEDLE));
        let covered: usize = found.iter().filter(|n| !n.breaks && long.windows(64).any(|w| w == n.bytes)).count();
        assert!(covered >= long.len() / 64, "{covered}");
        assert!(of("abc").is_empty());
    }
}
