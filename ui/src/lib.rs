//! `aido ui`: runs, sandboxes, logs, outputs and evidence on a whole terminal.
//!
//! A leaf: it knows no store and no engine. The program tells it what there is ([`Program`]) and does what has to be
//! done; [`show`] draws that until somebody leaves. [`model`] is what is on the screen, changed by events alone; [`view`] draws
//! it into cells; [`app`] waits for keys, signals and changes of the store, and does nothing in between.
//!
//! Whatever strangers wrote goes through [`text`] before it is drawn: no control, nothing without a width, nothing that
//! turns the direction of text becomes a cell.

mod app;
mod bytes;
mod find;
mod keys;
mod look;
mod model;
mod program;
mod rows;
mod run;
mod screen;
mod sheet;
mod signals;
mod table;
mod text;
mod typing;
mod view;
mod watch;

pub use app::show;
pub use bytes::Bytes;
pub use program::{FileRow, Left, Place, Program, RunRow, SandboxRow, Went, What, Words};
