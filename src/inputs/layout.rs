//! From inputs and outputs to the plan's mounts.

use super::given::SecretFile;
use super::outputs::{Output, covers};
use super::secrets::EVIDENCE;
use super::select::{Entry, within};
use aido_runtime::{Mount, MountKind};
use std::path::Path;

/// Where the project's relative paths are found.
pub const WORKSPACE: &str = "/workspace";
/// The folder that is always writable and collected.
pub const OUTPUTS: &str = "/outputs";
/// The task's own home folder.
pub const HOME: &str = "/home/aido";

/// The outputs folder, inputs, outputs, scratch places. An output may lie in an input folder that has nothing at its place:
/// to make room there is the engine's part.
/// `workspace`: the project as one folder that can be changed.
pub(super) fn mounts(
    project: &Path,
    inputs: &[Entry],
    workspace: Option<MountKind>,
    secrets: &[SecretFile],
    outputs: &[Output],
) -> Vec<Mount> {
    let mount = |target: &str, kind: MountKind| Mount { target: target.to_string(), kind };
    let mut mounts = vec![mount(OUTPUTS, MountKind::OutputFolder { path: String::new() })];
    // What an output covers needs no hiding.
    let covered = |path: &str| covers(outputs, path) || secrets.iter().any(|secret| secret.entry.path == path);
    match workspace {
        Some(mut whole) => {
            if let MountKind::Layered { hidden, .. } | MountKind::Open { hidden, .. } = &mut whole {
                hidden.retain(|path| !covered(path));
            }
            mounts.push(mount(WORKSPACE, whole));
        }
        None => {
            if !inputs.iter().any(|entry| entry.path.is_empty()) {
                mounts.push(mount(WORKSPACE, MountKind::Empty));
            }
            mounts.extend(inputs.iter().map(|entry| mount(&target(&entry.path), input(project, entry, &covered))));
        }
    }
    for SecretFile { entry, .. } in secrets {
        let kind = MountKind::Input { source: entry.source.clone(), hidden: Vec::new(), secret: true };
        mounts.push(mount(&target(&entry.path), kind));
    }
    for output in outputs {
        let path = output.path.clone();
        let kind = if output.folder { MountKind::OutputFolder { path } } else { MountKind::OutputFile { path } };
        mounts.push(mount(&target(&output.path), kind));
    }
    mounts.push(mount("/tmp", MountKind::Scratch { mode: 0o1777 }));
    mounts.push(mount(HOME, MountKind::Scratch { mode: 0o700 }));
    mounts
}

/// An input, read-only.
fn input(project: &Path, entry: &Entry, covered: &dyn Fn(&str) -> bool) -> MountKind {
    let mut hidden: Vec<String> =
        entry.hidden.iter().filter(|hidden| !covered(&within(&entry.path, hidden))).cloned().collect();
    // The first run makes it after this look at the project, and must not see it either.
    if entry.source == project && !hidden.iter().any(|hidden| hidden == EVIDENCE) {
        hidden.insert(0, EVIDENCE.to_string());
    }
    MountKind::Input { source: entry.source.clone(), hidden, secret: false }
}

fn target(path: &str) -> String {
    if path.is_empty() { WORKSPACE.to_string() } else { format!("{WORKSPACE}/{path}") }
}
