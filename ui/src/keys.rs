//! Keys, and what they are for.

use crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers, MouseButton, MouseEvent, MouseEventKind};

/// A key as it is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Key {
    Char(char),
    Ctrl(char),
    Up,
    Down,
    Left,
    Right,
    PageUp,
    PageDown,
    Home,
    End,
    Enter,
    Esc,
    Tab,
    BackTab,
    Backspace,
}

impl Key {
    pub(crate) fn of(event: KeyEvent) -> Option<Key> {
        if event.kind == KeyEventKind::Release {
            return None;
        }
        let ctrl = event.modifiers.contains(KeyModifiers::CONTROL);
        Some(match event.code {
            KeyCode::Char(c) if ctrl => Key::Ctrl(c.to_ascii_lowercase()),
            KeyCode::Char(c) => Key::Char(c),
            KeyCode::Up => Key::Up,
            KeyCode::Down => Key::Down,
            KeyCode::Left => Key::Left,
            KeyCode::Right => Key::Right,
            KeyCode::PageUp => Key::PageUp,
            KeyCode::PageDown => Key::PageDown,
            KeyCode::Home => Key::Home,
            KeyCode::End => Key::End,
            KeyCode::Enter => Key::Enter,
            KeyCode::Esc => Key::Esc,
            KeyCode::Tab => Key::Tab,
            KeyCode::BackTab => Key::BackTab,
            KeyCode::Backspace => Key::Backspace,
            _ => return None,
        })
    }

    /// What moves through lists and texts alike.
    pub(crate) fn motion(self) -> Option<Motion> {
        Some(match self {
            Key::Up | Key::Char('k') | Key::Ctrl('p') => Motion::By(-1),
            Key::Down | Key::Char('j') | Key::Ctrl('n') => Motion::By(1),
            Key::PageUp | Key::Ctrl('b') => Motion::Pages(-1),
            Key::PageDown | Key::Ctrl('f') | Key::Char(' ') => Motion::Pages(1),
            Key::Home | Key::Char('g') => Motion::First,
            Key::End | Key::Char('G') => Motion::Last,
            _ => return None,
        })
    }
}

/// Rows that a wheel turns at once.
const WHEEL: i64 = 3;

/// What a mouse does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mouse {
    Wheel(i64),
    /// A click on a cell: column and row.
    Click(u16, u16),
}

impl Mouse {
    pub(crate) fn of(event: MouseEvent) -> Option<Mouse> {
        match event.kind {
            MouseEventKind::ScrollUp => Some(Mouse::Wheel(-WHEEL)),
            MouseEventKind::ScrollDown => Some(Mouse::Wheel(WHEEL)),
            MouseEventKind::Down(MouseButton::Left) => Some(Mouse::Click(event.column, event.row)),
            _ => None,
        }
    }
}

/// A way through what is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Motion {
    By(i64),
    Pages(i64),
    First,
    Last,
}

/// What `?` shows.
pub(crate) const HELP: &[(&str, &str)] = &[
    ("", "Everywhere"),
    ("↑ ↓  k j", "up, down"),
    ("PgUp PgDn  ^B ^F", "a page up, down (space: down)"),
    ("g G  Home End", "to the beginning, to the end"),
    ("enter", "open"),
    ("esc  q", "back; q leaves from the first screen"),
    ("tab", "the next view"),
    ("/", "in lists: show what has these words; in texts: search, n N"),
    (":", "runs, sandboxes, story, events, output, out, err, files,"),
    (" ", "verify, destroy, mouse on, mouse off, help, q"),
    ("?", "this page"),
    ("mouse", "the wheel moves; a click selects a row, one more opens it"),
    ("shift + mouse", "the terminal's own selection; in some only after :mouse off"),
    ("Ctrl-Z  Ctrl-C", "stop for a while; leave"),
    ("", ""),
    ("", "Lists of runs and sandboxes, and one run"),
    ("Ctrl-D", "after a question: destroy the sandbox, its runs and evidence"),
    ("v", "verify the evidence of the run"),
    ("s e o t r a", "story, events, output, stdout, stderr, files of the run"),
    ("1 … 6", "the same, while one run is shown"),
    ("", ""),
    ("", "Texts"),
    ("← →  h l", "sideways"),
    ("!", "before a line of the output: it came on stderr"),
    ("f", "follow what is still being written"),
    ("x", "bytes in hexadecimal, and back"),
];
