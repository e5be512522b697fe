//! Keys, and what they are for.

use crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

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
    ("PgUp PgDn  Ctrl-B Ctrl-F", "a page up, down (space: down)"),
    ("g G  Home End", "to the beginning, to the end"),
    ("enter", "open"),
    ("esc  q", "back; q leaves from the first screen"),
    ("tab", "the next view"),
    ("/", "in lists: show what has these words; in texts: search, n and N go on"),
    (":", "a command: runs, sandboxes, story, events, out, err, files, verify, destroy, help, q"),
    ("?", "this page"),
    ("Ctrl-Z  Ctrl-C", "stop for a while; leave"),
    ("", ""),
    ("", "Lists of runs and sandboxes, and one run"),
    ("Ctrl-D", "destroy the sandbox, after a question: its runs and their evidence go with it"),
    ("v", "verify the evidence of the run"),
    ("s e o r a", "story, events, standard output, standard error, files of the run"),
    ("1 … 5", "the same, while one run is shown"),
    ("", ""),
    ("", "Texts"),
    ("← →  h l", "sideways"),
    ("f", "follow what is still being written"),
    ("x", "bytes in hexadecimal, and back"),
];
