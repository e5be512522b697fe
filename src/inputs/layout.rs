//! From inputs and outputs to the plan's mounts.

use super::outputs::{Placed, covers, nowhere};
use super::select::{Entry, below, hidden, resolve};
use super::walk::Budget;
use crate::settings::Result;
use aido_runtime::{Mount, MountKind};
use std::path::Path;

/// Where the project's relative paths are found.
pub const WORKSPACE: &str = "/workspace";
/// The folder that is always writable and collected.
pub const OUTPUTS: &str = "/outputs";
/// The task's own home folder.
pub const HOME: &str = "/home/aido";

/// In the order in which they are made: the outputs folder, inputs, outputs, scratch places.
pub(super) fn mounts(project: &Path, entries: &[Entry], placed: &[Placed], budget: &mut Budget) -> Result<Vec<Mount>> {
    let mut layer = Layer { project, placed, budget, mounts: Vec::new() };
    layer.push(OUTPUTS, MountKind::OutputFolder { path: String::new() });
    if !entries.iter().any(|entry| entry.path.is_empty()) {
        layer.push(WORKSPACE, MountKind::Empty);
    }
    for entry in entries {
        layer.input(&entry.path, &entry.source, &entry.hidden, entry.folder)?;
    }
    for Placed { output, .. } in placed {
        let path = output.path.clone();
        let kind = if output.folder { MountKind::OutputFolder { path } } else { MountKind::OutputFile { path } };
        layer.push(&target(&output.path), kind);
    }
    layer.push("/tmp", MountKind::Scratch { mode: 0o1777 });
    layer.push(HOME, MountKind::Scratch { mode: 0o700 });
    Ok(layer.mounts)
}

fn target(path: &str) -> String {
    if path.is_empty() { WORKSPACE.to_string() } else { format!("{WORKSPACE}/{path}") }
}

struct Layer<'a> {
    project: &'a Path,
    placed: &'a [Placed],
    budget: &'a mut Budget,
    mounts: Vec<Mount>,
}

impl Layer<'_> {
    fn push(&mut self, target: &str, kind: MountKind) {
        self.mounts.push(Mount { target: target.to_string(), kind });
    }

    fn input(&mut self, path: &str, source: &Path, hide: &[String], folder: bool) -> Result<()> {
        let lacking = |p: &&Placed| p.absent && below(&p.output.path, path).is_some();
        if folder && self.placed.iter().any(|p| lacking(&p)) {
            return self.take_apart(path, source, hide);
        }
        let covered = |inside: &String| covers(self.placed, &within(path, inside));
        let hidden = hide.iter().filter(|inside| !covered(inside)).cloned().collect();
        self.push(&target(path), MountKind::Input { source: source.to_path_buf(), hidden });
        Ok(())
    }

    /// A read-only folder has no room for an output that is not there yet: an empty folder takes its place, and its children
    /// are laid into it one by one.
    fn take_apart(&mut self, path: &str, source: &Path, hide: &[String]) -> Result<()> {
        self.push(&target(path), MountKind::Empty);
        let fail =
            |e: std::io::Error| nowhere(format!("cannot list {}: {e}", source.display()), "name the inputs one by one");
        let mut children =
            std::fs::read_dir(source).map_err(fail)?.collect::<std::io::Result<Vec<_>>>().map_err(fail)?;
        children.sort_by_key(|child| child.file_name());
        for child in children {
            let name = child.file_name();
            let Some(name) = name.to_str() else {
                let what = format!("the name of {} is not UTF-8", child.path().display());
                return Err(nowhere(
                    what,
                    "make the outputs' folders in the project first, or name the inputs one by one",
                ));
            };
            let inner = within(path, name);
            if hide.iter().any(|h| h == name) || covers(self.placed, &inner) {
                continue;
            }
            let kind = child.file_type().map_err(fail)?;
            if kind.is_symlink() {
                // A link that leads out would lead nowhere in the sandbox either.
                let real = source.join(name);
                let real = real
                    .strip_prefix(self.project)
                    .ok()
                    .and_then(Path::to_str)
                    .and_then(|p| resolve(self.project, p).ok());
                if let Some(entry) = real {
                    self.linked(&inner, &entry, source, hide)?;
                }
            } else {
                let hide: Vec<String> = hide.iter().filter_map(|h| below(h, name)).map(str::to_string).collect();
                self.input(&inner, &source.join(name), &hide, kind.is_dir())?;
            }
        }
        Ok(())
    }

    /// A link in a folder that was taken apart: its target is laid there, unless it is hidden in its own place.
    fn linked(&mut self, path: &str, entry: &Entry, around: &Path, hide: &[String]) -> Result<()> {
        let inside = entry.source.strip_prefix(around).ok().and_then(Path::to_str);
        let is_hidden = |p: &str| hide.iter().any(|h| h == p || below(p, h).is_some());
        let elsewhere = entry
            .source
            .strip_prefix(self.project)
            .ok()
            .and_then(Path::to_str)
            .is_none_or(super::secrets::looks_secret);
        // A target that contains the link itself would be laid into itself.
        if around.starts_with(&entry.source) || inside.map_or(elsewhere, is_hidden) {
            return Ok(());
        }
        let hide = if entry.folder { hidden(&entry.source, self.project, self.budget)? } else { Vec::new() };
        self.push(&target(path), MountKind::Input { source: entry.source.clone(), hidden: hide });
        Ok(())
    }
}

fn within(path: &str, inside: &str) -> String {
    if path.is_empty() { inside.to_string() } else { format!("{path}/{inside}") }
}
