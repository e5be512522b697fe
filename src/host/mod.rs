//! What differs between platforms: chosen here and nowhere else, by path, with the same names on both sides.
//!
//! | name | is |
//! | --- | --- |
//! | `start` | makes the supervisor: `Supervisor`, `Child` |
//! | `link` | what supervisor and command line tell each other |
//! | `late` | digests of large folders, taken while the task runs |
//! | `ears` | what a supervisor hears beside its engine: the link, signals, its own clocks |
//! | `view` | the command line while a run goes on |
//! | `process` | processes that are on record |
//! | `gate` | the gateway of a run, a process of its own |
//! | `keeper` | who ends a sandbox that stays |
//! | `changed`, `diff`, `apply`, `mutated` | what tasks changed of the project, in a layer or in itself |
//! | `root`, `store` | images: aido's own store, or the engine's |
//! | `native` | the engine that needs no other, and how this program begins |
//! | `names` | the names in a folder |
//! | `fresh`, `files`, `streams` | small things of files and terminals |
//!
//! Linux has one way of its own. macOS and Windows share the other, which `--cfg aido_portable` takes on Linux too, so
//! that it is tried on a machine that has an engine (`ci/test-portable`).

#[cfg(all(target_os = "linux", not(aido_portable)))]
#[path = "linux.rs"]
mod chosen;
#[cfg(not(all(target_os = "linux", not(aido_portable))))]
#[path = "portable/mod.rs"]
mod chosen;

pub(crate) use chosen::*;
