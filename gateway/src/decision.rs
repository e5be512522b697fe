//! What the gateway decided and what came of it, as data. Who gives it listeners gives it a [`Sink`] too, and writes it down.
//!
//! A decision is told before anything follows from it: what could not be told does not happen.

use crate::policy::{Destination, Handling, Reason, Refusal};
use serde::Serialize;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

/// Takes events, one after the other. It is called where packets move, so it should not take long.
pub trait Sink: Send + Sync {
    /// Takes one. False: it could not be kept, and what it tells of must not happen.
    fn take(&self, event: &Event) -> bool;
}

/// Something that was decided or came to its end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Event {
    /// Milliseconds since 1970.
    pub at: u64,
    /// What it was.
    #[serde(flatten)]
    pub what: What,
}

/// The kinds of events.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum What {
    /// A name was asked for. Only the first time is told: the answer stays the same.
    Lookup {
        /// The name as asked for, other signs than those of host names made visible.
        name: String,
        /// The kind of record: `A`, `AAAA` …
        kind: String,
        /// What was decided.
        #[serde(flatten)]
        decision: Decision,
    },
    /// A connection was made towards the gateway. If it is allowed, its name is looked up next.
    Connection {
        /// Its number within the run.
        connection: u64,
        /// Where it wants to go.
        to: Destination,
        /// The port.
        port: u16,
        /// It came by the courtesy proxy.
        proxy: bool,
        /// What becomes of its bytes.
        handling: Option<Handling>,
        /// What was decided.
        #[serde(flatten)]
        decision: Decision,
    },
    /// A server was reached for a connection.
    Dialled {
        /// The connection.
        connection: u64,
        /// The address that was dialled.
        address: SocketAddr,
    },
    /// A connection that had been allowed so far was refused for what was in it, or for where its name led.
    Refused {
        /// The connection.
        connection: u64,
        /// What was decided.
        #[serde(flatten)]
        decision: Decision,
    },
    /// A connection is over.
    Ended {
        /// The connection.
        connection: u64,
        /// Bytes that went to servers.
        sent: u64,
        /// Bytes that came from servers.
        received: u64,
        /// How long it took.
        millis: u64,
        /// How it ended.
        how: String,
    },
    /// A request of HTTP. If it is allowed it is passed on next.
    Request {
        /// The connection that it came by.
        connection: u64,
        /// Its number within the connection.
        request: u64,
        /// The method.
        method: String,
        /// The path without the query, cut after 1024 characters.
        path: String,
        /// SHA-256 of the query, where there is one.
        query: Option<String>,
        /// A header was added.
        injected: bool,
        /// What was decided.
        #[serde(flatten)]
        decision: Decision,
    },
    /// A request that was passed on is over.
    Answered {
        /// The connection.
        connection: u64,
        /// The request.
        request: u64,
        /// The answer's status. None came: 0.
        status: u16,
        /// Bytes of the request's body.
        sent: u64,
        /// Bytes of the answer's body.
        received: u64,
        /// Places where an injected secret was taken out of the answer.
        scrubbed: u64,
        /// How long it took.
        millis: u64,
        /// How it ended.
        how: String,
    },
    /// Datagrams that led nowhere: the first to a destination, and at the end those that came after it.
    Datagrams {
        /// Where they were sent.
        to: Destination,
        /// The port.
        port: u16,
        /// How many, since this destination was last told.
        count: u64,
        /// What was decided.
        #[serde(flatten)]
        decision: Decision,
    },
    /// Datagrams to so many destinations that these are not told one by one.
    MoreDatagrams {
        /// How many.
        count: u64,
    },
    /// So much was told that no more is let through.
    Full,
}

/// What was decided, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Decision {
    /// It may happen.
    pub allowed: bool,
    /// The rule that decided, counted from 0. None: no rule names it, or it is `any`.
    pub rule: Option<usize>,
    /// Why not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<Reason>,
    /// The same in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub words: Option<String>,
    /// The line of `permissions.network` that would allow it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allow: Option<String>,
}

impl Decision {
    /// Allowed by a rule, or by `any`.
    pub fn allowed(rule: Option<usize>) -> Self {
        Self { allowed: true, rule, reason: None, words: None, allow: None }
    }
}

impl From<&Refusal> for Decision {
    fn from(refusal: &Refusal) -> Self {
        Self {
            allowed: false,
            rule: refusal.rule,
            reason: Some(refusal.reason.clone()),
            words: Some(refusal.to_string()),
            allow: refusal.allow.clone(),
        }
    }
}

/// Hands events on, up to a bound: a task must not be able to make a record of any size.
pub(crate) struct Recorder {
    sink: Box<dyn Sink>,
    left: AtomicU64,
}

/// What should have been told could not be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NotRecorded;

impl Recorder {
    pub(crate) fn new(sink: Box<dyn Sink>, most: u64) -> Self {
        Self { sink, left: AtomicU64::new(most) }
    }

    /// Tells a decision. Only if that worked may anything follow from it.
    pub(crate) fn decided(&self, what: What) -> Result<(), NotRecorded> {
        match self.left.fetch_update(Ordering::AcqRel, Ordering::Acquire, |left| left.checked_sub(1)) {
            Ok(1) => {
                self.take(What::Full);
                Err(NotRecorded)
            }
            Ok(_) => self.take(what).then_some(()).ok_or(NotRecorded),
            Err(_) => Err(NotRecorded),
        }
    }

    /// Tells how something ended that was told before: there are no more of these than of those.
    pub(crate) fn ended(&self, what: What) {
        self.take(what);
    }

    fn take(&self, what: What) -> bool {
        let at = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64);
        self.sink.take(&Event { at, what })
    }
}

/// Events in memory, for tests of this crate and of those who use it.
#[derive(Clone, Debug, Default)]
pub struct Memory(std::sync::Arc<std::sync::Mutex<Vec<Event>>>);

impl Memory {
    /// All that was told so far.
    pub fn events(&self) -> Vec<Event> {
        self.0.lock().map(|events| events.clone()).unwrap_or_default()
    }
}

impl Sink for Memory {
    fn take(&self, event: &Event) -> bool {
        self.0.lock().map(|mut events| events.push(event.clone())).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lookup(name: &str) -> What {
        What::Lookup { name: name.to_owned(), kind: "A".to_owned(), decision: Decision::allowed(Some(3)) }
    }

    #[test]
    fn a_full_record_lets_nothing_more_happen() {
        let memory = Memory::default();
        let recorder = Recorder::new(Box::new(memory.clone()), 3);
        let told: Vec<bool> = (0..5).map(|n| recorder.decided(lookup(&n.to_string())).is_ok()).collect();
        assert_eq!(told, [true, true, false, false, false]);
        recorder.ended(What::Ended { connection: 1, sent: 0, received: 0, millis: 0, how: "cut".to_owned() });
        let events = memory.events();
        assert_eq!(events.len(), 4);
        assert_eq!(events[2].what, What::Full);
    }

    #[test]
    fn what_the_sink_does_not_keep_does_not_happen() {
        struct Broken;
        impl Sink for Broken {
            fn take(&self, _: &Event) -> bool {
                false
            }
        }
        assert_eq!(Recorder::new(Box::new(Broken), 9).decided(lookup("a")), Err(NotRecorded));
    }

    #[test]
    fn an_event_is_one_flat_object() {
        let refusal = Refusal {
            what: "a.example:22".into(),
            rule: None,
            reason: Reason::NotNamed,
            allow: Some("- a.example".into()),
        };
        let what = What::Lookup { name: "a.example".into(), kind: "A".into(), decision: Decision::from(&refusal) };
        let json = serde_json::to_value(Event { at: 7, what }).unwrap();
        assert_eq!(
            json,
            serde_json::json!({
                "at": 7, "event": "lookup", "name": "a.example", "kind": "A", "allowed": false, "rule": null,
                "reason": {"why": "not-named"}, "words": "policy refused a.example:22: no rule names this host", "allow": "- a.example",
            })
        );
    }
}
