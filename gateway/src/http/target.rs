//! Where a request says that it goes: it must be where its connection goes, in every place where it says so.

use crate::name::HostName;
use crate::policy::{Destination, Reason};
use http::Version;
use http::header::HOST;
use http::request::Parts;
use http::uri::Uri;
use std::net::{IpAddr, Ipv6Addr};

/// A host and a port as they stand in requests.
pub(super) type Authority = (Destination, Option<u16>);

/// `name`, `name:port`, `1.2.3.4`, `[::1]:port`, and nothing else.
pub(super) fn authority(text: &str) -> Option<Authority> {
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (host, rest) = rest.split_once(']')?;
            let port = if rest.is_empty() { None } else { Some(rest.strip_prefix(':')?) };
            (Destination::Address(IpAddr::V6(host.parse::<Ipv6Addr>().ok()?).to_canonical()), port)
        }
        None => {
            let (host, port) = text.split_once(':').map_or((text, None), |(host, port)| (host, Some(port)));
            let to = match host.parse::<std::net::Ipv4Addr>() {
                Ok(address) => Destination::Address(address.into()),
                Err(_) => Destination::Name(HostName::ascii(host).ok()?),
            };
            (to, port)
        }
    };
    let port = match port {
        None => None,
        Some(digits) if !digits.is_empty() && digits.len() <= 5 && digits.bytes().all(|b| b.is_ascii_digit()) => {
            Some(digits.parse().ok().filter(|port| *port != 0)?)
        }
        Some(_) => return None,
    };
    Some((host, port))
}

/// The port that is meant where none is written.
pub(super) fn usual(secure: bool) -> u16 {
    if secure { 443 } else { 80 }
}

/// Holds everything that a request says of its target against its connection.
pub(super) fn check(parts: &Parts, to: &Destination, port: u16, secure: bool) -> Result<(), Reason> {
    if parts.method == http::Method::CONNECT {
        return Err(Reason::Tunnel);
    }
    let wrong = |detail: &str| Reason::Protocol { detail: detail.to_owned() };
    if !parts.uri.path().starts_with('/') {
        return Err(wrong("the request's target is no path"));
    }
    let is_2 = parts.version == Version::HTTP_2;
    check_uri(&parts.uri, to, port, secure, is_2)?;
    let mut hosts = parts.headers.get_all(HOST).iter();
    let (host, second) = (hosts.next(), hosts.next());
    if second.is_some() {
        return Err(wrong("the request names its host twice"));
    }
    match host {
        Some(host) => {
            let text = host.to_str().map_err(|_| wrong("the request's host is no text"))?;
            same(text, to, port, secure)
        }
        None if is_2 && parts.uri.authority().is_some() => Ok(()),
        None => Err(wrong("the request names no host")),
    }
}

/// A target with a scheme and a host in it: of HTTP/2 always, of HTTP/1.1 where a client takes this for a proxy.
fn check_uri(uri: &Uri, to: &Destination, port: u16, secure: bool, is_2: bool) -> Result<(), Reason> {
    let Some(authority) = uri.authority() else { return Ok(()) };
    let expected = if secure { "https" } else { "http" };
    // Some clients of HTTP/2 say "http" within TLS; of HTTP/1.1 none does by accident.
    if uri.scheme_str() != Some(expected) && !is_2 {
        return Err(Reason::Protocol {
            detail: "the request's target has another scheme than its connection".to_owned(),
        });
    }
    same(authority.as_str(), to, port, secure)
}

fn same(text: &str, to: &Destination, port: u16, secure: bool) -> Result<(), Reason> {
    let other = || Reason::OtherName { inside: crate::name::shown(text) };
    let (host, named) = authority(text).ok_or_else(other)?;
    let fits = match to {
        Destination::Name(_) => host == *to,
        // Dialled by its address, a host may be called anything.
        Destination::Address(_) => true,
    };
    if fits && named.unwrap_or(usual(secure)) == port { Ok(()) } else { Err(other()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(uri: &str, hosts: &[&str], version: Version) -> Result<(), Reason> {
        let mut builder = http::Request::builder().uri(uri).version(version);
        for host in hosts {
            builder = builder.header(HOST, *host);
        }
        let (parts, ()) = builder.body(()).unwrap().into_parts();
        check(&parts, &Destination::Name(HostName::written("a.example").unwrap()), 443, true)
    }

    #[test]
    fn the_host_is_the_one_that_was_dialled() {
        for host in ["a.example", "A.Example", "a.example.", "a.example:443"] {
            assert_eq!(asked("/x", &[host], Version::HTTP_11), Ok(()), "{host}");
        }
        for host in [
            "b.example",
            "a.example:80",
            "a.example:0443x",
            "user@a.example",
            "a.example@b.example",
            "",
            "a.example:",
            "a.example,b.example",
            "127.0.0.1",
            "[::1]",
            "a.example#",
            "a.example/",
            "a.example:99999",
            "a.example :443",
        ] {
            assert!(asked("/x", &[host], Version::HTTP_11).is_err(), "{host:?}");
        }
        assert!(
            asked("/x", &[], Version::HTTP_11).is_err()
                && asked("/x", &["a.example", "a.example"], Version::HTTP_11).is_err()
        );
    }

    #[test]
    fn a_target_with_a_host_says_the_same() {
        assert_eq!(asked("https://a.example/x", &["a.example"], Version::HTTP_11), Ok(()));
        assert_eq!(asked("https://a.example/x", &[], Version::HTTP_2), Ok(()));
        for (uri, host) in [
            ("https://b.example/x", "a.example"),
            ("https://a.example/x", "b.example"),
            ("http://a.example/x", "a.example"),
            ("https://u@a.example/x", "a.example"),
            ("https://a.example:80/x", "a.example"),
        ] {
            assert!(asked(uri, &[host], Version::HTTP_11).is_err(), "{uri} {host}");
            assert!(
                uri.starts_with("http:") || asked(uri, &[host], Version::HTTP_2).is_err(),
                "{uri} {host} by HTTP/2"
            );
        }
        assert!(asked("*", &["a.example"], Version::HTTP_11).is_err());
    }

    #[test]
    fn an_authority_is_read_in_one_way() {
        let address = |text: &str| Some((Destination::Address(text.parse().unwrap()), None));
        assert_eq!(authority("[::ffff:127.0.0.1]"), address("127.0.0.1"));
        assert_eq!(authority("10.0.0.1"), address("10.0.0.1"));
        for text in
            ["0x7f.1", "127.1", "017700000001", "[::1", "::1", "[::1]x", "[fe80::1%25lo]", "a:b:c", "a:+1", "a:0"]
        {
            assert_eq!(authority(text), None, "{text}");
        }
    }
}
