use super::*;
use crate::settings::{FILE, Overrides, Policy, Settings};
use std::path::Path;

fn with(text: &str, overrides: &Overrides) -> Result<Settings> {
    Settings::from_text(text, FILE, Path::new("."), overrides)
}

fn network(text: &str) -> Network {
    let text = format!("permissions:\n  network: {text}\n");
    with(&text, &Overrides::default()).unwrap_or_else(|e| panic!("{e}")).network
}

fn refused(text: &str) -> String {
    match with(&format!("permissions:\n  network: {text}\n"), &Overrides::default()) {
        Err(error) => error.to_string(),
        Ok(settings) => panic!("accepted {text}: {:?}", settings.network),
    }
}

const ALL: &str = "
    - docs.example.com
    - {host: '*.cdn.example.com', ports: [443]}
    - host: api.example.com
      methods: [GET]
      paths: [/v1/charges/**]
      inject: {header: Authorization, value: 'Bearer ${KEY}', from: {env: API_KEY}}
      bytes: 10MiB
      connections: 100
    - {host: pinned.example.com, tls: pass}
    - {host: db.internal.example, ports: [5432], private: true}
    - {host: chat.example.com, websocket: true}
    - {host: bad.cdn.example.com, deny: true}";

#[test]
fn every_form_is_read_and_said_without_a_value() {
    assert!(network("false").is_none() && network("[]").is_none());
    assert!(network("[{host: a.example, deny: true}]").is_none());
    assert!(network("true").any.is_some());
    let all = network(ALL);
    let lines = [
        "docs.example.com:80,443",
        "*.cdn.example.com:443; wide: every name one part below",
        "api.example.com:443 GET /v1/charges/**; header Authorization from your API_KEY; TLS is opened; at most 10MiB and 100 connections",
        "pinned.example.com:443; TLS is passed on: only the name is looked at",
        "db.internal.example:5432; wide: also private addresses, this machine's and its network's",
        "chat.example.com:80,443; TLS is opened; WebSockets",
        "not bad.cdn.example.com",
    ];
    assert_eq!(all.described(), lines);
    assert_eq!(all.granted_by_file().len(), 6);
    assert_eq!(all.variables().map(|told| told.value).collect::<Vec<_>>(), ["API_KEY"]);
    let whole = network("{any: true, hosts: [{host: a.example, deny: true}], bytes: 1GiB, connections: 50}");
    assert_eq!(whole.described().last().unwrap(), "all together at most 1GiB and 50 connections");
}

#[test]
fn what_a_sandbox_keeps_reads_back_as_the_same() {
    let plain = |network: &Network| {
        let hosts: Vec<Host> = network.hosts.iter().map(|told| told.value.clone()).collect();
        (network.any.is_some(), hosts, network.most)
    };
    for text in [
        ALL,
        "true",
        "false",
        "[a.example]",
        "{any: true, hosts: [a.example], bytes: 1GiB}",
        "{hosts: [a.example], connections: 3}",
    ] {
        let overrides = Overrides { allow_hosts: vec!["typed.example:22".into()], ..Overrides::default() };
        let settings = with(&format!("permissions:\n  network: {text}\n"), &overrides).unwrap();
        let again = with(&settings.to_yaml(), &Overrides::default()).unwrap_or_else(|e| panic!("{e}"));
        assert_eq!(plain(&again.network), plain(&settings.network), "{}", settings.to_yaml());
    }
}

#[test]
fn each_mistake_has_its_place_and_what_mends_it() {
    // What is written, the words that are pointed at (none: only the line is known), and what is said.
    let cases = [
        ("no", "no", "write `network: false`"),
        ("'true'", "'true'", "write `network: true`"),
        ("docs.example.com", "docs", "in brackets: [docs.example.com]"),
        ("1", "1", "`network` is `false`"),
        ("", "", "`network` is `false`"),
        ("[\"*.com\"]", "\"*.com", "strangers"),
        ("[a.example, 1]", "1", "is a text, and this is a number"),
        ("[a.example, 127.0.0.1]", "127", "is an address"),
        ("['https://a.example']", "'https", "no scheme"),
        ("['a.example:22']", "'a", "ports go to `ports:`"),
        ("[{port: [80], host: a.example}]", "port", "did you mean `ports`?"),
        ("[{ports: [80]}]", "", "names no host"),
        ("[{host: a.example, ports: ['443']}]", "'443", "without quotes"),
        ("[{host: a.example, ports: [0]}]", "0", "1 to 65535"),
        ("[{host: a.example, ports: [65536]}]", "65536", "1 to 65535"),
        ("[{host: a.example, ports: [80-90]}]", "80-90", "1 to 65535"),
        ("[{host: a.example, ports: 443}]", "443", "`ports: [443]`"),
        ("[{host: a.example, ports: [53]}]", "a.example", "gateway's own"),
        ("[{host: a.example, methods: [get]}]", "a.example", "capitals"),
        ("[{host: a.example, methods: GET}]", "GET", "[GET]"),
        ("[{host: a.example, paths: [v1]}]", "a.example", "`/v1`"),
        ("[{host: a.example, tls: open}]", "open", "`tls` is `pass`"),
        ("[{host: a.example, private: yes}]", "yes", "`true` or `false`"),
        ("[{host: a.example, deny: true, private: true}]", "a.example", "denies"),
        ("[{host: a.example, tls: pass, methods: [GET]}]", "a.example", "name alone"),
        ("[{host: a.example, inject: {header: A, value: '${K}'}}]", "", "no `from`"),
        ("[{host: a.example, inject: {header: A, value: '${K}', from: sk-1}}]", "sk-1", "never the secret itself"),
        ("[{host: a.example, inject: {header: A, value: x, from: {env: 'A B'}}}]", "'A B", "no name of a variable"),
        ("[{host: a.example, inject: {header: Host, value: '${K}', from: {env: K}}}]", "a.example", "framed"),
        ("[{host: a.example, inject: {header: A, value: x, from: {env: K}}}]", "a.example", "`${NAME}`"),
        ("[{host: a.example, bytes: 1G}]", "1G", "1GiB"),
        ("[{host: a.example, connections: 0}]", "0", "out of range"),
        ("{hosts: a.example}", "a.example", "`hosts` is a list"),
        ("{host: [a.example]}", "host", "did you mean `hosts`?"),
        ("[{host: a.example, private: true}, {host: '*.example'}, b.example]", "'*.ex", "strangers"),
    ];
    let mut wrong = Vec::new();
    for (text, word, said) in cases {
        let error = refused(text);
        let column = if word.is_empty() { String::new() } else { format!("{}: ", 12 + text.find(word).unwrap()) };
        if !error.starts_with(&format!("sandbox.yaml:2:{column}")) || !error.contains(said) {
            wrong.push(format!("{text}\n{error}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

#[test]
fn options_add_to_the_file_and_one_takes_all_away() {
    let file = "permissions: {network: [a.example, {host: bad.example, deny: true}]}";
    let asked = |overrides: Overrides| with(file, &overrides).map(|settings| settings.network);
    let added =
        asked(Overrides { allow_hosts: vec!["b.example".into(), "c.example:5432".into()], ..Overrides::default() });
    let hosts: Vec<String> = added.unwrap().hosts.iter().map(|told| told.value.described()).collect();
    assert_eq!(hosts, ["a.example:80,443", "not bad.example", "b.example:80,443", "c.example:5432"]);
    let any = asked(Overrides { network: true, ..Overrides::default() }).unwrap();
    assert!(any.any.is_some() && any.hosts.len() == 2, "what is denied stays denied");
    assert_eq!(any.granted_by_file(), ["a.example:80,443"], "what was typed is no news");
    assert_eq!(asked(Overrides { no_network: true, ..Overrides::default() }).unwrap(), Network::default());
    for (typed, said) in [
        ("a.example:http", "no port"),
        ("1.2.3.4", "is an address"),
        ("*.com", "strangers"),
        ("[::1]:80", "is an address"),
        ("a.example:+80", "no port"),
    ] {
        let error =
            asked(Overrides { allow_hosts: vec![typed.into()], ..Overrides::default() }).unwrap_err().to_string();
        assert!(error.starts_with("--allow-host: ") && error.contains(said), "{typed}: {error}");
    }
}

#[test]
fn nothing_goes_beyond_the_users_policy() {
    let within = |policy: &str, network: &str, overrides: &Overrides| {
        let policy = Policy::parse(policy, "/home/u/policy.yaml").unwrap();
        Settings::parse(&format!("permissions: {{network: {network}}}"), FILE, Path::new("."), overrides, &policy)
            .map(|s| s.network)
    };
    let none = Overrides::default();
    let list = "network: [a.example, '*.cdn.example.com']";
    for (policy, network) in [
        ("ttl: 1h", "true"),
        ("network: true", "true"),
        ("network: false", "false"),
        (list, "[a.example, x.cdn.example.com, '*.cdn.example.com']"),
        (list, "[{host: other.example, deny: true}]"),
        ("env: [K]", "[{host: a.example, inject: {header: A, value: '${K}', from: {env: K}}}]"),
    ] {
        within(policy, network, &none).unwrap_or_else(|e| panic!("{policy} {network}: {e}"));
    }
    for (policy, network, said) in [
        (
            "network: false",
            "true",
            "any public host is more than your policy lets tasks reach (/home/u/policy.yaml:1): none",
        ),
        ("network: []", "[a.example]", "`a.example` is more"),
        (list, "true", "any public host"),
        (list, "[b.example]", "`b.example` is more"),
        (list, "[x.y.cdn.example.com]", "is more"),
        (list, "['*.x.cdn.example.com']", "is more"),
        (
            "env: []",
            "[{host: a.example, inject: {header: A, value: '${K}', from: {env: K}}}]",
            "may not pass your variable `K`",
        ),
    ] {
        let error = within(policy, network, &none).unwrap_err().to_string();
        assert!(error.starts_with("sandbox.yaml:1:") && error.contains(said), "{policy} {network}\n{error}");
    }
    let typed = Overrides { allow_hosts: vec!["b.example".into()], ..Overrides::default() };
    assert!(within(list, "false", &typed).unwrap_err().to_string().starts_with("--allow-host: `b.example` is more"));
    let less = Overrides { no_network: true, ..Overrides::default() };
    assert!(within("network: false", "true", &less).unwrap().is_none(), "asking for less is always allowed");
    for (text, said) in [
        ("network: no", "`network` is `false`"),
        ("network: ['*.com']", "strangers"),
        ("network: [10.0.0.1]", "is an address"),
    ] {
        let error = Policy::parse(text, "policy.yaml").unwrap_err().to_string();
        assert!(error.starts_with("policy.yaml:1:") && error.contains(said), "{error}");
    }
}

#[test]
fn what_the_guide_shows_is_valid() {
    let guide = include_str!("../../../docs/NETWORK.md");
    let shown: Vec<&str> = guide.split("```yaml\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    assert_eq!(shown.len(), 1);
    let settings = with(shown[0], &Overrides::default()).unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(settings.network.hosts.len(), 7);
    assert!(guide.contains(&ANY["any public host, on ports ".len()..]));
}

#[test]
fn what_a_file_must_not_grant_alone_needs_the_hosts_very_name() {
    let inject = "{host: a.example, ports: [443], inject: {header: A, value: '${K}', from: {env: K}}}";
    let consent = |network: &str, policy: &str, typed: &[&str]| {
        let policy = Policy::parse(policy, "/home/u/policy.yaml").unwrap();
        let allow_hosts = typed.iter().map(|host| host.to_string()).collect();
        let overrides = Overrides { allow_hosts, ..Overrides::default() };
        let text = format!("permissions: {{network: [{network}]}}");
        let settings = Settings::parse(&text, FILE, Path::new("."), &overrides, &policy).unwrap();
        policy.check_consent(&settings.network).map(|()| settings.network.hosts.len()).map_err(|e| e.to_string())
    };
    for (network, said) in [
        (inject, "a file alone may not send your `K` to `a.example`"),
        (
            "{host: a.example, private: true}",
            "a file alone may not open private addresses to a task, as it does by `a.example`",
        ),
    ] {
        for (policy, typed) in [("", &[][..]), ("network: true", &[]), ("", &["b.example"])] {
            let error = consent(network, policy, typed).unwrap_err();
            assert!(error.starts_with("sandbox.yaml:1:") && error.contains(said), "{policy} {typed:?}: {error}");
        }
        assert_eq!(consent(network, "network: [a.example]", &[]), Ok(1));
        assert_eq!(consent(network, "", &["a.example"]), Ok(1), "the file's own line is what holds");
        assert_eq!(consent(network, "network: [a.example, b.example]", &["b.example"]), Ok(2));
    }
    assert!(
        consent("{host: x.a.example, private: true}", "network: ['*.a.example']", &[]).is_err(),
        "a wildcard is no name"
    );
    assert_eq!(consent("a.example", "", &[]), Ok(1), "a public host needs no word");
}

#[test]
fn a_plan_is_told_all_of_it() {
    use aido_runtime::{EgressTls, Network as Planned};
    assert_eq!(network("false").planned(), Planned::None);
    assert_eq!(network("[{host: a.example, deny: true}]").planned(), Planned::None);
    let Planned::Gateway(egress) = network(ALL).planned() else { panic!("no gateway") };
    assert!(!egress.any && egress.opens_tls() && egress.rules.len() == 7);
    assert_eq!(egress.secrets().collect::<Vec<_>>(), ["API_KEY"]);
    assert_eq!((egress.rules[2].budget.connections, egress.rules[2].budget.bytes), (Some(100), Some(10 << 20)));
    assert_eq!(egress.rules[3].tls, Some(EgressTls::Pass));
    assert!(egress.rules[4].private && egress.rules[5].websocket && egress.rules[6].deny);
    assert_eq!(egress.rules[4].ports.as_deref(), Some(&[5432][..]));
}
