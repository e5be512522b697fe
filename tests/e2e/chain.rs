//! A second reader of chained files, written from the description of the format alone.

use serde_json::Value;
use sha2::{Digest, Sha256};

/// The records, if the chain is whole. Bytes that are no record are owned up to by the one after them.
pub(crate) fn check(bytes: &[u8]) -> Result<Vec<Value>, String> {
    if !bytes.ends_with(b"\n") {
        return Err("the last line has no end".into());
    }
    let (mut prev, mut records) = ("0".repeat(64), Vec::new());
    let mut torn: Option<Vec<u8>> = None;
    for line in bytes[..bytes.len() - 1].split(|b| *b == b'\n') {
        let number = records.len();
        let bad = |why: &str| Err(format!("record {number}: {why}: {}", String::from_utf8_lossy(line)));
        let Some(record) = hashed(line) else {
            torn = Some(torn.map_or(line.to_vec(), |before| [&before, line].join(&b'\n')));
            continue;
        };
        let owned_up = serde_json::json!({"bytes": torn.as_ref().map(Vec::len), "sha256": torn.as_deref().map(sha256)});
        match (torn.take().is_some(), record["type"] == "torn") {
            (true, true) if record["data"] == owned_up => {}
            (false, false) => {}
            _ => return bad("a torn record and torn bytes belong together"),
        }
        if record["prev"] != prev {
            return bad("it does not follow the one before");
        }
        if record["seq"] != number || record["v"] != 1 {
            return bad("its number or version is wrong");
        }
        prev = record["hash"].as_str().unwrap_or_default().to_owned();
        records.push(record);
    }
    match torn {
        Some(torn) => Err(format!("it ends in what is no record: {}", String::from_utf8_lossy(&torn))),
        None => Ok(records),
    }
}

pub(crate) fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|b| format!("{b:02x}")).collect()
}

/// A line that ends with `,"hash":"`, 64 digits and `"}`, where the hash covers what stands before.
fn hashed(line: &[u8]) -> Option<Value> {
    let cut = line.len().checked_sub(75)?;
    let record: Value = serde_json::from_slice(line).ok()?;
    (record["hash"] == sha256(&line[..cut]) && line[cut..].starts_with(b",\"hash\":\"")).then_some(record)
}

/// The types, in order.
pub(crate) fn kinds(records: &[Value]) -> Vec<&str> {
    records.iter().filter_map(|r| r["type"].as_str()).collect()
}
