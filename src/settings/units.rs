//! Sizes, times and shares, as people write them.

use std::time::Duration;

/// The shortest and the longest time limit.
pub const TTL: std::ops::RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(24 * 3600);

const SIZES: [(&str, u64); 10] = [
    ("B", 1),
    ("kB", 1_000),
    ("KB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("TB", 1_000_000_000_000),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("TiB", 1 << 40),
];

/// `512MiB`, `1.5GiB`, `500MB`, or plain bytes.
pub(crate) fn bytes(text: &str) -> Result<u64, String> {
    let (number, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len()));
    let unit = unit.trim_start_matches(' ');
    let factor = match unit {
        "" => 1,
        _ => SIZES
            .iter()
            .find(|(name, _)| *name == unit)
            .map(|(_, factor)| *factor)
            .ok_or_else(|| no_size(text, number, unit))?,
    };
    if unit.is_empty() && number.contains('.') {
        return Err(format!("`{text}` is no whole number of bytes; write it with a unit, such as 512MiB"));
    }
    thousandths(number)
        .and_then(|n| n.checked_mul(u128::from(factor)))
        .and_then(|n| u64::try_from(n / 1000).ok())
        .ok_or_else(|| format!("`{text}` is no size; write it as 512MiB, 1.5GiB, 500MB or in plain bytes"))
}

fn no_size(text: &str, number: &str, unit: &str) -> String {
    let meant = match unit.to_ascii_lowercase().trim_end_matches("ib").trim_end_matches('b') {
        "k" => "KiB",
        "m" => "MiB",
        "g" => "GiB",
        "t" => "TiB",
        _ => "",
    };
    if number.is_empty() || meant.is_empty() {
        return format!("`{text}` is no size; write it as 512MiB, 1.5GiB, 500MB or in plain bytes");
    }
    format!(
        "`{unit}` is no unit of size; write {number}{meant}, or {number}{} for powers of ten",
        meant.replace('i', "")
    )
}

/// `15m`, `90s`, `1h30m`: hours, minutes and seconds in this order, each at most once.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("`{text}` is no time; write it as 90s, 15m or 1h30m");
    if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) {
        return Err(format!("`{text}` has no unit; write {text}s for seconds or {text}m for minutes"));
    }
    let mut seconds: u64 = 0;
    let mut rest = text;
    for (unit, factor) in [('d', 86_400), ('h', 3600), ('m', 60), ('s', 1)] {
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        if digits > 0 && rest[digits..].starts_with(unit) {
            let number: u64 = rest[..digits].parse().map_err(|_| wrong())?;
            seconds = number.checked_mul(factor).and_then(|n| n.checked_add(seconds)).ok_or_else(wrong)?;
            rest = &rest[digits + 1..];
        }
    }
    if !rest.is_empty() || text.is_empty() {
        return Err(wrong());
    }
    Ok(Duration::from_secs(seconds))
}

/// `1.5` processors, as thousandths.
pub(super) fn processors(text: &str) -> Result<u64, String> {
    let decimals = text.split_once('.').map_or(0, |(_, after)| after.len());
    thousandths(text)
        .filter(|_| decimals <= 3)
        .and_then(|n| u64::try_from(n).ok())
        .ok_or_else(|| format!("`{text}` is no number of processors; write it as 2 or 1.5 (down to thousandths)"))
}

/// A decimal number without sign, times 1000; digits past the third are cut.
fn thousandths(text: &str) -> Option<u128> {
    let (whole, part) = text.split_once('.').unwrap_or((text, "0"));
    let digits = |s: &str| !s.is_empty() && s.len() <= 20 && s.bytes().all(|b| b.is_ascii_digit());
    if !digits(whole) || !digits(part) {
        return None;
    }
    let part: String = part.chars().chain("000".chars()).take(3).collect();
    Some(whole.parse::<u128>().ok()? * 1000 + part.parse::<u128>().ok()?)
}

/// A time as it would be written: `1h30m`.
pub fn show_duration(time: Duration) -> String {
    let seconds = time.as_secs();
    let parts = [(seconds / 3600, "h"), (seconds / 60 % 60, "m"), (seconds % 60, "s")];
    let text: String = parts.iter().filter(|(n, _)| *n > 0).map(|(n, unit)| format!("{n}{unit}")).collect();
    if text.is_empty() { "0s".to_string() } else { text }
}

/// A size as it would be written: the largest binary unit that leaves a whole number, or plain bytes.
pub fn show_bytes(bytes: u64) -> String {
    for (unit, factor) in SIZES.iter().rev().take(4) {
        if bytes > 0 && bytes.is_multiple_of(*factor) {
            return format!("{}{unit}", bytes / factor);
        }
    }
    bytes.to_string()
}

/// Thousandths of a processor as a decimal number.
pub fn show_processors(thousandths: u64) -> String {
    let text = format!("{}.{:03}", thousandths / 1000, thousandths % 1000);
    text.trim_end_matches('0').trim_end_matches('.').to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn sizes() {
        for (text, value) in [
            ("512MiB", 512 << 20),
            ("1GiB", 1 << 30),
            ("500MB", 500_000_000),
            ("1.5GiB", 3 << 29),
            ("4096", 4096),
            ("64 KiB", 65536),
            ("3B", 3),
        ] {
            assert_eq!(bytes(text), Ok(value), "{text}");
        }
        for text in ["", "MiB", "-1", "1.5", "1..5MiB", "0x10", "1e9", "9999999999999TiB", "5 apples", "１MiB", "NaN"]
        {
            assert!(bytes(text).is_err(), "{text}");
        }
        assert_eq!(bytes("512M").unwrap_err(), "`M` is no unit of size; write 512MiB, or 512MB for powers of ten");
        assert_eq!(bytes("2gib").unwrap_err(), "`gib` is no unit of size; write 2GiB, or 2GB for powers of ten");
    }

    #[test]
    fn times() {
        for (text, seconds) in [("15m", 900), ("90s", 90), ("1h30m", 5400), ("1d", 86400), ("1h1s", 3601), ("0s", 0)] {
            assert_eq!(duration(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        for text in [
            "",
            "m",
            "15",
            "30m1h",
            "1h1h",
            "-5m",
            "1.5h",
            "15 m",
            "15min",
            "99999999999999999999s",
            "18446744073709551615h",
        ] {
            assert!(duration(text).is_err(), "{text}");
        }
        assert_eq!(duration("15").unwrap_err(), "`15` has no unit; write 15s for seconds or 15m for minutes");
    }

    #[test]
    fn shares_of_processors() {
        assert_eq!(processors("1.5"), Ok(1500));
        assert_eq!(processors("2"), Ok(2000));
        assert_eq!(processors("0.001"), Ok(1));
        for text in ["", ".5", "1.", "1.0001", "-1", "two", "inf"] {
            assert!(processors(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_shown_reads_back(size in 1u64.., seconds in 0u64..1_000_000, share in 0u64..2_000_000) {
            prop_assert_eq!(bytes(&show_bytes(size)), Ok(size));
            prop_assert_eq!(duration(&show_duration(Duration::from_secs(seconds))), Ok(Duration::from_secs(seconds)));
            prop_assert_eq!(processors(&show_processors(share)), Ok(share));
        }

        #[test]
        fn no_text_panics(text in "\\PC{0,24}") {
            let _ = (bytes(&text), duration(&text), processors(&text));
        }
    }
}
