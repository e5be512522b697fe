//! A `sandbox.yaml` that allows more: one key of it, with all that is to stand there.

use super::asked::Asked;
use super::bound::{self, Bound};
use super::error::{At, Result, Told};
use super::{Policy, schema, yaml};

/// Something to be added to what was asked for, or to be put in its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Edit {
    /// A file or folder of the project, by its exact path.
    Input(String),
    /// A file of the project, whose content the record must not have.
    Secret(String),
    /// As it is written: with a final slash for a folder.
    Output(String),
    Resource(Resource, u64),
    /// Seconds.
    Ttl(u64),
    Runtime(String),
    /// A host, by its name, on the usual ports.
    Host(String),
    /// A profile of aido's own.
    Syscalls(&'static str),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Resource {
    Memory,
    Pids,
    Disk,
    Output,
}

impl Resource {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Resource::Memory => "memory",
            Resource::Pids => "pids",
            Resource::Disk => "disk",
            Resource::Output => "output",
        }
    }

    fn bound(self) -> &'static Bound {
        match self {
            Resource::Memory => &bound::MEMORY,
            Resource::Pids => &bound::PIDS,
            Resource::Disk => &bound::DISK,
            Resource::Output => &bound::OUTPUT,
        }
    }

    pub(crate) fn show(self, value: u64) -> String {
        (self.bound().show)(value)
    }

    /// So much of what is wanted as can be asked for, with the user's policy.
    pub(crate) fn at_most(self, wanted: u64, policy: &Policy) -> u64 {
        let ceiling = match self {
            Resource::Memory => &policy.memory,
            Resource::Pids => &policy.pids,
            Resource::Disk => &policy.disk,
            Resource::Output => &policy.output,
        };
        self.bound().at_most(wanted, ceiling.as_ref())
    }
}

/// The same for a time limit in seconds.
pub(crate) fn ttl_at_most(wanted: u64, policy: &Policy) -> u64 {
    bound::TIME.at_most(wanted, policy.ttl.as_ref())
}

/// The time limit in seconds that a `sandbox.yaml` asks for.
pub(crate) fn asked_ttl(text: &str) -> Option<u64> {
    let asked = schema::read(yaml::read(text, super::FILE).ok()?).ok()?;
    bound::TIME.read(&asked.ttl?).ok().map(|told| told.value)
}

impl Edit {
    /// The key at the left margin that it belongs to.
    pub(crate) fn key(&self) -> &'static str {
        match self {
            Edit::Input(_) => "inputs",
            Edit::Secret(_) => "secrets",
            Edit::Output(_) => "outputs",
            Edit::Resource(..) => "resources",
            Edit::Ttl(_) => "ttl",
            Edit::Runtime(_) => "runtime",
            Edit::Host(_) | Edit::Syscalls(_) => "permissions",
        }
    }

    /// The option of `aido run` that does the same, for once.
    pub(crate) fn option(&self) -> String {
        let word =
            |option: &str, value: &str| format!("--{option} {}", crate::words::command_line(&[value.to_string()]));
        match self {
            Edit::Input(path) => word("input", path),
            Edit::Secret(path) => word("secret-file", path),
            Edit::Output(path) => word("output", path),
            Edit::Resource(Resource::Output, _) => String::new(),
            Edit::Resource(resource, value) => word(resource.name(), &resource.show(*value)),
            Edit::Ttl(seconds) => word("ttl", &(bound::TIME.show)(*seconds)),
            Edit::Runtime(name) => word("runtime", name),
            Edit::Host(name) => word("allow-host", name),
            Edit::Syscalls(name) => word("syscalls", name),
        }
    }
}

/// The line that allows all of these, which share a key, beside what this `sandbox.yaml` has there. It takes the place of
/// the key's own line, or is added where there is none.
pub(crate) fn line(text: &str, edits: &[Edit]) -> Result<String> {
    let mut asked = schema::read(yaml::read(text, super::FILE)?)?;
    let key = edits.first().map_or("", Edit::key);
    edits.iter().filter(|edit| edit.key() == key).for_each(|edit| apply(edit, &mut asked));
    let value = match key {
        "inputs" => list(asked.inputs.as_deref().unwrap_or_default()),
        "secrets" => list(&asked.secrets),
        "outputs" => list(&asked.outputs),
        "resources" => resources(&asked),
        "ttl" => quantity(&asked.ttl),
        "runtime" => scalar(&asked.runtime),
        _ => permissions(&asked),
    };
    Ok(format!("{key}: {value}"))
}

fn apply(edit: &Edit, asked: &mut Asked) {
    let told = |text: String| Told::new(text, At::Nowhere);
    let add = |list: &mut Vec<Told<String>>, text: &str| {
        if !list.iter().any(|told| told.value == text) {
            list.push(told(text.to_string()));
        }
    };
    match edit {
        Edit::Input(path) => {
            // Without the key it is the whole project.
            let inputs = asked.inputs.get_or_insert_with(|| vec![told(".".to_string())]);
            add(inputs, &as_pattern(path));
        }
        Edit::Secret(path) => add(&mut asked.secrets, path),
        Edit::Output(path) => add(&mut asked.outputs, path),
        Edit::Resource(resource, value) => {
            let value = Some(told(resource.show(*value)));
            match resource {
                Resource::Memory => asked.resources.memory = value,
                Resource::Pids => asked.resources.pids = value,
                Resource::Disk => asked.resources.disk = value,
                Resource::Output => asked.resources.output = value,
            }
        }
        Edit::Ttl(seconds) => asked.ttl = Some(told((bound::TIME.show)(*seconds))),
        Edit::Runtime(name) => asked.runtime = Some(told(name.clone())),
        Edit::Host(name) => {
            if let Ok(host) = super::network::typed(name) {
                asked.network.hosts.push(host);
            }
        }
        Edit::Syscalls(name) => asked.syscalls = Some(told(name.to_string())),
    }
}

/// A path as a pattern that means nothing else.
fn as_pattern(path: &str) -> String {
    let mut pattern = String::with_capacity(path.len());
    for c in path.chars() {
        if ['*', '?', '[', ']', '{', '}', '\\'].contains(&c) {
            pattern.push('\\');
        }
        pattern.push(c);
    }
    pattern
}

/// What is no default there.
fn permissions(asked: &Asked) -> String {
    let network = (asked.network != super::Network::default()).then(|| format!("network: {}", asked.network.to_yaml()));
    let told = |key: &str, told: &Option<Told<String>>| told.as_ref().map(|_| format!("{key}: {}", scalar(told)));
    let filesystem = told("filesystem", &asked.filesystem).filter(|line| line != "filesystem: readonly");
    let keys = [filesystem, network, told("syscalls", &asked.syscalls)];
    format!("{{{}}}", keys.into_iter().flatten().collect::<Vec<_>>().join(", "))
}

fn resources(asked: &Asked) -> String {
    let r = &asked.resources;
    let all = [("memory", &r.memory), ("cpus", &r.cpus), ("pids", &r.pids), ("disk", &r.disk), ("output", &r.output)];
    let given = all.iter().filter(|(_, value)| value.is_some());
    let given: Vec<String> = given.map(|(key, value)| format!("{key}: {}", quantity(value))).collect();
    format!("{{{}}}", given.join(", "))
}

fn list(items: &[Told<String>]) -> String {
    let items: Vec<String> = items.iter().map(|told| plain(&told.value)).collect();
    format!("[{}]", items.join(", "))
}

fn scalar(told: &Option<Told<String>>) -> String {
    told.as_ref().map(|told| plain(&told.value)).unwrap_or_default()
}

/// A text as YAML: in quotes wherever it could be taken for something else.
fn plain(text: &str) -> String {
    let harmless = |c: char| c.is_ascii_alphanumeric() || "._/-".contains(c);
    let begins = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '.' || c == '_');
    let words = ["true", "false", "null", "yes", "no", "on", "off", "y", "n", ".nan", ".inf"];
    let word = words.iter().any(|word| text.eq_ignore_ascii_case(word));
    let number = text.starts_with('.') && text.chars().nth(1).is_some_and(|c| c.is_ascii_digit());
    let plain = begins && text.chars().all(harmless) && !word && !number;
    if plain { text.to_string() } else { quoted(text) }
}

/// A quantity: a number is meant as one.
fn quantity(told: &Option<Told<String>>) -> String {
    let text = told.as_ref().map(|told| told.value.as_str()).unwrap_or_default();
    let begins = text.starts_with(|c: char| c.is_ascii_digit());
    let plain =
        begins && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '.') && !text.contains(['e', 'E', 'x', 'o']);
    if plain { text.to_string() } else { quoted(text) }
}

/// A JSON string is a double-quoted YAML string.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::{Overrides, Settings};
    use proptest::prelude::*;

    fn said(text: &str, edits: &[Edit]) -> String {
        line(text, edits).unwrap()
    }

    #[test]
    fn a_line_holds_what_was_there_and_what_is_new() {
        let input = |path: &str| Edit::Input(path.into());
        let output = |path: &str| Edit::Output(path.into());
        assert_eq!(said("", &[output("results/")]), "outputs: [results/]");
        assert_eq!(said("outputs: [a.log]\nttl: 5m\n", &[output("r/"), output("b")]), "outputs: [a.log, r/, b]");
        assert_eq!(said("outputs: [r/]\n", &[output("r/")]), "outputs: [r/]");
        assert_eq!(said("name: x\n", &[input(".env")]), "inputs: [., .env]");
        assert_eq!(said("inputs: []\n", &[input(".env")]), "inputs: [.env]");
        assert_eq!(
            said("inputs: ['a b', 'c/*.json']\n", &[input("d[1]")]),
            r#"inputs: ["a b", "c/*.json", "d\\[1\\]"]"#
        );
        let memory = Edit::Resource(Resource::Memory, 1 << 30);
        assert_eq!(said("resources: {pids: 9, memory: 4MiB}\n", &[memory]), "resources: {memory: 1GiB, pids: 9}");
        assert_eq!(said("", &[Edit::Ttl(1800)]), "ttl: 30m");
        assert_eq!(said("runtime: host\n", &[Edit::Runtime("node:22".into())]), "runtime: \"node:22\"");
        assert_eq!(
            said("permissions: {syscalls: strict}", &[Edit::Syscalls("default")]),
            "permissions: {syscalls: default}"
        );
        assert_eq!(
            said("permissions: {filesystem: overlay, network: [a.example]}", &[Edit::Host("b.example".into())]),
            "permissions: {filesystem: overlay, network: [a.example, b.example]}"
        );
        assert_eq!(Edit::Host("b.example".into()).option(), "--allow-host b.example");
        assert_eq!(Edit::Output("a b/".into()).option(), "--output 'a b/'");
    }

    proptest! {
        #[test]
        fn every_line_is_a_valid_configuration_that_reads_back(
            texts in prop::collection::vec("\\PC{1,12}|[.~]?[0-9a-z]{1,4}|true|~|0x1f|1_0|-1|[-?:] a|\\.5|on", 1..4),
        ) {
            let texts: Vec<String> = texts.into_iter().filter(|t| !t.contains('\0')).collect();
            let edits: Vec<Edit> = texts.iter().map(|text| Edit::Output(text.clone())).collect();
            if let Some(line) = (!edits.is_empty()).then(|| said("", &edits)) {
                let project = tempfile::tempdir().unwrap();
                let settings = Settings::from_text(&line, "x", project.path(), &Overrides::default());
                let read: Vec<String> = settings.map_err(|e| e.to_string()).unwrap().outputs.into_iter().map(|t| t.value).collect();
                let mut once: Vec<String> = Vec::new();
                texts.into_iter().for_each(|text| if !once.contains(&text) { once.push(text) });
                prop_assert_eq!(read, once);
            }
        }
    }
}
