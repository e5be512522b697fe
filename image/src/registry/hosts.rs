//! Which hosts are asked for an image, and how each may be reached.

use super::certificates::Certificates;
use crate::{Reference, Registries, Result};
use std::net::IpAddr;

/// One way to reach a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    Https,
    /// HTTPS with whatever certificate it shows.
    Unchecked,
    Http,
}

/// A host that may have the image.
#[derive(Clone, Debug)]
pub(super) struct Host {
    /// As the user writes it: for words, logins and certificates.
    pub(super) name: String,
    /// Under which name its repository goes there.
    pub(super) repository: String,
    pub(super) ways: Vec<Way>,
    /// The user said that anybody may listen.
    pub(super) insecure: bool,
    /// It is this machine, or something that only this machine can see.
    pub(super) near: bool,
    pub(super) certificates: Certificates,
}

impl Host {
    pub(super) fn new(name: &str, repository: String, insecure: &[String], registries: &Registries) -> Result<Host> {
        let rules = registries.rules.get(name);
        let certificates = Certificates::find(name, rules.and_then(|r| r.ca.as_deref()), &registries.certificates)?;
        let insecure = insecure.iter().any(|i| i == name) || rules.is_some_and(|r| r.insecure);
        let near = is_near(without_port(name));
        let ways = match (insecure, loopback(name)) {
            (true, _) => vec![Way::Unchecked, Way::Http],
            // Whoever gave it a certificate wants it checked.
            (_, true) if certificates.is_empty() => vec![Way::Http, Way::Https],
            _ => vec![Way::Https],
        };
        Ok(Host { name: name.to_owned(), repository, ways, insecure, near, certificates })
    }

    /// Host and port for addresses.
    pub(super) fn authority(&self) -> &str {
        if self.name == "docker.io" { "registry-1.docker.io" } else { &self.name }
    }
}

/// The mirrors in their order, then the registry itself.
pub(super) fn hosts(reference: &Reference, insecure: &[String], registries: &Registries) -> Result<Vec<Host>> {
    let mirrors = registries.rules.get(&reference.registry).map(|rules| &rules.mirrors[..]).unwrap_or_default();
    let mut all = Vec::with_capacity(mirrors.len() + 1);
    for mirror in mirrors {
        let (name, repository) = match mirror.trim_end_matches('/').split_once('/') {
            Some((name, prefix)) => (name, format!("{prefix}/{}", reference.repository)),
            None => (mirror.trim_end_matches('/'), reference.repository.clone()),
        };
        all.push(Host::new(name, repository, insecure, registries)?);
    }
    all.push(Host::new(&reference.registry, reference.repository.clone(), insecure, registries)?);
    Ok(all)
}

pub(super) fn without_port(name: &str) -> &str {
    match name.strip_prefix('[').and_then(|v6| v6.split_once(']')) {
        Some((host, _)) => host,
        None if name.matches(':').count() > 1 => name,
        None => name.split(':').next().unwrap_or_default(),
    }
}

/// Whether nobody else can listen on the way.
fn loopback(name: &str) -> bool {
    let host = without_port(name);
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

fn is_localhost(host: &str) -> bool {
    let host = host.trim_end_matches('.').to_ascii_lowercase();
    host == "localhost" || host.ends_with(".localhost")
}

/// Whether a name says by itself that it means this machine or its link.
pub(super) fn is_near(host: &str) -> bool {
    is_localhost(host) || host.parse().is_ok_and(near)
}

/// Addresses that mean another thing on every machine, such as its own services and its cloud's.
pub(super) fn near(ip: IpAddr) -> bool {
    match ip.to_canonical() {
        IpAddr::V4(ip) => ip.is_loopback() || ip.is_link_local() || ip.octets()[0] == 0 || ip.is_broadcast(),
        IpAddr::V6(ip) => ip.is_loopback() || ip.is_unspecified() || ip.is_unicast_link_local(),
    }
}

/// The link alone: there a cloud tells each of its machines who it is, secrets and all.
pub(super) fn linked(ip: IpAddr) -> bool {
    match ip.to_canonical() {
        IpAddr::V4(ip) => ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_unicast_link_local(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Rules;
    use std::collections::BTreeMap;

    fn found(name: &str, insecure: &[&str], registries: &Registries) -> Vec<Host> {
        let insecure: Vec<String> = insecure.iter().map(|i| (*i).to_owned()).collect();
        hosts(&name.parse().unwrap(), &insecure, registries).unwrap()
    }

    #[test]
    fn plain_http_only_where_nobody_listens_or_the_user_said_so() {
        let ways = |name, insecure| found(name, insecure, &Registries::default())[0].ways.clone();
        assert_eq!(ways("registry.example/a", &[]), [Way::Https]);
        assert_eq!(ways("registry.example:5000/a", &["registry.example"]), [Way::Https]);
        assert_eq!(ways("registry.example/a", &["registry.example"]), [Way::Unchecked, Way::Http]);
        assert_eq!(ways("127.0.0.1:5000/a", &[]), [Way::Http, Way::Https]);
        assert_eq!(ways("[::1]:5000/a", &[]), [Way::Http, Way::Https]);
        assert_eq!(ways("python", &["127.0.0.1"]), [Way::Https]);
        for far in ["169.254.1.1/a", "localhost.evil.example/a", "127.0.0.1.evil.example/a", "x.localhost/a"] {
            assert_eq!(ways(far, &[]), [Way::Https], "{far}");
        }
    }

    #[test]
    fn mirrors_come_first_and_each_keeps_its_own_rules() {
        let mirrors = vec!["cache.example:5000".to_owned(), "hub.example/proxy/".to_owned()];
        let rules = BTreeMap::from([
            ("docker.io".to_owned(), Rules { mirrors, insecure: false, ca: None }),
            ("hub.example".to_owned(), Rules { insecure: true, ..Rules::default() }),
        ]);
        let registries = Registries { rules, certificates: Vec::new() };
        let all = found("python:3", &[], &registries);
        let seen: Vec<_> = all.iter().map(|h| (h.authority(), &h.repository[..], h.insecure)).collect();
        assert_eq!(
            seen,
            [
                ("cache.example:5000", "library/python", false),
                ("hub.example", "proxy/library/python", true),
                ("registry-1.docker.io", "library/python", false)
            ]
        );
        assert_eq!(found("other.example/a", &[], &registries).len(), 1);
    }

    #[test]
    fn addresses_that_a_stranger_must_not_choose_are_known() {
        for host in [
            "localhost",
            "a.localhost.",
            "127.1.2.3",
            "169.254.169.254",
            "::1",
            "fe80::1",
            "::ffff:127.0.0.1",
            "0.0.0.0",
            "::",
        ] {
            assert!(is_near(host), "{host}");
        }
        for host in ["registry.example", "10.0.0.1", "192.168.1.1", "8.8.8.8", "2001:db8::1", "localhost.example"] {
            assert!(!is_near(host), "{host}");
        }
    }
}
