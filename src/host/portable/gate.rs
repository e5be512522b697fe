//! The gateway of one run: this program executed anew, beside the supervisor. It is asked, and hears what comes out of the
//! sandbox, by its standard input; what goes in it says on its standard output, and what it decides, in lines of JSON, on the third.
//! With it the sandbox has no network any more, and with its input it ends.

use super::native::part;
use crate::egress::{self, Asked, Said};
use aido_gateway::{Carried, Event, Gateway, Setup, Sink};
use aido_runtime::{Doors, Egress, Error, Gate, exit};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdin, ChildStdout, ExitCode, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, TryRecvError, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// The first argument by which it knows what it is.
pub(super) const PART: &str = "aido-gateway";
/// How long it may take to stand, and to open.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long an ending one may take to tell its last words.
const ENDING: Duration = Duration::from_secs(5);
/// Where it looks for the roots that servers are signed by, if its user says so, and what Windows' programs cannot be without.
const VARIABLES: [&str; 3] = ["SSL_CERT_FILE", "SSL_CERT_DIR", "SystemRoot"];
/// Lines that wait: a supervisor that does not listen holds the gateway up.
const WAITING: usize = 256;
/// A longer line is none of the gateway's, and a plan is not longer than that.
const LONGEST: u64 = 64 << 20;

/// A gateway that stands. It ends with this value.
pub(crate) struct Standing {
    child: Child,
    gate: Gate,
    said: Receiver<Said>,
    /// Until it is opened.
    output: Option<ChildStdout>,
    /// Its end is the order to end.
    input: Input,
    finishing: bool,
}

type Input = Arc<Mutex<Option<ChildStdin>>>;

/// What one has to tell.
#[derive(Debug)]
pub(crate) enum Told {
    /// An event for the record: its kind and its fields.
    Event(String, serde_json::Value),
    /// Not now.
    Nothing,
    /// It is gone, and the sandbox has no network any more.
    Gone,
}

/// Starts the gateway for what a plan may reach, and waits until it stands; `secrets` are those of the caller's variables that
/// it names. They go by a pipe, and nowhere else.
pub(crate) fn start(egress: &Egress, secrets: &BTreeMap<String, String>) -> Result<Standing, Error> {
    let failed = |why: &dyn std::fmt::Display| {
        Error::new(format!("cannot start the gateway, which is the run's way to the network: {why}"))
            .remedy("`--no-network` runs the task without")
    };
    let mut command = part(PART);
    command.env_clear().envs(VARIABLES.iter().filter_map(|name| Some((name, std::env::var_os(name)?))));
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(|e| failed(&e))?;
    let (Some(mut to), Some(from), Some(lines)) = (child.stdin.take(), child.stdout.take(), child.stderr.take()) else {
        return Err(failed(&"it has no streams"));
    };
    let named = egress.secrets().filter_map(|name| Some((name.to_string(), secrets.get(name)?.clone()))).collect();
    let asked = Asked { egress: egress.clone(), secrets: named };
    let asking = write_line(&mut to, &asked);
    let (input, said) = (Arc::new(Mutex::new(Some(to))), hear(lines));
    let mut standing = Standing { child, gate: Gate::default(), said, output: Some(from), input, finishing: false };
    asking.map_err(|e| failed(&e))?;
    match standing.said.recv_timeout(PATIENCE) {
        Ok(Said::Ready(gate)) => standing.gate = gate,
        Ok(Said::Failed { what, remedy }) => return Err(Error { what, remedy }),
        Ok(_) => return Err(failed(&"it spoke out of turn")),
        Err(e) => return Err(failed(&e)),
    }
    Ok(standing)
}

/// Its lines, by a thread: pipes are waited for in no other way on every platform.
fn hear(lines: impl Read + Send + 'static) -> Receiver<Said> {
    let (tell, said) = sync_channel(WAITING);
    std::thread::spawn(move || {
        let mut lines = BufReader::new(lines);
        while let Some(said) = read_line(&mut lines) {
            if tell.send(said).is_err() {
                break;
            }
        }
    });
    said
}

fn write_line(to: &mut impl Write, what: &impl Serialize) -> io::Result<()> {
    let mut line = serde_json::to_vec(what)?;
    line.push(b'\n');
    to.write_all(&line).and_then(|()| to.flush())
}

/// The next whole line, if it makes sense.
fn read_line<T: for<'a> Deserialize<'a>>(from: &mut impl BufRead) -> Option<T> {
    let mut line = Vec::new();
    from.take(LONGEST).read_until(b'\n', &mut line).ok()?;
    serde_json::from_slice(&line).ok()
}

impl Standing {
    /// What the engine has to know of it.
    pub(crate) fn gate(&self) -> &Gate {
        &self.gate
    }

    /// Gives it what carries the sandbox's connections, and waits until it serves.
    pub(crate) fn open(&mut self, doors: Doors) -> Result<(), Error> {
        let failed = |why: &dyn std::fmt::Display| Error::new(format!("the gateway does not serve the sandbox: {why}"));
        let (Some(carried), Some(output)) = (doors.carried, self.output.take()) else {
            return Err(failed(&"nothing carries its connections"));
        };
        // Each ends with what it copies from: the sandbox's network with the gateway, and the gateway with that.
        let input = self.input.clone();
        pump(carried.from, move |piece| lock(&input).as_mut().is_some_and(|to| taken(to, piece)), {
            let input = self.input.clone();
            move || drop(lock(&input).take())
        });
        let mut to = carried.to;
        pump(output, move |piece| taken(&mut to, piece), || ());
        match self.said.recv_timeout(PATIENCE) {
            Ok(Said::Open) => Ok(()),
            Ok(Said::Failed { what, remedy }) => Err(Error { what, remedy }),
            Ok(_) => Err(failed(&"it spoke out of turn")),
            Err(e) => Err(failed(&e)),
        }
    }

    /// The next that it tells; never blocks, but for its last words.
    pub(crate) fn told(&mut self) -> Told {
        let next = match self.finishing {
            true => self.said.recv_timeout(ENDING),
            false => self.said.try_recv().map_err(|e| match e {
                TryRecvError::Empty => RecvTimeoutError::Timeout,
                TryRecvError::Disconnected => RecvTimeoutError::Disconnected,
            }),
        };
        match next {
            Ok(Said::Event { kind, data }) => Told::Event(kind, data),
            Err(RecvTimeoutError::Timeout) => Told::Nothing,
            Ok(_) | Err(RecvTimeoutError::Disconnected) => Told::Gone,
        }
    }

    /// Has it end: what it tells from then on is its last, until [`Told::Gone`].
    pub(crate) fn finish(&mut self) {
        self.finishing = true;
        drop(lock(&self.input).take());
    }

    /// No more is let through, now.
    pub(crate) fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Standing {
    fn drop(&mut self) {
        self.kill();
    }
}

fn lock(input: &Input) -> MutexGuard<'_, Option<ChildStdin>> {
    input.lock().unwrap_or_else(PoisonError::into_inner)
}

fn taken(to: &mut impl Write, piece: &[u8]) -> bool {
    to.write_all(piece).and_then(|()| to.flush()).is_ok()
}

/// Gives what comes to somebody for as long as that takes it, on a thread of its own.
fn pump(
    mut from: impl Read + Send + 'static,
    mut give: impl FnMut(&[u8]) -> bool + Send + 'static,
    end: impl FnOnce() + Send + 'static,
) {
    std::thread::spawn(move || {
        let mut piece = vec![0; 64 << 10];
        while let Ok(length @ 1..) = from.read(&mut piece) {
            if !give(piece.get(..length).unwrap_or_default()) {
                break;
            }
        }
        end();
    });
}

/// The gateway's whole life.
pub(super) fn main() -> ExitCode {
    let mut stdin = BufReader::new(io::stdin());
    // Whoever types this name gets nothing of it.
    let Some(asked) = read_line::<Asked>(&mut stdin) else { return ExitCode::from(exit::AIDO_FAILED) };
    match serve(&asked, stdin) {
        Ok(()) => ExitCode::SUCCESS,
        Err(Error { what, remedy }) => {
            say(&Said::Failed { what, remedy });
            ExitCode::from(exit::AIDO_FAILED)
        }
    }
}

fn serve(asked: &Asked, sandbox: impl Read + Send + 'static) -> Result<(), Error> {
    let failed = |e: &dyn std::fmt::Display| Error::new(format!("the gateway cannot stand: {e}"));
    let policy = egress::policy(&asked.egress, &asked.secrets)?;
    let ports = policy.ports().into_iter().collect();
    let mut gateway = Gateway::start(Setup::new(policy), Box::new(Teller)).map_err(|e| failed(&e))?;
    say(&Said::Ready(Gate { ports, authority: gateway.authority().to_string() }));
    let (gone, is_gone) = sync_channel(1);
    let end = move || gone.send(()).unwrap_or_default();
    let carried = Carried::new(sandbox, io::stdout(), end).map_err(|e| failed(&e))?;
    let families = carried.families();
    let listeners = aido_gateway::Listeners { carried: Some(carried), ..Default::default() };
    gateway.open(listeners, families).map_err(|e| failed(&e))?;
    say(&Said::Open);
    let _ = is_gone.recv();
    gateway.stop();
    Ok(())
}

/// Whether a line was taken: after one that was not nothing is said any more.
fn say(said: &Said) -> bool {
    static OPEN: Mutex<bool> = Mutex::new(true);
    let mut open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
    *open = *open && write_line(&mut io::stderr(), said).is_ok();
    *open
}

/// What the gateway tells goes there.
struct Teller;

impl Sink for Teller {
    fn take(&self, event: &Event) -> bool {
        egress::recorded(event).is_ok_and(|(kind, data)| say(&Said::Event { kind, data }))
    }
}
