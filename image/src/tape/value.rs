//! Values of PAX records, as the plain and the sparse ones have them.

use super::{hostile, shown};
use crate::{Error, Kind, Result, limits};

pub(super) fn once<T>(slot: &mut Option<T>, value: T, key: &[u8]) -> Result<()> {
    match slot.replace(value) {
        None => Ok(()),
        Some(_) => Err(hostile(format!("the extended header gives {} twice", shown(key)))),
    }
}

/// Digits and nothing else.
pub(super) fn decimal(text: &[u8]) -> Option<u64> {
    let digits = !text.is_empty() && text.iter().all(u8::is_ascii_digit);
    digits.then(|| std::str::from_utf8(text).ok()?.parse().ok()).flatten()
}

/// A path; one that no system could use is not even kept.
pub(super) fn name(value: &[u8], key: &[u8]) -> Result<Vec<u8>> {
    if value.is_empty() || value.contains(&0) {
        return Err(hostile(format!("the extended header has a wrong value for {}", shown(key))));
    }
    if value.len() > limits::PATH_BYTES {
        return Err(too_long(value));
    }
    Ok(value.to_vec())
}

pub(super) fn too_long(path: &[u8]) -> Error {
    Error::new(Kind::Limit, format!("{}… is longer than {} bytes", shown(path), limits::PATH_BYTES))
}
