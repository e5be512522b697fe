//! aido's native runtime on Linux: rootless, without a daemon.
//!
//! `engine` has a plan compiled into a script (`prepare`, `layout`, `exec`, `wall`), `spawn` makes a process in new
//! namespaces that builds the sandbox from it (`child`) and stays in it (`guard`); `task` confines itself and tries
//! what must fail, `handshake` hears that and `proof` judges it; `watch` looks after the task (`terminal` after what is
//! typed at it), `hear` after what it is refused, `collect` brings the outputs out. `alone` is the second mechanism, without namespaces. `facts` says what
//! this host is, `cause` why it refuses something. `cgroup` and `seccomp` stand by themselves, nearly. `unsafe` is in
//! `sys` and `clone` only.
#![cfg(target_os = "linux")]

mod ahead;
mod alone;
mod apparmor;
mod beside;
mod cause;
mod cgroup;
mod child;
mod clone;
mod collect;
mod copy;
mod descriptors;
mod doors;
mod engine;
mod exec;
mod facts;
mod failure;
pub mod fault;
mod guard;
mod handshake;
mod hear;
mod host;
mod ids;
mod layer;
mod layout;
mod mapped;
#[cfg(feature = "measuring")]
#[doc(hidden)]
pub mod measuring;
mod open;
mod prepare;
mod probe;
mod proof;
mod script;
mod seccomp;
mod source;
mod spawn;
mod stand;
mod subordinate;
mod sys;
mod task;
mod terminal;
mod trust;
mod wall;
mod watch;
#[cfg(test)]
mod weakened_tests;
mod wire;

pub use ahead::Ahead;
pub use alone::{adopt_orphans, end_descendants};
pub use apparmor::apparmor_profile;
pub use beside::Beside;
pub use engine::{Linux, SCRATCH};
pub use ids::image_ownership;
pub use mapped::{with_image_ids, with_image_ids_and_caller, with_image_rights, with_image_rights_and_caller};
pub use sys::{Rest, end_with_the_reader, share_one_heap, start_afresh};
