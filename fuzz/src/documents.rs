//! The targets of `plan.json` and `summary.json`, shared with the test that replays their corpora in the root crate.

use super::Summary;
use aido_runtime::Plan;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Any bytes are read or refused; what was read says the same when it is written and read again.
fn reads_back<T: Serialize + DeserializeOwned>(bytes: &[u8]) {
    let Ok(read) = serde_json::from_slice::<T>(bytes) else { return };
    let written = serde_json::to_vec_pretty(&read).unwrap_or_else(|e| panic!("it cannot be written: {e}"));
    let again: T = serde_json::from_slice(&written)
        .unwrap_or_else(|e| panic!("{}\nis refused: {e}", String::from_utf8_lossy(&written)));
    assert_eq!(serde_json::to_vec_pretty(&again).ok(), Some(written), "it reads back as something else");
}

pub fn plan(bytes: &[u8]) {
    reads_back::<Plan>(bytes);
}

pub fn summary(bytes: &[u8]) {
    reads_back::<Summary>(bytes);
}
