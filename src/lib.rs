//! `aido`: runs AI-generated code in disposable sandboxes and leaves evidence.

pub mod settings;
