//! Which files lie in a folder of the project after an apply: what nobody obeys alone may be obeyed beside another.

use crate::change::Effect;
use crate::{Error, Folder, Mode, RelPath, beneath};
use std::cell::OnceCell;
use std::collections::{BTreeMap, HashSet};
use std::io::ErrorKind;

type Chosen<'a> = BTreeMap<&'a RelPath, Effect<'a>>;

/// The files that come, their paths in lower case; made when the first is asked for.
#[derive(Default)]
pub(super) struct After(OnceCell<HashSet<Vec<u8>>>);

impl After {
    /// Whether a file of that name, in upper or lower case, will be beside a path.
    pub(super) fn has(&self, project: &Folder, chosen: &Chosen<'_>, path: &RelPath, name: &str) -> bool {
        let folder = path.parent();
        let wanted = folder.join(name.as_bytes()).as_bytes().to_ascii_lowercase();
        self.0.get_or_init(|| coming(chosen)).contains(&wanted) || stays(project, chosen, &folder, name.as_bytes())
    }
}

fn coming(chosen: &Chosen<'_>) -> HashSet<Vec<u8>> {
    let comes = |effect: &Effect<'_>| effect.after.is_some_and(|after| after.mode != Mode::Folder);
    chosen.iter().filter(|(_, effect)| comes(effect)).map(|(path, _)| path.as_bytes().to_ascii_lowercase()).collect()
}

/// Whether the project has it, and nothing that was chosen takes it away.
fn stays(project: &Folder, chosen: &Chosen<'_>, folder: &RelPath, name: &[u8]) -> bool {
    let mut found = Vec::new();
    let listed = project.names(folder, &mut |seen| {
        found.extend(seen.eq_ignore_ascii_case(name).then(|| folder.join(seen)));
        Ok(())
    });
    match listed {
        Ok(()) => {}
        // No folder is there, or a link whose place one takes; where none does, the path is refused for the link.
        Err(Error::Refused(_)) => return false,
        Err(Error::Io { error, .. }) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            return false;
        }
        // What cannot be looked at may be there.
        Err(_) => return true,
    }
    let is_folder = |path: &RelPath| match project.handle(path).map(|handle| handle.map(|fd| beneath::stat(fd, path))) {
        Ok(Some(Ok(stat))) => rustix::fs::FileType::from_raw_mode(stat.st_mode).is_dir(),
        _ => false,
    };
    let is_left = |path: &RelPath| chosen.get(path).is_none_or(|effect| effect.after.is_some());
    found.iter().any(|path| is_left(path) && !is_folder(path))
}
