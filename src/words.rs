//! Figures and foreign text, as a person wants to read them.

use crate::host::streams;
use std::fmt::Write as _;
use std::io::Write as _;
use std::time::{Duration, Instant};

/// A length of time in two units at most: `250ms`, `1.5s`, `2m5s`, `1h30m`, `3d4h`.
pub(crate) fn took(ms: u64) -> String {
    let two = |big: u64, small: u64, names: [&str; 2]| match small {
        0 => format!("{big}{}", names[0]),
        _ => format!("{big}{}{small}{}", names[0], names[1]),
    };
    let seconds = ms / 1000;
    match seconds {
        0 => format!("{ms}ms"),
        1..60 if ms % 1000 < 100 => format!("{seconds}s"),
        1..60 => format!("{seconds}.{}s", ms % 1000 / 100),
        60..3600 => two(seconds / 60, seconds % 60, ["m", "s"]),
        3600..86400 => two(seconds / 3600, seconds / 60 % 60, ["h", "m"]),
        _ => two(seconds / 86400, seconds / 3600 % 24, ["d", "h"]),
    }
}

/// How long ago something was, in one unit: `just now`, `45s ago`, `3h ago`.
pub(crate) fn ago(ms: u64) -> String {
    let seconds = ms / 1000;
    match seconds {
        0 => "just now".to_owned(),
        1..60 => format!("{seconds}s ago"),
        60..3600 => format!("{}m ago", seconds / 60),
        3600..86400 => format!("{}h ago", seconds / 3600),
        _ => format!("{}d ago", seconds / 86400),
    }
}

/// A moment of the record (RFC 3339), seen from now.
pub(crate) fn since(time: &str) -> Option<String> {
    let ms = elapsed(time)?;
    Some(if ms < 0 { "in the future".to_owned() } else { ago(u64::try_from(ms).ok()?) })
}

/// A moment of the record (RFC 3339) in milliseconds since 1970.
#[cfg(feature = "ui")]
pub(crate) fn moment(time: &str) -> Option<u64> {
    let then: jiff::Timestamp = time.parse().ok()?;
    u64::try_from(then.as_millisecond()).ok()
}

/// Milliseconds since a moment of the record (RFC 3339); none for one that is still to come.
pub(crate) fn age(time: &str) -> Option<u64> {
    u64::try_from(elapsed(time)?).ok()
}

fn elapsed(time: &str) -> Option<i128> {
    let then: jiff::Timestamp = time.parse().ok()?;
    Some(jiff::Timestamp::now().duration_since(then).as_millis())
}

/// A size: `17 B`, `1.5 KiB`, `512 MiB`.
pub(crate) fn size(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let power = (bytes.ilog2() / 10) as usize;
    let whole = bytes >> (10 * power);
    let tenths = (bytes >> (10 * (power - 1))) % 1024 * 10 / 1024;
    // A tenth says something beside a small number only.
    match tenths {
        1.. if whole < 10 => format!("{whole}.{tenths} {}", UNITS[power - 1]),
        _ => format!("{whole} {}", UNITS[power - 1]),
    }
}

/// `1 file`, `2 files`.
pub(crate) fn count(number: usize, one: &str) -> String {
    if number == 1 { format!("1 {one}") } else { format!("{number} {one}s") }
}

/// The name of a signal, where it has one that people know.
pub(crate) fn signal(number: i32) -> String {
    streams::signal_name(number).map_or_else(|| format!("signal {number}"), str::to_owned)
}

/// A command line as a shell would take it.
pub(crate) fn command_line(argv: &[String]) -> String {
    argv.iter().map(|arg| quoted(arg)).collect::<Vec<_>>().join(" ")
}

fn quoted(arg: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "-_./=:,@%+".contains(c);
    if !arg.is_empty() && arg.chars().all(plain) { arg.to_owned() } else { format!("'{}'", arg.replace('\'', r"'\''")) }
}

/// Text of strangers on one line of a terminal: what could steer it is shown as an escape.
pub(crate) fn inert(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    text.chars().for_each(|c| put(c, &mut shown));
    shown
}

fn put(c: char, shown: &mut String) {
    let _ = match c {
        '\n' => shown.write_str("\\n"),
        '\t' => shown.write_str("\\t"),
        '\r' => shown.write_str("\\r"),
        c if c.is_ascii_control() => write!(shown, "\\x{:02x}", c as u32),
        c if steers(c) => write!(shown, "\\u{{{:x}}}", c as u32),
        c => shown.write_char(c),
    };
}

/// C1 controls, and marks that turn the direction of text or take no room.
fn steers(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{ad}'
                | '\u{61c}'
                | '\u{180e}'
                | '\u{200b}'..='\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}'
                | '\u{feff}'
                | '\u{fff9}'..='\u{fffb}'
                | '\u{e0000}'..='\u{e007f}'
        )
}

/// The same for a stream of bytes, in pieces as they come; line ends and tabs stay.
#[derive(Default)]
pub(crate) struct Inert {
    /// The beginning of a character whose rest has not come yet.
    pending: Vec<u8>,
}

impl Inert {
    pub(crate) fn push(&mut self, bytes: &[u8], shown: &mut String) {
        self.pending.extend_from_slice(bytes);
        let bytes = std::mem::take(&mut self.pending);
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            let (text, bad) = match std::str::from_utf8(rest) {
                Ok(text) => (text, 0),
                Err(e) => {
                    let (good, after) = rest.split_at(e.valid_up_to());
                    let Some(bad) = e.error_len() else {
                        put_lines(&String::from_utf8_lossy(good), shown);
                        self.pending = after.to_vec();
                        return;
                    };
                    // The good part is text: from_utf8 has said so.
                    (std::str::from_utf8(good).unwrap_or_default(), bad)
                }
            };
            put_lines(text, shown);
            rest = &rest[text.len()..];
            put_bytes(&rest[..bad], shown);
            rest = &rest[bad..];
        }
    }

    /// What will not be completed any more.
    pub(crate) fn finish(&mut self, shown: &mut String) {
        put_bytes(&std::mem::take(&mut self.pending), shown);
    }
}

fn put_lines(text: &str, shown: &mut String) {
    for c in text.chars() {
        if matches!(c, '\n' | '\t') { shown.push(c) } else { put(c, shown) }
    }
}

fn put_bytes(bytes: &[u8], shown: &mut String) {
    for byte in bytes {
        let _ = write!(shown, "\\x{byte:02x}");
    }
}

/// Nobody who does not read what is said holds this program up for longer.
const LISTENING: Duration = Duration::from_secs(10);

/// What there is instead: `there is a`, `there are a, b`.
pub(crate) fn there(names: &[String]) -> String {
    format!("there {} {}", if names.len() == 1 { "is" } else { "are" }, names.join(", "))
}

/// A word to the person, on standard error.
pub(crate) fn say(what: &str) {
    if streams::stderr_hears(Instant::now() + LISTENING) {
        let _ = writeln!(anstream::stderr(), "aido: {what}");
    }
}

/// A document on standard output, as far as somebody takes it.
pub(crate) fn print(text: &str) {
    // So much a pipe takes without blocking when it takes anything.
    for piece in text.as_bytes().chunks(4096) {
        let mut stdout = std::io::stdout();
        if !streams::stdout_hears(Instant::now() + LISTENING) || stdout.write_all(piece).is_err() {
            return;
        }
        let _ = stdout.flush();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn lengths_of_time() {
        for (ms, text) in [
            (0, "0ms"),
            (999, "999ms"),
            (1000, "1s"),
            (1500, "1.5s"),
            (1999, "1.9s"),
            (59_999, "59.9s"),
            (60_000, "1m"),
            (125_000, "2m5s"),
            (900_000, "15m"),
            (5_400_000, "1h30m"),
            (273_600_000, "3d4h"),
        ] {
            assert_eq!(took(ms), text);
        }
        assert_eq!((ago(999), ago(59_000), ago(7_200_000)), ("just now".into(), "59s ago".into(), "2h ago".into()));
        assert_eq!(since("2999-01-01T00:00:00Z").as_deref(), Some("in the future"));
        assert!(since("2000-01-01T00:00:00.000000Z").unwrap().ends_with("d ago"));
        assert_eq!(since("yesterday"), None);
    }

    #[test]
    fn sizes() {
        for (bytes, text) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1 KiB"),
            (1536, "1.5 KiB"),
            (10 << 10, "10 KiB"),
            (512 << 20, "512 MiB"),
            ((1 << 30) - 1, "1023 MiB"),
            (1 << 30, "1 GiB"),
            (u64::MAX, "15 EiB"),
        ] {
            assert_eq!(size(bytes), text);
        }
        assert_eq!((count(1, "file"), count(0, "file")), ("1 file".into(), "0 files".into()));
    }

    #[test]
    fn signals_and_command_lines() {
        assert_eq!((signal(9), signal(64)), ("SIGKILL".into(), "signal 64".into()));
        let argv = ["python3", "-c", "print('hi there')", ""].map(String::from);
        assert_eq!(command_line(&argv), r"python3 -c 'print('\''hi there'\'')' ''");
    }

    #[test]
    fn what_would_steer_a_terminal_is_shown() {
        assert_eq!(inert("a\u{1b}[2J\u{9b}x\u{202e}\n"), r"a\x1b[2J\u{9b}x\u{202e}\n");
        let mut shown = String::new();
        let mut stream = Inert::default();
        stream.push(b"tab\tline\n\x1b]0;title\x07\r\x9b\xff\xc3", &mut shown);
        stream.push(b"\xa9\xe2\x82", &mut shown);
        stream.finish(&mut shown);
        assert_eq!(shown, "tab\tline\n\\x1b]0;title\\x07\\r\\x9b\\xffé\\xe2\\x82");
    }

    proptest! {
        #[test]
        fn no_control_passes_however_the_stream_is_cut(bytes in prop::collection::vec(any::<u8>(), 0..200), cut: usize) {
            let cut = cut % (bytes.len() + 1);
            let (mut whole, mut parts) = (String::new(), String::new());
            let mut one = Inert::default();
            one.push(&bytes, &mut whole);
            one.finish(&mut whole);
            let mut two = Inert::default();
            two.push(&bytes[..cut], &mut parts);
            two.push(&bytes[cut..], &mut parts);
            two.finish(&mut parts);
            prop_assert_eq!(&whole, &parts);
            prop_assert!(!whole.chars().any(|c| steers(c) && c != '\n' && c != '\t'));
        }

        #[test]
        fn harmless_text_is_untouched(text in "[a-zA-Z0-9 äöü€]{0,50}") {
            prop_assert_eq!(inert(&text), text);
        }
    }
}
