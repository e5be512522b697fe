//! One run, from nothing to nothing: volumes, an archive, a container, its end, its outputs.

use crate::attach;
use crate::client::Session;
use crate::collect;
use crate::frames::Fields;
use crate::image;
use crate::places::Places;
use crate::seccomp::Profile;
use crate::shape::Names;
use crate::watch::{Seen, Watch};
use crate::{leftover, os, stand, warden};
use aido_runtime::{
    Collected, Command, Doors, End, Enforced, Error, Event, Gate, Io, Isolation, Listener, Network, Outcome, Plan,
    Root, Stream, Usage, Wake,
};
use bollard::query_parameters::StartContainerOptions;
use std::collections::VecDeque;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// To make everything, and to bring everything out: nobody looks after a run for longer than limit, grace and this.
const MARGIN_MS: u64 = 600_000;
/// Outputs are brought out at least that fast, in bytes for each millisecond.
const SLOWEST: u64 = 5_000;

/// A plan that this engine can hold.
pub(crate) struct Ready {
    pub(crate) places: Places,
    pub(crate) profile: Profile,
    pub(crate) image: image::Here,
    pub(crate) program: &'static [u8],
    pub(crate) enforced: Enforced,
}

/// Checks everything that can be known before something is made.
pub(crate) async fn prepare(session: &Session, plan: &Plan) -> Result<Ready, Error> {
    if plan.isolation == Isolation::Landlock {
        return Err(Error::new(
            "--isolation landlock is the host's own kernel without namespaces: no container engine has that",
        )
        .remedy("--isolation full, or --backend linux"));
    }
    let root = match &plan.root {
        Root::Image { reference, digest, layers } => (reference, digest, layers),
        Root::Host => {
            let serves = image::instead_of_the_host(plan.task.programs.first().map_or("", String::as_str));
            return Err(Error::new(
                "runtime: host is this host's own toolchains, and a container engine is not given any of them",
            )
            .remedy(format!("--runtime {serves}, or --backend linux")));
        }
        Root::Folder { path } => {
            let remedy = format!(
                "tar -C {0} -c . | docker import - NAME, and --runtime NAME; or --backend linux",
                path.display()
            );
            return Err(Error::new("a root folder of this host is not mounted into a container").remedy(remedy));
        }
    };
    let about = &session.about;
    if about.os != "linux" {
        let what = format!("the engine at {} runs containers of {:?}, and tasks need Linux", session.at, about.os);
        return Err(Error::new(what).remedy("Docker Desktop: switch to Linux containers"));
    }
    let program = warden::program(&about.arch)?;
    inputs_are_there(plan)?;
    let places = Places::of(&plan.mounts, &|source| source.is_dir())?;
    let profile = Profile::of(&plan.syscalls)?;
    let mut enforced = stand::by_engine(plan, &places, &profile, about);
    stand::settle(plan, stand::bounds(plan, about), &mut enforced)?;
    let image = image::here(session, root.0, root.1, root.2).await?;
    Ok(Ready { places, profile, image, program, enforced })
}

/// Runs a plan to its end. Whatever happens, nothing of it is left if the engine can still be reached.
pub(crate) async fn run(
    session: &Session,
    name: &str,
    plan: &Plan,
    io: Io,
    listener: &mut dyn Listener,
) -> Result<Outcome, Error> {
    let ready = prepare(session, plan).await?;
    let deadline = plan.deadline;
    let rest_ms = MARGIN_MS.saturating_add(plan.limits.disk.value / SLOWEST);
    let lives_ms = deadline.ttl_ms.saturating_add(deadline.grace_ms).saturating_add(rest_ms);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let names = Names::new(name, &os::user(), now.saturating_add(lives_ms / 1000));
    listener.event(Event::Held { leftover: leftover::named(&session.at, &names.run) })?;
    listener.building()?;
    let gate = gate_of(plan, &io)?;
    let mut early = Early { listener, kept: VecDeque::new(), interrupted: None };
    let result = Conduct { session, plan, names: &names, rest_ms, gate }.run(ready, io, &mut early).await;
    let Early { listener, interrupted, .. } = early;
    // What cannot be removed now is on record as held: the next command tries again.
    let _ = leftover::remove(session, &names.run).await;
    match (result, interrupted) {
        (Err(_), Some(signal)) => {
            let _ = listener.event(Event::Ended);
            let _ = listener.event(Event::Collected(Collected::default()));
            let end = End::Interrupted { signal };
            Ok(Outcome { end, usage: Usage::default(), refused: Vec::new(), executed: Vec::new() })
        }
        (result, _) => result,
    }
}

/// What is known of the gateway of a plan that has one.
fn gate_of(plan: &Plan, io: &Io) -> Result<Option<Gate>, Error> {
    match (&plan.network, &io.gate) {
        (Network::None, _) => Ok(None),
        (Network::Gateway(_), Some(gate)) => Ok(Some(gate.clone())),
        (Network::Gateway(_), None) => Err(Error::new("the plan's network was given no gateway")),
    }
}

/// A listener that is asked already while everything is being made: what is meant for the task waits for it.
pub(crate) struct Early<'a> {
    listener: &'a mut dyn Listener,
    kept: VecDeque<Command>,
    /// Nobody wants the run any more, and it has not begun.
    interrupted: Option<i32>,
}

impl Early<'_> {
    /// Waits for the engine, and hears meanwhile whether anybody still wants the run.
    pub(crate) async fn wait<T>(&mut self, future: impl Future<Output = T>) -> Result<T, Error> {
        let mut future = std::pin::pin!(future);
        loop {
            tokio::select! {
                done = &mut future => return Ok(done),
                () = os::wish(&*self.listener) => {}
            }
            while let Some(command) = self.listener.command() {
                if let Command::Interrupt(signal) = command {
                    self.interrupted = Some(signal);
                    return Err(Error::new("interrupted before the task was started"));
                }
                self.kept.push_back(command);
            }
        }
    }
}

impl Listener for Early<'_> {
    fn event(&mut self, event: Event) -> Result<(), Error> {
        self.listener.event(event)
    }

    fn output(&mut self, stream: Stream, bytes: &[u8]) {
        self.listener.output(stream, bytes);
    }

    fn building(&mut self) -> Result<(), Error> {
        self.listener.building()
    }

    fn collected_so_far(&mut self, bytes: u64) {
        self.listener.collected_so_far(bytes);
    }

    fn command(&mut self) -> Option<Command> {
        self.kept.pop_front().or_else(|| self.listener.command())
    }

    fn doors(&mut self, doors: Doors) -> Result<(), Error> {
        self.listener.doors(doors)
    }

    fn wake(&self) -> Option<Wake<'_>> {
        self.listener.wake()
    }
}

pub(crate) struct Conduct<'a> {
    pub(crate) session: &'a Session,
    pub(crate) plan: &'a Plan,
    pub(crate) names: &'a Names,
    pub(crate) rest_ms: u64,
    /// Of a plan with a network.
    pub(crate) gate: Option<Gate>,
}

impl Conduct<'_> {
    async fn run(&self, ready: Ready, mut io: Io, listener: &mut Early<'_>) -> Result<Outcome, Error> {
        let Ready { mut enforced, .. } = ready;
        let ready = Ready { enforced: Enforced::default(), ..ready };
        self.make(&ready, listener).await?;
        let carried = self.make_task(&ready, listener).await?;
        let container = self.names.task();
        let task = &self.plan.task;
        let wires = attach::attach(self.session, &container, task.tty, task.is_typed_to()).await?;
        let starting = self.session.api.start_container(&container, None::<StartContainerOptions>);
        listener.wait(starting).await?.map_err(self.session.failed("the container could not be started"))?;
        let mut watch = Watch::new(self.session, &container, wires, task.tty);
        let shown = watch.report().await?;
        stand::prove(self.plan, &shown, &mut enforced)?;
        if carried.is_some() {
            listener.doors(Doors { carried, ..Doors::default() })?;
        }
        let words = [word()?, word()?];
        self.hand_over(&ready, &io, words, listener).await?;
        if let Some(window) = io.window.filter(|_| task.tty) {
            watch.resize(window).await;
        }
        listener.event(Event::Enforced { controls: enforced })?;
        let seen = watch.watch(self.plan.deadline, words, io.stdin.take(), listener).await?;
        let gone = seen.end.as_ref().is_some_and(|end| end.number("gone") == Some(1));
        let outcome = self.judge(seen).await?;
        // The task is over: whatever fails from here on does not change how it ended. The listener
        // remembers what it could not record.
        let _ = listener.event(Event::Ended);
        let collected = match &outcome.end {
            _ if gone => collect::collect(self.session, &container, &io, self.plan, listener).await,
            End::NotFound { .. } | End::NotExecutable { .. } => Collected::default(),
            _ => Collected::lost("they went with the container's first process"),
        };
        let _ = listener.event(Event::Collected(collected));
        Ok(outcome)
    }

    /// How the run ended, from what was seen of it.
    async fn judge(&self, seen: Seen) -> Result<Outcome, Error> {
        let program = || self.plan.task.programs.join(" or ");
        let mut usage = seen.end.as_ref().map(usage).unwrap_or_default();
        if usage.wall_ms == 0 {
            usage.wall_ms = seen.wall.as_millis() as u64;
        }
        let outcome = |end| Outcome { end, usage, refused: Vec::new(), executed: Vec::new() };
        if let Some((step, number)) = seen.failed {
            const NOT_FOUND: i32 = 2;
            const NO_FOLDER: i32 = 20;
            let why = linux_words(number);
            return match (step, number) {
                (b'e', NOT_FOUND | NO_FOLDER) => Ok(outcome(End::NotFound { program: program() })),
                (b'e', _) => Ok(outcome(End::NotExecutable { program: program(), why })),
                (b'c', _) => Err(Error::new(format!("the working folder {}: {why}", self.plan.task.workdir))),
                _ => Err(Error::new(format!("aido's first process in the container could not start the task: {why}"))),
            };
        }
        let Some(end) = &seen.end else { return Ok(outcome(self.lost(&seen).await)) };
        let status = end.number("status").unwrap_or(0);
        let (signal, code) = ((status & 0x7f) as i32, (status >> 8 & 0xff) as u8);
        let killed = end.count("events", "oom_kill").or(end.count("events1", "oom_kill")).unwrap_or(0);
        // A shell ends in order after its child was killed, and passes that on as 137.
        if killed > 0 && (signal != 0 || code == 137) {
            return Ok(outcome(End::OutOfMemory { limit: self.plan.limits.memory.value, peak: usage.memory_peak }));
        }
        Ok(outcome(match () {
            () if seen.deadline => End::Deadline { ttl_ms: self.plan.deadline.ttl_ms },
            () if seen.interrupted.is_some() => End::Interrupted { signal: seen.interrupted.unwrap_or(0) },
            () if signal != 0 => End::Signalled { signal },
            () => End::Exited { code },
        }))
    }

    /// The warden did not say how it ended: the engine may know.
    async fn lost(&self, seen: &Seen) -> End {
        let inspecting = self.session.api.inspect_container(&self.names.run, None);
        let state = tokio::time::timeout(Duration::from_secs(10), inspecting).await;
        let state = state.map_or(None, Result::ok).and_then(|told| told.state);
        match state {
            Some(state) if state.oom_killed == Some(true) => {
                End::OutOfMemory { limit: self.plan.limits.memory.value, peak: None }
            }
            _ if seen.deadline => End::Deadline { ttl_ms: self.plan.deadline.ttl_ms },
            Some(_) if seen.interrupted.is_some() => End::Interrupted { signal: seen.interrupted.unwrap_or(0) },
            Some(state) => {
                let code = state.exit_code.unwrap_or_default();
                End::Lost { why: format!("the container was ended from outside (its first process: {code})") }
            }
            None => {
                let broken = seen.broken.as_ref().map(|why| format!(" ({why})")).unwrap_or_default();
                End::Lost { why: format!("the engine at {} went away while the task ran{broken}", self.session.at) }
            }
        }
    }
}

/// What the run used, as the kernel counted in the container.
fn usage(end: &Fields) -> Usage {
    let count = |name: &str| end.number(name).and_then(|number| u64::try_from(number).ok());
    let either = |new: &str, old: &str, name: &str| end.count(new, name).or(end.count(old, name));
    Usage {
        wall_ms: count("wall").unwrap_or(0),
        cpu_user_us: end.count("cpustat", "user_usec").or(count("user")),
        cpu_system_us: end.count("cpustat", "system_usec").or(count("system")),
        memory_peak: count("peak").or(count("peak1")),
        // Without the warden.
        pids_peak: count("pidspeak").map(|peak| peak.saturating_sub(1)),
        pids_refused: either("pidsevents", "pidsevents1", "max"),
        cpu_throttled: either("cpustat", "cpustat1", "nr_throttled"),
    }
}

/// An error number of Linux in words, wherever this program runs.
fn linux_words(number: i32) -> String {
    match number {
        1 => "Operation not permitted".into(),
        2 => "No such file or directory".into(),
        7 => "Argument list too long".into(),
        8 => "Exec format error".into(),
        12 => "Cannot allocate memory".into(),
        13 => "Permission denied".into(),
        20 => "Not a directory".into(),
        21 => "Is a directory".into(),
        26 => "Text file busy".into(),
        40 => "Too many levels of symbolic links".into(),
        74 => "what it was told makes no sense to it".into(),
        other => format!("error {other} of Linux"),
    }
}

/// A word that nobody can guess.
fn word() -> Result<[u8; 32], Error> {
    let mut random = [0; 16];
    getrandom::fill(&mut random).map_err(|e| Error::new(format!("there is no randomness: {e}")))?;
    let mut word = [0; 32];
    for (pair, byte) in word.chunks_mut(2).zip(random) {
        let digit = |bits: u8| b"0123456789abcdef"[usize::from(bits & 15)];
        pair.copy_from_slice(&[digit(byte >> 4), digit(byte)]);
    }
    Ok(word)
}

/// An input that is missing is named as that, and not as a place that cannot be had.
fn inputs_are_there(plan: &Plan) -> Result<(), Error> {
    for mount in &plan.mounts {
        if let aido_runtime::MountKind::Input { source, .. } = &mount.kind {
            let looked = source.symlink_metadata();
            looked.map_err(|e| Error::new(format!("cannot open {}: {e}", source.display())))?;
        }
    }
    Ok(())
}
