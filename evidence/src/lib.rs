//! Evidence: what a project keeps of its sandboxes and runs.
//!
//! [`Project`] is the `.aido` folder, [`Sandbox`] one folder in it, [`Recording`] the only writer of
//! one run and [`Run`] its reader. Event logs and the ledger are chained files; [`Record`] explains
//! the format so that another program can check it. A [`Signer`] signs a run while it goes and at its end
//! ([`Statement`] in an [`Envelope`]); what lies outside of projects is the user's [`Home`].

mod anchor;
mod append;
mod bundle;
mod chain;
mod checkpoint;
mod clock;
mod digesting;
mod draft;
mod dsse;
mod ending;
mod error;
mod export;
mod fault;
mod files;
mod folder;
#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub mod fuzzing;
mod home;
mod id;
mod index;
mod key;
mod keyring;
mod layers;
mod ledger;
mod lock;
mod lookup;
#[cfg(feature = "measuring")]
#[doc(hidden)]
pub mod measuring;
mod order;
mod parts;
mod platform;
mod project;
mod prune;
mod read;
mod recording;
mod recover;
mod remove;
mod restart;
mod run;
mod sandbox;
mod sealing;
mod signer;
mod statement;
mod trash;
mod verify;

pub use anchor::{ANCHOR_VERSION, Anchor, Lost, ledger_name};
pub use bundle::{BUNDLE_VERSION, Packed};
pub use chain::{MAX_RECORD, RECORD_VERSION, Record, plain_json, sha256_hex};
pub use checkpoint::{CHECKPOINT, CHECKPOINT_TYPE, KEY, OUTPUT, checkpoint_holds, checkpoint_payload};
pub use clock::{boot_id, boottime_ms, now};
pub use draft::Draft;
pub use dsse::{Envelope, Signature, pae};
pub use error::{Error, Result};
pub use files::{MAX_SEAL, MAX_SUMMARY, Stream};
pub use home::Home;
pub use id::Id;
pub use index::Listed;
pub use key::PublicKey;
pub use keyring::{Keyring, Known, ROTATION_TYPE, Rotated, Rotation};
pub use layers::{Handed, Layers};
pub use ledger::{BEGUN, DIFFERS, Ledger};
pub use order::{Order, Piece};
pub use parts::Far;
pub use project::Project;
pub use prune::{Over, Reason, Retention};
pub use read::{Broken, Events};
pub use recording::{Captured, Recording};
pub use recover::{Remains, Settled};
pub use run::{Run, Status};
pub use sandbox::{Deadline, Ended, Keeper, Kind, NewSandbox, STATE_VERSION, Sandbox, State};
pub use sealing::{Sealed, Unsettled};
pub use signer::Signer;
pub use statement::{
    ChainEnd, ClosedBy, Digest, Facts, PREDICATE_TYPE, PREDICATE_VERSION, Predicate, STATEMENT, STATEMENT_TYPE,
    SealKey, Statement, Subject,
};
pub use verify::{
    Finding, FindingKind, LedgerReport, Level, Report, SignedBy, Trust, Trusted, VerifiedState, verify_bundle,
    verify_folder,
};
