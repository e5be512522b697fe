//! What a run with a network may reach. Plain data: whoever decides by it checks it; no secret is in it.

use serde::{Deserialize, Serialize};
use std::io::{PipeReader, PipeWriter};
use std::net::{TcpListener, UdpSocket};

/// What a run may reach. What is not named is refused; `deny` beats everything.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Egress {
    /// Any public host that no rule names.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub any: bool,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<EgressRule>,
    /// For all of the run together.
    #[serde(default, skip_serializing_if = "EgressBudget::is_unbounded")]
    pub budget: EgressBudget,
    /// The user asked what the task would want to reach: nothing is let through, and all of it is on record.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub learn: bool,
}

/// One host, or one label's worth of hosts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EgressRule {
    /// A host's name, or `*.NAME`.
    pub host: String,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub deny: bool,
    /// None: those that the kind of rule has by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ports: Option<Vec<u16>>,
    /// None: those that read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub methods: Option<Vec<String>>,
    /// None: all of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paths: Option<Vec<String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inject: Option<EgressInject>,
    /// None: opened only if the rule needs more than the name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<EgressTls>,
    /// The name may lead to addresses that are not public.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub private: bool,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub websocket: bool,
    #[serde(default, skip_serializing_if = "EgressBudget::is_unbounded")]
    pub budget: EgressBudget,
}

/// A header that requests get on their way out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EgressInject {
    pub header: String,
    /// With one `${NAME}` in it, where the secret goes.
    pub value: String,
    /// The caller's variable that has the secret; its value is handed over apart from the plan.
    pub from: String,
}

/// What becomes of TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EgressTls {
    /// Opened, so that each request is judged and on record.
    Open,
    /// Passed on; the name in it must be the one that was dialled.
    Pass,
}

/// Bounds. None is no bound.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EgressBudget {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connections: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
}

/// The port on the loopback of clients that ask a proxy.
pub const PROXY_PORT: u16 = 3128;

/// What an engine has to know of a gateway before it builds the sandbox. No secret is in it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Gate {
    /// Each of these gets a door.
    pub ports: Vec<u16>,
    /// The certificate of the run's own authority, as PEM.
    pub authority: String,
}

/// Sockets of a sandbox at which everything arrives that wants to leave it. With the last of them gone it has no network.
#[derive(Debug, Default)]
pub struct Doors {
    /// On every address, one for each port that may be reached.
    pub tcp: Vec<TcpListener>,
    /// For clients that ask a proxy.
    pub proxy: Vec<TcpListener>,
    /// Names are asked for here.
    pub names_udp: Vec<UdpSocket>,
    pub names_tcp: Vec<TcpListener>,
    /// Raw sockets that hear of datagrams which led nowhere; none where the system gives no such.
    pub strays: Vec<UdpSocket>,
    /// All of these in another place, which no socket can be brought from.
    pub carried: Option<Carried>,
}

/// The connections of a sandbox, one beside the other in one stream each way: `aido_gateway::Carried` has the form.
#[derive(Debug)]
pub struct Carried {
    /// What the sandbox says. It ends with the sandbox's network.
    pub from: PipeReader,
    /// What it is told.
    pub to: PipeWriter,
}

impl EgressBudget {
    fn is_unbounded(&self) -> bool {
        *self == EgressBudget::default()
    }
}

impl Egress {
    /// Whether a rule looks into TLS, so that the sandbox has to trust the run's own authority.
    pub fn opens_tls(&self) -> bool {
        self.rules.iter().any(EgressRule::opens_tls)
    }

    /// The caller's variables whose values are handed over apart from the plan.
    pub fn secrets(&self) -> impl Iterator<Item = &str> {
        self.rules.iter().filter_map(|rule| rule.inject.as_ref()).map(|inject| inject.from.as_str())
    }
}

impl EgressRule {
    fn opens_tls(&self) -> bool {
        let sees = self.methods.is_some() || self.paths.is_some() || self.inject.is_some() || self.websocket;
        sees || self.tls == Some(EgressTls::Open)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Network;

    #[test]
    fn what_was_stored_before_there_were_networks_is_still_read() {
        assert_eq!(serde_json::from_str::<Network>("\"none\"").unwrap(), Network::None);
        assert_eq!(serde_json::to_string(&Network::None).unwrap(), "\"none\"");
    }

    #[test]
    fn an_egress_survives_storing_and_says_only_what_is_set() {
        let inject = EgressInject { header: "Authorization".into(), value: "Bearer ${KEY}".into(), from: "KEY".into() };
        let rule = EgressRule {
            host: "api.example.com".into(),
            ports: Some(vec![443]),
            methods: Some(vec!["POST".into()]),
            paths: Some(vec!["/v1/**".into()]),
            inject: Some(inject),
            budget: EgressBudget { connections: Some(3), bytes: None },
            ..EgressRule::default()
        };
        let name_only = EgressRule { host: "a.example".into(), tls: Some(EgressTls::Pass), ..EgressRule::default() };
        let egress = Egress { rules: vec![rule, name_only.clone()], learn: true, ..Egress::default() };
        let stored = serde_json::to_string(&Network::Gateway(egress.clone())).unwrap();
        assert_eq!(serde_json::from_str::<Network>(&stored).unwrap(), Network::Gateway(egress.clone()));
        assert!(stored.contains(r#"{"host":"a.example","tls":"pass"}"#), "{stored}");
        assert_eq!(egress.secrets().collect::<Vec<_>>(), ["KEY"]);
        assert!(egress.opens_tls());
        assert!(!Egress { rules: vec![name_only], ..Egress::default() }.opens_tls());
        assert!(serde_json::from_str::<Egress>(r#"{"hosts":[]}"#).is_err(), "a word that nobody knows");
    }
}
