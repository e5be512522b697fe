//! From what was asked to settings: values are parsed, bounds checked, defaults filled in.

use super::asked::{Asked, Resources, Variable};
use super::bound::{self, Bound, lowered};
use super::error::{At, Error, Result, Told};
use super::overrides::{Overrides, flagged};
use super::suggest::nearest;
use super::{Filesystem, Network, Policy, Runtime, Settings, syscalls, variable};
use aido_runtime::{Limit, Limits, Record, SyscallProfile};
use std::path::{Component, Path};
use std::time::Duration;

pub const DEFAULT_TTL: Duration = Duration::from_secs(15 * 60);
/// What a task has between the request to end and the kill.
pub const GRACE: Duration = Duration::from_secs(5);

const MIB: u64 = 1 << 20;
const DEFAULT_MEMORY: u64 = 2048 * MIB;
const DEFAULT_PIDS: u64 = 512;
const DEFAULT_DISK: u64 = 1024 * MIB;
const DEFAULT_OUTPUT: u64 = 64 * MIB;

pub(super) fn settings(
    mut asked: Asked,
    file: Option<&str>,
    project: &Path,
    overrides: &Overrides,
    policy: &Policy,
) -> Result<Settings> {
    overrides.lay_over(&mut asked)?;
    let project = folder(project)?;
    let name = match &asked.name {
        Some(told) => name(told)?,
        None => name_of(&project),
    };
    check_env(&asked, policy)?;
    check_network(&asked.network, policy)?;
    let runtime = runtime(&asked)?;
    policy.check_runtime(&runtime, &project)?;
    Ok(Settings {
        name,
        runtime,
        ttl: ttl(&asked, policy)?,
        grace: GRACE,
        inputs: asked.inputs.clone(),
        outputs: asked.outputs.clone(),
        secrets: asked.secrets.clone(),
        env: asked.env.clone(),
        limits: limits(&asked.resources, policy)?,
        accept_weaker: overrides.accept_weaker.iter().copied().collect(),
        network: asked.network.clone(),
        syscalls: profile(&asked, overrides, &project)?,
        isolation: overrides.isolation,
        filesystem: match overrides.mutations {
            true => policy.check_mutations(overrides.isolation).map(|()| Filesystem::Open)?,
            false => asked.filesystem.as_ref().map(filesystem).transpose()?.unwrap_or_default(),
        },
        record: asked.record.as_ref().map(record).transpose()?.unwrap_or_default(),
        workdir: overrides.workdir.as_deref().map(|text| workdir(flagged("--workdir", text))).transpose()?,
        offline: overrides.offline,
        insecure_registries: overrides.insecure_registries.clone(),
        project,
        file: file.map(str::to_string),
        policy: policy.clone(),
        asked,
    })
}

fn folder(project: &Path) -> Result<std::path::PathBuf> {
    let fail = |what: String| Error::new(At::Flag("--project".to_string()), what);
    let real = project.canonicalize().map_err(|e| fail(format!("{}: {e}", project.display())))?;
    if !real.is_dir() {
        return Err(fail(format!("{} is no folder", project.display())));
    }
    Ok(real)
}

fn name(told: &Told<String>) -> Result<String> {
    let name = &told.value;
    let head = name.chars().next().is_some_and(|c| c.is_ascii_alphanumeric());
    if head && name.len() <= 63 && name.chars().all(in_name) {
        return Ok(name.clone());
    }
    let what = format!("`{name}` is no name for a sandbox");
    Err(Error::new(told.at.clone(), what)
        .remedy("1 to 63 letters, digits, `-`, `_` or `.`, the first a letter or digit"))
}

fn in_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-')
}

/// The project folder's name, made valid.
fn name_of(project: &Path) -> String {
    let name = project.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    let name: String = name.chars().map(|c| if in_name(c) { c } else { '-' }).collect();
    let name: String = name.trim_start_matches(['.', '_', '-']).chars().take(63).collect();
    if name.is_empty() { "project".to_string() } else { name }
}

fn runtime(asked: &Asked) -> Result<Told<Runtime>> {
    let Some(told) = &asked.runtime else {
        return Ok(Told::new(Runtime::Host, At::Nowhere));
    };
    let runtime = Runtime::parse(&told.value).map_err(|what| Error::new(told.at.clone(), what))?;
    // A file that came with a repository must not hand out what lies elsewhere on the host.
    if let (Some(path), false) = (runtime.path(), asked.runtime_typed)
        && (path.is_absolute() || path.components().any(|c| matches!(c, Component::ParentDir)))
    {
        let kind = if matches!(runtime, Runtime::RootFolder { .. }) { "a root folder" } else { "an image" };
        let what = format!("a file may name {kind} of the project only");
        return Err(Error::new(told.at.clone(), what).remedy(format!("type it yourself: `--runtime {}`", told.value)));
    }
    Ok(Told::new(runtime, told.at.clone()))
}

fn profile(asked: &Asked, overrides: &Overrides, project: &Path) -> Result<SyscallProfile> {
    match (&overrides.made_with, &overrides.syscalls, &asked.syscalls) {
        (Some(made), _, _) => Ok(made.clone()),
        (None, Some(typed), _) => syscalls::typed(&flagged("--syscalls", typed), project),
        (None, None, Some(told)) => syscalls::named(told),
        (None, None, None) => Ok(SyscallProfile::Default),
    }
}

fn filesystem(told: &Told<String>) -> Result<Filesystem> {
    Ok(match told.value.as_str() {
        "readonly" => Filesystem::ReadOnly,
        "overlay" => Filesystem::Overlay,
        other => {
            let hint =
                nearest(other, ["readonly", "overlay"]).map_or(String::new(), |m| format!("; did you mean `{m}`?"));
            return Err(Error::new(told.at.clone(), format!("`{other}` is no kind of file system{hint}")).remedy(
                "write `readonly`, or `overlay`: then the task may change the project, and what it changed lies in a layer",
            ));
        }
    })
}

fn record(told: &Told<String>) -> Result<Record> {
    Ok(match told.value.as_str() {
        "refusals" => Record::Refusals,
        "standard" => Record::Standard,
        "full" => Record::Full,
        other => {
            let known = ["refusals", "standard", "full"];
            let hint = nearest(other, known).map_or(String::new(), |meant| format!("; did you mean `{meant}`?"));
            return Err(Error::new(told.at.clone(), format!("`{other}` is no amount of record{hint}"))
                .remedy("write `refusals`, `standard` or `full`"));
        }
    })
}

fn ttl(asked: &Asked, policy: &Policy) -> Result<Duration> {
    let ceiling = policy.ttl.as_ref();
    let seconds = match &asked.ttl {
        Some(told) => bound::TIME.read_below(told, ceiling)?,
        None => lowered(DEFAULT_TTL.as_secs(), ceiling),
    };
    Ok(Duration::from_secs(seconds))
}

fn check_env(asked: &Asked, policy: &Policy) -> Result<()> {
    for (name, told) in &asked.env {
        policy.check_variable(name, told)?;
        if let Variable::Literal(value) = &told.value {
            variable::fits(name, value).map_err(|what| Error::new(told.at.clone(), what))?;
        }
    }
    Ok(())
}

fn check_network(network: &Network, policy: &Policy) -> Result<()> {
    network.check()?;
    for told in network.variables() {
        policy.check_variable(told.value, &Told::new(Variable::From(told.value.to_string()), told.at))?;
    }
    policy.check_network(network)
}

fn limits(asked: &Resources, policy: &Policy) -> Result<Limits> {
    let processors = std::thread::available_parallelism().map_or(1, |n| n.get() as u64);
    Ok(Limits {
        memory: limit(&bound::MEMORY, &asked.memory, DEFAULT_MEMORY, &policy.memory)?,
        cpus: limit(&bound::CPUS, &asked.cpus, processors * 1000, &policy.cpus)?,
        pids: limit(&bound::PIDS, &asked.pids, DEFAULT_PIDS, &policy.pids)?,
        disk: limit(&bound::DISK, &asked.disk, DEFAULT_DISK, &policy.disk)?,
        output: limit(&bound::OUTPUT, &asked.output, DEFAULT_OUTPUT, &policy.output)?,
    })
}

/// A default that a policy lowers stays a default: having a policy must not make runs fail where a host holds no limits.
fn limit(bound: &Bound, asked: &Option<Told<String>>, default: u64, ceiling: &Option<Told<u64>>) -> Result<Limit> {
    match asked {
        Some(told) => bound.read_below(told, ceiling.as_ref()).map(Limit::asked),
        None => Ok(Limit::default(lowered(default, ceiling.as_ref()))),
    }
}

/// An absolute path, or one below `/workspace`; without `..`.
fn workdir(told: Told<String>) -> Result<Told<String>> {
    let path = Path::new(&told.value);
    let climbs = path.components().any(|c| matches!(c, Component::ParentDir));
    if told.value.is_empty() || climbs || told.value.contains('\0') {
        let what = format!("`{}` is no working folder", told.value);
        return Err(Error::new(told.at, what)
            .remedy("write an absolute path in the sandbox, or one relative to /workspace, without `..`"));
    }
    Ok(told)
}
