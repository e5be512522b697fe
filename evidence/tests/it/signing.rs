//! What is signed, when, and that nothing else passes for it.

use crate::{begin, close, kinds, point, sandbox, seal, whole};
use aido_evidence::{
    ClosedBy, Envelope, Facts, PublicKey, Record, Run, STATEMENT_TYPE, Sandbox, Signer, Statement, Stream,
    checkpoint_holds, pae, sha256_hex,
};
use proptest::prelude::*;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs;

fn records(run: &Run) -> Vec<Record> {
    run.events().unwrap().map(|event| event.unwrap()).collect()
}

fn key(sandbox: &Sandbox) -> PublicKey {
    Signer::of(sandbox.project().home()).unwrap().public().clone()
}

/// Whether the checkpoint at this place of the chain holds there.
fn holds(key: &PublicKey, run: &Run, records: &[Record], at: usize) -> bool {
    let before = &records[at - 1];
    checkpoint_holds(key, run.id(), before.seq, &before.hash, &records[at].data)
}

fn statement(run: &Run, key: &PublicKey) -> Statement {
    let envelope = Envelope::read(&fs::read(run.folder().join("seal.json")).unwrap()).unwrap();
    Statement::read(&envelope.verified(STATEMENT_TYPE, key).unwrap()).unwrap()
}

#[test]
fn a_checkpoint_signs_what_is_new_and_only_then() {
    let (_dir, sandbox) = sandbox();
    let mut recording = begin(&sandbox, 100).unwrap();
    assert!(recording.is_unsigned().unwrap());
    recording.checkpoint().unwrap();
    assert!(!recording.is_unsigned().unwrap());
    recording.checkpoint().unwrap();
    recording.event("e", json!({})).unwrap();
    recording.checkpoint().unwrap();
    recording.output(Stream::Stdout, b"abc").unwrap();
    assert!(recording.is_unsigned().unwrap());
    recording.checkpoint().unwrap();
    // What is over the limit is not kept, and so nothing new.
    recording.output(Stream::Stdout, &[b'x'; 97]).unwrap();
    recording.checkpoint().unwrap();
    recording.output(Stream::Stdout, b"y").unwrap();
    assert!(!recording.is_unsigned().unwrap());
    let run = sandbox.runs().unwrap().remove(0);
    let records = records(&run);
    let expected = ["begun", "key", "checkpoint", "e", "checkpoint", "output", "checkpoint", "output", "checkpoint"];
    assert_eq!(kinds(&run), expected);
    assert_eq!(
        records[5].data,
        json!({"stdout": {"kept": 3, "sha256": sha256_hex(b"abc")}, "stderr": {"kept": 0, "sha256": sha256_hex(b"")}})
    );
    let key = key(&sandbox);
    assert_eq!(records[1].data["public"], key.to_pem());
    for at in [2, 4, 6, 8] {
        assert!(holds(&key, &run, &records, at));
    }
}

#[test]
fn a_checkpoint_holds_in_its_place_only() {
    let (_dir, sandbox) = sandbox();
    let mut recording = begin(&sandbox, 100).unwrap();
    recording.checkpoint().unwrap();
    recording.event("e", json!({})).unwrap();
    recording.checkpoint().unwrap();
    drop(recording);
    let mut second = begin(&sandbox, 100).unwrap();
    second.checkpoint().unwrap();
    let (key, runs) = (key(&sandbox), sandbox.runs().unwrap());
    let (new, old) = (&runs[0], &runs[1]);
    let (records, others) = (records(old), records(new));
    assert!(holds(&key, old, &records, 2) && holds(&key, old, &records, 4) && holds(&key, new, &others, 2));
    let moved = |seq, hash: &str, data: &Value| checkpoint_holds(&key, old.id(), seq, hash, data);
    assert!(!moved(1, &records[1].hash, &records[4].data), "another place");
    assert!(!moved(2, &records[1].hash, &records[2].data), "another number");
    assert!(!checkpoint_holds(&key, new.id(), 1, &records[1].hash, &records[2].data), "another run");
    assert!(!moved(1, &records[1].hash, &others[2].data));
    for data in [json!({}), json!(null), json!({"keyid": key.id(), "sig": ""}), json!({"keyid": key.id(), "sig": 7})] {
        assert!(!moved(1, &records[1].hash, &data), "{data}");
    }
    let stranger = Signer::of(&aido_evidence::Home::default()).unwrap();
    assert!(!holds(stranger.public(), old, &records, 2), "another key");
}

#[test]
fn a_checkpoint_after_a_torn_record_signs_what_owns_up_to_it() {
    let (_dir, sandbox) = sandbox();
    let mut recording = begin(&sandbox, 100).unwrap();
    let path = recording.folder().join("events.log");
    recording.event("e", json!({})).unwrap();
    // The writer finds out only when it looks at the end again, which it does after a write that failed.
    drop(recording);
    let run = sandbox.runs().unwrap().remove(0);
    let mut bytes = fs::read(&path).unwrap();
    bytes.extend_from_slice(b"{\"v\":1,");
    fs::write(&path, &bytes).unwrap();
    close(&run).unwrap();
    assert_eq!(kinds(&run), ["begun", "key", "e", "torn", "key", "interrupted"]);
    assert_eq!(statement(&run, &key(&sandbox)).predicate.chain.records, 6);
}

#[test]
fn the_seal_names_every_file_and_who_signed() {
    let (_dir, sandbox) = sandbox();
    let mut recording = begin(&sandbox, 100).unwrap();
    recording.plan(b"{}").unwrap();
    recording.output(Stream::Stderr, b"oops").unwrap();
    let folder = recording.folder().to_path_buf();
    fs::write(folder.join("changes.diff"), "--- a").unwrap();
    let mut facts =
        Facts { outputs: vec![("b/x".into(), format!("sha256:{}", sha256_hex(b"out")))], ..Facts::default() };
    facts.members.insert("exit_code".into(), json!(3));
    facts.members.insert("run".into(), json!("somebody else's"));
    let sealed = recording.seal(&json!({"version": 3}), facts).unwrap().settle().unwrap();
    let run = sandbox.runs().unwrap().remove(0);
    let statement = statement(&run, &key(&sandbox));
    let names: Vec<&str> = statement.subject.iter().map(|subject| subject.name.as_str()).collect();
    let expected = [
        "changes.diff",
        "events.log",
        "order.log",
        "outputs/b/x",
        "plan.json",
        "stderr.log",
        "stdout.log",
        "summary.json",
    ];
    assert_eq!(names, expected);
    for name in names.iter().filter(|name| !name.starts_with("outputs/")) {
        assert_eq!(statement.sha256(name), Some(&*sha256_hex(&fs::read(folder.join(name)).unwrap())), "{name}");
    }
    assert_eq!(statement.sha256("outputs/b/x"), Some(&*sha256_hex(b"out")));
    let predicate = &statement.predicate;
    assert_eq!((&predicate.run, &predicate.sandbox), (run.id(), sandbox.id()));
    assert_eq!((predicate.closed_by, predicate.facts["exit_code"].clone()), (ClosedBy::Writer, json!(3)));
    assert_eq!((predicate.chain.head.clone(), predicate.chain.records), (sealed.chain_head.clone(), 3));
    assert!(predicate.key.kept && predicate.key.public == key(&sandbox).to_pem());
    let ledger = whole(sandbox.project().ledger().records().unwrap().unwrap());
    let told = ledger.iter().find(|line| line.kind == "run_sealed").unwrap();
    assert_eq!(told.data["seal_sha256"], sha256_hex(&fs::read(folder.join("seal.json")).unwrap()));
    assert_eq!(told.data["seal_sha256"], sealed.seal_sha256);
    assert!(!folder.join(".summary.json").exists());
}

#[test]
fn an_interrupted_run_is_sealed_by_who_closes_it() {
    let (_dir, sandbox) = sandbox();
    let mut recording = begin(&sandbox, 100).unwrap();
    recording.output(Stream::Stdout, b"half").unwrap();
    recording.checkpoint().unwrap();
    let before = key(&sandbox);
    drop(recording);
    let ring = aido_evidence::Keyring::open(sandbox.project().home().keys.as_deref().unwrap()).unwrap().unwrap();
    let after = ring.rotate().unwrap().to;
    let run = sandbox.runs().unwrap().remove(0);
    let closed = close(&run).unwrap();
    let statement = statement(&run, &after);
    assert_eq!(statement.predicate.closed_by, ClosedBy::Recovery);
    assert_eq!(statement.predicate.chain.head, closed.chain_head);
    assert_eq!(statement.sha256("stdout.log"), Some(&*sha256_hex(b"half")));
    // What the dead writer signed still holds, by the key that it had.
    let records = records(&run);
    assert_eq!(kinds(&run), ["begun", "key", "output", "checkpoint", "key", "interrupted"]);
    assert!(holds(&before, &run, &records, 3) && !holds(&after, &run, &records, 3));
}

/// The summary's name is the last step: what a writer signed before it died there is not signed anew by another.
#[test]
fn a_seal_whose_summary_only_lacks_its_name_is_finished_and_not_replaced() {
    let (_dir, sandbox) = sandbox();
    let sealed = seal(begin(&sandbox, 100).unwrap(), &json!({"a": 1}));
    let run = sandbox.runs().unwrap().remove(0);
    let (folder, project) = (run.folder(), sandbox.project());
    let signed = fs::read(folder.join("seal.json")).unwrap();
    let ledger = || {
        let lines = whole(project.ledger().records().unwrap().unwrap());
        lines.into_iter().filter(|line| line.data["run"] == run.id().as_str()).map(|line| line.kind).collect::<Vec<_>>()
    };
    let mark = || {
        let mark = project.folder().join("unsealed").join(run.id().as_str());
        point(sandbox.id().as_str(), mark);
    };
    fs::rename(folder.join("summary.json"), folder.join(".summary.json")).unwrap();
    mark();
    assert_eq!(project.interrupted().unwrap().len(), 1);
    assert!(close(&run).is_none(), "nothing was left to be closed");
    assert_eq!(fs::read(folder.join("seal.json")).unwrap(), signed);
    assert_eq!(sha256_hex(&fs::read(folder.join("summary.json")).unwrap()), sealed.summary_sha256);
    assert!(project.interrupted().unwrap().is_empty());
    assert_eq!(ledger(), ["run_begun", "run_sealed"]);

    // A summary that is not the one that was signed is none.
    fs::remove_file(folder.join("summary.json")).unwrap();
    fs::write(folder.join(".summary.json"), "{\"a\": 2}\n").unwrap();
    mark();
    close(&run).unwrap();
    assert_ne!(fs::read(folder.join("seal.json")).unwrap(), signed);
    assert_eq!(ledger(), ["run_begun", "run_sealed", "run_interrupted"]);
}

/// The framing as the specification of DSSE shows it.
#[test]
fn the_framing_is_the_specified_one() {
    let bytes = pae("http://example.com/HelloWorld", b"hello world");
    assert_eq!(bytes, b"DSSEv1 29 http://example.com/HelloWorld 11 hello world");
}

/// Of RFC 8410 and RFC 8032: the example key, and the first test vector's public key.
#[test]
fn keys_have_the_form_that_others_read() {
    let pem = "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n-----END PUBLIC KEY-----\n";
    let key = PublicKey::from_pem(pem).unwrap();
    assert_eq!(key.to_pem(), pem);
    assert_eq!(PublicKey::from_pem(&pem.replace('\n', "\r\n")).unwrap(), key);
    for bad in [
        "",
        "MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=",
        &pem.replace("MCow", "MCox"),
        &pem.replace("ZuE=", "ZuE"),
        &pem.replace("PUBLIC", "PRIVATE"),
        &pem.replace("GbGb", ""),
    ] {
        assert!(PublicKey::from_pem(bad).is_err() || bad == pem, "{bad}");
    }
}

#[test]
fn what_lenient_verifiers_take_is_refused() {
    // The identity is a key of small order: with it, and R the identity too, S = 0 signs every message.
    let mut der = vec![0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00, 1];
    der.extend([0; 31]);
    use base64::Engine as _;
    let text = base64::engine::general_purpose::STANDARD.encode(der);
    let weak = format!("-----BEGIN PUBLIC KEY-----\n{text}\n-----END PUBLIC KEY-----\n");
    let mut forged = [0; 64];
    forged[0] = 1;
    assert!(PublicKey::from_pem(&weak).is_ok_and(|key| !key.verifies(b"anything", &forged)));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(200) })]

    /// No two pairs of type and payload are framed alike.
    #[test]
    fn the_framing_is_one_to_one(
        a in "[ -~]{0,12}", b in "[ -~]{0,12}",
        x in proptest::collection::vec(prop_oneof![Just(b' '), Just(b'1'), any::<u8>()], 0..12),
        y in proptest::collection::vec(prop_oneof![Just(b' '), Just(b'1'), any::<u8>()], 0..12),
    ) {
        prop_assert_eq!(pae(&a, &x) == pae(&b, &y), (a, x) == (b, y));
    }

    /// What is accepted is what was signed, in every bit.
    #[test]
    fn no_changed_envelope_is_verified(at in any::<prop::sample::Index>(), change in 1..=255u8) {
        let dir = tempfile::tempdir().unwrap();
        let (bytes, key) = sealed_once();
        let mut other = bytes.clone();
        let at = at.index(other.len());
        other[at] ^= change;
        let accepted = Envelope::read(&other).and_then(|envelope| envelope.verified(STATEMENT_TYPE, &key));
        if let Ok(payload) = accepted {
            // White space between members is not signed; nothing of it is believed either.
            let whole = Envelope::read(&bytes).unwrap().payload().unwrap();
            prop_assert_eq!(payload, whole);
            prop_assert!(other[at].is_ascii_whitespace() || bytes[at].is_ascii_whitespace());
        }
        drop(dir);
    }

    /// Rubbish is refused, and never more than that.
    #[test]
    fn rubbish_is_no_envelope(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(Envelope::read(&bytes).is_err() && Statement::read(&bytes).is_err());
        prop_assert!(PublicKey::from_pem(&String::from_utf8_lossy(&bytes)).is_err());
    }
}

/// A seal and its key; made once.
fn sealed_once() -> (Vec<u8>, PublicKey) {
    static MADE: std::sync::OnceLock<BTreeMap<bool, (Vec<u8>, PublicKey)>> = std::sync::OnceLock::new();
    let made = MADE.get_or_init(|| {
        let (_dir, sandbox) = sandbox();
        let sealed = seal(begin(&sandbox, 1).unwrap(), &json!({}));
        BTreeMap::from([(true, (fs::read(sealed.folder.join("seal.json")).unwrap(), key(&sandbox)))])
    });
    made[&true].clone()
}
