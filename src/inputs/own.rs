//! What belongs to the caller and is no input, whoever asks for it: the home folder as a whole, and the keys that sign.

use super::select::{Entry, below};
use crate::settings::{At, Error, Result};
use std::path::{Path, PathBuf};

/// Folders of the caller.
#[derive(Clone, Debug, Default)]
pub struct Own {
    pub home: Option<PathBuf>,
    /// Where the private keys lie.
    pub keys: Option<PathBuf>,
    /// Where it is kept what was seen of large projects.
    pub looks: Option<PathBuf>,
}

impl Own {
    /// Nobody who types a command in their home folder means to show all of it to a task.
    pub(super) fn refuse_home(&self, project: &Path) -> Result<()> {
        let home = self.home.as_ref().and_then(|home| home.canonicalize().ok());
        if project.parent().is_some() && !home.is_some_and(|home| home.starts_with(project)) {
            return Ok(());
        }
        let what = format!("{} is no project: without `inputs`, the task would be shown all of it", project.display());
        Err(Error::new(At::Nowhere, what)
            .remedy("go to a project's folder, or name what the task needs: `--input PATH` or `inputs:`"))
    }

    /// A task that could read the key could sign what it likes: an input around it is shown without it, one inside of
    /// it is refused.
    pub(super) fn hide_keys(&self, inputs: &mut [Entry]) -> Result<()> {
        // Who starts a run sees to it that the folder is there if the project is around it.
        let Some(keys) = self.real_keys() else { return Ok(()) };
        for input in inputs {
            self.refuse_keys(input)?;
            let Ok(inside) = keys.strip_prefix(&input.source) else { continue };
            let Some(inside) = inside.to_str() else {
                let what = format!("{} holds the keys that sign, and cannot hide them", input.source.display());
                return Err(Error::new(At::Nowhere, what).remedy("name what the task needs one by one"));
            };
            if !input.hidden.iter().any(|hidden| hidden == inside || below(inside, hidden).is_some()) {
                input.hidden.retain(|hidden| below(hidden, inside).is_none());
                input.hidden.push(inside.to_owned());
                input.hidden.sort();
            }
        }
        Ok(())
    }

    /// One inside of it.
    pub(super) fn refuse_keys(&self, input: &Entry) -> Result<()> {
        if !self.real_keys().is_some_and(|keys| input.source.starts_with(keys)) {
            return Ok(());
        }
        let what = format!("`{}` lies where the keys are that sign the evidence", input.path);
        Err(Error::new(At::Nowhere, what)
            .remedy("no task is shown those; `aido key export` writes the public one elsewhere"))
    }

    fn real_keys(&self) -> Option<PathBuf> {
        self.keys.as_ref().and_then(|keys| keys.canonicalize().ok())
    }
}
