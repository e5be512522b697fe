//! Keeps secrets out of what is recorded: replaces the values that are known, in the forms that tools give them, and
//! credentials of well-known formats, in a stream of bytes, however it is cut into pieces.
//!
//! Known values first: `forms` makes needles of each, `automaton` finds all of them in one pass, `filter` says cheaply
//! where that pass is worth while, `scan` puts the two together, `given` replaces. What is left goes through `formats`.
//! Time is linear in the bytes, memory bounded by the secrets and not by the stream.

mod automaton;
mod filter;
mod formats;
mod forms;
mod given;
mod known;
mod redactor;
mod rules;
mod scan;

pub use forms::LONGEST;
pub use redactor::{Found, Redactor, Secrets};

#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzzing;
#[cfg(any(test, feature = "fuzzing"))]
mod reference;
#[cfg(test)]
mod tests;
