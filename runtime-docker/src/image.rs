//! Images in the engine: looked up, pulled, loaded.

/// An image that the engine holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The name that it was asked for by.
    pub reference: String,
    /// The manifest's digest where the engine knows one, else the image's ID.
    pub digest: String,
    /// The image's ID: the digest of its configuration, on most engines.
    pub id: String,
    /// Digests of the uncompressed layers (diff IDs), lowest first.
    pub layers: Vec<String>,
    /// `NAME=VALUE`, as the image has it.
    pub env: Vec<String>,
    pub workdir: String,
    pub entrypoint: Vec<String>,
    pub cmd: Vec<String>,
    pub uid: u32,
    pub gid: u32,
    pub groups: Vec<u32>,
    pub architecture: String,
    pub os: String,
}

/// How far a pull or a load is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Progress {
    /// What it is about: a layer, or nothing where it is about the whole.
    pub layer: Option<String>,
    /// The engine's word for it, such as `Downloading`.
    pub status: String,
    /// Bytes so far, and of how many, where the engine says so.
    pub current: Option<u64>,
    pub total: Option<u64>,
}
