//! Where layers are unpacked while something watches all that lies around.

use super::tree::BUDGET;
use super::{readings, tree};
use crate::layer::unpack_within;
use crate::origin::fuzzed_archive;
use crate::recipe::{KEPT, Pen, TAPE, beside};
use crate::{Kind, Ownership, beneath};
use std::os::fd::AsFd;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

/// A folder with canaries around the place where layers are unpacked.
pub struct Room {
    dir: PathBuf,
}

impl Room {
    /// Fills the empty folder `dir`, which is the caller's to remove.
    ///
    /// # Panics
    /// Where the folder cannot be filled.
    pub fn new(dir: &Path) -> Room {
        let fill = || -> std::io::Result<()> {
            std::fs::write(dir.join("canary"), "alive")?;
            std::fs::DirBuilder::new().mode(0o700).create(dir.join("closed"))?;
            std::fs::write(dir.join("closed/inside"), "alive")?;
            std::os::unix::fs::symlink("canary", dir.join("link"))?;
            std::os::unix::fs::symlink(dir, dir.join("here"))?;
            std::fs::DirBuilder::new().mode(0o700).create(dir.join("store"))
        };
        fill().unwrap_or_else(|e| panic!("{}: {e}", dir.display()));
        Room { dir: dir.to_owned() }
    }

    /// Unpacks `tar` and holds what came of it against the promises.
    pub(super) fn layer(&self, how: u8, tar: &[u8]) {
        readings::agree(tar);
        let ownership = owners(how);
        self.around(|layer| {
            let root = beneath::own_folder(layer).unwrap_or_else(|e| panic!("the layer's folder: {e}"));
            let recipe = Pen::beside(layer).unwrap_or_else(|e| panic!("its recipe: {e}"));
            match unpack_within(BUDGET, tar, root, ownership, recipe, std::io::sink()) {
                Ok(record) => {
                    readings::come_back(layer, tar);
                    tree::check(layer, ownership, &record);
                }
                Err(error) => assert!(
                    matches!(error.kind, Kind::Hostile | Kind::Limit | Kind::Storage),
                    "an odd refusal: {:?}: {error}",
                    error.kind
                ),
            }
        });
    }

    /// Gives `work` an empty folder for a layer. Nothing around it may change, and it can be deleted again.
    pub(super) fn around(&self, work: impl FnOnce(&Path)) {
        let store = self.dir.join("store");
        let layer = store.join("layer");
        let made = std::fs::DirBuilder::new().mode(0o700).create(&layer);
        made.unwrap_or_else(|e| panic!("{}: {e}", layer.display()));
        let before = self.canaries();
        work(&layer);
        assert_eq!(before, self.canaries(), "something outside of the layer was touched");
        let parent = beneath::own_folder(&store).unwrap_or_else(|e| panic!("the room: {e}"));
        for ours in [layer.clone(), beside(&layer, TAPE), beside(&layer, KEPT)] {
            let name = ours.file_name().unwrap_or_default();
            beneath::delete(parent.as_fd(), name).unwrap_or_else(|e| panic!("{} stays: {e}", ours.display()));
        }
        let left = std::fs::read_dir(&store).map_or(0, Iterator::count);
        assert_eq!(left, 0, "something lies beside the layer");
    }

    /// Any bytes as an archive of images, of either kind.
    pub(super) fn archive(&self, bytes: &[u8]) {
        let file = self.dir.join("archive");
        std::fs::write(&file, bytes).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
        fuzzed_archive(&file, &self.dir);
        std::fs::remove_file(&file).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
    }

    /// Whatever a write, a new name, a link, a change of mode or owner leaves a trace in.
    fn canaries(&self) -> Vec<[i64; 9]> {
        let names = ["", "canary", "closed", "closed/inside", "link", "here"];
        let trace = |name: &&str| {
            let found = self.dir.join(name).symlink_metadata().unwrap_or_else(|e| panic!("{name} is gone: {e}"));
            let times = [found.mtime(), found.mtime_nsec(), found.ctime(), found.ctime_nsec()];
            let numbers = [found.mode().into(), found.uid().into(), found.nlink() as i64, found.size() as i64];
            let mut trace = [found.gid().into(); 9];
            trace[1..5].copy_from_slice(&times);
            trace[5..].copy_from_slice(&numbers);
            trace
        };
        names.iter().map(trace).collect()
    }
}

/// As whom to unpack: only root can give files away.
fn owners(how: u8) -> Ownership {
    match how >> 1 & 3 {
        1 if rustix::process::geteuid().is_root() => Ownership::Keep { set_id: false },
        2 if rustix::process::geteuid().is_root() => Ownership::Keep { set_id: true },
        _ => Ownership::Squash,
    }
}
