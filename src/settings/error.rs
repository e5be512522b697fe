//! What is wrong with what was asked, and where. Names no other module.

use std::fmt;
use std::sync::Arc;

/// Columns of a source line that are shown around a mistake.
const WINDOW: usize = 100;

/// Something that the user asked for and that cannot be done as it was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    pub at: At,
    /// What is wrong, in one sentence.
    pub what: String,
    /// What mends it.
    pub remedy: Option<String>,
}

pub type Result<T> = std::result::Result<T, Error>;

/// Where something was said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum At {
    /// Nowhere in particular: a default, or the state of the project.
    #[default]
    Nowhere,
    /// This option of the command line, such as `--memory`.
    Flag(String),
    /// This file as a whole.
    File(String),
    /// This place in a file.
    Place(Place),
}

/// A place in a file, with the line that stands there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    pub file: Arc<str>,
    /// From 1.
    pub line: usize,
    /// From 1, in characters.
    pub column: usize,
    /// Characters to underline; at least 1.
    pub width: usize,
    /// The line as it stands in the file.
    pub text: Arc<str>,
}

/// A value, and where it was said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told<T> {
    pub value: T,
    pub at: At,
}

impl<T> Told<T> {
    pub fn new(value: T, at: At) -> Self {
        Told { value, at }
    }
}

impl At {
    /// File and line, for a sentence about another place.
    pub(super) fn spot(&self) -> String {
        match self {
            At::Place(place) => format!("{}:{}", place.file, place.line),
            At::File(name) | At::Flag(name) => name.clone(),
            At::Nowhere => "a default".to_string(),
        }
    }
}

impl Error {
    pub fn new(at: At, what: impl Into<String>) -> Self {
        Error { at, what: what.into(), remedy: None }
    }

    pub fn remedy(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = Some(remedy.into());
        self
    }
}

impl std::error::Error for Error {}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.at {
            At::Nowhere => {}
            At::Flag(flag) => write!(f, "{flag}: ")?,
            At::File(file) => write!(f, "{}: ", printable(file))?,
            At::Place(p) => write!(f, "{}:{}:{}: ", printable(&p.file), p.line, p.column)?,
        }
        f.write_str(&printable(&self.what))?;
        if let At::Place(place) = &self.at {
            place.snippet(f)?;
        }
        if let Some(remedy) = &self.remedy {
            write!(f, "\n  help: {}", printable(remedy))?;
        }
        Ok(())
    }
}

impl Place {
    fn snippet(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let line: Vec<char> = self.text.chars().collect();
        let at = (self.column - 1).min(line.len());
        let from = if line.len() <= WINDOW { 0 } else { at.saturating_sub(WINDOW / 2) };
        let to = line.len().min(from + WINDOW);
        let shown: String = line[from..to].iter().map(|c| visible(*c)).collect();
        let carets = "^".repeat(self.width.clamp(1, (to.max(at + 1)) - at));
        let number = self.line.to_string();
        let gutter = " ".repeat(number.len());
        write!(f, "\n {gutter} |\n {number} | {}\n {gutter} | {}{carets}", shown.trim_end(), " ".repeat(at - from))
    }
}

/// One character for one character, and nothing that a terminal would obey.
fn visible(c: char) -> char {
    match c {
        '\t' => ' ',
        c if c.is_control() || is_invisible(c) => '\u{fffd}',
        c => c,
    }
}

/// Text of strangers, made safe for a terminal.
pub fn printable(text: &str) -> String {
    text.chars().map(|c| if c == '\n' { c } else { visible(c) }).collect()
}

/// Characters that turn the direction of text or take no room: they make a line read as what it is not.
fn is_invisible(c: char) -> bool {
    matches!(
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

#[cfg(test)]
mod tests {
    use super::*;

    fn place(text: &str, column: usize, width: usize) -> At {
        At::Place(Place { file: "sandbox.yaml".into(), line: 12, column, width, text: text.into() })
    }

    #[test]
    fn shows_the_line_and_points_at_the_word() {
        let error = Error::new(place("  ttl: soon", 8, 4), "no time").remedy("write 15m");
        assert_eq!(
            error.to_string(),
            "sandbox.yaml:12:8: no time\n    |\n 12 |   ttl: soon\n    |        ^^^^\n  help: write 15m"
        );
    }

    #[test]
    fn a_hostile_line_cannot_steer_the_terminal_and_a_long_one_is_cut() {
        let evil = format!("a\u{1b}[2J\u{202e}\t{}", "x".repeat(5000));
        let shown = Error::new(place(&evil, 4000, 9000), "bad \u{1b}]0;name").to_string();
        assert!(!shown.contains('\u{1b}') && !shown.contains('\u{202e}'), "{shown:?}");
        assert!(shown.lines().all(|l| l.chars().count() <= WINDOW + 10), "{shown}");
        let near = Error::new(place(&evil, 2, 1), "bad").to_string();
        assert!(!near.contains('\u{1b}') && !near.contains('\u{202e}'), "{near:?}");
    }

    #[test]
    fn a_place_past_the_end_of_the_line_is_no_panic() {
        for column in [1, 4, 5, 400] {
            Error::new(place("abc", column, 7), "x").to_string();
            Error::new(place("", column, 7), "x").to_string();
        }
    }
}
