//! The hosts that a policy lets tasks reach at most.

use super::super::Network;
use super::super::error::{At, Error, Result};
use super::super::yaml::{Node, Value};
use aido_gateway::{HostName, HostPattern};

/// `network` of a policy.
#[derive(Clone, Debug)]
pub(super) struct Reach {
    at: At,
    /// `None`: whatever is asked for.
    hosts: Option<Vec<HostPattern>>,
}

/// `false`, `true`, or a list of hosts and wildcards.
pub(super) fn read(node: Node) -> Result<Reach> {
    let at = node.at.clone();
    let hosts = match node.value {
        Value::Bool(false) => Some(Vec::new()),
        Value::Bool(true) => None,
        Value::List(_) => {
            let pattern = |told: super::Told<String>| {
                HostPattern::written(&told.value).map_err(|wrong| Error::new(told.at.clone(), wrong.to_string()))
            };
            Some(node.texts("network")?.into_iter().map(pattern).collect::<Result<_>>()?)
        }
        _ => {
            return Err(Error::new(at, "`network` is `false`, `true` or a list of hosts")
                .remedy("write `network: false` for none, or `network: [docs.example.com, \"*.cdn.example.com\"]`"));
        }
    };
    Ok(Reach { at, hosts })
}

impl Reach {
    pub(super) fn check(&self, network: &Network) -> Result<()> {
        let Some(most) = &self.hosts else { return Ok(()) };
        if let Some(at) = &network.any {
            return Err(self.refused(at, "any public host"));
        }
        for told in network.hosts.iter().filter(|told| !told.value.deny) {
            if !HostPattern::written(&told.value.host).is_ok_and(|host| most.iter().any(|most| is_within(&host, most)))
            {
                return Err(self.refused(&told.at, &format!("`{}`", told.value.host)));
            }
        }
        Ok(())
    }

    /// Whether this very name stands in it.
    pub(super) fn names(&self, host: &str) -> bool {
        let written = HostPattern::written(host);
        written.is_ok_and(|host| self.hosts.iter().flatten().any(|named| *named == host))
    }

    fn refused(&self, at: &At, what: &str) -> Error {
        let what = format!("{what} is more than your policy lets tasks reach ({}): {}", self.at.spot(), self.shown());
        Error::new(at.clone(), what).remedy(
            "ask for less, type `--no-network`, or add it to `network` in your policy: it binds what you type too",
        )
    }

    pub(super) fn shown(&self) -> String {
        match self.hosts.as_deref() {
            None => "any".to_string(),
            Some([]) => "none".to_string(),
            Some(hosts) => hosts.iter().map(HostPattern::to_string).collect::<Vec<_>>().join(", "),
        }
    }
}

fn is_within(host: &HostPattern, most: &HostPattern) -> bool {
    match host {
        HostPattern::Exact(name) => most.covers(name as &HostName),
        HostPattern::Below(_) => host == most,
    }
}
