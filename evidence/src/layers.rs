//! What tasks change of the project: each sandbox has a layer of its own for that, and may have others below it.
//!
//! A sandbox that is forked hands its layer over: from then on it lies below both, and changes no more. Which layers lie
//! below a sandbox stands in its `layers.json`; one that no sandbox names any more is removed.

use crate::error::{Error, Result};
use crate::folder::{Folder, present};
use crate::id::random_hex;
use crate::lock;
use crate::project::Project;
use crate::sandbox::{LATEST, Sandbox};
use crate::trash;
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::collections::BTreeSet;
use std::path::PathBuf;

/// Of the project: the layers that were handed over.
const LAYERS: &str = "layers";
/// Of a sandbox: its own layer.
const OWN: &str = "layer";
/// The content of a layer, as overlayfs keeps it.
const CONTENT: &str = "upper";
const STACK: &str = "layers.json";
const MAX_STACK: u64 = 64 << 10;
/// Version of `layers.json`. 1: first.
const VERSION: u32 = 1;

/// `layers.json`
#[derive(Debug, Serialize, Deserialize)]
struct Below {
    version: u32,
    /// The topmost first.
    below: Vec<String>,
}

/// Where what a sandbox's tasks changed is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layers {
    /// The sandbox's own.
    pub folder: PathBuf,
    /// It was made just now, and its content has no mode of anybody's choice yet.
    pub fresh: bool,
    /// Those below it, which change no more, the topmost first.
    pub below: Vec<PathBuf>,
}

impl Layers {
    /// The folders with the content, the topmost first.
    pub fn contents(&self) -> Vec<PathBuf> {
        std::iter::once(&self.folder).chain(&self.below).map(|layer| layer.join(CONTENT)).collect()
    }
}

/// Layers that were handed over, held so that nobody removes them before a sandbox names them.
#[derive(Debug)]
pub struct Handed {
    below: Vec<String>,
    _held: Folder,
}

impl Sandbox {
    /// The layers of a sandbox whose tasks may change the project; its own is made if it is not there yet.
    pub fn layers(&self) -> Result<Layers> {
        let below = self.settled()?;
        let own = self.own_folder().sub_or_new(OWN)?;
        let fresh = !own.has(CONTENT)?;
        if fresh {
            own.make(CONTENT)?;
        }
        Ok(Layers { folder: own.path().to_path_buf(), fresh, below: self.paths(&below)? })
    }

    /// The same, if there are any; makes nothing.
    pub fn known_layers(&self) -> Result<Option<Layers>> {
        let below = self.settled()?;
        match present(self.own_folder().sub(OWN))? {
            Some(own) if own.has(CONTENT)? => {
                Ok(Some(Layers { folder: own.path().to_path_buf(), fresh: false, below: self.paths(&below)? }))
            }
            _ if below.is_empty() => Ok(None),
            _ => self.layers().map(Some),
        }
    }

    /// Hands the sandbox's layer over, so that another sandbox can begin with what it holds. Nothing may run in it.
    pub fn hand_over(&self) -> Result<Handed> {
        if let Some(run) = self.running()? {
            return Err(Error::Busy { sandbox: self.id().to_string(), run: run.id().to_string() });
        }
        let all = locked(self.project())?;
        let mut below = self.settled()?;
        if let Some(own) = present(self.own_folder().sub(OWN))?
            && let Some(content) = present(own.sub(CONTENT))?
            && !trash::is_empty(&content)?
        {
            let name = format!("l{}", random_hex()?);
            below.insert(0, name.clone());
            // Named first: whoever is killed in between leaves a name, and the next one to look moves the layer.
            self.write_stack(&below)?;
            self.own_folder().rename(OWN, &all, &name)?;
        }
        Ok(Handed { below, _held: all })
    }

    /// Forgets all that was changed in the sandbox.
    pub fn discard_changes(&self) -> Result<()> {
        if let Some(run) = self.running()? {
            return Err(Error::Busy { sandbox: self.id().to_string(), run: run.id().to_string() });
        }
        self.settled()?;
        self.own_folder().unlink(STACK)?;
        self.discard(OWN)?;
        self.project().ledger().append("changes_discarded", &json!({"sandbox": self.id()}))?;
        collect(self.project())
    }

    /// The names of the layers below, after a handing over that was cut short was ended.
    fn settled(&self) -> Result<Vec<String>> {
        let below = stack(self.own_folder())?;
        if let Some(top) = below.first() {
            let all = self.project().own_folder().sub_or_new(LAYERS)?;
            if !all.has(top)? && self.own_folder().has(OWN)? {
                self.own_folder().rename(OWN, &all, top)?;
            }
        }
        Ok(below)
    }

    fn write_stack(&self, below: &[String]) -> Result<()> {
        write_stack(self.own_folder(), below)
    }

    fn paths(&self, below: &[String]) -> Result<Vec<PathBuf>> {
        if below.is_empty() {
            return Ok(Vec::new());
        }
        let all = self.project().own_folder().sub(LAYERS)?;
        below.iter().map(|name| Ok(all.sub(name)?.path().to_path_buf())).collect()
    }
}

/// Puts layers below a sandbox that is being made.
pub(crate) fn put_below(folder: &Folder, handed: &Handed) -> Result<()> {
    if handed.below.is_empty() { Ok(()) } else { write_stack(folder, &handed.below) }
}

/// Removes layers that no sandbox names any more. While somebody hands one over, the next command does it.
pub(crate) fn collect(project: &Project) -> Result<()> {
    let Some(all) = present(project.own_folder().sub(LAYERS))? else { return Ok(()) };
    let names = all.names()?;
    if names.is_empty() || !lock::try_take(&all, all.path())? {
        return Ok(());
    }
    let mut named = BTreeSet::new();
    // In this order: one that is being made may get its name while one looks.
    for folder in [project.drafts()?, project.sandboxes_folder()?] {
        for name in folder.names()?.iter().filter(|name| *name != LATEST) {
            if let Ok(sandbox) = folder.sub(name) {
                named.extend(stack(&sandbox)?);
            }
        }
    }
    names.iter().filter(|name| !named.contains(*name)).try_for_each(|name| trash::tree(project, &all, name))
}

fn locked(project: &Project) -> Result<Folder> {
    let all = project.own_folder().sub_or_new(LAYERS)?;
    lock::take(&all, all.path(), lock::PATIENCE)?;
    Ok(all)
}

fn write_stack(folder: &Folder, below: &[String]) -> Result<()> {
    let bytes = serde_json::to_vec(&Below { version: VERSION, below: below.to_vec() })
        .map_err(|e| Error::damaged(folder.path(), e))?;
    folder.replace(STACK, &bytes, true)
}

fn stack(folder: &Folder) -> Result<Vec<String>> {
    let Some(bytes) = present(folder.read(STACK, MAX_STACK))? else { return Ok(Vec::new()) };
    let path = folder.path().join(STACK);
    let found: Below = serde_json::from_slice(&bytes).map_err(|e| Error::damaged(&path, e))?;
    let is_name =
        |name: &String| name.len() > 1 && name.starts_with('l') && name[1..].bytes().all(|b| b.is_ascii_hexdigit());
    match (found.version, found.below.iter().all(is_name)) {
        (VERSION, true) => Ok(found.below),
        (VERSION, false) => Err(Error::damaged(&path, "a layer in it has no name of aido's")),
        (other, _) => {
            Err(Error::damaged(&path, format_args!("it has version {other}, and this program knows {VERSION}")))
        }
    }
}
