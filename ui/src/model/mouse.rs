//! What a mouse does: the wheel moves, a click selects or opens.

use super::{Ask, Mode, Model, Screen};
use crate::keys::{Motion, Mouse};
use crate::table::{Item, Table};
use crate::view::{self, Spot};

impl Model {
    pub(super) fn mouse(&mut self, mouse: Mouse) {
        // A question, and a line that is typed, are answered by keys.
        if self.mode != Mode::Screen {
            return;
        }
        self.note = None;
        match mouse {
            Mouse::Wheel(rows) => self.moved(Motion::By(rows)),
            Mouse::Click(x, y) => self.clicked(x, y),
        }
    }

    fn clicked(&mut self, x: u16, y: u16) {
        match view::spot(self, x, y) {
            Some(Spot::Runs) => self.show_runs(),
            Some(Spot::Sandboxes) => self.show_sandboxes(),
            Some(Spot::Tab(tab)) => self.view_of(tab),
            Some(Spot::Row(row)) if self.select(usize::from(row)) => self.open(),
            _ => {}
        }
    }

    /// Selects a row that is in sight; whether it was selected before.
    fn select(&mut self, row: usize) -> bool {
        fn take<T: Item>(table: &mut Table<T>, row: usize) -> bool {
            table.select(row)
        }
        match self.stack.last_mut() {
            Some(Screen::Runs(list)) => take(&mut list.table, row),
            Some(Screen::Sandboxes(table)) => take(table, row),
            Some(Screen::Run(run)) => take(&mut run.files, row),
            _ => false,
        }
    }

    pub(super) fn turn_mouse(&mut self, on: bool) {
        let whose =
            if on { "the mouse moves and selects here" } else { "the mouse is the terminal's; :mouse on takes it" };
        self.say(whose, false);
        self.ask(Ask::Mouse(on));
    }
}
