//! Looking after a running task: its output, its deadline, what the user wants, how it ends.

use crate::cgroup::Group;
use crate::handshake;
use crate::hear::{Heard, Hearing};
use crate::layer::{Meter, Over};
use crate::script::Step;
use crate::spawn::{self, Live};
use crate::sys::Rest;
use crate::terminal::{self, Typing};
use crate::wire::{LENGTH, Order, Report};
use aido_runtime::{Command, Deadline, Error, Event, Listener, Stream};
use nix::poll::{PollFd, PollFlags, PollTimeout};
use nix::sys::time::TimeSpec;
use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

/// After the last process is gone nobody writes any more; what is in a pipe is read within this.
const DRAIN: Duration = Duration::from_millis(500);

/// What the supervisor saw. The judgement is made from it afterwards.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    /// The task's wait status, from the guard.
    pub(crate) status: Option<i32>,
    /// The task never executed: the step and the number of the error.
    pub(crate) not_executed: Option<(Step, i32)>,
    /// The guard itself failed while it gave its privileges up.
    pub(crate) guard_failed: Option<(Step, u32, i32)>,
    pub(crate) deadline: bool,
    pub(crate) interrupted: Option<i32>,
    /// The memory limit killed somebody.
    pub(crate) out_of_memory: bool,
    /// More was written to layers than the plan allows.
    pub(crate) out_of_disk: Option<Over>,
    pub(crate) wall: Duration,
    /// What the task did and was refused.
    pub(crate) heard: Heard,
}

/// Why the run is being ended, and until when it may do so itself.
struct Ending {
    kill_at: Instant,
}

struct Watch<'a> {
    live: &'a Live,
    group: Option<&'a Group>,
    deadline: Deadline,
    hearing: Option<Hearing>,
    meter: Option<Meter>,
    rest: Rest,
    /// Where the task's streams are a terminal.
    typing: Option<Typing<'a>>,
    timer: TimerFd,
    ending: Option<Ending>,
    seen: Seen,
    buffer: Vec<u8>,
    stdout_open: bool,
    stderr_open: bool,
    started_open: bool,
    control_open: bool,
    started_at: Instant,
}

/// What a look into a stream gave.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Read {
    Some,
    Nothing,
    End,
}

/// What a turn of the loop waits for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Source {
    Guard,
    Timer,
    Control,
    Started,
    Stdout,
    Stderr,
    Memory,
    Disk,
    Wish,
    Heard,
    /// Something is to be typed.
    Typed,
    /// The terminal takes more.
    Room,
}

/// Runs the task of a built sandbox to its end. When it returns, nothing of the run lives.
pub(crate) fn watch(
    live: &Live,
    group: Option<&Group>,
    deadline: Deadline,
    hearing: Option<Hearing>,
    meter: Option<Meter>,
    listener: &mut dyn Listener,
) -> Result<Seen, Error> {
    let timer = deadline_timer(deadline)?;
    handshake::execute(live)?;
    let mut watch = Watch {
        live,
        group,
        deadline,
        hearing,
        meter,
        rest: Rest::default(),
        typing: live.terminal.as_ref().map(|terminal| Typing::new(&live.stdout, terminal)),
        timer,
        ending: None,
        seen: Seen::default(),
        buffer: vec![0; 1 << 17],
        stdout_open: true,
        stderr_open: true,
        started_open: true,
        control_open: true,
        started_at: Instant::now(),
    };
    let result = watch.turns(listener);
    watch.seen.wall = watch.started_at.elapsed();
    if let Some(group) = group {
        watch.seen.out_of_memory |= group.oom_kills() > 0;
        // Without a PID namespace nothing but the group has all that the task started.
        if live.user_namespace.is_none() {
            group.kill();
        }
    }
    live.end();
    let meter = watch.meter.take();
    result?;
    watch.drain(listener);
    meter.map_or(Ok(()), |meter| watch.measure(meter))?;
    if let Some(hearing) = watch.hearing {
        watch.seen.heard = hearing.end(listener)?;
    }
    Ok(watch.seen)
}

/// A clock that also runs while the machine sleeps.
fn deadline_timer(deadline: Deadline) -> Result<TimerFd, Error> {
    let failed = |e| Error::new(format!("cannot set the deadline's timer: {e}"));
    let flags = TimerFlags::TFD_CLOEXEC | TimerFlags::TFD_NONBLOCK;
    let timer = TimerFd::new(ClockId::CLOCK_BOOTTIME, flags).map_err(failed)?;
    let ttl = TimeSpec::from_duration(Duration::from_millis(deadline.ttl_ms.max(1)));
    timer.set(Expiration::OneShot(ttl), TimerSetTimeFlags::empty()).map_err(failed)?;
    Ok(timer)
}

impl Watch<'_> {
    fn turns(&mut self, listener: &mut dyn Listener) -> Result<(), Error> {
        loop {
            let ready = self.wait(listener)?;
            // The order matters: what was reported counts before what follows from it.
            if ready.contains(&Source::Started) {
                self.started(listener)?;
            }
            if ready.contains(&Source::Control) {
                self.control();
            }
            if ready.contains(&Source::Stdout) {
                self.stdout_open = self.read(Stream::Stdout, listener) != Read::End;
            }
            if ready.contains(&Source::Stderr) {
                self.stderr_open = self.read(Stream::Stderr, listener) != Read::End;
            }
            if ready.contains(&Source::Timer) {
                self.time_is_up(listener)?;
            }
            if ready.contains(&Source::Memory) && self.group.is_some_and(|group| group.oom_kills() > 0) {
                self.seen.out_of_memory = true;
                return Ok(());
            }
            if let (true, Some(meter)) = (ready.contains(&Source::Disk), &self.meter) {
                self.seen.out_of_disk = Some(meter.hear()?);
                return Ok(());
            }
            if ready.contains(&Source::Wish) {
                self.wishes(listener)?;
            }
            if ready.contains(&Source::Heard)
                && let Some(hearing) = &mut self.hearing
            {
                hearing.tell(!self.started_open, listener);
            }
            if let Some(typing) = &mut self.typing {
                typing.step(ready.contains(&Source::Typed), ready.contains(&Source::Room));
            }
            if ready.contains(&Source::Guard) || self.kill_is_due() {
                return Ok(());
            }
        }
    }

    /// Waits for the next thing to do.
    fn wait(&self, listener: &dyn Listener) -> Result<Vec<Source>, Error> {
        let mut sources: Vec<(Source, BorrowedFd<'_>)> = vec![(Source::Guard, self.live.guard.pidfd.as_fd())];
        if let Some(typing) = &self.typing {
            sources.extend(typing.reads().map(|fd| (Source::Typed, fd)));
            sources.extend(typing.waits_for_room().map(|fd| (Source::Room, fd)));
        }
        let mut add = |wanted: bool, source, fd| {
            if wanted {
                sources.push((source, fd));
            }
        };
        add(!self.seen.deadline, Source::Timer, self.timer.as_fd());
        add(self.control_open, Source::Control, self.live.control.as_fd());
        add(self.started_open, Source::Started, self.live.started.as_fd());
        add(self.stdout_open, Source::Stdout, self.live.stdout.as_fd());
        add(self.stderr_open, Source::Stderr, self.live.stderr.as_fd());
        if let Some(fd) = self.group.and_then(Group::oom_watch) {
            add(true, Source::Memory, fd);
        }
        if let Some(meter) = &self.meter {
            add(true, Source::Disk, meter.bell());
        }
        if let Some(fd) = listener.wake() {
            add(true, Source::Wish, fd);
        }
        if let Some(fd) = self.hearing.as_ref().and_then(|hearing| hearing.bell(!self.started_open)) {
            add(true, Source::Heard, fd);
        }
        let wanted = |source| if source == Source::Room { PollFlags::POLLOUT } else { PollFlags::POLLIN };
        let mut polled: Vec<_> = sources.iter().map(|(source, fd)| PollFd::new(*fd, wanted(*source))).collect();
        let timeout = match &self.ending {
            Some(ending) => ending.kill_at.saturating_duration_since(Instant::now()),
            None => Duration::from_secs(3600),
        };
        // Rounded up, so that a turn never spins through the last millisecond.
        let timeout = PollTimeout::try_from(timeout + Duration::from_millis(1)).unwrap_or(PollTimeout::MAX);
        match self.rest.poll(&mut polled, timeout) {
            Ok(_) | Err(nix::errno::Errno::EINTR) => {}
            Err(e) => return Err(Error::new(format!("cannot wait for the task: {e}"))),
        }
        let ready = sources.iter().zip(&polled).filter(|(_, p)| p.revents().is_some_and(|r| !r.is_empty()));
        Ok(ready.map(|((source, _), _)| *source).collect())
    }

    /// A last look at the layer, with nothing alive that could write: how quick the task was must not matter, nor
    /// whether it heeded that a file grew no further. What is being ended for another reason is not measured.
    fn measure(&mut self, meter: Meter) -> Result<(), Error> {
        let seen = &mut self.seen;
        if let (Some(status), None, None, false) = (seen.status, seen.out_of_disk, seen.interrupted, seen.deadline) {
            let stopped = libc::WIFSIGNALED(status) && libc::WTERMSIG(status) == libc::SIGXFSZ;
            seen.out_of_disk = meter.last(stopped)?;
        }
        Ok(())
    }

    fn started(&mut self, listener: &mut dyn Listener) -> Result<(), Error> {
        let mut packet = [0; LENGTH];
        let length = rustix::io::read(&self.live.started, &mut packet).unwrap_or(0);
        self.started_open = false;
        match packet.get(..length).and_then(Report::decode) {
            Some(Report::Failed { step, errno, .. }) => self.seen.not_executed = Some((step, errno)),
            // Closed by the kernel at the exec: the task runs.
            _ => listener.event(Event::Started { pid: Some(self.live.guard.pid) })?,
        }
        Ok(())
    }

    fn control(&mut self) {
        let mut packet = [0; LENGTH];
        let length = rustix::io::read(&self.live.control, &mut packet).unwrap_or(0);
        match packet.get(..length).and_then(Report::decode) {
            Some(Report::Ended { status }) => self.seen.status = Some(status),
            Some(Report::Failed { step, index, errno }) => self.seen.guard_failed = Some((step, index, errno)),
            _ => self.control_open = false,
        }
    }

    /// Reads what is there.
    fn read(&mut self, stream: Stream, listener: &mut dyn Listener) -> Read {
        let fd: &OwnedFd = match stream {
            Stream::Stdout => &self.live.stdout,
            Stream::Stderr => &self.live.stderr,
        };
        match rustix::io::read(fd, &mut self.buffer) {
            Ok(0) => Read::End,
            Ok(length) => {
                listener.output(stream, self.buffer.get(..length).unwrap_or(&[]));
                Read::Some
            }
            Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => Read::Nothing,
            Err(_) => Read::End,
        }
    }

    fn time_is_up(&mut self, listener: &mut dyn Listener) -> Result<(), Error> {
        if self.timer.wait().is_err() || self.seen.deadline {
            return Ok(());
        }
        self.seen.deadline = true;
        self.ask_to_end(libc::SIGTERM);
        listener.event(Event::DeadlineReached { ttl_ms: self.deadline.ttl_ms })
    }

    /// Everything in the sandbox is asked; after the grace it is not asked any more.
    fn ask_to_end(&mut self, signal: i32) {
        // A guard that does not listen is about to be killed anyway.
        let _ = spawn::order(&self.live.control, Order::SignalAll(signal));
        let kill_at = Instant::now() + Duration::from_millis(self.deadline.grace_ms);
        self.ending.get_or_insert(Ending { kill_at });
    }

    fn wishes(&mut self, listener: &mut dyn Listener) -> Result<(), Error> {
        while let Some(command) = listener.command() {
            match command {
                Command::Signal(signal) => {
                    spawn::order(&self.live.control, Order::Signal(signal))?;
                    listener.event(Event::Signalled { signal })?;
                }
                Command::Resize(window) if self.typing.is_some() => {
                    terminal::resize(self.live.stdout.as_fd(), window);
                }
                Command::Resize(_) => {}
                // Asked twice: no more patience.
                Command::Interrupt(_) if self.seen.interrupted.is_some() => {
                    self.ending = Some(Ending { kill_at: Instant::now() });
                }
                Command::Interrupt(signal) => {
                    self.seen.interrupted = Some(signal);
                    self.ask_to_end(signal);
                    listener.event(Event::Signalled { signal })?;
                }
            }
        }
        Ok(())
    }

    fn kill_is_due(&self) -> bool {
        self.ending.as_ref().is_some_and(|ending| Instant::now() >= ending.kill_at)
    }

    /// Takes what pipes and terminal still hold. Nobody is left who could fill them for ever.
    fn drain(&mut self, listener: &mut dyn Listener) {
        let until = Instant::now() + DRAIN;
        for stream in [Stream::Stdout, Stream::Stderr] {
            let mut open = if stream == Stream::Stdout { self.stdout_open } else { self.stderr_open };
            // A terminal that we keep up ourselves has no end: it is empty when nobody is left to write.
            let endless = stream == Stream::Stdout && self.typing.is_some();
            while open && Instant::now() < until {
                let read = self.read(stream, listener);
                open = !(read == Read::End || read == Read::Nothing && endless);
            }
        }
        if self.control_open {
            self.control();
        }
        if self.started_open {
            let mut packet = [0; LENGTH];
            if let Ok(length) = rustix::io::read(&self.live.started, &mut packet)
                && let Some(Report::Failed { step, errno, .. }) = packet.get(..length).and_then(Report::decode)
            {
                self.seen.not_executed = Some((step, errno));
            }
        }
    }
}
