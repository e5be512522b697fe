use super::*;
use proptest::prelude::*;

#[test]
fn spellings_of_one_name_are_one_name() {
    let plain = HostName::written("docs.example.com").unwrap();
    for text in ["DOCS.example.COM", "docs.example.com.", "ｄｏｃｓ.example.com", "docs。example。com"] {
        assert_eq!(HostName::written(text).as_ref(), Ok(&plain), "{text}");
    }
    assert_eq!(HostName::written("bücher.example").unwrap().as_str(), "xn--bcher-kva.example");
    assert_eq!(HostName::written("BÜCHER.example").unwrap().as_str(), "xn--bcher-kva.example");
}

#[test]
fn an_address_is_no_name_in_any_spelling() {
    let spellings = [
        "127.0.0.1",
        "127.0.0.1.",
        "127.1",
        "0177.0.0.1",
        "0x7f.0.0.1",
        "0x7f000001",
        "0X7F000001",
        "2130706433",
        "017700000001",
        "::1",
        "[::1]",
        "::ffff:127.0.0.1",
        "[::ffff:7f00:1]",
        "fe80::1%eth0",
        "[fe80::1%25lo]",
        "0",
        "0x",
        "169.254.169.254",
        "１２７.0.0.1",
        "①②⑦.0.0.1",
        "127。0。0。1",
        "example.0x1",
        "1.2.3.4.5",
        "٠.١",
        "0xa9fea9fe",
    ];
    for text in spellings {
        assert!(HostName::written(text).is_err(), "{text} passed as a name");
    }
}

#[test]
fn what_is_no_host_name_is_refused() {
    let wrong = [
        "",
        ".",
        "..",
        "a..b",
        ".a",
        "a..",
        "-a.example",
        "a-.example",
        "a b",
        "a/b",
        "a:80",
        "http://a.example",
        "user@a.example",
        "a\0.example",
        "a\n.example",
        "a%2e.example",
        "*",
        "a.*.example",
        "a*.example",
        "xn--a.example",
        "xn--.example",
    ];
    for text in wrong {
        assert!(HostName::written(text).is_err(), "{text:?} passed as a name");
    }
    assert!(HostName::ascii(&"a".repeat(64)).is_err());
    assert!(HostName::ascii(&format!("{}.example", "a.".repeat(130))).is_err());
    assert!(HostName::ascii("bücher.example").is_err(), "what protocols carry is not mapped");
}

#[test]
fn a_wildcard_covers_one_label() {
    let pattern = HostPattern::written("*.cdn.example.com").unwrap();
    let covers = |text: &str| pattern.covers(&HostName::written(text).unwrap());
    assert!(covers("a.cdn.example.com") && covers("A.CDN.example.com."));
    assert!(!covers("cdn.example.com") && !covers("a.b.cdn.example.com"));
    assert!(!covers("xcdn.example.com") && !covers("a.cdn.example.com.evil.example"));
}

#[test]
fn a_wildcard_must_not_cover_strangers() {
    for text in [
        "*.com",
        "*.co.uk",
        "*.github.io",
        "*.COM.",
        "*.nosuchtld",
        "*.s3.amazonaws.com",
        "*.рф",
        "*.xn--p1ai",
        "*.*.com",
        "*.",
    ] {
        assert!(HostPattern::written(text).is_err(), "{text} was taken");
    }
    for text in ["*.example.com", "*.me.github.io", "*.bbc.co.uk"] {
        assert!(HostPattern::written(text).is_ok(), "{text} was refused");
    }
}

proptest! {
    /// Whatever is taken is in the form that is compared, and reading it again changes nothing.
    #[test]
    fn what_is_taken_is_normal(text in "\\PC{0,40}|[a-zA-Z0-9.xX*_-]{0,40}") {
        if let Ok(name) = HostName::written(&text) {
            let shown = name.as_str();
            prop_assert!(shown.is_ascii() && !shown.ends_with('.') && shown == shown.to_ascii_lowercase());
            prop_assert_eq!(HostName::ascii(shown).unwrap(), name.clone());
            prop_assert!(shown.parse::<std::net::IpAddr>().is_err());
        }
    }

    /// Nothing that the C library would take for an address by itself is taken for a name.
    #[test]
    fn no_number_is_a_name(parts in proptest::collection::vec("0x[0-9a-f]{0,8}|0[0-7]{0,11}|[0-9]{1,10}", 1..5)) {
        prop_assert!(HostName::written(&parts.join(".")).is_err());
    }
}
