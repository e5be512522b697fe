//! Rules as written become rules that can be asked. What is wrong says what to write instead.

use super::path::PathPattern;
use super::rules::{HostRule, Inject, Rules, Tls};
use super::{Budget, Policy, Rule};
use crate::name::{HostPattern, shown};

/// A rule that cannot be meant, with the words that mend it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("network rule {} ({host}): {words}", rule + 1)]
pub struct PolicyError {
    /// The rule, counted from 0.
    pub rule: usize,
    /// The host as written.
    pub host: String,
    /// What is wrong, and what to write.
    pub words: String,
}

const MOST_RULES: usize = 1000;
const MOST_ENTRIES: usize = 256;
/// The gateway's own service of names.
const DNS: u16 = 53;
/// What belongs to one connection or frames a message: never a credential, and forging it would be smuggling.
const FRAMING: [&str; 16] = [
    "host",
    "connection",
    "content-length",
    "content-encoding",
    "content-type",
    "transfer-encoding",
    "te",
    "trailer",
    "upgrade",
    "expect",
    "keep-alive",
    "proxy-connection",
    "proxy-authorization",
    "range",
    "accept-encoding",
    "http2-settings",
];

pub(super) fn checked(rules: Rules) -> Result<Policy, PolicyError> {
    if rules.hosts.len() > MOST_RULES {
        return Err(error(MOST_RULES, "…", format!("{MOST_RULES} rules at most")));
    }
    let mut checked = Vec::with_capacity(rules.hosts.len());
    for (index, rule) in rules.hosts.into_iter().enumerate() {
        let host = shown(&rule.host);
        checked.push(check_rule(rule).map_err(|words| error(index, &host, words))?);
    }
    for (index, rule) in checked.iter().enumerate() {
        for (other, against) in checked.iter().enumerate() {
            check_pair(rule, against)
                .map_err(|words| error(index, &rule.host.to_string(), format!("{words} (rule {})", other + 1)))?;
        }
    }
    Ok(Policy { any: rules.any, rules: checked, budget: rules.budget, learns: false })
}

fn error(rule: usize, host: &str, words: String) -> PolicyError {
    PolicyError { rule, host: host.to_owned(), words }
}

fn check_rule(rule: HostRule) -> Result<Rule, String> {
    let host = HostPattern::written(&rule.host).map_err(|wrong| wrong.to_string())?;
    if rule.deny
        && (rule.inject.is_some()
            || rule.tls.is_some()
            || rule.private
            || rule.websocket
            || rule.budget != Budget::default())
    {
        return Err("a rule that denies has only `host`, `ports`, `methods` and `paths`".to_owned());
    }
    let seen = rule.methods.is_some() || rule.paths.is_some() || rule.inject.is_some() || rule.websocket;
    if rule.tls == Some(Tls::Pass) && seen {
        return Err(
            "`tls: pass` looks at the name alone: drop it, or drop methods, paths, inject and websocket".to_owned()
        );
    }
    let ports = check_ports(rule.ports, &rule.inject, rule.tls, rule.deny)?;
    let methods = rule.methods.map(check_methods).transpose()?;
    let paths = rule.paths.map(check_paths).transpose()?;
    if let Some(inject) = &rule.inject {
        check_inject(inject, methods.as_deref())?;
    }
    let Budget { connections, bytes } = rule.budget;
    if connections == Some(0) || bytes == Some(0) {
        return Err("a budget of 0 allows nothing: leave the rule out".to_owned());
    }
    Ok(Rule {
        host,
        deny: rule.deny,
        ports,
        methods,
        paths,
        inject: rule.inject,
        pass: rule.tls == Some(Tls::Pass),
        private: rule.private,
        websocket: rule.websocket,
        seen,
        budget: rule.budget,
    })
}

fn check_ports(
    ports: Option<Vec<u16>>,
    inject: &Option<Inject>,
    tls: Option<Tls>,
    deny: bool,
) -> Result<Vec<u16>, String> {
    let Some(mut ports) = ports else {
        let secure = inject.is_some() || tls.is_some();
        return Ok(if deny {
            Vec::new()
        } else if secure {
            vec![443]
        } else {
            vec![80, 443]
        });
    };
    if ports.is_empty() || ports.len() > MOST_ENTRIES {
        return Err(format!("`ports` names 1 to {MOST_ENTRIES} ports; without the line it is 80 and 443"));
    }
    if ports.contains(&0) {
        return Err("there is no port 0".to_owned());
    }
    if ports.contains(&DNS) && !deny {
        return Err("port 53 is the gateway's own: names are answered there, and asked for nowhere else".to_owned());
    }
    ports.sort_unstable();
    ports.dedup();
    Ok(ports)
}

fn check_methods(methods: Vec<String>) -> Result<Vec<String>, String> {
    if methods.is_empty() || methods.len() > MOST_ENTRIES {
        return Err("`methods` names at least one; without the line it is GET and HEAD".to_owned());
    }
    for method in &methods {
        if method == "*" {
            continue;
        }
        let token = !method.is_empty()
            && method.len() <= 32
            && method.bytes().all(|b| b.is_ascii_uppercase() || b == b'-' || b == b'_');
        if !token {
            return Err(format!("`{}` is no method: GET, POST, … in capitals, or `*`", shown(method)));
        }
        if method == "CONNECT" || method == "TRACE" {
            return Err(format!(
                "{method} cannot be granted: a tunnel or an echo leads past the policy; name the host that is meant"
            ));
        }
    }
    Ok(methods)
}

fn check_paths(paths: Vec<String>) -> Result<Vec<PathPattern>, String> {
    if paths.is_empty() || paths.len() > MOST_ENTRIES {
        return Err(format!("`paths` has 1 to {MOST_ENTRIES} entries; without the line it is every path"));
    }
    paths.iter().map(|path| PathPattern::written(path)).collect()
}

fn check_inject(inject: &Inject, _methods: Option<&[String]>) -> Result<(), String> {
    let name = inject.header.to_ascii_lowercase();
    let token = !name.is_empty()
        && name.len() <= 64
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
    if !token {
        return Err(format!("`{}` is no name of a header, such as `Authorization`", shown(&inject.header)));
    }
    if FRAMING.contains(&name.as_str()) {
        return Err(format!(
            "`{}` says how a message is framed and cannot carry a credential; use `Authorization` or the service's own header",
            inject.header
        ));
    }
    let (head, tail) =
        inject.parts().ok_or("`inject.value` holds one `${NAME}`, where the secret goes: `Bearer ${KEY}`")?;
    if !(head.bytes().chain(tail.bytes())).all(|b| (0x20..0x7f).contains(&b)) {
        return Err("`inject.value` is printable ASCII".to_owned());
    }
    let secret = inject.secret.expose();
    // A shorter one would be taken out of answers where it is a word by chance, and can be guessed anyway.
    if !(8..=16 * 1024).contains(&secret.len()) || !secret.bytes().all(|b| (0x21..0x7f).contains(&b)) {
        return Err(
            "the secret of `inject` has 8 to 16384 printable characters and no blanks (a line feed at its end?)"
                .to_owned(),
        );
    }
    Ok(())
}

impl Inject {
    /// What stands before and after the secret.
    pub(crate) fn parts(&self) -> Option<(&str, &str)> {
        let (head, rest) = self.value.split_once("${")?;
        let (name, tail) = rest.split_once('}')?;
        let named = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        (named && !tail.contains("${")).then_some((head, tail))
    }
}

/// Two rules for one host must not ask for the opposite.
fn check_pair(rule: &Rule, against: &Rule) -> Result<(), String> {
    let meet = rule.host.meets(&against.host) && rule.ports_meet(against);
    if meet && rule.pass && against.seen {
        return Err(
            "`tls: pass` leaves TLS closed, but another rule for this host needs to see its requests".to_owned()
        );
    }
    if meet && !rule.deny && !against.deny && rule.private != against.private {
        return Err("`private` must be the same in all rules for one host and port".to_owned());
    }
    Ok(())
}
