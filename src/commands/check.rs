//! `aido check`: validates a configuration and says what it grants. Starts nothing.

use crate::backend::{self, Backend};
use crate::cli::Check;
use crate::inputs::{Entry, Layout, OUTPUTS, lay_out};
use crate::root;
use crate::settings::{
    Filesystem, Network, Overrides, Policy, Runtime, Settings, Variable, printable, show_bytes, show_duration,
    show_processors,
};
use aido_runtime::{Limit, Limits, Origin, Record, SyscallProfile};
use anyhow::Result;
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;

/// Version of the JSON form. 1: `network` was a word. 2: it is what can be reached, and `pulls` is new.
const CHECK_VERSION: u32 = 2;
/// Lines that one heading of the text form has at most.
const LINES: usize = 20;

/// What a configuration grants.
#[derive(Debug, Serialize)]
struct Granted {
    version: u32,
    /// The file that was read; absent where defaults stand for it.
    file: Option<String>,
    name: String,
    runtime: String,
    /// The engine that would run it.
    backend: &'static str,
    /// Of the runtime's image, where it is one of a registry and the engine or the store knows its name: the digest
    /// that the name leads to.
    image: Option<String>,
    /// Whether a run would have to pull the image first.
    pulls: bool,
    ttl_ms: u128,
    grace_ms: u128,
    /// Read-only, relative to the project; `.` is the project itself.
    inputs: Vec<String>,
    hidden: Vec<String>,
    /// Files whose content is a secret: seen by the task, and kept out of the record.
    secrets: Vec<String>,
    /// Writable and collected.
    outputs: Vec<String>,
    /// Whether the project can be changed, and where that goes.
    filesystem: Filesystem,
    /// What can be reached.
    network: Network,
    /// The profile of system calls: `default` or `strict`; a file cannot name another.
    syscalls: &'static str,
    /// How much of what the task does is on record.
    record: Record,
    env: BTreeMap<String, Value>,
    limits: Limits,
    /// The user's own policy, where there is one.
    policy: Option<LimitedBy>,
}

#[derive(Debug, Serialize)]
struct LimitedBy {
    file: String,
    /// By key, as they would be written there.
    ceilings: BTreeMap<&'static str, String>,
}

/// Where a variable's value comes from; the value itself is not shown.
#[derive(Debug, Serialize)]
#[serde(rename_all = "snake_case")]
enum Value {
    Given,
    Caller { name: String, set: bool },
}

pub(super) fn check(dir: &Path, asked: &Check) -> Result<u8> {
    let policy = Policy::of_the_user()?;
    let backend = backend::chosen(asked.backend, &policy)?;
    let load = || Settings::load(dir, asked.file.as_deref(), &Overrides::default(), &policy);
    let mut settings = load()?;
    if asked.pin && super::pin::pin(&settings, asked)? {
        settings = load()?;
    }
    backend::refuse_writing(&settings, backend)?;
    backend::refuse_network(&settings, backend)?;
    let layout = lay_out(&settings, None, &backend::own_folders())?;
    let mut granted = granted(&settings, &layout, &|name| std::env::var_os(name).is_some());
    granted.backend = backend.name();
    granted.image = root::resolved(&settings, backend);
    granted.pulls = granted.image.is_none() && matches!(settings.runtime.value, Runtime::Image(_));
    let text = if asked.json { serde_json::to_string_pretty(&granted)? + "\n" } else { describe(&granted) };
    if let Some(assumed) = settings.assumed() {
        anstream::eprintln!("aido: {assumed}");
    }
    match std::io::stdout().lock().write_all(text.as_bytes()) {
        Err(e) if e.kind() != std::io::ErrorKind::BrokenPipe => Err(e.into()),
        _ => Ok(0),
    }
}

fn granted(settings: &Settings, layout: &Layout, is_set: &dyn Fn(&str) -> bool) -> Granted {
    let outputs = layout.outputs.iter().map(|output| output.written());
    let value = |variable: &Variable| match variable {
        Variable::Literal(_) => Value::Given,
        Variable::From(from) => Value::Caller { name: from.clone(), set: is_set(from) },
    };
    Granted {
        version: CHECK_VERSION,
        file: settings.file.clone(),
        name: settings.name.clone(),
        runtime: settings.runtime.value.to_string(),
        backend: Backend::Linux.name(),
        image: None,
        pulls: false,
        ttl_ms: settings.ttl.as_millis(),
        grace_ms: settings.grace.as_millis(),
        inputs: layout.inputs.iter().map(written).collect(),
        hidden: layout.hidden(),
        secrets: layout.secrets.iter().map(|secret| secret.entry.path.clone()).collect(),
        outputs: [OUTPUTS.to_string()].into_iter().chain(outputs).collect(),
        filesystem: settings.filesystem,
        network: settings.network.clone(),
        syscalls: if settings.syscalls == SyscallProfile::Strict { "strict" } else { "default" },
        record: settings.record,
        env: settings.env.iter().map(|(name, told)| (name.clone(), value(&told.value))).collect(),
        limits: settings.limits.clone(),
        policy: limited_by(&settings.policy),
    }
}

fn limited_by(policy: &Policy) -> Option<LimitedBy> {
    let ceilings = policy.ceilings().into_iter().collect();
    policy.file.clone().map(|file| LimitedBy { file, ceilings })
}

fn written(entry: &Entry) -> String {
    match (entry.path.as_str(), entry.folder) {
        ("", _) => ".".to_string(),
        (path, true) => format!("{path}/"),
        (path, false) => path.to_string(),
    }
}

fn describe(granted: &Granted) -> String {
    let mut out = String::new();
    let _ = match &granted.file {
        Some(file) => writeln!(out, "{} is valid; a task in this sandbox", printable(file)),
        None => writeln!(out, "without a sandbox.yaml, a task"),
    };
    let ttl = show_duration(std::time::Duration::from_millis(u64::try_from(granted.ttl_ms).unwrap_or(u64::MAX)));
    paragraph(&mut out, "is called", std::slice::from_ref(&granted.name), "");
    let led_to = granted.image.as_ref().filter(|digest| !granted.runtime.ends_with(*digest));
    let led_to = led_to.map(|digest| format!("which is {digest} here"));
    let absent = granted.pulls.then(|| "which is not in the local store: the first run pulls it".to_string());
    let runs_in: Vec<String> = [granted.runtime.clone()].into_iter().chain(led_to).chain(absent).collect();
    paragraph(&mut out, "runs in", &runs_in, "");
    if granted.backend != Backend::Linux.name() {
        paragraph(&mut out, "on", &[granted.backend.to_string()], "");
    }
    paragraph(&mut out, "for at most", &[ttl], "");
    paragraph(&mut out, "sees", &granted.inputs, "nothing of the project");
    paragraph(&mut out, "but not", &granted.hidden, "");
    paragraph(&mut out, "is entrusted", &granted.secrets, "");
    paragraph(&mut out, "writes", &granted.outputs, "");
    if granted.filesystem == Filesystem::Overlay {
        let changes = "all that it sees, in a layer apart (overlay): nothing of it happens to the project";
        paragraph(&mut out, "changes", &[changes.to_string()], "");
    }
    paragraph(&mut out, "reaches", &granted.network.described(), "no network but its own loopback");
    if granted.syscalls == "strict" {
        paragraph(&mut out, "may call", &["what a plain script interpreter needs (strict)".to_string()], "");
    }
    let recorded = match granted.record {
        Record::Refusals => "what is refused only, and no program that is executed (refusals)",
        Record::Standard => "",
        Record::Full => "refused reads of files, too (full)",
    };
    paragraph(&mut out, "records", &[recorded.to_string()], "");
    paragraph(&mut out, "is limited to", &limits(&granted.limits), "");
    let env: Vec<String> = granted.env.iter().map(|(name, value)| variable(name, value)).collect();
    paragraph(&mut out, "is told", &env, "");
    if let Some(policy) = &granted.policy {
        let ceilings = policy.ceilings.iter().map(|(key, most)| format!("{key}: {most}"));
        let lines: Vec<String> = [format!("policy {}", policy.file)].into_iter().chain(ceilings).collect();
        paragraph(&mut out, "limited by", &lines, "");
    }
    out
}

/// A heading and its lines; `none` stands for no line, and an empty `none` leaves the paragraph out.
fn paragraph(out: &mut String, heading: &str, lines: &[String], none: &str) {
    let none = [none.to_string()];
    let shown = if lines.is_empty() { &none } else { lines };
    for (n, line) in shown.iter().take(LINES).enumerate().filter(|(_, line)| !line.is_empty()) {
        let heading = if n == 0 { heading } else { "" };
        let _ = writeln!(out, "  {heading:<14}{}", printable(line).replace('\n', " "));
    }
    if shown.len() > LINES {
        let _ = writeln!(out, "  {:<14}… and {} more; `--json` lists them", "", shown.len() - LINES);
    }
}

fn limits(limits: &Limits) -> Vec<String> {
    let line = |name: &str, limit: Limit, text: String| {
        let origin = if limit.origin == Origin::Default { " (default: held where this host can)" } else { "" };
        format!("{name} {text}{origin}")
    };
    vec![
        line("memory", limits.memory, show_bytes(limits.memory.value)),
        line("cpus", limits.cpus, show_processors(limits.cpus.value)),
        line("pids", limits.pids, limits.pids.value.to_string()),
        line("disk", limits.disk, show_bytes(limits.disk.value)),
        line("output", limits.output, show_bytes(limits.output.value)),
    ]
}

fn variable(name: &str, value: &Value) -> String {
    match value {
        Value::Given => name.to_string(),
        Value::Caller { name: from, set: true } => format!("{name} (from your {from})"),
        Value::Caller { name: from, set: false } => format!("{name} (from your {from}, which is not set now)"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inputs::Own;

    fn of(yaml: &str) -> Granted {
        let project = tempfile::tempdir().unwrap();
        for file in ["a.py", ".env", "data.csv"] {
            std::fs::write(project.path().join(file), "").unwrap();
        }
        let settings = Settings::from_text(yaml, "sandbox.yaml", project.path(), &Overrides::default()).unwrap();
        granted(&settings, &lay_out(&settings, None, &Own::default()).unwrap(), &|name| name == "SET")
    }

    #[test]
    fn the_text_names_everything_that_is_granted_and_no_value() {
        let yaml = "name: demo\nttl: 1h30m\noutputs: [out/]\nenv: {A: s3cret, B: {from: SET}, C: {from: UNSET}}\nresources: {memory: 512MiB, cpus: 1.5, pids: 9, disk: 1GiB, output: 1MiB}\n";
        assert_eq!(
            describe(&of(yaml)),
            "sandbox.yaml is valid; a task in this sandbox
  is called     demo
  runs in       host
  for at most   1h30m
  sees          .
  but not       .env
  writes        /outputs
                out/
  reaches       no network but its own loopback
  is limited to memory 512MiB
                cpus 1.5
                pids 9
                disk 1GiB
                output 1MiB
  is told       A
                B (from your SET)
                C (from your UNSET, which is not set now)
"
        );
    }

    #[test]
    fn a_narrower_profile_is_said() {
        assert!(!describe(&of("name: x")).contains("may call"));
        let strict = of("permissions: {syscalls: strict}");
        assert!(describe(&strict).contains("  may call      what a plain script interpreter needs (strict)\n"));
    }

    #[test]
    fn another_amount_of_record_is_said() {
        assert!(!describe(&of("record: standard")).contains("  records"));
        let less = describe(&of("record: refusals"));
        assert!(less.contains("  records       what is refused only"), "{less}");
    }

    #[test]
    fn what_a_tag_was_resolved_to_is_shown_once() {
        let digest = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        for (runtime, lines) in [("python:3.11".to_string(), 1), (format!("python:3.11@{digest}"), 1)] {
            let mut granted = of(&format!("runtime: {runtime}"));
            assert_eq!(describe(&granted).matches(digest).count(), usize::from(runtime.contains('@')));
            granted.pulls = true;
            assert!(describe(&granted).contains("not in the local store"));
            granted.pulls = false;
            granted.image = Some(digest.to_string());
            assert_eq!(describe(&granted).matches(digest).count(), lines, "{}", describe(&granted));
        }
    }

    #[test]
    fn the_policy_and_its_ceilings_are_named() {
        use std::os::unix::fs::PermissionsExt;
        let config = tempfile::tempdir().unwrap();
        let folder = config.path().join("aido");
        std::fs::create_dir(&folder).unwrap();
        std::fs::write(folder.join("policy.yaml"), "ttl: 5m\nresources: {memory: 1GiB}\nenv: []\n").unwrap();
        for (path, mode) in [(folder.clone(), 0o755), (folder.join("policy.yaml"), 0o644)] {
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
        }
        let mut granted = of("name: x");
        assert!(!describe(&granted).contains("limited by"));
        granted.policy = limited_by(&Policy::load(config.path()).unwrap());
        let shown = describe(&granted);
        let lines = "                env: none\n                memory: 1GiB\n                ttl: 5m\n";
        let policy = folder.join("policy.yaml").display().to_string();
        assert!(shown.ends_with(&format!("  limited by    policy {policy}\n{lines}")), "{shown}");
    }

    #[test]
    fn the_json_is_versioned_and_holds_no_value() {
        let granted = of("inputs: [data.csv]\nenv: {A: s3cret}\n");
        let json: serde_json::Value = serde_json::to_value(&granted).unwrap();
        assert_eq!((&json["version"], &json["network"]["any"]), (&2.into(), &false.into()));
        assert_eq!(json["inputs"], serde_json::json!(["data.csv"]));
        assert_eq!(json["limits"]["memory"]["origin"], "default");
        assert!(!json.to_string().contains("s3cret"));
        assert!(describe(&of("inputs: []")).contains("sees          nothing of the project"));
    }
}
