use super::*;
use proptest::prelude::*;

fn rule(host: &str) -> HostRule {
    HostRule { host: host.to_owned(), ..HostRule::default() }
}

fn policy(hosts: Vec<HostRule>) -> Policy {
    Policy::new(Rules { hosts, ..Rules::default() }).unwrap()
}

fn refused(hosts: Vec<HostRule>) -> String {
    Policy::new(Rules { hosts, ..Rules::default() }).unwrap_err().to_string()
}

fn to(name: &str) -> Destination {
    Destination::Name(HostName::written(name).unwrap())
}

fn asks(policy: &Policy, name: &str, port: u16) -> Result<Handling, Reason> {
    policy.connection(&to(name), port).map(|granted| granted.handling).map_err(|refusal| refusal.reason)
}

fn web(policy: &Policy, method: &str, name: &str, path: &str) -> Result<Option<usize>, Reason> {
    let to = to(name);
    let asked = Request { to: &to, port: 443, method, path, secure: true, websocket: false };
    policy.request(&asked).map(|granted| granted.rule).map_err(|refusal| refusal.reason)
}

fn words(list: &[&str]) -> Option<Vec<String>> {
    Some(list.iter().map(|text| (*text).to_owned()).collect())
}

fn inject() -> Inject {
    Inject {
        header: "Authorization".into(),
        value: "Bearer ${KEY}".into(),
        secret: Secret::new("sk-0123456789".into()),
    }
}

#[test]
fn nothing_is_allowed_unless_it_is_named() {
    let none = policy(vec![]);
    assert!(none.is_empty() && none.ports().is_empty());
    assert_eq!(asks(&none, "example.com", 443), Err(Reason::NotNamed));
    let one = policy(vec![rule("docs.example.com")]);
    assert_eq!(one.ports(), [80, 443].into());
    assert_eq!(asks(&one, "docs.example.com", 443), Ok(Handling::Pass));
    assert_eq!(asks(&one, "docs.example.com", 80), Ok(Handling::Plain));
    assert_eq!(asks(&one, "docs.example.com", 22), Err(Reason::Port));
    assert_eq!(asks(&one, "example.com", 443), Err(Reason::NotNamed));
    assert_eq!(asks(&one, "x.docs.example.com", 443), Err(Reason::NotNamed));
    assert!(one.lookup(&HostName::written("DOCS.example.com.").unwrap()).is_ok());
    assert!(one.lookup(&HostName::written("a.docs.example.com").unwrap()).is_err());
}

#[test]
fn a_refusal_names_the_line_that_would_allow_it() {
    let one = policy(vec![rule("docs.example.com")]);
    let refusal = one.connection(&to("db.example.com"), 5432).unwrap_err();
    assert_eq!(refusal.allow.as_deref(), Some("- {host: db.example.com, ports: [5432]}"));
    assert_eq!(refusal.to_string(), "policy refused db.example.com:5432: no rule names this host");
    assert_eq!(one.connection(&to("docs.example.com"), 22).unwrap_err().rule, Some(0));
}

#[test]
fn deny_beats_allow_in_any_order() {
    for flip in [false, true] {
        let mut rules = vec![rule("*.example.com"), HostRule { deny: true, ..rule("bad.example.com") }];
        if flip {
            rules.reverse();
        }
        let policy = policy(rules);
        assert!(asks(&policy, "good.example.com", 443).is_ok());
        assert_eq!(asks(&policy, "bad.example.com", 443), Err(Reason::Denied));
        assert!(policy.lookup(&HostName::written("bad.example.com").unwrap()).is_err());
    }
}

#[test]
fn a_denied_path_opens_the_connection_and_holds() {
    let deny = HostRule { deny: true, paths: words(&["/admin/**"]), ..rule("*.example.com") };
    let policy = policy(vec![HostRule { methods: words(&["*"]), ..rule("a.example.com") }, deny]);
    assert_eq!(asks(&policy, "a.example.com", 443), Ok(Handling::Open));
    assert_eq!(web(&policy, "POST", "a.example.com", "/x"), Ok(Some(0)));
    for path in ["/admin", "/ADMIN/x", "/admin/", "/%61dmin"] {
        assert_eq!(web(&policy, "GET", "a.example.com", path), Err(Reason::Denied), "{path}");
    }
    for path in ["/x/../admin", "//admin", "/x/%2e%2e/admin", "/;/admin", "/%2561dmin"] {
        assert_eq!(web(&policy, "GET", "a.example.com", path), Err(Reason::PathAmbiguous), "{path}");
    }
}

#[test]
fn methods_and_paths_belong_together() {
    let reads = HostRule { paths: words(&["/v1/charges/**"]), ..rule("api.example.com") };
    let writes = HostRule { methods: words(&["POST"]), paths: words(&["/v1/refunds"]), ..rule("api.example.com") };
    let policy = policy(vec![reads, writes]);
    assert_eq!(web(&policy, "GET", "api.example.com", "/v1/charges/1"), Ok(Some(0)));
    assert_eq!(web(&policy, "POST", "api.example.com", "/v1/refunds"), Ok(Some(1)));
    assert_eq!(web(&policy, "POST", "api.example.com", "/v1/charges/1"), Err(Reason::Method));
    assert_eq!(web(&policy, "GET", "api.example.com", "/v1/refunds"), Err(Reason::Method));
    assert_eq!(web(&policy, "GET", "api.example.com", "/v1"), Err(Reason::Path));
    assert_eq!(web(&policy, "get", "api.example.com", "/v1/charges/1"), Err(Reason::Method));
    assert_eq!(web(&policy, "CONNECT", "api.example.com", "/v1/charges/1"), Err(Reason::Tunnel));
}

#[test]
fn a_websocket_needs_its_word() {
    let policy = policy(vec![
        HostRule { methods: words(&["GET"]), ..rule("a.example.com") },
        HostRule { websocket: true, ..rule("b.example.com") },
    ]);
    for (name, expected) in [("a.example.com", false), ("b.example.com", true)] {
        let to = to(name);
        let asked = Request { to: &to, port: 443, method: "GET", path: "/", secure: true, websocket: true };
        assert_eq!(policy.request(&asked).is_ok(), expected, "{name}");
    }
}

#[test]
fn a_credential_goes_by_tls_alone_unless_the_network_is_private() {
    for (private, expected) in [(false, false), (true, true)] {
        let policy = policy(vec![HostRule {
            inject: Some(inject()),
            ports: Some(vec![8080]),
            private,
            ..rule("a.example.com")
        }]);
        let to = to("a.example.com");
        let asked = Request { to: &to, port: 8080, method: "GET", path: "/", secure: false, websocket: false };
        assert_eq!(policy.request(&asked).is_ok(), expected);
        assert!(policy.request(&Request { secure: true, ..asked }).unwrap().inject.is_some());
    }
}

#[test]
fn any_is_every_public_host_and_no_other_address() {
    let any = Policy::new(Rules {
        any: true,
        hosts: vec![HostRule { deny: true, ..rule("bad.example") }],
        ..Rules::default()
    })
    .unwrap();
    assert_eq!(asks(&any, "anything.example", 443), Ok(Handling::Pass));
    assert_eq!(asks(&any, "anything.example", 25), Err(Reason::Port));
    assert_eq!(asks(&any, "bad.example", 443), Err(Reason::Denied));
    assert!(!any.connection(&to("anything.example"), 443).unwrap().private);
    for (address, expected) in [
        ("1.1.1.1", true),
        ("127.0.0.1", false),
        ("169.254.169.254", false),
        ("::ffff:1.1.1.1", false),
        ("10.0.0.1", false),
    ] {
        let to = Destination::Address(address.parse().unwrap());
        assert_eq!(any.connection(&to, 443).is_ok(), expected, "{address}");
        assert!(policy(vec![rule("a.example")]).connection(&to, 443).is_err(), "{address} by a list of names");
    }
    // What a rule names it decides alone.
    let any = Policy::new(Rules {
        any: true,
        hosts: vec![HostRule { inject: Some(inject()), ..rule("api.example") }],
        ..Rules::default()
    })
    .unwrap();
    assert_eq!(web(&any, "POST", "api.example", "/"), Err(Reason::Method));
    assert_eq!(asks(&any, "api.example", 80), Err(Reason::Port));
}

#[test]
fn what_cannot_be_meant_is_refused_with_what_mends_it() {
    let cases = [
        (rule("*.com"), "strangers"),
        (rule("127.0.0.1"), "private: true"),
        (rule("https://a.example"), "no scheme"),
        (HostRule { ports: Some(vec![]), ..rule("a.example") }, "80 and 443"),
        (HostRule { ports: Some(vec![53]), ..rule("a.example") }, "gateway's own"),
        (HostRule { methods: words(&["get"]), ..rule("a.example") }, "capitals"),
        (HostRule { methods: words(&["CONNECT"]), ..rule("a.example") }, "past the policy"),
        (HostRule { paths: words(&["v1"]), ..rule("a.example") }, "`/v1`"),
        (HostRule { tls: Some(Tls::Pass), methods: words(&["GET"]), ..rule("a.example") }, "name alone"),
        (HostRule { deny: true, private: true, ..rule("a.example") }, "denies"),
        (HostRule { inject: Some(Inject { header: "Host".into(), ..inject() }), ..rule("a.example") }, "framed"),
        (
            HostRule { inject: Some(Inject { header: "X Y".into(), ..inject() }), ..rule("a.example") },
            "name of a header",
        ),
        (HostRule { inject: Some(Inject { value: "Bearer".into(), ..inject() }), ..rule("a.example") }, "`${NAME}`"),
        (
            HostRule { inject: Some(Inject { value: "${A}${B}".into(), ..inject() }), ..rule("a.example") },
            "one `${NAME}`",
        ),
        (HostRule { inject: Some(Inject { value: "a\r\nX: ${B}".into(), ..inject() }), ..rule("a.example") }, "ASCII"),
        (
            HostRule {
                inject: Some(Inject { secret: Secret::new("a\nlong enough".into()), ..inject() }),
                ..rule("a.example")
            },
            "line feed",
        ),
        (HostRule { budget: Budget { bytes: Some(0), connections: None }, ..rule("a.example") }, "leave the rule out"),
    ];
    for (written, expected) in cases {
        let said = refused(vec![rule("fine.example"), written]);
        assert!(said.contains(expected) && said.starts_with("network rule 2"), "{said}");
    }
    let pinned = HostRule { tls: Some(Tls::Pass), ..rule("a.example.com") };
    let opened = HostRule { deny: true, paths: words(&["/x"]), ..rule("*.example.com") };
    assert!(refused(vec![pinned, opened]).contains("needs to see"));
    let private = HostRule { private: true, ..rule("a.example.com") };
    assert!(refused(vec![rule("*.example.com"), private]).contains("`private`"));
}

#[test]
fn a_secret_is_not_shown() {
    let policy = policy(vec![HostRule { inject: Some(inject()), ..rule("a.example") }]);
    assert!(!format!("{policy:?}").contains("0123456789"));
}

#[test]
fn data_is_read_strictly() {
    let read = |text: &str| serde_json::from_str::<Rules>(text);
    assert!(read(r#"{"hosts": [{"host": "a.example", "tls": "pass", "ports": [443]}]}"#).is_ok());
    for text in [
        r#"{"host": []}"#,
        r#"{"hosts": [{"host": "a", "port": 1}]}"#,
        r#"{"hosts": [{"host": "a", "tls": "open"}]}"#,
        r#"{"hosts": [{"host": "a", "ports": [70000]}]}"#,
    ] {
        assert!(read(text).is_err(), "{text}");
    }
}

proptest! {
    /// Whatever else is written, a rule that denies a host is never overruled.
    #[test]
    fn nothing_overrules_a_denial(
        hosts in proptest::collection::vec(("(\\*\\.)?[ab]\\.example\\.com", any::<bool>(), proptest::option::of(Just(vec![443u16]))), 0..6),
        any: bool,
    ) {
        let mut rules: Vec<HostRule> = hosts.into_iter().map(|(host, methods, ports)| HostRule { host, ports, methods: methods.then(|| vec!["*".to_owned()]), ..HostRule::default() }).collect();
        rules.insert(rules.len() / 2, HostRule { deny: true, ..rule("x.a.example.com") });
        let policy = Policy::new(Rules { any, hosts: rules, ..Rules::default() }).unwrap();
        for port in [22, 80, 443, 8080] {
            prop_assert_eq!(asks(&policy, "x.a.example.com", port), Err(Reason::Denied));
            let granted = asks(&policy, "y.c.example.com", port);
            prop_assert!(any || granted.is_err());
        }
    }
}

#[test]
fn who_learns_answers_names_and_lets_nothing_through() {
    let rule = HostRule { host: "docs.example.com".into(), ports: Some(vec![5432]), ..HostRule::default() };
    let learning = Policy::new(Rules { any: true, hosts: vec![rule], ..Rules::default() }).unwrap().learning();
    assert!(learning.is_empty() && learning.ports().contains(&5432) && learning.ports().contains(&443));
    for host in ["docs.example.com", "other.example.com"] {
        assert!(learning.lookup(&HostName::written(host).unwrap()).is_ok());
        assert_eq!(asks(&learning, host, 5432), Err(Reason::Learns));
    }
    assert!(learning.connection(&Destination::Address("93.184.215.14".parse().unwrap()), 443).is_err());
}
