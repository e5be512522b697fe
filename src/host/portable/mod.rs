//! macOS and Windows: the supervisor is this program executed anew, lines of JSON, and threads where Linux polls.

pub(crate) mod apply;
mod bell;
pub(crate) mod changed;
pub(crate) mod diff;
pub(crate) mod ears;
pub(crate) mod files;
pub(crate) mod fresh;
pub(crate) mod gate;
mod handover;
pub(crate) mod keeper;
pub(crate) mod late;
pub(crate) mod link;
pub(crate) mod mutated;
pub(crate) mod names;
pub(crate) mod native;
pub(crate) mod process;
pub(crate) mod root;
pub(crate) mod start;
pub(crate) mod store;
pub(crate) mod streams;
pub(crate) mod view;
