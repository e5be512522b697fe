//! The check before the first write: which steps bring the changes in, in which order, and what is refused.

use super::{Clash, Options, Refusal, Step, Why};
use crate::base::{self, Was};
use crate::change::Effect;
use crate::path::names_git;
use crate::read::{self, Budget};
use crate::{Base, Changes, Entry, Error, Folder, Limits, Mode, RelPath, Result, entry};
use std::collections::{BTreeMap, BTreeSet};

#[derive(Default)]
pub(super) struct Plan {
    pub(super) steps: Vec<Step>,
    pub(super) refused: Vec<Refusal>,
    pub(super) already: Vec<RelPath>,
}

struct Planning<'a> {
    changes: &'a Changes,
    options: &'a Options<'a>,
    chosen: BTreeMap<&'a RelPath, Effect<'a>>,
    budget: Budget,
    plan: Plan,
    /// What must go before something else can come.
    clearing: Vec<Step>,
    making: BTreeMap<RelPath, Step>,
    removing: Vec<Step>,
}

impl Plan {
    pub(super) fn make(changes: &Changes, options: &Options<'_>) -> Result<Plan> {
        options.base.map_or(Ok(()), |base| base.is_readable())?;
        let mut chosen = changes.effects();
        chosen.retain(|path, _| options.selection.has(path));
        let mut planning = Planning {
            changes,
            options,
            chosen,
            budget: Budget::new(&changes.limits),
            plan: Plan::default(),
            clearing: Vec::new(),
            making: BTreeMap::new(),
            removing: Vec::new(),
        };
        for path in planning.chosen.keys().copied().collect::<Vec<_>>() {
            if let Err(why) = planning.path(path)? {
                planning.plan.refused.push(Refusal { path: path.clone(), why });
            }
        }
        Ok(planning.ordered())
    }

    /// What the project has at the paths that need nothing.
    pub(super) fn left(&self, project: &Folder) -> Base {
        let mut left = Base::default();
        for path in &self.already {
            if let Ok(seen) = read::look(project, path, &mut Budget::new(&Limits::default())) {
                left.files.insert(path.clone(), seen.as_ref().map(Was::of));
            }
        }
        left
    }
}

type Checked = std::result::Result<(), Why>;

impl Planning<'_> {
    fn path(&mut self, path: &RelPath) -> Result<Checked> {
        let effect = self.chosen[path].clone();
        if let Err(why) = self.is_allowed(path, &effect) {
            return Ok(Err(why));
        }
        let absent = match self.way(path, effect.after.is_some())? {
            Ok(absent) => absent,
            Err(why) => return Ok(Err(why)),
        };
        let known = self.options.base.and_then(|base| base.files.get(path));
        let started = self.options.started.filter(|_| known.is_none());
        let was = known.or_else(|| self.changes.base.files.get(path)).cloned().flatten();
        let is = if absent {
            None
        } else {
            read::look(&self.changes.project, path, &mut self.budget)?.as_ref().map(Was::of)
        };
        if entry::same(is.as_ref().map(|is| &is.entry), effect.after) {
            self.plan.already.push(path.clone());
            return Ok(Ok(()));
        }
        if let (true, Some(was)) = (absent && !self.is_replaced(path), &was) {
            // It went away with the folder around it.
            let becomes = effect.after.cloned();
            let clash = Clash { was: Some(was.entry.clone()), is: None, becomes, touched: false };
            return Ok(Err(Why::Changed(Box::new(clash))));
        }
        if !absent {
            let project = &self.changes.project;
            let drift = base::drift(project, path, was.as_ref(), started, &mut self.budget)?;
            if let Some(base::Drift { was, is, touched, .. }) = drift {
                let becomes = effect.after.cloned();
                return Ok(Err(Why::Changed(Box::new(Clash { was, is, becomes, touched }))));
            }
        }
        self.steps(path, &effect, is.as_ref())
    }

    fn is_allowed(&self, path: &RelPath, effect: &Effect<'_>) -> Checked {
        if path.is_in_git() {
            return Err(Why::Git);
        }
        if effect.hidden {
            return Err(Why::Hidden);
        }
        let entries = [effect.after, effect.before];
        if let Some(what) = entries.iter().flatten().find_map(|entry| entry.unfit.clone()) {
            return Err(Why::Unfit(what));
        }
        if let Some(why) = (self.options.active)(path).filter(|_| !self.options.allow_active) {
            return Err(Why::Active(why));
        }
        match effect.after.and_then(|after| after.target.as_ref()) {
            Some(target) if !self.options.allow_links_out && leads_out(path, &target.0) => {
                Err(Why::LeadsOut(target.to_string()))
            }
            _ => Ok(()),
        }
    }

    /// Looks at the folders above. Returns whether one is missing or will be replaced, so that nothing is at the path;
    /// plans the missing ones where something comes there.
    fn way(&mut self, path: &RelPath, comes: bool) -> Result<std::result::Result<bool, Why>> {
        let mut absent = false;
        for above in path.above() {
            if !absent {
                let is = match read::look(&self.changes.project, &above, &mut self.budget) {
                    Ok(seen) => seen.map(|seen| seen.entry),
                    Err(Error::Refused(what)) => return Ok(Err(Why::Through(what))),
                    Err(e) => return Err(e),
                };
                match is {
                    Some(is) if is.mode == Mode::Folder => continue,
                    None => absent = true,
                    Some(_) if !comes || self.goes(&above) => absent = true,
                    Some(is) if is.mode == Mode::Link => {
                        return Ok(Err(Why::Through(format!(
                            "the project's `{above}` is a link, and none is followed"
                        ))));
                    }
                    Some(is) => return Ok(Err(Why::InTheWay(format!("the project's `{above}` is {}", is.words())))),
                }
            }
            if comes {
                self.make(&above);
            }
        }
        Ok(Ok(absent))
    }

    /// Whether the chosen changes take away what is no folder at a path.
    fn goes(&self, path: &RelPath) -> bool {
        self.chosen.get(path).is_some_and(|effect| effect.after.is_none_or(|after| after.mode == Mode::Folder))
    }

    /// Whether the chosen changes put a folder in the place of something else above a path.
    fn is_replaced(&self, path: &RelPath) -> bool {
        path.above().any(|above| self.chosen.contains_key(&above))
    }

    fn make(&mut self, folder: &RelPath) {
        let step = step(folder, None, Some(&Entry::folder()), None);
        self.making.entry(folder.clone()).or_insert(step);
    }

    fn steps(&mut self, path: &RelPath, effect: &Effect<'_>, is: Option<&Was>) -> Result<Checked> {
        let after = effect.after;
        let is_folder = |entry: Option<&Entry>| entry.is_some_and(|entry| entry.mode == Mode::Folder);
        let (from_folder, to_folder) = (is_folder(is.map(|is| &is.entry)), is_folder(after));
        match (is, after) {
            (Some(is), None) => self.removing.push(step(path, Some(is), None, None)),
            // A folder for a file or a file for a folder: one must go before the other can come.
            (Some(is), Some(after)) if from_folder != to_folder => {
                if let Err(why) = self.is_cleared(path, from_folder)? {
                    return Ok(Err(why));
                }
                self.clearing.push(step(path, Some(is), None, None));
                self.making.insert(path.clone(), step(path, None, Some(after), effect.layer));
            }
            (is, after) => {
                self.making.insert(path.clone(), step(path, is, after, effect.layer));
            }
        }
        Ok(Ok(()))
    }

    /// Whether all that lies in a folder goes too.
    fn is_cleared(&self, path: &RelPath, is_folder: bool) -> Result<Checked> {
        let mut todo: Vec<RelPath> = is_folder.then(|| path.clone()).into_iter().collect();
        while let Some(folder) = todo.pop() {
            let mut names = Vec::new();
            self.changes.project.names(&folder, &mut |name| {
                names.push(folder.join(name));
                Ok(())
            })?;
            for path in names {
                if self.chosen.get(&path).is_none_or(|effect| effect.after.is_some()) {
                    return Ok(Err(Why::InTheWay(format!("the folder would become a file, and `{path}` is in it"))));
                }
                let handle = self.changes.project.handle(&path)?;
                let stat = handle.map(|handle| crate::beneath::stat(handle, &path)).transpose()?;
                if stat.is_some_and(|stat| rustix::fs::FileType::from_raw_mode(stat.st_mode).is_dir()) {
                    todo.push(path);
                }
            }
        }
        Ok(Ok(()))
    }

    /// What is in the way goes first, deepest first; then all that comes, folders before what lies in them; then what
    /// else goes, the deepest first.
    fn ordered(mut self) -> Plan {
        let comes: BTreeSet<RelPath> = self.making.values().flat_map(|step| step.path.above()).collect();
        let cleared: BTreeSet<RelPath> = self.clearing.iter().map(|step| step.path.clone()).collect();
        let is_in_the_way = |step: &Step| {
            let is_folder = step.from.as_ref().is_some_and(|from| from.mode == Mode::Folder);
            (!is_folder && comes.contains(&step.path)) || step.path.above().any(|above| cleared.contains(&above))
        };
        let (first, mut last): (Vec<Step>, Vec<Step>) = self.removing.into_iter().partition(is_in_the_way);
        self.clearing.extend(first);
        self.clearing.sort_by(|a, b| b.path.cmp(&a.path));
        last.sort_by(|a, b| b.path.cmp(&a.path));
        self.plan.steps = self.clearing;
        self.plan.steps.extend(self.making.into_values());
        self.plan.steps.extend(last);
        self.plan
    }
}

fn step(path: &RelPath, from: Option<&Was>, to: Option<&Entry>, layer: Option<usize>) -> Step {
    let permissions = from.map_or(0, |was| was.permissions);
    let from = from.map(|was| was.entry.clone());
    let kept = from.as_ref().filter(|from| from.mode.is_file()).map(|_| permissions & 0o666);
    let becomes = match to.map(|to| to.mode) {
        Some(Mode::Folder) => 0o755,
        // A file that the project keeps closed stays closed.
        Some(Mode::Executable) => kept.map_or(0o755, |kept| kept | 0o100 | ((kept & 0o044) >> 2)),
        Some(_) => kept.unwrap_or(0o644),
        None => 0,
    };
    // What asks to run as somebody else does so no more.
    let to = to.cloned().map(|to| Entry { setid: false, ..to });
    Step { path: path.clone(), from, to, permissions, becomes, layer }
}

/// Whether a link may lead out of the project, or into `.git`. Steps upwards are taken at its beginning only: after a
/// name that is a link itself they could lead anywhere.
fn leads_out(path: &RelPath, target: &[u8]) -> bool {
    let mut up = 0;
    let mut down = false;
    for name in target.split(|b| *b == b'/') {
        match name {
            b"" | b"." => {}
            b".." if down => return true,
            b".." => up += 1,
            _ => down = true,
        }
    }
    target.starts_with(b"/") || up > path.above().count() || names_git(target)
}
