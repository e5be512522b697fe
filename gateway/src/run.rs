//! A gateway from its start to its end. It is meant for a process of its own: when that dies, the listeners die with it,
//! and the sandbox has no network any more.

use crate::budget::Budgets;
use crate::capture::{self, Door};
use crate::carried::{self, Carried};
use crate::copy;
use crate::decision::{Recorder, Sink};
use crate::dial::{Dialler, Resolve, SystemResolver};
use crate::gate::Gate;
use crate::limits::Limits;
use crate::names::{self, Families, Names};
use crate::policy::Policy;
use crate::strays::{self, Strays};
use crate::tls::{NoTls, Tls};
use std::net::{TcpListener, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize};
use std::time::{Duration, Instant};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::Semaphore;
use tokio_rustls::rustls::pki_types::CertificateDer;

/// Threads that move bytes, each with a runtime of its own. In one runtime those that have nothing to do are woken by all that
/// arrives for the others, and both sides of a connection by turns on each: a fifth more work, measured.
const THREADS: usize = 2;
/// Threads of each runtime that may stand still in look-ups of names.
const LOOKUP_THREADS: usize = 16;
/// How long an ending gateway waits for what is still under way.
const ENDING: Duration = Duration::from_secs(2);
/// However long the first of its threads took.
const ENDING_EACH: Duration = Duration::from_millis(500);

/// Where the sandbox knocks. All of them are made inside of its network namespace.
#[derive(Debug, Default)]
pub struct Listeners {
    /// One for each port of the policy, on every address.
    pub tcp: Vec<TcpListener>,
    /// The courtesy proxy, on a loopback address.
    pub proxy: Vec<TcpListener>,
    /// The service of names by UDP, on a loopback address.
    pub names_udp: Vec<UdpSocket>,
    /// The service of names by TCP, on the same address.
    pub names_tcp: Vec<TcpListener>,
    /// Raw sockets of ICMP and ICMPv6, that hear of datagrams which led nowhere.
    pub strays: Vec<UdpSocket>,
    /// All of these in a place that no socket can be brought from.
    pub carried: Option<Carried>,
}

/// All that a gateway is given.
pub struct Setup {
    /// What may be reached.
    pub policy: Policy,
    /// Bounds.
    pub limits: Limits,
    /// How true names are found.
    pub resolver: Box<dyn Resolve>,
    /// Whom servers must be signed by, where TLS is opened.
    pub roots: Vec<CertificateDer<'static>>,
}

impl Setup {
    /// The usual: the host's resolver, the host's roots, the usual bounds.
    pub fn new(policy: Policy) -> Self {
        let roots = rustls_native_certs::load_native_certs().certs;
        Self { policy, limits: Limits::default(), resolver: Box::new(SystemResolver::default()), roots }
    }
}

/// Why a gateway did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// TLS could not be set up.
    #[error(transparent)]
    Tls(#[from] NoTls),
    /// A socket or a thread was refused by the system.
    #[error("the gateway could not start: {0}")]
    System(#[from] std::io::Error),
}

/// A gateway. When it is dropped its connections are cut.
pub struct Gateway {
    runtimes: Vec<Runtime>,
    pem: String,
    /// Until it is opened.
    waiting: Option<Waiting>,
}

/// What a gateway has before it knows where the sandbox knocks.
struct Waiting {
    policy: Policy,
    limits: Limits,
    resolver: Box<dyn Resolve>,
    sink: Box<dyn Sink>,
    tls: Tls,
}

impl Gateway {
    /// Makes one with an authority of its own, which a sandbox has to know before it is built. Nothing is served yet.
    pub fn start(setup: Setup, sink: Box<dyn Sink>) -> Result<Self, StartError> {
        let runtimes = (0..THREADS).map(|_| runtime()).collect::<Result<_, _>>()?;
        let Setup { policy, limits, resolver, roots } = setup;
        let tls = Tls::new(roots)?;
        let pem = tls.pem().to_owned();
        Ok(Self { runtimes, pem, waiting: Some(Waiting { policy, limits, resolver, sink, tls }) })
    }

    /// Serves a sandbox that has these families of addresses. It tells the sink what it decides until it is stopped.
    pub fn open(&mut self, listeners: Listeners, families: Families) -> Result<(), StartError> {
        let (Some(runtime), Some(waiting)) = (self.runtimes.first(), self.waiting.take()) else {
            return Err(std::io::Error::other("it serves a sandbox already").into());
        };
        let Waiting { policy, limits, resolver, sink, tls } = waiting;
        let policy = Arc::new(policy);
        let recorder = Arc::new(Recorder::new(sink, limits.events));
        let gate = Arc::new(Gate {
            names: Arc::new(Names::new(policy.clone(), recorder.clone(), families)),
            budgets: Budgets::new(&policy),
            dialler: Dialler::new(resolver, limits.dial),
            at_once: Arc::new(Semaphore::new(limits.at_once)),
            pipes: Semaphore::new(copy::PIPES),
            limits,
            numbers: AtomicU64::new(0),
            policy,
            recorder,
            tls,
            next: AtomicUsize::new(0),
            threads: self.runtimes.iter().map(|runtime| runtime.handle().clone()).collect(),
        });
        serve(runtime, &gate, listeners)?;
        Ok(())
    }

    /// The certificate of the authority that signs for opened hosts, for the sandbox's trust. It is this run's alone.
    pub fn authority(&self) -> &str {
        &self.pem
    }

    /// Ends it: connections are cut, and their ends are told before this comes back.
    pub fn stop(mut self) {
        let until = Instant::now() + ENDING;
        for runtime in std::mem::take(&mut self.runtimes) {
            runtime.shutdown_timeout(until.saturating_duration_since(Instant::now()).max(ENDING_EACH));
        }
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        std::mem::take(&mut self.runtimes).into_iter().for_each(Runtime::shutdown_background);
    }
}

fn runtime() -> std::io::Result<Runtime> {
    Builder::new_multi_thread()
        .worker_threads(1)
        .max_blocking_threads(LOOKUP_THREADS)
        .thread_name("gateway")
        .enable_all()
        .build()
}

fn serve(runtime: &Runtime, gate: &Arc<Gate>, listeners: Listeners) -> std::io::Result<()> {
    let _within = runtime.enter();
    let tcp = |listener: TcpListener| {
        listener.set_nonblocking(true)?;
        tokio::net::TcpListener::from_std(listener)
    };
    for (door, sockets) in [(Door::Captured, listeners.tcp), (Door::Proxy, listeners.proxy)] {
        for socket in sockets {
            runtime.spawn(capture::accept(tcp(socket)?, gate.clone(), door));
        }
    }
    for socket in listeners.names_udp {
        socket.set_nonblocking(true)?;
        runtime.spawn(names::serve_udp(tokio::net::UdpSocket::from_std(socket)?, gate.names.clone()));
    }
    let known = Arc::new(Strays::new(gate.names.clone(), gate.recorder.clone()));
    for socket in listeners.strays {
        socket.set_nonblocking(true)?;
        runtime.spawn(strays::hear(tokio::net::UdpSocket::from_std(socket)?, known.clone()));
    }
    for socket in listeners.names_tcp {
        runtime.spawn(names::serve_tcp(tcp(socket)?, gate.names.clone()));
    }
    listeners.carried.map_or(Ok(()), |carried| carried::serve(gate.clone(), carried))
}
