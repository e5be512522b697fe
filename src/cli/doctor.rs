//! What can be typed after `aido doctor`.

use crate::settings::Backend;
use clap::Args;

#[derive(Debug, Args)]
pub(crate) struct Doctor {
    /// The engine to look at: `linux` or `docker` [env: AIDO_BACKEND]
    #[arg(long, value_name = "ENGINE")]
    pub(crate) backend: Option<Backend>,

    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,

    /// Print an AppArmor profile that allows aido, and nothing else, to make user namespaces (Ubuntu 24.04 and its like)
    #[arg(long, conflicts_with = "json")]
    pub(crate) apparmor_profile: bool,
}
