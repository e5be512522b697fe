//! The clocks of the record. Linux; another platform needs the same three functions.

use crate::error::{Error, Result};
use rustix::time::{ClockId, clock_gettime};
use std::path::Path;

/// The wall clock: RFC 3339, UTC, always six decimals, so that times sort as text.
pub fn now() -> String {
    format!("{:.6}", jiff::Timestamp::now())
}

/// Milliseconds since the machine started, sleep included; nobody can set this clock.
pub fn boottime_ms() -> u64 {
    let t = clock_gettime(ClockId::Boottime);
    t.tv_sec as u64 * 1000 + t.tv_nsec as u64 / 1_000_000
}

/// Which start of the machine this is: [`boottime_ms`] means nothing in another one.
pub fn boot_id() -> Result<String> {
    let path = Path::new("/proc/sys/kernel/random/boot_id");
    let text = std::fs::read_to_string(path).map_err(|e| Error::io("read", path, e))?;
    Ok(text.trim().to_owned())
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
