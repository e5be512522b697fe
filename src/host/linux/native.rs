//! The Linux engine, and how this program begins.

use crate::backend::{self, Backend};
use aido_runtime::{Error, Plan, Runtime};
pub(crate) use aido_runtime_linux::Ahead;
use std::path::{Path, PathBuf};

pub(crate) use aido_runtime_linux::{
    SCRATCH, apparmor_profile, end_descendants, end_with_the_reader, fault, share_one_heap,
};

/// The engine that is meant where nobody names one.
pub(crate) const USUAL: Backend = Backend::Linux;

/// Whether it can hold a task to the hosts that were granted.
pub(crate) const HOLDS_NETWORK: bool = true;

/// The engine that needs no other.
pub(crate) fn engine(name: &str, ahead: Option<Ahead>) -> Result<Box<dyn Runtime>, Error> {
    // A run on the host root needs no image store, and so no home folder.
    Ok(Box::new(aido_runtime_linux::Linux::new(images().ok(), name).after(ahead)))
}

/// Begins what takes longest of a sandbox before its record is begun, unless the keeper of a sandbox that stays has it.
pub(crate) fn ahead(plan: &Plan, keeper: Option<i32>) -> Option<Ahead> {
    keeper.and_then(|keeper| Ahead::held_for(plan, keeper)).or_else(|| Ahead::begin(plan))
}

/// This program, whatever lies at its path by now.
pub(crate) fn own_program() -> PathBuf {
    Path::new("/proc/self/exe").to_path_buf()
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

/// Whether this process was started to be a part of aido; if so, its whole life.
pub(crate) fn other_main() -> Option<std::process::ExitCode> {
    super::keeper::main().or_else(super::gate::main)
}

/// The folder of the image store.
pub(crate) fn images() -> Result<PathBuf, Error> {
    Ok(backend::data_home()?.join("aido").join("images"))
}
