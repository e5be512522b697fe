//! Rules as a line of `sandbox.yaml`, which reads back as the same.

use super::{Host, Network, joined};
use crate::settings::show_bytes;

impl Network {
    /// What stands behind `network:`.
    pub(in crate::settings) fn to_yaml(&self) -> String {
        let hosts: Vec<String> = self.hosts.iter().map(|told| told.value.to_yaml()).collect();
        let hosts = format!("[{}]", hosts.join(", "));
        let bounded = self.most.bytes.is_some() || self.most.connections.is_some();
        match (&self.any, self.hosts.is_empty(), bounded) {
            (None, true, _) => "false".to_string(),
            (Some(_), true, false) => "true".to_string(),
            (None, false, false) => hosts,
            (any, ..) => {
                let mut keys = vec![format!("any: {}", any.is_some()), format!("hosts: {hosts}")];
                put_most(&mut keys, self.most.bytes, self.most.connections);
                format!("{{{}}}", keys.join(", "))
            }
        }
    }
}

impl Host {
    /// One entry of the list.
    pub(crate) fn to_yaml(&self) -> String {
        if *self == (Host { host: self.host.clone(), ..Host::default() }) {
            return name(&self.host);
        }
        let mut keys = vec![format!("host: {}", name(&self.host))];
        if let Some(ports) = &self.ports {
            keys.push(format!("ports: [{}]", joined(ports, ", ")));
        }
        for (key, list) in [("methods", &self.methods), ("paths", &self.paths)] {
            if let Some(list) = list {
                keys.push(format!("{key}: [{}]", list.iter().map(|text| quoted(text)).collect::<Vec<_>>().join(", ")));
            }
        }
        if let Some(inject) = &self.inject {
            let (header, value) = (quoted(&inject.header), quoted(&inject.value));
            keys.push(format!("inject: {{header: {header}, value: {value}, from: {{env: {}}}}}", quoted(&inject.from)));
        }
        if self.pass {
            keys.push("tls: pass".to_string());
        }
        for (key, yes) in [("private", self.private), ("deny", self.deny), ("websocket", self.websocket)] {
            if yes {
                keys.push(format!("{key}: true"));
            }
        }
        put_most(&mut keys, self.most.bytes, self.most.connections);
        format!("{{{}}}", keys.join(", "))
    }
}

fn put_most(keys: &mut Vec<String>, bytes: Option<u64>, connections: Option<u64>) {
    keys.extend(bytes.map(|bytes| format!("bytes: {}", show_bytes(bytes))));
    keys.extend(connections.map(|number| format!("connections: {number}")));
}

/// A name that YAML takes for nothing else stands as it is.
fn name(text: &str) -> String {
    let plain = text.starts_with(|c: char| c.is_ascii_lowercase())
        && text.contains('.')
        && text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '.' || c == '-');
    if plain { text.to_string() } else { quoted(text) }
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
