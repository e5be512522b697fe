//! `aido runs`.

use clap::Args;

#[derive(Debug, Args)]
pub(crate) struct Runs {
    /// So many, the newest [default: 100; with --json all]
    #[arg(short = 'n', long, value_name = "NUMBER", conflicts_with = "all")]
    pub(crate) last: Option<usize>,

    /// All of them
    #[arg(long)]
    pub(crate) all: bool,

    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}
