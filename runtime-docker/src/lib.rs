//! aido's plans on a Docker-compatible engine, through its API alone.
//!
//! Nothing of the host is ever mounted: `pack` sends inputs as archives into volumes, `collect` reads outputs out of one.
//! `places` says where everything of a plan lies, `shape` what the engine is asked to make, `stand` what holds by that and
//! what was shown. `conduct` runs a plan, of which `make` makes everything; `door` is the way out of one with a network, and `trust`
//! whom its programs trust; `watch` looks after the task through the words of the warden (`warden/`,
//! a small program that is process 1 of the container; `frames` takes its words out of the task's output). `endpoint`
//! finds the engine, `client` talks to it, `about` reads what it says of itself, `words` says what its failures mean.
//! `os` is the only place that knows the platform.

mod about;
mod attach;
mod client;
mod collect;
mod conduct;
mod door;
mod endpoint;
mod engine;
#[cfg(all(test, unix))]
mod fake;
mod frames;
mod image;
mod leftover;
mod make;
mod os;
mod pack;
mod places;
mod probe;
mod script;
mod seccomp;
mod shape;
mod stand;
mod trust;
mod user;
mod warden;
mod watch;
mod words;

pub use endpoint::Endpoint;
pub use engine::Docker;
pub use image::{Found, Progress};
