//! What of the project the task sees, and what it may write: from [`Settings`] to the plan's mounts.

mod digest;
mod layout;
mod outputs;
mod own;
mod secrets;
mod select;
mod walk;

pub use digest::{InputDigest, InputKind, digests};
pub use layout::{HOME, OUTPUTS, WORKSPACE};
pub use outputs::Output;
pub use own::Own;
pub use secrets::looks_secret;
pub use select::Entry;
pub(crate) use select::near;

use crate::settings::{At, Result, Settings, Told};
use aido_runtime::Mount;

/// Inputs and outputs of a sandbox, checked against the project as it is now.
#[derive(Clone, Debug)]
pub struct Layout {
    /// In order of their paths, none inside another.
    pub inputs: Vec<Entry>,
    /// What was named beside `/outputs`.
    pub outputs: Vec<Output>,
    /// All mounts of the plan.
    pub mounts: Vec<Mount>,
}

/// `script` is a file of the project that the task needs, shown also where no input covers it. `own` is what the caller
/// shows to no task.
pub fn lay_out(settings: &Settings, script: Option<&str>, own: &Own) -> Result<Layout> {
    let project = &settings.project;
    let mut budget = walk::Budget::new();
    let whole = [Told::new(".".to_string(), At::Nowhere)];
    let wanted = match &settings.inputs {
        Some(inputs) => inputs.as_slice(),
        None => {
            own.refuse_home(project)?;
            &whole
        }
    };
    let mut selection = select::Selection::new(project, &mut budget);
    for told in wanted {
        selection.add(told)?;
    }
    if let Some(script) = script {
        selection.add_file(script)?;
    }
    let mut inputs = selection.finish()?;
    own.hide_keys(&mut inputs)?;
    let outputs = outputs::read(project, &settings.outputs, &inputs)?;
    let mounts = layout::mounts(project, &inputs, &outputs);
    Ok(Layout { inputs, outputs, mounts })
}

impl Layout {
    /// The paths that are not shown to the task, relative to the project.
    pub fn hidden(&self) -> Vec<String> {
        let full = |entry: &Entry, hidden: &String| select::within(&entry.path, hidden);
        self.inputs.iter().flat_map(|entry| entry.hidden.iter().map(move |hidden| full(entry, hidden))).collect()
    }
}

#[cfg(all(test, unix))]
mod tests;
