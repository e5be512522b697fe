//! What a run may reach: a pure decision. It is asked about names, ports and requests, does nothing itself, and says which rule decided.
//!
//! Deny beats allow, and what no rule names is refused. A host that rules name is decided by those rules alone; `any` is for the others.

mod check;
mod path;
mod refusal;
mod rules;
#[cfg(test)]
mod tests;

pub use check::PolicyError;
pub use refusal::{Reason, Refusal};
pub use rules::{Budget, HostRule, Inject, Rules, Secret, Tls};

use crate::address::{Class, class_of};
use crate::name::{HostName, HostPattern};
use path::PathPattern;
use std::collections::BTreeSet;
use std::net::IpAddr;

/// Ports of `any`: each needs a listener, so they are some. ssh, web, web of developers, git.
pub const ANY_PORTS: [u16; 6] = [22, 80, 443, 8080, 8443, 9418];
/// Methods where a rule names none: they read.
const READING: [&str; 2] = ["GET", "HEAD"];
const HTTP: u16 = 80;
const HTTPS: u16 = 443;

/// Rules that were checked and can be asked.
#[derive(Debug)]
pub struct Policy {
    any: bool,
    rules: Vec<Rule>,
    budget: Budget,
    /// Names are answered and connections taken, and none is let through.
    learns: bool,
}

#[derive(Debug)]
struct Rule {
    host: HostPattern,
    deny: bool,
    /// Empty: all of them, for a rule that denies.
    ports: Vec<u16>,
    methods: Option<Vec<String>>,
    paths: Option<Vec<PathPattern>>,
    inject: Option<Inject>,
    pass: bool,
    private: bool,
    websocket: bool,
    /// It needs more than the name.
    seen: bool,
    budget: Budget,
}

/// Where somebody wants to go.
#[derive(Clone, Debug, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Destination {
    /// A host by its name.
    Name(HostName),
    /// An address that no name was asked for.
    Address(IpAddr),
}

/// Allowed, or why not.
pub type Verdict<T> = Result<T, Refusal>;

/// A connection that may be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Granted {
    /// The first rule that allows it, counted from 0; none is `any`.
    pub rule: Option<usize>,
    /// What becomes of its bytes.
    pub handling: Handling,
    /// It may lead to addresses that are not public.
    pub private: bool,
}

/// What becomes of the bytes of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Handling {
    /// Passed on.
    Raw,
    /// Passed on if they are TLS for the name that was dialled.
    Pass,
    /// HTTP in the clear.
    Plain,
    /// HTTP, in the clear or in TLS, which is opened: each request is judged.
    Open,
}

/// One request of HTTP.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// Whose connection it came by.
    pub to: &'a Destination,
    /// The port that was dialled.
    pub port: u16,
    /// The method as sent.
    pub method: &'a str,
    /// The path as sent, without the query.
    pub path: &'a str,
    /// It came by TLS, and goes on by TLS.
    pub secure: bool,
    /// It asks to become a WebSocket.
    pub websocket: bool,
}

/// A request that may be passed on.
#[derive(Clone, Copy, Debug)]
pub struct WebGrant<'a> {
    /// The rule that allows it, counted from 0; none is `any`.
    pub rule: Option<usize>,
    /// The header that it gets.
    pub inject: Option<&'a Inject>,
}

impl Rule {
    fn has_port(&self, port: u16) -> bool {
        (self.deny && self.ports.is_empty()) || self.ports.contains(&port)
    }

    fn ports_meet(&self, other: &Self) -> bool {
        self.ports.is_empty() || other.ports.is_empty() || self.ports.iter().any(|port| other.ports.contains(port))
    }

    fn has_method(&self, method: &str) -> bool {
        match &self.methods {
            Some(methods) => methods.iter().any(|m| m == "*" || m == method),
            None => self.deny || READING.contains(&method),
        }
    }

    fn denies(&self, method: &str, path: Option<&[Vec<u8>]>) -> bool {
        let path_meant = match (&self.paths, path) {
            (None, _) => true,
            (Some(patterns), Some(parts)) => patterns.iter().any(|pattern| pattern.refuses(parts)),
            // What cannot be compared is refused before it comes here.
            (Some(_), None) => true,
        };
        self.deny && self.has_method(method) && path_meant
    }

    fn allows_path(&self, path: Option<&[Vec<u8>]>) -> bool {
        let Some(patterns) = &self.paths else { return true };
        path.is_some_and(|parts| patterns.iter().any(|pattern| pattern.allows(parts)))
    }
}

impl Policy {
    /// Checks rules. What is wrong says what to write instead.
    pub fn new(rules: Rules) -> Result<Self, PolicyError> {
        check::checked(rules)
    }

    /// Lets nothing through: names are answered and connections taken, so that it is told what would be asked for.
    pub fn learning(self) -> Self {
        Self { learns: true, ..self }
    }

    /// The ports that listeners are needed for.
    pub fn ports(&self) -> BTreeSet<u16> {
        let named = self.rules.iter().filter(|rule| !rule.deny).flat_map(|rule| rule.ports.iter().copied());
        named.chain(ANY_PORTS.into_iter().filter(|_| self.any || self.learns)).collect()
    }

    /// The bounds on all of the run.
    pub fn budget(&self) -> Budget {
        self.budget
    }

    /// The bounds on what one rule allows.
    pub fn budget_of(&self, rule: usize) -> Budget {
        self.rules.get(rule).map(|rule| rule.budget).unwrap_or_default()
    }

    /// How many rules there are.
    pub fn len(&self) -> usize {
        self.rules.len()
    }

    /// Whether nothing can be reached.
    pub fn is_empty(&self) -> bool {
        self.learns || (!self.any && self.rules.iter().all(|rule| rule.deny))
    }

    /// The headers that requests to this host may get.
    pub(crate) fn injected_for(&self, to: &Destination, port: u16) -> impl Iterator<Item = &Inject> {
        self.here(to, port).into_iter().filter_map(|(_, rule)| rule.inject.as_ref())
    }

    /// The secrets in them, which must not come back.
    pub(crate) fn secrets_for(&self, to: &Destination, port: u16) -> impl Iterator<Item = &str> {
        self.injected_for(to, port).map(|inject| inject.secret.expose())
    }

    /// Whether a name may be looked up: it can be reached on some port. The rule is the first that allows it.
    pub fn lookup(&self, name: &HostName) -> Verdict<Option<usize>> {
        let what = name.to_string();
        let naming = || self.rules.iter().enumerate().filter(|(_, rule)| rule.host.covers(name));
        if let Some((rule, _)) = naming().find(|(_, rule)| rule.deny && rule.ports.is_empty() && !rule.seen) {
            return Err(Refusal { what, rule: Some(rule), reason: Reason::Denied, allow: None });
        }
        match naming().find(|(_, rule)| !rule.deny) {
            Some((rule, _)) => Ok(Some(rule)),
            None if self.any || self.learns => Ok(None),
            None => Err(Refusal { what, rule: None, reason: Reason::NotNamed, allow: Some(format!("- {name}")) }),
        }
    }

    /// Whether a connection may be made, and what becomes of its bytes.
    pub fn connection(&self, to: &Destination, port: u16) -> Verdict<Granted> {
        let refused = |what, rule, reason, allow| Err(Refusal { what, rule, reason, allow });
        let name = match to {
            Destination::Address(address) => return self.bare(*address, port),
            Destination::Name(name) => name,
        };
        let what = format!("{name}:{port}");
        if self.learns {
            return refused(what, None, Reason::Learns, Some(format!("- {{host: {name}, ports: [{port}]}}")));
        }
        let naming: Vec<(usize, &Rule)> =
            self.rules.iter().enumerate().filter(|(_, rule)| rule.host.covers(name)).collect();
        let here: Vec<(usize, &Rule)> = naming.iter().copied().filter(|(_, rule)| rule.has_port(port)).collect();
        if let Some((rule, _)) = here.iter().find(|(_, rule)| rule.deny && !rule.seen) {
            return refused(what, Some(*rule), Reason::Denied, None);
        }
        let named = naming.iter().find(|(_, rule)| !rule.deny);
        let Some((rule, first)) = here.iter().find(|(_, rule)| !rule.deny) else {
            let line = format!("- {{host: {name}, ports: [{port}]}}");
            return match named {
                Some((rule, _)) => refused(what, Some(*rule), Reason::Port, Some(line)),
                None if !self.any => refused(what, None, Reason::NotNamed, Some(line)),
                None if !ANY_PORTS.contains(&port) => refused(what, None, Reason::Port, Some(line)),
                None => Ok(Granted { rule: None, handling: handling(&here, port), private: false }),
            };
        };
        Ok(Granted { rule: Some(*rule), handling: handling(&here, port), private: first.private })
    }

    /// An address without a name: only `any` reaches it, if it is public.
    fn bare(&self, address: IpAddr, port: u16) -> Verdict<Granted> {
        let what = std::net::SocketAddr::new(address, port).to_string();
        let class = class_of(address);
        let reason = match class {
            Class::Public if !self.any || self.learns => Reason::Address,
            Class::Public if !ANY_PORTS.contains(&port) => Reason::Port,
            Class::Public => return Ok(Granted { rule: None, handling: handling(&[], port), private: false }),
            _ => Reason::Private { class },
        };
        Err(Refusal { what, rule: None, reason, allow: None })
    }

    /// Whether a request may be passed on.
    pub fn request(&self, asked: &Request<'_>) -> Verdict<WebGrant<'_>> {
        let host = match asked.to {
            Destination::Name(name) => name.to_string(),
            Destination::Address(address) => address.to_string(),
        };
        let what = format!("{} {host}:{}{}", asked.method, asked.port, crate::name::shown(asked.path));
        let refused = |rule, reason, allow| Err(Refusal { what: what.clone(), rule, reason, allow });
        let granted = self.connection(asked.to, asked.port)?;
        if asked.method == "CONNECT" {
            return refused(granted.rule, Reason::Tunnel, None);
        }
        let here = self.here(asked.to, asked.port);
        let compared = here.iter().any(|(_, rule)| rule.paths.is_some());
        let parts = match path::parts_of(asked.path) {
            Ok(parts) => Some(parts),
            Err(reason) if compared => return refused(granted.rule, reason, None),
            Err(_) => None,
        };
        let parts = parts.as_deref();
        if let Some((rule, _)) = here.iter().find(|(_, rule)| rule.denies(asked.method, parts)) {
            return refused(Some(*rule), Reason::Denied, None);
        }
        if granted.rule.is_none() {
            return Ok(WebGrant { rule: None, inject: None });
        }
        let line = || {
            Some(format!(
                "- {{host: {host}, ports: [{}], methods: [{}], paths: [{}]}}",
                asked.port, asked.method, asked.path
            ))
        };
        let paths: Vec<_> = here.iter().filter(|(_, rule)| !rule.deny && rule.allows_path(parts)).collect();
        if paths.is_empty() {
            return refused(granted.rule, Reason::Path, line());
        }
        let methods: Vec<_> = paths.into_iter().filter(|(_, rule)| rule.has_method(asked.method)).collect();
        let Some((rule, first)) = methods.iter().find(|(_, rule)| !asked.websocket || rule.websocket) else {
            let reason = if methods.is_empty() { Reason::Method } else { Reason::Upgrade };
            return refused(granted.rule, reason, line().filter(|_| methods.is_empty()));
        };
        // On a private network there may be no TLS, and who names a host there has said what he means.
        if first.inject.is_some() && !asked.secure && !first.private {
            return refused(Some(*rule), Reason::Cleartext, None);
        }
        Ok(WebGrant { rule: Some(*rule), inject: first.inject.as_ref() })
    }

    fn here(&self, to: &Destination, port: u16) -> Vec<(usize, &Rule)> {
        let Destination::Name(name) = to else { return Vec::new() };
        self.rules.iter().enumerate().filter(|(_, rule)| rule.host.covers(name) && rule.has_port(port)).collect()
    }
}

fn handling(here: &[(usize, &Rule)], port: u16) -> Handling {
    if here.iter().any(|(_, rule)| rule.seen) {
        Handling::Open
    } else if here.iter().any(|(_, rule)| rule.pass) || port == HTTPS {
        Handling::Pass
    } else if port == HTTP {
        Handling::Plain
    } else {
        Handling::Raw
    }
}
