//! One run: its story, its record, its two streams together and each alone, its files.

use crate::bytes::Bytes;
use crate::program::{FileRow, RunRow, Went, What, Words};
use crate::sheet::{Look, Sheet};
use crate::table::{Item, Table};
use crate::text;
use ratatui_core::style::{Color, Style};

/// A view of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tab {
    Story,
    Events,
    Both,
    Out,
    Err,
    Files,
}

impl Tab {
    pub(crate) const ALL: [Tab; 6] = [Tab::Story, Tab::Events, Tab::Both, Tab::Out, Tab::Err, Tab::Files];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Tab::Story => "story",
            Tab::Events => "events",
            Tab::Both => "output",
            Tab::Out => "stdout",
            Tab::Err => "stderr",
            Tab::Files => "files",
        }
    }

    /// The view that a word or a key asks for.
    pub(crate) fn asked(word: &str) -> Option<Tab> {
        Some(match word {
            "s" | "1" | "story" => Tab::Story,
            "e" | "2" | "events" => Tab::Events,
            "o" | "3" | "output" | "logs" => Tab::Both,
            "t" | "4" | "out" | "stdout" => Tab::Out,
            "r" | "5" | "err" | "stderr" => Tab::Err,
            "a" | "6" | "files" | "artifacts" | "outputs" => Tab::Files,
            _ => return None,
        })
    }

    /// The file that it shows.
    pub(crate) fn what(self) -> Option<What> {
        match self {
            Tab::Events => Some(What::Events),
            Tab::Both => Some(What::Both),
            Tab::Out => Some(What::Stdout),
            Tab::Err => Some(What::Stderr),
            Tab::Story | Tab::Files => None,
        }
    }

    pub(crate) fn after(self, by: isize) -> Tab {
        let at = Tab::ALL.iter().position(|tab| *tab == self).unwrap_or(0);
        Tab::ALL[at.saturating_add_signed(by.rem_euclid(6)) % 6]
    }
}

/// What is known of a run that is on the screen.
pub(crate) struct RunScreen {
    pub(crate) row: RunRow,
    pub(crate) tab: Tab,
    /// Story, events, output, standard output, standard error, as far as somebody looked at them.
    sheets: [Option<Sheet>; 5],
    pub(crate) files: Table<FileRow>,
}

impl RunScreen {
    pub(crate) fn new(row: RunRow, tab: Tab) -> RunScreen {
        RunScreen { row, tab, sheets: [const { None }; 5], files: Table::new() }
    }

    fn slot(tab: Tab) -> Option<usize> {
        Tab::ALL[..5].iter().position(|other| *other == tab)
    }

    /// What the view that is shown has not got yet.
    pub(crate) fn lacks(&self) -> bool {
        match RunScreen::slot(self.tab) {
            Some(slot) => self.sheets[slot].is_none(),
            None => !self.files.is_read,
        }
    }

    pub(crate) fn sheet(&self) -> Option<&Sheet> {
        self.sheets[RunScreen::slot(self.tab)?].as_ref()
    }

    pub(crate) fn sheet_mut(&mut self) -> Option<&mut Sheet> {
        self.sheets[RunScreen::slot(self.tab)?].as_mut()
    }

    pub(crate) fn tell(&mut self, story: Result<String, String>) {
        self.sheets[0] = Some(Sheet::page(told(story)));
    }

    /// Takes one of its logs.
    pub(crate) fn take(&mut self, what: &What, opened: Result<Box<dyn Bytes>, String>, words: &Words) {
        let Some(tab) = Tab::ALL.into_iter().find(|tab| tab.what().as_ref() == Some(what)) else { return };
        let look = match what {
            What::Events => Look::Record(words.event),
            What::Both => Look::Both,
            _ => Look::Plain,
        };
        let sheet = match opened {
            // The end is what one comes for, of a stream.
            Ok(bytes) => Sheet::file(bytes, look, *what != What::Events || self.row.went == Went::Running),
            Err(why) => Sheet::page(told(Err(why))),
        };
        if let Some(slot) = RunScreen::slot(tab) {
            self.sheets[slot] = Some(sheet);
        }
    }

    /// How it stands now. What was drawn up of it before it ended is drawn up again.
    pub(crate) fn renew(&mut self, row: RunRow) {
        if row.went != self.row.went {
            self.sheets[0] = None;
            self.files.is_read = false;
        }
        self.row = row;
    }
}

/// A page, or why there is none.
pub(crate) fn told(page: Result<String, String>) -> Vec<text::Row> {
    match page {
        Ok(page) => text::page(&page),
        Err(why) => why.lines().map(|line| text::row(text::clean(line), Style::new().fg(Color::Red))).collect(),
    }
}

impl Item for FileRow {
    fn key(&self) -> &str {
        &self.name
    }

    fn text(&self) -> String {
        format!("{} {}", self.name, self.note)
    }
}
