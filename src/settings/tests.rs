//! `sandbox.yaml` as a whole: what is accepted, and what each refusal says.

use super::*;
use aido_runtime::{Limit, Origin, Record};

fn settings(text: &str) -> Settings {
    Settings::from_text(text, FILE, Path::new("."), &Overrides::default()).unwrap_or_else(|e| panic!("{e}\n{text}"))
}

fn refused(text: &str) -> String {
    match Settings::from_text(text, FILE, Path::new("."), &Overrides::default()) {
        Err(error) => error.to_string(),
        Ok(settings) => panic!("accepted:\n{text}\n{settings:?}"),
    }
}

const WHOLE: &str = "\
name: test-migration
runtime: python:3.11
ttl: 15m
inputs: [scripts/migrate.py, config/*.json]
outputs: [results/, migration.log]
permissions:
  filesystem: readonly
  network: false
env: {STAGE: test, TOKEN: {from: MY_TOKEN}}
resources: {memory: 512MiB, cpus: 1.5, pids: 256, disk: 1GiB, output: 64MiB}
";

#[test]
fn the_whole_schema() {
    let s = settings(WHOLE);
    assert_eq!(s.name, "test-migration");
    assert_eq!(s.runtime.value, Runtime::Image("python:3.11".into()));
    assert_eq!(s.ttl, Duration::from_secs(900));
    let inputs: Vec<&str> = s.inputs.iter().flatten().map(|told| told.value.as_str()).collect();
    assert_eq!(inputs, ["scripts/migrate.py", "config/*.json"]);
    assert_eq!(s.env["STAGE"].value, Variable::Literal("test".into()));
    assert_eq!(s.env["TOKEN"].value, Variable::From("MY_TOKEN".into()));
    assert_eq!(s.limits.memory, Limit::asked(512 << 20));
    assert_eq!(s.limits.cpus, Limit::asked(1500));
    assert_eq!(s.limits.pids, Limit::asked(256));
    assert_eq!(s.limits.disk, Limit::asked(1 << 30));
    assert_eq!(s.limits.output, Limit::asked(64 << 20));
    assert_eq!(s.assumed(), None);
}

#[test]
fn an_empty_file_means_the_defaults() {
    for text in ["", "# nothing\n", "{}"] {
        let s = settings(text);
        assert_eq!((s.runtime.value, s.ttl, s.inputs), (Runtime::Host, DEFAULT_TTL, None), "{text:?}");
        assert_eq!((s.limits.memory, s.limits.pids), (Limit::default(2 << 30), Limit::default(512)));
        assert_eq!(s.limits.cpus.origin, Origin::Default);
    }
    assert_eq!(settings("inputs: []").inputs, Some(vec![]));
}

#[test]
fn without_a_file_one_line_says_what_was_assumed() {
    let project = tempfile::tempdir().unwrap();
    let s = Settings::load(project.path(), None, &Overrides::default(), &Policy::default()).unwrap();
    assert_eq!(
        s.assumed().unwrap(),
        "no sandbox.yaml: runtime host, ttl 15m, the project folder read-only, without .git, .aido and what looks like secrets, results in /outputs, no network"
    );
    std::fs::write(project.path().join("sandbox.yml"), "ttl: 1m").unwrap();
    let error =
        Settings::load(project.path(), None, &Overrides::default(), &Policy::default()).unwrap_err().to_string();
    assert!(error.contains("rename it"), "{error}");
    let error = Settings::load(project.path(), Some(Path::new("no.yaml")), &Overrides::default(), &Policy::default())
        .unwrap_err();
    assert!(error.to_string().starts_with("no.yaml: there is no such file\n  help: "), "{error}");
}

#[test]
fn an_unknown_key_shows_its_place_and_what_was_meant() {
    assert_eq!(
        refused("name: x\nouputs: [results/]\n"),
        "sandbox.yaml:2:1: unknown key `ouputs`; did you mean `outputs`?
   |
 2 | ouputs: [results/]
   | ^^^^^^
  help: the keys here are: name, runtime, ttl, inputs, outputs, secrets, permissions, env, resources, record"
    );
    assert_eq!(
        refused("resources: {memroy: 1GiB}"),
        "sandbox.yaml:1:13: unknown key `memroy`; did you mean `memory`?
   |
 1 | resources: {memroy: 1GiB}
   |             ^^^^^^
  help: the keys here are: memory, cpus, pids, disk, output"
    );
    assert!(refused("memory: 1GiB").ends_with("help: `memory` belongs under `resources:`"));
    assert!(
        refused("resources: {ttl: 1m}").ends_with("help: `ttl` belongs at the left margin, not under `resources:`")
    );
    assert!(refused("env: {A: {form: B}}").contains("unknown key `form`; did you mean `from`?"));
}

#[test]
fn a_doubled_key_names_both_places() {
    assert_eq!(
        refused("ttl: 1m\nname: x\nttl: 2m\n"),
        "sandbox.yaml:3:1: the key `ttl` is given twice (first in line 1)
   |
 3 | ttl: 2m
   | ^^^"
    );
    assert!(refused("env: {A: x, A: y}").contains("the key `A` is given twice"));
    assert!(refused("resources:\n  pids: 1\n  pids: 2\n").contains("sandbox.yaml:3:3: the key `pids` is given twice"));
}

#[test]
fn permissions_that_cannot_be_held_are_refused() {
    for (text, place, said) in [
        ("permissions:\n  filesystem: readwrite", "2:15", "no kind of file system"),
        ("permissions:\n  filesystem: readnoly", "2:15", "did you mean `readonly`?"),
        ("permissions:\n  network: no", "2:12", "`network` is `false`"),
        ("permissions:\n  network: 'false'", "2:12", "`network` is `false`"),
        ("permissions:\n  aws: readonly", "2:3", "`aws` is a permission that this version cannot enforce"),
        ("permissions:\n  kubernetes: {verbs: [get]}", "2:3", "this version cannot enforce"),
        ("permissions:\n  vault: [a]", "2:3", "this version cannot enforce"),
        ("aws: {role: admin}", "1:1", "this version cannot enforce"),
        ("permissions: [aws]", "1:14", "`permissions` is a mapping"),
    ] {
        let error = refused(text);
        assert!(error.starts_with(&format!("sandbox.yaml:{place}: ")) && error.contains(said), "{text}\n{error}");
    }
    for name in ["gcp", "azure", "AWS", "vault", "database"] {
        assert!(refused(&format!("permissions: {{{name}: x}}")).contains("cannot enforce, so it is refused"), "{name}");
    }
}

#[test]
fn wrong_types_units_and_ranges() {
    for (text, said) in [
        (
            "name: 3.10",
            "sandbox.yaml:1:7: `name` is a text, and this is a number\n   |\n 1 | name: 3.10\n   |       ^^^^\n  help: put it in quotes: \"3.10\"",
        ),
        ("name: -x", "`-x` is no name for a sandbox"),
        ("name: ''", "`` is no name"),
        ("name: a/b", "`a/b` is no name"),
        ("ttl: 15", "`15` has no unit; write 15s for seconds or 15m for minutes"),
        ("ttl: 25h", "a ttl of 25h is out of range; it lies between 1s and 24h"),
        ("ttl: 0s", "out of range"),
        ("ttl:", "`ttl` has no value"),
        ("ttl: [1m]", "`ttl` is a text, and this is a list"),
        ("inputs: a.txt", "help: write it in brackets: [a.txt]"),
        ("inputs:", "write `inputs: []` for none"),
        ("inputs: [1]", "`inputs` is a text, and this is a number"),
        ("outputs: [[a]]", "`outputs` is a text, and this is a list"),
        ("env: {PORT: 8080}", "put it in quotes: \"8080\""),
        ("env: {ON: true}", "put it in quotes: \"true\""),
        ("env: {'a b': x}", "`a b` is no name of a variable"),
        ("env: {A: {}}", "write {from: NAME}"),
        ("env: {A: {from: 'B=C'}}", "no name of a variable"),
        ("env: [A]", "`env` is a mapping"),
        ("resources: {memory: 512M}", "`M` is no unit of size; write 512MiB"),
        ("resources: {memory: 1MiB}", "memory of 1MiB is out of range; it lies between 4MiB and 16TiB"),
        ("resources: {memory: -1}", "no size"),
        ("resources: {cpus: 0}", "out of range; it lies between 0.01 and 1024"),
        ("resources: {cpus: 1.0001}", "thousandths"),
        ("resources: {cpus: .inf}", ""),
        ("resources: {pids: 1.5}", "no whole number"),
        ("resources: {pids: 4194305}", "out of range"),
        ("runtime: rootfs:/", "type it yourself: `--runtime rootfs:/`"),
        ("runtime: rootfs:a/../../..", "a root folder of the project only"),
        ("runtime: oci:/srv/images", "an image of the project only"),
        ("runtime: oci-archive:../x.tar:1", "type it yourself: `--runtime oci-archive:../x.tar:1`"),
        ("runtime: docker-archive:/tmp/x.tar", "an image of the project only"),
        ("runtime: 'oci:'", "names no path; write oci:DIR[:TAG]"),
        ("runtime: 'py thon'", "is no runtime"),
        ("[a, b]", "`sandbox.yaml` is a mapping of keys to values, not a list"),
        ("just text", "not a text"),
        ("name: \"a\\0b\"", "NUL"),
    ] {
        let error = refused(text);
        assert!(error.contains(said) && error.starts_with("sandbox.yaml:1:"), "{text}\n{error}");
    }
}

#[test]
fn the_command_line_lies_over_the_file() {
    let overrides = Overrides {
        runtime: Some("rootfs:/opt/root".into()),
        ttl: Some("1h".into()),
        inputs: vec!["more".into()],
        env: vec!["STAGE=live".into(), "HOME_TOKEN".into()],
        memory: Some("1GiB".into()),
        record: Some("full".into()),
        accept_weaker: vec![Control::Memory],
        ..Overrides::default()
    };
    let s = Settings::from_text(WHOLE, FILE, Path::new("."), &overrides).unwrap();
    assert_eq!(s.runtime.value, Runtime::RootFolder { folder: "/opt/root".into() });
    assert_eq!((s.ttl.as_secs(), s.limits.memory), (3600, Limit::asked(1 << 30)));
    assert_eq!(s.inputs.unwrap().len(), 3);
    assert_eq!(s.record, Record::Full);
    assert_eq!(s.env["STAGE"].value, Variable::Literal("live".into()));
    assert_eq!(s.env["HOME_TOKEN"].value, Variable::From("HOME_TOKEN".into()));

    let wrong = Overrides { memory: Some("much".into()), ..Overrides::default() };
    let error = Settings::from_text("", FILE, Path::new("."), &wrong).unwrap_err().to_string();
    assert!(error.starts_with("--memory: `much` is no size"), "{error}");
    for workdir in ["", "../x", "/a/../b"] {
        let wrong = Overrides { workdir: Some(workdir.into()), ..Overrides::default() };
        assert!(Settings::from_text("", FILE, Path::new("."), &wrong).is_err(), "{workdir}");
    }
}

#[test]
fn what_was_asked_survives_as_a_file() {
    let overrides =
        Overrides { env: vec!["ODD=\" : {\u{1b}\n".into()], cpus: Some("2".into()), ..Overrides::default() };
    let first = Settings::from_text(WHOLE, FILE, Path::new("."), &overrides).unwrap();
    let second = settings(&first.to_yaml());
    assert_eq!(second.to_yaml(), first.to_yaml());
    assert_eq!((second.limits, second.ttl, second.name), (first.limits, first.ttl, first.name));
    let values = |s: &BTreeMap<String, Told<Variable>>| s.values().map(|told| told.value.clone()).collect::<Vec<_>>();
    assert_eq!(values(&second.env), values(&first.env));
    let bare = settings("");
    assert_eq!(settings(&bare.to_yaml()).inputs, None);
    assert_eq!(settings(&settings("inputs: []").to_yaml()).inputs, Some(vec![]));
    assert_eq!(
        (bare.record, settings(&settings("record: refusals").to_yaml()).record),
        (Record::Standard, Record::Refusals)
    );
    let error =
        Settings::from_text("record: ful", FILE, Path::new("."), &Overrides::default()).unwrap_err().to_string();
    assert!(error.starts_with("sandbox.yaml:1:9: `ful` is no amount of record; did you mean `full`?"), "{error}");
}

#[test]
fn a_folder_with_any_name_gives_a_valid_sandbox_name() {
    let parent = tempfile::tempdir().unwrap();
    for (folder, expected) in
        [("My Project!", "My-Project-"), (".hidden", "hidden"), ("--", "project"), ("über", "ber")]
    {
        let path = parent.path().join(folder);
        std::fs::create_dir(&path).unwrap();
        assert_eq!(Settings::load(&path, None, &Overrides::default(), &Policy::default()).unwrap().name, expected);
    }
}

#[path = "../../fuzz/src/sandbox_yaml.rs"]
#[expect(unreachable_pub, reason = "the fuzzer's own crate exports it")]
mod fuzzed;

/// What the fuzzer kept, on every machine.
#[test]
fn the_corpus_of_the_fuzzer_holds() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/sandbox_yaml");
    let inputs: Vec<_> = std::fs::read_dir(folder).unwrap().map(|input| input.unwrap().path()).collect();
    assert!(inputs.len() > 5, "{} inputs", inputs.len());
    for path in inputs {
        let bytes = std::fs::read(&path).unwrap();
        let held = std::panic::catch_unwind(|| fuzzed::sandbox_yaml(&bytes));
        assert!(held.is_ok(), "{} breaks a promise", path.display());
    }
}
