//! What `benches/chain.rs` measures: lines of a chained file without the file.

use crate::chain::{Head, Record};
use serde_json::Value;

/// So many records of one kind, one after the other.
pub fn write(count: usize, data: &Value) -> Vec<Vec<u8>> {
    let (mut head, mut lines) = (Head::start(), Vec::with_capacity(count));
    for number in 0..count {
        let (line, next) = head.encode("denied", data, "2026-01-02T03:04:05.678901Z", number as u64);
        lines.push(line);
        head = next;
    }
    lines
}

/// Reads them back, and whether each comes after the one before.
pub fn read(lines: &[Vec<u8>]) -> bool {
    let mut head = Head::start();
    lines.iter().all(|line| {
        let record = Record::decode(line.strip_suffix(b"\n").unwrap_or(line));
        record.is_ok_and(|record| {
            let comes_next = head.refuses(&record).is_none();
            head = Head::after(&record);
            comes_next
        })
    })
}
