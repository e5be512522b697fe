//! `aido`: runs AI-generated code in disposable sandboxes and leaves evidence.

mod backend;
mod changed;
mod cli;
mod collected;
mod commands;
mod explain;
mod fresh;
pub mod inputs;
mod interrupt;
mod keeper;
mod listing;
mod mutated;
mod owed;
pub mod plan;
mod process;
mod progress;
mod recover;
mod redact;
mod rights;
mod root;
pub mod settings;
pub mod summary;
mod supervise;
pub mod task;
mod view;
mod words;

pub use commands::main;
