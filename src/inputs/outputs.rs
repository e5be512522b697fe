//! `outputs:`: what the task may write, and how it lies with the inputs.
//!
//! A final slash makes a folder, and so does a folder of that name in the project; everything else is a file. All outputs
//! share one place: `/workspace/results` and `/outputs/results` are the same folder. Each starts empty, whatever the project
//! has there.

use super::secrets::is_closed;
use super::select::{Entry, below, normal};
use crate::settings::{Error, Result, Told};
use std::path::Path;

/// Outputs that one sandbox may have.
const MAX_OUTPUTS: usize = 256;

/// A file or folder that the task may write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Output {
    /// Relative to `/workspace` and to `/outputs`.
    pub path: String,
    pub folder: bool,
}

pub(super) fn read(project: &Path, wanted: &[Told<String>], inputs: &[Entry]) -> Result<Vec<Output>> {
    let mut outputs: Vec<Output> = Vec::new();
    for told in wanted {
        let fail = |what: String| Error::new(told.at.clone(), what);
        let output = one(project, told)?;
        let path = &output.path;
        for other in outputs.iter().map(|o| &o.path) {
            let inside = |a: &str, b: &str| {
                fail(format!("the output `{a}` lies inside the output `{b}`")).remedy("the outer one is enough")
            };
            if other == path {
                return Err(fail(format!("the output `{path}` is given twice")));
            } else if below(path, other).is_some() {
                return Err(inside(path, other));
            } else if below(other, path).is_some() {
                return Err(inside(other, path));
            }
        }
        check(&output, inputs)
            .map_err(|what| fail(what).remedy("inputs are read-only: give the output another path"))?;
        outputs.push(output);
        if outputs.len() > MAX_OUTPUTS {
            return Err(fail(format!("more than {MAX_OUTPUTS} outputs")).remedy("name a folder instead of its files"));
        }
    }
    Ok(outputs)
}

fn one(project: &Path, told: &Told<String>) -> Result<Output> {
    let fail = |what: String| Error::new(told.at.clone(), what);
    let (path, slash) = normal(told)?;
    if told.value.contains(['*', '?', '[', '{', '\\']) {
        return Err(fail(format!("`{}` is a pattern", told.value))
            .remedy("an output is a plain path; name a folder with a final slash"));
    }
    if path.is_empty() {
        let error = fail("the whole workspace cannot be an output".to_string());
        return Err(error.remedy("name a folder in it, or write to /outputs, which needs no naming"));
    }
    if path.split('/').any(is_closed) {
        return Err(fail(format!("`{path}` cannot be an output: the task never sees that folder")));
    }
    let folder = slash || project.join(&path).symlink_metadata().is_ok_and(|m| m.is_dir());
    Ok(Output { path, folder })
}

/// An error where output and inputs cannot both be.
fn check(output: &Output, inputs: &[Entry]) -> std::result::Result<(), String> {
    let path = &output.path;
    for entry in inputs {
        if entry.path == *path {
            return Err(format!("`{path}` is an input and an output"));
        }
        if below(&entry.path, path).is_some() {
            return Err(format!("the input `{}` lies inside the output `{path}`", entry.path));
        }
        if let Some(inside) = below(path, &entry.path) {
            if !entry.folder {
                return Err(format!("the output `{path}` lies below the input `{}`, which is a file", entry.path));
            }
            return fits(entry, inside, output.folder)
                .map_err(|what| format!("the output `{path}` cannot be there: {what}"));
        }
    }
    Ok(())
}

/// Whether the input folder has nothing at the output's place, or the same kind of thing.
fn fits(entry: &Entry, inside: &str, folder: bool) -> std::result::Result<(), String> {
    let mut at = entry.source.clone();
    let parts: Vec<&str> = inside.split('/').collect();
    for (n, part) in parts.iter().enumerate() {
        at.push(part);
        let so_far = parts[..=n].join("/");
        let last = n + 1 == parts.len();
        if !last && entry.hidden.contains(&so_far) {
            return Err(format!("`{so_far}` is not shown to the task"));
        }
        let Ok(metadata) = at.symlink_metadata() else { return Ok(()) };
        if metadata.is_symlink() {
            return Err(format!("`{so_far}` is a link in the project"));
        }
        if metadata.is_dir() != (!last || folder) {
            let is = if metadata.is_dir() { "a folder" } else { "a file" };
            return Err(format!("`{so_far}` is {is} in the project"));
        }
    }
    Ok(())
}

/// Whether an output stands at this place or above it.
pub(super) fn covers(outputs: &[Output], path: &str) -> bool {
    outputs.iter().any(|output| output.path == path || below(path, &output.path).is_some())
}

impl Output {
    /// As it is written: with a final slash for a folder.
    pub fn written(&self) -> String {
        format!("{}{}", self.path, if self.folder { "/" } else { "" })
    }
}
