//! What can be typed to set a project, an editor, a shell or a manual up.

use clap::{Args, ValueEnum, ValueHint};
use std::path::PathBuf;

const INIT_HELP: &str = "\
What is written is decided by the files at the top of the project: pyproject.toml, package.json, Cargo.toml,
go.mod, *.tf, scripts and their #! lines. It grants no network and no change of the project, and is read back
before it is written. The schema for editors goes to .aido/, which git does not see; after a fresh clone
`aido schema --write` puts it there again.

Exit status: 0 the file was written (or shown); 125 it was not.";

#[derive(Debug, Args)]
#[command(after_help = INIT_HELP)]
pub(crate) struct Init {
    /// Write over a sandbox.yaml that is there
    #[arg(long, conflicts_with = "stdout")]
    pub(crate) force: bool,

    /// Print what would be written, and write nothing
    #[arg(long)]
    pub(crate) stdout: bool,

    /// Print what was found, and what comes next, as JSON
    #[arg(long, conflicts_with = "stdout")]
    pub(crate) json: bool,
}

const SCHEMA_HELP: &str = "\
Editors that use yaml-language-server read it where the first line of the file names it:
  # yaml-language-server: $schema=.aido/sandbox.schema.json
`aido init` writes that line, and `aido schema --write` the file that it names.";

#[derive(Debug, Args)]
#[command(after_help = SCHEMA_HELP)]
pub(crate) struct Schema {
    /// The schema of policy.yaml, your own ceilings, instead of sandbox.yaml
    #[arg(long, conflicts_with = "write")]
    pub(crate) policy: bool,

    /// Write it to .aido/sandbox.schema.json of this project instead of standard output
    #[arg(long)]
    pub(crate) write: bool,
}

const COMPLETIONS_HELP: &str = "\
bash        echo 'source <(aido completions bash)' >>~/.bashrc
zsh         echo 'source <(aido completions zsh)' >>~/.zshrc         (after compinit)
fish        aido completions fish >~/.config/fish/completions/aido.fish
powershell  aido completions powershell | Out-String | Invoke-Expression    (in $PROFILE)

What is completed is asked of aido itself: commands, options, files, and the IDs of sandboxes and runs of the
project and the names of images in the store. It changes nothing and asks no registry.";

#[derive(Debug, Args)]
#[command(after_help = COMPLETIONS_HELP)]
pub(crate) struct Completions {
    /// The shell to print it for
    #[arg(value_enum, value_name = "SHELL")]
    pub(crate) shell: Shells,
}

/// Shells that can be completed in.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Shells {
    Bash,
    Zsh,
    Fish,
    Powershell,
}

impl Shells {
    /// As the shell itself is called.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Shells::Bash => "bash",
            Shells::Zsh => "zsh",
            Shells::Fish => "fish",
            Shells::Powershell => "powershell",
        }
    }
}

#[derive(Debug, Args)]
pub(crate) struct Man {
    /// Write the pages of all commands into this folder, which is made where it is not there, instead of aido(1) to standard output
    #[arg(value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(crate) dir: Option<PathBuf>,
}
