//! What is on the screen, and what becomes of it: no file is opened here, nothing is waited for.

mod asked;
mod mouse;
mod told;

use crate::bytes::Bytes;
use crate::find::Needle;
use crate::keys::{HELP, Key, Motion, Mouse};
use crate::program::{FileRow, Left, Place, RunRow, SandboxRow, What, Words};
use crate::run::{RunScreen, Tab};
use crate::sheet::Sheet;
use crate::table::{Item, Table};
use crate::text::{self, Row};
use crate::typing::{Purpose, Typed, Typing};
use crate::view;
use ratatui_core::style::{Modifier, Style};
use std::collections::VecDeque;

/// What happens to the model.
pub(crate) enum Event {
    Key(Key),
    Mouse(Mouse),
    Size(u16, u16),
    /// Time went by.
    Tick,
    /// Runs or sandboxes came, changed, or went.
    Store,
    /// Files of the run that is shown grew.
    Grown,
    /// The process goes on after it was stopped: the terminal is nobody's.
    #[cfg_attr(not(unix), expect(dead_code, reason = "no signal stops and continues a program there"))]
    Resumed,
    /// It is to stop for a while.
    #[cfg_attr(not(unix), expect(dead_code, reason = "no signal stops and continues a program there"))]
    Suspend,
    /// It is to end, with this status.
    End(u8),
    Runs(Result<Vec<RunRow>, String>),
    Sandboxes(Result<Vec<SandboxRow>, String>),
    Story(Place, Result<String, String>),
    Files(Place, Result<Vec<FileRow>, String>),
    Opened(Place, What, Result<Box<dyn Bytes>, String>),
    Verified(Place, Result<String, String>),
    Destroyed(String, Result<(), String>),
}

/// What the model wants to be done; each is answered by an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Ask {
    Runs,
    Sandboxes,
    Story(Place),
    Files(Place),
    Open(Place, What),
    Verify(Place),
    Destroy(String),
    Suspend,
    /// Whether clicks and the wheel are ours or the terminal's.
    Mouse(bool),
    /// Everything is drawn again.
    Redraw,
}

/// One screen of the stack.
pub(crate) enum Screen {
    Runs(RunList),
    Sandboxes(Table<SandboxRow>),
    Run(Box<RunScreen>),
    Sheet(Box<Titled>),
}

/// All runs, or those of one sandbox.
pub(crate) struct RunList {
    pub(crate) of: Option<String>,
    pub(crate) table: Table<RunRow>,
}

/// A text under a title.
pub(crate) struct Titled {
    pub(crate) title: String,
    pub(crate) sheet: Sheet,
}

/// Who gets the keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    Screen,
    Typing(Typing),
    /// Whether this sandbox is to be destroyed: what that means, and the question.
    Question(String, [String; 2]),
}

/// A line that is said once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Note {
    pub(crate) text: String,
    pub(crate) bad: bool,
}

pub(crate) struct Model {
    pub(crate) title: String,
    pub(crate) words: Words,
    /// Milliseconds since 1970.
    pub(crate) now: u64,
    pub(crate) size: (u16, u16),
    pub(crate) stack: Vec<Screen>,
    pub(crate) mode: Mode,
    pub(crate) note: Option<Note>,
    pub(crate) asks: VecDeque<Ask>,
    /// It is over, with this status.
    pub(crate) over: Option<u8>,
}

impl Model {
    /// Begins with all runs.
    pub(crate) fn new(title: String, words: Words, size: (u16, u16)) -> Model {
        let (stack, asks) = (vec![Screen::Runs(RunList::of(None))], VecDeque::from([Ask::Runs]));
        let (title, size) = (text::clean(&title), view::bounded(size));
        Model { title, words, now: 0, size, stack, mode: Mode::Screen, note: None, asks, over: None }
    }

    pub(crate) fn update(&mut self, event: Event) {
        match event {
            Event::Key(key) => self.key(key),
            Event::Mouse(mouse) => self.mouse(mouse),
            Event::Size(width, height) => self.size = view::bounded((width, height)),
            Event::Tick | Event::Grown => {}
            Event::Store => self.refresh(),
            Event::Resumed => self.ask(Ask::Redraw),
            Event::Suspend => self.ask(Ask::Suspend),
            Event::End(status) => self.over = Some(status),
            answer => self.answered(answer),
        }
    }

    pub(crate) fn ask(&mut self, ask: Ask) {
        if !self.asks.contains(&ask) {
            self.asks.push_back(ask);
        }
    }

    pub(crate) fn say(&mut self, text: impl AsRef<str>, bad: bool) {
        self.note = Some(Note { text: text::clean(text.as_ref()), bad });
    }

    pub(crate) fn top(&self) -> Option<&Screen> {
        self.stack.last()
    }

    /// The text that is shown, if it is one.
    pub(crate) fn sheet(&mut self) -> Option<&mut Sheet> {
        match self.stack.last_mut()? {
            Screen::Run(run) => run.sheet_mut(),
            Screen::Sheet(titled) => Some(&mut titled.sheet),
            _ => None,
        }
    }

    /// The run whose files are watched while they grow.
    pub(crate) fn watched(&self) -> Option<&Place> {
        self.stack.iter().rev().find_map(|screen| match screen {
            Screen::Run(run) => Some(&run.row.place),
            _ => None,
        })
    }

    fn key(&mut self, key: Key) {
        match std::mem::replace(&mut self.mode, Mode::Screen) {
            Mode::Screen => {
                self.note = None;
                self.pressed(key);
            }
            Mode::Typing(line) => self.typed(line, key),
            Mode::Question(sandbox, _) => match key {
                Key::Char('y' | 'Y') => {
                    self.say(format!("destroying sandbox {sandbox} …"), false);
                    self.ask(Ask::Destroy(sandbox));
                }
                _ => self.say("nothing was destroyed", false),
            },
        }
    }

    fn pressed(&mut self, key: Key) {
        if let Some(motion) = key.motion() {
            return self.moved(motion);
        }
        match key {
            Key::Ctrl('c') => self.over = Some(0),
            Key::Ctrl('z') => self.ask(Ask::Suspend),
            Key::Ctrl('l') => self.ask(Ask::Redraw),
            Key::Ctrl('d') => self.ask_to_destroy(),
            Key::Char('?') => self.help(),
            Key::Char(':') => self.mode = Mode::Typing(Typing::new(Purpose::Command)),
            Key::Char('/') => {
                let purpose = if self.sheet().is_some() { Purpose::Search } else { Purpose::Filter };
                self.mode = Mode::Typing(Typing::new(purpose));
            }
            Key::Esc if self.has_filter() => self.filter(""),
            Key::Esc if self.sheet().is_some_and(|sheet| sheet.needle().is_some()) => {
                if let Some(sheet) = self.sheet() {
                    sheet.search(None);
                }
            }
            Key::Esc => self.back(),
            Key::Char('q') if self.stack.len() == 1 => self.over = Some(0),
            Key::Char('q') => self.back(),
            Key::Tab => self.turn(1),
            Key::BackTab => self.turn(-1),
            Key::Enter => self.open(),
            Key::Char('v') => self.verify(),
            _ if self.sheet().is_some() => self.read(key),
            Key::Right | Key::Char('l') => self.open(),
            Key::Left | Key::Char('h') => self.back(),
            Key::Char(c) => self.view(c),
            _ => {}
        }
    }

    /// Keys of texts.
    fn read(&mut self, key: Key) {
        let step = (self.size.0 / 2).max(8) as isize;
        let Some(sheet) = self.sheet() else { return };
        match key {
            Key::Left | Key::Char('h') => sheet.sideways(-step),
            Key::Right | Key::Char('l') => sheet.sideways(step),
            Key::Char('f') => sheet.turn_follow(),
            Key::Char('x') => {
                let is_file = sheet.turn_hex();
                if !is_file {
                    self.say("this is no file, and has no bytes to show", true);
                }
            }
            Key::Char(c @ ('n' | 'N')) => {
                let goes_on = sheet.search_on(c == 'N');
                if !goes_on {
                    self.say("nothing was searched for: / does", true);
                }
            }
            Key::Char(c) => self.view(c),
            _ => {}
        }
    }

    fn moved(&mut self, motion: Motion) {
        fn walk<T: Item>(table: &mut Table<T>, motion: Motion) {
            match motion {
                Motion::By(rows) => table.scroll(rows),
                Motion::Pages(pages) => table.scroll_page(pages),
                Motion::First => table.scroll(i64::MIN),
                Motion::Last => table.scroll(i64::MAX),
            }
        }
        if let Some(sheet) = self.sheet() {
            return match motion {
                Motion::By(rows) => sheet.scroll(rows),
                Motion::Pages(pages) => sheet.scroll_page(pages),
                Motion::First => sheet.go_to_top(),
                Motion::Last => sheet.go_to_end(),
            };
        }
        match self.stack.last_mut() {
            Some(Screen::Runs(list)) => walk(&mut list.table, motion),
            Some(Screen::Sandboxes(table)) => walk(table, motion),
            Some(Screen::Run(run)) => walk(&mut run.files, motion),
            _ => {}
        }
    }

    fn typed(&mut self, mut line: Typing, key: Key) {
        let typed = line.key(key);
        match (line.purpose, typed) {
            (Purpose::Filter, Typed::Dropped) => self.filter(""),
            (Purpose::Filter, _) => self.filter(&line.text),
            (Purpose::Search, Typed::Done) => {
                if let Some(sheet) = self.sheet() {
                    sheet.search(Needle::new(&line.text));
                }
            }
            (Purpose::Command, Typed::Done) => self.command(line.text.trim()),
            _ => {}
        }
        if typed == Typed::More {
            self.mode = Mode::Typing(line);
        }
    }

    fn has_filter(&self) -> bool {
        match self.top() {
            Some(Screen::Runs(list)) => !list.table.filter().is_empty(),
            Some(Screen::Sandboxes(table)) => !table.filter().is_empty(),
            Some(Screen::Run(run)) => run.tab == Tab::Files && !run.files.filter().is_empty(),
            _ => false,
        }
    }

    fn filter(&mut self, text: &str) {
        match self.stack.last_mut() {
            Some(Screen::Runs(list)) => list.table.set_filter(text),
            Some(Screen::Sandboxes(table)) => table.set_filter(text),
            Some(Screen::Run(run)) => run.files.set_filter(text),
            _ => {}
        }
    }

    fn help(&mut self) {
        let bold = Style::new().add_modifier(Modifier::BOLD);
        let rows = HELP.iter().map(|(keys, what)| match *keys {
            "" => text::row(*what, bold),
            keys => text::row(format!("  {keys:<16}  {what}"), Style::new()),
        });
        self.push_page("keys", rows.collect());
    }

    pub(crate) fn push_page(&mut self, title: &str, rows: Vec<Row>) {
        self.stack.push(Screen::Sheet(Box::new(Titled { title: text::clean(title), sheet: Sheet::page(rows) })));
    }
}

impl RunList {
    fn of(sandbox: Option<String>) -> RunList {
        RunList { of: sandbox, table: Table::new() }
    }
}

impl Item for RunRow {
    fn key(&self) -> &str {
        &self.place.run
    }

    fn text(&self) -> String {
        format!("{} {} {} {} {}", self.place.run, self.place.sandbox, self.name, self.task, self.end)
    }
}

impl Item for SandboxRow {
    fn key(&self) -> &str {
        &self.id
    }

    fn text(&self) -> String {
        let left = if let Left::Over(word) = &self.left { word } else { "" };
        let running = if self.running { "running" } else { "" };
        format!("{} {} {left} {running} {}", self.id, self.name, self.note)
    }
}

#[cfg(test)]
pub(crate) mod tests;
