//! What people ask for: other views, commands, and the one thing that removes something.

use super::{Ask, Mode, Model, RunList, Screen};
use crate::program::{Place, RunRow, Went, What};
use crate::run::{RunScreen, Tab};
use crate::table::Table;

impl Model {
    /// Asks again for what is shown.
    pub(super) fn refresh(&mut self) {
        match self.top() {
            Some(Screen::Runs(_) | Screen::Run(_)) => self.ask(Ask::Runs),
            Some(Screen::Sandboxes(_)) => self.ask(Ask::Sandboxes),
            _ => {}
        }
        self.fill();
    }

    /// Asks for what the view of a run has not got yet.
    pub(super) fn fill(&mut self) {
        let Some(Screen::Run(run)) = self.top() else { return };
        if !run.lacks() {
            return;
        }
        let place = run.row.place.clone();
        let ask = match run.tab {
            Tab::Story => Ask::Story(place),
            Tab::Files => Ask::Files(place),
            tab => Ask::Open(place, tab.what().unwrap_or(What::Stdout)),
        };
        self.ask(ask);
    }

    pub(super) fn back(&mut self) {
        if self.stack.len() > 1 {
            self.stack.pop();
            self.refresh();
        }
    }

    /// The run that is shown or selected.
    fn chosen(&self) -> Option<&RunRow> {
        match self.top()? {
            Screen::Runs(list) => list.table.selected(),
            Screen::Run(run) => Some(&run.row),
            _ => None,
        }
    }

    /// The next view: of the two lists, or of a run.
    pub(super) fn turn(&mut self, by: isize) {
        match self.stack.last_mut() {
            Some(Screen::Run(run)) => {
                run.tab = run.tab.after(by);
                self.fill();
            }
            Some(Screen::Sandboxes(_)) => self.show_runs(),
            Some(Screen::Runs(_)) => self.show_sandboxes(),
            _ => {}
        }
    }

    pub(super) fn show_runs(&mut self) {
        self.stack = vec![Screen::Runs(RunList::of(None))];
        self.refresh();
    }

    pub(super) fn show_sandboxes(&mut self) {
        self.stack = vec![Screen::Sandboxes(Table::new())];
        self.refresh();
    }

    pub(super) fn open(&mut self) {
        match self.top() {
            Some(Screen::Runs(list)) => {
                let Some(row) = list.table.selected() else { return };
                let tab = if row.went == Went::Running { Tab::Both } else { Tab::Story };
                self.open_run(row.clone(), tab);
            }
            Some(Screen::Sandboxes(table)) => {
                let Some(row) = table.selected() else { return };
                let list = RunList::of(Some(row.id.clone()));
                self.stack.push(Screen::Runs(list));
                self.refresh();
            }
            Some(Screen::Run(run)) if run.tab == Tab::Files => {
                let Some(file) = run.files.selected() else { return };
                let (place, what) = (run.row.place.clone(), file.what.clone());
                match Tab::ALL.into_iter().find(|tab| tab.what().as_ref() == Some(&what)) {
                    Some(tab) => self.view_of(tab),
                    None => self.ask(Ask::Open(place, what)),
                }
            }
            _ => {}
        }
    }

    fn open_run(&mut self, row: RunRow, tab: Tab) {
        self.stack.push(Screen::Run(Box::new(RunScreen::new(row, tab))));
        self.fill();
    }

    /// A view of the run that is shown or selected, by its key.
    pub(super) fn view(&mut self, key: char) {
        let shown = matches!(self.top(), Some(Screen::Run(_)));
        if let Some(tab) = Tab::asked(&key.to_string()).filter(|_| shown || !key.is_ascii_digit()) {
            self.view_of(tab);
        }
    }

    pub(super) fn view_of(&mut self, tab: Tab) {
        if let Some(Screen::Run(run)) = self.stack.last_mut() {
            run.tab = tab;
            return self.fill();
        }
        if let Some(row) = self.chosen().cloned() {
            self.open_run(row, tab);
        }
    }

    pub(super) fn verify(&mut self) {
        let Some(place) = self.chosen().map(|run| run.place.clone()) else { return };
        self.say(format!("verifying run {} …", place.run), false);
        self.ask(Ask::Verify(place));
    }

    pub(super) fn ask_to_destroy(&mut self) {
        let (sandbox, name, runs, running) = match self.top() {
            Some(Screen::Sandboxes(table)) => {
                let Some(row) = table.selected() else { return };
                (row.id.clone(), row.name.clone(), row.runs, row.running)
            }
            _ => {
                let Some(run) = self.chosen().cloned() else { return };
                let Place { sandbox, .. } = run.place;
                let all = self.stack.iter().find_map(|screen| match screen {
                    Screen::Runs(list) => Some(list.table.rows()),
                    _ => None,
                });
                let of_it = |run: &&RunRow| run.place.sandbox == sandbox;
                let runs: Vec<&RunRow> = all.unwrap_or_default().iter().filter(of_it).collect();
                let running = runs.iter().any(|run| run.went == Went::Running);
                (sandbox, run.name, runs.len().max(1), running)
            }
        };
        let name = if name.is_empty() { String::new() } else { format!(" ({})", crate::text::clean(&name)) };
        let ends = if running { "What runs in it is ended. " } else { "" };
        let what = match runs {
            0 => "It has no runs".to_owned(),
            1 => "Its run goes too, outputs, logs and evidence".to_owned(),
            many => format!("Its {many} runs go too, outputs, logs and evidence"),
        };
        let question = format!("destroy sandbox {sandbox}{name}?");
        self.mode = Mode::Question(sandbox, [format!("{ends}{what}."), question]);
    }

    pub(super) fn command(&mut self, text: &str) {
        match text {
            "" => {}
            "q" | "q!" | "quit" | "exit" => self.over = Some(0),
            "runs" | "r" => self.show_runs(),
            "sandboxes" | "sandbox" | "sb" => self.show_sandboxes(),
            "help" | "h" => self.help(),
            "verify" => self.verify(),
            "destroy" => self.ask_to_destroy(),
            "mouse on" => self.turn_mouse(true),
            "mouse off" => self.turn_mouse(false),
            #[cfg(debug_assertions)]
            "panic" => panic!("asked for"),
            other => match Tab::asked(other).filter(|_| other.len() > 1) {
                Some(_) if self.chosen().is_none() => self.say("no run is selected", true),
                Some(tab) => self.view_of(tab),
                None => self.say(format!("no such command: {other}; ? shows all"), true),
            },
        }
    }
}
