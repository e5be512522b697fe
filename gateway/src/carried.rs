//! Connections that come in one stream, where no socket of the sandbox can be had: a container engine's.
//!
//! Frames, both ways: a number (u32, little-endian), a letter, a zero, the length of what follows (u16). From the sandbox: `h`
//! once, with the version and whether there is IPv6; `o` with which listener, a zero, the port (u16) and 16 bytes of the address
//! that a client dialled; `x` the same of one too many, which was cut; `q` a question about a name, answered by `d` or `r`. Both ways: `d` bytes; `f` no more of them; `r` cut;
//! `c` so many bytes (u32) were taken, and more may come. Each direction of a connection begins with [`WINDOW`] bytes.
//!
//! Each connection becomes one of this machine's loopback, between this process and itself: what serves it needs a socket. Nobody
//! else comes in there, since the one that is taken is the one that was just made.

mod frame;

use crate::capture;
use crate::gate::Gate;
use crate::names::{self, Families};
use frame::{Frame, HEAD, PIECE, Service, arrival, finished, frame, nonsense, with};
use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::io::AsyncWriteExt;
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Handle;
use tokio::sync::{Mutex as Turn, Notify, Semaphore, mpsc};

const VERSION: u8 = 1;
/// Bytes that may be under way in each direction of a connection. The sandbox's end has the same number.
const WINDOW: usize = 256 * 1024;
/// So many bytes that went on are worth saying so.
const WORTH_SAYING: usize = 64 * 1024;
/// Frames that wait to be said.
const WAITING: usize = 64;
/// More at once than any sandbox's end has.
const MOST: usize = 4096;

/// A stream each way that carries a sandbox's connections.
pub struct Carried {
    from: Box<dyn Read + Send>,
    to: Box<dyn Write + Send>,
    gone: Box<dyn FnOnce() + Send>,
    families: Families,
}

impl Carried {
    /// Waits for the first word of the other end; `gone` is called once when that has ended, or says what makes no sense.
    pub fn new(
        mut from: impl Read + Send + 'static,
        to: impl Write + Send + 'static,
        gone: impl FnOnce() + Send + 'static,
    ) -> io::Result<Self> {
        match frame(&mut from)? {
            Frame { number: 0, letter: b'h', bytes } if bytes.first() == Some(&VERSION) => {
                let families = Families { v4: true, v6: bytes.get(1) == Some(&1) };
                Ok(Self { from: Box::new(from), to: Box::new(to), gone: Box::new(gone), families })
            }
            _ => Err(nonsense()),
        }
    }

    /// Which addresses the sandbox has.
    pub fn families(&self) -> Families {
        self.families
    }
}

impl std::fmt::Debug for Carried {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Carried").field("families", &self.families).finish_non_exhaustive()
    }
}

/// What the sandbox's end says of a connection.
enum Said {
    Bytes(Vec<u8>),
    End,
}

/// A connection, as the one who reads the stream knows it. With it gone the connection is cut.
struct Known {
    said: mpsc::UnboundedSender<Said>,
    share: Arc<Share>,
}

/// What both who read the stream and who serves the connection have of it.
struct Share {
    number: u32,
    /// Bytes that may be sent.
    credit: Semaphore,
    /// Bytes that may still come.
    room: AtomicUsize,
    cut: Notify,
}

impl Drop for Known {
    fn drop(&mut self) {
        self.share.cut.notify_one();
    }
}

impl Share {
    /// Takes so many bytes of what may be sent: one at least, a piece at most.
    async fn room_to_send(&self) -> Result<usize, End> {
        self.credit.acquire().await.map_err(|_| End::Cut)?.forget();
        let more = self.credit.available_permits().min(PIECE - 1) as u32;
        match self.credit.try_acquire_many(more) {
            Ok(taken) => {
                taken.forget();
                Ok(1 + more as usize)
            }
            Err(_) => Ok(1),
        }
    }
}

/// How a connection ended.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    /// By both sides, in order.
    Closed,
    /// The sandbox's end has cut it.
    Cut,
    /// This end has.
    Broken,
}

/// What all of them share.
struct Carrier {
    gate: Arc<Gate>,
    say: mpsc::Sender<Vec<u8>>,
    /// Where connections to this process itself are taken.
    near: Turn<TcpListener>,
    at: SocketAddr,
    known: Mutex<HashMap<u32, Known>>,
}

/// Serves what comes until the stream ends. Within a runtime.
pub(crate) fn serve(gate: Arc<Gate>, carried: Carried) -> io::Result<()> {
    let Carried { mut from, mut to, gone, .. } = carried;
    let near = std::net::TcpListener::bind((std::net::Ipv4Addr::LOCALHOST, 0))?;
    near.set_nonblocking(true)?;
    let at = near.local_addr()?;
    let near = Turn::new(TcpListener::from_std(near)?);
    let (say, mut waiting) = mpsc::channel::<Vec<u8>>(WAITING);
    let carrier = Arc::new(Carrier { gate, say, near, at, known: Mutex::default() });
    let handle = Handle::current();
    // Pipes are waited for by threads: that is so on every platform. What reads never waits for what writes.
    std::thread::Builder::new().name("carried-to".into()).spawn(move || {
        while let Some(frame) = waiting.blocking_recv() {
            if to.write_all(&frame).and_then(|()| to.flush()).is_err() {
                break;
            }
        }
    })?;
    std::thread::Builder::new().name("carried-from".into()).spawn(move || {
        while let Ok(frame) = frame(&mut from) {
            if carrier.hear(&handle, frame).is_err() {
                break;
            }
        }
        // Whoever is still on the way is cut.
        carrier.known().clear();
        gone();
    })?;
    Ok(())
}

impl Carrier {
    /// Nothing in there is left half done by a panic.
    fn known(&self) -> MutexGuard<'_, HashMap<u32, Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One frame. Never waits.
    fn hear(self: &Arc<Self>, handle: &Handle, Frame { number, letter, bytes }: Frame) -> io::Result<()> {
        match letter {
            b'o' => return self.opened(number, &bytes),
            b'x' => {
                let (service, to) = arrival(&bytes)?;
                let gate = self.gate.clone();
                if let Service::Door(door) = service {
                    handle.spawn(async move { capture::too_many(&gate, to, door) });
                }
                return Ok(());
            }
            b'q' => {
                let carrier = self.clone();
                handle.spawn(async move {
                    let answer = carrier.gate.names.respond(&bytes);
                    let said = answer.map_or_else(|| with(number, b'r', &[]), |answer| with(number, b'd', &answer));
                    let _ = carrier.say.send(said).await;
                });
                return Ok(());
            }
            _ => {}
        }
        let mut known = self.known();
        // One that has ended on this side may have been spoken of meanwhile.
        let Some(connection) = known.get(&number) else { return Ok(()) };
        let Share { credit, room, .. } = &*connection.share;
        let said = match letter {
            b'd' => {
                let left =
                    room.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |room| room.checked_sub(bytes.len()));
                left.map_err(|_| nonsense())?;
                Said::Bytes(bytes)
            }
            b'f' => Said::End,
            b'c' => {
                let more = bytes.try_into().map(u32::from_le_bytes).map_err(|_| nonsense())? as usize;
                if more > WINDOW.saturating_sub(credit.available_permits()) {
                    return Err(nonsense());
                }
                credit.add_permits(more);
                return Ok(());
            }
            b'r' => {
                known.remove(&number);
                return Ok(());
            }
            _ => return Err(nonsense()),
        };
        // Nobody listens to one that is just ending.
        let _ = connection.said.send(said);
        Ok(())
    }

    fn opened(self: &Arc<Self>, number: u32, bytes: &[u8]) -> io::Result<()> {
        let (service, to) = arrival(bytes)?;
        let (said, hear) = mpsc::unbounded_channel();
        let (credit, room) = (Semaphore::new(WINDOW), AtomicUsize::new(WINDOW));
        let share = Arc::new(Share { number, credit, room, cut: Notify::new() });
        let mut known = self.known();
        if known.len() >= MOST || known.contains_key(&number) {
            return Err(nonsense());
        }
        known.insert(number, Known { said, share: share.clone() });
        drop(known);
        let carrier = self.clone();
        self.gate.thread().spawn(async move {
            if carrier.carry(&share, service, to, hear).await == End::Broken {
                let _ = carrier.say(with(number, b'r', &[])).await;
            }
            carrier.known().remove(&number);
        });
        Ok(())
    }

    /// A connection from its beginning to its end.
    async fn carry(
        &self,
        share: &Share,
        service: Service,
        to: SocketAddr,
        mut hear: mpsc::UnboundedReceiver<Said>,
    ) -> End {
        let permit = match service {
            Service::Door(door) => match capture::admitted(&self.gate, to, door) {
                None => return End::Broken,
                permit => permit,
            },
            Service::Names => None,
        };
        let Ok((mut ours, theirs)) = self.pair().await else { return End::Broken };
        let gate = self.gate.clone();
        tokio::spawn(async move {
            let _permit = permit;
            match service {
                Service::Door(door) => capture::serve(&gate, theirs, to, door).await,
                // It ends when the other side is done, silent or wrong: nothing to tell.
                Service::Names => drop(names::answer_all(theirs, &gate.names).await),
            }
        });
        let end = {
            let (read, write) = ours.split();
            let both = async { tokio::try_join!(self.inward(share, write, &mut hear), self.outward(share, read)) };
            tokio::select! {
                both = both => both.map_or_else(|end| end, |_| End::Closed),
                () = share.cut.notified() => End::Cut,
            }
        };
        if end != End::Closed {
            // Whoever serves it learns that this is no ordinary end.
            let _ = ours.set_zero_linger();
        }
        end
    }

    /// What the client says.
    async fn inward(
        &self,
        share: &Share,
        mut write: WriteHalf<'_>,
        hear: &mut mpsc::UnboundedReceiver<Said>,
    ) -> Result<(), End> {
        let mut owed = 0;
        while let Some(Said::Bytes(bytes)) = hear.recv().await {
            write.write_all(&bytes).await.map_err(|_| End::Broken)?;
            owed += bytes.len();
            if owed >= WORTH_SAYING {
                share.room.fetch_add(owed, Ordering::Relaxed);
                self.say(with(share.number, b'c', &(owed as u32).to_le_bytes())).await?;
                owed = 0;
            }
        }
        write.shutdown().await.map_err(|_| End::Broken)
    }

    /// What the client is told.
    async fn outward(&self, share: &Share, mut read: ReadHalf<'_>) -> Result<(), End> {
        loop {
            read.readable().await.map_err(|_| End::Broken)?;
            // An end takes no room, and may come when there is none.
            if share.credit.available_permits() == 0 && read.peek(&mut [0]).await.is_ok_and(|count| count == 0) {
                return self.say(with(share.number, b'f', &[])).await;
            }
            let most = share.room_to_send().await?;
            let mut room = vec![0; HEAD + most];
            let took = read.try_read(room.get_mut(HEAD..).unwrap_or_default());
            share.credit.add_permits(most - took.as_ref().map_or(0, |count| *count));
            match took {
                Ok(0) => return self.say(with(share.number, b'f', &[])).await,
                Ok(count) => {
                    room.truncate(HEAD + count);
                    self.say(finished(share.number, b'd', room)).await?;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(_) => return Err(End::Broken),
            }
        }
    }

    async fn say(&self, frame: Vec<u8>) -> Result<(), End> {
        self.say.send(frame).await.map_err(|_| End::Cut)
    }

    /// Two ends of one connection, both of them this process's.
    async fn pair(&self) -> io::Result<(TcpStream, TcpStream)> {
        let near = self.near.lock().await;
        let ours = TcpStream::connect(self.at).await?;
        let mine = ours.local_addr()?;
        loop {
            let (theirs, from) = near.accept().await?;
            // Anybody on this machine can knock; nobody else has this address.
            if from == mine {
                ours.set_nodelay(true)?;
                return Ok((ours, theirs));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::{HostRule, Policy, Rules};
    use crate::{Event, Gateway, HostName, Listeners, Memory, Resolve, Resolving, Setup, What};
    use std::io::{PipeReader, PipeWriter};
    use std::net::IpAddr;
    use std::time::Duration;

    /// Every name is this machine.
    struct Here;

    impl Resolve for Here {
        fn resolve(&self, _: &HostName) -> Resolving {
            Box::pin(async { Ok(vec![IpAddr::V4(std::net::Ipv4Addr::LOCALHOST)]) })
        }
    }

    /// The sandbox's end of a stream, by hand.
    struct Far {
        to: PipeWriter,
        from: PipeReader,
        gone: std::sync::mpsc::Receiver<()>,
        told: Memory,
        _gateway: Gateway,
    }

    fn far(port: u16) -> Far {
        let rule =
            HostRule { host: "a.example.com".into(), ports: Some(vec![port]), private: true, ..HostRule::default() };
        let policy = Policy::new(Rules { hosts: vec![rule], ..Rules::default() }).unwrap();
        let told = Memory::default();
        let setup = Setup { resolver: Box::new(Here), ..Setup::new(policy) };
        let mut gateway = Gateway::start(setup, Box::new(told.clone())).unwrap();
        let ((theirs, mut to), (from, ours)) = (io::pipe().unwrap(), io::pipe().unwrap());
        to.write_all(&with(0, b'h', &[VERSION, 0])).unwrap();
        let (say, gone) = std::sync::mpsc::channel();
        let gone_by = move || say.send(()).unwrap_or_default();
        let carried = Carried::new(theirs, ours, gone_by).unwrap();
        let families = carried.families();
        assert!(!families.v6);
        gateway.open(Listeners { carried: Some(carried), ..Listeners::default() }, families).unwrap();
        Far { to, from, gone, told, _gateway: gateway }
    }

    impl Far {
        fn say(&mut self, number: u32, letter: u8, bytes: &[u8]) {
            self.to.write_all(&with(number, letter, bytes)).unwrap();
        }

        fn open(&mut self, number: u32, to: [u8; 4], port: u16) {
            let [a, b, c, d] = to;
            let [low, high] = port.to_le_bytes();
            let bytes = [1, 0, low, high, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, a, b, c, d];
            self.say(number, b'o', &bytes);
        }

        /// Asks for the one name that there is, and gets its address.
        fn address(&mut self) -> [u8; 4] {
            let mut question = vec![0, 7, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
            for part in ["a", "example", "com"] {
                question.push(part.len() as u8);
                question.extend(part.bytes());
            }
            question.extend([0, 0, 1, 0, 1]);
            self.say(5, b'q', &question);
            let answer = frame(&mut self.from).unwrap();
            assert_eq!((answer.number, answer.letter), (5, b'd'));
            *answer.bytes.last_chunk().unwrap()
        }

        fn is_gone(&self) -> bool {
            self.gone.recv_timeout(Duration::from_secs(10)).is_ok()
        }
    }

    #[test]
    fn a_connection_is_carried_whole_and_no_faster_than_it_is_taken() {
        let server = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let mut far = far(server.local_addr().unwrap().port());
        let address = far.address();
        assert_eq!(address[0], 198);
        far.open(9, address, server.local_addr().unwrap().port());
        far.say(9, b'd', b"hello");
        let (mut stream, _) = server.accept().unwrap();
        let mut hello = [0; 5];
        stream.read_exact(&mut hello).unwrap();
        assert_eq!(&hello, b"hello");
        // More than may be under way, and nobody says that any of it was taken.
        let sent: Vec<u8> = (0..2 * WINDOW).map(|n| (n % 251) as u8).collect();
        let all = sent.clone();
        let sending = std::thread::spawn(move || {
            stream.write_all(&all).unwrap();
            let mut rest = String::new();
            stream.read_to_string(&mut rest).unwrap();
            rest
        });
        let mut got = Vec::new();
        while got.len() < WINDOW {
            let next = frame(&mut far.from).unwrap();
            assert_eq!((next.number, next.letter), (9, b'd'));
            got.extend(next.bytes);
        }
        assert_eq!(got.len(), WINDOW);
        // A question is answered meanwhile: one that stands still holds nobody up.
        far.address();
        far.say(9, b'c', &(WINDOW as u32).to_le_bytes());
        while got.len() < sent.len() {
            got.extend(frame(&mut far.from).unwrap().bytes);
        }
        assert!(got == sent);
        far.say(9, b'd', b"bye");
        far.say(9, b'f', &[]);
        assert_eq!(sending.join().unwrap(), "bye");
        assert_eq!(frame(&mut far.from).unwrap().letter, b'f');
    }

    #[test]
    fn what_was_not_granted_is_cut_and_on_record() {
        let mut far = far(4321);
        far.open(1, [10, 0, 0, 1], 4321);
        far.say(1, b'd', b"x");
        let cut = frame(&mut far.from).unwrap();
        assert_eq!((cut.number, cut.letter), (1, b'r'));
        let refused = |event: &Event| matches!(&event.what, What::Connection { decision, .. } if !decision.allowed);
        assert!(far.told.events().iter().any(refused));
    }

    #[test]
    fn nonsense_ends_all_of_it() {
        let whole = [1, 0, 80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 0, 0, 1];
        for nonsense in [
            vec![with(1, b'o', &whole[..19])],
            vec![with(1, b'o', &[&[9], &whole[1..]].concat())],
            vec![with(1, b'o', &whole), with(1, b'o', &whole)],
            vec![with(1, b'o', &whole), with(1, b'c', &[1, 0, 0, 0])],
            vec![[&1u32.to_le_bytes()[..], &[b'd', 0, 0xff, 0xff]].concat()],
        ] {
            let mut far = far(4321);
            for frame in nonsense {
                // It may be gone before the last of them.
                let _ = far.to.write_all(&frame);
            }
            assert!(far.is_gone());
        }
        let far = far(4321);
        let Far { to, gone, .. } = far;
        drop(to);
        assert!(gone.recv_timeout(Duration::from_secs(10)).is_ok(), "the end of the stream");
    }
}
