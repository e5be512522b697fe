//! How much is read and held.

/// Bounds on what one reading of changes may take: a layer's content is a stranger's choice.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Names looked at in layers and in deleted folders; more are an error, never a shorter list.
    pub entries: u64,
    /// Bytes of paths that are held; more are an error.
    pub path_bytes: u64,
    /// A larger file is listed without its digest, and is neither put into a patch nor applied.
    pub file_bytes: u64,
    /// Bytes that are read in all; files after that are listed without their digests.
    pub all_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Limits { entries: 2_000_000, path_bytes: 256 << 20, file_bytes: 1 << 30, all_bytes: 16 << 30 }
    }
}
