//! The clocks of the record.

use crate::error::{Error, Result};
use crate::platform;
use std::path::Path;

/// The wall clock: RFC 3339, UTC, always six decimals, so that times sort as text.
pub fn now() -> String {
    format!("{:.6}", jiff::Timestamp::now())
}

/// Milliseconds since the machine started, sleep included; nobody can set this clock.
pub fn boottime_ms() -> u64 {
    platform::boottime_ms()
}

/// Which start of the machine this is: [`boottime_ms`] means nothing in another one.
pub fn boot_id() -> Result<String> {
    platform::boot_id().map_err(|e| Error::io("find out", Path::new("which start of the machine this is"), e))
}

/// Whether the machine was not started again since it was in this one.
pub(crate) fn is_this_boot(boot_id: &str) -> Result<bool> {
    Ok(platform::is_same_boot(boot_id, &self::boot_id()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wall_times_have_one_shape_and_sort_as_text() {
        let (a, b) = (now(), now());
        assert_eq!(a.len(), "2025-01-02T03:04:05.123456Z".len());
        assert!(a <= b && a.ends_with('Z'));
        assert_eq!(format!("{:.6}", jiff::Timestamp::UNIX_EPOCH), "1970-01-01T00:00:00.000000Z");
    }
}
