//! Profiles that must not be compiled: each would mean less, or something else, than its author thinks.

use super::DEFAULT_JSON;
use crate::seccomp::compile::{Error, Hear, Machine, compile, read};
use serde_json::{Value, json};

fn refusal(profile: &Value) -> Error {
    let machine = Machine::X86_64;
    read(&profile.to_string(), machine)
        .and_then(|profile| compile(&[], &profile, machine, Hear::Nothing))
        .expect_err(&format!("must be refused: {profile}"))
}

fn with_rule(rule: Value) -> Value {
    json!({"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [rule]})
}

#[test]
fn conditions_that_would_be_skipped() {
    let rule = |key: &str| json!({"names": ["bpf"], "action": "SCMP_ACT_ALLOW", key: {"caps": ["CAP_BPF"]}});
    for key in ["includes", "excludes", "arguments"] {
        let error = refusal(&with_rule(rule(key)));
        assert!(matches!(&error, Error::UnknownKey { key: found, .. } if found == key), "{error}");
    }
    let empty = json!({"names": ["read"], "action": "SCMP_ACT_ALLOW", "includes": {}, "excludes": {}, "args": null});
    assert!(read(&with_rule(empty).to_string(), Machine::X86_64).is_ok(), "Docker writes empty ones");
    let error = refusal(&json!({"defaultAction": "SCMP_ACT_ALLOW", "flags": ["SECCOMP_FILTER_FLAG_LOG"]}));
    assert!(matches!(error, Error::UnknownKey { .. }), "{error}");
    let arg = json!({"index": 0, "value": 1, "valueTwo": 0, "op": "SCMP_CMP_EQ", "mask": 1});
    let error = refusal(&with_rule(json!({"names": ["read"], "action": "SCMP_ACT_ALLOW", "args": [arg]})));
    assert!(matches!(error, Error::UnknownKey { .. }), "{error}");
}

#[test]
fn other_architectures() {
    let map = json!([{"architecture": "SCMP_ARCH_AARCH64", "subArchitectures": ["SCMP_ARCH_ARM"]}]);
    let error = refusal(&json!({"defaultAction": "SCMP_ACT_ERRNO", "archMap": map}));
    assert_eq!(error, Error::ArchitectureMissing("SCMP_ARCH_X86_64"));
    let error = refusal(&json!({"defaultAction": "SCMP_ACT_ERRNO", "architectures": ["SCMP_ARCH_X86"]}));
    assert_eq!(error, Error::ArchitectureMissing("SCMP_ARCH_X86_64"));
}

#[test]
fn numbers_that_would_be_cut() {
    let error = refusal(&with_rule(json!({"names": ["read"], "action": "SCMP_ACT_ERRNO", "errnoRet": 4096})));
    assert_eq!(error, Error::ReturnTooLarge { call: "read".to_owned(), value: 4096, most: 4095 });
    let error = refusal(&with_rule(json!({"names": ["read"], "action": "SCMP_ACT_TRACE", "errnoRet": 65536})));
    assert_eq!(error, Error::ReturnTooLarge { call: "read".to_owned(), value: 65536, most: 65535 });
    let args = |index: usize| json!([{"index": index, "value": 1, "op": "SCMP_CMP_EQ"}]);
    let error = refusal(&with_rule(json!({"names": ["read"], "action": "SCMP_ACT_ALLOW", "args": args(6)})));
    assert_eq!(error, Error::NoSuchArgument { call: "read".to_owned(), index: 6 });
}

#[test]
fn what_engines_read_differently() {
    let twice = json!([{"index": 1, "value": 1, "op": "SCMP_CMP_GT"}, {"index": 1, "value": 9, "op": "SCMP_CMP_LT"}]);
    let error = refusal(&with_rule(json!({"names": ["read"], "action": "SCMP_ACT_ALLOW", "args": twice})));
    assert_eq!(error, Error::ArgumentTwice { call: "read".to_owned(), index: 1 });
    let rules =
        json!([{"names": ["read"], "action": "SCMP_ACT_ALLOW"}, {"names": ["read"], "action": "SCMP_ACT_TRAP"}]);
    let error = refusal(&json!({"defaultAction": "SCMP_ACT_ERRNO", "syscalls": rules}));
    assert_eq!(error, Error::Contradiction { call: "read".to_owned() });
}

#[test]
fn what_is_not_a_profile() {
    for json in ["", "[]", "{}", "{\"defaultAction\": \"ALLOW\"}", &DEFAULT_JSON[..DEFAULT_JSON.len() / 2]] {
        let error = read(json, Machine::X86_64).expect_err(json);
        assert!(matches!(error, Error::Form(_)), "{error}");
    }
    for rule in [json!("read"), json!({"names": ["read"]}), json!({"names": "read", "action": "SCMP_ACT_ALLOW"})] {
        assert!(matches!(refusal(&with_rule(rule)), Error::Form(_)));
    }
}

#[test]
fn more_than_the_kernel_takes() {
    let arg = |value: u64| json!([{"index": 0, "value": value << 20, "op": "SCMP_CMP_EQ"}]);
    let rule = |n: u64| json!({"names": ["read"], "action": "SCMP_ACT_ERRNO", "errnoRet": 2 + n % 2, "args": arg(n)});
    let rules: Vec<Value> = (1..100_000).map(rule).collect();
    let error = refusal(&json!({"defaultAction": "SCMP_ACT_ERRNO", "syscalls": rules}));
    assert!(matches!(error, Error::TooLong { instructions } if instructions > 4096), "{error}");
}
