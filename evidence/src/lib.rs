//! Evidence: what a project keeps of its sandboxes and runs.
//!
//! [`Project`] is the `.aido` folder, [`Sandbox`] one folder in it, [`Recording`] the only writer of
//! one run and [`Run`] its reader. Event logs and the ledger are chained files; [`Record`] explains
//! the format so that another program can check it.

mod append;
mod bundle;
mod chain;
mod clock;
mod draft;
mod ending;
mod error;
mod export;
mod files;
mod folder;
mod id;
mod ledger;
mod lock;
mod lookup;
mod project;
mod parts;
mod prune;
mod read;
mod recording;
mod recover;
mod remove;
mod run;
mod sandbox;
mod trash;
mod verify;

pub use bundle::{BUNDLE_VERSION, Packed};
pub use verify::*;

pub use chain::{MAX_RECORD, RECORD_VERSION, Record, plain_json, sha256_hex};
pub use clock::{boot_id, boottime_ms, now};
pub use draft::Draft;
pub use error::{Error, Result};
pub use files::{MAX_SUMMARY, Stream};
pub use id::Id;
pub use ledger::Ledger;
pub use project::Project;
pub use read::{Broken, Events};
pub use recording::{Captured, Recording, Sealed};
pub use recover::Remains;
pub use run::{Run, Status};
pub use sandbox::{Deadline, Ended, Keeper, Kind, NewSandbox, STATE_VERSION, Sandbox, State};
