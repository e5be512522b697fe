//! What a run with a gateway reached, and what it was refused: the sum of the events `network_…` of its record.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;

/// Hosts and refusals that are told one by one; what is beyond is counted.
const MOST: usize = 100;
/// Connections that are remembered until they end; as many as a gateway has at once, and some.
const OPEN: usize = 4096;

/// In `summary.json`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reached {
    pub hosts: Vec<Host>,
    pub refused: Vec<Denied>,
    /// Connections to hosts, and refusals, that are not in these lists.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub more: u64,
}

/// A host that was reached at one port.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Host {
    pub host: String,
    pub port: u16,
    pub connections: u64,
    /// Those of HTTP that were looked at.
    pub requests: u64,
    /// Bytes.
    pub sent: u64,
    pub received: u64,
}

/// Something that was refused, and how often.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Denied {
    /// The host, an address, or what else was asked for.
    pub target: String,
    /// None: it was a lookup.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// `not-named`, `port`, `method` …
    pub reason: String,
    pub words: String,
    /// The line of `permissions.network` that would allow it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allow: Option<String>,
    pub count: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
fn is_zero(count: &u64) -> bool {
    *count == 0
}

/// Adds up while the events come.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    reached: Reached,
    /// By their numbers: where they go.
    open: BTreeMap<u64, (String, u16)>,
}

impl Tally {
    /// One event of the gateway's.
    pub(crate) fn add(&mut self, kind: &str, data: &Value) {
        let number = |key: &str| data.get(key).and_then(Value::as_u64);
        let refused = data.get("allowed").and_then(Value::as_bool) == Some(false);
        let connection = number("connection").unwrap_or_default();
        match kind {
            "network_lookup" if refused => self.deny(text(data, "name"), None, data),
            "network_connection" => {
                let to = (destination(data), number("port").and_then(|port| port.try_into().ok()).unwrap_or_default());
                if refused {
                    return self.deny(to.0, Some(to.1), data);
                }
                if let Some(host) = self.host(&to) {
                    host.connections += 1;
                }
                if self.open.len() < OPEN {
                    self.open.insert(connection, to);
                }
            }
            "network_datagrams" if refused => {
                let port = number("port").and_then(|port| port.try_into().ok());
                self.deny_times(destination(data), port, data, number("count").unwrap_or(1));
            }
            "network_more_datagrams" => self.reached.more += number("count").unwrap_or_default(),
            "network_refused" if refused => self.deny_within(connection, data),
            "network_request" if refused => self.deny_within(connection, data),
            "network_request" => {
                if let Some(host) = self.host_of(connection) {
                    host.requests += 1;
                }
            }
            "network_ended" => {
                let (sent, received) = (number("sent").unwrap_or_default(), number("received").unwrap_or_default());
                if let Some(host) = self.host_of(connection) {
                    host.sent = host.sent.saturating_add(sent);
                    host.received = host.received.saturating_add(received);
                }
                self.open.remove(&connection);
            }
            _ => {}
        }
    }

    /// The sum; the largest first.
    pub(crate) fn take(&mut self) -> Reached {
        let mut reached = std::mem::take(&mut self.reached);
        reached.hosts.sort_by_key(|host| std::cmp::Reverse(host.sent.saturating_add(host.received)));
        reached
    }

    fn host_of(&mut self, connection: u64) -> Option<&mut Host> {
        let to = self.open.get(&connection)?.clone();
        self.host(&to)
    }

    fn host(&mut self, (name, port): &(String, u16)) -> Option<&mut Host> {
        let known = self.reached.hosts.iter().position(|host| host.host == *name && host.port == *port);
        let at = match known {
            Some(at) => at,
            None if self.reached.hosts.len() < MOST => {
                self.reached.hosts.push(Host { host: name.clone(), port: *port, ..Host::default() });
                self.reached.hosts.len() - 1
            }
            None => {
                self.reached.more += 1;
                return None;
            }
        };
        self.reached.hosts.get_mut(at)
    }

    fn deny_within(&mut self, connection: u64, data: &Value) {
        let (target, port) = self.open.get(&connection).cloned().unwrap_or_default();
        self.deny(target, Some(port), data);
    }

    fn deny(&mut self, target: String, port: Option<u16>, data: &Value) {
        self.deny_times(target, port, data, 1);
    }

    fn deny_times(&mut self, target: String, port: Option<u16>, data: &Value, count: u64) {
        let words = text(data, "words");
        if let Some(known) = self.reached.refused.iter_mut().find(|known| known.words == words) {
            known.count += count;
        } else if self.reached.refused.len() < MOST {
            let reason = data.pointer("/reason/why").and_then(Value::as_str).unwrap_or_default().to_string();
            let allow = data.get("allow").and_then(Value::as_str).map(str::to_string);
            self.reached.refused.push(Denied { target, port, reason, words, allow, count });
        } else {
            self.reached.more += count;
        }
    }
}

fn text(data: &Value, key: &str) -> String {
    data.get(key).and_then(Value::as_str).unwrap_or_default().to_string()
}

fn destination(data: &Value) -> String {
    let to = |kind: &str| data.pointer(&format!("/to/{kind}")).and_then(Value::as_str);
    to("name").or_else(|| to("address")).unwrap_or_default().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn events_of_one_host_are_one_line_and_refusals_are_counted() {
        let mut tally = Tally::default();
        let to = json!({"name": "a.example"});
        for n in 0..2 {
            tally.add("network_connection", &json!({"allowed": true, "connection": n, "to": to, "port": 443}));
            tally.add("network_request", &json!({"allowed": true, "connection": n}));
            tally.add("network_ended", &json!({"connection": n, "sent": 2, "received": 3}));
            tally.add("network_ended", &json!({"connection": n, "sent": 2, "received": 3}));
            let words = "policy refused b.example: no rule names this host";
            tally.add(
                "network_lookup",
                &json!({"allowed": false, "name": "b.example", "words": words, "reason": {"why": "not-named"}, "allow": "- b.example"}),
            );
        }
        let reached = tally.take();
        let host = Host { host: "a.example".into(), port: 443, connections: 2, requests: 2, sent: 4, received: 6 };
        assert_eq!(reached.hosts, [host]);
        assert_eq!((reached.refused.len(), reached.refused[0].count, reached.more), (1, 2, 0));
        assert_eq!((reached.refused[0].reason.as_str(), reached.refused[0].port), ("not-named", None));
    }

    #[test]
    fn a_task_that_tries_everything_fills_nothing() {
        let mut tally = Tally::default();
        for n in 0..5000 {
            let to = json!({"name": format!("{n}.example")});
            tally.add("network_connection", &json!({"allowed": true, "connection": n, "to": to, "port": 1}));
            tally.add("network_lookup", &json!({"allowed": false, "name": "x", "words": n.to_string()}));
        }
        assert_eq!(tally.open.len(), OPEN);
        let reached = tally.take();
        assert_eq!((reached.hosts.len(), reached.refused.len(), reached.more), (MOST, MOST, 2 * (5000 - MOST as u64)));
    }
}
