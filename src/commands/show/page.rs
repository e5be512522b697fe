//! Lines with a name in front of them.

use aido_evidence::Run;
use owo_colors::OwoColorize;
use std::fmt::Write as _;

/// Entries of a list before it is cut: the whole stands in the summary.
const SHOWN: usize = 8;
/// Columns of a screen.
const WIDTH: usize = 80;
/// What comes before a value.
const MARGIN: usize = 13;

#[derive(Default)]
pub(super) struct Page {
    pub(super) text: String,
}

impl Page {
    pub(super) fn title(&mut self, run: &Run, ending: &str) {
        let _ = writeln!(self.text, "{} {ending}", format_args!("Run {}", run.id()).bold());
    }

    /// `name` may be in colours of ours.
    pub(super) fn row(&mut self, name: &str, value: impl AsRef<str>) {
        let value = value.as_ref();
        if !value.is_empty() {
            // Colour takes no room, which the formatter does not know.
            let room = 10usize.saturating_sub(anstream::adapter::strip_str(name).to_string().chars().count());
            let _ = writeln!(self.text, "  {name}{:room$} {value}", "");
        }
    }

    /// A list under its name, cut where it grows too long for a screen.
    pub(super) fn list(&mut self, name: &str, items: &[String]) {
        for (n, item) in items.iter().take(SHOWN).enumerate() {
            self.row(if n == 0 { name } else { "" }, item);
        }
        if items.len() > SHOWN {
            self.row("", format!("and {} more", items.len() - SHOWN));
        }
    }

    /// A sentence over as many lines as it needs, with a word before it.
    pub(super) fn sentence(&mut self, name: &str, lead: &str, text: &str) {
        if text.is_empty() {
            return;
        }
        // What follows the first line stands a little to the right of the word.
        let first = lead.len() - lead.trim_start().len();
        let rest = first + if lead.is_empty() { 0 } else { 2 };
        let told = format!("{}{text}", lead.trim_start());
        for (n, line) in wrapped(&told, WIDTH - MARGIN - rest).iter().enumerate() {
            let (name, indent) = if n == 0 { (name, first) } else { ("", rest) };
            self.row(name, format!("{:indent$}{line}", ""));
        }
    }
}

/// Cut between words; a word that is longer than a line has one of its own, and goes over.
fn wrapped(text: &str, room: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let line =
            lines.last_mut().filter(|line| line.is_empty() || line.chars().count() + 1 + word.chars().count() <= room);
        match line {
            Some(line) if line.is_empty() => line.push_str(word),
            Some(line) => {
                line.push(' ');
                line.push_str(word);
            }
            None => lines.push(word.to_string()),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sentences_keep_their_words_and_the_screens_width() {
        let text = "one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen";
        let mut page = Page::default();
        page.sentence("name", "  why: ", text);
        page.sentence("", "  ", &"x".repeat(200));
        let lines: Vec<&str> = page.text.lines().collect();
        assert_eq!(lines.len(), 3, "{lines:#?}");
        assert!(lines[0].starts_with("  name         why: one") && lines[1].starts_with("                 "));
        assert!(lines[..2].iter().all(|line| line.chars().count() <= WIDTH), "{lines:#?}");
        let words: Vec<&str> = lines[..2].iter().flat_map(|line| line.split_whitespace()).skip(2).collect();
        assert_eq!(words.join(" "), text);
    }
}
