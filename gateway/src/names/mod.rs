//! The sandbox's service of names. It is answered here, out of the policy, and asks nobody: a name that was not granted
//! goes nowhere, and so does one that was, until something connects to it.

mod book;
mod packet;
mod serve;

pub(crate) use serve::{answer_all, serve_tcp, serve_udp};

use crate::decision::{Decision, Recorder, What};
use crate::name::{HostName, shown};
use crate::policy::{Policy, Reason, Refusal};
use book::Book;
use packet::{Answer, Malformed, Question, kind};
use std::collections::HashSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};

/// Lookups that are remembered as told; what comes after those is told each time, up to the record's bound.
const MOST_TOLD: usize = 32 * 1024;

/// The families of addresses that the sandbox has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Families {
    /// IPv4.
    pub v4: bool,
    /// IPv6. Without it no name has such an address, and clients do not try in vain.
    pub v6: bool,
}

/// Answers questions, and knows afterwards which name an address stands for.
pub(crate) struct Names {
    policy: Arc<Policy>,
    recorder: Arc<Recorder>,
    families: Families,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    book: Book,
    told: HashSet<(String, u16)>,
}

impl Names {
    pub(crate) fn new(policy: Arc<Policy>, recorder: Arc<Recorder>, families: Families) -> Self {
        Self { policy, recorder, families, state: Mutex::default() }
    }

    /// The name that was asked for before this address was dialled.
    pub(crate) fn name_of(&self, address: IpAddr) -> Option<HostName> {
        self.state().book.name_of(address).cloned()
    }

    /// The message that answers a message, if it is answered at all.
    pub(crate) fn respond(&self, message: &[u8]) -> Option<Vec<u8>> {
        match packet::read(message) {
            Ok(question) => Some(question.answered(&self.answer(&question))),
            Err(Malformed::Say(bytes)) => Some(bytes),
            Err(Malformed::Silence) => None,
        }
    }

    fn answer(&self, question: &Question) -> Answer {
        if !question.is_internet() || matches!(question.kind, kind::AXFR | kind::IXFR) {
            return Answer::Refused;
        }
        let text = question.text();
        if let Some(address) = reversed(&text) {
            return self.answer_pointer(question, address);
        }
        let verdict = match HostName::ascii(&text) {
            Ok(name) => self.policy.lookup(&name).map(|rule| (name, rule)),
            Err(_) => Err(Refusal { what: shown(&text), rule: None, reason: Reason::Name, allow: None }),
        };
        let (name, rule) = match verdict {
            Ok(granted) => granted,
            Err(refusal) => {
                return self.told(&text, question.kind, Decision::from(&refusal)).unwrap_or(Answer::NoSuchName);
            }
        };
        let Some(addresses) = self.state().book.allot(&name) else {
            let refusal = Refusal {
                what: name.to_string(),
                rule,
                reason: Reason::Budget { of: format!("{} names", book::MOST) },
                allow: None,
            };
            return self.told(&text, question.kind, Decision::from(&refusal)).unwrap_or(Answer::Failed);
        };
        self.told(name.as_str(), question.kind, Decision::allowed(rule))
            .unwrap_or_else(|| self.address(question.kind, addresses))
    }

    fn address(&self, kind: u16, (v4, v6): (Ipv4Addr, Ipv6Addr)) -> Answer {
        match kind {
            kind::A | kind::ANY if self.families.v4 => Answer::Address(v4.into()),
            kind::AAAA | kind::ANY if self.families.v6 => Answer::Address(v6.into()),
            _ => Answer::Empty,
        }
    }

    /// Some clients ask whose an address is. Ours are known, of others nothing is.
    fn answer_pointer(&self, question: &Question, address: IpAddr) -> Answer {
        match (self.name_of(address), question.kind) {
            (Some(name), kind::PTR | kind::ANY) => Answer::Pointer(name.to_string()),
            (Some(_), _) => Answer::Empty,
            (None, kind) => {
                let refusal = Refusal { what: address.to_string(), rule: None, reason: Reason::Address, allow: None };
                self.told(&question.text(), kind, Decision::from(&refusal)).unwrap_or(Answer::NoSuchName)
            }
        }
    }

    /// Tells a lookup the first time. What could not be told is not answered.
    fn told(&self, name: &str, kind: u16, decision: Decision) -> Option<Answer> {
        let key = (name.to_ascii_lowercase(), kind);
        let mut state = self.state();
        if state.told.contains(&key) {
            return None;
        }
        let what = What::Lookup { name: name.to_owned(), kind: packet::kind_name(kind), decision };
        if self.recorder.decided(what).is_err() {
            return Some(Answer::Failed);
        }
        if state.told.len() < MOST_TOLD {
            state.told.insert(key);
        }
        None
    }

    /// Nothing in here is left half done by a panic.
    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The address of a reverse lookup.
fn reversed(name: &str) -> Option<IpAddr> {
    let name = name.to_ascii_lowercase();
    if let Some(parts) = name.strip_suffix(".in-addr.arpa") {
        let text: Vec<&str> = parts.split('.').rev().collect();
        return text.join(".").parse::<Ipv4Addr>().ok().map(IpAddr::V4);
    }
    let nibbles: Vec<&str> = name.strip_suffix(".ip6.arpa")?.split('.').rev().collect();
    if nibbles.len() != 32 || nibbles.iter().any(|nibble| nibble.len() != 1) {
        return None;
    }
    u128::from_str_radix(&nibbles.concat(), 16).ok().map(|bits| IpAddr::V6(bits.into()))
}

#[cfg(test)]
mod tests;
