//! A layer that takes what a task changes in a folder of the host: made ready for the mount, and measured while the
//! task runs, since no quota bounds it.

mod meter;
mod nameless;

pub(crate) use meter::{Meter, Over};

use crate::layout::{UPPER, WORK};
use aido_runtime::{Error, Layer, Mount, MountKind, Plan};
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, lchown};
use std::path::Path;

/// How much larger than the bound on all files a single one may become: enough blocks to be over it.
pub(crate) const BEYOND: u64 = 1 << 16;

/// Whether a plan has a place that can be changed by way of a layer.
pub(crate) fn wanted(plan: &Plan) -> bool {
    plan.mounts.iter().any(|mount| matches!(mount.kind, MountKind::Layered { .. }))
}

/// Gives a layer an empty folder to work in. What an earlier run left there is of no use: the kernel refuses it,
/// since nothing says that it ever came to the disk (`volatile`), and what did not matters to nobody but to that run.
pub(crate) fn make_ready(layer: &Layer) -> Result<(), Error> {
    let work = layer.folder.join(WORK);
    let made = empty(&work).and_then(|()| fs::create_dir(&work));
    made.map_err(|e| Error::new(format!("cannot make {} ready: {e}", work.display())))
}

/// Leaves nothing of the kernel's own behind that its owner could not remove by ordinary means.
pub(crate) fn leave(layer: &Layer) {
    // What stays all the same is in nobody's way: the next run empties it, and so does a removal.
    let _ = empty(&layer.folder.join(WORK));
}

/// The folder that is shown has the owner of its topmost layer: where root has made that one, it is given to the owner
/// of what lies below.
pub(crate) fn give(layer: &Layer, plan: &Plan) -> Result<(), Error> {
    let layered = |mount: &Mount| match &mount.kind {
        MountKind::Layered { source, .. } => Some(source.clone()),
        _ => None,
    };
    let Some(source) = plan.mounts.iter().find_map(layered) else { return Ok(()) };
    let content = layer.folder.join(UPPER);
    let given = source.metadata().and_then(|shown| {
        let own = content.symlink_metadata()?;
        let same = (own.uid(), own.gid()) == (shown.uid(), shown.gid());
        match crate::ids::root_of_many() && !same {
            true => lchown(&content, Some(shown.uid()), Some(shown.gid())),
            false => Ok(()),
        }
    });
    // An owner who is not among the ids that this root has is nobody's to give, and nobody in the sandbox either.
    let given = given.or_else(|e| if e.kind() == std::io::ErrorKind::InvalidInput { Ok(()) } else { Err(e) });
    given.map_err(|e| Error::new(format!("cannot give {} the project's owner: {e}", content.display())))
}

/// Removes a folder of the kernel's own making, whatever the modes in it.
fn empty(folder: &Path) -> std::io::Result<()> {
    match open_up(folder) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(e) => Err(e),
        Ok(()) => fs::remove_dir_all(folder),
    }
}

/// The kernel keeps its folders closed to everybody; what it was copying has any mode.
fn open_up(folder: &Path) -> std::io::Result<()> {
    fs::set_permissions(folder, fs::Permissions::from_mode(0o700))?;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            open_up(&entry.path())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_kernel_left_closed_is_removed() {
        let scratch = tempfile::tempdir().unwrap();
        let work = scratch.path().join("work");
        fs::create_dir_all(work.join("work/#1/deep")).unwrap();
        fs::create_dir_all(work.join("work/incompat/volatile")).unwrap();
        std::os::unix::fs::symlink("/", work.join("work/out")).unwrap();
        for closed in ["work/#1/deep", "work/#1", "work"] {
            fs::set_permissions(work.join(closed), fs::Permissions::from_mode(0o000)).unwrap();
        }
        empty(&work).unwrap();
        assert!(!work.exists());
        empty(&work).unwrap();
    }
}
