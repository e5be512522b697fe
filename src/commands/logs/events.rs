//! What aido recorded, event by event.

use super::{PAUSE, Wanted};
use crate::cli::Logs;
use crate::commands::event;
use crate::words;
use aido_evidence::{Broken, Events, Run, plain_json};
use anyhow::{Context, Result, anyhow};
use std::io::{self, IsTerminal, Write};

pub(super) fn show(run: &Run, asked: &Logs, wanted: &Wanted) -> Result<()> {
    let mut events = run.events()?;
    loop {
        let ended = !asked.follow || !run.is_running()?;
        let broken = show_events(&mut events, wanted, asked.json)?;
        if let Some(broken) = broken.filter(|b| !b.torn_end) {
            return Err(anyhow!(
                "events.log of run {} does not hold from {}; the records before it are as they were written",
                run.id(),
                words::inert(&broken.to_string())
            ));
        }
        if ended {
            return Ok(());
        }
        std::thread::sleep(PAUSE);
        events.again().context("events.log cannot be read")?;
    }
}

fn show_events(events: &mut Events, wanted: &Wanted, json: bool) -> Result<Option<Broken>> {
    let mut out = io::stdout().lock();
    let terminal = out.is_terminal();
    for event in events {
        let event = match event {
            Ok(event) => event,
            Err(broken) => return Ok(Some(broken)),
        };
        let early = |from| event.time.parse::<jiff::Timestamp>().is_ok_and(|time| time < from);
        if wanted.since.is_some_and(early) {
            continue;
        }
        let line = match (json, terminal) {
            // The stored line: whoever reads it can check its hash.
            (true, false) => event.stored,
            (true, true) => plain_json(event.stored),
            (false, _) => event::line(&event),
        };
        if !wanted.matches(line.as_bytes()) {
            continue;
        }
        out.write_all(line.as_bytes()).and_then(|()| out.write_all(b"\n"))?;
    }
    out.flush()?;
    Ok(None)
}
