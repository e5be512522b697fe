//! What of the project the task sees, and what it may write: from [`Settings`] to the plan's mounts.

mod digest;
mod given;
mod layered;
mod layout;
mod open;
mod outputs;
mod own;
mod secrets;
mod select;
mod walk;

pub use digest::{InputDigest, InputKind, digests};
pub use given::{SecretFile, SecretFiles, open_secrets};
pub use layout::{HOME, OUTPUTS, WORKSPACE};
pub use outputs::Output;
pub use own::Own;
pub use secrets::looks_secret;
pub use select::Entry;
pub(crate) use select::near;

use crate::settings::{At, Filesystem, Result, Settings, Told};
use aido_runtime::{Mount, MountKind};
use std::path::Path;

/// Inputs and outputs of a sandbox, checked against the project as it is now.
#[derive(Clone, Debug)]
pub struct Layout {
    /// In order of their paths, none inside another.
    pub inputs: Vec<Entry>,
    /// Files whose content is a secret, in order of their paths.
    pub secrets: Vec<SecretFile>,
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
    let secrets = given::read(project, &settings.secrets)?;
    secrets.iter().try_for_each(|secret| own.refuse_keys(&secret.entry))?;
    selection.leave_out(&secrets);
    let mut inputs = selection.finish()?;
    given::make_room(&mut inputs, &secrets)?;
    own.hide_keys(&mut inputs)?;
    let all: Vec<Entry> = inputs.iter().cloned().chain(secrets.iter().map(|secret| secret.entry.clone())).collect();
    let outputs = outputs::read(project, &settings.outputs, &all)?;
    let workspace = match settings.filesystem {
        Filesystem::ReadOnly => None,
        Filesystem::Overlay => {
            let hidden = layered::hidden(project, &inputs)?;
            Some(MountKind::Layered { source: project.clone(), hidden })
        }
        Filesystem::Open => Some(open::workspace(project, &inputs, &settings.outputs)?),
    };
    let mounts = layout::mounts(project, &inputs, workspace, &secrets, &outputs);
    Ok(Layout { inputs, secrets, outputs, mounts })
}

/// Whether something could be an output, as it is written, beside these mounts of a plan: the reason why not.
pub(crate) fn could_be_output(project: &Path, mounts: &[Mount], written: &str) -> Result<()> {
    let told = |path: String| Told::new(path, At::Nowhere);
    let inside =
        |mount: &Mount| mount.target.strip_prefix(WORKSPACE).map(|path| path.trim_start_matches('/').to_string());
    let mut inputs = Vec::new();
    let mut wanted = Vec::new();
    for mount in mounts {
        match (&mount.kind, inside(mount)) {
            (
                MountKind::Input { source, hidden, .. }
                | MountKind::Layered { source, hidden }
                | MountKind::Open { source, hidden, .. },
                Some(path),
            ) => {
                inputs.push(Entry { path, source: source.clone(), folder: source.is_dir(), hidden: hidden.clone() });
            }
            (MountKind::OutputFolder { path }, Some(_)) => wanted.push(told(format!("{path}/"))),
            (MountKind::OutputFile { path }, Some(_)) => wanted.push(told(path.clone())),
            _ => {}
        }
    }
    wanted.push(told(written.to_string()));
    outputs::read(project, &wanted, &inputs).map(drop)
}

impl Layout {
    /// The paths that are not shown to the task, relative to the project.
    pub fn hidden(&self) -> Vec<String> {
        let full = |entry: &Entry, hidden: &String| select::within(&entry.path, hidden);
        let all = self.inputs.iter().flat_map(|entry| entry.hidden.iter().map(move |hidden| full(entry, hidden)));
        all.filter(|path| !self.secrets.iter().any(|secret| secret.entry.path == *path)).collect()
    }
}

#[cfg(all(test, unix))]
mod tests;
