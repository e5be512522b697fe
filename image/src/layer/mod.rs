//! One layer: from a tar stream to a folder that an overlay mount can use, and its record.

mod apply;
mod attributes;
mod check;
mod cost;
mod folders;
mod list;
#[cfg(test)]
mod memory;
mod merge;
mod name;
mod record;
mod said;
mod stack;
mod tree;
mod union;

pub(crate) use apply::unpack;
pub(crate) use check::check;
pub(crate) use cost::Total;
pub(crate) use list::check_list;
pub(crate) use record::Record;
pub(crate) use stack::mend;
pub(crate) use union::union;

#[cfg(any(test, feature = "fuzzing", feature = "measuring"))]
pub(crate) use {apply::unpack_within, cost::Budget};
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) use cost::charge;

use serde::{Deserialize, Serialize};

/// Ending of the name of a layer's list of folders.
pub(crate) const LIST: &str = ".folders";

/// Whose the unpacked files are. Each way has layer folders of its own in the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ownership {
    /// All belong to the caller, for a namespace that maps a single id. Owners in the image are
    /// not kept; neither are set-id bits and file capabilities.
    Squash,
    /// As the image says. The caller is root, or root of a user namespace with a range of ids.
    Keep {
        /// Whether set-id bits and file capabilities are kept where they lend nothing on the host: the
        /// bits on files of other ids than 0, which is the caller there; capabilities because the
        /// kernel binds them to the namespace that they are set in.
        set_id: bool,
    },
}

impl Ownership {
    /// Every way there is.
    pub const ALL: [Ownership; 3] =
        [Ownership::Squash, Ownership::Keep { set_id: false }, Ownership::Keep { set_id: true }];

    /// The name of the store's folder.
    pub(crate) fn flavour(self) -> &'static str {
        match self {
            Ownership::Squash => "squash",
            Ownership::Keep { set_id: false } => "keep",
            Ownership::Keep { set_id: true } => "keep-set-id",
        }
    }

    /// The mode bits that are kept.
    fn mode(self, mode: u32, uid: u64, gid: u64) -> u32 {
        let bit = |bit: u32, id: u64| if self == (Ownership::Keep { set_id: true }) && id != 0 { bit } else { 0 };
        mode & (0o1777 | bit(0o4000, uid) | bit(0o2000, gid))
    }

    fn keeps_owners(self) -> bool {
        matches!(self, Ownership::Keep { .. })
    }

    /// Whether an extended attribute of the archive is set. What steers overlay mounts never is:
    /// only our own marks may.
    fn takes(self, attribute: &[u8], value: &[u8]) -> bool {
        let steers = attribute.starts_with(b"user.overlay.") || attribute.starts_with(b"user.fuseoverlayfs.");
        // The one form that names no namespace; others are old, or mean another one than this.
        let plain = value.len() == 20 && value[3] == 2;
        let capability = self == (Ownership::Keep { set_id: true }) && attribute == b"security.capability" && plain;
        capability || (attribute.starts_with(b"user.") && !steers)
    }
}
