//! Something to read: a page, a growing file, or the bytes of one. Only what is shown of it is read.

use crate::bytes::{Bytes, piece};
use crate::find::{Needle, Seek, Step};
pub(crate) use crate::look::Look;
use crate::look::{LONGEST, SIGN, hex, shown, sign};
use crate::rows::Rows;
use crate::text::{self, Row, Span, plain, wrapped};
use ratatui_core::style::{Modifier, Style};

/// The same of a record, whose rows are put into words whole.
const LONGEST_RECORD: usize = 120 * 1024;
/// Bytes of a file whose rows are counted at once.
const BUDGET: usize = 8 << 20;
/// Bytes in a row of hexadecimal.
const HEX: u64 = 16;

enum Source {
    /// As it came, and cut to this width.
    Page(Vec<Row>, Vec<Row>, u16),
    File(Box<dyn Bytes>, Rows, Look),
}

/// A search, and what has become of it.
struct Find {
    needle: Needle,
    seek: Option<Seek>,
    /// The row of the last that was found, and its byte.
    hit: Option<(u64, u64)>,
}

pub(crate) struct Sheet {
    source: Source,
    /// A file byte by byte.
    hex: bool,
    top: u64,
    left: usize,
    /// The end stays in sight while it grows.
    follow: bool,
    find: Option<Find>,
    /// More rows are still to be found.
    unfinished: bool,
    size: (u16, u16),
    /// What is shown now.
    pub(crate) shown: Vec<Row>,
}

impl Sheet {
    pub(crate) fn page(rows: Vec<Row>) -> Sheet {
        Sheet::of(Source::Page(rows, Vec::new(), 0), false)
    }

    /// `follow`: begins at its end, and stays there.
    pub(crate) fn file(bytes: Box<dyn Bytes>, look: Look, follow: bool) -> Sheet {
        let longest = if matches!(look, Look::Record(_)) { LONGEST_RECORD } else { LONGEST };
        Sheet::of(Source::File(bytes, Rows::new(longest), look), follow)
    }

    fn of(source: Source, follow: bool) -> Sheet {
        let size = (0, 0);
        Sheet { source, hex: false, top: 0, left: 0, follow, find: None, unfinished: true, size, shown: Vec::new() }
    }

    /// Whether it looks like no text.
    pub(crate) fn is_binary(&self) -> bool {
        matches!(&self.source, Source::File(bytes, ..) if piece(&**bytes, 0, 4096).contains(&0))
    }

    /// Rows of bytes, or of text; whether it can be.
    pub(crate) fn turn_hex(&mut self) -> bool {
        let Source::File(bytes, rows, look) = &self.source else { return false };
        if let Look::Both = look {
            return false;
        }
        let top = self.top;
        self.top = if self.hex { rows.row_of(&**bytes, top * HEX) } else { rows.place(&**bytes, top) / HEX };
        (self.hex, self.left) = (!self.hex, 0);
        true
    }

    pub(crate) fn is_hex(&self) -> bool {
        self.hex
    }

    pub(crate) fn is_following(&self) -> bool {
        self.follow
    }

    pub(crate) fn turn_follow(&mut self) {
        self.follow = !self.follow;
    }

    /// Rows, as far as they are known.
    pub(crate) fn count(&self) -> u64 {
        match &self.source {
            Source::Page(_, lines, _) => lines.len() as u64,
            Source::File(bytes, ..) if self.hex => bytes.size().div_ceil(HEX),
            Source::File(bytes, rows, _) => rows.count(&**bytes),
        }
    }

    /// The first row that is shown, the last, and all, counted from 1.
    pub(crate) fn place(&self) -> (u64, u64, u64) {
        let count = self.count();
        ((self.top + 1).min(count), (self.top + self.shown.len() as u64).min(count), count)
    }

    pub(crate) fn scroll(&mut self, rows: i64) {
        self.follow = false;
        self.top = self.top.saturating_add_signed(rows).min(self.last_top());
    }

    pub(crate) fn scroll_page(&mut self, pages: i64) {
        self.scroll(pages * i64::from(self.size.1.saturating_sub(1).max(1)));
    }

    pub(crate) fn go_to_top(&mut self) {
        (self.top, self.follow) = (0, false);
    }

    /// What grows is followed from here.
    pub(crate) fn go_to_end(&mut self) {
        self.follow = matches!(self.source, Source::File(..));
        self.top = self.last_top();
    }

    pub(crate) fn sideways(&mut self, columns: isize) {
        self.left = self.left.saturating_add_signed(columns).min(LONGEST);
    }

    fn last_top(&self) -> u64 {
        self.count().saturating_sub(u64::from(self.size.1))
    }

    pub(crate) fn left(&self) -> usize {
        self.left
    }

    /// The words that are searched for.
    pub(crate) fn needle(&self) -> Option<&Needle> {
        self.find.as_ref().map(|find| &find.needle)
    }

    /// Looks for something from what is shown on.
    pub(crate) fn search(&mut self, needle: Option<Needle>) {
        self.find = needle.map(|needle| Find { needle, seek: None, hit: None });
        let from = self.byte_of(self.top);
        if let Some(find) = &mut self.find {
            find.seek = Some(Seek::new(from, false));
        }
    }

    /// The next that is found, or the one before; whether there is something to look for.
    pub(crate) fn search_on(&mut self, back: bool) -> bool {
        let top = self.byte_of(self.top);
        let Some(find) = &mut self.find else { return false };
        let from = match find.hit {
            Some((_, byte)) if !back => byte + 1,
            Some((_, byte)) => byte,
            None => top,
        };
        find.seek = Some(Seek::new(from, back));
        true
    }

    /// Where a row begins: in a page its number stands for that.
    fn byte_of(&self, row: u64) -> u64 {
        match &self.source {
            Source::Page(..) => row,
            Source::File(..) if self.hex => row * HEX,
            Source::File(bytes, rows, _) => rows.place(&**bytes, row),
        }
    }

    /// Whether `work` has something to do.
    pub(crate) fn is_working(&self) -> bool {
        self.unfinished || self.find.as_ref().is_some_and(|find| find.seek.is_some())
    }

    /// A step of a search; what is to be said of it.
    pub(crate) fn work(&mut self) -> Option<String> {
        let find = self.find.as_mut()?;
        let seek = find.seek.as_mut()?;
        let step = match &mut self.source {
            Source::Page(_, lines, _) => in_page(lines, &find.needle, seek),
            Source::File(bytes, rows, _) => {
                let step = seek.step(&**bytes, &find.needle);
                if let Step::Found(byte, _) = step {
                    while rows.known() <= byte && rows.look(&**bytes, BUDGET) {}
                }
                step
            }
        };
        match step {
            Step::More => None,
            Step::Nowhere => {
                find.seek = None;
                Some(format!("not found: {}", text::clean(find.needle.text())))
            }
            Step::Found(byte, wrapped) => {
                find.seek = None;
                self.land(byte);
                wrapped.then(|| "went on at the other end".to_owned())
            }
        }
    }

    /// Shows what was found.
    fn land(&mut self, byte: u64) {
        let row = match &self.source {
            Source::Page(..) => byte,
            Source::File(..) if self.hex => byte / HEX,
            Source::File(bytes, rows, _) => rows.row_of(&**bytes, byte),
        };
        let Some(find) = &mut self.find else { return };
        find.hit = Some((row, byte));
        let columns = usize::from(self.size.0).saturating_sub(SIGN.len());
        let needle = find.needle.clone();
        self.follow = false;
        if row < self.top || row >= self.top + u64::from(self.size.1) {
            self.top = row.saturating_sub(u64::from(self.size.1) / 3).min(self.last_top());
        }
        let text = self.rows(row, 1).first().map(|row| plain(row)).unwrap_or_default();
        if let Some((from, to)) = needle.all(&text).first().copied() {
            let (from, to) = (text::width(&text[..from]), text::width(&text[..to]));
            if from < self.left || to > self.left + columns {
                self.left = if to <= columns { 0 } else { from.saturating_sub(columns / 2) };
            }
        }
    }

    /// Reads what is shown in so much room.
    pub(crate) fn lay_out(&mut self, size: (u16, u16)) {
        self.size = size;
        self.unfinished = match &mut self.source {
            Source::Page(rows, lines, width) => {
                if *width != size.0 || lines.is_empty() {
                    *lines = rows.iter().flat_map(|row| wrapped(row, usize::from(size.0))).collect();
                    *width = size.0;
                }
                false
            }
            Source::File(bytes, rows, _) => rows.look(&**bytes, BUDGET),
        };
        self.top = if self.follow { self.last_top() } else { self.top.min(self.last_top()) };
        self.shown = self.rows(self.top, usize::from(size.1));
        if let Some(find) = &self.find {
            let hit = find.hit.map(|(row, _)| row);
            for (at, row) in self.shown.iter_mut().enumerate() {
                mark(row, &find.needle, hit == Some(self.top + at as u64));
            }
        }
        if let Source::File(bytes, _, Look::Both) = &self.source
            && bytes.has_some_that_stand_out()
        {
            self.shown.iter_mut().for_each(sign);
        }
    }

    fn rows(&self, first: u64, count: usize) -> Vec<Row> {
        match &self.source {
            Source::Page(_, lines, _) => {
                lines.iter().skip(usize::try_from(first).unwrap_or(usize::MAX)).take(count).cloned().collect()
            }
            Source::File(bytes, ..) if self.hex => {
                let read = piece(&**bytes, first * HEX, count * HEX as usize);
                let chunks = read.chunks(HEX as usize).enumerate();
                chunks.map(|(at, bytes)| hex((first + at as u64) * HEX, bytes)).collect()
            }
            Source::File(bytes, rows, look) => {
                let read = rows.read(&**bytes, first, count);
                read.iter().map(|(at, line, goes_on)| shown(line, *goes_on, *look, bytes.stands_out(*at))).collect()
            }
        }
    }
}

/// Searches a page at once; rows take the place of bytes.
fn in_page(lines: &[Row], needle: &Needle, seek: &Seek) -> Step {
    let has = |row: &usize| !needle.all(&plain(&lines[*row])).is_empty();
    let from = usize::try_from(seek.from()).unwrap_or(usize::MAX).min(lines.len());
    let found = match seek.is_backward() {
        false => (from..lines.len()).find(has).map(|row| (row, false)).or((0..from).find(has).map(|row| (row, true))),
        true => (0..from)
            .rev()
            .find(has)
            .map(|row| (row, false))
            .or((from..lines.len()).rev().find(has).map(|row| (row, true))),
    };
    found.map_or(Step::Nowhere, |(row, wrapped)| Step::Found(row as u64, wrapped))
}

/// Marks what was searched for; in the row that the search is at more than in others.
fn mark(row: &mut Row, needle: &Needle, current: bool) {
    let text = plain(row);
    let found = needle.all(&text);
    if found.is_empty() {
        return;
    }
    let style = match current {
        true => Style::new().add_modifier(Modifier::REVERSED | Modifier::BOLD),
        false => Style::new().add_modifier(Modifier::REVERSED),
    };
    let mut marked = Row::new();
    let mut begins = 0;
    for span in row.iter() {
        let mut from = begins;
        let ends = begins + span.text.len();
        for (at, end) in found.iter().filter(|(at, end)| *end > begins && *at < ends) {
            let (at, end) = ((*at).max(begins), (*end).min(ends));
            marked.push(Span { text: text[from..at].to_owned(), style: span.style });
            marked.push(Span { text: text[at..end].to_owned(), style: span.style.patch(style) });
            from = end;
        }
        marked.push(Span { text: text[from..ends].to_owned(), style: span.style });
        begins = ends;
    }
    marked.retain(|span| !span.text.is_empty());
    *row = marked;
}

#[cfg(test)]
#[path = "sheet_tests.rs"]
mod tests;
