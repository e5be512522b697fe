//! A listener that keeps everything, and does at given moments what a person would do.

use crate::way::Way;
use aido_runtime::{Command, Doors, Error, Event, Listener, Stream};
use std::io::{PipeReader, PipeWriter, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// When something is done.
#[derive(Clone, Debug)]
pub(crate) enum Moment {
    Started,
    /// So long after the start.
    After(Duration),
    /// When the task's output, both streams, first holds this.
    Said(&'static str),
}

/// What is done.
#[derive(Clone, Debug)]
pub(crate) enum Deed {
    Wish(Command),
    /// Written to the task's standard input.
    Type(&'static [u8]),
    /// The end of it.
    Close,
}

/// The other end of a run: may be handed to another thread.
#[derive(Clone)]
pub(crate) struct Hands {
    wish: Sender<Command>,
    ring: Arc<PipeWriter>,
    stdin: Arc<Mutex<Option<PipeWriter>>>,
}

impl Hands {
    fn act(&self, deed: &Deed) {
        match deed {
            Deed::Wish(command) => {
                // The byte first: whoever takes the command then finds it.
                let _ = (&*self.ring).write_all(b"!");
                let _ = self.wish.send(*command);
            }
            Deed::Type(bytes) => {
                if let Some(writer) = self.stdin.lock().ok().as_deref_mut().and_then(Option::as_mut) {
                    let _ = writer.write_all(bytes);
                }
            }
            Deed::Close => drop(self.stdin.lock().map(|mut writer| writer.take())),
        }
    }
}

pub(crate) struct Heard {
    pub(crate) events: Vec<(Instant, Event)>,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: Vec<u8>,
    moments: Vec<(Moment, Deed)>,
    wishes: Receiver<Command>,
    bell: PipeReader,
    hands: Hands,
    /// How long each piece of output is looked at.
    pub(crate) slow: Duration,
    /// An event that cannot be recorded.
    pub(crate) deaf_to: Option<fn(&Event) -> bool>,
    /// The gateway of a run with a network.
    pub(crate) way: Option<Way>,
}

impl Heard {
    pub(crate) fn new(moments: Vec<(Moment, Deed)>, stdin: Option<PipeWriter>) -> Heard {
        let (bell, ring) = std::io::pipe().expect("a pipe");
        let (wish, wishes) = channel();
        let hands = Hands { wish, ring: Arc::new(ring), stdin: Arc::new(Mutex::new(stdin)) };
        Heard {
            events: Vec::new(),
            stdout: Vec::new(),
            stderr: Vec::new(),
            moments,
            wishes,
            bell,
            hands,
            slow: Duration::ZERO,
            deaf_to: None,
            way: None,
        }
    }

    fn started(&mut self) {
        self.moments.retain(|(moment, deed)| match moment {
            Moment::Started => {
                self.hands.act(deed);
                false
            }
            Moment::After(wait) => {
                let (wait, deed, hands) = (*wait, deed.clone(), self.hands.clone());
                std::thread::spawn(move || {
                    std::thread::sleep(wait);
                    hands.act(&deed);
                });
                false
            }
            Moment::Said(_) => true,
        });
    }
}

impl Listener for Heard {
    fn event(&mut self, event: Event) -> Result<(), Error> {
        if self.deaf_to.is_some_and(|deaf| deaf(&event)) {
            return Err(Error::new("the suite cannot record this"));
        }
        let started = matches!(event, Event::Started { .. });
        self.events.push((Instant::now(), event));
        if started {
            self.started();
        }
        Ok(())
    }

    fn doors(&mut self, doors: Doors) -> Result<(), Error> {
        match &mut self.way {
            Some(way) => way.open(doors),
            None => Err(Error::new("the suite has no gateway for this run")),
        }
    }

    fn output(&mut self, stream: Stream, bytes: &[u8]) {
        std::thread::sleep(self.slow);
        match stream {
            Stream::Stdout => self.stdout.extend_from_slice(bytes),
            Stream::Stderr => self.stderr.extend_from_slice(bytes),
        }
        let (hands, stdout, stderr) = (&self.hands, &self.stdout, &self.stderr);
        self.moments.retain(|(moment, deed)| {
            let Moment::Said(text) = moment else { return true };
            let said = [stdout, stderr].iter().any(|bytes| holds(bytes, text.as_bytes()));
            if said {
                hands.act(deed);
            }
            !said
        });
    }

    fn command(&mut self) -> Option<Command> {
        let command = self.wishes.try_recv().ok()?;
        let _ = self.bell.read_exact(&mut [0]);
        Some(command)
    }

    fn wake(&self) -> Option<BorrowedFd<'_>> {
        Some(self.bell.as_fd())
    }
}

/// Whether the bytes hold the part.
pub(crate) fn holds(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|at| at == part)
}
