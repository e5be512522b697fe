//! aido's images: where they come from, how they are unpacked, and the store they live in.
//!
//! A [`Store`] is one folder per user. [`Store::obtain`] brings an image into it from a [`Source`]:
//! manifest, config and layers stream from the origin through a digest check, the decompressor, a
//! second digest check and the tar reader into one folder for each layer. Whoever runs the image
//! stacks these folders with an overlay mount (`userxattr`). Nothing is visible in the store before
//! it is whole and verified, and nothing of the image is written outside its own folder.
//!
//! All of that is for Linux, where aido keeps images itself. On other platforms the engine keeps them, and of this crate
//! there are names alone: references, digests, platforms.

#![cfg_attr(not(target_os = "linux"), allow(dead_code, reason = "of the shared modules the names alone are used"))]

mod digest;
mod error;
mod platform;
mod progress;
mod reference;
mod rules;

pub use digest::{Digest, LayerId};
pub use error::{Error, Kind};
pub use platform::Platform;
pub use progress::{Progress, Silent, Step};
pub use reference::{Reference, Source, Which};
pub use rules::{Registries, Rules};

/// Said once for all that only Linux has.
macro_rules! on_linux {
    ($($item:item)*) => { $(#[cfg(target_os = "linux")] $item)* };
}

on_linux! {
    mod arrival;
    mod beneath;
    mod bring;
    mod decode;
    mod export;
    mod flow;
    #[cfg(any(test, feature = "fuzzing"))]
    #[doc(hidden)]
    pub mod fuzzing;
    mod keys;
    mod layer;
    pub mod limits;
    mod manifest;
    #[cfg(feature = "measuring")]
    #[doc(hidden)]
    pub mod measuring;
    mod news;
    mod origin;
    mod pipeline;
    mod pull;
    mod recipe;
    mod registry;
    mod shown;
    mod spool;
    mod store;
    mod tape;
    mod zstandard;

    pub use export::{Compress, Export, Exported, Format, Identity, Outlet};
    pub use layer::Ownership;
    pub use manifest::Config;
    pub use news::{News, Pulled};
    pub use pull::Options;
    pub use registry::{end_helpers, helpers_beyond, serve_helpers};
    pub use store::{
        CheckedImage, CheckedLayer, CheckedRecord, Gone, Hold, Image, Leftover, Listed, Prune, Pruned, Removed, Report,
        Store,
    };
}

/// What every fallible function of this crate returns.
pub type Result<T> = std::result::Result<T, Error>;
