//! What a pull shows while it works: lines on a terminal, nothing elsewhere.

use aido_image::{Progress, Silent, Step};
use std::collections::HashMap;
use std::io::{IsTerminal, Write};
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// The listener for this command: silent where nobody looks.
pub(crate) fn shown(quiet: bool) -> Box<dyn Progress> {
    if quiet || !std::io::stderr().is_terminal() { Box::new(Silent) } else { Box::new(Line::default()) }
}

/// One line that is written over and over.
#[derive(Default)]
struct Line {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    total: u64,
    layers: usize,
    unpacked: usize,
    present: usize,
    done: HashMap<String, u64>,
    drawn: Option<Instant>,
    visible: bool,
}

impl Progress for Line {
    fn step(&self, step: Step<'_>) {
        let Ok(mut state) = self.state.lock() else { return };
        let mut now = true;
        match step {
            Step::Resolving { name } => state.say(&format!("looking for {name}")),
            Step::Planned { layers, present } => {
                state.total = layers.iter().map(|(_, size)| size).sum();
                state.layers = layers.len();
                state.present = present;
            }
            Step::Advanced { layer, bytes } => {
                *state.done.entry(layer.to_string()).or_default() += bytes;
                now = false;
            }
            Step::Unpacked { .. } => state.unpacked += 1,
            _ => return,
        }
        if state.layers > 0 && (now || state.drawn.is_none_or(|drawn| drawn.elapsed() > Duration::from_millis(100))) {
            state.draw();
        }
    }
}

impl State {
    fn draw(&mut self) {
        let done: u64 = self.done.values().sum();
        let size = crate::words::size;
        let present = if self.present > 0 { format!(", {} here already", self.present) } else { String::new() };
        let line = format!(
            "{} of {}, {} of {} layers unpacked{present}",
            size(done),
            size(self.total),
            self.unpacked,
            self.layers
        );
        self.say(&line);
        self.drawn = Some(Instant::now());
    }

    fn say(&mut self, line: &str) {
        self.visible = true;
        let _ = write!(std::io::stderr(), "\r\x1b[Kaido: {}", crate::words::inert(line));
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        if self.state.lock().is_ok_and(|state| state.visible) {
            let _ = write!(std::io::stderr(), "\r\x1b[K");
        }
    }
}
