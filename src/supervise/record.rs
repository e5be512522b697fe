//! From what the engine tells to what the evidence keeps. The one place where the two meet.

use super::link::{Heard, Link, News, Wish};
use super::{Job, folder, laid, stop};
use crate::backend::fault;
use crate::collected;
use crate::owed::Owed;
use crate::redact::{self, Streams};
use aido_evidence::{Captured, Recording, Stream as Log};
use aido_runtime::{Collected, Command, Control, Enforced, Error, Event, Force, Listener, Outcome, Plan, Stream};
use aido_secrets::Secrets;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::time::TimeSpec;
use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};
use serde_json::json;
use std::collections::VecDeque;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// How often the command line hears that the end of a run goes on.
const BEAT: Duration = Duration::from_secs(1);

/// What was recorded is signed so much later at most, as long as this process goes on.
const CHECKPOINT: Duration = Duration::from_secs(2);

struct Pulse {
    timer: TimerFd,
    until: Instant,
    /// When the command line heard it last.
    said: Instant,
}

/// Writes a run's record while it goes, and listens to the command line.
pub(super) struct Recorder {
    pub(super) recording: Recording,
    /// The project's folder: what came out is held against what it has.
    project: PathBuf,
    pub(super) link: Option<Link>,
    secrets: Secrets,
    pub(super) streams: Streams,
    wishes: VecDeque<Command>,
    /// Signals from other commands: the run is to end.
    signals: SignalFd,
    /// Readable when the link, the signals or the pulse have something to say.
    wake: Epoll,
    /// Goes off when it is time to sign; armed by what is recorded, so that a quiet run is not woken.
    sign: TimerFd,
    armed: bool,
    /// While outputs are brought out, the command line hears that it goes on.
    pulse: Option<Pulse>,
    /// How long bringing them out may take.
    collecting: Duration,
    /// Bytes kept of each stream.
    limit: u64,
    pub(super) enforced: Enforced,
    pub(super) warnings: Vec<String>,
    pub(super) collected: Collected,
    truncated: [bool; 2],
    /// The task was started, so that a failure is not "nothing ran".
    pub(super) started: bool,
    /// What an engine holds of it that would outlive this machine's processes.
    owed: Vec<Owed>,
}

impl Recorder {
    pub(super) fn new(recording: Recording, link: Link, job: &Job) -> Result<Self, Error> {
        let (project, plan, secrets) = (folder(&job.project), &job.plan, &job.kept_out);
        let failed = |e| Error::new(format!("cannot listen for commands: {e}"));
        let mut set = SigSet::empty();
        set.add(Signal::SIGTERM);
        set.add(Signal::SIGINT);
        set.thread_block().map_err(failed)?;
        let signals = SignalFd::with_flags(&set, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK).map_err(failed)?;
        let wake = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).map_err(failed)?;
        let readable = EpollEvent::new(EpollFlags::EPOLLIN, 0);
        wake.add(&signals, readable).map_err(failed)?;
        wake.add(&link, readable).map_err(failed)?;
        let sign = timer().map_err(failed)?;
        wake.add(&sign, readable).map_err(failed)?;
        Ok(Recorder {
            recording,
            project: project.to_path_buf(),
            link: Some(link),
            secrets: secrets.clone(),
            streams: Streams::new(secrets, plan.exact_output),
            wishes: VecDeque::new(),
            signals,
            wake,
            sign,
            armed: false,
            pulse: None,
            collecting: stop::collecting(plan.limits.disk.value),
            limit: plan.limits.output.value,
            enforced: Enforced::default(),
            warnings: Vec::new(),
            collected: Collected::default(),
            truncated: [false; 2],
            started: false,
            owed: Vec::new(),
        })
    }

    pub(super) fn tell(&self, news: &News) {
        if let Some(link) = &self.link {
            link.insist(news);
        }
    }

    /// What goes on record of an event holds no secret.
    pub(super) fn note(&mut self, kind: &str, mut data: serde_json::Value) -> Result<(), Error> {
        redact::value(&self.secrets, &mut data);
        self.recording.event(kind, data).map_err(|e| Error::new(e.to_string()))?;
        self.sign_later();
        Ok(())
    }

    /// What is there now is to be signed soon.
    fn sign_later(&mut self) {
        if !self.armed {
            let once = Expiration::OneShot(TimeSpec::from_duration(CHECKPOINT));
            self.armed = self.sign.set(once, TimerSetTimeFlags::empty()).is_ok();
        }
    }

    /// Signs what was recorded and written so far.
    fn sign(&mut self) {
        self.armed = false;
        // Sets it back, also where it went off just now.
        let _ = self.sign.unset();
        if let Err(error) = self.recording.checkpoint() {
            let warning = format!("the record lacks a checkpoint: {error}");
            if !self.warnings.contains(&warning) {
                self.warnings.push(warning);
            }
        }
    }

    fn sign_if_due(&mut self) {
        let mut due = [PollFd::new(self.sign.as_fd(), PollFlags::POLLIN)];
        if self.armed && poll(&mut due, PollTimeout::ZERO) == Ok(1) {
            self.sign();
        }
    }

    /// The bounds that the run came to.
    pub(super) fn note_limits(&mut self, plan: &Plan, outcome: &Outcome) {
        let dropped = [Log::Stdout, Log::Stderr].map(|log| self.recording.captured(log).dropped);
        for data in laid::limits_hit(plan, outcome, dropped) {
            if let Err(error) = self.note("limit_hit", data) {
                self.warnings.push(format!("the record lacks an event `limit_hit`: {error}"));
            }
        }
    }

    /// The engine is done. What it could not take away is left to a later command.
    pub(super) fn settle(&mut self) {
        for owed in self.owed.drain(..) {
            if let Err(error) = owed.settle() {
                self.warnings.push(format!("something of the run is left, and the next command tries again: {error}"));
            }
        }
    }

    /// From here on there is only copying and sealing.
    fn closing(&mut self) {
        self.tell(&News::Over);
        // Without a pulse the command line's patience is shorter; that is no reason to fail.
        let Ok(timer) = timer() else { return };
        let every = Expiration::Interval(TimeSpec::from_duration(BEAT));
        if timer.set(every, TimerSetTimeFlags::empty()).is_ok()
            && self.wake.add(&timer, EpollEvent::new(EpollFlags::EPOLLIN, 0)).is_ok()
        {
            self.pulse = Some(Pulse { timer, until: Instant::now() + self.collecting, said: Instant::now() });
        }
    }

    pub(super) fn beat(&mut self) {
        let Some(pulse) = &mut self.pulse else { return };
        // Never blocks; what it says is only how often.
        let _ = pulse.timer.wait();
        if let Some(link) = &self.link
            && pulse.said.elapsed() > BEAT / 2
        {
            link.say(&News::Closing);
            pulse.said = Instant::now();
        }
        if Instant::now() > pulse.until {
            self.warnings.push(format!("the outputs were not brought out within {:?}", self.collecting));
            self.pulse = None;
            self.wishes.push_back(Command::Interrupt(nix::libc::SIGTERM));
        }
    }

    fn forget_link(&mut self) {
        if let Some(link) = self.link.take() {
            let _ = self.wake.delete(&link);
        }
    }

    /// Hears the command line out, and other commands.
    fn listen(&mut self) {
        self.beat();
        self.sign_if_due();
        while let Ok(Some(signal)) = self.signals.read_signal() {
            self.wishes.push_back(Command::Interrupt(signal.ssi_signo as i32));
        }
        while let Some(link) = &self.link {
            match link.hear() {
                Heard::Said(Wish::Interrupt { signal }) => self.wishes.push_back(Command::Interrupt(signal)),
                Heard::Said(Wish::Signal { signal }) => self.wishes.push_back(Command::Signal(signal)),
                Heard::Said(Wish::Detach) => self.forget_link(),
                Heard::Nothing => return,
                Heard::Gone => {
                    // Whoever watched is dead: the run ends, as it would with the terminal.
                    self.forget_link();
                    self.wishes.push_back(Command::Interrupt(nix::libc::SIGHUP));
                }
            }
        }
    }

    fn keep(&mut self, stream: Stream, bytes: &[u8]) {
        let log = log(stream);
        // After its bound nothing of a stream is kept: there is nothing to be taken out either.
        let over = self.recording.captured(log).dropped > 0;
        let clean = if over { bytes } else { self.streams.push(log, bytes) };
        let kept = self.recording.output(log, clean);
        self.kept(stream, kept);
    }

    /// The streams are over: what was held back because it could have become a secret is none.
    pub(super) fn finish_output(&mut self) {
        for stream in [Stream::Stdout, Stream::Stderr] {
            let rest = self.streams.finish(log(stream));
            if !rest.is_empty() {
                let kept = self.recording.output(log(stream), rest);
                self.kept(stream, kept);
            }
        }
    }

    fn kept(&mut self, stream: Stream, kept: Result<Captured, aido_evidence::Error>) {
        for found in self.streams.news(log(stream)) {
            let data = json!({"stream": stream.name(), "what": found.what, "count": found.count});
            if let Err(error) = self.note("redacted", data) {
                self.warnings.push(format!("the record lacks an event `redacted`: {error}"));
            }
        }
        match kept {
            Ok(captured) => self.truncation(stream, captured.dropped),
            Err(error) => self.warnings.push(error.to_string()),
        }
    }

    fn truncation(&mut self, stream: Stream, dropped: u64) {
        let seen = &mut self.truncated[usize::from(stream == Stream::Stderr)];
        if dropped > 0 && !std::mem::replace(seen, true) {
            let (stream, limit) = (stream.name().to_string(), self.limit);
            let warning = format!("{stream} went over its bound of {limit} bytes; what follows is not kept");
            self.warnings.push(warning);
            // The end of the run tells how much it was.
            let _ = self.event(Event::OutputTruncated { stream, limit, dropped });
        }
    }
}

impl Listener for Recorder {
    fn event(&mut self, mut event: Event) -> Result<(), Error> {
        match &mut event {
            Event::Enforced { controls } => {
                self.warnings.extend(lacking(controls));
                self.enforced = controls.clone();
                let warnings = self.warnings.iter().map(|warning| redact::text(&self.secrets, warning)).collect();
                self.tell(&News::Ready { warnings });
            }
            Event::Collected(found) => {
                collected::look_over(found, &self.project);
                self.collected = found.clone();
            }
            Event::Started { .. } => self.started = true,
            Event::Held { leftover } => self.owed.extend(Owed::note(self.recording.id().as_str(), leftover)?),
            Event::Ended => {
                self.finish_output();
                self.closing();
            }
            _ => {}
        }
        let mut data = serde_json::to_value(&event).map_err(|e| Error::new(e.to_string()))?;
        let kind = data.as_object_mut().and_then(|fields| fields.remove("type"));
        let kind = kind.as_ref().and_then(|kind| kind.as_str()).unwrap_or("event").to_string();
        let noted = self.note(&kind, data);
        if let Err(error) = &noted {
            self.warnings.push(format!("the record lacks an event `{kind}`: {error}"));
        }
        if matches!(kind.as_str(), "enforced" | "started") {
            // Before the task starts, and when it has.
            self.sign();
        }
        after(&kind);
        if let Some(changed) = collected::changed(&self.collected).filter(|_| kind == "collected") {
            self.note("changed", changed)?;
        }
        noted
    }

    fn output(&mut self, stream: Stream, bytes: &[u8]) {
        self.keep(stream, bytes);
        self.sign_later();
        fault::point("supervise.output");
        if let Some(link) = &self.link {
            link.say(&News::Output);
        }
    }

    fn command(&mut self) -> Option<Command> {
        self.listen();
        self.wishes.pop_front()
    }

    fn wake(&self) -> Option<BorrowedFd<'_>> {
        Some(self.wake.0.as_fd())
    }
}

fn log(stream: Stream) -> Log {
    match stream {
        Stream::Stdout => Log::Stdout,
        Stream::Stderr => Log::Stderr,
    }
}

fn timer() -> nix::Result<TimerFd> {
    TimerFd::new(ClockId::CLOCK_MONOTONIC, TimerFlags::TFD_CLOEXEC | TimerFlags::TFD_NONBLOCK)
}

/// Where tests stop a supervisor that has just recorded an event.
fn after(kind: &str) {
    fault::point(match kind {
        "held" => "supervise.held",
        "enforced" => "supervise.enforced",
        "started" => "supervise.started",
        "deadline_reached" => "supervise.deadline",
        "ended" => "supervise.ended",
        "collected" => "supervise.collected",
        _ => return,
    });
}

/// What does not hold in full, in one sentence; the reasons are in the record, control by control.
fn lacking(controls: &Enforced) -> Option<String> {
    let names = |force: Force| {
        // Without the second wall the first one stands: `aido doctor` and the record say so.
        let lacking = controls.lacking().filter(|(control, _)| *control != Control::SecondWall);
        let chosen = lacking.filter(|(_, standing)| standing.force == force);
        chosen.map(|(control, _)| control.name()).collect::<Vec<_>>().join(", ")
    };
    let (absent, weaker) = (names(Force::Absent), names(Force::Weaker));
    let mut parts = Vec::new();
    if !absent.is_empty() {
        parts.push(format!("not in force: {absent}"));
    }
    if !weaker.is_empty() {
        parts.push(format!("in force in a weaker form: {weaker}"));
    }
    (!parts.is_empty()).then(|| format!("{}; `aido doctor` says why, and what mends it", parts.join("; ")))
}
