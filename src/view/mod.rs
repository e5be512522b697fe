//! The command line as a viewer: shows a run's output while it is written, passes signals and
//! standard input on. It owns nothing; if it dies, the supervisor knows. If the supervisor does not do what
//! it should in time, it is given up.

mod patience;
mod show;
mod stream;
mod terminal;
mod timer;

use crate::supervise::link::{Heard, Link, News, Wish};
use crate::supervise::start::{Child, Supervisor};
use aido_runtime::Error;
use aido_runtime_linux::Rest;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
pub(crate) use patience::{Overdue, Patience};
pub(crate) use show::{Closing, Ended, Show, Watched};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};
use stream::{Input, Tail};
pub(crate) use stream::{Sink, input_pipe};
pub(crate) use terminal::Terminal;

/// When the run's whole time is over, a reader that takes nothing for so long is given up.
const READER: Duration = Duration::from_secs(5);

/// Of so many bytes between two waits more will follow at once, and for so many milliseconds nobody misses them: a
/// supervisor that need not wake anybody with each piece takes more of them.
const FLOW: u64 = 64 << 10;
const PAUSE: u16 = 1;

/// What a terminal has to say by signals, beside the end.
const OF_A_TERMINAL: [Signal; 3] = [Signal::SIGWINCH, Signal::SIGTSTP, Signal::SIGCONT];

/// Catches the signals that are meant for the run, and those of a terminal that is the task's. Before the supervisor
/// is made, so that none is lost.
pub(crate) fn catch_signals(terminal: bool) -> Result<SignalFd, Error> {
    let mut set: SigSet = [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP, Signal::SIGQUIT].into_iter().collect();
    if terminal {
        set.extend(OF_A_TERMINAL);
    }
    let failed = |e| Error::new(format!("cannot catch signals: {e}"));
    set.thread_block().map_err(failed)?;
    SignalFd::with_flags(&set, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK).map_err(failed)
}

/// Waits until the task is about to start: for those who do not stay.
pub(crate) fn until_ready(
    supervisor: &Supervisor,
    patience: &mut Patience,
    begun: &mut dyn FnMut(&str),
    ready: &mut dyn FnMut(&[String]),
) -> Result<Option<Overdue>, Error> {
    loop {
        // Asked for first: what it said before its end is still to be heard.
        let gone = supervisor.process.is_gone();
        match supervisor.link.hear() {
            Heard::Said(News::Begun { run, .. }) => begun(&run),
            Heard::Said(News::Ready { warnings }) => {
                ready(&warnings);
                return Ok(None);
            }
            Heard::Said(News::Failed { what, remedy, .. }) => return Err(Error { what, remedy }),
            Heard::Said(News::Ended { .. }) => return Ok(None),
            Heard::Said(News::Output | News::Over | News::Closing { .. }) => {}
            Heard::Nothing if gone => return Err(Error::new("the run's supervisor was killed")),
            Heard::Gone => return Err(Error::new("the run's supervisor was killed")),
            Heard::Nothing => {
                if let Some(overdue) = patience.overdue()? {
                    return Ok(Some(overdue));
                }
                let all = [Some(supervisor.link.as_fd()), Some(patience.timer().wake()), supervisor.process.wake()];
                let all = all.into_iter().flatten();
                let mut polled: Vec<_> = all.map(|fd| PollFd::new(fd, PollFlags::POLLIN)).collect();
                match poll(&mut polled, PollTimeout::NONE) {
                    Ok(_) | Err(nix::errno::Errno::EINTR) => {}
                    Err(e) => return Err(Error::new(format!("cannot wait for the run: {e}"))),
                }
            }
        }
    }
}

/// Watches a run to its end.
pub(crate) fn watch(
    process: &Child,
    link: &Link,
    signals: &mut SignalFd,
    patience: Patience,
    show: Show<'_>,
) -> Result<Watched, Error> {
    let stdout = std::io::stdout();
    let stderr = std::io::stderr();
    let mut viewer = Viewer {
        process,
        link,
        patience,
        tails: [Tail::new(stdout.as_fd(), show.raw)?, Tail::new(stderr.as_fd(), show.raw)?],
        passed: 0,
        input: Input::new(show.stdin),
        output: show.output,
        rest: Rest::default(),
        terminal: show.terminal,
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
    process: &'a Child,
    link: &'a Link,
    patience: Patience,
    tails: [Tail; 2],
    /// Bytes of both that were passed on before the last wait.
    passed: u64,
    input: Input,
    output: bool,
    rest: Rest,
    terminal: Option<Terminal>,
    run: Option<String>,
    closing: Closing<'a>,
    ended: Option<News>,
}

impl Viewer<'_> {
    fn turns(
        &mut self,
        signals: &mut SignalFd,
        begun: &mut dyn FnMut(&str, &str) -> Option<std::path::PathBuf>,
        ready: &mut dyn FnMut(&[String]),
    ) -> Result<Ended, Error> {
        loop {
            // Asked for first: what it said before its end is still to be heard.
            let gone = self.process.is_gone();
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
            if gone || self.ended.is_some() {
                return self.finish(signals);
            }
            if let Some(why) = self.patience.overdue()? {
                self.pass_output(false)?;
                return Ok(Ended::Overdue { why });
            }
            self.pass_output(false)?;
            self.wait(signals)?;
            self.pass_signals(signals)?;
            self.input.pass();
        }
    }

    /// Shows how far outputs are brought out: below all that the task wrote, and in a terminal that is the caller's again.
    fn show_closing(&mut self, collected: Option<u64>) -> Result<(), Error> {
        if self.closing.is_silent() || self.pass_output(false)? {
            return Ok(());
        }
        drop(self.terminal.take());
        let unfinished = self.tails.iter().any(Tail::is_in_a_line);
        self.closing.goes_on(collected, unfinished);
        Ok(())
    }

    /// Shows what is left of the output, to a reader that takes it. A second signal ends even that.
    fn finish(&mut self, signals: &mut SignalFd) -> Result<Ended, Error> {
        self.closing.end();
        let shown = |tails: &[Tail; 2]| tails.each_ref().map(Tail::unseen);
        let (mut before, mut moved) = (shown(&self.tails), Instant::now());
        while self.pass_output(true)? {
            let now = shown(&self.tails);
            if now != before {
                (before, moved) = (now, Instant::now());
            }
            let given_up = self.patience.is_spent() && moved.elapsed() > READER;
            if given_up || end_of(signals).is_some() {
                break;
            }
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

    fn wait(&mut self, signals: &SignalFd) -> Result<(), Error> {
        let before = std::mem::replace(&mut self.passed, self.tails.iter().map(Tail::passed).sum());
        // The link comes first: it is what a pause does not wait for.
        let always = [self.link.as_fd(), signals.as_fd(), self.patience.timer().wake()];
        let always = always.into_iter().chain(self.process.wake());
        let mut polled: Vec<PollFd<'_>> = always.map(|fd| PollFd::new(fd, PollFlags::POLLIN)).collect();
        polled.extend(self.tails.iter().filter_map(Tail::waits_for).map(|fd| PollFd::new(fd, PollFlags::POLLOUT)));
        let stdin = std::io::stdin();
        if let Some(target) = self.input.waits_for_room() {
            polled.push(PollFd::new(target, PollFlags::POLLOUT));
        } else if self.input.reads() {
            polled.push(PollFd::new(stdin.as_fd(), PollFlags::POLLIN));
        }
        if self.passed - before >= FLOW && poll(&mut polled[1..], PollTimeout::from(PAUSE)) != Ok(0) {
            return Ok(());
        }
        match self.rest.poll(&mut polled, PollTimeout::NONE) {
            Ok(_) | Err(nix::errno::Errno::EINTR) => Ok(()),
            Err(e) => Err(Error::new(format!("cannot wait for the run: {e}"))),
        }
    }

    fn pass_signals(&mut self, signals: &mut SignalFd) -> Result<(), Error> {
        while let Ok(Some(signal)) = signals.read_signal() {
            match Signal::try_from(signal.ssi_signo as i32) {
                Ok(Signal::SIGTSTP) => {
                    self.terminal.iter_mut().for_each(Terminal::suspend);
                    self.take_terminal_again();
                }
                Ok(Signal::SIGCONT) => self.take_terminal_again(),
                Ok(Signal::SIGWINCH) => self.tell_size(),
                _ => self.ask_to_end(signal.ssi_signo as i32)?,
            }
        }
        Ok(())
    }

    fn take_terminal(&mut self) {
        let keys = self.input.is_open();
        self.terminal.iter_mut().for_each(|terminal| terminal.take(keys));
        self.tell_size();
    }

    /// Whoever had it in the meantime may have changed it.
    fn take_terminal_again(&mut self) {
        if self.terminal.as_ref().is_some_and(Terminal::is_taken) {
            self.take_terminal();
        }
    }

    fn tell_size(&self) {
        if let Some(window) = self.terminal.as_ref().and_then(Terminal::window) {
            self.link.say(&Wish::Resize { window });
        }
    }

    fn ask_to_end(&mut self, signal: i32) -> Result<(), Error> {
        self.link.say(&Wish::Interrupt { signal });
        self.patience.asked_to_end(signal)
    }

    /// Copies new output as far as the targets take it; true if it may have more to copy.
    fn pass_output(&mut self, patiently: bool) -> Result<bool, Error> {
        let (mut more, mut gone) = (false, false);
        for tail in &mut self.tails {
            more |= tail.pass(patiently)?;
            gone |= tail.take_end()?;
        }
        if gone {
            // As in any pipeline: nobody reads on, so there is no point in going on.
            self.ask_to_end(nix::libc::SIGPIPE)?;
        }
        Ok(more)
    }
}

/// The next signal that asks for the end; what else a terminal has to say is passed over.
fn end_of(signals: &mut SignalFd) -> Option<i32> {
    while let Ok(Some(signal)) = signals.read_signal() {
        let number = signal.ssi_signo as i32;
        if !OF_A_TERMINAL.iter().any(|other| *other as i32 == number) {
            return Some(number);
        }
    }
    None
}
