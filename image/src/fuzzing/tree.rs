//! What an unpacked layer may be on the host, whatever its archive was.

use crate::layer::{Budget, Record, charge};
use crate::recipe::{KEPT, beside};
use crate::{Ownership, limits};
use std::collections::HashMap;
use std::fs::{self, Metadata};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::Path;

/// Small, so that a few hundred bytes can reach the bounds.
pub(super) const BUDGET: Budget = Budget { inodes: 300, bytes: 4 << 20, held: 16 << 10 };

struct Walk {
    ownership: Ownership,
    /// Names found and names that the kernel counts, by inode.
    files: HashMap<u64, (u64, Metadata)>,
    inodes: u64,
}

/// Panics where something lies in the layer that must not.
pub(super) fn check(layer: &Path, ownership: Ownership, record: &Record) {
    let mut walk = Walk { ownership, files: HashMap::new(), inodes: 0 };
    walk.folder(layer, 0);
    let kept = beside(layer, KEPT);
    if kept.exists() {
        walk.folder(&kept, 0);
    }
    let mut bytes = 0;
    for (names, file) in walk.files.values() {
        assert_eq!(*names, file.nlink(), "a file of the layer has a name outside of it");
        bytes += file.size().min(file.blocks() * 512);
    }
    let inodes = walk.inodes + walk.files.len() as u64;
    assert!(inodes <= BUDGET.inodes, "{inodes} inodes were made");
    // A file system's blocks may be up to a page larger than what was written, for each extent.
    let slack = limits::INODE_BYTES * (inodes + tape_extents(&walk));
    assert!(charge(bytes, inodes) <= BUDGET.bytes + slack, "{bytes} bytes in {inodes} inodes were made");
    assert!(record.entries <= limits::ENTRIES);
    let text = serde_json::to_vec(record).unwrap_or_else(|e| panic!("its record cannot be written: {e}"));
    let back = Record::parse(&text).unwrap_or_else(|e| panic!("its record cannot be read: {e}"));
    assert_eq!(back, *record, "its record reads back as another");
}

/// Pages that may be touched beyond the bytes that were written: two for each extent of a sparse file.
fn tape_extents(walk: &Walk) -> u64 {
    let sparse = walk.files.values().filter(|(_, file)| file.size() > file.blocks() * 512);
    sparse.map(|(_, file)| file.blocks() / 8 + 1).sum()
}

impl Walk {
    fn folder(&mut self, path: &Path, depth: usize) {
        assert!(depth <= limits::DEPTH, "folders lie deeper than {}", limits::DEPTH);
        let mode = path.symlink_metadata().map_or(0, |found| found.mode());
        if mode & 0o700 != 0o700 {
            let open = fs::Permissions::from_mode(0o700);
            fs::set_permissions(path, open).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        }
        let entries = fs::read_dir(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        for entry in entries {
            let path = entry.unwrap_or_else(|e| panic!("{}: {e}", path.display())).path();
            let found = path.symlink_metadata().unwrap_or_else(|e| panic!("{}: {e}", path.display()));
            self.entry(&path, &found);
            if found.is_dir() {
                self.folder(&path, depth + 1);
            }
        }
    }

    fn entry(&mut self, path: &Path, found: &Metadata) {
        let kind = found.file_type();
        // Overlay's mark for what is hidden: a device that opens nothing.
        let whiteout = kind.is_char_device() && found.rdev() == 0;
        assert!(kind.is_file() || kind.is_dir() || kind.is_symlink() || whiteout, "{} is {kind:?}", path.display());
        let set_id = self.ownership == Ownership::Keep { set_id: true };
        let lends = found.mode() & 0o4000 != 0 && (!set_id || found.uid() == 0)
            || found.mode() & 0o2000 != 0 && (!set_id || found.gid() == 0);
        assert!(kind.is_symlink() || !lends, "{} is set-id", path.display());
        if self.ownership == Ownership::Squash {
            assert_eq!(found.uid(), rustix::process::geteuid().as_raw(), "{} was given away", path.display());
        }
        if kind.is_file() {
            self.files.entry(found.ino()).or_insert_with(|| (0, found.clone())).0 += 1;
        } else {
            self.inodes += 1;
        }
        if !kind.is_symlink() && !whiteout {
            self.attributes(path, set_id);
        }
    }

    fn attributes(&self, path: &Path, set_id: bool) {
        let mut names = vec![0; 64 << 10];
        let length = rustix::fs::llistxattr(path, &mut names[..]).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        for name in names[..length].split(|b| *b == 0).filter(|name| !name.is_empty()) {
            let name = String::from_utf8_lossy(name);
            let ours = ["user.overlay.opaque", "user.overlay.origin"].contains(&name.as_ref());
            let plain =
                name.starts_with("user.") && !name.starts_with("user.overlay.") && !name.starts_with("user.fuse");
            let capability = set_id && name == "security.capability";
            assert!(ours || plain || capability, "{} has the attribute {name}", path.display());
            if ours {
                let mut value = [0; 8];
                let length = rustix::fs::lgetxattr(path, name.as_ref(), &mut value).unwrap_or(8);
                assert!(length <= 1, "{} has a foreign value for {name}", path.display());
            }
        }
    }
}
