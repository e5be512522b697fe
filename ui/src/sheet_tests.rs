use super::*;
use crate::text::row;
use ratatui_core::style::Color;
use std::fmt::Write as _;

fn texts(sheet: &Sheet) -> Vec<String> {
    sheet.shown.iter().map(|row| plain(row)).collect()
}

fn file(bytes: &[u8], follow: bool) -> Sheet {
    Sheet::file(Box::new(bytes.to_vec()), Look::Plain, follow)
}

fn numbered(lines: usize) -> Vec<u8> {
    (0..lines)
        .fold(String::new(), |mut all, n| {
            let _ = writeln!(all, "line {n}");
            all
        })
        .into_bytes()
}

fn until_found(sheet: &mut Sheet) -> Option<String> {
    let mut said = None;
    while sheet.find.as_ref().unwrap().seek.is_some() {
        said = sheet.work();
    }
    sheet.lay_out(sheet.size);
    said
}

#[test]
fn the_end_is_followed_until_somebody_scrolls() {
    let mut sheet = file(&numbered(1000), true);
    sheet.lay_out((40, 3));
    assert_eq!(texts(&sheet), ["line 997", "line 998", "line 999"]);
    sheet.scroll(-10);
    sheet.lay_out((40, 3));
    assert_eq!((texts(&sheet)[0].as_str(), sheet.is_following()), ("line 987", false));
    assert_eq!(sheet.place(), (988, 990, 1000));
    sheet.go_to_end();
    sheet.lay_out((40, 5));
    assert_eq!((texts(&sheet)[0].as_str(), sheet.is_following()), ("line 995", true));
    sheet.go_to_top();
    sheet.scroll_page(1);
    sheet.lay_out((40, 5));
    assert_eq!(texts(&sheet)[0], "line 4");
    sheet.scroll(i64::MAX);
    sheet.lay_out((40, 5));
    assert_eq!(texts(&sheet)[4], "line 999");
}

#[test]
fn a_line_of_ten_million_bytes_is_many_rows() {
    let mut bytes = vec![b'x'; 10 << 20];
    bytes.extend_from_slice(b"\nafter\n");
    let mut sheet = file(&bytes, true);
    let began = std::time::Instant::now();
    while sheet.unfinished {
        sheet.lay_out((80, 24));
    }
    sheet.lay_out((80, 24));
    // Generous: what would go through a line for each row would take minutes.
    assert!(began.elapsed().as_secs() < 5, "{:?}", began.elapsed());
    assert_eq!(texts(&sheet)[23], "after");
    assert!(texts(&sheet)[0].len() <= LONGEST + 4 && texts(&sheet)[0].ends_with('»'), "{:?}", texts(&sheet)[0]);
}

#[test]
fn what_is_searched_is_found_marked_and_come_back_to() {
    let mut sheet = file(&numbered(1000), false);
    sheet.lay_out((40, 10));
    sheet.search(Needle::new("LINE 5"));
    assert_eq!(until_found(&mut sheet), Some("not found: LINE 5".into()));
    sheet.search(Needle::new("line 50"));
    assert_eq!(until_found(&mut sheet), None);
    assert!(texts(&sheet).contains(&"line 50".to_owned()));
    assert!(sheet.search_on(false));
    until_found(&mut sheet);
    assert!(texts(&sheet).contains(&"line 500".to_owned()), "{:?}", texts(&sheet));
    let row = &sheet.shown[texts(&sheet).iter().position(|text| text == "line 500").unwrap()];
    assert!(row[0].style.add_modifier.contains(Modifier::REVERSED | Modifier::BOLD) && row[0].text == "line 50");
    assert!(sheet.search_on(true));
    until_found(&mut sheet);
    assert!(texts(&sheet).contains(&"line 50".to_owned()));
    assert!(sheet.search_on(true));
    assert_eq!(until_found(&mut sheet), Some("went on at the other end".into()));
    assert!(texts(&sheet).contains(&"line 509".to_owned()), "{:?}", texts(&sheet));
}

#[test]
fn what_is_found_far_to_the_right_is_brought_into_sight() {
    let mut sheet = file(format!("{}needle\n", "x".repeat(500)).as_bytes(), false);
    sheet.lay_out((40, 10));
    sheet.search(Needle::new("needle"));
    until_found(&mut sheet);
    assert!(sheet.left() > 460 && sheet.left() <= 500, "{}", sheet.left());
}

#[test]
fn pages_are_wrapped_and_searched_by_rows() {
    let mut sheet = Sheet::page(vec![row("one two three four five", Style::new()), row("six", Style::new())]);
    sheet.lay_out((10, 5));
    assert_eq!(texts(&sheet), ["one two ", "three four", "five", "six"]);
    sheet.search(Needle::new("FIVE"));
    assert!(until_found(&mut sheet).unwrap().contains("not found"));
    sheet.search(Needle::new("five"));
    assert_eq!(until_found(&mut sheet), None);
    assert_eq!(sheet.find.as_ref().unwrap().hit, Some((2, 2)));
    sheet.lay_out((80, 5));
    assert_eq!(texts(&sheet).len(), 2);
    assert!(!sheet.turn_hex());
}

#[test]
fn bytes_are_shown_as_such() {
    let mut sheet = file(b"\x7fELF\x00\x01 hello, world", false);
    assert!(sheet.is_binary());
    assert!(sheet.turn_hex());
    sheet.lay_out((80, 5));
    let first = "00000000  7f 45 4c 46 00 01 20 68  65 6c 6c 6f 2c 20 77 6f  .ELF.. hello, wo";
    assert_eq!(texts(&sheet)[0], first);
    assert_eq!(texts(&sheet).len(), 2);
    assert!(sheet.turn_hex() && !sheet.is_hex());
}

#[test]
fn patches_have_colours_and_records_have_words() {
    let mut sheet = Sheet::file(Box::new(b"--- a\n+++ b\n@@ -1 +1 @@\n-x\n+y\x1b[2J\n".to_vec()), Look::Diff, false);
    sheet.lay_out((80, 9));
    let colours: Vec<_> = sheet.shown.iter().map(|row| row[0].style.fg).collect();
    assert_eq!(colours, [None, None, Some(Color::Cyan), Some(Color::Red), Some(Color::Green)]);
    assert_eq!(texts(&sheet)[4], "+y\\x1b[2J");
    let words =
        |line: &[u8]| format!("2025-01-02T03:04:05.123456Z  refused  {}\u{202e}", String::from_utf8_lossy(line));
    let mut sheet = Sheet::file(Box::new(b"open\n".to_vec()), Look::Record(words), false);
    sheet.lay_out((80, 9));
    assert_eq!(texts(&sheet), ["03:04:05.123  refused  open\\u{202e}"]);
    assert_eq!(sheet.shown[0][1].style.fg, Some(Color::Red));
}
