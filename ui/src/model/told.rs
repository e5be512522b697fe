//! What comes back: answers go where they were asked for, or nowhere if that is not shown any more.

use super::{Event, Model, Screen, Titled};
use crate::bytes::Bytes;
use crate::program::{Left, Place, RunRow, Went, What};
use crate::run::{RunScreen, told};
use crate::sheet::{Look, Sheet};
use crate::text;
use crate::view;

/// What is younger changes its words each second.
const MINUTE: u64 = 60_000;
const HOUR: u64 = 60 * MINUTE;

impl Model {
    pub(super) fn answered(&mut self, answer: Event) {
        match answer {
            Event::Runs(Ok(rows)) => self.take_runs(rows),
            Event::Sandboxes(Ok(rows)) => {
                for screen in &mut self.stack {
                    if let Screen::Sandboxes(table) = screen {
                        table.set(rows.clone());
                    }
                }
            }
            Event::Runs(Err(why)) | Event::Sandboxes(Err(why)) => self.say(why, true),
            Event::Story(place, story) => {
                if let Some(run) = self.run(&place) {
                    run.tell(story);
                }
            }
            Event::Files(place, Ok(files)) => {
                if let Some(run) = self.run(&place) {
                    run.files.set(files);
                }
            }
            Event::Files(place, Err(why)) => {
                if let Some(run) = self.run(&place) {
                    run.files.set(Vec::new());
                    self.say(why, true);
                }
            }
            Event::Opened(place, what, opened) => self.opened(&place, what, opened),
            Event::Verified(place, page) => {
                self.note = None;
                self.push_page(&format!("evidence of run {}", place.run), told(page));
            }
            Event::Destroyed(sandbox, done) => self.destroyed(&sandbox, done),
            _ => {}
        }
    }

    /// The run on the screen, if it is this one.
    fn run(&mut self, place: &Place) -> Option<&mut RunScreen> {
        self.stack.iter_mut().rev().find_map(|screen| match screen {
            Screen::Run(run) if run.row.place == *place => Some(&mut **run),
            _ => None,
        })
    }

    fn take_runs(&mut self, rows: Vec<RunRow>) {
        for screen in &mut self.stack {
            match screen {
                Screen::Runs(list) => match &list.of {
                    None => list.table.set(rows.clone()),
                    Some(of) => {
                        list.table.set(rows.iter().filter(|row| row.place.sandbox == *of).cloned().collect());
                    }
                },
                Screen::Run(run) => {
                    if let Some(row) = rows.iter().find(|row| row.place == run.row.place) {
                        run.renew(row.clone());
                    }
                }
                _ => {}
            }
        }
        self.fill();
    }

    fn opened(&mut self, place: &Place, what: What, opened: Result<Box<dyn Bytes>, String>) {
        let words = self.words;
        let Some(run) = self.run(place) else { return };
        let name = match &what {
            What::Part(name) | What::Output(name) => text::clean(name),
            _ => return run.take(&what, opened, &words),
        };
        match opened {
            Ok(bytes) => {
                let patch = name.ends_with(".diff") || name.ends_with(".patch");
                let mut sheet = Sheet::file(bytes, if patch { Look::Diff } else { Look::Plain }, false);
                if sheet.is_binary() {
                    sheet.turn_hex();
                }
                let title = format!("{name} of run {}", place.run);
                self.stack.push(Screen::Sheet(Box::new(Titled { title, sheet })));
            }
            Err(why) => self.say(format!("{name}: {why}"), true),
        }
    }

    fn destroyed(&mut self, sandbox: &str, done: Result<(), String>) {
        match done {
            Ok(()) => {
                let of_it = |screen: &Screen| match screen {
                    Screen::Run(run) => run.row.place.sandbox == sandbox,
                    Screen::Runs(list) => list.of.as_deref() == Some(sandbox),
                    _ => false,
                };
                if let Some(first) = self.stack.iter().position(of_it) {
                    self.stack.truncate(first.max(1));
                }
                self.say(format!("sandbox {sandbox} is destroyed"), false);
            }
            Err(why) => self.say(format!("sandbox {sandbox}: {why}"), true),
        }
        self.refresh();
    }

    /// Reads what is shown, for the room that there is.
    pub(crate) fn lay_out(&mut self) {
        let width = self.size.0;
        let room = view::room(self);
        match self.stack.last_mut() {
            Some(Screen::Runs(list)) => list.table.lay_out(usize::from(room)),
            Some(Screen::Sandboxes(table)) => table.lay_out(usize::from(room)),
            Some(Screen::Run(run)) => match run.sheet_mut() {
                Some(sheet) => sheet.lay_out((width, room)),
                None => run.files.lay_out(usize::from(room)),
            },
            Some(Screen::Sheet(titled)) => titled.sheet.lay_out((width, room)),
            None => {}
        }
    }

    /// Whether there is something to do that nobody has to wait for.
    pub(crate) fn is_working(&mut self) -> bool {
        self.sheet().is_some_and(|sheet| sheet.is_working())
    }

    /// A step of that.
    pub(crate) fn work(&mut self) {
        if let Some(said) = self.sheet().and_then(Sheet::work) {
            self.say(said, false);
        }
    }

    /// Milliseconds until something that is shown changes by itself; none where nothing does.
    pub(crate) fn next_tick(&self) -> Option<u64> {
        let now = self.now;
        let by_age = |then: u64| match now.saturating_sub(then) {
            0..MINUTE => 1000,
            MINUTE..HOUR => MINUTE / 2,
            _ => HOUR / 2,
        };
        let by_run = |row: &RunRow| match row.went {
            Went::Running => Some(1000),
            _ => row.began.map(by_age),
        };
        match self.top()? {
            Screen::Runs(list) => list.table.shown().filter_map(|(row, _)| by_run(row)).min(),
            Screen::Run(run) => (run.row.went == Went::Running).then_some(1000),
            Screen::Sandboxes(table) => {
                let left = table.shown().filter_map(|(row, _)| match row.left {
                    Left::Until(end) if end < now + HOUR => Some(1000),
                    Left::Until(_) => Some(MINUTE / 2),
                    Left::Over(_) => None,
                });
                left.chain(table.shown().filter_map(|(row, _)| row.created.map(by_age))).min()
            }
            Screen::Sheet(_) => None,
        }
    }
}
