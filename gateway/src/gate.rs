//! What all connections of one gateway share, and what one connection is until it ends.

use crate::budget::{Budgets, Meter};
use crate::decision::{Decision, Recorder, What};
use crate::dial::{Dialler, NoWay};
use crate::limits::Limits;
use crate::names::Names;
use crate::policy::{Destination, Granted, Policy, Reason, Refusal, Verdict};
use crate::tls::Tls;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::net::TcpStream;
use tokio::runtime::Handle;
use tokio::sync::Semaphore;

/// One gateway.
pub(crate) struct Gate {
    pub(crate) policy: Arc<Policy>,
    pub(crate) names: Arc<Names>,
    pub(crate) recorder: Arc<Recorder>,
    pub(crate) dialler: Dialler,
    pub(crate) budgets: Budgets,
    pub(crate) limits: Limits,
    pub(crate) tls: Tls,
    pub(crate) at_once: Arc<Semaphore>,
    pub(crate) pipes: Semaphore,
    pub(crate) numbers: AtomicU64,
    /// Each moves the bytes of its own connections; they have them by turns.
    pub(crate) threads: Vec<Handle>,
    pub(crate) next: AtomicUsize,
}

impl Gate {
    /// Who serves one more connection.
    pub(crate) fn thread(&self) -> &Handle {
        &self.threads[self.next.fetch_add(1, Ordering::Relaxed) % self.threads.len()]
    }
}

/// A connection that was allowed. Its end is told when it is dropped, whatever became of it.
pub(crate) struct Connection {
    pub(crate) gate: Arc<Gate>,
    pub(crate) number: u64,
    pub(crate) to: Destination,
    pub(crate) port: u16,
    pub(crate) granted: Granted,
    pub(crate) meter: Arc<Meter>,
    requests: AtomicU64,
    how: Mutex<Option<String>>,
}

impl Connection {
    /// Asks for a connection, and tells what was decided. Nothing has been dialled yet.
    pub(crate) fn open(gate: &Arc<Gate>, to: Destination, port: u16, proxy: bool) -> Verdict<Self> {
        let number = gate.numbers.fetch_add(1, Ordering::Relaxed);
        let verdict =
            gate.policy.connection(&to, port).and_then(|granted| match gate.budgets.connection(granted.rule) {
                Ok(meter) => Ok((granted, meter)),
                Err(of) => Err(Refusal {
                    what: shown(&to, port),
                    rule: granted.rule,
                    reason: Reason::Budget { of },
                    allow: None,
                }),
            });
        let (handling, decision) = match &verdict {
            Ok((granted, _)) => (Some(granted.handling), Decision::allowed(granted.rule)),
            Err(refusal) => (None, Decision::from(refusal)),
        };
        let told = gate.recorder.decided(What::Connection {
            connection: number,
            to: to.clone(),
            port,
            proxy,
            handling,
            decision,
        });
        let (granted, meter) = verdict?;
        if told.is_err() {
            return Err(Refusal {
                what: shown(&to, port),
                rule: granted.rule,
                reason: Reason::RecordFull,
                allow: None,
            });
        }
        let (requests, how) = (AtomicU64::new(0), Mutex::default());
        Ok(Self { gate: gate.clone(), number, to, port, granted, meter: Arc::new(meter), requests, how })
    }

    /// Reaches the server. Where the name leads to a wrong place that is told as a refusal.
    pub(crate) async fn dial(&self) -> Result<TcpStream, NotReached> {
        let dialler = &self.gate.dialler;
        let reached = match &self.to {
            Destination::Name(name) => dialler.name(name, self.port, self.granted.private).await,
            Destination::Address(address) => dialler.address(*address, self.port).await,
        };
        match reached {
            Ok((stream, address)) => {
                self.gate.recorder.ended(What::Dialled { connection: self.number, address });
                Ok(stream)
            }
            Err(NoWay::Refused(reason)) => Err(NotReached::Refused(self.refuse(reason))),
            Err(NoWay::Failed(words)) => {
                self.ends(&words);
                Err(NotReached::Failed(words))
            }
        }
    }

    /// Refuses what had been allowed so far, and tells it.
    pub(crate) fn refuse(&self, reason: Reason) -> Refusal {
        let allow = match (&reason, &self.to) {
            (Reason::Class { .. }, Destination::Name(name)) => {
                Some(format!("- {{host: {name}, ports: [{}], private: true}}", self.port))
            }
            _ => None,
        };
        let refusal = Refusal { what: shown(&self.to, self.port), rule: self.granted.rule, reason, allow };
        self.gate.recorder.ended(What::Refused { connection: self.number, decision: Decision::from(&refusal) });
        self.ends("refused");
        refusal
    }

    /// The number of one more request.
    pub(crate) fn next_request(&self) -> u64 {
        self.requests.fetch_add(1, Ordering::Relaxed)
    }

    /// Says how it ends. The first word counts.
    pub(crate) fn ends(&self, how: &str) {
        self.how.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert_with(|| how.to_owned());
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        let (sent, received) = self.meter.totals();
        let how = self.how.get_mut().unwrap_or_else(PoisonError::into_inner).take();
        self.gate.recorder.ended(What::Ended {
            connection: self.number,
            sent,
            received,
            millis: self.meter.age().as_millis() as u64,
            how: how.unwrap_or_else(|| "cut".to_owned()),
        });
    }
}

/// Why a connection led to no server.
#[derive(Clone, Debug)]
pub(crate) enum NotReached {
    /// The name leads where it must not.
    Refused(Refusal),
    /// It could not be reached.
    Failed(String),
}

/// Where something wants to go, for words.
pub(crate) fn shown(to: &Destination, port: u16) -> String {
    match to {
        Destination::Name(name) => format!("{name}:{port}"),
        Destination::Address(address) => std::net::SocketAddr::new(*address, port).to_string(),
    }
}
