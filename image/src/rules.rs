//! What a user may say of registries.

use std::collections::BTreeMap;
use std::path::PathBuf;

/// What the user says of registries.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Registries {
    /// By the registry as it stands in references: `HOST[:PORT]`.
    pub rules: BTreeMap<String, Rules>,
    /// Folders in the form of Docker's `certs.d`.
    pub certificates: Vec<PathBuf>,
}

/// What the user says of one registry.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    /// Asked in this order before the registry itself: `HOST[:PORT][/PREFIX]`.
    pub mirrors: Vec<String>,
    /// Plain HTTP or an unknown certificate will do.
    pub insecure: bool,
    /// A file with certificates that are trusted beside the system's.
    pub ca: Option<PathBuf>,
}
