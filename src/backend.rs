//! Which engine runs plans here, and where the user's own state lies. What differs between platforms is in `host`.

pub(crate) mod docker;

use crate::host::native;
pub(crate) use crate::host::native::Ahead;
pub(crate) use crate::host::native::{SCRATCH, apparmor_profile, end_with_the_reader, fault, start_afresh};
use crate::inputs::Own;
pub(crate) use crate::settings::Backend;
use crate::settings::{self, At, BACKEND_VARIABLE, Filesystem, Policy, Settings, Told};
use aido_evidence::Keyring;
use aido_runtime::{Error, Isolation, Plan, Runtime};
use std::path::{Path, PathBuf};

/// Which engine a command uses: what was typed, else what the caller's environment or policy says, else the usual one.
pub(crate) fn chosen(typed: Option<Backend>, policy: &Policy) -> settings::Result<Backend> {
    let named = match typed {
        Some(typed) => Some(Told::new(typed, At::Flag("--backend".to_string()))),
        None => by_variable()?,
    };
    policy.backend(named, native::USUAL)
}

fn by_variable() -> settings::Result<Option<Told<Backend>>> {
    let Some(value) = std::env::var_os(BACKEND_VARIABLE).filter(|value| !value.is_empty()) else { return Ok(None) };
    let at = At::Flag(BACKEND_VARIABLE.to_string());
    let value = value.to_string_lossy().parse().map_err(|what: String| settings::Error::new(at.clone(), what))?;
    Ok(Some(Told::new(value, at)))
}

/// A task that may write over the project or into it is the Linux engine's, in namespaces: elsewhere nothing could keep a
/// layer apart, nor what a person's tools obey from the task. Refused before anything is made.
pub(crate) fn refuse_writing(settings: &Settings, backend: Backend) -> settings::Result<()> {
    let (flag, what) = match (backend, settings.isolation) {
        (Backend::Docker, _) => ("--backend", "docker"),
        (_, Isolation::Landlock) => ("--isolation", "landlock"),
        _ => return Ok(()),
    };
    let (what, other) = match settings.filesystem {
        Filesystem::ReadOnly => return Ok(()),
        Filesystem::Overlay => (
            format!("with `{what}` the project can have no layer of its own (`filesystem: overlay`)"),
            "write `filesystem: readonly`, or ",
        ),
        Filesystem::Open => {
            (format!("with `{what}` nothing in the project could be kept from a task that may change it"), "")
        }
    };
    let remedy = format!("{other}use `--backend linux` with `--isolation full`, where this host allows it");
    Err(settings::Error::new(At::Flag(flag.to_string()), what).remedy(remedy))
}

/// Whether an engine can hold a task to the hosts that were granted.
pub(crate) fn holds_network(backend: Backend) -> bool {
    match backend {
        Backend::Linux => native::HOLDS_NETWORK,
        Backend::Docker => true,
    }
}

/// A network that nothing would bound is refused before anything is made.
pub(crate) fn refuse_network(settings: &Settings, backend: Backend) -> settings::Result<()> {
    let Some(at) = settings.network.asked_at() else { return Ok(()) };
    let alone = settings.isolation == Isolation::Landlock;
    if holds_network(backend) && !alone {
        return Ok(());
    }
    let with = if alone { "landlock".to_string() } else { backend.to_string() };
    let what = format!("a network is not enforced by this version with `{with}`, so it is refused");
    let full = if alone { "use `--isolation full`; or " } else { "" };
    Err(settings::Error::new(at.clone(), what).remedy(format!(
        "{full}write `network: false`, or type `--no-network`: the task has its own loopback and nothing else"
    )))
}

/// The same of a run that only learns what would be asked for.
pub(crate) fn refuse_learning(settings: &Settings, backend: Backend) -> settings::Result<()> {
    if holds_network(backend) && settings.isolation == Isolation::Full {
        return Ok(());
    }
    let what = "without namespaces (`--isolation landlock`) there is no gateway that could learn";
    Err(settings::Error::new(At::Flag("--learn".to_string()), what).remedy("leave `--learn` out"))
}

/// The engine for one run; `name` tells it from others.
pub(crate) fn engine(backend: Backend, name: &str) -> Result<Box<dyn Runtime>, Error> {
    engine_after(backend, name, None)
}

/// The same, with what [`ahead`] has begun.
pub(crate) fn engine_after(backend: Backend, name: &str, ahead: Option<Ahead>) -> Result<Box<dyn Runtime>, Error> {
    Ok(match backend {
        Backend::Linux => native::engine(name, ahead)?,
        Backend::Docker => Box::new(docker::of_the_caller(name)?),
    })
}

/// Begins what an engine can begin of a plan's sandbox before anything is on record: what goes with this process. `keeper`: who
/// may hold it already, of a sandbox that stays.
pub(crate) fn ahead(backend: Backend, plan: &Plan, keeper: Option<i32>) -> Option<Ahead> {
    match backend {
        Backend::Linux => native::ahead(plan, keeper),
        Backend::Docker => None,
    }
}

/// The command that says what an engine can hold.
pub(crate) fn doctor(backend: Backend) -> &'static str {
    match backend {
        Backend::Linux => "aido doctor",
        Backend::Docker => "aido doctor --backend docker",
    }
}

/// How long a sandbox may take to stand. The kernel's own is built in bounds below this; an engine is sent the inputs,
/// perhaps over a network.
pub(crate) fn building_ms(backend: Backend) -> u64 {
    match backend {
        Backend::Linux => 60_000,
        Backend::Docker => 600_000,
    }
}

/// Ends what a run held, by the engine that held it, whichever is chosen now.
pub(crate) fn destroy(leftover: &str) -> Result<(), Error> {
    match docker::holder(leftover)? {
        Some(engine) => engine.destroy(leftover),
        None => engine(Backend::Linux, "sweep")?.destroy(leftover),
    }
}

/// Where the keys lie, and where the ledgers of projects are anchored.
pub(crate) fn own_home() -> aido_evidence::Home {
    aido_evidence::Home {
        keys: data_home().ok().map(|data| data.join("aido").join("keys")),
        anchors: state().map(|state| state.join("ledgers")),
    }
}

/// Where it stands what engines hold of runs.
pub(crate) fn owed() -> Option<PathBuf> {
    state().map(|state| state.join("engines"))
}

/// aido's folder in `$XDG_STATE_HOME`
pub(crate) fn state() -> Option<PathBuf> {
    let state = folder_of("XDG_STATE_HOME").or_else(|| home().map(|home| home.join(".local/state")));
    state.map(|state| state.join("aido"))
}

/// `$XDG_DATA_HOME`
pub(crate) fn data_home() -> Result<PathBuf, Error> {
    folder_of("XDG_DATA_HOME").or_else(|| home().map(|home| home.join(".local/share"))).ok_or_else(|| {
        Error::new("there is no home folder for the image store")
            .remedy("set HOME, or XDG_DATA_HOME, to an absolute path")
    })
}

/// A folder in a variable. As the XDG specification has it, a relative path counts as none.
fn folder_of(name: &str) -> Option<PathBuf> {
    std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute())
}

/// What of the caller no task is shown.
pub(crate) fn own_folders() -> Own {
    Own { home: home(), keys: own_home().keys, looks: state().map(|state| state.join("looks")) }
}

/// The same for who starts a run. The first run makes a key: where the project is around its place, the folder must be
/// there before the inputs are read, so that it is hidden.
pub(crate) fn own_folders_in(project: &Path) -> Own {
    let own = own_folders();
    if let Some(keys) = own.keys.as_ref().filter(|keys| !keys.exists()) {
        let near = keys.ancestors().find_map(|above| above.canonicalize().ok());
        if near.is_some_and(|near| near.starts_with(project)) {
            let _ = Keyring::create(keys);
        }
    }
    own
}

pub(crate) fn home() -> Option<PathBuf> {
    folder_of("HOME")
}
