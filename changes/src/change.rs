//! What changed: the list that everything else is made of.

use crate::base::Was;
use crate::merge::Merge;
use crate::{Base, Entry, Folder, Limits, RelPath, Result, Stack, rename};
use serde::Serialize;
use std::collections::BTreeMap;

/// How a path changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    Deleted,
    Added,
    Modified,
    /// The same content at another path, or text of which so many per cent are the same.
    Renamed {
        from: RelPath,
        similarity: u8,
    },
    /// Only the executable bit.
    Mode,
    /// The target of a symbolic link.
    Link,
    /// A file became a link, or the like. A folder that became a file, or the other way round, is a deletion and an
    /// addition.
    Type,
}

/// One path that changed.
#[derive(Debug, Clone, Serialize)]
pub struct Change {
    pub path: RelPath,
    pub kind: Kind,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub before: Option<Entry>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<Entry>,
    /// Either content is binary, as git tells it.
    pub binary: bool,
    /// It lies where the task was not shown the project's files.
    pub hidden: bool,
    /// Which layer holds what is there now.
    #[serde(skip)]
    pub(crate) layer: Option<usize>,
}

impl Change {
    /// Why it can be neither put into a patch nor applied.
    pub fn unfit(&self) -> Option<&str> {
        [&self.after, &self.before].into_iter().find_map(|entry| entry.as_ref()?.unfit.as_deref())
    }
}

/// What became a folder.
static FOLDER: Entry = Entry::folder();

/// What reading the changes took: it grows with the layers and with deleted folders, not with the project.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Cost {
    /// Names seen in layers.
    pub layer_entries: u64,
    /// Names seen in the project: those that changed, and all in folders that were deleted.
    pub project_entries: u64,
    /// Bytes of content read.
    pub bytes: u64,
}

/// All that a stack of layers changed in a project: deletions first, then by path; never cut short.
#[derive(Debug, Serialize)]
pub struct Changes {
    pub list: Vec<Change>,
    pub cost: Cost,
    /// What the project had at these paths.
    #[serde(skip)]
    pub base: Base,
    #[serde(skip)]
    pub(crate) stack: Stack,
    #[serde(skip)]
    pub(crate) project: Folder,
    #[serde(skip)]
    pub(crate) limits: Limits,
}

/// What one path was and becomes: a rename is two of them, a folder that becomes a file is one.
#[derive(Debug, Clone)]
pub(crate) struct Effect<'a> {
    pub(crate) before: Option<&'a Entry>,
    pub(crate) after: Option<&'a Entry>,
    pub(crate) layer: Option<usize>,
    pub(crate) hidden: bool,
}

impl Changes {
    /// Reads what the layers changed. `hidden`: where the task was not shown what the project has.
    pub fn of(stack: Stack, project: Folder, hidden: &[RelPath], limits: &Limits) -> Result<Changes> {
        let (mut list, base, mut cost) = Merge::new(&stack, &project, hidden, limits).run()?;
        rename::find(&mut list, &stack, &project, &mut cost);
        list.sort_by(|a, b| (a.kind != Kind::Deleted, &a.path).cmp(&(b.kind != Kind::Deleted, &b.path)));
        Ok(Changes { list, cost, base, stack, project, limits: limits.clone() })
    }

    /// Whether nothing changed.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// By path, what was and what becomes.
    pub(crate) fn effects(&self) -> BTreeMap<&RelPath, Effect<'_>> {
        let mut effects: BTreeMap<&RelPath, Effect<'_>> = BTreeMap::new();
        for change in &self.list {
            let nothing = Effect { before: None, after: None, layer: None, hidden: change.hidden };
            let mut before_at = &change.path;
            if let Kind::Renamed { from, .. } = &change.kind {
                before_at = from;
            }
            if let Some(before) = &change.before {
                effects.entry(before_at).or_insert_with(|| nothing.clone()).before = Some(before);
            }
            let effect = effects.entry(&change.path).or_insert(nothing);
            if change.after.is_some() {
                (effect.after, effect.layer) = (change.after.as_ref(), change.layer);
            }
        }
        // A file that is gone, and in whose place there is a folder now: what lies in it tells that.
        let comes = self.list.iter().filter(|change| change.after.is_some());
        for above in comes.flat_map(|change| change.path.above()) {
            if let Some(effect) = effects.get_mut(&above).filter(|effect| effect.after.is_none()) {
                effect.after = Some(&FOLDER);
            }
        }
        effects
    }
}

impl Change {
    pub(crate) fn new(
        path: RelPath,
        before: Option<&Was>,
        after: Option<(Entry, Option<usize>)>,
        hidden: bool,
    ) -> Self {
        let before = before.map(|was| was.entry.clone());
        let (after, layer) = after.map_or((None, None), |(entry, layer)| (Some(entry), layer));
        let kind = kind(before.as_ref(), after.as_ref());
        let binary = [&before, &after].iter().any(|entry| entry.as_ref().is_some_and(|entry| entry.binary));
        Change { path, kind, before, after, binary, hidden, layer }
    }
}

fn kind(before: Option<&Entry>, after: Option<&Entry>) -> Kind {
    use crate::Mode::Link;
    match (before, after) {
        (_, None) => Kind::Deleted,
        (None, Some(_)) => Kind::Added,
        (Some(a), Some(b)) if a.mode.is_file() && b.mode.is_file() => {
            if a.is_same_content(b) {
                Kind::Mode
            } else {
                Kind::Modified
            }
        }
        (Some(a), Some(b)) if (a.mode, b.mode) == (Link, Link) => Kind::Link,
        _ => Kind::Type,
    }
}
