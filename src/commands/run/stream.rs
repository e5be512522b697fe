//! `aido run --json`: what goes on record as it comes, one line of JSON each, and the summary as the last line.

use crate::host::streams;
use crate::words;
use aido_evidence::{Run, plain_json};
use serde_json::{Value, json};
use std::io::IsTerminal;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// Version of the lines. 1: first.
const VERSION: u32 = 1;
/// How long the record is left alone between two looks.
const PAUSE: Duration = Duration::from_millis(50);
/// A reader that takes nothing for so long gets no more events; the summary is tried all the same.
const PATIENCE: Duration = Duration::from_secs(10);

/// Somebody who reads along; the task's own output is not shown meanwhile, so that nothing mixes.
pub(super) struct Stream {
    over: Arc<AtomicBool>,
    reader: JoinHandle<()>,
}

impl Stream {
    /// Reads along from the run's first event.
    pub(super) fn of(run: Run) -> Stream {
        let over = Arc::new(AtomicBool::new(false));
        let told = over.clone();
        Stream { over, reader: thread::spawn(move || follow(&run, &told)) }
    }

    /// Waits until all that is on record was shown, or nobody took it.
    pub(super) fn end(self) {
        self.over.store(true, Ordering::Release);
        let _ = self.reader.join();
    }
}

fn follow(run: &Run, over: &AtomicBool) {
    let mut events = None;
    loop {
        // Asked before reading: what was written before the end is then read for certain.
        let last = over.load(Ordering::Acquire);
        match &mut events {
            None => events = run.events().ok(),
            Some(events) => drop(events.again()),
        }
        let new = events.iter_mut().flatten().map_while(Result::ok);
        if !new.into_iter().all(|event| shown(&event.stored)) || last {
            return;
        }
        thread::sleep(PAUSE);
    }
}

/// The event as it is stored, so that whoever reads it can check its hash. False: nobody takes it.
fn shown(stored: &str) -> bool {
    let taken = streams::stdout_hears(Instant::now() + PATIENCE);
    if taken {
        print(format!("{{\"version\":{VERSION},\"event\":{stored}}}"));
    }
    taken
}

/// The last line.
pub(super) fn summary(summary: &Value) {
    print(json!({"version": VERSION, "summary": summary}).to_string());
}

/// The only line of a run that goes on by itself.
pub(super) fn detached(run: &str) {
    print(json!({"version": VERSION, "run": run}).to_string());
}

fn print(line: String) {
    let line = if std::io::stdout().is_terminal() { plain_json(line) } else { line };
    words::print(&(line + "\n"));
}
