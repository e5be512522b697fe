//! `sandbox.yaml`: its keys, and what may stand there.

use super::asked::{Asked, Resources, Variable};
use super::error::{At, Error, Result, Told};
use super::keys::{self, PERMISSIONS, RESOURCES, SANDBOX};
use super::network::{self, Network};
use super::suggest::nearest;
use super::yaml::{Node, Value};
use std::collections::BTreeMap;

/// The other file of this kind.
pub(super) const POLICY: &str = "policy.yaml";

/// Access that people would like to grant by a key of its own, and that this version has no means to hold.
const FOREIGN: [&str; 17] = [
    "aws",
    "azure",
    "gcp",
    "google",
    "kubernetes",
    "k8s",
    "kubectl",
    "docker",
    "podman",
    "ssh",
    "github",
    "gitlab",
    "vault",
    "credentials",
    "database",
    "devices",
    "capabilities",
];
const ENFORCED: &str = "this version enforces `filesystem: readonly` or `overlay`, and what `network` names";

/// Checks the document's shape; values stay text.
pub(super) fn read(document: Node) -> Result<Asked> {
    if matches!(document.value, Value::Null) {
        return Ok(Asked::default());
    }
    let mut top = Section::new(document, "sandbox.yaml", &keys::names(SANDBOX))?;
    let permissions = top.take("permissions").map(permissions).transpose()?.unwrap_or_default();
    Ok(Asked {
        name: top.take("name").map(|n| n.text("name")).transpose()?,
        runtime: top.take("runtime").map(|n| n.text("runtime")).transpose()?,
        runtime_typed: false,
        ttl: top.take("ttl").map(|n| n.quantity("ttl")).transpose()?,
        inputs: top.take("inputs").map(|n| n.texts("inputs")).transpose()?,
        outputs: top.take("outputs").map(|n| n.texts("outputs")).transpose()?.unwrap_or_default(),
        secrets: top.take("secrets").map(|n| n.texts("secrets")).transpose()?.unwrap_or_default(),
        filesystem: permissions.filesystem,
        network: permissions.network,
        syscalls: permissions.syscalls,
        record: top.take("record").map(|n| n.text("record")).transpose()?,
        env: top.take("env").map(env).transpose()?.unwrap_or_default(),
        resources: top.take("resources").map(resources).transpose()?.unwrap_or_default(),
    })
}

/// What is granted, as it was written.
#[derive(Default)]
struct Permissions {
    filesystem: Option<Told<String>>,
    network: Network,
    syscalls: Option<Told<String>>,
}

fn permissions(node: Node) -> Result<Permissions> {
    let mut section = Section::new(node, "permissions", &keys::names(PERMISSIONS))?;
    let filesystem = section.take("filesystem").map(|node| node.text("permissions.filesystem")).transpose()?;
    let network = section.take("network").map(network::read).transpose()?.unwrap_or_default();
    let syscalls = section.take("syscalls").map(|node| node.text("permissions.syscalls")).transpose()?;
    Ok(Permissions { filesystem, network, syscalls })
}

fn env(node: Node) -> Result<BTreeMap<String, Told<Variable>>> {
    let mut env = BTreeMap::new();
    for (key, node) in Section::any(node, "env")?.entries {
        super::variable::check_name(&key.value).map_err(|what| Error::new(key.at.clone(), what))?;
        let at = node.at.clone();
        let value = match node.value {
            Value::Map(_) => {
                let mut section = Section::new(node, "env", &["from"])?;
                let Some(from) = section.take("from") else {
                    return Err(Error::new(at, format!("`{}` has no value", key.value)).remedy("write {from: NAME}"));
                };
                let from = from.text("from")?;
                super::variable::check_name(&from.value).map_err(|what| Error::new(from.at.clone(), what))?;
                Variable::From(from.value)
            }
            _ => Variable::Literal(node.text(&key.value)?.value),
        };
        env.insert(key.value, Told::new(value, at));
    }
    Ok(env)
}

fn resources(node: Node) -> Result<Resources> {
    let mut section = Section::new(node, "resources", &keys::names(RESOURCES))?;
    let mut take = |key: &str| section.take(key).map(|n| n.quantity(key)).transpose();
    Ok(Resources {
        memory: take("memory")?,
        cpus: take("cpus")?,
        pids: take("pids")?,
        disk: take("disk")?,
        output: take("output")?,
    })
}

/// A mapping of which every key is known and stands there once.
pub(super) struct Section {
    entries: Vec<(Told<String>, Node)>,
}

impl Section {
    pub(super) fn new(node: Node, name: &str, known: &[&str]) -> Result<Section> {
        let section = Section::any(node, name)?;
        for (key, _) in &section.entries {
            if !known.contains(&key.value.as_str()) {
                return Err(unknown(key, name, known));
            }
        }
        Ok(section)
    }

    /// Whatever its keys are called.
    pub(super) fn any(node: Node, name: &str) -> Result<Section> {
        let kind = node.kind();
        let Value::Map(entries) = node.value else {
            return Err(Error::new(node.at, format!("`{name}` is a mapping of keys to values, not {kind}"))
                .remedy("write a key before each value, as in `ttl: 5m`"));
        };
        let mut seen: BTreeMap<&str, &At> = BTreeMap::new();
        for (key, _) in &entries {
            if let Some(first) = seen.insert(&key.value, &key.at) {
                let place =
                    if let At::Place(p) = first { format!(" (first in line {})", p.line) } else { String::new() };
                return Err(Error::new(key.at.clone(), format!("the key `{}` is given twice{place}", key.value)));
            }
        }
        Ok(Section { entries })
    }

    pub(super) fn into_entries(self) -> Vec<(Told<String>, Node)> {
        self.entries
    }

    pub(super) fn take(&mut self, key: &str) -> Option<Node> {
        let index = self.entries.iter().position(|(k, _)| k.value == key)?;
        Some(self.entries.swap_remove(index).1)
    }
}

fn unknown(key: &Told<String>, section: &str, known: &[&str]) -> Error {
    let name = &key.value;
    if (section == "permissions" || section == "sandbox.yaml") && FOREIGN.contains(&name.to_lowercase().as_str()) {
        let what = format!("`{name}` is a permission that this version cannot enforce, so it is refused");
        return Error::new(key.at.clone(), what).remedy(format!("remove it; {ENFORCED}"));
    }
    if section == "sandbox.yaml" && ["backend", "engine"].contains(&name.as_str()) {
        let what = format!("`{name}`: a file may not choose the engine that runs it");
        return Error::new(key.at.clone(), what).remedy(
            "remove it; the engine is chosen by `--backend`, AIDO_BACKEND or `backend` in your own policy.yaml",
        );
    }
    let known_list = format!("the keys here are: {}", known.join(", "));
    if let Some(meant) = nearest(name, known.iter().copied()) {
        return Error::new(key.at.clone(), format!("unknown key `{name}`; did you mean `{meant}`?")).remedy(known_list);
    }
    let homes = [("resources", RESOURCES), ("permissions", PERMISSIONS), ("sandbox.yaml", SANDBOX)];
    // A policy shares one section with a sandbox.yaml.
    let homes = if section == POLICY { &homes[..1] } else { &homes[..] };
    let home = homes.iter().find(|(home, keys)| *home != section && keys::names(keys).contains(&name.as_str()));
    let remedy = match home {
        Some(("sandbox.yaml", _)) => format!("`{name}` belongs at the left margin, not under `{section}:`"),
        Some((home, _)) => format!("`{name}` belongs under `{home}:`"),
        None => known_list,
    };
    Error::new(key.at.clone(), format!("unknown key `{name}`")).remedy(remedy)
}

impl Node {
    fn kind(&self) -> &'static str {
        match self.value {
            Value::Null => "nothing",
            Value::Bool(_) => "a truth value",
            Value::Number(_) => "a number",
            Value::Text(_) => "a text",
            Value::List(_) => "a list",
            Value::Map(_) => "a mapping",
        }
    }

    pub(super) fn text(self, key: &str) -> Result<Told<String>> {
        let kind = self.kind();
        let quote = match &self.value {
            Value::Text(_) => None,
            Value::Number(n) => Some(n.clone()),
            Value::Bool(b) => Some(b.to_string()),
            _ => None,
        };
        match self.value {
            Value::Text(text) if text.contains('\0') => {
                Err(Error::new(self.at, format!("`{key}` contains a NUL character")))
            }
            Value::Text(text) => Ok(Told::new(text, self.at)),
            Value::Null => Err(self.empty(key)),
            _ => {
                let error = Error::new(self.at, format!("`{key}` is a text, and this is {kind}"));
                Err(match quote {
                    Some(word) => error.remedy(format!("put it in quotes: \"{word}\"")),
                    None => error,
                })
            }
        }
    }

    /// A text or a number, as text.
    pub(super) fn quantity(self, key: &str) -> Result<Told<String>> {
        match self.value {
            Value::Number(number) => Ok(Told::new(number, self.at)),
            _ => self.text(key),
        }
    }

    pub(super) fn texts(self, key: &str) -> Result<Vec<Told<String>>> {
        let kind = self.kind();
        match self.value {
            Value::List(items) => items.into_iter().map(|item| item.text(key)).collect(),
            Value::Null => Err(self.empty(key)),
            Value::Text(text) => Err(Error::new(self.at, format!("`{key}` is a list, and this is {kind}"))
                .remedy(format!("write it in brackets: [{text}]"))),
            _ => Err(Error::new(self.at, format!("`{key}` is a list of texts, and this is {kind}"))),
        }
    }

    fn empty(self, key: &str) -> Error {
        let remedy = if ["inputs", "outputs", "secrets", "runtimes", "backends"].contains(&key) {
            format!("write `{key}: []` for none, or remove the key")
        } else {
            "give it a value, or remove the key".to_string()
        };
        Error::new(self.at, format!("`{key}` has no value")).remedy(remedy)
    }
}
