//! What can be typed after `aido key`.

use clap::{Args, Subcommand, ValueHint};
use std::path::PathBuf;

#[derive(Debug, Subcommand)]
pub(crate) enum Key {
    /// Show the key that signs runs, where it lies, and those that signed before
    Show(KeyShow),
    /// Print the public half of a key, for those who check what it signed
    Export(KeyExport),
    /// Make a new key the one that signs; what the old one signed stays valid
    Rotate(KeyRotate),
}

#[derive(Debug, Args)]
pub(crate) struct KeyShow {
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct KeyExport {
    /// The key: its name, or a unique beginning of it [default: the one that signs]
    #[arg(value_name = "ID")]
    pub(crate) id: Option<String>,

    /// Write it to this file, which must not be there yet, instead of standard output
    #[arg(short, long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) output: Option<PathBuf>,

    /// Print JSON
    #[arg(long, conflicts_with = "output")]
    pub(crate) json: bool,
}

const ROTATE_HELP: &str = "\
The old key signs that the new one follows it, and its private half is removed. Its public half stays:
`aido verify` believes what it signed. Whoever was given the old public key needs the new one as well:
`aido key export`.";

#[derive(Debug, Args)]
#[command(after_help = ROTATE_HELP)]
pub(crate) struct KeyRotate {
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}
