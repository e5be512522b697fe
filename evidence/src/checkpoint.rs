//! Checkpoints: signatures in the chain itself, made while a run goes, so that what a killed writer left is proven.

use crate::chain::Head;
use crate::dsse;
use crate::id::Id;
use crate::key::{PublicKey, SecretKey};
use serde_json::{Value, json};

/// Type of the event.
pub const CHECKPOINT: &str = "checkpoint";
/// Type of the event with the key that signs.
pub const KEY: &str = "key";
/// Type of the event with the digests of the beginnings of the logs.
pub const OUTPUT: &str = "output";

/// `payloadType` of what a checkpoint signs.
pub const CHECKPOINT_TYPE: &str = "application/vnd.aido.checkpoint+json";

/// What is signed: that the chain of this run stands at the record `seq` whose hash is `head`. A reader makes these
/// bytes himself, from the records before the checkpoint.
pub fn checkpoint_payload(run: &Id, seq: u64, head: &str) -> Vec<u8> {
    format!(r#"{{"v":1,"run":"{run}","seq":{seq},"head":"{head}"}}"#).into_bytes()
}

/// The data of the event that comes next; None before the first record.
pub(crate) fn made(key: &SecretKey, run: &Id, at: &Head) -> Option<Value> {
    let payload = checkpoint_payload(run, at.seq.checked_sub(1)?, &at.prev);
    Some(json!({"keyid": key.public().id(), "sig": dsse::sign(key, CHECKPOINT_TYPE, &payload)}))
}

/// Whether `key` made this checkpoint (the data of the event) over the record `seq` with this hash.
pub fn checkpoint_holds(key: &PublicKey, run: &Id, seq: u64, head: &str, data: &Value) -> bool {
    let text = |name: &str| data.get(name).and_then(Value::as_str).unwrap_or_default();
    let payload = checkpoint_payload(run, seq, head);
    text("keyid") == key.id() && dsse::verifies(key, CHECKPOINT_TYPE, &payload, text("sig"))
}
