//! Where each mount lies, and what it is looked at for before anything is built.

use super::{Ground, UPPER, WORK};
use crate::script::{OUTPUTS, Source};
use crate::source::{Seen, look_exactly};
use aido_runtime::{Error, Layer, Mount, MountKind};
use std::collections::HashMap;
use std::path::PathBuf;

/// Where a mount lies and what it needs.
pub(super) struct Place {
    /// Without the leading slash.
    pub(super) target: String,
    /// Index of the mount that it lies in; none: the root.
    pub(super) parent: Option<usize>,
    /// Where holes in it are made, below the base.
    pub(super) stage: String,
    /// A folder of the host, shown through a layer that holds its holes and hides what is hidden.
    pub(super) layered: bool,
    pub(super) source: Option<Seen>,
    /// A folder of the host that is changed itself.
    pub(super) open: bool,
    /// Where changes of it go.
    pub(super) upper: Option<Upper>,
    pub(super) number: usize,
}

/// The folders of a layer that takes changes, and of those below it that do not.
pub(super) struct Upper {
    pub(super) content: Source,
    pub(super) work: Source,
    pub(super) below: Vec<Source>,
}

impl Upper {
    fn look(layer: &Layer) -> Result<Upper, Error> {
        let look = |path: PathBuf| look_exactly(&path).map(|seen| seen.source);
        Ok(Upper {
            content: look(layer.folder.join(UPPER))?,
            work: look(layer.folder.join(WORK))?,
            below: layer.below.iter().map(|layer| look(layer.join(UPPER))).collect::<Result<_, _>>()?,
        })
    }
}

/// All mounts by what they need; each lies in the last one before it that is around it.
pub(super) fn places(ground: &Ground, mounts: &[Mount], layer: Option<&Layer>) -> Result<Vec<Place>, Error> {
    let mut places: Vec<Place> = Vec::new();
    // The last place at each target: there may be very many.
    let mut last: HashMap<String, usize> = HashMap::new();
    for (number, mount) in mounts.iter().enumerate() {
        let target = relative(&mount.target)?;
        let above = target.match_indices('/').map(|(at, _)| &target[..at]).chain([target.as_str()]);
        let parent = above.filter_map(|path| last.get(path)).copied().max();
        last.insert(target.clone(), number);
        let (stage, source, layered) = match &mount.kind {
            MountKind::Input { source, .. } => {
                let seen = look_exactly(source)?;
                // Through a layer the task cannot reach a socket or a pipe that the host makes there later.
                let layered = seen.folder;
                (format!("p{number}"), Some(seen), layered)
            }
            MountKind::Layered { source, .. } => (format!("p{number}"), Some(look_exactly(source)?), true),
            MountKind::Open { source, .. } => (format!("p{number}"), Some(look_exactly(source)?), false),
            MountKind::OutputFolder { path } | MountKind::OutputFile { path } => (output_path(path)?, None, false),
            MountKind::Scratch { .. } => (format!("s{number}"), None, false),
            MountKind::Text { .. } => (format!("t{number}"), None, false),
            // On the host root, which is a folder of ours, a plain folder is enough.
            MountKind::Empty => match (ground, parent) {
                (Ground::Host { .. }, None) => (format!("root/{target}"), None, false),
                _ => (format!("p{number}"), None, false),
            },
        };
        if let Some(parent) = parent {
            holds_holes(mount, &mounts[parent], &places[parent])?;
        }
        let upper = match (&mount.kind, layer) {
            (MountKind::Layered { .. }, Some(layer)) => Some(Upper::look(layer)?),
            (MountKind::Layered { .. }, None) => return Err(Error::new(format!("{target} has no layer"))),
            _ => None,
        };
        let open = matches!(mount.kind, MountKind::Open { .. });
        places.push(Place { target, parent, stage, layered, source, open, upper, number });
    }
    Ok(places)
}

fn holds_holes(mount: &Mount, parent: &Mount, place: &Place) -> Result<(), Error> {
    let file = matches!(parent.kind, MountKind::OutputFile { .. } | MountKind::Text { .. })
        || place.source.as_ref().is_some_and(|seen| !seen.folder);
    if file {
        return Err(Error::new(format!("{} cannot lie in {}, which is a file", mount.target, parent.target)));
    }
    Ok(())
}

/// A target without its leading slash; what climbs or repeats slashes is refused.
fn relative(target: &str) -> Result<String, Error> {
    let rest = target.strip_prefix('/').filter(|rest| plain(rest));
    rest.map(str::to_string).ok_or_else(|| Error::new(format!("{target:?} is no place for a mount")))
}

/// A path below something, without steps that climb or stay.
pub(crate) fn plain(path: &str) -> bool {
    !path.is_empty() && path.split('/').all(|part| !matches!(part, "" | "." | ".."))
}

fn output_path(path: &str) -> Result<String, Error> {
    let out = OUTPUTS.to_string_lossy();
    match path {
        "" => Ok(out.into_owned()),
        path if plain(path) => Ok(format!("{out}/{path}")),
        path => Err(Error::new(format!("{path:?} is no place for an output"))),
    }
}
