//! Layers over a project: no engine here lays one, so nothing is in them.

use crate::supervise::Found;
use aido_evidence::Sandbox;
use aido_runtime::Error;
use aido_secrets::Secrets;
use anyhow::Result;

/// Why there is nothing to look at, and what there is instead.
pub(super) fn none() -> Error {
    Error::new(
        "nothing lies over the project here: only the engine for Linux gives a task a layer of its own to change it in",
    )
    .remedy("what a run left is in its outputs: `aido show` names them")
}

/// A run that may change the project's layer begins: there is none such.
pub(crate) fn run_begins(_sandbox: &Sandbox) -> Result<()> {
    Err(none().into())
}

/// Nothing was changed.
pub(crate) fn looked_at(_sandbox: &Sandbox, _bound: u64, _secrets: &Secrets) -> Result<Option<Found>> {
    Ok(None)
}

/// A fork begins with nothing.
pub(crate) fn hand_base_over(_first: &Sandbox, _second: &Sandbox) -> Result<()> {
    Ok(())
}
