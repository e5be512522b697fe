//! `aido sandbox`.

use super::{Fork, Wanted};
use clap::{Args, Subcommand};

#[derive(Debug, Subcommand)]
pub(crate) enum Sandbox {
    /// Make a sandbox and print its ID; `aido run --sandbox ID` uses it
    Up(Box<SandboxUp>),
    /// List the sandboxes of this project with the time they have left
    List(SandboxList),
    /// Make a sandbox that begins with what another one changed, and print its ID
    Fork(Fork),
    /// End what runs in sandboxes and remove them with all they have kept
    Destroy(SandboxDestroy),
}

#[derive(Debug, Args)]
pub(crate) struct SandboxUp {
    #[command(flatten)]
    pub(crate) wanted: Wanted,

    /// Say nothing but errors; the ID is still printed
    #[arg(short, long)]
    pub(crate) quiet: bool,

    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct SandboxList {
    /// Those of single runs that are over, too
    #[arg(short, long)]
    pub(crate) all: bool,

    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
#[command(override_usage = "aido sandbox destroy <ID>... | --all | --expired")]
pub(crate) struct SandboxDestroy {
    /// IDs, unique beginnings of them, or `latest`
    #[arg(value_name = "ID", required_unless_present_any = ["all", "expired"])]
    pub(crate) ids: Vec<String>,

    /// All sandboxes of this project
    #[arg(long, conflicts_with_all = ["ids", "expired"])]
    pub(crate) all: bool,

    /// Those whose time is over, single runs that have ended among them
    #[arg(long, conflicts_with = "ids")]
    pub(crate) expired: bool,

    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}
