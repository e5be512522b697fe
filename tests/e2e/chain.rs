//! A second reader of chained files, written from the description of the format alone.

use serde_json::Value;
use sha2::{Digest, Sha256};

/// The records, if the chain is whole.
pub(crate) fn check(bytes: &[u8]) -> Result<Vec<Value>, String> {
    if !bytes.ends_with(b"\n") {
        return Err("the last line has no end".into());
    }
    let mut prev = "0".repeat(64);
    let mut records = Vec::new();
    for (number, line) in bytes[..bytes.len() - 1].split(|b| *b == b'\n').enumerate() {
        let bad = |why: &str| Err(format!("record {number}: {why}: {}", String::from_utf8_lossy(line)));
        // The line ends with `,"hash":"`, 64 digits and `"}`; the hash covers what stands before.
        let Some(cut) = line.len().checked_sub(75) else { return bad("too short") };
        let record: Value = match serde_json::from_slice(line) {
            Ok(record) => record,
            Err(e) => return bad(&e.to_string()),
        };
        let sum: String = Sha256::digest(&line[..cut]).iter().map(|b| format!("{b:02x}")).collect();
        if record["hash"] != sum || !line[cut..].starts_with(b",\"hash\":\"") {
            return bad("its hash is not that of its bytes");
        }
        if record["prev"] != prev {
            return bad("it does not follow the one before");
        }
        if record["seq"] != number || record["v"] != 1 {
            return bad("its number or version is wrong");
        }
        prev = sum;
        records.push(record);
    }
    Ok(records)
}

/// The types, in order.
pub(crate) fn kinds(records: &[Value]) -> Vec<&str> {
    records.iter().filter_map(|r| r["type"].as_str()).collect()
}
