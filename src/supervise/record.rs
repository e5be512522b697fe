//! From what the engine tells to what the evidence keeps. The one place where the two meet.

mod pulse;

use super::due::{Due, FIRST};
use super::link::{Heard, Link, News, Wish};
use super::{Job, folder, laid, stop};
use crate::backend::{self, fault};
use crate::collected;
use crate::gate;
use crate::host::ears::Ears;
use crate::mend;
use crate::owed::Owed;
use crate::reached::Tally;
use crate::redact::{self, Streams};
use aido_evidence::{Captured, Recording, Stream as Log};
use aido_runtime::{
    Collected, Command, Control, Doors, Enforced, Error, Event, Force, Listener, Outcome, Plan, Stream, Wake,
};
use aido_secrets::Secrets;
use pulse::Pulse;
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::path::PathBuf;
use std::time::Duration;

/// What signals mean on the way to an engine, by Linux' numbers.
const SIGHUP: i32 = 1;
const SIGTERM: i32 = 15;

/// What is held back of a terminal's output is shown in its first bytes after so long without more: a person waits.
const SHOWN: Duration = Duration::from_millis(30);

/// What was recorded is signed so much later at most, as long as this process goes on.
const CHECKPOINT: Duration = Duration::from_secs(2);

/// Writes a run's record while it goes, and listens to the command line.
pub(super) struct Recorder {
    pub(super) recording: Recording,
    /// The project's folder: what came out is held against what it has.
    project: PathBuf,
    pub(super) link: Option<Link>,
    secrets: Secrets,
    pub(super) streams: Streams,
    wishes: VecDeque<Command>,
    /// Signals from other commands, and the times to sign and to beat.
    pub(super) ears: Ears,
    /// Of a plan that has one.
    pub(super) gateway: Option<gate::Standing>,
    /// What it told so far, added up.
    pub(super) reached: Option<Tally>,
    /// It is to be signed soon; armed by what is recorded, so that a quiet run is not woken.
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
    /// The command that says what does not hold, and why.
    doctor: &'static str,
    /// What an engine holds of it that would outlive this machine's processes.
    owed: Vec<Owed>,
    /// What is known before anything is made, until it is on record.
    pub(super) due: Option<Due>,
    pub(super) plan_digest: Option<String>,
}

impl Recorder {
    pub(super) fn new(recording: Recording, link: Link, job: &Job) -> Result<Self, Error> {
        let (project, plan, secrets) = (folder(&job.project), &job.plan, &job.kept_out);
        let ears = Ears::new(&link, plan.task.tty);
        let ears = ears.map_err(|e| Error::new(format!("cannot listen for commands: {e}")))?;
        Ok(Recorder {
            recording,
            project: project.to_path_buf(),
            link: Some(link),
            secrets: secrets.clone(),
            streams: Streams::new(secrets, plan.exact_output),
            wishes: VecDeque::new(),
            ears,
            gateway: None,
            reached: None,
            armed: false,
            pulse: None,
            collecting: stop::collecting(plan.limits.disk.value),
            limit: plan.limits.output.value,
            enforced: Enforced::default(),
            warnings: Vec::new(),
            collected: Collected::default(),
            truncated: [false; 2],
            started: false,
            doctor: backend::doctor(job.backend),
            owed: Vec::new(),
            due: None,
            plan_digest: None,
        })
    }

    pub(super) fn tell(&self, news: &News) {
        if let Some(link) = &self.link {
            link.insist(news);
        }
    }

    /// What goes on record of an event holds no secret.
    pub(super) fn note(&mut self, kind: &str, mut data: Value) -> Result<(), Error> {
        if !FIRST.contains(&kind) {
            self.settle_due()?;
        }
        redact::value(&self.secrets, &mut data);
        self.recording.event(kind, data).map_err(|e| mend::evidence(&e))?;
        self.sign_later();
        Ok(())
    }

    /// What is there now is to be signed soon.
    fn sign_later(&mut self) {
        if !self.armed {
            self.armed = self.ears.sign_in(CHECKPOINT);
        }
    }

    /// Signs what was recorded and written so far.
    fn sign(&mut self) -> Result<(), Error> {
        self.armed = false;
        self.ears.sign_never();
        self.recording.checkpoint().map_err(|error| {
            let warning = format!("the record lacks a checkpoint: {error}");
            if !self.warnings.contains(&warning) {
                self.warnings.push(warning);
            }
            mend::evidence(&error)
        })
    }

    fn sign_if_due(&mut self) {
        if self.armed && self.ears.is_time_to_sign() {
            // What it lacks is among the warnings.
            let _ = self.sign();
        }
    }

    fn show_later(&mut self) {
        if self.streams.holds(Log::Stdout) {
            self.ears.show_in(SHOWN);
        }
    }

    fn show_if_due(&mut self) {
        if !self.ears.is_time_to_show() {
            return;
        }
        let first = self.streams.show(Log::Stdout);
        if !first.is_empty() {
            let kept = self.recording.output(Log::Stdout, first);
            self.kept(Stream::Stdout, kept);
            self.tell_of_output();
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
        self.end_gateway();
        for owed in self.owed.drain(..) {
            if let Err(error) = owed.settle() {
                self.warnings.push(format!("something of the run is left, and the next command tries again: {error}"));
            }
        }
    }

    fn tell_of_output(&self) {
        if let Some(link) = &self.link {
            link.say(&News::Output);
        }
    }

    fn forget_link(&mut self) {
        if let Some(link) = self.link.take() {
            self.ears.forget(&link);
        }
    }

    /// Hears the command line out, and other commands.
    fn listen(&mut self) {
        self.beat();
        self.hear_gateway();
        self.sign_if_due();
        self.show_if_due();
        while let Some(signal) = self.ears.signal() {
            self.wishes.push_back(Command::Interrupt(signal));
        }
        while let Some(link) = &self.link {
            match link.hear() {
                Heard::Said(Wish::Interrupt { signal }) => self.wishes.push_back(Command::Interrupt(signal)),
                Heard::Said(Wish::Signal { signal }) => self.wishes.push_back(Command::Signal(signal)),
                Heard::Said(Wish::Resize { window }) => self.wishes.push_back(Command::Resize(window)),
                Heard::Said(Wish::Detach) => self.forget_link(),
                Heard::Nothing => return,
                Heard::Gone => {
                    // Whoever watched is dead: the run ends, as it would with the terminal.
                    self.forget_link();
                    self.wishes.push_back(Command::Interrupt(SIGHUP));
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
        self.recording.rest();
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
                self.warnings.extend(lacking(controls, self.doctor));
                self.enforced = controls.clone();
                let warnings = self.warnings.iter().map(|warning| redact::text(&self.secrets, warning)).collect();
                self.tell(&News::Ready { warnings });
            }
            Event::Collected(found) => {
                self.note_collected(None);
                collected::look_over(found, &self.project);
                self.collected = found.clone();
            }
            Event::Started { .. } => self.started = true,
            Event::Held { leftover } => {
                self.owed.extend(Owed::note(self.recording.id().as_str(), self.owed.len(), leftover)?)
            }
            Event::Ended => {
                self.end_gateway();
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
        // What is to be run, and within what, is signed before any of it can; then, that it does.
        let noted = match kind.as_str() {
            "enforced" => noted.and_then(|()| self.sign()),
            "started" => noted.and_then(|()| self.sign().or(Ok(()))),
            _ => noted,
        };
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
        self.tell_of_output();
        self.show_later();
    }

    fn building(&mut self) -> Result<(), Error> {
        self.settle_due()
    }

    fn collected_so_far(&mut self, bytes: u64) {
        self.note_collected(Some(bytes));
        // Where nothing wakes the engine for it, this is when it can be said.
        self.beat();
    }

    fn command(&mut self) -> Option<Command> {
        self.listen();
        self.wishes.pop_front()
    }

    fn doors(&mut self, doors: Doors) -> Result<(), Error> {
        self.open_doors(doors)
    }

    fn wake(&self) -> Option<Wake<'_>> {
        self.ears.wake()
    }
}

fn log(stream: Stream) -> Log {
    match stream {
        Stream::Stdout => Log::Stdout,
        Stream::Stderr => Log::Stderr,
    }
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
fn lacking(controls: &Enforced, doctor: &str) -> Option<String> {
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
    (!parts.is_empty()).then(|| format!("{}; `{doctor}` says why, and what mends it", parts.join("; ")))
}
