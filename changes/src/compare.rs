//! Two sandboxes over one project: where what they made of it differs.

use crate::change::Effect;
use crate::{Changes, Entry, Mode, RelPath, entry};
use serde::Serialize;
use std::collections::BTreeMap;

/// A path that two sandboxes leave different.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Difference {
    pub path: RelPath,
    pub before: Option<Entry>,
    pub a: Option<Entry>,
    pub b: Option<Entry>,
}

type Effects<'a> = BTreeMap<&'a RelPath, Effect<'a>>;

/// The paths, sorted, that are not the same in both; what one of them left alone is in it as in the project.
pub fn compare(a: &Changes, b: &Changes) -> Vec<Difference> {
    let (of_a, of_b) = (a.effects(), b.effects());
    let mut paths: Vec<&RelPath> = of_a.keys().chain(of_b.keys()).copied().collect();
    paths.sort();
    paths.dedup();
    let differences = paths.into_iter().filter_map(|path| {
        let (in_a, in_b) = (of_a.get(path), of_b.get(path));
        let before = in_a.and_then(|effect| effect.before).or(in_b.and_then(|effect| effect.before));
        let after_a = in_a.map_or(before, |effect| effect.after);
        let after_b = in_b.map_or(before, |effect| effect.after);
        // A folder that only one of them tells of may be told by what lies in it in the other.
        let tells =
            |effects: &Effects<'_>| effects.iter().any(|(p, e)| e.after.is_some() && *p != path && p.is_within(path));
        let folder = |entry: Option<&Entry>| entry.is_some_and(|entry| entry.mode == Mode::Folder);
        if (folder(after_a) && after_b.is_none() && tells(&of_b))
            || (folder(after_b) && after_a.is_none() && tells(&of_a))
        {
            return None;
        }
        let [before, a, b] = [before, after_a, after_b].map(|entry| entry.cloned());
        (!entry::same(a.as_ref(), b.as_ref())).then(|| Difference { path: path.clone(), before, a, b })
    });
    differences.collect()
}
