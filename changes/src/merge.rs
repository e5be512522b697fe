//! Walks the layers as the kernel merges them, beside the project. Folders wait in a list and are opened anew by their
//! paths, so that no depth of a tree takes a stack or descriptors.

use crate::base::Was;
use crate::layer::Held;
use crate::read::{self, Budget};
use crate::{Base, Change, Cost, Entry, Folder, Limits, Mode, RelPath, Result, Stack, entry};
use std::collections::BTreeMap;

/// The project's side of a folder that the layers have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Below {
    /// The project has no folder there.
    Nothing,
    /// What the layers do not name is the project's.
    Shown,
    /// The project has a folder there, and the task deleted it before it made its own.
    Covered,
}

/// A folder of the merged tree.
struct Merged {
    path: RelPath,
    /// The layers that have it and are seen, the topmost first.
    layers: Vec<usize>,
    below: Below,
}

/// What the layers make of a path.
enum Seen {
    Gone,
    Leaf(usize),
    Folder { layers: Vec<usize>, opaque: bool },
}

pub(crate) struct Merge<'a> {
    stack: &'a Stack,
    project: &'a Folder,
    hidden: &'a [RelPath],
    budget: Budget,
    list: Vec<Change>,
    base: Base,
    todo: Vec<Merged>,
}

impl<'a> Merge<'a> {
    pub(crate) fn new(stack: &'a Stack, project: &'a Folder, hidden: &'a [RelPath], limits: &Limits) -> Self {
        let budget = Budget::new(limits);
        Merge { stack, project, hidden, budget, list: Vec::new(), base: Base::default(), todo: Vec::new() }
    }

    pub(crate) fn run(mut self) -> Result<(Vec<Change>, Base, Cost)> {
        let layers = (0..self.stack.len()).collect();
        self.todo.push(Merged { path: RelPath::top(), layers, below: Below::Shown });
        while let Some(folder) = self.todo.pop() {
            self.folder(&folder)?;
        }
        Ok((self.list, self.base, self.budget.cost))
    }

    fn folder(&mut self, folder: &Merged) -> Result<()> {
        let names = self.names(folder)?;
        let mut empty = true;
        for (name, layers) in &names {
            let path = folder.path.join(name);
            let seen = self.seen(&path, layers)?;
            empty &= matches!(seen, Seen::Gone);
            self.name(path, seen, folder.below)?;
        }
        match folder.below {
            Below::Covered => self.rest_is_gone(folder, &names),
            Below::Nothing if empty => {
                let (path, hidden) = (folder.path.clone(), self.is_hidden(&folder.path));
                self.tell(Change::new(path, None, Some((Entry::folder(), None)), hidden))
            }
            Below::Nothing | Below::Shown => Ok(()),
        }
    }

    /// The names in a folder, each with the layers that have it.
    fn names(&mut self, folder: &Merged) -> Result<BTreeMap<Vec<u8>, Vec<usize>>> {
        let mut names: BTreeMap<Vec<u8>, Vec<usize>> = BTreeMap::new();
        let budget = &mut self.budget;
        for layer in &folder.layers {
            self.stack.layer(*layer).names(&folder.path, &mut |name| {
                budget.layer_name(name)?;
                names.entry(name.to_vec()).or_default().push(*layer);
                Ok(())
            })?;
        }
        Ok(names)
    }

    /// What the topmost layers that have a name make of it.
    fn seen(&self, path: &RelPath, layers: &[usize]) -> Result<Seen> {
        let mut folders = Vec::new();
        let mut opaque = false;
        if read::is_too_long(path) {
            return Ok(Seen::Leaf(layers[0]));
        }
        for layer in layers {
            match self.stack.held(*layer, path)? {
                Held::Nothing => {}
                Held::Leaf if folders.is_empty() => return Ok(Seen::Leaf(*layer)),
                Held::Whiteout if folders.is_empty() => return Ok(Seen::Gone),
                Held::Leaf | Held::Whiteout => {
                    opaque = true;
                    break;
                }
                Held::Folder { opaque: is } => {
                    folders.push(*layer);
                    opaque = is;
                    if opaque {
                        break;
                    }
                }
            }
        }
        match folders.is_empty() {
            // It went away between the listing and the look: the sandbox is at work.
            true => Ok(Seen::Gone),
            false => Ok(Seen::Folder { layers: folders, opaque }),
        }
    }

    /// One name: the project's file beside what the layers make of it.
    fn name(&mut self, path: RelPath, seen: Seen, parent: Below) -> Result<()> {
        let before = match parent {
            Below::Nothing => None,
            Below::Shown | Below::Covered => self.project(&path)?,
        };
        let was_folder = before.as_ref().is_some_and(|was| was.entry.mode == Mode::Folder);
        match seen {
            Seen::Gone => self.gone(path, before),
            Seen::Leaf(layer) if was_folder => {
                self.gone(path.clone(), before)?;
                self.leaf(path, None, layer)
            }
            Seen::Leaf(layer) => self.leaf(path, before, layer),
            Seen::Folder { layers, opaque } => {
                let below = match was_folder {
                    true if opaque || parent == Below::Covered => Below::Covered,
                    true => Below::Shown,
                    false => Below::Nothing,
                };
                if !was_folder {
                    self.gone(path.clone(), before)?;
                }
                self.budget.hold(path.as_bytes().len())?;
                self.todo.push(Merged { path, layers, below });
                Ok(())
            }
        }
    }

    fn leaf(&mut self, path: RelPath, before: Option<Was>, layer: usize) -> Result<()> {
        let after = match read::is_too_long(&path) {
            true => Entry::unfit(Mode::Special, 0, "a path that is too long for the kernel"),
            false => match read::look(self.stack.layer(layer), &path, &mut self.budget)? {
                Some(seen) => seen.entry,
                None => return Ok(()),
            },
        };
        let hidden = self.is_hidden(&path);
        let gains_setid = after.setid && before.as_ref().is_none_or(|was| !was.entry.setid);
        if !gains_setid && entry::same(before.as_ref().map(|was| &was.entry), Some(&after)) {
            return Ok(());
        }
        if before.is_some() {
            self.remember(&path, before.as_ref())?;
        }
        self.tell(Change::new(path, before.as_ref(), Some((after, Some(layer))), hidden))
    }

    /// What the project had at a path is gone; of a folder all that it held is named.
    fn gone(&mut self, path: RelPath, before: Option<Was>) -> Result<()> {
        let mut todo = vec![(path, before)];
        while let Some((path, before)) = todo.pop() {
            let Some(was) = before else { continue };
            if was.entry.mode == Mode::Folder {
                for name in self.project_names(&path)? {
                    let below = path.join(&name);
                    let before = self.project(&below)?;
                    todo.push((below, before));
                }
            }
            self.remember(&path, Some(&was))?;
            let hidden = self.is_hidden(&path);
            self.tell(Change::new(path, Some(&was), None, hidden))?;
        }
        Ok(())
    }

    /// Of a folder that the task made anew: what the project has there and the layers do not name.
    fn rest_is_gone(&mut self, folder: &Merged, names: &BTreeMap<Vec<u8>, Vec<usize>>) -> Result<()> {
        for name in self.project_names(&folder.path)? {
            if !names.contains_key(&name) {
                let path = folder.path.join(&name);
                let before = self.project(&path)?;
                self.gone(path, before)?;
            }
        }
        Ok(())
    }

    fn project_names(&mut self, path: &RelPath) -> Result<Vec<Vec<u8>>> {
        let mut names = Vec::new();
        let budget = &mut self.budget;
        self.project.names(path, &mut |name| {
            budget.project_name(name)?;
            names.push(name.to_vec());
            Ok(())
        })?;
        Ok(names)
    }

    fn project(&mut self, path: &RelPath) -> Result<Option<Was>> {
        self.budget.cost.project_entries += 1;
        Ok(read::look(self.project, path, &mut self.budget)?.as_ref().map(Was::of))
    }

    fn remember(&mut self, path: &RelPath, was: Option<&Was>) -> Result<()> {
        self.budget.hold(path.as_bytes().len())?;
        self.base.files.insert(path.clone(), was.cloned());
        Ok(())
    }

    fn tell(&mut self, change: Change) -> Result<()> {
        self.budget.hold(change.path.as_bytes().len())?;
        if change.after.is_some() && change.before.is_none() {
            self.base.files.entry(change.path.clone()).or_insert(None);
        }
        self.list.push(change);
        Ok(())
    }

    fn is_hidden(&self, path: &RelPath) -> bool {
        self.hidden.iter().any(|hidden| path.is_within(hidden))
    }
}
