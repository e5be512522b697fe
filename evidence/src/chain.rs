//! One line of a chained file: how it is written and how it is believed.

use serde::Deserialize;
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::fmt::Write as _;

/// Version of a record. 1: first.
pub const RECORD_VERSION: u32 = 1;

/// The longest line, its newline included. Longer data is left out and said so; a longer line in a
/// file is no record.
pub const MAX_RECORD: usize = 4 << 20;

/// How deep `data` may be nested; a reader's own limit must lie above it.
const MAX_DEPTH: usize = 64;

/// Numbers lie below this: every JSON parser reads them exactly, and there is always a next one.
const MOST_RECORDS: u64 = 1 << 53;

/// `prev` of a file's first record.
pub(crate) const NO_HASH: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// Type of the record that owns up to bytes that are no record.
pub(crate) const TORN: &str = "torn";

/// `,"hash":"` + 64 digits + `"}`
const HASH_MEMBER: usize = 9 + 64 + 2;

/// One record of a chained file (`events.log`, `ledger.jsonl`), version 1.
///
/// A record is one line of JSON that ends with a newline (`\n`); no line holds another control
/// character, because they are escaped (`\u001b`). Its members stand in this order:
///
/// ```json
/// {"v":1,"seq":0,"time":"2025-01-02T03:04:05.123456Z","mono_ms":12,"type":"begun","data":{},"prev":"00…","hash":"ab…"}
/// ```
///
/// - `seq` counts from 0 without a gap, below 2^53. `time` is the wall clock, `mono_ms` the milliseconds since
///   the machine started (Linux: `CLOCK_BOOTTIME`).
/// - `hash` is always the last member: the line ends with `,"hash":"`, 64 lower-case hex digits and
///   `"}`. It is the SHA-256 of every byte of the line before `,"hash":"`, exactly as stored. So it
///   is checked without a JSON parser: drop the last 75 bytes of the line and hash the rest.
/// - `prev` is the `hash` of the record before, in the first record 64 zeros.
/// - `data` that would make the line longer than [`MAX_RECORD`], or that is nested deeper than 64,
///   is replaced by `{"left_out":{"bytes":…,"sha256":"…","why":"…"}}` with the digest of its JSON.
///
/// **Torn ends.** The file is only ever appended to. When a writer was stopped inside a record (a
/// crash, a full disk), the bytes after the last whole record stay as they are. The next writer ends
/// them with a newline and appends a record of the type `torn` whose data is
/// `{"bytes":N,"sha256":"…"}`: length and SHA-256 of the bytes between the newline of the last whole
/// record and that added newline (neither included). A checker accepts bytes that are no record only
/// if such a record follows them, and accepts a `torn` record only after such bytes. If nothing but
/// the newline of a whole record is missing, the next writer adds it and no `torn` record is needed.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    pub v: u32,
    pub seq: u64,
    pub time: String,
    pub mono_ms: u64,
    #[serde(rename = "type")]
    pub kind: String,
    pub data: Value,
    pub prev: String,
    pub hash: String,
    /// The line as it is stored, without its newline.
    #[serde(skip)]
    pub stored: String,
}

/// Where a chain stands: what the next record must say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) seq: u64,
    pub(crate) prev: String,
}

impl Head {
    pub(crate) fn start() -> Head {
        Head { seq: 0, prev: NO_HASH.to_owned() }
    }

    pub(crate) fn after(record: &Record) -> Head {
        Head { seq: record.seq.saturating_add(1), prev: record.hash.clone() }
    }

    /// The next line, newline included, and where the chain stands after it.
    pub(crate) fn encode(&self, kind: &str, data: &Value, time: &str, mono_ms: u64) -> (Vec<u8>, Head) {
        let data = fitting(data);
        let mut line = format!(
            r#"{{"v":{RECORD_VERSION},"seq":{},"time":"{time}","mono_ms":{mono_ms},"type":{},"data":{data},"prev":"{}""#,
            self.seq,
            plain_json(Value::from(kind).to_string()),
            self.prev,
        );
        let hash = sha256_hex(line.as_bytes());
        line.push_str(r#","hash":""#);
        line.push_str(&hash);
        line.push_str("\"}\n");
        (line.into_bytes(), Head { seq: self.seq + 1, prev: hash })
    }

    /// Why `record` does not come next, if it does not.
    pub(crate) fn refuses(&self, record: &Record) -> Option<String> {
        if record.seq != self.seq {
            Some(format!("it says to be number {}, and number {} comes here", record.seq, self.seq))
        } else if record.prev != self.prev {
            Some(format!("its `prev` is not the hash of record {}", self.seq.wrapping_sub(1)))
        } else {
            None
        }
    }
}

impl Record {
    /// Reads a line without its newline and checks its hash, not its place in the chain.
    pub(crate) fn decode(line: &[u8]) -> Result<Record, String> {
        if line.len() >= MAX_RECORD {
            return Err(format!("it is longer than {MAX_RECORD} bytes"));
        }
        let cut = line.len().checked_sub(HASH_MEMBER).ok_or("it is no record: too short")?;
        let (covered, member) = line.split_at(cut);
        if !member.starts_with(br#","hash":""#) || !member.ends_with(br#""}"#) {
            return Err("it is no record: it does not end with its hash".to_owned());
        }
        let stored = &member[9..9 + 64];
        if sha256_hex(covered).as_bytes() != stored {
            return Err("its bytes were changed: they do not have the hash that it states".to_owned());
        }
        #[derive(Deserialize)]
        struct Version {
            v: u32,
        }
        let version: Version = serde_json::from_slice(line).map_err(|e| format!("it is no record: {e}"))?;
        if version.v != RECORD_VERSION {
            return Err(format!("it has version {}, and this program knows version {RECORD_VERSION}", version.v));
        }
        let text = std::str::from_utf8(line).map_err(|e| format!("it is no record: {e}"))?;
        let record: Record = serde_json::from_str(text).map_err(|e| format!("it is no record: {e}"))?;
        if record.seq >= MOST_RECORDS {
            return Err(format!("it is no record: number {} is too high", record.seq));
        }
        Ok(Record { stored: text.to_owned(), ..record })
    }
}

/// The data as JSON, or a note that stands for it.
fn fitting(data: &Value) -> String {
    const ROOM: usize = MAX_RECORD - 4096;
    let text = plain_json(data.to_string());
    let why = if text.len() > ROOM {
        "too long"
    } else if deeper_than(data, MAX_DEPTH) {
        "nested too deep"
    } else {
        return text;
    };
    let sha256 = sha256_hex(text.as_bytes());
    serde_json::json!({"left_out": {"bytes": text.len(), "sha256": sha256, "why": why}}).to_string()
}

fn deeper_than(value: &Value, levels: usize) -> bool {
    let Some(below) = levels.checked_sub(1) else { return true };
    match value {
        Value::Array(items) => items.iter().any(|v| deeper_than(v, below)),
        Value::Object(members) => members.values().any(|v| deeper_than(v, below)),
        _ => false,
    }
}

/// Makes JSON text harmless for a terminal without changing what it means. Serialisers escape only
/// what JSON demands; DEL, the C1 controls, and marks that turn text round or take no room can mislead too.
pub fn plain_json(text: String) -> String {
    if text.bytes().all(|b| b.is_ascii() && b != 0x7f) {
        return text;
    }
    let mut plain = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        // Outside of strings JSON is ASCII, so each of these stands in a string.
        match c {
            '\u{7f}'..='\u{9f}'
            | '\u{ad}'
            | '\u{61c}'
            | '\u{180e}'
            | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{feff}'
            | '\u{fff9}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e007f}' => {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    let _ = write!(plain, "\\u{unit:04x}");
                }
            }
            _ => plain.push(c),
        }
    }
    plain
}

/// SHA-256 as 64 lower-case hex digits.
pub fn sha256_hex(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    bytes.iter().flat_map(|b| [DIGITS[usize::from(b >> 4)] as char, DIGITS[usize::from(b & 15)] as char]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn written(head: &Head, kind: &str, data: &Value) -> (Vec<u8>, Head) {
        head.encode(kind, data, "2025-01-02T03:04:05.000000Z", 7)
    }

    #[test]
    fn the_format_is_the_documented_one() {
        let (line, head) = written(&Head::start(), "begun", &json!({"run": "r1"}));
        let text = String::from_utf8(line).unwrap();
        let covered = format!(
            r#"{{"v":1,"seq":0,"time":"2025-01-02T03:04:05.000000Z","mono_ms":7,"type":"begun","data":{{"run":"r1"}},"prev":"{NO_HASH}""#
        );
        // Computed with another program: printf '%s' "$covered" | sha256sum
        let hash = "ccf7e5aa607e0b797b4470e1a5c3008ef384bbe50655e94bc6ca2770fec0ba1e";
        assert_eq!(text, format!("{covered},\"hash\":\"{hash}\"}}\n"));
        assert_eq!(head, Head { seq: 1, prev: hash.to_owned() });
    }

    #[test]
    fn control_characters_never_leave_their_string() {
        let nasty = "a\nb\r\u{1b}[2J\u{7f}\u{9b}31m\u{2028}\u{202e}\u{0}\"},\"hash\":\"é";
        let (line, _) = written(&Head::start(), nasty, &json!({ nasty: [nasty] }));
        let text = String::from_utf8(line).unwrap();
        assert_eq!(text.chars().filter(|c| c.is_control()).collect::<String>(), "\n");
        assert!(text.ends_with('\n') && !text.contains('\u{202e}'));
        let record = Record::decode(text.trim_end().as_bytes()).unwrap();
        assert_eq!((record.kind.as_str(), &record.data), (nasty, &json!({ nasty: [nasty] })));
    }

    #[test]
    fn what_is_too_long_or_too_deep_is_left_out_and_said_so() {
        let long = json!("x".repeat(MAX_RECORD));
        let mut deep = json!(1);
        for _ in 0..200 {
            deep = json!([deep]);
        }
        for (data, why) in [(long, "too long"), (deep, "nested too deep")] {
            let (line, _) = written(&Head::start(), "k", &data);
            assert!(line.len() <= MAX_RECORD);
            let record = Record::decode(&line[..line.len() - 1]).unwrap();
            let text = data.to_string();
            let note = json!({"bytes": text.len(), "sha256": sha256_hex(text.as_bytes()), "why": why});
            assert_eq!(record.data["left_out"], note);
        }
    }

    #[test]
    fn a_member_twice_or_too_many_is_no_record() {
        for inner in [r#""v":1,"v":1"#, r#""v":1,"extra":0"#] {
            let covered = format!(r#"{{{inner},"seq":0,"time":"t","mono_ms":0,"type":"k","data":0,"prev":"{NO_HASH}""#);
            let line = format!(r#"{covered},"hash":"{}"}}"#, sha256_hex(covered.as_bytes()));
            assert!(Record::decode(line.as_bytes()).is_err(), "{line}");
        }
    }

    #[test]
    fn a_later_version_is_named_and_not_guessed_at() {
        let covered = r#"{"v":2,"new":true"#;
        let line = format!(r#"{covered},"hash":"{}"}}"#, sha256_hex(covered.as_bytes()));
        assert!(Record::decode(line.as_bytes()).unwrap_err().contains("version 2"));
    }

    proptest! {
        #[test]
        fn whatever_is_written_is_read_back(kind in ".*", text in ".*", number: u64, seq: u64) {
            let data = json!({"text": text, "list": [number, null, true]});
            let head = Head { seq: seq % MOST_RECORDS, prev: sha256_hex(b"x") };
            let (line, next) = written(&head, &kind, &data);
            let record = Record::decode(&line[..line.len() - 1]).unwrap();
            prop_assert_eq!(&record.data, &data);
            prop_assert_eq!(&record.kind, &kind);
            prop_assert_eq!(head.refuses(&record), None);
            prop_assert_eq!(Head::after(&record), next);
        }

        #[test]
        fn no_byte_of_a_record_can_be_changed(at: prop::sample::Index, flip in 1u8..=255) {
            let (mut line, _) = written(&Head::start(), "k", &json!({"a": 1}));
            line.pop();
            let at = at.index(line.len());
            line[at] ^= flip;
            prop_assert!(Record::decode(&line).is_err());
        }

        #[test]
        fn reading_anything_is_safe(line in prop::collection::vec(any::<u8>(), 0..300)) {
            prop_assert!(Record::decode(&line).is_err());
        }
    }
}
