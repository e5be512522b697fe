//! What a policy holds back, and what each refusal says.

use super::super::{DEFAULT_TTL, Overrides, Settings};
use super::*;
use aido_runtime::{Limit, Limits};
use std::time::Duration;

const WHOLE: &str = "\
version: 1
ttl: 30m
resources: {memory: 1GiB, cpus: 0.5, pids: 100, disk: 512MiB, output: 1MiB}
runtimes: [host, 'python:*', 'localhost:5000/**', 'oci:**', 'rootfs:build/*']
env: [CI, 'TEST_*']
";

fn policy(text: &str) -> Policy {
    Policy::parse(text, "/home/u/policy.yaml").unwrap_or_else(|e| panic!("{e}\n{text}"))
}

fn refused_policy(text: &str) -> String {
    Policy::parse(text, "policy.yaml").map(|p| panic!("accepted: {text}\n{p:?}")).unwrap_err().to_string()
}

fn within(policy_text: &str, yaml: &str, overrides: &Overrides) -> Result<Settings> {
    Settings::parse(yaml, "sandbox.yaml", Path::new("."), overrides, &policy(policy_text))
}

fn refused(policy_text: &str, yaml: &str, overrides: &Overrides) -> String {
    match within(policy_text, yaml, overrides) {
        Err(error) => error.to_string(),
        Ok(settings) => panic!("accepted:\n{yaml}\n{settings:?}"),
    }
}

#[test]
fn the_engine_is_the_users_choice_within_the_policy() {
    let typed = |backend| Some(Told::new(backend, At::Flag("--backend".into())));
    let (linux, docker) = (Backend::Linux, Backend::Docker);
    for (text, named, usual, chosen) in [
        ("", None, linux, linux),
        ("", None, docker, docker),
        ("", typed(docker), linux, docker),
        ("backend: docker", None, linux, docker),
        ("backend: docker", typed(linux), linux, linux),
        ("backends: [linux, docker]", typed(docker), linux, docker),
        ("{backend: docker, backends: [docker]}", None, linux, docker),
    ] {
        assert_eq!(policy(text).backend(named, usual), Ok(chosen), "{text}");
    }
    let said = policy("backends: [linux]").backend(typed(docker), linux).unwrap_err().to_string();
    let words = "--backend: the backend `docker` is none that your policy allows (/home/u/policy.yaml:1): linux";
    assert!(said.starts_with(words), "{said}");
    let said = policy("backends: [docker]").backend(None, linux).unwrap_err().to_string();
    assert!(said.contains("`linux`, which is meant where none is named,"), "{said}");
    assert!(policy("backends: []").backend(None, linux).is_err());
    let said = refused_policy("{backends: [linux], backend: docker}");
    assert!(said.contains("the backend `docker` is none that your policy allows"), "{said}");
    assert!(refused_policy("backend: dokcer").contains("did you mean `docker`?"));
    assert!(refused_policy("backends: docker").contains("is a list"));
    let shown = policy("{backend: docker, backends: [docker, linux]}").ceilings();
    assert_eq!(shown, [("backend", "docker".to_string()), ("backends", "docker, linux".to_string())]);
}

#[test]
fn no_file_of_a_project_moves_a_run_to_another_engine() {
    for key in ["backend: docker", "engine: docker"] {
        let said = refused("", key, &Overrides::default());
        assert!(said.contains("a file may not choose the engine") && said.contains("--backend"), "{said}");
    }
}

#[test]
fn a_file_that_asks_for_more_is_refused_with_both_places() {
    assert_eq!(
        refused(WHOLE, "name: x\nresources:\n  memory: 8GiB\n", &Overrides::default()),
        "sandbox.yaml:3:11: memory of 8GiB is more than the 1GiB that your policy allows (/home/u/policy.yaml:3)
   |
 3 |   memory: 8GiB
   |           ^^^^
  help: write 1GiB or less, or raise the ceiling in your policy"
    );
    for (yaml, said) in [
        ("ttl: 31m", "a ttl of 31m is more than the 30m that your policy allows (/home/u/policy.yaml:2)"),
        ("resources: {memory: 1073741825}", "more than the 1GiB"),
        ("resources: {cpus: 0.501}", "cpus of 0.501 is more than the 0.5 that"),
        ("resources: {pids: 101}", "pids of 101 is more than the 100 that"),
        ("resources: {disk: 1GiB}", "disk of 1GiB is more than the 512MiB that"),
        ("resources: {output: 2MiB}", "output of 2MiB is more than the 1MiB that"),
        (
            "runtime: node:20",
            "the runtime `node:20` is none that your policy allows (/home/u/policy.yaml:4): host, python:*",
        ),
        ("env: {A: {from: AWS_SECRET_ACCESS_KEY}}", "may not pass your variable `AWS_SECRET_ACCESS_KEY` on"),
    ] {
        let error = refused(WHOLE, yaml, &Overrides::default());
        assert!(error.starts_with("sandbox.yaml:1:") && error.contains(said), "{yaml}\n{error}");
        assert!(within("", yaml, &Overrides::default()).is_ok(), "{yaml} is wrong in itself");
    }
}

#[test]
fn the_command_line_is_bound_as_well() {
    let asks = |set: &dyn Fn(&mut Overrides)| {
        let mut overrides = Overrides::default();
        set(&mut overrides);
        refused(WHOLE, "", &overrides)
    };
    assert_eq!(
        asks(&|o| o.memory = Some("8GiB".into())),
        "--memory: memory of 8GiB is more than the 1GiB that your policy allows (/home/u/policy.yaml:3)
  help: ask for 1GiB or less, or raise the ceiling in your policy: it binds what you type too"
    );
    assert!(asks(&|o| o.ttl = Some("1h".into())).starts_with("--ttl: a ttl of 1h is more than the 30m"));
    assert!(asks(&|o| o.cpus = Some("1".into())).starts_with("--cpus: "));
    assert!(asks(&|o| o.pids = Some("101".into())).starts_with("--pids: "));
    assert!(asks(&|o| o.disk = Some("513MiB".into())).starts_with("--disk: "));
    assert!(asks(&|o| o.runtime = Some("rootfs:/".into())).starts_with("--runtime: the runtime `rootfs:/`"));
}

#[test]
fn what_is_at_the_ceiling_or_below_is_required_as_it_was_asked() {
    let yaml =
        "ttl: 30m\nresources: {memory: 1GiB, cpus: 0.5, pids: 7, disk: 1MiB, output: 1MiB}\nruntime: python:3.11\n";
    let s = within(WHOLE, yaml, &Overrides::default()).unwrap();
    assert_eq!(
        (s.ttl, s.limits.memory, s.limits.pids),
        (Duration::from_secs(1800), Limit::asked(1 << 30), Limit::asked(7))
    );
    // An option that lowers what a file asks for makes the file acceptable.
    let overrides = Overrides { memory: Some("64MiB".into()), ..Overrides::default() };
    let s = within(WHOLE, "resources: {memory: 8GiB}", &overrides).unwrap();
    assert_eq!(s.limits.memory, Limit::asked(64 << 20));
}

#[test]
fn defaults_are_lowered_and_stay_defaults() {
    let lowered = within(&format!("{WHOLE}# x"), "", &Overrides::default()).unwrap();
    assert_eq!(
        lowered.limits,
        Limits {
            memory: Limit::default(1 << 30),
            cpus: Limit::default(500),
            pids: Limit::default(100),
            disk: Limit::default(512 << 20),
            output: Limit::default(1 << 20),
        }
    );
    assert_eq!(lowered.ttl, DEFAULT_TTL);
    assert_eq!(within("ttl: 90s", "", &Overrides::default()).unwrap().ttl, Duration::from_secs(90));
    // A ceiling above the default raises nothing.
    let free = within("", "", &Overrides::default()).unwrap();
    let high =
        within("ttl: 24h\nresources: {memory: 1TiB, cpus: 1024, pids: 9999}", "", &Overrides::default()).unwrap();
    assert_eq!((high.ttl, high.limits), (free.ttl, free.limits));
}

#[test]
fn a_policy_never_finds_its_way_into_what_a_sandbox_keeps() {
    let kept = within(WHOLE, "name: x", &Overrides::default()).unwrap().to_yaml();
    assert_eq!(kept, within("", "name: x", &Overrides::default()).unwrap().to_yaml());
}

#[test]
fn runtimes_match_as_they_are_written() {
    let project = tempfile::tempdir().unwrap();
    let root = project.path().canonicalize().unwrap();
    let inner = format!("rootfs:{}/build/root", root.display());
    let policy = policy(WHOLE);
    let allowed = |text: &str| {
        let runtime = Told::new(Runtime::parse(text).unwrap(), At::Flag("--runtime".into()));
        policy.check_runtime(&runtime, &root).is_ok()
    };
    for text in
        ["host", "python:3.11", "localhost:5000/a/b:c", "oci:a/b:c", "oci:/srv/images", "rootfs:build/root", &inner]
    {
        assert!(allowed(text), "{text}");
    }
    for text in [
        "python",
        "python:5000/evil",
        "evil/python:3.11",
        "docker.io/library/python:3.11",
        "localhost:5001/a",
        "oci-archive:a.tar",
        "docker-archive:a.tar",
        "rootfs:/build/root",
        "rootfs:build/a/b",
        "oci:a/../../b",
        "rootfs:build/..",
    ] {
        assert!(!allowed(text), "{text}");
    }
}

#[test]
fn stars_and_what_they_stand_for() {
    for (pattern, text, fine) in [
        ("**", "", true),
        ("**", "a/b:c", true),
        ("*", "a:b", true),
        ("*", "a/b", false),
        ("a*c", "abbc", true),
        ("a*c", "ac", true),
        ("a*c", "acd", false),
        ("a/**", "a/", true),
        ("a/**", "a", false),
        ("a**z", "a/b/z", true),
        ("*/*:?", "x/y:1", true),
        ("*/*:?", "x/y:12", false),
        ("a?b", "a/b", false),
        ("[::1]:5000/*", "[::1]:5000/x", true),
        ("{a,b}", "a", false),
        ("", "a", false),
    ] {
        assert_eq!(fits(pattern, text), fine, "{pattern} {text}");
    }
    let started = std::time::Instant::now();
    assert!(!fits(&"*a".repeat(50), &("a".repeat(20_000) + "b")));
    assert!(started.elapsed().as_secs() < 5);
}

#[test]
fn where_the_default_runtime_is_not_allowed_one_must_be_named() {
    assert_eq!(
        refused("runtimes: ['python:*']", "", &Overrides::default()),
        "the runtime `host`, which is meant where none is named, is none that your policy allows (/home/u/policy.yaml:1): python:*
  help: name one with `runtime:` or `--runtime`, or add this one to your policy"
    );
    assert!(within("runtimes: ['python:*']", "runtime: python:3", &Overrides::default()).is_ok());
    assert!(refused("runtimes: []", "runtime: host", &Overrides::default()).contains("policy.yaml:1): none"));
}

#[test]
fn a_file_passes_on_only_the_variables_of_the_list() {
    for (allowed, from, fine) in [
        ("env: [CI, 'TEST_*']", "CI", true),
        ("env: [CI, 'TEST_*']", "TEST_URL", true),
        ("env: [CI, 'TEST_*']", "MY_TEST_URL", false),
        ("env: [CI, 'TEST_*']", "ci", false),
        ("env: []", "CI", false),
        ("ttl: 1h", "CI", true),
    ] {
        // The name in the sandbox does not matter: the caller's variable is what is given away.
        let yaml = format!("env: {{CI: {{from: {from}}}}}");
        assert_eq!(within(allowed, &yaml, &Overrides::default()).is_ok(), fine, "{allowed} {from}");
    }
    let typed = Overrides { env: vec!["TOKEN".into(), "X=y".into()], ..Overrides::default() };
    assert!(within("env: []", "env: {A: literal, TOKEN: {from: TOKEN}}", &typed).is_ok());
    let error = refused("env: []", "env: {TOKEN: {from: TOKEN}}", &Overrides::default());
    assert!(
        error.contains("your policy allows (/home/u/policy.yaml:1): none") && error.contains("type `-e TOKEN`"),
        "{error}"
    );
}

#[test]
fn tasks_may_be_forbidden_to_change_a_project_itself() {
    let open = Overrides { mutations: true, ..Overrides::default() };
    assert!(within("mutations: true", "", &open).is_ok() && within("ttl: 1h", "", &open).is_ok());
    assert!(within("mutations: false", "", &Overrides::default()).is_ok());
    let error = refused("mutations: false", "", &open);
    assert!(error.contains("your policy forbids") && error.contains("/home/u/policy.yaml:1"), "{error}");
    let alone = Overrides { isolation: aido_runtime::Isolation::Landlock, ..open };
    assert!(refused("ttl: 1h", "", &alone).contains("without namespaces"));
}

#[test]
fn a_policy_with_a_mistake_is_refused_at_its_place() {
    assert_eq!(
        refused_policy("ttl: 1h\nruntime: [host]\n"),
        "policy.yaml:2:1: unknown key `runtime`; did you mean `runtimes`?
   |
 2 | runtime: [host]
   | ^^^^^^^
  help: the keys here are: version, ttl, resources, runtimes, env, backend, backends, mutations, network"
    );
    for (text, said) in [
        ("version: 2", "version 2 of the policy is not known here"),
        ("version:", "`version` has no value"),
        ("memory: 1GiB", "help: `memory` belongs under `resources:`"),
        ("name: x", "help: the keys here are: version,"),
        ("mutations: maybe", "`mutations` is `true` or `false`"),
        ("aws: x", "unknown key `aws`"),
        ("ttl: 1h\nttl: 2h", "given twice (first in line 1)"),
        ("resources: {memroy: 1GiB}", "did you mean `memory`?"),
        ("resources: {memory: 4G}", "`G` is no unit of size; write 4GiB"),
        ("resources: {memory: 1MiB}", "out of range"),
        ("resources: {memory: }", "`memory` has no value"),
        ("ttl: 30", "has no unit"),
        ("ttl: 25h", "out of range"),
        ("runtimes: host", "write it in brackets: [host]"),
        ("runtimes:", "write `runtimes: []` for none"),
        ("runtimes: ['']", "an empty pattern"),
        ("env: {CI: x}", "`env` is a list of texts"),
        ("env: [!!str A]", "tags are not allowed"),
        ("[a]", "`policy.yaml` is a mapping"),
        ("ttl: 1h\n---\nttl: 2h", "a second document"),
    ] {
        let error = refused_policy(text);
        assert!(error.starts_with("policy.yaml:") && error.contains(said), "{text}\n{error}");
    }
    for text in ["", "# nothing", "{}", "version: 1"] {
        assert_eq!(policy(text).ceilings(), [], "{text}");
    }
}

#[test]
fn every_ceiling_can_be_shown() {
    let shown: Vec<String> = policy(WHOLE).ceilings().iter().map(|(key, most)| format!("{key} {most}")).collect();
    assert_eq!(
        shown.join("; "),
        "ttl 30m; memory 1GiB; cpus 0.5; pids 100; disk 512MiB; output 1MiB; \
         runtimes host, python:*, localhost:5000/**, oci:**, rootfs:build/*; env CI, TEST_*"
    );
    assert_eq!(policy("env: []").ceilings(), [("env", "none".to_string())]);
}

#[cfg(unix)]
mod on_disk {
    use super::*;
    use std::fs::{self, Permissions};
    use std::os::unix::fs::{PermissionsExt, symlink};

    struct Config(tempfile::TempDir);

    impl Config {
        fn with(text: &str) -> Config {
            let config = Config(tempfile::tempdir().unwrap());
            fs::create_dir(config.folder()).unwrap();
            fs::write(config.file(), text).unwrap();
            config.mode(&config.folder(), 0o755);
            config.mode(&config.file(), 0o644);
            config
        }

        fn folder(&self) -> PathBuf {
            self.0.path().join("aido")
        }

        fn file(&self) -> PathBuf {
            self.folder().join("policy.yaml")
        }

        fn mode(&self, path: &Path, mode: u32) {
            fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
        }

        fn refused(&self) -> String {
            Policy::load(self.0.path()).unwrap_err().to_string()
        }
    }

    #[test]
    fn no_file_is_no_ceiling_and_a_file_is_read() {
        let config = Config::with(WHOLE);
        let policy = Policy::load(config.0.path()).unwrap();
        assert_eq!((policy.ceilings().len(), policy.file), (8, Some(config.file().display().to_string())));
        fs::remove_file(config.file()).unwrap();
        assert_eq!(Policy::load(config.0.path()).unwrap().file, None);
        fs::remove_dir(config.folder()).unwrap();
        assert_eq!(Policy::load(config.0.path()).unwrap().file, None);
        assert_eq!(Policy::load(&config.0.path().join("no/such")).unwrap().file, None);
    }

    #[test]
    fn what_others_can_write_is_refused_with_the_command_that_mends_it() {
        let config = Config::with("ttl: 1h");
        for mode in [0o666, 0o664, 0o646, 0o602] {
            config.mode(&config.file(), mode);
            let file = config.file().display().to_string();
            assert_eq!(
                config.refused(),
                format!(
                    "{file}: can be written by others, so your policy may be no word of yours\n  help: chmod go-w {file}"
                )
            );
        }
        config.mode(&config.file(), 0o600);
        assert!(Policy::load(config.0.path()).is_ok());
        config.mode(&config.folder(), 0o777);
        assert!(config.refused().ends_with(&format!("help: chmod go-w {}", config.folder().display())));
        // Whoever could write there can have removed it.
        fs::remove_file(config.file()).unwrap();
        assert!(config.refused().contains("can be written by others"));
    }

    #[test]
    fn what_is_there_and_cannot_be_read_is_not_taken_for_nothing() {
        let config = Config::with("\u{0}ttl: 1h");
        config.refused();
        fs::write(config.file(), b"ttl: \xff").unwrap();
        assert!(config.refused().contains("not UTF-8"));
        let (file, elsewhere) = (config.file(), config.0.path().join("dotfiles.yaml"));
        fs::remove_file(&file).unwrap();
        symlink(&elsewhere, &file).unwrap();
        assert!(config.refused().contains("cannot be read"), "a link that leads nowhere");
        fs::write(&elsewhere, "ttl: 1h").unwrap();
        config.mode(&elsewhere, 0o644);
        assert_eq!(Policy::load(config.0.path()).unwrap().ceilings().len(), 1);
        config.mode(&elsewhere, 0o666);
        assert!(config.refused().contains("chmod go-w"), "what a link leads to counts");
        fs::remove_file(&file).unwrap();
        nix::unistd::mkfifo(&file, nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert!(config.refused().contains("no ordinary file"));
        fs::remove_file(&file).unwrap();
        fs::create_dir(&file).unwrap();
        config.mode(&file, 0o755);
        assert!(config.refused().contains("no ordinary file"));
        fs::remove_dir(&file).unwrap();
        fs::remove_dir(config.folder()).unwrap();
        symlink("nowhere", config.folder()).unwrap();
        assert!(config.refused().contains("cannot be read"));
        fs::remove_file(config.folder()).unwrap();
        fs::write(config.folder(), "").unwrap();
        config.mode(&config.folder(), 0o644);
        assert!(config.refused().contains("cannot be read"));
    }
}
