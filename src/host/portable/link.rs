//! What the supervisor and the command line tell each other: lines of JSON on the supervisor's standard streams.
//!
//! The task's standard input goes the same way. The command line sends no more of it than was taken, so that a task that
//! does not read costs no memory.

use super::bell::Bell;
pub(crate) use crate::supervise::news::{Heard, News, Wish};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::cell::Cell;
use std::io::{BufRead, PipeWriter, Read, Write};
use std::sync::mpsc::{Receiver, Sender, SyncSender, TryRecvError, TrySendError, channel, sync_channel};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Lines that wait for a reader; what may be lost is lost beyond that.
const WAITING: usize = 64;
/// How long what must arrive is waited for.
const PATIENCE: Duration = Duration::from_secs(1);
/// Bytes of the task's standard input that may be under way.
const CREDIT: usize = 256 << 10;
const PIECE: usize = 32 << 10;

/// One line, either way.
#[derive(Serialize, Deserialize)]
enum Line {
    /// News or a wish.
    Said(Value),
    /// Bytes of standard input, in base64.
    Input(String),
    /// Its end.
    InputEnd,
    /// So many of these bytes were taken.
    Took(usize),
}

enum Out {
    Line(Vec<u8>),
    /// All that came before is written.
    Flush(Sender<()>),
}

/// One end of the link.
pub(crate) struct Link {
    out: SyncSender<Out>,
    inbox: Receiver<Value>,
    gone: Cell<bool>,
    credit: Credit,
    bell: Bell,
}

impl Link {
    /// `input`: where the other's bytes of standard input go.
    pub(super) fn over(
        reader: impl BufRead + Send + 'static,
        writer: impl Write + Send + 'static,
        input: Option<PipeWriter>,
    ) -> Link {
        let (out, outgoing) = sync_channel(WAITING);
        let (said, inbox) = channel();
        let (credit, bell) = (Credit::default(), Bell::default());
        std::thread::spawn(move || write(writer, &outgoing));
        let ears = Reading { said, credit: credit.clone(), bell: bell.clone(), input: input.map(|to| task(to, &out)) };
        std::thread::spawn(move || ears.read(reader));
        Link { out, inbox, gone: Cell::new(false), credit, bell }
    }

    /// Says something. Lost when the other end is gone, or so far behind that it has enough to read.
    pub(crate) fn say(&self, what: &impl Serialize) {
        if let Some(line) = said(what) {
            let _ = self.out.try_send(Out::Line(line));
        }
    }

    /// Says something that must arrive: waits until there is room.
    pub(crate) fn insist(&self, what: &impl Serialize) {
        if let Some(line) = said(what) {
            insist(&self.out, Out::Line(line));
        }
    }

    /// The next thing said; never blocks.
    pub(crate) fn hear<T: for<'a> Deserialize<'a>>(&self) -> Heard<T> {
        match self.inbox.try_recv() {
            Ok(value) => serde_json::from_value(value).map_or(Heard::Nothing, Heard::Said),
            Err(TryRecvError::Empty) => Heard::Nothing,
            Err(TryRecvError::Disconnected) => {
                self.gone.set(true);
                Heard::Gone
            }
        }
    }

    /// Rings when there is something to hear.
    pub(super) fn bell(&self) -> &Bell {
        &self.bell
    }

    /// Sends what comes to the task, on a thread of its own.
    pub(super) fn feed(&self, mut from: impl Read + Send + 'static) {
        let (out, credit) = (self.out.clone(), self.credit.clone());
        std::thread::spawn(move || {
            let mut piece = vec![0; PIECE];
            while let Ok(length @ 1..) = from.read(&mut piece) {
                credit.spend(length);
                if !send(&out, &Line::Input(STANDARD.encode(&piece[..length]))) {
                    return;
                }
            }
            send(&out, &Line::InputEnd);
        });
    }
}

impl Drop for Link {
    /// What was said last arrives, if anybody reads.
    fn drop(&mut self) {
        let (done, written) = channel();
        if !self.gone.get() && insist(&self.out, Out::Flush(done)) {
            let _ = written.recv_timeout(PATIENCE);
        }
    }
}

fn said(what: &impl Serialize) -> Option<Vec<u8>> {
    serde_json::to_value(what).ok().and_then(|value| line(&Line::Said(value)))
}

fn line(line: &Line) -> Option<Vec<u8>> {
    let mut bytes = serde_json::to_vec(line).ok()?;
    bytes.push(b'\n');
    Some(bytes)
}

fn send(out: &SyncSender<Out>, what: &Line) -> bool {
    line(what).is_some_and(|bytes| out.send(Out::Line(bytes)).is_ok())
}

fn insist(out: &SyncSender<Out>, mut what: Out) -> bool {
    let until = Instant::now() + PATIENCE;
    loop {
        match out.try_send(what) {
            Ok(()) => return true,
            Err(TrySendError::Disconnected(_)) => return false,
            Err(TrySendError::Full(_)) if Instant::now() > until => return false,
            Err(TrySendError::Full(back)) => what = back,
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn write(mut writer: impl Write, outgoing: &Receiver<Out>) {
    for next in outgoing {
        match next {
            Out::Line(bytes) => {
                if writer.write_all(&bytes).and_then(|()| writer.flush()).is_err() {
                    return;
                }
            }
            Out::Flush(done) => drop(done.send(())),
        }
    }
}

struct Reading {
    said: Sender<Value>,
    credit: Credit,
    bell: Bell,
    input: Option<Sender<Vec<u8>>>,
}

impl Reading {
    fn read(mut self, mut reader: impl BufRead) {
        let mut bytes = Vec::new();
        while let Ok(1..) = reader.read_until(b'\n', &mut bytes) {
            match serde_json::from_slice(&bytes) {
                Ok(Line::Said(value)) => drop(self.said.send(value)),
                Ok(Line::Input(text)) => {
                    if let (Some(input), Ok(piece)) = (&self.input, STANDARD.decode(text)) {
                        let _ = input.send(piece);
                    }
                }
                Ok(Line::InputEnd) => self.input = None,
                Ok(Line::Took(bytes)) => self.credit.earn(bytes),
                // A line that was cut off by its writer's death.
                Err(_) => break,
            }
            bytes.clear();
            self.bell.ring();
        }
        drop(self.said);
        self.bell.ring();
    }
}

/// Hands standard input on to the task as it takes it. One that reads no more is no reason to hold anybody up.
fn task(mut to: PipeWriter, out: &SyncSender<Out>) -> Sender<Vec<u8>> {
    let (input, pieces) = channel::<Vec<u8>>();
    let out = out.clone();
    std::thread::spawn(move || {
        let mut open = true;
        for piece in pieces {
            open = open && to.write_all(&piece).is_ok();
            send(&out, &Line::Took(piece.len()));
        }
    });
    input
}

/// Bytes that may still be sent.
#[derive(Clone)]
struct Credit(Arc<(Mutex<usize>, Condvar)>);

impl Default for Credit {
    fn default() -> Credit {
        Credit(Arc::new((Mutex::new(CREDIT), Condvar::new())))
    }
}

impl Credit {
    fn earn(&self, bytes: usize) {
        *self.0.0.lock().unwrap_or_else(PoisonError::into_inner) += bytes;
        self.0.1.notify_all();
    }

    fn spend(&self, bytes: usize) {
        let left = self.0.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut left = self.0.1.wait_while(left, |left| *left < bytes).unwrap_or_else(PoisonError::into_inner);
        *left -= bytes;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{BufReader, pipe};

    fn pair(input: Option<PipeWriter>) -> (Link, Link) {
        let ((down, to), (up, from)) = (pipe().unwrap(), pipe().unwrap());
        (Link::over(BufReader::new(down), from, input), Link::over(BufReader::new(up), to, None))
    }

    fn next<T: for<'a> Deserialize<'a>>(link: &Link) -> Heard<T> {
        loop {
            match link.hear() {
                Heard::Nothing => std::thread::sleep(Duration::from_millis(1)),
                heard => return heard,
            }
        }
    }

    #[test]
    fn the_last_words_are_heard_of_who_left_without_listening() {
        let (here, there) = pair(None);
        here.insist(&News::Output);
        there.insist(&Wish::Signal { signal: 10 });
        there.insist(&Wish::Detach);
        // The reading threads hold the pipes of this process; a process that ends closes them all.
        assert!(matches!(next(&here), Heard::Said(Wish::Signal { signal: 10 })));
        assert!(matches!(next(&here), Heard::Said(Wish::Detach)));
        assert!(matches!(next(&there), Heard::Said(News::Output)));
    }

    #[test]
    fn input_comes_whole_and_no_faster_than_it_is_taken() {
        let (mut task, to) = pipe().unwrap();
        let (_here, there) = pair(Some(to));
        let sent: Vec<u8> = (0..3 * CREDIT).map(|n| n as u8).collect();
        there.feed(std::io::Cursor::new(sent.clone()));
        std::thread::sleep(Duration::from_millis(100));
        let left = *there.credit.0.0.lock().unwrap();
        assert!(left < CREDIT, "more was sent than may be under way");
        let mut got = Vec::new();
        task.read_to_end(&mut got).unwrap();
        assert!(got == sent);
    }
}
