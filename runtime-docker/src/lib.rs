//! aido's plans on a Docker-compatible engine, through its API alone.

mod endpoint;
mod engine;
mod image;

pub use endpoint::Endpoint;
pub use engine::Docker;
pub use image::{Found, Progress};
