//! The command line as a viewer: the same as on Linux, with threads that read, write and catch signals for it.

mod keys;
#[path = "../../../view/patience.rs"]
mod patience;
#[path = "../../../view/show.rs"]
mod show;
#[cfg_attr(windows, path = "events.rs")]
mod signals;
mod stream;
#[cfg_attr(unix, path = "../../../view/terminal.rs")]
#[cfg_attr(windows, path = "console.rs")]
mod terminal;
mod timer;

use super::bell::Bell;
use super::link::{Heard, Link, News, Wish};
use super::start::{Child, Supervisor};
use aido_runtime::{Error, Window};
use keys::Keys;
pub(crate) use patience::{Overdue, Patience};
pub(crate) use show::{Closing, Ended, Show, Watched};
pub(crate) use signals::{Signals, hold};
use std::io::PipeReader;
use std::sync::OnceLock;
use std::time::{Duration, Instant};
use stream::Tail;
pub(crate) use terminal::Terminal;

/// When the run's whole time is over, a reader that takes nothing for so long is given up.
const READER: Duration = Duration::from_secs(5);
/// Nothing is slept through for longer.
const LOOK: Duration = Duration::from_secs(1);
/// How often a terminal is asked for its size: not every platform has a signal for another one.
const SIZE: Duration = Duration::from_millis(200);
const SIGPIPE: i32 = 13;

/// The command line's end of the task's standard input: it goes over the link.
pub(crate) struct Sink;

/// Nothing has to be made here: the supervisor makes the pipe.
pub(crate) fn input_pipe() -> Result<(Option<PipeReader>, Sink), Error> {
    Ok((None, Sink))
}

static WAKE: OnceLock<Bell> = OnceLock::new();

/// What came from outside: a signal, or what Windows has for one.
#[cfg_attr(windows, expect(dead_code, reason = "no program is stopped by a key there"))]
pub(crate) enum Came {
    /// The run is to end.
    End(i32),
    /// This process is to stop, as a job does.
    Suspend,
    /// It was stopped, and goes on.
    Continued,
}

/// Has the viewer look.
fn wake() {
    if let Some(bell) = WAKE.get() {
        bell.ring();
    }
}

/// Catches the signals that are meant for the run, and those of a terminal that is the task's. Before the supervisor is
/// made, so that none is lost.
pub(crate) fn catch_signals(terminal: bool) -> Result<Signals, Error> {
    Signals::catch(terminal)
}

/// Waits until the task is about to start: for those who do not stay.
pub(crate) fn until_ready(
    supervisor: &Supervisor,
    patience: &mut Patience,
    begun: &mut dyn FnMut(&str),
    ready: &mut dyn FnMut(&[String]),
) -> Result<Option<Overdue>, Error> {
    loop {
        match supervisor.link.hear() {
            Heard::Said(News::Begun { run, .. }) => begun(&run),
            Heard::Said(News::Ready { warnings }) => {
                ready(&warnings);
                return Ok(None);
            }
            Heard::Said(News::Failed { what, remedy, .. }) => return Err(Error { what, remedy }),
            Heard::Said(News::Ended { .. }) => return Ok(None),
            Heard::Said(News::Output | News::Over | News::Closing { .. }) => {}
            Heard::Gone => return Err(Error::new("the run's supervisor was killed")),
            Heard::Nothing => {
                if let Some(overdue) = patience.overdue()? {
                    return Ok(Some(overdue));
                }
                supervisor.link.bell().wait(patience.timer().left().min(LOOK));
            }
        }
    }
}

/// Watches a run to its end.
pub(crate) fn watch(
    _process: &Child,
    link: &Link,
    signals: &mut Signals,
    patience: Patience,
    show: Show<'_>,
) -> Result<Watched, Error> {
    let bell = link.bell();
    // One run is watched by a process.
    let _ = WAKE.set(bell.clone());
    // The keys of a terminal are read when they are the task's.
    if show.stdin.is_some() && show.terminal.is_none() {
        link.feed(std::io::stdin());
    }
    let mut viewer = Viewer {
        link,
        patience,
        tails: [Tail::new(std::io::stdout(), show.raw, bell), Tail::new(std::io::stderr(), show.raw, bell)],
        output: show.output,
        keys: show.stdin.is_some(),
        terminal: show.terminal,
        size: None,
        run: None,
        closing: Closing::shown(show.progress),
        ended: None,
    };
    let ended = viewer.turns(signals, show.begun, show.ready)?;
    // Before anything more is said.
    drop(viewer.terminal.take());
    let unfinished = !viewer.closing.has_ended_the_line() && viewer.tails.iter().any(Tail::is_in_a_line);
    Ok(Watched { ended, unseen: viewer.tails.each_ref().map(Tail::unseen), unfinished })
}

struct Viewer<'a> {
    link: &'a Link,
    patience: Patience,
    tails: [Tail; 2],
    output: bool,
    /// Whether what is typed goes to the task.
    keys: bool,
    terminal: Option<Terminal>,
    /// The size that was told last.
    size: Option<Window>,
    run: Option<String>,
    closing: Closing<'a>,
    ended: Option<News>,
}

impl Viewer<'_> {
    fn turns(
        &mut self,
        signals: &mut Signals,
        begun: &mut dyn FnMut(&str, &str) -> Option<std::path::PathBuf>,
        ready: &mut dyn FnMut(&[String]),
    ) -> Result<Ended, Error> {
        loop {
            loop {
                let news = match self.link.hear() {
                    Heard::Said(news) => news,
                    Heard::Nothing => break,
                    Heard::Gone => return self.finish(signals),
                };
                self.patience.heard(&news)?;
                match news {
                    News::Begun { run, sandbox } => {
                        if let (Some(folder), true) = (begun(&run, &sandbox), self.output) {
                            self.tails[0].follow(&folder.join("stdout.log"))?;
                            self.tails[1].follow(&folder.join("stderr.log"))?;
                        }
                        self.run = Some(run);
                    }
                    News::Ready { warnings } => {
                        ready(&warnings);
                        self.take_terminal();
                    }
                    News::Output => {}
                    News::Over => self.closing.begin(),
                    News::Closing { collected } => self.show_closing(collected)?,
                    ended => self.ended = Some(ended),
                }
            }
            if self.ended.is_some() {
                return self.finish(signals);
            }
            if let Some(why) = self.patience.overdue()? {
                self.pass_output()?;
                return Ok(Ended::Overdue { why });
            }
            self.pass_output()?;
            let at_most = if self.is_at_terminal() { SIZE } else { LOOK };
            self.link.bell().wait(self.patience.timer().left().min(at_most));
            self.pass_signals(signals)?;
            self.tell_size();
        }
    }

    /// Shows how far outputs are brought out: below all that the task wrote, and in a terminal that is the caller's again.
    fn show_closing(&mut self, collected: Option<u64>) -> Result<(), Error> {
        if self.closing.is_silent() || self.pass_output()? {
            return Ok(());
        }
        drop(self.terminal.take());
        let unfinished = self.tails.iter().any(Tail::is_in_a_line);
        self.closing.goes_on(collected, unfinished);
        Ok(())
    }

    /// Shows what is left of the output, to a reader that takes it. A second signal ends even that.
    fn finish(&mut self, signals: &mut Signals) -> Result<Ended, Error> {
        self.closing.end();
        let shown = |tails: &[Tail; 2]| tails.each_ref().map(Tail::unseen);
        let (mut before, mut moved) = (shown(&self.tails), Instant::now());
        while self.pass_output()? {
            let now = shown(&self.tails);
            if now != before {
                (before, moved) = (now, Instant::now());
            }
            let given_up = self.patience.is_spent() && moved.elapsed() > READER;
            if given_up || end_of(signals).is_some() {
                break;
            }
            self.link.bell().wait(Duration::from_millis(200));
        }
        for tail in &mut self.tails {
            tail.complete();
        }
        let run = self.run.take();
        Ok(match (self.ended.take(), run) {
            (Some(News::Ended { exit_code }), Some(run)) => Ended::Sealed { run, exit_code },
            (Some(News::Failed { what, remedy, ran }), run) => {
                Ended::Failed { run, error: Error { what, remedy }, ran }
            }
            _ => Ended::Lost,
        })
    }

    fn pass_signals(&mut self, signals: &mut Signals) -> Result<(), Error> {
        while let Some(came) = signals.next() {
            match came {
                Came::End(signal) => self.ask_to_end(signal)?,
                Came::Suspend => {
                    self.terminal.iter_mut().for_each(Terminal::suspend);
                    self.take_terminal_again();
                }
                Came::Continued => self.take_terminal_again(),
            }
        }
        Ok(())
    }

    fn is_at_terminal(&self) -> bool {
        self.terminal.as_ref().is_some_and(Terminal::is_taken)
    }

    fn take_terminal(&mut self) {
        let Some(terminal) = &mut self.terminal else { return };
        let first = !terminal.is_taken();
        terminal.take(self.keys);
        // Not before: what waits to be read might be read by the rules of before.
        if first && self.keys {
            self.link.feed(Keys::of(std::io::stdin()));
        }
        self.tell_size();
    }

    /// Whoever had it in the meantime may have changed it.
    fn take_terminal_again(&mut self) {
        if self.is_at_terminal() {
            self.take_terminal();
        }
    }

    fn tell_size(&mut self) {
        let now = self.terminal.as_ref().filter(|terminal| terminal.is_taken()).and_then(Terminal::window);
        if let Some(window) = now.filter(|_| now != self.size) {
            self.link.say(&Wish::Resize { window });
            self.size = now;
        }
    }

    fn ask_to_end(&mut self, signal: i32) -> Result<(), Error> {
        self.link.say(&Wish::Interrupt { signal });
        self.patience.asked_to_end(signal)
    }

    /// Copies new output as far as the targets take it; true if something is still to be taken.
    fn pass_output(&mut self) -> Result<bool, Error> {
        let (mut more, mut gone) = (false, false);
        for tail in &mut self.tails {
            more |= tail.pass()?;
            gone |= tail.take_end()?;
        }
        if gone {
            // As in any pipeline: nobody reads on, so there is no point in going on.
            self.ask_to_end(SIGPIPE)?;
        }
        Ok(more)
    }
}

/// The next signal that asks for the end; what else a terminal has to say is passed over.
fn end_of(signals: &mut Signals) -> Option<i32> {
    while let Some(came) = signals.next() {
        if let Came::End(signal) = came {
            return Some(signal);
        }
    }
    None
}
