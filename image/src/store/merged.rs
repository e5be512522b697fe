//! More layers than one mount can stack: the lowest ones are merged, some at a time.
//!
//! What is merged, the list of an image's layers says alone, so nothing needs to be remembered of it;
//! images that begin with the same layers share what was merged of them. The layers themselves stay:
//! they are what is verified and given away, and their files are the same ones.

use super::remove::listed;
use super::{Lock, Store, files};
use crate::{Digest, Error, LayerId, Ownership, Result, beneath, layer, limits};
use serde::Serialize;
use std::collections::BTreeSet;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

/// Version of the record beside a merged folder. 1: first.
const VERSION: u32 = 1;

/// For people who look: nothing reads it.
#[derive(Serialize)]
struct Record<'a> {
    version: u32,
    /// Lowest first.
    merged: &'a [LayerId],
}

/// The lowest layers that are merged, in groups; what remains can be stacked.
fn groups(layers: &[LayerId]) -> impl Iterator<Item = &[LayerId]> {
    let fewer = layers.len().saturating_sub(limits::STACKED).div_ceil(limits::MERGED - 1);
    layers.chunks(limits::MERGED).take(fewer)
}

fn name(group: &[LayerId]) -> Digest {
    let ids: Vec<String> = group.iter().map(LayerId::to_string).collect();
    Digest::of(format!("merged {VERSION}\n{}\n", ids.join("\n")).as_bytes())
}

impl Store {
    fn merged_in(&self, ownership: Ownership) -> PathBuf {
        self.dir.join("merged").join(ownership.flavour())
    }

    fn merged(&self, group: &[LayerId], ownership: Ownership) -> PathBuf {
        self.merged_in(ownership).join(name(group).hex())
    }

    /// The folders of an image for `lowerdir`, topmost first. There are at least two: without an
    /// upper folder the kernel stacks no fewer, so an empty one may lie at the bottom.
    pub fn stack(&self, layers: &[LayerId], ownership: Ownership) -> Vec<PathBuf> {
        let mut folders: Vec<PathBuf> = groups(layers).map(|group| self.merged(group, ownership)).collect();
        let rest = groups(layers).map(<[LayerId]>::len).sum();
        folders.extend(layers[rest..].iter().map(|id| self.layer_folder(id, ownership)));
        folders.reverse();
        if folders.len() < 2 {
            folders.push(self.empty_folder());
        }
        folders
    }

    /// Whether what must be merged of these layers is.
    pub(super) fn is_merged(&self, layers: &[LayerId], ownership: Ownership) -> bool {
        groups(layers).all(|group| self.merged(group, ownership).is_dir())
    }

    /// Merges what must be merged of these layers, which are all there. The caller may read whatever a
    /// layer holds, and keeps the layers from being removed.
    pub(crate) fn merge(&self, layers: &[LayerId], ownership: Ownership) -> Result<()> {
        for group in groups(layers) {
            let folder = self.merged(group, ownership);
            let _lock = Lock::exclusive(&self.merged_lock(&name(group), ownership), || ())?;
            if !folder.is_dir() {
                self.make_merged(group, &folder, ownership).map_err(|e| e.within("merging its lowest layers"))?;
            }
        }
        Ok(())
    }

    fn make_merged(&self, group: &[LayerId], folder: &Path, ownership: Ownership) -> Result<()> {
        files::folder(&self.merged_in(ownership))?;
        let growing = folder.with_file_name(format!(".new-{}", name(group).hex()));
        self.clear(&growing)?;
        let made = std::fs::DirBuilder::new().mode(0o700).create(&growing);
        made.map_err(|e| Error::io(format!("making `{}`", growing.display()), e))?;
        let whole = || -> Result<()> {
            let open = |id: &LayerId| beneath::own_folder(&self.layer_folder(id, ownership));
            let roots = group.iter().rev().map(open).collect::<Result<Vec<_>>>()?;
            layer::union(&roots, beneath::own_folder(&growing)?)?;
            files::write_json(&folder.with_extension("json"), &Record { version: VERSION, merged: group })?;
            // It is seldom made, and nothing could tell later whether all of it outlived a power cut.
            let failed = |e: rustix::io::Errno| Error::io(format!("writing out `{}`", growing.display()), e);
            rustix::fs::syncfs(&beneath::own_folder(&self.merged_in(ownership))?).map_err(failed)?;
            std::fs::rename(&growing, folder).map_err(|e| Error::io(format!("placing `{}`", folder.display()), e))
        }();
        if whole.is_err() {
            // What went wrong is the news; what cannot be deleted now is cleared before the next try.
            let _ = self.clear(&growing);
        }
        whole
    }

    /// Takes what no image needs merged any more out of sight; `used` are the layers of each image.
    /// The caller is alone in the store, and no image is in use.
    pub(super) fn forget_merged<'a>(&self, used: impl Iterator<Item = &'a Vec<LayerId>>) -> Result<Vec<PathBuf>> {
        let needed: BTreeSet<String> = used.flat_map(|layers| groups(layers).map(|group| name(group).hex())).collect();
        let mut going = Vec::new();
        for ownership in Ownership::ALL {
            let home = self.merged_in(ownership);
            if !home.is_dir() {
                continue;
            }
            for path in listed(&home)? {
                let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
                let (hex, gone) = (stem.strip_prefix(".new-").unwrap_or(&stem), stem.starts_with(".gone-"));
                if needed.contains(hex) {
                    continue;
                }
                if path.is_dir() && !gone {
                    let aside = path.with_file_name(format!(".gone-{hex}-{}", std::process::id()));
                    self.clear(&aside)?;
                    std::fs::rename(&path, &aside)
                        .map_err(|e| Error::io(format!("removing `{}`", path.display()), e))?;
                    going.push(aside);
                } else {
                    going.push(path);
                }
                super::remove::unlink(&self.lock_path(&format!("merged-{}-{hex}", ownership.flavour())))?;
            }
        }
        Ok(going)
    }

    fn merged_lock(&self, name: &Digest, ownership: Ownership) -> PathBuf {
        self.lock_path(&format!("merged-{}-{}", ownership.flavour(), name.hex()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_few_layers_are_merged_as_make_the_stack_fit() {
        let layers: Vec<LayerId> = (0..limits::LAYERS).map(|n| LayerId(Digest::of(&n.to_le_bytes()))).collect();
        let scratch = tempfile::tempdir().unwrap();
        let store = Store::open(&scratch.path().join("store")).unwrap();
        let most = limits::STACKED;
        for count in [1, 2, most, most + 1, most + limits::MERGED - 1, most + limits::MERGED, 400, limits::LAYERS] {
            let merged: Vec<&[LayerId]> = groups(&layers[..count]).collect();
            let stack = store.stack(&layers[..count], Ownership::Squash);
            let covered: usize = merged.iter().map(|group| group.len()).sum();
            assert_eq!(stack.len(), (count - covered + merged.len()).max(2), "{count}");
            assert!(stack.len() <= most && stack.len() + limits::MERGED > count.min(most), "{count}: {}", stack.len());
            assert_eq!(merged.concat(), layers[..covered]);
            assert_eq!(merged.is_empty(), count <= most);
            let unique: BTreeSet<&PathBuf> = stack.iter().collect();
            assert_eq!(unique.len(), stack.len());
        }
    }
}
