//! The way out of a run with a network: a container of its own (`warden/door.rs`) whose network namespace the task's shares. It
//! carries all connections on its standard streams, which are passed on here, unread, to whoever serves them.

use crate::attach::{self, Wires};
use crate::client::Session;
use crate::frames::{Fields, Scanner};
use crate::os;
use crate::script::NO_WORD;
use aido_runtime::{Carried, Error, Gate, PROXY_PORT, Stream};
use bollard::query_parameters::StartContainerOptions;
use futures_util::StreamExt;
use std::io::{PipeReader, PipeWriter, Write};
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::sync::oneshot;

/// It says within this that it stands.
const FIRST_WORD: Duration = Duration::from_secs(60);
/// No door is at a port below this, but for names and rules.
const NOWHERE: std::ops::RangeInclusive<u16> = 9..=u16::MAX;

/// A port at which nobody is, whatever the rules: the task's container is tried there before the task starts.
pub(crate) fn shut(gate: &Gate) -> u16 {
    let is_shut = |port: &u16| !gate.ports.contains(port) && *port != PROXY_PORT && *port != 53;
    NOWHERE.into_iter().find(is_shut).unwrap_or_default()
}

/// Starts the door's container, and waits until all its listeners are there. With what comes back it ends.
pub(crate) async fn open(session: &Session, container: String) -> Result<Carried, Error> {
    let failed = |e: std::io::Error| Error::new(format!("cannot carry the sandbox's connections: {e}"));
    let (from, sandbox) = std::io::pipe().map_err(failed)?;
    let (gateway, to) = std::io::pipe().map_err(failed)?;
    let (attached, is_attached) = oneshot::channel();
    let (stands, does_stand) = oneshot::channel();
    let relay = Relay { session: session.anew()?, container: container.clone(), sandbox, gateway, stands };
    // A thread of its own: what the run's supervisor does in between must not hold up the task's connections.
    std::thread::Builder::new().name("door".into()).spawn(move || relay.run(attached)).map_err(failed)?;
    let ended = |_| Error::new("what carries the sandbox's connections ended before it began");
    is_attached.await.map_err(ended)??;
    let starting = session.api.start_container(&container, None::<StartContainerOptions>);
    starting.await.map_err(session.failed("the container of the network could not be started"))?;
    let said = tokio::time::timeout(FIRST_WORD, does_stand).await;
    let said = said.map_err(|_| Error::new("the container of the network does not say that it stands"))?;
    said.map_err(|_| Error::new("the container of the network ended before it stood"))??;
    Ok(Carried { from, to })
}

/// What becomes of the container's streams.
struct Relay {
    session: Session,
    container: String,
    /// Where its connections go, and where what they are told comes from.
    sandbox: PipeWriter,
    gateway: PipeReader,
    stands: oneshot::Sender<Result<(), Error>>,
}

impl Relay {
    fn run(self, attached: oneshot::Sender<Result<(), Error>>) {
        let Relay { session, container, sandbox, gateway, stands } = self;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build();
        // Without it the other side hears of its end.
        let Ok(runtime) = runtime else { return };
        runtime.block_on(async {
            let Wires { mut output, mut input } = match attach::attach(&session, &container, false, true).await {
                Ok(wires) => wires,
                Err(error) => return drop(attached.send(Err(error))),
            };
            let Ok(mut source) = os::Source::new(gateway) else { return };
            if attached.send(Ok(())).is_err() {
                return;
            }
            let inward = async {
                while let Ok(Some(piece)) = source.next().await {
                    if input.write_all(&piece).await.is_err() || input.flush().await.is_err() {
                        break;
                    }
                }
                // Nobody decides any more: with its input the door ends, and so does the network.
                let _ = input.shutdown().await;
                std::future::pending::<()>().await;
            };
            tokio::select! {
                () = outward(&mut output, sandbox, stands) => {}
                () = inward => {}
            }
        });
        runtime.shutdown_background();
    }
}

/// Writing to the pipe may stop this thread: whoever reads there never waits for what we read.
async fn outward(output: &mut attach::Output, mut sandbox: PipeWriter, stands: oneshot::Sender<Result<(), Error>>) {
    let mut scanner = Scanner::default();
    scanner.believe(&[NO_WORD]);
    let (mut stands, mut said) = (Some(stands), Vec::new());
    while let Some(Ok((stream, bytes))) = output.next().await {
        match stream {
            Stream::Stdout => {
                if sandbox.write_all(&bytes).is_err() {
                    break;
                }
            }
            Stream::Stderr => {
                for frame in scanner.push(&bytes, &mut said) {
                    let result = if frame.letter == b'R' { Ok(()) } else { Err(refused(&frame.fields)) };
                    drop(stands.take().map(|stands| stands.send(result)));
                }
            }
        }
    }
    if let Some(stands) = stands {
        let words = String::from_utf8_lossy(&said).trim().to_string();
        let _ = stands.send(Err(Error::new(format!("the container of the network ended before it stood: {words}"))));
    }
}

/// Why it does not stand, from the step and the number of the error.
fn refused(fields: &Fields) -> Error {
    let step = fields.number("step").unwrap_or_default();
    let error = fields.number("error").unwrap_or_default();
    let what = match u32::try_from(step).unwrap_or_default() {
        109 => "take memory".to_string(),
        112 => "give up its powers".to_string(),
        114 => "make every address the sandbox's own".to_string(),
        port => format!("listen at port {}", port >> 8),
    };
    Error::new(format!("the container of the network cannot {what}: error {error} of Linux")).remedy(
        "the engine must let a container have NET_ADMIN in its own network; `--no-network` runs the task without",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shut_port_is_no_door() {
        let shut = |ports: &[u16]| super::shut(&Gate { ports: ports.to_vec(), authority: String::new() });
        assert_eq!((shut(&[80, 443]), shut(&[9, 10, PROXY_PORT])), (9, 11));
        let most: Vec<u16> = (1..=52).collect();
        assert_eq!(shut(&most), 54);
    }
}
