//! Holds an unpacked layer against its diff ID.

use crate::digest::Hashing;
use crate::recipe::Replay;
use crate::{Error, Kind, LayerId, Result};
use std::path::Path;

/// What is wrong with the layer in `folder`, in words; nothing if it is as it was unpacked. An error
/// is what kept this process from looking.
pub(crate) fn check(folder: &Path, id: &LayerId) -> Result<Vec<String>> {
    let mut replay = match Replay::open(folder, true) {
        Err(e) if e.kind == Kind::Unverified => return Ok(vec![e.what]),
        other => other?,
    };
    let stream = Hashing::new(&mut replay).finish();
    let mut found = std::mem::take(&mut replay.found);
    match stream.map_err(|e| Error::io("hashing it", e)) {
        Ok((digest, _)) if digest == id.0 => {}
        Ok((digest, _)) if found.is_empty() => found.push(format!("its files make a stream with the digest {digest}")),
        Ok(_) => {}
        Err(e) if e.kind == Kind::Unverified => found.push(e.what),
        Err(e) => return Err(e),
    }
    Ok(found)
}

#[cfg(test)]
mod tests;
