//! The user's own policy: what no `sandbox.yaml` and no option may go beyond.

use super::bound::{self, Bound};
use super::error::{At, Error, Result, Told};
use super::keys;
use super::schema::{POLICY, Section};
use super::yaml::{self, Node, Value};
use super::{Backend, Host, Network, Runtime, Variable, file};
use aido_runtime::Isolation;
use std::path::{Component, Path, PathBuf};

mod reach;

/// Version of the file. 1: first.
const VERSION: &str = "1";
/// Ceilings, each with the place where the user wrote it. What is absent has none.
#[derive(Clone, Debug, Default)]
pub struct Policy {
    /// What messages call the file; `None` where there is none.
    pub file: Option<String>,
    /// In seconds.
    pub(super) ttl: Option<Told<u64>>,
    pub(super) memory: Option<Told<u64>>,
    pub(super) cpus: Option<Told<u64>>,
    pub(super) pids: Option<Told<u64>>,
    pub(super) disk: Option<Told<u64>>,
    pub(super) output: Option<Told<u64>>,
    runtimes: Option<Patterns>,
    env: Option<Patterns>,
    /// The engine that is meant where none is named.
    backend: Option<Told<Backend>>,
    backends: Option<Backends>,
    /// Whether a task may be let to change a project itself.
    mutations: Option<Told<bool>>,
    /// Hosts that tasks may reach at most.
    network: Option<reach::Reach>,
}

/// The engines that runs may use.
#[derive(Clone, Debug)]
struct Backends {
    at: At,
    list: Vec<Backend>,
}

#[derive(Clone, Debug)]
struct Patterns {
    at: At,
    list: Vec<String>,
}

impl Policy {
    /// The policy of whoever runs this; no file is no ceiling. One that cannot be read is an error.
    pub fn of_the_user() -> Result<Policy> {
        config_home().map_or_else(|| Ok(Policy::default()), |config| Policy::load(&config))
    }

    /// `aido/policy.yaml` in this folder of configurations.
    pub fn load(config: &Path) -> Result<Policy> {
        let path = config.join("aido").join(POLICY);
        match file::read_own(&path)? {
            Some(text) => Policy::parse(&text, &path.display().to_string()),
            None => Ok(Policy::default()),
        }
    }

    /// `shown` is what messages call the text.
    pub(crate) fn parse(text: &str, shown: &str) -> Result<Policy> {
        let mut policy = Policy { file: Some(shown.to_string()), ..Policy::default() };
        let document = yaml::read(text, shown)?;
        if matches!(document.value, Value::Null) {
            return Ok(policy);
        }
        let mut top = Section::new(document, POLICY, &keys::names(keys::POLICY))?;
        top.take("version").map(version).transpose()?;
        policy.ttl = ceiling(&mut top, "ttl", &bound::TIME)?;
        policy.runtimes = top.take("runtimes").map(|node| patterns(node, "runtimes")).transpose()?;
        policy.env = top.take("env").map(|node| patterns(node, "env")).transpose()?;
        policy.backends = top.take("backends").map(backends).transpose()?;
        if let Some(node) = top.take("backend") {
            let told = backend(node.text("backend")?)?;
            policy.check_backend(&told)?;
            policy.backend = Some(told);
        }
        policy.mutations = top.take("mutations").map(yes_or_no).transpose()?;
        policy.network = top.take("network").map(reach::read).transpose()?;
        if let Some(node) = top.take("resources") {
            let mut section = Section::new(node, "resources", &keys::names(keys::RESOURCES))?;
            policy.memory = ceiling(&mut section, "memory", &bound::MEMORY)?;
            policy.cpus = ceiling(&mut section, "cpus", &bound::CPUS)?;
            policy.pids = ceiling(&mut section, "pids", &bound::PIDS)?;
            policy.disk = ceiling(&mut section, "disk", &bound::DISK)?;
            policy.output = ceiling(&mut section, "output", &bound::OUTPUT)?;
        }
        Ok(policy)
    }

    /// Whether tasks may run in this root. Paths are seen from `project`.
    pub(super) fn check_runtime(&self, told: &Told<Runtime>, project: &Path) -> Result<()> {
        let Some(allowed) = &self.runtimes else { return Ok(()) };
        let runtime = &told.value;
        if names_of(runtime, project).iter().any(|name| allowed.matches(name)) {
            return Ok(());
        }
        let default = if told.at == At::Nowhere { ", which is meant where none is named," } else { "" };
        let what = format!(
            "the runtime `{runtime}`{default} is none that your policy allows ({}): {}",
            allowed.at.spot(),
            allowed.shown()
        );
        Err(Error::new(told.at.clone(), what).remedy(match told.at {
            At::Flag(_) => "name one of these, or add it to your policy: it binds what you type too",
            At::Nowhere => "name one with `runtime:` or `--runtime`, or add this one to your policy",
            _ => "name one of these, or add it to your policy",
        }))
    }

    /// The engine that a run uses: the one that was named, else the user's own, else what is usual on this platform.
    pub fn backend(&self, named: Option<Told<Backend>>, usual: Backend) -> Result<Backend> {
        let told = named.or_else(|| self.backend.clone()).unwrap_or(Told::new(usual, At::Nowhere));
        self.check_backend(&told).map(|()| told.value)
    }

    fn check_backend(&self, told: &Told<Backend>) -> Result<()> {
        let Some(allowed) = self.backends.as_ref().filter(|allowed| !allowed.list.contains(&told.value)) else {
            return Ok(());
        };
        let default = if told.at == At::Nowhere { ", which is meant where none is named," } else { "" };
        let (spot, list) = (allowed.at.spot(), allowed.shown());
        let what = format!("the backend `{}`{default} is none that your policy allows ({spot}): {list}", told.value);
        Err(Error::new(told.at.clone(), what).remedy("name one of these, or add it to `backends` in your policy"))
    }

    /// Whether a task may be let to change the project itself, kept apart like this.
    pub(super) fn check_mutations(&self, isolation: Isolation) -> Result<()> {
        let at = At::Flag("--dangerous-allow-mutations".to_string());
        if let Some(told) = self.mutations.as_ref().filter(|told| !told.value) {
            let what = format!("your policy forbids tasks to change a project itself ({})", told.at.spot());
            return Err(
                Error::new(at, what).remedy("`--filesystem overlay`, and `aido apply` for what is wanted of it")
            );
        }
        if isolation != Isolation::Full {
            let what = "without namespaces nothing in the project could be kept from a task that may change it";
            return Err(Error::new(at, what).remedy("leave `--isolation landlock` away where this host allows it"));
        }
        Ok(())
    }

    /// Whether tasks may reach all of this.
    pub(super) fn check_network(&self, network: &Network) -> Result<()> {
        self.network.as_ref().map_or(Ok(()), |most| most.check(network))
    }

    /// Whether the user has said, by the host's very name, that a task may have what a file alone must not give it: ways to
    /// addresses that are not public, and the user's own credentials. What was typed is such a word, and so is this policy.
    pub(crate) fn check_consent(&self, network: &Network) -> Result<()> {
        let typed = |at: &At| matches!(at, At::Flag(_));
        let named = |host: &str| self.network.as_ref().is_some_and(|most| most.names(host));
        let said = |told: &Told<Host>| told.value.consented || typed(&told.at) || named(&told.value.host);
        let lacks = |told: &&Told<Host>| told.value.gives_away() && !said(told);
        let lacking = network.hosts.iter().find(lacks);
        let Some(told) = lacking else { return Ok(()) };
        let Host { host, inject, .. } = &told.value;
        let what = match inject {
            Some(inject) => format!("a file alone may not send your `{}` to `{host}`", inject.from),
            None => format!("a file alone may not open private addresses to a task, as it does by `{host}`"),
        };
        Err(Error::new(told.at.clone(), what)
            .remedy(format!("type `--allow-host {host}` if it is meant, or name `{host}` in `network` in your policy")))
    }

    /// Whether a file may hand this variable to a task. What was typed is the user's own word.
    pub(super) fn check_variable(&self, name: &str, told: &Told<Variable>) -> Result<()> {
        let (Some(allowed), Variable::From(from)) = (&self.env, &told.value) else { return Ok(()) };
        if matches!(told.at, At::Flag(_)) || allowed.matches(from) {
            return Ok(());
        }
        let what = format!(
            "a file may not pass your variable `{from}` on: your policy allows ({}): {}",
            allowed.at.spot(),
            allowed.shown()
        );
        let typed = if name == from { format!("type `-e {name}`") } else { format!("type `-e {name}=…`") };
        Err(Error::new(told.at.clone(), what)
            .remedy(format!("{typed} if the task may have it, or add it to your policy")))
    }

    /// Every ceiling by its key, written as in the file.
    pub fn ceilings(&self) -> Vec<(&'static str, String)> {
        let measured = [
            ("ttl", &self.ttl, &bound::TIME),
            ("memory", &self.memory, &bound::MEMORY),
            ("cpus", &self.cpus, &bound::CPUS),
            ("pids", &self.pids, &bound::PIDS),
            ("disk", &self.disk, &bound::DISK),
            ("output", &self.output, &bound::OUTPUT),
        ];
        let measured =
            measured.into_iter().filter_map(|(key, ceiling, bound)| Some((key, (bound.show)(ceiling.as_ref()?.value))));
        let lists = [("runtimes", &self.runtimes), ("env", &self.env)];
        let lists = lists.into_iter().filter_map(|(key, list)| Some((key, list.as_ref()?.shown())));
        let engines = [
            ("backend", self.backend.as_ref().map(|told| told.value.to_string())),
            ("backends", self.backends.as_ref().map(Backends::shown)),
            ("network", self.network.as_ref().map(reach::Reach::shown)),
            ("mutations", self.mutations.as_ref().map(|told| told.value.to_string())),
        ];
        let engines = engines.into_iter().filter_map(|(key, shown)| Some((key, shown?)));
        measured.chain(lists).chain(engines).collect()
    }
}

pub(super) fn version(node: Node) -> Result<()> {
    let told = node.quantity("version")?;
    if told.value == VERSION {
        return Ok(());
    }
    let what = format!("version {} of the policy is not known here", told.value);
    Err(Error::new(told.at, what).remedy(format!("this aido reads version {VERSION}")))
}

fn ceiling(section: &mut Section, key: &str, bound: &Bound) -> Result<Option<Told<u64>>> {
    section.take(key).map(|node| bound.read(&node.quantity(key)?)).transpose()
}

fn patterns(node: Node, key: &str) -> Result<Patterns> {
    let at = node.at.clone();
    let texts = node.texts(key)?;
    match texts.iter().find(|told| told.value.is_empty()) {
        Some(told) => Err(Error::new(told.at.clone(), "an empty pattern stands for nothing")),
        None => Ok(Patterns { at, list: texts.into_iter().map(|told| told.value).collect() }),
    }
}

fn yes_or_no(node: Node) -> Result<Told<bool>> {
    match node.value {
        Value::Bool(value) => Ok(Told::new(value, node.at)),
        _ => Err(Error::new(node.at, "`mutations` is `true` or `false`")),
    }
}

fn backend(told: Told<String>) -> Result<Told<Backend>> {
    let known = told.value.parse().map_err(|what: String| Error::new(told.at.clone(), what))?;
    Ok(Told::new(known, told.at))
}

fn backends(node: Node) -> Result<Backends> {
    let at = node.at.clone();
    let list: Result<Vec<Backend>> = node.texts("backends")?.into_iter().map(|told| Ok(backend(told)?.value)).collect();
    Ok(Backends { at, list: list? })
}

impl Backends {
    fn shown(&self) -> String {
        let names: Vec<&str> = self.list.iter().map(|backend| backend.name()).collect();
        if names.is_empty() { "none".to_string() } else { names.join(", ") }
    }
}

impl Patterns {
    fn matches(&self, name: &str) -> bool {
        self.list.iter().any(|pattern| fits(pattern, name))
    }

    fn shown(&self) -> String {
        if self.list.is_empty() { "none".to_string() } else { self.list.join(", ") }
    }
}

/// `*` stands for any characters but a slash, so that `python:*` is no registry called `python`; `**` for any at all; `?`
/// for one that is no slash. Brackets are what they are: addresses have them. Takes no more than both lengths multiplied.
fn fits(pattern: &str, text: &str) -> bool {
    let text: Vec<char> = text.chars().collect();
    // For each number of characters, whether the pattern so far stands for just these.
    let mut reached = vec![false; text.len() + 1];
    reached[0] = true;
    let mut pattern = pattern.chars().peekable();
    while let Some(mark) = pattern.next() {
        let crosses = mark == '*' && pattern.next_if_eq(&'*').is_some();
        let mut next = vec![false; reached.len()];
        next[0] = mark == '*' && reached[0];
        for (n, c) in text.iter().enumerate() {
            next[n + 1] = match mark {
                '*' => reached[n + 1] || (next[n] && (crosses || *c != '/')),
                '?' => reached[n] && *c != '/',
                mark => reached[n] && *c == mark,
            };
        }
        reached = next;
    }
    reached[text.len()]
}

/// The texts that a pattern may match: as it was written, and for an absolute path in the project as one relative to it.
/// A path that climbs is not where it seems to be, and has no name.
fn names_of(runtime: &Runtime, project: &Path) -> Vec<String> {
    let Some(path) = runtime.path() else { return vec![runtime.to_string()] };
    if path.components().any(|part| matches!(part, Component::ParentDir)) {
        return Vec::new();
    }
    let mut names = vec![runtime.to_string()];
    if let Ok(inner) = path.strip_prefix(project) {
        names.push(runtime.at(inner.to_path_buf()).to_string());
    }
    names
}

/// The folder of the user's configurations.
pub(super) fn config_home() -> Option<PathBuf> {
    let folder = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    folder("XDG_CONFIG_HOME").or_else(|| folder("HOME").or_else(home).map(|home| home.join(".config")))
}

/// Where `HOME` says nothing, the list of users does.
#[cfg(unix)]
fn home() -> Option<PathBuf> {
    nix::unistd::User::from_uid(nix::unistd::geteuid()).ok().flatten().map(|user| user.dir)
}

#[cfg(not(unix))]
fn home() -> Option<PathBuf> {
    None
}

#[cfg(test)]
mod tests;
