//! Which engine runs plans here, and where the user's own state lies. The one place that knows the platform.

pub(crate) mod docker;

use crate::inputs::Own;
pub(crate) use crate::settings::Backend;
use crate::settings::{self, At, BACKEND_VARIABLE, Filesystem, Policy, Settings, Told};
use aido_evidence::Keyring;
use aido_runtime::{Error, Runtime};
pub(crate) use aido_runtime_linux::{SCRATCH, end_descendants, fault};
use std::path::{Path, PathBuf};

/// The engine that is meant where nobody names one.
const USUAL: Backend = Backend::Linux;

/// Which engine a command uses: what was typed, else what the caller's environment or policy says, else the usual one.
pub(crate) fn chosen(typed: Option<Backend>, policy: &Policy) -> settings::Result<Backend> {
    let named = match typed {
        Some(typed) => Some(Told::new(typed, At::Flag("--backend".to_string()))),
        None => by_variable()?,
    };
    policy.backend(named, USUAL)
}

fn by_variable() -> settings::Result<Option<Told<Backend>>> {
    let Some(value) = std::env::var_os(BACKEND_VARIABLE).filter(|value| !value.is_empty()) else { return Ok(None) };
    let at = At::Flag(BACKEND_VARIABLE.to_string());
    let value = value.to_string_lossy().parse().map_err(|what: String| settings::Error::new(at.clone(), what))?;
    Ok(Some(Told::new(value, at)))
}

/// The engine for one run; `name` tells it from others.
pub(crate) fn engine(backend: Backend, name: &str) -> Result<Box<dyn Runtime>, Error> {
    Ok(match backend {
        // A run on the host root needs no image store, and so no home folder.
        Backend::Linux => Box::new(aido_runtime_linux::Linux::new(images().ok(), name)),
        Backend::Docker => Box::new(docker::of_the_caller(name)?),
    })
}

/// Only the kernel's own means keep what a person's tools obey from a task that may change the project itself.
pub(crate) fn refuse_mutations(settings: &Settings, backend: Backend) -> settings::Result<()> {
    if settings.filesystem != Filesystem::Open || backend == Backend::Linux {
        return Ok(());
    }
    let what =
        format!("on the backend `{backend}` nothing in the project could be kept from a task that may change it");
    let at = At::Flag("--dangerous-allow-mutations".to_string());
    Err(settings::Error::new(at, what).remedy("`--backend linux`, where this host has it"))
}

/// Ends what a run held, by the engine that held it, whichever is chosen now.
pub(crate) fn destroy(leftover: &str) -> Result<(), Error> {
    match docker::holder(leftover)? {
        Some(engine) => engine.destroy(leftover),
        None => engine(Backend::Linux, "sweep")?.destroy(leftover),
    }
}

/// This program, whatever lies at its path by now.
pub(crate) fn own_program() -> &'static Path {
    Path::new("/proc/self/exe")
}

/// What the caller left behind, open descriptors above all, is not for aido and not for the task.
/// Called first of all.
pub(crate) fn start_afresh() {
    aido_runtime_linux::start_afresh();
    fault::arm();
}

/// What a killed supervisor leaves becomes a child of this process, which can end it. Where that cannot be had, the
/// sandbox's own ties have to do.
pub(crate) fn adopt_orphans() {
    let _ = aido_runtime_linux::adopt_orphans();
}

/// For commands that only print: a reader that goes away ends them.
pub(crate) fn end_with_the_reader() {
    aido_runtime_linux::end_with_the_reader();
}

/// What a host with AppArmor must load so that aido may make user namespaces.
pub(crate) fn apparmor_profile() -> Result<String, Error> {
    aido_runtime_linux::apparmor_profile()
}

/// The folder of the image store.
pub(crate) fn images() -> Result<PathBuf, Error> {
    Ok(data_home()?.join("aido").join("images"))
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
fn state() -> Option<PathBuf> {
    let state = folder_of("XDG_STATE_HOME").or_else(|| home().map(|home| home.join(".local/state")));
    state.map(|state| state.join("aido"))
}

/// `$XDG_DATA_HOME`
fn data_home() -> Result<PathBuf, Error> {
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
    Own { home: home(), keys: own_home().keys }
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
