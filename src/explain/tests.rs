//! Explanations of made-up runs: each change is applied, and must then really be one.

use super::*;
use crate::backend;
use crate::inputs;
use crate::plan::{RootFacts, assemble};
use crate::settings::{Overrides, Settings};
use crate::task::Invocation;
use aido_runtime::End;
use serde_json::json;

/// A run that never was.
pub(crate) struct Case {
    folder: tempfile::TempDir,
    config: String,
    pub(crate) plan: Plan,
    pub(crate) summary: Summary,
    pub(crate) output: String,
    pub(crate) policy: Policy,
}

impl Case {
    pub(crate) fn new(config: &str, files: &[&str]) -> Case {
        let folder = tempfile::tempdir().unwrap();
        for file in files {
            let path = folder.path().join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "x").unwrap();
        }
        let plan = plan(folder.path(), config).unwrap();
        let mut summary = crate::commands::example::summary();
        summary["outcome"]["end"] = json!({"reason": "exited", "code": 1});
        summary["output"] = json!({"stdout": {"kept": 0, "dropped": 0}, "stderr": {"kept": 0, "dropped": 0}});
        let summary = serde_json::from_value(summary).unwrap();
        Case { folder, config: config.into(), plan, summary, output: String::new(), policy: Policy::default() }
    }

    pub(crate) fn project(&self) -> String {
        self.folder.path().canonicalize().unwrap().display().to_string()
    }

    pub(crate) fn with<T>(&self, told: impl FnOnce(&Facts<'_>) -> T) -> T {
        let project = self.folder.path().canonicalize().unwrap();
        told(&Facts {
            summary: &self.summary,
            plan: &self.plan,
            config: &self.config,
            project: &project,
            policy: &self.policy,
            tails: [self.output.as_bytes(), b""],
        })
    }

    fn refused(mut self, call: &str, cause: Cause, target: &str) -> Case {
        self.summary.outcome.refused.push(Refusal {
            call: call.into(),
            number: 1,
            detail: None,
            answer: "EROFS".into(),
            cause,
            target: (!target.is_empty()).then(|| target.to_string()),
            place: None,
            process: "sh".into(),
            pid: 1,
            count: 3,
        });
        self
    }

    fn says(mut self, text: &str) -> Case {
        self.output.push_str(text);
        self.output.push('\n');
        self
    }

    fn ended(mut self, end: End) -> Case {
        self.summary.outcome.end = end;
        self
    }

    fn explained(&self) -> Vec<Explanation> {
        self.with(explain)
    }

    /// The only explanation.
    #[track_caller]
    fn only(&self) -> Explanation {
        let mut all = self.explained();
        assert_eq!(all.len(), 1, "{all:#?}");
        all.remove(0)
    }

    /// The plan with the change in place of what the configuration has of this key.
    #[track_caller]
    fn changed(&self, found: &Explanation) -> Plan {
        let yaml = &found.change.as_ref().unwrap_or_else(|| panic!("no change: {found:#?}")).yaml;
        let key = yaml.split(':').next().unwrap();
        let kept = self.config.lines().filter(|line| !line.starts_with(&format!("{key}:")));
        let text: Vec<&str> = kept.chain([yaml.as_str()]).collect();
        plan(self.folder.path(), &text.join("\n")).unwrap_or_else(|e| panic!("{yaml}: {e}"))
    }
}

fn plan(project: &Path, config: &str) -> crate::settings::Result<Plan> {
    let settings = Settings::from_text(config, "sandbox.yaml", project, &Overrides::default())?;
    let layout = inputs::lay_out(&settings, None, &inputs::Own::default())?;
    let invocation = Invocation::Command { program: "sh".into(), args: vec![] };
    let facts = RootFacts::host(1000, 1000, vec![]);
    assemble(&settings, &facts, &invocation, false, &layout, &|_| None).map(|(plan, _)| plan)
}

fn place_after(case: &Case, found: &Explanation, path: &str) -> place::Place {
    let plan = case.changed(found);
    case.with(|facts| {
        let facts = Facts { plan: &plan, ..*facts };
        place::locate(&facts, path).1
    })
}

#[test]
fn a_refused_write_is_allowed_by_the_smallest_output() {
    for (config, files, path, yaml) in [
        ("", vec!["a.py"], "/workspace/results/deep/a.csv", "outputs: [results/]"),
        ("", vec!["a.py"], "/workspace/a.log", "outputs: [a.log]"),
        ("outputs: [b.log]\n", vec!["a.py"], "/workspace/a.log", "outputs: [b.log, a.log]"),
        ("", vec!["results/old.csv"], "/workspace/results/new.csv", "outputs: [results/]"),
        ("", vec!["src/a.py"], "/workspace/src/gen/x.py", "outputs: [src/gen/]"),
        ("", vec!["src/a.py"], "/workspace/src/gen.py", "outputs: [src/gen.py]"),
        ("", vec!["data.txt"], "/workspace/data.txt", "outputs: [data.txt]"),
        ("inputs: [a.py]\n", vec!["a.py"], "/workspace/out/x", "outputs: [out/]"),
        ("inputs: [out/a.py]\n", vec!["out/a.py"], "/workspace/out/x", "outputs: [out/x]"),
        ("inputs: [src]\n", vec!["src/a.py"], "/workspace/src/out/x", "outputs: [src/out/]"),
    ] {
        let case = Case::new(config, &files).refused("openat", Cause::ReadOnly, path);
        let found = case.only();
        assert_eq!(found.change.as_ref().map(|change| change.yaml.as_str()), Some(yaml), "{path}: {found:#?}");
        assert_eq!(found.from, Source::Record);
        assert!(found.exposes.as_ref().unwrap().contains("starts empty"));
        assert!(matches!(place_after(&case, &found, path), place::Place::Output { .. }), "{yaml}");
    }
    let folder = Case::new("", &[]).refused("mkdir", Cause::ReadOnly, "/workspace/made").only();
    assert_eq!(folder.change.unwrap().yaml, "outputs: [made/]");
}

#[test]
fn what_no_output_can_allow_is_said() {
    for (config, files, call, path) in [
        ("", vec!["a.py"], "openat", "/usr/lib/x"),
        ("", vec!["a.py"], "openat", "/home/other/x"),
        ("", vec!["a.py"], "openat", "/proc/sys/kernel/x"),
        ("", vec!["a.py"], "unlink", "/workspace/a.py"),
        ("inputs: [a.py]\n", vec!["a.py"], "openat", "/workspace/a.py"),
        ("", vec![".git/config"], "openat", "/workspace/.git/index.lock"),
        ("", vec!["a.py"], "openat", "/workspace/.aido/x"),
        ("", vec!["a.py"], "openat", "/workspace/x.tmp123"),
        ("", vec!["a.py"], "mkdir", "/workspace"),
    ] {
        let found = Case::new(config, &files).refused(call, Cause::ReadOnly, path).only();
        assert!(found.change.is_none() && found.instead.is_some(), "{path}: {found:#?}");
    }
}

#[test]
fn many_files_of_one_folder_are_one_thing_and_several_outputs_one_line() {
    let mut case = Case::new("outputs: [x]\n", &["src/a.py"]);
    for n in 0..100 {
        case = case.refused("openat", Cause::ReadOnly, &format!("/workspace/results/{n}"));
    }
    case = case
        .refused("mkdir", Cause::ReadOnly, "/workspace/more")
        .says("mkdir: cannot create directory 'results': Read-only file system");
    let all = case.explained();
    assert_eq!(all.len(), 2, "{all:#?}");
    assert!(all[0].what.contains("99 more"), "{}", all[0].what);
    assert!(all.iter().all(|found| found.change.as_ref().unwrap().yaml == "outputs: [x, results/, more/]"), "{all:#?}");
    assert_eq!(all[0].change.as_ref().unwrap().options, "--output results/ --output more/");
}

#[test]
fn what_python_tries_beside_its_sources_is_minor() {
    let path = "/workspace/__pycache__/a.cpython-311.pyc.140";
    assert!(Case::new("", &["a.py"]).refused("openat", Cause::ReadOnly, path).only().minor);
    let nscd = Case::new("", &[]).refused("connect", Cause::Absent, "unix:/var/run/nscd/socket").only();
    assert!(nscd.minor, "{nscd:#?}");
}

#[test]
fn a_read_of_what_was_hidden_or_not_named_is_allowed_by_naming_it() {
    for (config, files, said, path, yaml) in [
        ("", vec![".env"], "cat: .env: No such file or directory", ".env", "secrets: [.env]"),
        (
            "",
            vec!["x/.env"],
            "FileNotFoundError: [Errno 2] No such file or directory: 'x/.env'",
            "x/.env",
            "secrets: [x/.env]",
        ),
        ("inputs: [a]\n", vec!["a", "b"], "cat: b: No such file or directory", "b", "inputs: [a, b]"),
        (
            "inputs: []\n",
            vec!["d[1]/b"],
            "cat: 'd[1]/b': No such file or directory",
            "d[1]/b",
            r#"inputs: ["d\\[1\\]/b"]"#,
        ),
        (
            "",
            vec![".git/HEAD"],
            "fatal: not a git repository (or any of the parent directories): .git",
            ".git/HEAD",
            "inputs: [., .git]",
        ),
    ] {
        let case = Case::new(config, &files).says(said);
        let found = case.only();
        assert_eq!(found.change.as_ref().map(|change| change.yaml.as_str()), Some(yaml), "{said}: {found:#?}");
        assert_eq!(found.from, Source::Output, "the task's words are never the record");
        assert_eq!(place_after(&case, &found, path), place::Place::Shown { path: path.into() });
    }
}

#[test]
fn what_is_missing_everywhere_is_no_denial_and_what_lies_outside_cannot_be_had() {
    for said in [
        "cat: nowhere: No such file or directory",
        "cat: /usr/nowhere: No such file or directory",
        "x: Permission denied",
    ] {
        assert!(Case::new("", &["a"]).says(said).explained().is_empty(), "{said}");
    }
    let case = Case::new("outputs: [out/]\n", &["out/old", ".aido/ledger.jsonl"]);
    let outside = tempfile::NamedTempFile::new().unwrap();
    std::os::unix::fs::symlink(outside.path(), case.folder.path().join("link")).unwrap();
    let host = format!("cat: {}/a: No such file or directory", case.project());
    let mut case = case;
    for said in [
        "cat: /home/me/.ssh/id_rsa: No such file or directory",
        "cat: link: No such file or directory",
        "cat: .aido/ledger.jsonl: No such file or directory",
        "cat: out/old: No such file or directory",
        &host,
    ] {
        case.output = said.to_string();
        let found = case.only();
        assert!(found.change.is_none() && found.instead.is_some(), "{said}: {found:#?}");
    }
}

#[test]
fn ways_out_are_explained_once_and_by_the_record_where_it_has_them() {
    let case = Case::new("", &[]).says("curl: (6) Could not resolve host: example.com");
    let found = case.only();
    assert_eq!((found.from, found.target.as_deref()), (Source::Output, Some("example.com")));
    match backend::holds_network(Backend::Linux) {
        true => {
            let change = found.change.unwrap();
            assert!(change.yaml.contains("network: [example.com]") && found.exposes.is_some(), "{}", change.yaml);
            assert_eq!(change.options, "--allow-host example.com");
        }
        false => assert!(found.change.is_none() && found.instead.unwrap().contains("inputs")),
    }
    let case = case.refused("connect", Cause::Network, "93.184.216.34:443/tcp");
    assert_eq!(case.only().from, Source::Record);
    let docker = Case::new("", &[]).refused("connect", Cause::Absent, "unix:/var/run/docker.sock").only();
    assert!(docker.instead.unwrap().contains("owns the host"));
}

#[test]
fn bounds_are_raised_to_the_next_sensible_value_and_no_policy_is_widened() {
    let oom = End::OutOfMemory { limit: 64 << 20, peak: Some(64 << 20) };
    let case = Case::new("resources: {memory: 64MiB, cpus: 2}\n", &[]).ended(oom.clone());
    let found = case.only();
    assert_eq!(found.change.as_ref().unwrap().yaml, "resources: {memory: 128MiB, cpus: 2}");
    assert_eq!(case.changed(&found).limits.memory.value, 128 << 20);
    let case = Case::new("ttl: 90s\n", &[]).ended(End::Deadline { ttl_ms: 90_000 });
    let found = case.only();
    assert_eq!(found.change.as_ref().unwrap().yaml, "ttl: 3m");
    assert_eq!(case.changed(&found).deadline.ttl_ms, 180_000);
    let mut case = Case::new("", &[]);
    case.summary.outcome.usage.pids_refused = Some(2);
    let found = case.only();
    assert_eq!(case.changed(&found).limits.pids.value, 1024);
    let mut case = Case::new("resources: {output: 1KiB}\n", &[]);
    case.summary.output.stdout.kept = 1024;
    case.summary.output.stdout.dropped = 98976;
    let found = case.only();
    assert_eq!(case.changed(&found).limits.output.value, 128 << 10);
    let case = Case::new("", &[]).says("dd: error writing '/tmp/big': No space left on device");
    let found = case.only();
    assert_eq!(case.changed(&found).limits.disk.value, 2 << 30);
    let mut case = Case::new("resources: {memory: 64MiB}\n", &[]).ended(oom);
    case.policy = Policy::parse("resources: {memory: 64MiB}\n", "policy.yaml").unwrap();
    let found = case.only();
    assert!(found.change.is_none() && found.instead.unwrap().contains("policy"), "the policy was ignored");
}

#[test]
fn a_call_is_allowed_by_a_wider_profile_of_ours_or_by_none_in_a_file() {
    let strict = Case::new("permissions: {syscalls: strict}\n", &[]);
    let mut case = strict.refused("socket", Cause::Profile, "");
    case.summary.outcome.refused[0].detail = Some("AF_INET, type 1, protocol 0".into());
    let found = case.only();
    assert_eq!(found.change.as_ref().unwrap().yaml, "permissions: {syscalls: default}");
    assert_eq!(case.changed(&found).syscalls, aido_runtime::SyscallProfile::Default);
    case.summary.outcome.refused[0].detail = Some("AF_PACKET, type 3, protocol 0".into());
    assert!(case.only().change.is_none());
    for (call, word) in [("unshare", "namespaces"), ("bpf", "kernel"), ("mkfoo", "--syscalls FILE")] {
        let found = Case::new("", &[]).refused(call, Cause::Profile, "").only();
        assert!(found.change.is_none() && found.instead.as_ref().unwrap().contains(word), "{found:#?}");
    }
}

#[test]
fn a_program_that_is_not_there_is_found_in_another_root() {
    let case = Case::new("", &[]).ended(End::NotFound { program: "node".into() }).says("sh: 1: node: not found");
    let found = case.only();
    assert_eq!(found.change.unwrap().yaml, "runtime: \"node:22\"");
    let unknown = Case::new("", &[]).says("sh: 1: frobnicate: not found").only();
    assert!(unknown.change.is_none() && unknown.instead.unwrap().contains("frobnicate"));
    let mut case = Case::new("", &[]).ended(End::NotFound { program: "frobnicate".into() });
    case.plan.root = aido_runtime::Root::Image { reference: "x".into(), digest: "sha256:0".into(), layers: vec![] };
    assert_eq!(case.only().change.unwrap().yaml, "runtime: host");
    // A container has no such root.
    case.summary.backend = "docker".into();
    let found = case.only();
    assert!(found.change.is_none() && found.instead.unwrap().contains("runtime: IMAGE"));
    case.summary.outcome.end = End::NotFound { program: "node".into() };
    assert_eq!(case.only().change.unwrap().yaml, "runtime: \"node:22\"");
}

#[test]
fn without_namespaces_paths_are_those_of_the_plan() {
    let mut case = Case::new("", &[".env"]);
    case.plan.isolation = aido_runtime::Isolation::Landlock;
    let at = format!("{}/.aido/sandboxes/s1/scratch/view/workspace/.env", case.project());
    case.output = format!("cat: {at}: Permission denied");
    assert_eq!(case.only().change.unwrap().yaml, "secrets: [.env]");
}

#[test]
fn in_a_layer_the_project_is_not_called_read_only() {
    let case =
        |config: &str| Case::new(config, &["src/a"]).refused("openat", Cause::ReadOnly, "/workspace/src/a").only();
    let readonly = case("");
    assert!(readonly.why.contains("read-only") || readonly.why.contains("never changed"), "{readonly:#?}");
    let layered = case("permissions: {filesystem: overlay}\n");
    assert!(layered.why.contains("in a layer") && layered.change.is_none(), "{layered:#?}");
}
