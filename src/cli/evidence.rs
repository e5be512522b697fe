//! What can be typed to check evidence, to hand it on, and to let it go.

use clap::{Args, ValueHint};
use std::path::PathBuf;

const VERIFY_HELP: &str = "\
Examples:
  aido verify                              the last run, and the project's ledger
  aido verify --all                        every run of the project, and the ledger
  aido verify run.aido.tar.zst --key k.pem what somebody sent, with the key that he is known by
  aido verify ../elsewhere/.aido/sandboxes/s…/runs/r…

What was signed must be there, byte for byte, and nothing else; the signatures must be of a key that somebody
vouches for: yours, or those given with --key, and then no other. What does not hold is said with its file and
record, and then what can be believed all the same.

A run that goes on is verified as far as it has come. One that was interrupted was sealed by the command that found
it, and verifies as such. One from before there were seals is not signed, and so is never verified.

Exit status:
  0    verified
  1    not verified: something does not hold, is not signed, or is signed by a key that nobody vouches for
  125  aido failed: what was asked for could not be looked at";

#[derive(Debug, Args)]
#[command(after_help = VERIFY_HELP)]
pub(crate) struct Verify {
    /// A run (an ID, a unique beginning of one, or `latest`), a folder (of a run, a sandbox or a project), or a bundle; `-` for a bundle on standard input [default: latest]
    #[arg(value_name = "RUN|FOLDER|BUNDLE", value_hint = ValueHint::AnyPath)]
    pub(crate) what: Option<String>,

    /// Every run of the project
    #[arg(long, conflicts_with = "what")]
    pub(crate) all: bool,

    /// Believe this key and no other than those given: a file with its public half (PEM), or its ID; can be repeated [default: the keys that are or were yours]
    #[arg(long, value_name = "FILE|ID")]
    pub(crate) key: Vec<String>,

    /// Warnings count as well: a ledger that was begun anew, nothing outside of the project that speaks of it, outputs that were left out of a bundle
    #[arg(long)]
    pub(crate) strict: bool,

    /// Read bundles up to this size, unpacked
    #[arg(long, value_name = "SIZE", default_value = "16GiB", value_parser = crate::settings::bytes)]
    pub(crate) max_size: u64,

    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,

    /// Say nothing but what is wrong
    #[arg(short, long)]
    pub(crate) quiet: bool,
}

const EXPORT_HELP: &str = "\
The file holds all of one run: events, logs, plan, summary, seal, configuration and outputs. Whoever has it and your
public key (`aido key export`) checks it with `aido verify FILE --key KEY`, with no other file and no network.

Exit status: 0 written; 1 the run does not verify, and nothing was written; 125 aido failed.";

#[derive(Debug, Args)]
#[command(after_help = EXPORT_HELP)]
pub(crate) struct Export {
    /// The run: an ID, a unique beginning of one, or `latest` [default: latest]
    #[arg(value_name = "RUN")]
    pub(crate) run: Option<String>,

    /// Where to; `-` for standard output [default: RUN.aido.tar.zst]
    #[arg(short, long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) output: Option<PathBuf>,

    /// Replace the file if it is there
    #[arg(long)]
    pub(crate) force: bool,

    /// Write it even if the run does not verify, or goes on
    #[arg(long)]
    pub(crate) anyway: bool,

    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,

    /// Say nothing but errors
    #[arg(short, long)]
    pub(crate) quiet: bool,
}

const PRUNE_HELP: &str = "\
Examples:
  aido prune --older-than 30d              what was not used for a month
  aido prune --older-than 30d --keep 10    the same, but the newest ten stay whatever their age
  aido prune --keep 10                     all but the newest ten
  aido prune --max-size 1GiB --dry-run     what would go, the oldest first, until the rest fits

Whole sandboxes go, with all of their runs and outputs. One that is open, or in which something runs, never does; it
counts for nothing here. The ledger keeps a line of each that went.";

#[derive(Debug, Args)]
#[command(after_help = PRUNE_HELP)]
#[group(id = "which", required = true, multiple = true, args = ["older_than", "keep", "max_size"])]
pub(crate) struct Prune {
    /// Those in which nothing happened for so long: 30d, 12h
    #[arg(long, value_name = "TIME", value_parser = crate::settings::duration)]
    pub(crate) older_than: Option<std::time::Duration>,

    /// Never the newest so many; without another criterion all others
    #[arg(long, value_name = "NUMBER")]
    pub(crate) keep: Option<usize>,

    /// The oldest, until the rest takes up no more than this: 1GiB, 500MiB
    #[arg(long, value_name = "SIZE", value_parser = crate::settings::bytes)]
    pub(crate) max_size: Option<u64>,

    /// Say what would go, and remove nothing
    #[arg(long)]
    pub(crate) dry_run: bool,

    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}
