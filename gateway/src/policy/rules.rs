//! A policy as it is written: plain data, nothing checked.

use serde::Deserialize;
use std::fmt;
use zeroize::Zeroizing;

/// What a run may reach. The default is nothing.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rules {
    /// Any public host that no rule names, on [`super::ANY_PORTS`] (`network: true`).
    #[serde(default)]
    pub any: bool,
    /// Named hosts. Deny beats allow; what no rule names is refused.
    #[serde(default)]
    pub hosts: Vec<HostRule>,
    /// For all of the run together.
    #[serde(default)]
    pub budget: Budget,
}

/// One line of `permissions.network`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HostRule {
    /// A host's name, or `*.NAME` for each name that is one label below.
    pub host: String,
    /// Refuses what it matches, whatever other rules allow.
    #[serde(default)]
    pub deny: bool,
    /// 80 and 443 where none is written; 443 alone with `inject` or `tls: pass`; for `deny` every port.
    #[serde(default)]
    pub ports: Option<Vec<u16>>,
    /// Of HTTP. GET and HEAD where none is written and the request can be seen; `*` is any; for `deny` every method.
    #[serde(default)]
    pub methods: Option<Vec<String>>,
    /// Of HTTP: `*` stands for anything within a part, `**` for any number of parts.
    #[serde(default)]
    pub paths: Option<Vec<String>>,
    /// A header that requests get on their way out.
    #[serde(default)]
    pub inject: Option<Inject>,
    /// `pass`: TLS is never opened, only its name is looked at.
    #[serde(default)]
    pub tls: Option<Tls>,
    /// The name may lead to addresses that are not public.
    #[serde(default)]
    pub private: bool,
    /// A request may turn its connection into a WebSocket, whose bytes are then passed on.
    #[serde(default)]
    pub websocket: bool,
    /// For what this rule allows.
    #[serde(default)]
    pub budget: Budget,
}

/// What may be done with TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Tls {
    /// Passed on unopened. The name in it must be the one that was dialled.
    Pass,
}

/// A header that the gateway adds, with a value that the sandbox never sees.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Inject {
    /// The header's name. What a client sends under it is dropped.
    pub header: String,
    /// The header's value, with one `${NAME}` in it where the secret goes.
    pub value: String,
    /// The secret.
    pub secret: Secret,
}

/// A value that is shown nowhere, and overwritten when it is done with.
#[derive(Clone, Deserialize)]
#[serde(transparent)]
pub struct Secret(#[serde(deserialize_with = "read_secret")] Zeroizing<String>);

fn read_secret<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Zeroizing<String>, D::Error> {
    String::deserialize(deserializer).map(Zeroizing::new)
}

impl Secret {
    /// Takes a value over.
    pub fn new(value: String) -> Self {
        Self(Zeroizing::new(value))
    }

    /// The value, for whoever puts it into a request or takes it out of an answer.
    pub(crate) fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

/// Bounds on an amount. None is no bound.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Budget {
    /// Connections that were let through.
    #[serde(default)]
    pub connections: Option<u64>,
    /// Bytes to and from servers.
    #[serde(default)]
    pub bytes: Option<u64>,
}
