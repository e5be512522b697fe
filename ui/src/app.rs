//! The loop: waits for what happens, has the model change, does what that asks for, draws.

use crate::keys::{Key, Mouse};
use crate::model::{Ask, Event, Model};
use crate::program::Program;
use crate::screen::Screen;
use crate::signals;
use crate::view;
use crate::watch::Watch;
use crossterm::event::KeyModifiers;
use ratatui_core::buffer::Buffer;
use ratatui_core::layout::Rect;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The status when the terminal went away: that of SIGHUP.
const HUNG_UP: u8 = 129;

/// Shows what the program tells, until somebody leaves; the exit status. `colour`: the terminal may be coloured.
///
/// # Errors
/// There is no terminal, or it cannot be used.
pub fn show(program: Arc<dyn Program>, colour: bool) -> Result<u8, String> {
    let (to, events) = channel();
    signals::listen(to.clone());
    let screen = Screen::take(colour)?;
    let watch = Watch::start(&program.watched(), to.clone());
    let mut model = Model::new(program.title(), program.words(), screen.size());
    model.now = now();
    read_keys(to.clone());
    let mut app = App { program, screen, watch, model, to };
    app.settle();
    app.go_on(&events).map_err(|e| format!("the terminal cannot be written: {e}"))
}

struct App {
    program: Arc<dyn Program>,
    screen: Screen,
    watch: Watch,
    model: Model,
    to: Sender<Event>,
}

impl App {
    fn go_on(&mut self, events: &Receiver<Event>) -> std::io::Result<u8> {
        loop {
            self.model.lay_out();
            let (width, height) = self.model.size;
            let mut next = Buffer::empty(Rect::new(0, 0, width, height));
            view::draw(&self.model, &mut next);
            self.screen.draw(next)?;
            let Some(event) = self.next(events) else { return Ok(HUNG_UP) };
            self.take(event);
            // What has come meanwhile is drawn once.
            while self.model.over.is_none()
                && let Ok(event) = events.try_recv()
            {
                self.take(event);
            }
            if let Some(status) = self.model.over {
                return Ok(status);
            }
        }
    }

    /// Waits as long as nothing on the screen changes by itself.
    fn next(&mut self, events: &Receiver<Event>) -> Option<Event> {
        if self.model.is_working() {
            self.model.work();
            return Some(events.try_recv().unwrap_or(Event::Tick));
        }
        let Some(ms) = self.model.next_tick() else { return events.recv().ok() };
        match events.recv_timeout(Duration::from_millis(ms)) {
            Ok(event) => Some(event),
            Err(RecvTimeoutError::Timeout) => Some(Event::Tick),
            Err(RecvTimeoutError::Disconnected) => None,
        }
    }

    fn take(&mut self, event: Event) {
        self.model.now = now();
        self.model.update(event);
        self.settle();
    }

    /// Does what was asked for. What may take its time is done beside.
    fn settle(&mut self) {
        while let Some(ask) = self.model.asks.pop_front() {
            let program = &self.program;
            let answer = match ask {
                Ask::Runs => Event::Runs(program.runs()),
                Ask::Sandboxes => Event::Sandboxes(program.sandboxes()),
                Ask::Story(run) => Event::Story(run.clone(), program.story(&run)),
                Ask::Files(run) => Event::Files(run.clone(), program.files(&run)),
                Ask::Open(run, what) => {
                    let opened = program.open(&run, &what);
                    Event::Opened(run, what, opened)
                }
                Ask::Verify(run) => {
                    self.beside(move |program| Event::Verified(run.clone(), program.verify(&run)));
                    continue;
                }
                Ask::Destroy(sandbox) => {
                    self.beside(move |program| {
                        let done = program.destroy(&sandbox);
                        Event::Destroyed(sandbox, done)
                    });
                    continue;
                }
                Ask::Suspend => {
                    self.screen.lend();
                    signals::suspend();
                    self.retake();
                    continue;
                }
                Ask::Mouse(on) => {
                    let _ = self.screen.set_mouse(on);
                    continue;
                }
                Ask::Redraw => {
                    self.retake();
                    continue;
                }
            };
            self.model.update(answer);
        }
        let folder = self.model.watched().map(|run| self.program.folder(run));
        self.watch.follow(folder);
    }

    fn beside(&self, work: impl FnOnce(&dyn Program) -> Event + Send + 'static) {
        let (program, to) = (Arc::clone(&self.program), self.to.clone());
        std::thread::spawn(move || to.send(work(&*program)));
    }

    fn retake(&mut self) {
        let _ = self.screen.retake();
        self.model.size = view::bounded(self.screen.size());
    }
}

/// Keys and sizes, from a thread that waits for them.
fn read_keys(to: Sender<Event>) {
    std::thread::spawn(move || {
        loop {
            let event = match crossterm::event::read() {
                Ok(crossterm::event::Event::Key(key)) => {
                    // What was typed right after escape looks like one key.
                    if key.modifiers.contains(KeyModifiers::ALT) && to.send(Event::Key(Key::Esc)).is_err() {
                        return;
                    }
                    Key::of(key).map(Event::Key)
                }
                Ok(crossterm::event::Event::Mouse(mouse)) => Mouse::of(mouse).map(Event::Mouse),
                Ok(crossterm::event::Event::Resize(width, height)) => Some(Event::Size(width, height)),
                Ok(_) => None,
                Err(_) => Some(Event::End(HUNG_UP)),
            };
            let over = matches!(event, Some(Event::End(_)));
            if event.is_some_and(|event| to.send(event).is_err()) || over {
                return;
            }
        }
    });
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(0))
}
