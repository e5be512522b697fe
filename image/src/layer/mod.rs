//! One layer: from a tar stream to a folder that an overlay mount can use, and its record.

mod apply;
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
pub(crate) use list::check_list;
pub(crate) use record::Record;
pub(crate) use stack::mend;
pub(crate) use union::union;

#[cfg(any(test, feature = "fuzzing"))]
pub(crate) use {
    apply::unpack_within,
    cost::{Budget, charge},
};

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
        /// Whether set-id bits and file capabilities are kept too.
        set_id: bool,
    },
}

impl Ownership {
    pub(crate) const ALL: [Ownership; 3] =
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
    fn mode(self, mode: u32) -> u32 {
        let kept = if self == (Ownership::Keep { set_id: true }) { 0o7777 } else { 0o1777 };
        mode & kept
    }

    fn keeps_owners(self) -> bool {
        matches!(self, Ownership::Keep { .. })
    }

    /// Whether an extended attribute of the archive is set. What steers overlay mounts never is:
    /// only our own marks may.
    fn takes(self, attribute: &[u8]) -> bool {
        let steers = attribute.starts_with(b"user.overlay.") || attribute.starts_with(b"user.fuseoverlayfs.");
        let capability = self == (Ownership::Keep { set_id: true }) && attribute == b"security.capability";
        capability || (attribute.starts_with(b"user.") && !steers)
    }
}
