//! What long work shows while it goes on: a pull a line for each layer in flight and one for all of it, other work one
//! line with its bytes; on a terminal, and nothing elsewhere, where lines that overwrite each other are noise in
//! somebody's log.
//!
//! No terminal mode is changed and no cursor hidden, so that nothing has to be mended after Ctrl-C.

use crate::words;
use aido_image::{LayerId, Progress, Step};
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::collections::HashMap;
use std::io::IsTerminal;
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// Drawn so often in a second at most.
const RATE: u8 = 10;
/// Lines that stay free: the total, and the command that was typed.
const FREE: usize = 2;
const LAYER: &str =
    "  {prefix} [{wide_bar:.=> }] {binary_bytes:>10} of {binary_total_bytes:<10} {binary_bytes_per_sec:>12} {msg:<11}";
const NARROW: &str = "  {prefix} {binary_bytes} of {binary_total_bytes} {msg}";
const TOTAL: &str = "aido: {msg}";
/// Work over bytes: how many are known, how many are not, and the first in little room.
const WORK: &str =
    "aido: {prefix} [{wide_bar:.=> }] {binary_bytes:>10} of {binary_total_bytes:<10} {binary_bytes_per_sec:>12}";
const OPEN: &str = "aido: {prefix}, {binary_bytes}, {binary_bytes_per_sec}";
const NARROW_WORK: &str = "aido: {prefix}, {binary_bytes} of {binary_total_bytes}";
/// Work over bytes that ends sooner shows nothing: a line that flashes tells nobody anything.
pub(crate) const DELAY: Duration = Duration::from_millis(400);

/// The listener of one command.
pub(crate) struct Shown {
    state: Option<Mutex<State>>,
}

/// Silent where nobody looks.
pub(crate) fn shown(quiet: bool) -> Shown {
    let dumb = std::env::var_os("TERM").is_none_or(|term| term.is_empty() || term == "dumb");
    let silent = quiet || dumb || !std::io::stderr().is_terminal();
    Shown { state: (!silent).then(|| Mutex::new(State::new(ProgressDrawTarget::stderr_with_hz(RATE), size))) }
}

/// Of the terminal; one that does not say counts as the smallest that was ever common.
fn size() -> (usize, usize) {
    crate::host::streams::terminal_size().unwrap_or((24, 80))
}

impl Shown {
    /// Takes every line away. What is said next stands where they stood.
    pub(crate) fn clear(&self) {
        self.with(State::clear);
    }

    /// Work over so many bytes begins; 0 where nobody knows how many. [`Shown::passed`] tells how far it is.
    pub(crate) fn work(&self, doing: &'static str, bytes: u64) {
        self.with(|state| state.begin(doing, bytes, Instant::now()));
    }

    /// So many bytes more are done.
    pub(crate) fn passed(&self, bytes: u64) {
        self.with(|state| state.pass(bytes, Instant::now()));
    }

    /// Whether anything is ever shown.
    pub(crate) fn is_silent(&self) -> bool {
        self.state.is_none()
    }

    /// One line on what is going on.
    pub(crate) fn say(&self, what: String) {
        self.with(|state| state.say(words::inert(&what)));
    }

    /// What an engine tells of its own pull or load.
    pub(crate) fn engine(&self, told: &aido_runtime_docker::Progress) {
        self.with(|state| state.engine(told));
    }

    fn with(&self, change: impl FnOnce(&mut State)) {
        if let Some(Ok(mut state)) = self.state.as_ref().map(Mutex::lock) {
            change(&mut state);
        }
    }
}

impl Progress for Shown {
    fn step(&self, step: Step<'_>) {
        self.with(|state| state.step(step));
    }
}

struct State {
    lines: MultiProgress,
    /// Lines and columns of the terminal, as it is now.
    size: fn() -> (usize, usize),
    total: Option<ProgressBar>,
    layers: HashMap<LayerId, Layer>,
    work: Option<Work>,
    expected: u64,
    came: u64,
    /// Bytes of an archive, before it is known what it holds.
    read: u64,
    done: usize,
    present: usize,
    /// Layers of an engine's pull: bytes that came, and of how many.
    engine: HashMap<String, (u64, u64)>,
}

/// Work over bytes.
struct Work {
    line: ProgressBar,
    since: Instant,
    is_shown: bool,
}

struct Layer {
    size: u64,
    came: u64,
    /// There while the layer is in flight and there is room for a line.
    line: Option<ProgressBar>,
}

impl State {
    fn new(target: ProgressDrawTarget, size: fn() -> (usize, usize)) -> State {
        let lines = MultiProgress::with_draw_target(target);
        State {
            lines,
            size,
            total: None,
            layers: HashMap::new(),
            work: None,
            expected: 0,
            came: 0,
            read: 0,
            done: 0,
            present: 0,
            engine: HashMap::new(),
        }
    }

    /// An engine downloads and unpacks by itself; what it says of one layer is added up.
    fn engine(&mut self, told: &aido_runtime_docker::Progress) {
        if let (Some(layer), Some(current)) = (&told.layer, told.current) {
            let of = told.total.unwrap_or_default().max(current);
            self.engine.insert(layer.clone(), (current, of));
        }
        let (came, all) = self.engine.values().fold((0, 0), |(came, all), (c, a)| (came + c, all + a));
        let status = words::inert(&told.status).to_lowercase();
        self.say(match all {
            0 => format!("the engine: {status}"),
            _ => format!("the engine: {status}, {} of {}", words::size(came), words::size(all)),
        });
    }

    fn step(&mut self, step: Step<'_>) {
        match step {
            Step::Resolving { name } => self.say(format!("looking for {}", words::inert(name))),
            Step::Reading { bytes } => self.read(bytes),
            Step::Planned { layers, present } => self.plan(layers, present),
            Step::Advanced { layer, bytes } => self.advance(layer, bytes),
            Step::Waiting { layer } => self.tell(layer, "waiting"),
            Step::Unpacked { layer } => self.finish(layer),
            Step::Retrying { why, wait } => self.note(why, wait),
            Step::Working { doing, bytes } => self.begin(doing, bytes, Instant::now()),
            Step::Passed { bytes } => self.pass(bytes, Instant::now()),
            _ => {}
        }
    }

    fn begin(&mut self, doing: &'static str, bytes: u64, now: Instant) {
        self.clear();
        // It counts from the first byte on, and draws when it is added to the others.
        let line = ProgressBar::with_draw_target((bytes > 0).then_some(bytes), ProgressDrawTarget::hidden());
        let template = match (self.size)().1 {
            _ if bytes == 0 => OPEN,
            ..72 => NARROW_WORK,
            _ => WORK,
        };
        let style = ProgressStyle::with_template(template);
        let line = style.map(|style| line.clone().with_style(style)).unwrap_or(line);
        self.work = Some(Work { line: line.with_prefix(doing), since: now, is_shown: false });
    }

    fn pass(&mut self, bytes: u64, now: Instant) {
        let Some(work) = &mut self.work else { return };
        work.line.inc(bytes);
        if !work.is_shown && now.saturating_duration_since(work.since) >= DELAY {
            work.line = self.lines.add(work.line.clone());
            work.is_shown = true;
            work.line.tick();
        }
    }

    fn read(&mut self, bytes: u64) {
        self.read += bytes;
        self.say(format!("reading the archive, {}", words::size(self.read)));
    }

    fn plan(&mut self, layers: &[(LayerId, u64)], present: usize) {
        self.clear();
        self.layers = layers.iter().map(|(id, size)| (*id, Layer { size: *size, came: 0, line: None })).collect();
        self.expected = layers.iter().map(|(_, size)| size).sum();
        (self.came, self.done, self.present) = (0, 0, present);
        if !layers.is_empty() {
            self.sum_up();
        }
    }

    fn advance(&mut self, id: &LayerId, bytes: u64) {
        let Some(layer) = self.layers.get_mut(id) else { return };
        layer.came += bytes;
        self.came += bytes;
        let (came, whole) = (layer.came, layer.came >= layer.size);
        self.tell(id, if whole { "unpacking" } else { "downloading" });
        if let Some(line) = self.layers.get(id).and_then(|layer| layer.line.as_ref()) {
            line.set_position(came);
        }
        self.sum_up();
    }

    /// A word on a layer in flight; its line is made if there is room for one.
    fn tell(&mut self, id: &LayerId, word: &'static str) {
        let (height, width) = (self.size)();
        let shown = self.layers.values().filter(|layer| layer.line.is_some()).count();
        let room = shown + FREE < height;
        let Some(layer) = self.layers.get_mut(id) else { return };
        if layer.line.is_none() && room {
            let style = ProgressStyle::with_template(if width < 72 { NARROW } else { LAYER });
            let line = ProgressBar::new(layer.size).with_prefix(id.0.hex()[..12].to_owned());
            let line = style.map(|style| line.clone().with_style(style)).unwrap_or(line);
            layer.line = Some(match &self.total {
                Some(total) => self.lines.insert_before(total, line),
                None => self.lines.add(line),
            });
        }
        if let Some(line) = layer.line.as_ref().filter(|line| line.message() != word) {
            line.set_message(word);
        }
    }

    fn finish(&mut self, id: &LayerId) {
        self.done += 1;
        if let Some(line) = self.layers.get_mut(id).and_then(|layer| layer.line.take()) {
            line.finish_and_clear();
            self.lines.remove(&line);
        }
        if self.done >= self.layers.len() { self.clear() } else { self.sum_up() }
    }

    fn sum_up(&mut self) {
        let present = if self.present > 0 { format!(", {} here already", self.present) } else { String::new() };
        self.say(format!(
            "{} of {}, {} of {} layers{present}",
            words::size(self.came),
            words::size(self.expected),
            self.done,
            self.layers.len()
        ));
    }

    /// A line that stays.
    fn note(&mut self, why: &str, wait: Duration) {
        let wait = wait.as_secs_f32().ceil();
        let _ = self.lines.println(format!("aido: {}; trying again in {wait} s", words::inert(why)));
    }

    fn say(&mut self, what: String) {
        let lines = &self.lines;
        let total = self.total.get_or_insert_with(|| {
            let total = ProgressBar::no_length();
            let style = ProgressStyle::with_template(TOTAL);
            lines.add(style.map(|style| total.clone().with_style(style)).unwrap_or(total))
        });
        if total.message() != what {
            total.set_message(what);
        }
    }

    fn clear(&mut self) {
        let layers = self.layers.values_mut().filter_map(|layer| layer.line.take());
        let work = self.work.take().filter(|work| work.is_shown).map(|work| work.line);
        for line in layers.chain(self.total.take()).chain(work) {
            line.finish_and_clear();
            self.lines.remove(&line);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aido_image::Digest;

    fn id(n: u8) -> LayerId {
        LayerId(Digest::of(&[n]))
    }

    fn begun(height: fn() -> (usize, usize), layers: u8) -> State {
        let mut state = State::new(ProgressDrawTarget::hidden(), height);
        let planned: Vec<(LayerId, u64)> = (0..layers).map(|n| (id(n), 10)).collect();
        state.step(Step::Planned { layers: &planned, present: 1 });
        state
    }

    fn lines(state: &State) -> usize {
        state.layers.values().filter(|layer| layer.line.is_some()).count()
    }

    #[test]
    fn only_layers_in_flight_have_a_line_and_the_terminal_bounds_them() {
        let mut state = begun(|| (5, 80), 9);
        assert_eq!(lines(&state), 0);
        for n in 0..9 {
            state.step(Step::Advanced { layer: &id(n), bytes: 4 });
        }
        assert_eq!(lines(&state), 3);
        let total = state.total.as_ref().unwrap().message();
        assert_eq!(total, "36 B of 90 B, 0 of 9 layers, 1 here already");
        for n in 0..9 {
            state.step(Step::Advanced { layer: &id(n), bytes: 6 });
            let word = state.layers[&id(n)].line.as_ref().map(ProgressBar::message);
            assert!(word.is_none_or(|word| word == "unpacking"));
            state.step(Step::Unpacked { layer: &id(n) });
        }
        assert!(lines(&state) == 0 && state.total.is_none(), "something stays on the terminal");
    }

    #[test]
    fn whoever_waits_is_shown_and_an_end_clears_all() {
        let mut state = begun(|| (24, 80), 2);
        state.step(Step::Waiting { layer: &id(1) });
        assert_eq!(state.layers[&id(1)].line.as_ref().unwrap().message(), "waiting");
        state.step(Step::Advanced { layer: &id(99), bytes: 4 });
        state.clear();
        assert!(lines(&state) == 0 && state.total.is_none());
    }

    #[test]
    fn work_over_bytes_is_shown_when_it_takes_its_time() {
        let mut state = State::new(ProgressDrawTarget::hidden(), || (24, 80));
        let now = Instant::now();
        state.begin("verifying", 4000, now);
        state.pass(1500, now + DELAY / 2);
        assert!(!state.work.as_ref().unwrap().is_shown, "it flashes");
        state.pass(500, now + DELAY);
        let work = state.work.as_ref().unwrap();
        assert!(work.is_shown && work.line.position() == 2000 && work.line.length() == Some(4000));
        state.begin("writing", 0, now + DELAY);
        let work = state.work.as_ref().unwrap();
        assert!(!work.is_shown && work.line.prefix() == "writing" && work.line.length().is_none());
        state.clear();
        state.pass(1, now + 2 * DELAY);
        assert!(state.work.is_none());
    }

    #[test]
    fn an_archive_that_is_read_says_how_far() {
        let mut state = State::new(ProgressDrawTarget::hidden(), || (24, 80));
        state.step(Step::Reading { bytes: 100 });
        state.step(Step::Reading { bytes: 23 });
        assert_eq!(state.total.as_ref().unwrap().message(), "reading the archive, 123 B");
    }

    #[test]
    fn the_templates_are_sound() {
        for template in [LAYER, NARROW, TOTAL, WORK, OPEN, NARROW_WORK] {
            ProgressStyle::with_template(template).unwrap();
        }
    }
}
