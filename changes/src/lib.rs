//! What the private layer of a sandbox changed in a project: as a list, as a patch, and brought into the project.
//!
//! [`Changes::of`] reads the upper folders of an overlay mount ([`Stack`]) over the project ([`Folder`]). What was
//! written there is the work of a stranger: the kernel resolves every path below a descriptor and through no link.
//! From there: [`Changes::name_status`], [`Changes::patch`], [`Changes::apply`], [`Changes::branch`], [`compare`].

mod apply;
mod base;
mod beneath;
mod branch;
mod change;
mod compare;
mod entry;
mod error;
mod layer;
mod limits;
mod listing;
mod merge;
mod patch;
mod path;
mod read;
mod rename;
mod select;

pub use apply::{Act, Applied, Clash, Doing, Options, Refusal, Undone, Why, finish, undo};
pub use base::{Base, Drift, Was};
pub use beneath::Folder;
pub use branch::{Branch, Branched};
pub use change::{Change, Changes, Cost, Kind};
pub use compare::{Difference, compare};
pub use entry::{Entry, Mode};
pub use error::Error;
pub use layer::Stack;
pub use limits::Limits;
pub use listing::Stat;
pub use patch::{Hashes, LeftOut};
pub use path::{Raw, RelPath};
pub use select::Selection;

/// What every fallible function of this crate returns.
pub type Result<T> = std::result::Result<T, Error>;
