//! Between the plan's network and the gateway: rules on the way there, decisions on the way back.

use aido_gateway::{Budget, Event, HostRule, Inject, Policy, PolicyError, Rules, Secret, Tls};
use aido_runtime::{Egress, EgressBudget, EgressInject, EgressRule, EgressTls, Error, Gate};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;

/// What a supervisor tells its gateway, first of all.
#[derive(Serialize, Deserialize)]
pub(crate) struct Asked {
    pub(crate) egress: Egress,
    /// By the caller's variables that the rules name.
    pub(crate) secrets: BTreeMap<String, String>,
}

/// What it hears from the gateway.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Said {
    /// It stands, and serves nobody yet.
    Ready(Gate),
    /// It serves the sandbox.
    Open,
    /// Something was decided or came to its end.
    Event { kind: String, data: Value },
    /// It cannot.
    Failed { what: String, remedy: Option<String> },
}

/// What the gateway asks, from a plan's network and the values that are handed over apart from it. What is wrong with a
/// rule says what to write instead. One that is to learn is checked all the same, and lets nothing through.
pub fn policy(egress: &Egress, secrets: &BTreeMap<String, String>) -> Result<Policy, Error> {
    let hosts = egress.rules.iter().map(|rule| host_rule(rule, secrets)).collect::<Result<_, _>>()?;
    let wrong = |wrong: PolicyError| Error::new(wrong.to_string());
    let rules = Rules { any: egress.any, hosts, budget: budget(egress.budget) };
    let asked = Policy::new(rules).map_err(wrong)?;
    Ok(if egress.learn { asked.learning() } else { asked })
}

fn host_rule(rule: &EgressRule, secrets: &BTreeMap<String, String>) -> Result<HostRule, Error> {
    let inject = rule.inject.as_ref().map(|inject| self::inject(inject, secrets)).transpose()?;
    // The gateway opens what it has to look into: naming the methods that are meant anyway is what makes it look.
    let opened = rule.tls == Some(EgressTls::Open) && rule.methods.is_none();
    let methods = if opened { Some(["GET", "HEAD"].map(String::from).to_vec()) } else { rule.methods.clone() };
    Ok(HostRule {
        host: rule.host.clone(),
        deny: rule.deny,
        ports: rule.ports.clone(),
        methods,
        paths: rule.paths.clone(),
        inject,
        tls: (rule.tls == Some(EgressTls::Pass)).then_some(Tls::Pass),
        private: rule.private,
        websocket: rule.websocket,
        budget: budget(rule.budget),
    })
}

fn inject(inject: &EgressInject, secrets: &BTreeMap<String, String>) -> Result<Inject, Error> {
    let EgressInject { header, value, from } = inject;
    let Some(secret) = secrets.get(from) else {
        return Err(Error::new(format!("the variable {from}, whose value the header {header} gets, is not set"))
            .remedy(format!("set it: export {from}=…")));
    };
    Ok(Inject { header: header.clone(), value: value.clone(), secret: Secret::new(secret.clone()) })
}

fn budget(budget: EgressBudget) -> Budget {
    Budget { connections: budget.connections, bytes: budget.bytes }
}

/// What goes on record of a decision: the kind of event, such as `network_lookup`, and its fields as the gateway has them.
pub fn recorded(event: &Event) -> Result<(String, Value), Error> {
    let mut data = serde_json::to_value(event).map_err(|e| Error::new(e.to_string()))?;
    let kind = data.as_object_mut().and_then(|fields| fields.remove("event"));
    match kind.as_ref().and_then(Value::as_str) {
        Some(kind) => Ok((format!("network_{kind}"), data)),
        None => Err(Error::new("the gateway told of something without a name")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aido_gateway::{ANY_PORTS, Decision, Destination, Handling, HostName, Request, What};
    use serde_json::json;

    fn egress(rule: EgressRule) -> Egress {
        Egress { rules: vec![EgressRule { host: "a.example.com".into(), ..rule }], ..Egress::default() }
    }

    fn asks(policy: &Policy, method: &str, path: &str) -> bool {
        let to = Destination::Name(HostName::written("a.example.com").unwrap());
        policy.request(&Request { to: &to, port: 443, method, path, secure: true, websocket: false }).is_ok()
    }

    fn handling(rule: EgressRule) -> Handling {
        let to = Destination::Name(HostName::written("a.example.com").unwrap());
        policy(&egress(rule), &BTreeMap::new()).unwrap().connection(&to, 443).unwrap().handling
    }

    #[test]
    fn every_word_of_a_rule_reaches_the_gateway() {
        let secrets = BTreeMap::from([("KEY".to_string(), "0123456789".to_string())]);
        let rule = EgressRule {
            ports: Some(vec![443, 8443]),
            methods: Some(vec!["POST".into()]),
            paths: Some(vec!["/v1/**".into()]),
            inject: Some(EgressInject {
                header: "Authorization".into(),
                value: "Bearer ${KEY}".into(),
                from: "KEY".into(),
            }),
            private: true,
            budget: EgressBudget { connections: Some(3), bytes: Some(4) },
            ..EgressRule::default()
        };
        let plan = Egress { budget: EgressBudget { connections: None, bytes: Some(9) }, ..egress(rule) };
        let policy = policy(&plan, &secrets).unwrap();
        assert_eq!(policy.ports().into_iter().collect::<Vec<_>>(), [443, 8443]);
        assert_eq!(policy.budget_of(0), Budget { connections: Some(3), bytes: Some(4) });
        assert_eq!(policy.budget(), Budget { connections: None, bytes: Some(9) });
        assert!(asks(&policy, "POST", "/v1/x") && !asks(&policy, "GET", "/v1/x") && !asks(&policy, "POST", "/x"));
        assert!(!format!("{policy:?}").contains("0123456789"));
        let missing = super::policy(&plan, &BTreeMap::new()).unwrap_err();
        assert!(missing.what.contains("KEY") && missing.remedy.is_some(), "{missing}");
    }

    #[test]
    fn tls_is_opened_or_passed_as_asked() {
        let tls = |tls| EgressRule { tls, ..EgressRule::default() };
        assert_eq!(handling(tls(None)), Handling::Pass);
        assert_eq!(handling(tls(Some(EgressTls::Pass))), Handling::Pass);
        assert_eq!(handling(tls(Some(EgressTls::Open))), Handling::Open);
        let open = policy(&egress(tls(Some(EgressTls::Open))), &BTreeMap::new()).unwrap();
        assert!(asks(&open, "GET", "/any") && !asks(&open, "POST", "/any"));
    }

    #[test]
    fn deny_any_and_mistakes_go_through() {
        let deny = EgressRule { deny: true, ..EgressRule::default() };
        let all = policy(&Egress { any: true, ..egress(deny) }, &BTreeMap::new()).unwrap();
        assert!(ANY_PORTS.iter().all(|port| all.ports().contains(port)));
        assert!(all.lookup(&HostName::written("a.example.com").unwrap()).is_err());
        assert!(all.lookup(&HostName::written("b.example.com").unwrap()).is_ok());
        let learning = policy(&Egress { any: true, learn: true, ..Egress::default() }, &BTreeMap::new()).unwrap();
        assert!(learning.is_empty() && learning.ports().contains(&443));
        let wrong = egress(EgressRule { ports: Some(vec![53]), ..EgressRule::default() });
        assert!(policy(&wrong, &BTreeMap::new()).unwrap_err().what.contains("53"));
    }

    #[test]
    fn a_decision_is_an_event_of_its_own_kind() {
        let decision = Decision::allowed(Some(2));
        let what = What::Lookup { name: "a.example.com".into(), kind: "A".into(), decision };
        let expected = json!({"at": 5, "name": "a.example.com", "kind": "A", "allowed": true, "rule": 2});
        assert_eq!(recorded(&Event { at: 5, what }).unwrap(), ("network_lookup".to_string(), expected));
        assert_eq!(recorded(&Event { at: 6, what: What::Full }).unwrap(), ("network_full".into(), json!({"at": 6})));
    }
}
