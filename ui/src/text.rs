//! Text of strangers as cells: every character that is drawn takes one or two of them, and does nothing else.

use ratatui_core::buffer::Buffer;
use ratatui_core::style::{Color, Modifier, Style};
use std::fmt::Write as _;
use unicode_width::UnicodeWidthChar;

/// Columns between the stops of a tabulator.
const TAB: usize = 8;

/// Text in one style.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) text: String,
    pub(crate) style: Style,
}

/// One row of cells.
pub(crate) type Row = Vec<Span>;

/// A row in one style.
pub(crate) fn row(text: impl Into<String>, style: Style) -> Row {
    vec![Span { text: text.into(), style }]
}

/// The text of a row without its styles.
pub(crate) fn plain(row: &[Span]) -> String {
    row.iter().map(|span| span.text.as_str()).collect()
}

/// Bytes as text that does nothing to a terminal: what is no text, no width or no letter is shown as an escape.
pub(crate) fn inert(bytes: &[u8]) -> String {
    let mut shown = String::with_capacity(bytes.len());
    let mut column = 0;
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            let from = shown.len();
            put_char(c, column, &mut shown);
            column += width(&shown[from..]);
        }
        for byte in chunk.invalid() {
            let _ = write!(shown, "\\x{byte:02x}");
            column += 4;
        }
    }
    shown
}

/// The same of text.
pub(crate) fn clean(text: &str) -> String {
    inert(text.as_bytes())
}

fn put_char(c: char, column: usize, shown: &mut String) {
    let _ = match c {
        '\t' => shown.write_str(&" ".repeat(TAB - column % TAB)),
        '\n' => shown.write_str("\\n"),
        '\r' => shown.write_str("\\r"),
        c if c.is_ascii_control() => write!(shown, "\\x{:02x}", c as u32),
        c if !is_shown(c) => write!(shown, "\\u{{{:x}}}", c as u32),
        c => shown.write_char(c),
    };
}

/// Whether a character takes cells and does nothing else. Marks that join the character before them take none: how wide
/// the two are is answered by each terminal in its own way. So are they shown by their numbers, and with them the
/// controls of direction, joiners, selectors and tags.
fn is_shown(c: char) -> bool {
    let private = matches!(c, '\u{e000}'..='\u{f8ff}' | '\u{f0000}'..='\u{10ffff}');
    !c.is_control() && !private && c != '\u{ad}' && c.width().is_some_and(|width| width > 0)
}

/// Cells of a text that was made inert.
pub(crate) fn width(text: &str) -> usize {
    text.chars().map(|c| c.width().unwrap_or(0)).sum()
}

/// A text in at most so many cells; an ellipsis says that there is more.
pub(crate) fn fit(text: &str, room: usize) -> String {
    if width(text) <= room {
        return text.to_owned();
    }
    let (mut shown, mut used) = (String::new(), 0);
    for c in text.chars() {
        used += c.width().unwrap_or(0);
        if used + 1 > room {
            break;
        }
        shown.push(c);
    }
    if room > 0 {
        shown.push('…');
    }
    shown
}

/// Draws a row from its cell `left` on into at most `room` cells; how many it took.
pub(crate) fn put(buffer: &mut Buffer, at: (u16, u16), left: usize, room: u16, row: &[Span]) -> u16 {
    let (mut passed, mut used) = (0usize, 0u16);
    for span in row {
        for c in span.text.chars() {
            // Nothing but what `inert` lets through gets here; if it did, it would be this.
            let c = if is_shown(c) { c } else { '\u{fffd}' };
            let wide = c.width().unwrap_or(1);
            if passed < left {
                passed += wide;
                // The half of a wide character that would still be seen.
                if passed > left && used < room {
                    used += 1;
                }
                continue;
            }
            let cells = u16::try_from(wide).unwrap_or(1);
            if used + cells > room {
                return used;
            }
            let Some(cell) = buffer.cell_mut((at.0 + used, at.1)) else { return used };
            cell.set_char(c).set_style(span.style);
            if let Some(covered) = (cells == 2).then(|| buffer.cell_mut((at.0 + used + 1, at.1))).flatten() {
                covered.set_char(' ').set_style(span.style);
            }
            used += cells;
        }
    }
    used
}

/// The rows of a page whose escapes are our own colours; any other escape is shown.
pub(crate) fn page(text: &str) -> Vec<Row> {
    let mut style = Style::new();
    text.lines().map(|line| colours(line, &mut style)).collect()
}

fn colours(line: &str, style: &mut Style) -> Row {
    let mut row = Vec::new();
    let mut rest = line;
    while let Some(at) = rest.find("\u{1b}[") {
        let codes = &rest[at + 2..];
        let length = codes.bytes().take_while(|b| b.is_ascii_digit() || *b == b';').count();
        let Some(after) = codes[length..].strip_prefix('m') else {
            let (text, tail) = rest.split_at(at + 2);
            push(&mut row, text, *style);
            rest = tail;
            continue;
        };
        push(&mut row, &rest[..at], *style);
        codes[..length].split(';').for_each(|code| *style = changed(*style, code));
        rest = after;
    }
    push(&mut row, rest, *style);
    row
}

fn push(row: &mut Row, text: &str, style: Style) {
    if !text.is_empty() {
        row.push(Span { text: clean(text), style });
    }
}

fn changed(style: Style, code: &str) -> Style {
    match code.parse().unwrap_or(0u8) {
        0 => Style::new(),
        1 => style.add_modifier(Modifier::BOLD),
        2 => style.add_modifier(Modifier::DIM),
        22 => Style { add_modifier: style.add_modifier - (Modifier::BOLD | Modifier::DIM), ..style },
        31 => style.fg(Color::Red),
        32 => style.fg(Color::Green),
        33 => style.fg(Color::Yellow),
        34 => style.fg(Color::Blue),
        35 => style.fg(Color::Magenta),
        36 => style.fg(Color::Cyan),
        39 => Style { fg: None, ..style },
        _ => style,
    }
}

/// A row in lines of so many cells, cut between words where it can be; what goes over stands below its own beginning.
pub(crate) fn wrapped(row: &Row, room: usize) -> Vec<Row> {
    let room = room.max(8);
    let text = plain(row);
    if width(&text) <= room {
        return vec![row.clone()];
    }
    let indent = indent(&text).min(room / 3);
    let mut lines: Vec<Row> = vec![Row::new()];
    let (mut used, mut begun) = (0, false);
    for span in row {
        for word in span.text.split_inclusive(' ') {
            let long = width(word.trim_end());
            if begun && used + long > room {
                lines.push(crate::text::row(" ".repeat(indent), Style::new()));
                used = indent;
            }
            for c in word.chars() {
                let wide = c.width().unwrap_or(0);
                if used + wide > room && c == ' ' {
                    continue;
                }
                if used + wide > room {
                    lines.push(crate::text::row(" ".repeat(indent), Style::new()));
                    used = indent;
                }
                used += wide;
                append(&mut lines, c, span.style);
            }
            begun |= !word.trim().is_empty();
        }
    }
    lines
}

fn append(lines: &mut [Row], c: char, style: Style) {
    let Some(line) = lines.last_mut() else { return };
    match line.last_mut().filter(|last| last.style == style) {
        Some(last) => last.text.push(c),
        None => line.push(Span { text: c.to_string(), style }),
    }
}

/// Where the text of a line begins: after its label, or after the spaces in front of it.
fn indent(text: &str) -> usize {
    let label = text.trim_start();
    let front = text.len() - label.len();
    let value = label.find("  ").map(|gap| gap + (label[gap..].len() - label[gap..].trim_start().len()));
    front + value.filter(|value| *value <= 24).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use ratatui_core::layout::Rect;

    #[test]
    fn what_would_steer_a_terminal_is_shown() {
        let hostile = b"a\x1b[2J\x07\r\xff\xc2\x9bx\xe2\x80\xaey\xcc\x81\tz";
        assert_eq!(inert(hostile), "a\\x1b[2J\\x07\\r\\xff\\u{9b}x\\u{202e}y\\u{301}       z");
        assert_eq!(clean("ä€漢😀"), "ä€漢😀");
        assert_eq!(clean("a\tb"), "a       b");
    }

    #[test]
    fn rows_are_cut_at_cells() {
        assert_eq!(
            (fit("漢字漢字", 8), fit("漢字漢字", 7), fit("abc", 0)),
            ("漢字漢字".into(), "漢字漢…".into(), "".into())
        );
        let mut buffer = Buffer::empty(Rect::new(0, 0, 6, 1));
        assert_eq!(put(&mut buffer, (0, 0), 1, 5, &row("漢字漢字", Style::new())), 5);
        let shown: Vec<&str> = (0..6).map(|x| buffer[(x, 0)].symbol()).collect();
        assert_eq!(shown, [" ", "字", " ", "漢", " ", " "]);
        // The wide one that is cut in half at the end is not drawn.
        let mut buffer = Buffer::empty(Rect::new(0, 0, 3, 1));
        assert_eq!(put(&mut buffer, (0, 0), 0, 3, &row("漢字", Style::new())), 2);
    }

    #[test]
    fn pages_keep_our_colours_and_no_other_escape() {
        let rows = page("\u{1b}[1mRun\u{1b}[0m x\u{1b}[32mgood\u{1b}[39m \u{1b}[2Kz\nnext");
        assert_eq!(plain(&rows[0]), "Run xgood \\x1b[2Kz");
        assert_eq!(rows[0][0].style, Style::new().add_modifier(Modifier::BOLD));
        assert_eq!(rows[0][2].style.fg, Some(Color::Green));
        assert_eq!((rows.len(), plain(&rows[1])), (2, "next".to_owned()));
    }

    #[test]
    fn long_lines_of_pages_stand_below_their_beginning() {
        let rows = wrapped(&row("  used       one two three four", Style::new()), 24);
        let lines: Vec<String> = rows.iter().map(|row| plain(row)).collect();
        assert_eq!(lines, ["  used       one two ", "        three four"]);
        let rows = wrapped(&row("x".repeat(50), Style::new()), 20);
        assert_eq!(rows.iter().map(|row| plain(row).len()).collect::<Vec<_>>(), [20, 20, 10]);
    }

    proptest! {
        #[test]
        fn whatever_the_bytes_are_cells_are_plain(bytes in prop::collection::vec(any::<u8>(), 0..300), left in 0usize..40) {
            let text = inert(&bytes);
            prop_assert!(text.chars().all(is_shown), "{text:?}");
            let mut buffer = Buffer::empty(Rect::new(0, 0, 20, 1));
            prop_assert!(put(&mut buffer, (0, 0), left, 20, &row(text, Style::new())) <= 20);
        }

        #[test]
        fn any_text_is_drawn_in_its_room(text in "\\PC{0,60}", room in 0u16..30) {
            let mut buffer = Buffer::empty(Rect::new(0, 0, 40, 1));
            put(&mut buffer, (0, 0), 0, room, &row(text.clone(), Style::new()));
            for x in room..40 {
                prop_assert_eq!(buffer[(x, 0)].symbol(), " ");
            }
            prop_assert!(width(&fit(&clean(&text), room as usize)) <= room as usize);
            let lines = wrapped(&row(clean(&text), Style::new()), room as usize);
            prop_assert!(lines.iter().all(|line| width(&plain(line)) <= (room as usize).max(8)));
        }
    }
}
