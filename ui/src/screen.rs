//! The terminal: taken, drawn on, and given back as it was, whatever ends this program.
//!
//! Cells are written by ourselves and not by ratatui's backend: after every character that is not ASCII the place of the
//! next is said anew. So one that a terminal takes for wider than we do moves nothing, and as lines do not wrap
//! meanwhile, nothing it does leaves its row.

use crossterm::cursor::{Hide, MoveTo, Show};
use crossterm::style::{Attribute, Color as Paint, Print, ResetColor, SetAttribute, SetForegroundColor};
use crossterm::terminal::{
    BeginSynchronizedUpdate, Clear, ClearType, DisableLineWrap, EnableLineWrap, EndSynchronizedUpdate,
    EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode, size,
};
use crossterm::{execute, queue};
use ratatui_core::buffer::{Buffer, Cell};
use ratatui_core::layout::Rect;
use ratatui_core::style::{Color, Modifier};
use std::io::{self, BufWriter, IsTerminal, Stdout, Write};

pub(crate) struct Screen {
    out: BufWriter<Stdout>,
    /// What the terminal shows.
    drawn: Buffer,
    colour: bool,
    /// Clicks and the wheel are told to us, and are not the terminal's own.
    mouse: bool,
}

impl Screen {
    /// Takes the terminal. An error where there is none.
    pub(crate) fn take(colour: bool) -> Result<Screen, String> {
        if !(io::stdout().is_terminal() && io::stdin().is_terminal()) {
            let what = "`aido ui` needs a terminal, and standard input or output is none";
            return Err(format!("{what}; `aido runs`, `aido show` and `aido logs` tell the same in text and in JSON"));
        }
        let out = BufWriter::with_capacity(32 * 1024, io::stdout());
        let mut screen = Screen { out, drawn: Buffer::empty(Rect::default()), colour, mouse: true };
        restored_in_panic();
        screen.enter().map_err(|e| format!("the terminal cannot be used: {e}"))?;
        Ok(screen)
    }

    /// Columns and rows.
    pub(crate) fn size(&self) -> (u16, u16) {
        size().unwrap_or((0, 0))
    }

    fn enter(&mut self) -> io::Result<()> {
        // Twice is once: modes that somebody else has set meanwhile are seen only so.
        disable_raw_mode()?;
        enable_raw_mode()?;
        queue!(self.out, EnterAlternateScreen, Hide, DisableLineWrap, Clear(ClearType::All))?;
        tell_of_mouse(&mut self.out, self.mouse)?;
        self.drawn = Buffer::empty(Rect::default());
        self.out.flush()
    }

    /// Takes the terminal again after somebody else had it.
    pub(crate) fn retake(&mut self) -> io::Result<()> {
        self.enter()
    }

    /// Whether clicks and the wheel come to us.
    pub(crate) fn set_mouse(&mut self, on: bool) -> io::Result<()> {
        self.mouse = on;
        tell_of_mouse(&mut self.out, on)?;
        self.out.flush()
    }

    /// Gives it back until `retake`.
    pub(crate) fn lend(&mut self) {
        let _ = self.out.flush();
        give_back();
    }

    pub(crate) fn draw(&mut self, mut next: Buffer) -> io::Result<()> {
        if !self.colour {
            next.content.iter_mut().for_each(|cell| (cell.fg, cell.bg) = (Color::Reset, Color::Reset));
        }
        if self.drawn.area != next.area {
            queue!(self.out, SetAttribute(Attribute::Reset), Clear(ClearType::All))?;
            self.drawn = Buffer::empty(next.area);
        }
        let changes = self.drawn.diff(&next);
        if !changes.is_empty() {
            write(&mut self.out, &changes)?;
        }
        self.out.flush()?;
        self.drawn = next;
        Ok(())
    }
}

/// Clicks and the wheel, and no movement: that would wake us at every step.
#[cfg(not(windows))]
fn tell_of_mouse(out: &mut impl Write, on: bool) -> io::Result<()> {
    let set = if on { 'h' } else { 'l' };
    queue!(out, Print(format!("\x1b[?1000{set}\x1b[?1006{set}")))
}

#[cfg(windows)]
fn tell_of_mouse(out: &mut impl Write, on: bool) -> io::Result<()> {
    use crossterm::event::{DisableMouseCapture, EnableMouseCapture};
    if on { queue!(out, EnableMouseCapture) } else { queue!(out, DisableMouseCapture) }
}

fn write(out: &mut impl Write, changes: &[(u16, u16, &Cell)]) -> io::Result<()> {
    queue!(out, BeginSynchronizedUpdate)?;
    let mut follows = None;
    let mut style = None;
    for (x, y, cell) in changes {
        if follows != Some((*x, *y)) {
            queue!(out, MoveTo(*x, *y))?;
        }
        if style != Some((cell.fg, cell.modifier)) {
            set_style(out, cell)?;
            style = Some((cell.fg, cell.modifier));
        }
        queue!(out, Print(cell.symbol()))?;
        follows = cell.symbol().is_ascii().then_some((*x + 1, *y));
    }
    queue!(out, SetAttribute(Attribute::Reset), ResetColor, EndSynchronizedUpdate)
}

fn set_style(out: &mut impl Write, cell: &Cell) -> io::Result<()> {
    queue!(out, SetAttribute(Attribute::Reset))?;
    for (modifier, attribute) in
        [(Modifier::BOLD, Attribute::Bold), (Modifier::DIM, Attribute::Dim), (Modifier::REVERSED, Attribute::Reverse)]
    {
        if cell.modifier.contains(modifier) {
            queue!(out, SetAttribute(attribute))?;
        }
    }
    let paint = match cell.fg {
        Color::Red => Paint::DarkRed,
        Color::Green => Paint::DarkGreen,
        Color::Yellow => Paint::DarkYellow,
        Color::Blue => Paint::DarkBlue,
        Color::Magenta => Paint::DarkMagenta,
        Color::Cyan => Paint::DarkCyan,
        _ => return Ok(()),
    };
    queue!(out, SetForegroundColor(paint))
}

impl Drop for Screen {
    fn drop(&mut self) {
        self.lend();
    }
}

/// As it was. Its modes first: that never waits for a terminal that does not read.
pub(crate) fn give_back() {
    let _ = disable_raw_mode();
    let _ = tell_of_mouse(&mut io::stdout(), false);
    let _ = execute!(io::stdout(), Show, EnableLineWrap, LeaveAlternateScreen);
}

/// A release is built to abort in a panic, and then nothing is dropped.
fn restored_in_panic() {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        give_back();
        usual(panic);
        // Elsewhere than in a release the others would draw on.
        std::process::exit(101);
    }));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::{put, row};
    use ratatui_core::style::Style;

    fn written(text: &str, style: Style) -> String {
        let area = Rect::new(0, 0, 12, 1);
        let (before, mut after) = (Buffer::empty(area), Buffer::empty(area));
        put(&mut after, (0, 0), 0, 12, &row(text, style));
        let mut out = Vec::new();
        write(&mut out, &before.diff(&after)).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn the_place_is_said_again_after_what_is_not_ascii() {
        let moves = |text: &str| written(text, Style::new()).matches('H').count();
        assert_eq!((moves("abcdef"), moves("abädef"), moves("漢字a")), (1, 2, 3));
    }

    #[test]
    fn styles_are_set_once() {
        let out = written("abc", Style::new().fg(Color::Red).add_modifier(Modifier::BOLD));
        assert_eq!(out.matches("\u{1b}[1m").count(), 1, "{out:?}");
        assert!(out.contains("abc"), "{out:?}");
    }
}
