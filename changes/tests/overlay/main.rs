//! Real overlay mounts, random work in them, and what is told of it: held against the mount itself and against git.

mod branch;
mod inside;
mod made;
mod random;
mod repository;
mod sandbox;
mod tree;
mod written;
