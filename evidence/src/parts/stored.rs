//! A run that lies in folders.

use super::{CONFIG, Content, Found, MAX_FILES, MAX_NAMES, OUTPUTS, Parts, RUN, Stop};
use crate::error::Result;
use crate::folder::{Folder, For, Kind, present};
use std::io::Read;

/// Folders inside folders; ours are never so deep.
const MAX_DEPTH: usize = 256;

const SANDBOX_YAML: &str = "sandbox.yaml";

/// Where the parts of one run lie.
#[derive(Clone, Debug)]
pub(crate) struct Stored {
    pub(crate) run: Folder,
    /// Where its `sandbox.yaml` lies.
    pub(crate) sandbox: Option<Folder>,
    /// None: they are not there to be looked at.
    pub(crate) outputs: Option<Folder>,
}

/// A file by its full name; what it is, where it is no plain file.
type Listed = (String, Option<String>);

impl Stored {
    /// All names, sorted, so that every way to read a run tells it alike.
    fn list(&self) -> std::result::Result<Vec<Listed>, Stop> {
        let mut found = Names::default();
        // Others may lie beside a copied run's files: they are told under their own names.
        let beside = |name: &str| {
            let same = |other: &Option<Folder>| other.as_ref().is_some_and(|o| o.path().starts_with(self.run.path()));
            (name == SANDBOX_YAML && same(&self.sandbox)) || (name == "outputs" && same(&self.outputs))
        };
        for (name, kind) in self.run.entries()? {
            let shown = name.to_string_lossy().into_owned();
            if !beside(&shown) {
                found.add(format!("{RUN}{shown}"), odd(kind, name.to_str().is_some()))?;
            }
        }
        if let Some(sandbox) = &self.sandbox
            && sandbox.has(SANDBOX_YAML)?
        {
            found.add(CONFIG.to_owned(), None)?;
        }
        if let Some(outputs) = &self.outputs {
            walk(outputs, &mut found)?;
        }
        found.all.sort();
        Ok(found.all)
    }

    /// Bytes in all of its files, as they are now.
    pub(super) fn bytes(&self) -> std::result::Result<u64, Stop> {
        let plain = self.list()?.into_iter().filter(|(_, odd)| odd.is_none());
        let sizes = plain.filter_map(|(name, _)| self.open(&name).ok()??.metadata().ok());
        Ok(sizes.map(|meta| meta.len()).sum())
    }

    fn open(&self, name: &str) -> Result<Option<std::fs::File>> {
        let file = |folder: &Option<Folder>, name: &str| match folder {
            Some(folder) => present(below(folder, name)),
            None => Ok(None),
        };
        match (name.strip_prefix(RUN), name.strip_prefix(OUTPUTS)) {
            (Some(own), _) => present(self.run.file(own, For::Reading)),
            (_, Some(output)) => file(&self.outputs, output),
            _ => file(&self.sandbox, SANDBOX_YAML),
        }
    }
}

impl Parts for Stored {
    fn each(
        &mut self,
        take: &mut dyn FnMut(Found<'_>) -> std::result::Result<(), Stop>,
    ) -> std::result::Result<(), Stop> {
        for (name, odd) in self.list()? {
            let name = name.as_str();
            if let Some(what) = odd {
                take(Found { name, content: Content::Odd(what) })?;
                continue;
            }
            match self.open(name) {
                // Gone since it was listed.
                Ok(None) => {}
                Ok(Some(file)) => {
                    let size = file.metadata().map_err(|e| crate::Error::io("look at", name.as_ref(), e))?.len();
                    // One that grows meanwhile is read as far as it was when it was looked at.
                    take(Found { name, content: Content::Plain(size, &mut file.take(size)) })?;
                }
                Err(error) => take(Found { name, content: Content::Odd(format!("cannot be read: {error}")) })?,
            }
        }
        Ok(())
    }
}

#[derive(Default)]
struct Names {
    all: Vec<Listed>,
    bytes: usize,
}

impl Names {
    fn add(&mut self, name: String, odd: Option<String>) -> std::result::Result<(), Stop> {
        self.bytes += name.len();
        if self.all.len() == MAX_FILES || self.bytes > MAX_NAMES {
            return Err(Stop::Refused(format!("it has more than {MAX_FILES} files, or {MAX_NAMES} bytes of names")));
        }
        self.all.push((name, odd));
        Ok(())
    }
}

/// Every file below, by descriptors. Empty folders hold nothing that could be signed.
fn walk(top: &Folder, found: &mut Names) -> std::result::Result<(), Stop> {
    let mut open = vec![(String::new(), 0)];
    while let Some((path, depth)) = open.pop() {
        let folder = path.split('/').filter(|part| !part.is_empty()).try_fold(top.clone(), |at, part| at.sub(part));
        let entries = match folder.and_then(|folder| folder.entries()) {
            Ok(entries) => entries,
            Err(error) => {
                found.add(format!("{OUTPUTS}{path}"), Some(format!("cannot be read: {error}")))?;
                continue;
            }
        };
        for (name, kind) in entries {
            let is_text = name.to_str().is_some();
            let below = format!("{path}{}", name.to_string_lossy());
            match kind {
                Kind::Folder if is_text && depth < MAX_DEPTH => open.push((format!("{below}/"), depth + 1)),
                Kind::Folder => {
                    found.add(format!("{OUTPUTS}{below}"), Some("is a folder that aido would not make".into()))?;
                }
                kind => found.add(format!("{OUTPUTS}{below}"), odd(kind, is_text))?,
            }
        }
    }
    Ok(())
}

fn odd(kind: Kind, is_text: bool) -> Option<String> {
    match kind {
        Kind::File if is_text => None,
        Kind::File => Some("has a name that is no text".to_owned()),
        Kind::Folder => Some("is a folder".to_owned()),
        Kind::Link => Some("is a symbolic link".to_owned()),
        _ => Some("is no plain file".to_owned()),
    }
}

/// A file below a folder, through no link.
fn below(top: &Folder, path: &str) -> Result<std::fs::File> {
    match path.rsplit_once('/') {
        None => top.file(path, For::Reading),
        Some((folder, name)) => {
            folder.split('/').try_fold(top.clone(), |at, part| at.sub(part))?.file(name, For::Reading)
        }
    }
}
