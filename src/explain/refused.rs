//! What a gateway refused: it knows the rule, and the line that would allow it.

use super::network::{BY_NAME, EXPOSES, granting};
use super::{Explanation, Kind, Source, times};
use crate::reached::Denied;
use crate::settings::Edit;

pub(super) fn explain(denied: &Denied) -> Explanation {
    let port = denied.port.map(|port| format!(":{port}")).unwrap_or_default();
    let target = format!("{}{port}", denied.target);
    let times = times(denied.count);
    // `policy refused WHAT: WHY`
    let (what, why) = denied.words.split_once(": ").unwrap_or((denied.words.as_str(), "no rule allows it"));
    let what = what.strip_prefix("policy refused ").unwrap_or(what);
    let verb = if denied.port.is_none() { "the look-up of " } else { "" };
    let found =
        Explanation::new(Source::Record, Kind::Network, format!("the gateway refused {verb}{what}{times}"), why)
            .target(if denied.port.is_none() { &denied.target } else { &target });
    match (denied.reason.as_str(), granting(&denied.target)) {
        ("not-named", Some(name)) => found.allowed_by(Edit::Host(format!("{name}{port}")), EXPOSES),
        ("port" | "learns", Some(name)) if denied.port.is_some() => {
            found.allowed_by(Edit::Host(format!("{name}{port}")), EXPOSES)
        }
        ("address", _) => found.instead(BY_NAME),
        _ => match &denied.allow {
            Some(line) => found.instead(format!("in `permissions.network`, if it is meant: {line}")),
            None => found.instead("no line allows it"),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn denied(target: &str, port: Option<u16>, reason: &str, words: &str, allow: Option<&str>) -> Denied {
        let text = str::to_string;
        Denied {
            target: text(target),
            port,
            reason: text(reason),
            words: text(words),
            allow: allow.map(text),
            count: 2,
        }
    }

    #[test]
    fn a_host_that_no_rule_names_can_be_granted() {
        let words = "policy refused b.example: no rule names this host";
        let found = explain(&denied("b.example", None, "not-named", words, Some("- b.example")));
        assert_eq!(found.what, "the gateway refused the look-up of b.example, 2 times");
        assert_eq!(found.why, "no rule names this host");
        assert_eq!(found.edit, Some(Edit::Host("b.example".into())));
        let words = "policy refused b.example:81: no rule for this host names this port";
        let port = explain(&denied("b.example", Some(81), "port", words, None));
        assert_eq!(port.edit, Some(Edit::Host("b.example:81".into())));
    }

    #[test]
    fn what_cannot_be_granted_is_not_offered() {
        let words = "policy refused 169.254.169.254:80: a cloud's metadata address";
        let found = explain(&denied("169.254.169.254", Some(80), "class", words, None));
        assert!(found.edit.is_none() && found.instead.is_some());
    }
}
