//! Chained files: what a reader believes, where the end is found, what an appender makes of any bytes.

use crate::append::{Appender, Joint, find_end};
use crate::chain::{Head, NO_HASH, Record, TORN, sha256_hex};
use crate::folder::{Folder, For};
use crate::read::{Broken, Events};
use serde_json::{Value, json};
use std::fs::File;
use std::io::Write;
use std::path::Path;

/// Reads a file of these bytes, appends to it, and reads it again.
pub(super) fn any(bytes: &[u8]) {
    let room = tempfile::tempdir().expect("a temporary folder");
    let folder = Folder::open(room.path()).expect("it can be opened");
    let open = || folder.file("f", For::AppendingOrNew).expect("the file can be opened");
    open().write_all(bytes).expect("it can be written");
    let (before, broken) = read(open());
    let path = Path::new("f");
    let end = find_end(&open(), path);
    // What is whole but for its end is gone on with, from where the reader came to.
    let goes_on = broken.as_ref().is_none_or(|broken| broken.torn_end);
    match (&end, goes_on) {
        (Ok(end), true) => {
            assert_eq!(end.head.prev, before.last().map_or(NO_HASH, |last| &last.hash), "another last record");
            assert_eq!(end.head.seq, before.len() as u64);
            assert_eq!(broken.is_some(), matches!(end.joint, Joint::Torn { .. }), "{broken:?}, {:?}", end.joint);
        }
        (Err(error), true) => panic!("a reader finds the end, and an appender does not: {error}"),
        _ => {}
    }
    let Ok(mut appender) = Appender::resume(open(), path.to_path_buf()) else { return };
    // A number that no further one could follow is no place to go on from.
    if appender.append("fuzzed", &json!({"n": 1})).is_err() {
        return;
    }
    let file = std::fs::read(room.path().join("f")).expect("it can be read");
    assert!(file.starts_with(bytes), "bytes that were there have changed");
    let (after, broken) = read(open());
    assert!(after.starts_with(&before), "an append changes what is believed");
    if goes_on {
        assert!(broken.is_none(), "it was gone on with, and does not hold: {broken:?}");
        let torn = usize::from(after.get(before.len()).is_some_and(|record| record.kind == TORN));
        assert_eq!(after.len(), before.len() + 1 + torn, "one record was added");
        assert_eq!(after.last().map(|record| record.hash.as_str()), appender.head().ok(), "the head is another");
    }
    assert!(appender.is_clean().is_ok_and(|clean| clean), "an end that was just written is torn");
}

/// The records up to the first that does not hold.
fn read(file: File) -> (Vec<Record>, Option<Broken>) {
    let (mut good, mut head) = (Vec::<Record>::new(), Head::start());
    for event in Events::new(file) {
        match event {
            Ok(record) => {
                let stored = record.stored.as_bytes();
                assert_eq!(Record::decode(stored).as_ref(), Ok(&record), "it is read as another");
                assert_eq!(sha256_hex(&stored[..stored.len() - 75]), record.hash, "bytes that its hash does not cover");
                assert!(!stored.contains(&b'\n') && head.refuses(&record).is_none(), "it does not follow");
                head = Head::after(&record);
                good.push(record);
            }
            Err(broken) => return (good, Some(broken)),
        }
    }
    (good, None)
}

/// Nearly valid files: records that are chained, and what befalls files in a crash or at an enemy's hands.
pub(super) fn built(wish: &[u8]) -> Vec<u8> {
    let (mut file, mut head) = (Vec::new(), Head::start());
    let mut wish = wish.iter().copied();
    while let (Some(deed), Some(how)) = (wish.next(), wish.next()) {
        match deed % 16 {
            0..=6 => append(&mut file, &mut head, how),
            7 => file.truncate(file.len().saturating_sub(how.into())),
            8 => file.extend(std::iter::repeat_n(0, how.into())),
            9 => file.extend(wish.by_ref().take(usize::from(how % 32))),
            10 => file.push(b'\n'),
            11 => own_up(&mut file, &mut head),
            12 => {
                let at = usize::from(how) * file.len() / 256;
                if let Some(byte) = file.get_mut(at) {
                    *byte ^= how | 1;
                }
            }
            // A line again, and one that goes away.
            13 => {
                let line = file.split_inclusive(|b| *b == b'\n').nth(usize::from(how % 8)).map(<[u8]>::to_vec);
                file.extend(line.unwrap_or_default());
            }
            14 => {
                let kept =
                    file.split_inclusive(|b| *b == b'\n').enumerate().filter(|(n, _)| *n != usize::from(how % 8));
                file = kept.flat_map(|(_, line)| line).copied().collect();
            }
            // Counted wrong, or far on.
            _ => head.seq = if how < 128 { u64::from(how) } else { (1 << 53) + 4 - u64::from(how - 128) },
        }
    }
    file
}

fn append(file: &mut Vec<u8>, head: &mut Head, how: u8) {
    let data = match how % 5 {
        0 => json!({}),
        1 => json!({"text": "\u{1b}[2J\n\u{7f}\u{9b}", "n": how}),
        2 => json!([1.5, -0.0, 1e300, u64::MAX, i64::MIN, null]),
        3 => (0..how).fold(Value::Null, |inner, _| json!([inner])),
        _ => json!("x".repeat(usize::from(how) * 100)),
    };
    let kind = if how.is_multiple_of(7) { "a \"kind\"\n" } else { "kind" };
    let (line, next) = head.encode(kind, &data, "2026-01-02T03:04:05.000000Z", u64::from(how));
    file.extend(line);
    *head = next;
}

/// A torn record, which is right if the file's end is torn.
fn own_up(file: &mut Vec<u8>, head: &mut Head) {
    let torn = file.rsplit(|b| *b == b'\n').next().unwrap_or_default().to_vec();
    file.push(b'\n');
    let data = json!({"bytes": torn.len(), "sha256": sha256_hex(&torn)});
    let (line, next) = head.encode(TORN, &data, "2026-01-02T03:04:05.000000Z", 1);
    file.extend(line);
    *head = next;
}
