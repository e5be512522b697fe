//! The command line as a viewer: the same as on Linux, with threads that read, write and catch signals for it.

#[path = "../../../view/patience.rs"]
mod patience;
mod stream;
mod timer;

use super::bell::Bell;
use super::link::{Heard, Link, News, Wish};
use super::start::{Child, Supervisor};
use aido_runtime::{Error, Window};
pub(crate) use patience::{Overdue, Patience};
use std::io::PipeReader;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use stream::Tail;

/// When the run's whole time is over, a reader that takes nothing for so long is given up.
const READER: Duration = Duration::from_secs(5);
/// Nothing is slept through for longer.
const LOOK: Duration = Duration::from_secs(1);
const SIGINT: i32 = 2;
const SIGPIPE: i32 = 13;

/// The command line's end of the task's standard input: it goes over the link.
pub(crate) struct Sink;

/// Nothing has to be made here: the supervisor makes the pipe.
pub(crate) fn input_pipe() -> Result<(Option<PipeReader>, Sink), Error> {
    Ok((None, Sink))
}

/// A terminal for the task: not on this platform yet.
pub(crate) enum Terminal {}

impl Terminal {
    pub(crate) fn of_the_caller() -> Result<Terminal, Error> {
        Err(Error::new("-t is for Linux so far: on this platform a task has no terminal of its own")
            .remedy("leave -t out: `aido run -i` passes standard input on"))
    }

    pub(crate) fn window(&self) -> Option<Window> {
        match *self {}
    }
}

/// How a watched run ended.
pub(crate) enum Ended {
    /// Sealed: its summary tells the rest.
    Sealed { run: String, exit_code: u8 },
    /// aido failed; unless `ran`, the task was not started.
    Failed { run: Option<String>, error: Error, ran: bool },
    /// The supervisor is gone without a word.
    Lost,
    /// The supervisor is there, and does not do what it should.
    Overdue { why: Overdue },
}

/// What is to be shown.
pub(crate) struct Show<'a> {
    /// Whether bytes pass to a terminal as they are.
    pub(crate) raw: bool,
    /// Whether the task's output goes to the caller's streams.
    pub(crate) output: bool,
    /// Whether the caller's standard input goes to the task.
    pub(crate) stdin: Option<Sink>,
    /// There is none here.
    pub(crate) terminal: Option<Terminal>,
    /// Finds the folder of a run and hears the warnings.
    pub(crate) begun: &'a mut dyn FnMut(&str, &str) -> Option<std::path::PathBuf>,
    pub(crate) ready: &'a mut dyn FnMut(&[String]),
}

static CAME: AtomicUsize = AtomicUsize::new(0);
static WAKE: OnceLock<Bell> = OnceLock::new();

/// Ctrl-C and what else ends programs, caught instead. Which of them came is not known here: all count as Ctrl-C.
pub(crate) struct Signals {
    seen: usize,
}

impl Signals {
    pub(crate) fn catch() -> Result<Signals, Error> {
        let caught = ctrlc::set_handler(|| {
            CAME.fetch_add(1, Ordering::SeqCst);
            if let Some(bell) = WAKE.get() {
                bell.ring();
            }
        });
        match caught {
            Ok(()) | Err(ctrlc::Error::MultipleHandlers) => Ok(Signals { seen: CAME.load(Ordering::SeqCst) }),
            Err(e) => Err(Error::new(format!("cannot catch signals: {e}"))),
        }
    }

    /// The next one that came; never blocks.
    pub(crate) fn next(&mut self) -> Option<i32> {
        (CAME.load(Ordering::SeqCst) > self.seen).then(|| {
            self.seen += 1;
            SIGINT
        })
    }
}

/// Catches the signals that are meant for the run. Before the supervisor is made, so that none is lost.
pub(crate) fn catch_signals(_terminal: bool) -> Result<Signals, Error> {
    Signals::catch()
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
            Heard::Said(News::Output | News::Over | News::Closing) => {}
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
) -> Result<(Ended, [u64; 2]), Error> {
    debug_assert!(show.terminal.is_none(), "no terminal was given to the task");
    let bell = link.bell();
    // One run is watched by a process.
    let _ = WAKE.set(bell.clone());
    if show.stdin.is_some() {
        link.feed(std::io::stdin());
    }
    let tails = [Tail::new(std::io::stdout(), show.raw, bell), Tail::new(std::io::stderr(), show.raw, bell)];
    let mut viewer = Viewer { link, patience, tails, output: show.output, run: None, ended: None };
    let ended = viewer.turns(signals, show.begun, show.ready)?;
    Ok((ended, viewer.tails.each_ref().map(Tail::unseen)))
}

struct Viewer<'a> {
    link: &'a Link,
    patience: Patience,
    tails: [Tail; 2],
    output: bool,
    run: Option<String>,
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
                    News::Ready { warnings } => ready(&warnings),
                    News::Output | News::Over | News::Closing => {}
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
            self.link.bell().wait(self.patience.timer().left().min(LOOK));
            while let Some(signal) = signals.next() {
                self.ask_to_end(signal)?;
            }
        }
    }

    /// Shows what is left of the output, to a reader that takes it. A second signal ends even that.
    fn finish(&mut self, signals: &mut Signals) -> Result<Ended, Error> {
        let shown = |tails: &[Tail; 2]| tails.each_ref().map(Tail::unseen);
        let (mut before, mut moved) = (shown(&self.tails), Instant::now());
        while self.pass_output()? {
            let now = shown(&self.tails);
            if now != before {
                (before, moved) = (now, Instant::now());
            }
            let given_up = self.patience.is_spent() && moved.elapsed() > READER;
            if given_up || signals.next().is_some() {
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
