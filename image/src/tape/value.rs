//! Values of PAX records, as the plain and the sparse ones have them.

use super::{hostile, shown};
use crate::{Result, limits};

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

pub(super) fn name(value: &[u8]) -> Option<Vec<u8>> {
    let fits = !value.is_empty() && !value.contains(&0) && value.len() as u64 <= limits::HEADER_BYTES;
    fits.then(|| value.to_vec())
}
