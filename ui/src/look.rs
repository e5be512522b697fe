//! How rows of files are shown: as text, as a patch, as a record, as bytes.

use crate::text::{self, Row, Span, inert, row};
use ratatui_core::style::{Color, Modifier, Style};
use std::fmt::Write as _;

/// The longest row of a file: more is on the next.
pub(crate) const LONGEST: usize = 2048;

/// How the rows of a file are shown.
#[derive(Clone, Copy)]
pub(crate) enum Look {
    Plain,
    /// Both streams: what stands out has a sign before it, and a colour.
    Both,
    /// A patch, in colours.
    Diff,
    /// A record, in these words.
    Record(fn(&[u8]) -> String),
}

/// Before a row that stands out; before the others there is as much room.
pub(crate) const SIGN: &str = "! ";

fn standing_out() -> Style {
    Style::new().fg(Color::Red)
}

pub(crate) fn sign(row: &mut Row) {
    let stands_out = row.first().is_some_and(|span| span.style.fg == standing_out().fg);
    let text = if stands_out { SIGN.to_owned() } else { " ".repeat(SIGN.len()) };
    row.insert(0, Span { text, style: standing_out() });
}

pub(crate) fn shown(line: &[u8], goes_on: bool, look: Look, stands_out: bool) -> Row {
    let mut shown = match look {
        Look::Record(words) => record(&words(line)),
        Look::Both if stands_out => row(inert(line), standing_out()),
        Look::Both | Look::Plain => row(inert(line), Style::new()),
        Look::Diff => row(inert(line), of_patch(line)),
    };
    // The end of a file without a newline is no such row: it is shorter.
    if goes_on && line.len() + 4 > LONGEST && !matches!(look, Look::Record(_)) {
        shown.push(Span { text: "»".to_owned(), style: Style::new().add_modifier(Modifier::DIM) });
    }
    shown
}

fn of_patch(line: &[u8]) -> Style {
    match line {
        [b'+', b'+', b'+', b' ', ..] | [b'-', b'-', b'-', b' ', ..] => Style::new().add_modifier(Modifier::BOLD),
        [b'd', b'i', b'f', b'f', b' ', ..] => Style::new().add_modifier(Modifier::BOLD),
        [b'@', b'@', ..] => Style::new().fg(Color::Cyan),
        [b'+', ..] => Style::new().fg(Color::Green),
        [b'-', ..] => Style::new().fg(Color::Red),
        _ => Style::new(),
    }
}

/// `TIME  TYPE  words`: the time is only beside the matter, and what was refused stands out.
fn record(words: &str) -> Row {
    let words = text::clean(words);
    let Some((time, rest)) = words.split_once("  ").filter(|(time, _)| time.len() >= 20 && time.ends_with('Z')) else {
        return row(words, Style::new());
    };
    // The day is said at the top of the story.
    let time = time.get(11..23).unwrap_or(time).to_owned();
    let (kind, told) = rest.split_at(rest.find(' ').unwrap_or(rest.len()));
    let colour = match kind {
        "refused" | "limit_hit" | "denied" | "torn" => Style::new().fg(Color::Red),
        "checkpoint" | "key" | "sealed" => Style::new().fg(Color::Blue),
        _ => Style::new().fg(Color::Cyan),
    };
    let span = |text: String, style| Span { text, style };
    vec![
        span(format!("{time}  "), Style::new().add_modifier(Modifier::DIM)),
        span(kind.to_owned(), colour),
        span(told.to_owned(), Style::new()),
    ]
}

pub(crate) fn hex(at: u64, bytes: &[u8]) -> Row {
    let (mut digits, mut letters) = (String::new(), String::new());
    for (n, byte) in bytes.iter().enumerate() {
        let gap = if n == 8 { " " } else { "" };
        let _ = write!(digits, "{gap}{byte:02x} ");
        letters.push(if byte.is_ascii_graphic() || *byte == b' ' { *byte as char } else { '.' });
    }
    vec![
        Span { text: format!("{at:08x}  "), style: Style::new().add_modifier(Modifier::DIM) },
        Span { text: format!("{digits:<49} "), style: Style::new() },
        Span { text: letters, style: Style::new().fg(Color::Cyan) },
    ]
}
