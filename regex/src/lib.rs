//! The crates of OCI hold names of images against one pattern, of ASCII alone. For that the crate `regex` brings four
//! engines and tables of all of Unicode: a third of a MiB, 110 KB of it written at each start. This one has the same
//! interface, as far as those crates use it, and what it has not does not compile.

pub use regex_lite::{Captures, Error, Match, Regex, RegexBuilder};
