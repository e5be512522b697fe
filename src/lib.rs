//! `aido`: runs AI-generated code in disposable sandboxes and leaves evidence.

mod backend;
mod cli;
mod collected;
mod commands;
pub mod egress;
mod explain;
mod host;
pub mod inputs;
mod listing;
mod mend;
mod mutation;
mod owed;
pub mod plan;
mod progress;
pub mod reached;
mod recover;
mod redact;
pub mod settings;
pub mod summary;
mod supervise;
pub mod task;
mod words;

use host::{fresh, gate, keeper, process, root, view};

pub use commands::main;
