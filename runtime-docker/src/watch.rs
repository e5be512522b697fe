//! Looking after a running task: its output, its deadline, what the user wants, how it ends.

use crate::attach::Wires;
use crate::client::Session;
use crate::frames::{Fields, Frame, Scanner, Word};
use crate::os;
use aido_runtime::{Command, Deadline, Error, Event, Listener, Stream, Window};
use bollard::query_parameters::{KillContainerOptionsBuilder, ResizeContainerTTYOptionsBuilder};
use bytes::Bytes;
use futures_util::StreamExt;
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::time::Instant;

/// Orders to the warden are real-time signals: this many more than a signal's number sends it to everything.
const TO_ALL: i32 = 34;
const BEGIN: i32 = 64;
const STAY: i32 = 63;
const SIGKILL: i32 = 9;
const SIGSTOP: i32 = 19;
/// The last step is the engine's: so long after what the warden should have done.
const BACKSTOP: Duration = Duration::from_secs(15);
/// An order is delivered within this or not at all.
const ORDER: Duration = Duration::from_secs(10);
/// What a dead container's streams still hold is there by then.
const DRAIN: Duration = Duration::from_secs(10);
/// A warden that has been started says so within this.
const FIRST_WORD: Duration = Duration::from_secs(60);

/// What was seen of a task.
#[derive(Default)]
pub(crate) struct Seen {
    /// What the warden said at the end.
    pub(crate) end: Option<Fields>,
    /// The task was not started: the step and the number of the error.
    pub(crate) failed: Option<(u8, i32)>,
    pub(crate) deadline: bool,
    pub(crate) interrupted: Option<i32>,
    pub(crate) wall: Duration,
    /// The engine's own words where the streams broke.
    pub(crate) broken: Option<String>,
}

/// A container whose streams are held.
pub(crate) struct Watch<'a> {
    session: &'a Session,
    container: &'a str,
    wires: Wires,
    scanners: [Scanner; 2],
    tty: bool,
    seen: Seen,
    started: Option<Instant>,
    done: bool,
    /// When everything in the container is killed.
    kill_at: Option<Instant>,
    /// When the container is.
    last_at: Option<Instant>,
}

impl<'a> Watch<'a> {
    pub(crate) fn new(session: &'a Session, container: &'a str, wires: Wires, tty: bool) -> Watch<'a> {
        let mut scanners = [Scanner::default(), Scanner::default()];
        scanners.iter_mut().for_each(|scanner| scanner.believe(&[crate::script::NO_WORD]));
        Watch {
            session,
            container,
            wires,
            scanners,
            tty,
            seen: Seen::default(),
            started: None,
            done: false,
            kill_at: None,
            last_at: None,
        }
    }

    /// What the warden found in the container. Nothing of the task is there yet.
    pub(crate) async fn report(&mut self) -> Result<Fields, Error> {
        let until = Instant::now() + FIRST_WORD;
        let mut said = Vec::new();
        loop {
            let piece = tokio::time::timeout_at(until, self.wires.output.next()).await;
            let words = String::from_utf8_lossy(&said).trim().to_string();
            let silent = |why: &str| Error::new(format!("aido's first process in the container {why} {words}"));
            match piece {
                Err(_) => return Err(silent("does not report:")),
                Ok(None) => return Err(silent("ended before it could report:")),
                Ok(Some(Err(e))) => return Err(silent(&format!("cannot be heard: {e}"))),
                Ok(Some(Ok((stream, bytes)))) => {
                    let frames = self.scanners[number(stream)].push(&bytes, &mut said);
                    if let Some(frame) = frames.into_iter().find(|frame| frame.letter == b'R') {
                        return Ok(frame.fields);
                    }
                }
            }
        }
    }

    pub(crate) async fn resize(&self, window: Window) {
        let size = ResizeContainerTTYOptionsBuilder::new().h(window.rows.into()).w(window.columns.into()).build();
        let resizing = self.session.api.resize_container_tty(self.container, size);
        // A terminal of another size is no reason to end a run.
        let _ = tokio::time::timeout(ORDER, resizing).await;
    }

    /// Sends the warden an order; false if it cannot be reached.
    async fn order(&self, signal: i32) -> bool {
        let options = KillContainerOptionsBuilder::new().signal(&signal.to_string()).build();
        let sending = self.session.api.kill_container(self.container, Some(options));
        matches!(tokio::time::timeout(ORDER, sending).await, Ok(Ok(())))
    }

    /// Has the task started and looks after it to its end.
    pub(crate) async fn watch(
        mut self,
        deadline: Deadline,
        words: [Word; 2],
        stdin: Option<std::io::PipeReader>,
        listener: &mut dyn Listener,
    ) -> Result<Seen, Error> {
        self.scanners.iter_mut().for_each(|scanner| scanner.believe(&words));
        let begun = Instant::now();
        if !self.order(BEGIN).await {
            return Err(Error::new("the engine could not pass the word to begin to the container"));
        }
        let input = std::mem::replace(&mut self.wires.input, Box::pin(tokio::io::sink()));
        let source = stdin.map(os::Source::new).transpose();
        let source = source.map_err(|e| Error::new(format!("cannot read standard input: {e}")))?;
        let feeding = tokio::spawn(feed(source, input, self.tty));
        let result = self.turns(deadline, words, begun, listener).await;
        feeding.abort();
        self.seen.wall = self.started.unwrap_or(begun).elapsed();
        for stream in [Stream::Stdout, Stream::Stderr] {
            let held = self.scanners[number(stream)].finish();
            if !held.is_empty() {
                listener.output(stream, &held);
            }
        }
        result?;
        if self.seen.end.is_some() {
            // Its outputs are about to be collected: without this the warden leaves soon.
            self.order(STAY).await;
        }
        Ok(self.seen)
    }

    async fn turns(
        &mut self,
        deadline: Deadline,
        words: [Word; 2],
        begun: Instant,
        listener: &mut dyn Listener,
    ) -> Result<(), Error> {
        let ttl = Duration::from_millis(deadline.ttl_ms);
        let grace = Duration::from_millis(deadline.grace_ms);
        let limit = begun.checked_add(ttl).unwrap_or(begun + Duration::from_secs(1 << 30));
        let mut last = limit + grace + BACKSTOP;
        let mut killed = false;
        loop {
            // What happens to a task that is not said to run yet waits for that word, but not for ever.
            let running = self.started.is_some() || begun.elapsed() > FIRST_WORD;
            let limit_at = (running && !self.seen.deadline).then_some(limit);
            let next = [Some(last), self.last_at, self.kill_at, limit_at, (!running).then_some(begun + FIRST_WORD)];
            let next = next.into_iter().flatten().min().unwrap_or(last);
            tokio::select! {
                piece = self.wires.output.next() => match piece {
                    Some(Ok((stream, bytes))) => self.output(stream, &bytes, words, deadline, listener)?,
                    Some(Err(e)) => {
                        self.seen.broken = Some(e);
                        return Ok(());
                    }
                    None => return Ok(()),
                },
                () = os::wish(&*listener), if running => self.wishes(grace, listener).await?,
                () = tokio::time::sleep_until(next) => {}
            }
            if self.is_over() {
                return Ok(());
            }
            let now = Instant::now();
            if running && now >= limit && !self.seen.deadline {
                // The warden's clock is the one that counts; it has asked the task already.
                self.seen.deadline = true;
                listener.event(Event::DeadlineReached { ttl_ms: deadline.ttl_ms })?;
            }
            if self.kill_at.is_some_and(|at| now >= at) {
                self.kill_at = None;
                self.order(TO_ALL + SIGKILL).await;
                self.last_at = Some(now + BACKSTOP);
            }
            if now >= last || self.last_at.is_some_and(|at| now >= at) {
                if killed {
                    return Ok(());
                }
                killed = true;
                self.last_at = None;
                self.order(SIGKILL).await;
                last = Instant::now() + DRAIN;
            }
        }
    }

    /// The warden has said how it went, and all that was written before that has been read.
    fn is_over(&self) -> bool {
        self.seen.failed.is_some() || self.seen.end.is_some() && (self.done || self.tty)
    }

    fn output(
        &mut self,
        stream: Stream,
        bytes: &Bytes,
        [start, end]: [Word; 2],
        deadline: Deadline,
        listener: &mut dyn Listener,
    ) -> Result<(), Error> {
        let mut plain = Vec::with_capacity(bytes.len());
        let frames = self.scanners[number(stream)].push(bytes, &mut plain);
        if !plain.is_empty() {
            listener.output(stream, &plain);
        }
        for Frame { word, letter, fields } in frames {
            match letter {
                // The task may have read this word since; a second start changes nothing.
                b'S' if word == start && self.started.is_none() => {
                    self.started = Some(Instant::now());
                    listener.event(Event::Started { pid: None })?;
                }
                b'X' if word == end || word == crate::script::NO_WORD => {
                    let number = |name| fields.number(name).and_then(|n| i32::try_from(n).ok()).unwrap_or(0);
                    self.seen.failed = Some((number("step") as u8, number("error")));
                }
                b'D' if word == end => self.done = true,
                b'E' if word == end => {
                    if fields.number("deadline") == Some(1) && !self.seen.deadline {
                        self.seen.deadline = true;
                        listener.event(Event::DeadlineReached { ttl_ms: deadline.ttl_ms })?;
                    }
                    // Ours may have struck when the task was just over.
                    self.seen.deadline = fields.number("deadline") == Some(1);
                    self.seen.end = Some(fields);
                }
                _ => {}
            }
        }
        Ok(())
    }

    async fn wishes(&mut self, grace: Duration, listener: &mut dyn Listener) -> Result<(), Error> {
        while let Some(command) = listener.command() {
            match command {
                Command::Signal(signal) => {
                    // These two a first process cannot be sent: they have numbers of their own.
                    let order = match signal {
                        SIGKILL => TO_ALL,
                        SIGSTOP => TO_ALL + SIGSTOP,
                        other => other,
                    };
                    self.order(order).await;
                    listener.event(Event::Signalled { signal })?;
                }
                Command::Resize(window) if self.tty => self.resize(window).await,
                Command::Resize(_) => {}
                // Asked twice: no more patience.
                Command::Interrupt(_) if self.seen.interrupted.is_some() => self.kill_at = Some(Instant::now()),
                Command::Interrupt(signal) => {
                    self.seen.interrupted = Some(signal);
                    self.order(TO_ALL + signal.clamp(1, 28)).await;
                    self.kill_at = Some(Instant::now() + grace);
                    listener.event(Event::Signalled { signal })?;
                }
            }
        }
        Ok(())
    }
}

fn number(stream: Stream) -> usize {
    usize::from(stream == Stream::Stderr)
}

/// What a terminal takes for the end of the input.
const END_OF_FILE: &[u8] = b"\x04";

/// Passes on what the task is given to read, and that there is no more of it. At a terminal that is typed: with the
/// engine's end of its input closed, what is still shown might not arrive.
async fn feed(source: Option<os::Source>, mut input: std::pin::Pin<Box<dyn tokio::io::AsyncWrite + Send>>, tty: bool) {
    if source.is_none() && !tty {
        // Held open: what ends here might end the other direction too.
        return std::future::pending().await;
    }
    if let Some(mut source) = source {
        while let Ok(Some(piece)) = source.next().await {
            if input.write_all(&piece).await.is_err() || input.flush().await.is_err() {
                break;
            }
        }
    }
    if tty {
        let _ = input.write_all(END_OF_FILE).await;
        let _ = input.flush().await;
    } else {
        let _ = input.shutdown().await;
    }
    std::future::pending().await
}
