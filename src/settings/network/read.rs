//! From YAML and from options to rules.

use super::super::bound;
use super::super::error::{At, Error, Result, Told};
use super::super::keys;
use super::super::schema::Section;
use super::super::yaml::{Node, Value};
use super::{Host, Inject, Most, Network, variable};

const FORMS: &str = "write `network: false`, `network: true`, or a list of hosts: `network: [docs.example.com]`";

/// `false`, `true`, a list of hosts, or a mapping with bounds on all of the run.
pub(in crate::settings) fn read(node: Node) -> Result<Network> {
    let at = node.at.clone();
    match node.value {
        Value::Bool(any) => Ok(Network { any: any.then_some(at), ..Network::default() }),
        Value::List(items) => Ok(Network { hosts: hosts(items)?, ..Network::default() }),
        Value::Map(_) => whole(node),
        Value::Text(ref word) => {
            let hint = match word.to_ascii_lowercase().as_str() {
                "no" | "off" | "n" | "false" | "none" => "write `network: false`, without quotes".to_string(),
                "yes" | "on" | "y" | "true" => "write `network: true`, without quotes".to_string(),
                _ => format!("write it in brackets: [{word}]"),
            };
            Err(wrong(at).remedy(hint))
        }
        _ => Err(wrong(at).remedy(FORMS)),
    }
}

fn wrong(at: At) -> Error {
    Error::new(at, "`network` is `false`, `true` or a list of hosts")
}

fn whole(node: Node) -> Result<Network> {
    let mut section = Section::new(node, "network", &keys::names(keys::WHOLE))?;
    let any = section.take("any").map(|node| Ok((node.at.clone(), truth(node, "any")?))).transpose()?;
    let hosts = match section.take("hosts") {
        Some(Node { value: Value::List(items), .. }) => hosts(items)?,
        Some(node) => return Err(Error::new(node.at, "`hosts` is a list").remedy("write `hosts: [docs.example.com]`")),
        None => Vec::new(),
    };
    let any = any.and_then(|(at, any)| any.then_some(at));
    Ok(Network { any, hosts, most: most(&mut section)? })
}

fn hosts(items: Vec<Node>) -> Result<Vec<Told<Host>>> {
    items.into_iter().map(host).collect()
}

fn host(node: Node) -> Result<Told<Host>> {
    let at = node.at.clone();
    if !matches!(node.value, Value::Map(_)) {
        let told = node.text("host")?;
        return Ok(Told::new(Host { host: told.value, ..Host::default() }, at));
    }
    let mut section = Section::new(node, "network", &keys::names(keys::RULE))?;
    let Some(name) = section.take("host") else {
        return Err(Error::new(at, "this rule names no host").remedy("write {host: docs.example.com, …}"));
    };
    let name = name.text("host")?;
    let mut yes = |key: &str| section.take(key).map(|node| truth(node, key)).transpose().map(Option::unwrap_or_default);
    let (deny, private, websocket) = (yes("deny")?, yes("private")?, yes("websocket")?);
    let texts = |node: Node, key: &str| -> Result<Vec<String>> {
        Ok(node.texts(key)?.into_iter().map(|told| told.value).collect())
    };
    let host = Host {
        host: name.value,
        deny,
        ports: section.take("ports").map(ports).transpose()?,
        methods: section.take("methods").map(|node| texts(node, "methods")).transpose()?,
        paths: section.take("paths").map(|node| texts(node, "paths")).transpose()?,
        inject: section.take("inject").map(inject).transpose()?,
        pass: section.take("tls").map(tls).transpose()?.unwrap_or_default(),
        private,
        consented: false,
        websocket,
        most: most(&mut section)?,
    };
    Ok(Told::new(host, name.at))
}

fn truth(node: Node, key: &str) -> Result<bool> {
    match node.value {
        Value::Bool(value) => Ok(value),
        _ => Err(Error::new(node.at, format!("`{key}` is `true` or `false`, without quotes"))),
    }
}

fn ports(node: Node) -> Result<Vec<u16>> {
    let Value::List(items) = node.value else {
        return Err(Error::new(node.at, "`ports` is a list of numbers").remedy("write `ports: [443]`"));
    };
    items
        .into_iter()
        .map(|node| {
            let at = node.at.clone();
            let Value::Number(text) = node.value else {
                let what = "a port is a number from 1 to 65535";
                return Err(Error::new(at, what).remedy("without quotes and ranges: `ports: [443, 8443]`"));
            };
            port(&text, &at)
        })
        .collect()
}

fn port(text: &str, at: &At) -> Result<u16> {
    let plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let port = text.parse().ok().filter(|port: &u16| plain && *port > 0);
    port.ok_or_else(|| Error::new(at.clone(), format!("`{text}` is no port: a number from 1 to 65535")))
}

fn tls(node: Node) -> Result<bool> {
    let told = node.text("tls")?;
    if told.value == "pass" {
        return Ok(true);
    }
    Err(Error::new(told.at, format!("`tls` is `pass`, and this is `{}`", told.value)).remedy(
        "without the line TLS is opened where the rule has methods, paths, inject or websocket, and only there",
    ))
}

fn inject(node: Node) -> Result<Inject> {
    let at = node.at.clone();
    let mut section = Section::new(node, "inject", &keys::names(keys::INJECT))?;
    let mut take = |key: &str| {
        section.take(key).ok_or_else(|| {
            Error::new(at.clone(), format!("`inject` has no `{key}`"))
                .remedy("write {header: Authorization, value: \"Bearer ${KEY}\", from: {env: API_KEY}}")
        })
    };
    let (header, value, from) = (take("header")?.text("header")?, take("value")?.text("value")?, take("from")?);
    let at = from.at.clone();
    if !matches!(from.value, Value::Map(_)) {
        let what = "`from` says where the host finds the secret, and is never the secret itself";
        return Err(Error::new(at, what).remedy("write `from: {env: NAME}` for a variable of yours"));
    }
    let mut section = Section::new(from, "from", &keys::names(keys::FROM))?;
    let Some(name) = section.take("env") else {
        return Err(Error::new(at, "`from` names no variable").remedy("write `from: {env: NAME}`"));
    };
    let name = name.text("env")?;
    variable::check_name(&name.value).map_err(|what| Error::new(name.at.clone(), what))?;
    Ok(Inject { header: header.value, value: value.value, from: name.value })
}

fn most(section: &mut Section) -> Result<Most> {
    let bytes = section.take("bytes").map(|node| bound::TRAFFIC.read(&node.quantity("bytes")?)).transpose()?;
    let connections =
        section.take("connections").map(|node| bound::CONNECTIONS.read(&node.quantity("connections")?)).transpose()?;
    Ok(Most { bytes: bytes.map(|told| told.value), connections: connections.map(|told| told.value) })
}

/// `NAME` or `NAME:PORT`, as `--allow-host` has it.
pub(in crate::settings) fn typed(text: &str) -> Result<Told<Host>> {
    let at = At::Flag("--allow-host".to_string());
    let bare = text.split_once("://").map_or(text, |(_, rest)| rest);
    if bare.len() < text.len() || text.contains('/') {
        let host = bare.split('/').next().unwrap_or_default();
        return Err(Error::new(at, format!("`{text}` is the address of a page, and a host is meant")).remedy(format!(
            "write `--allow-host {host}`; paths are for `network` of sandbox.yaml (docs/NETWORK.md)"
        )));
    }
    let (name, ports) = match text.rsplit_once(':') {
        Some((name, number)) => (name, Some(vec![port(number, &at)?])),
        None => (text, None),
    };
    Ok(Told::new(Host { host: name.to_string(), ports, ..Host::default() }, at))
}
