//! What the redactor must do, written down in the plainest way: every needle is tried at every place of the whole text.

use crate::forms::{BEFORE_BREAK, Needle, needles};
use crate::scan::LINE;

/// The text with the number of each secret in brackets.
pub(crate) fn redact(values: &[&[u8]], text: &[u8]) -> Vec<u8> {
    let mut found = Vec::new();
    let values: Vec<&[u8]> = values.iter().map(|value| value.trim_ascii_end()).collect();
    for needle in needles(&values) {
        for start in 0..text.len() {
            if let Some(end) = matches(&needle, text, start) {
                found.push((start, end, needle.secret));
            }
        }
    }
    found.sort_by_key(|(start, end, _)| (*start, std::cmp::Reverse(*end)));
    let (mut out, mut covered, mut last) = (Vec::new(), 0, None);
    for (start, end, secret) in found {
        if start < covered || (start == covered && last == Some(secret)) {
            covered = covered.max(end);
            continue;
        }
        out.extend_from_slice(&text[covered..start]);
        out.extend(format!("[secret {secret}]").bytes());
        (covered, last) = (end, Some(secret));
    }
    out.extend_from_slice(&text[covered..]);
    out
}

fn matches(needle: &Needle, text: &[u8], start: usize) -> Option<usize> {
    let (mut at, mut line) = (start, None);
    for (n, wanted) in needle.bytes.iter().enumerate() {
        if needle.breaks && n > 0 {
            let rest = &text[at..];
            let end = if rest.starts_with(b"\n") {
                1
            } else if rest.starts_with(b"\r\n") {
                2
            } else {
                0
            };
            if end > 0 {
                if n < BEFORE_BREAK || line.is_some_and(|line| line < LINE) {
                    return None;
                }
                at += end;
                at += text[at..].iter().take(16).take_while(|b| matches!(b, b' ' | b'\t')).count();
                line = Some(0);
            }
        }
        let byte = *text.get(at)?;
        let byte = match byte {
            b'-' if needle.breaks => b'+',
            b'_' if needle.breaks => b'/',
            byte => byte,
        };
        if byte != *wanted {
            return None;
        }
        at += 1;
        line = line.map(|line| line + 1);
    }
    Some(at)
}
