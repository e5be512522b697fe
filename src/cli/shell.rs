//! A shell at the caller's terminal: `aido run -it` with a task of its own.

use super::{Run, Wanted};
use clap::Args;

#[derive(Debug, Args)]
pub(crate) struct Shell {
    /// The sandbox (an ID, a unique beginning of one, or `latest`) [default: the one that is up, else a fresh one]
    #[arg(value_name = "ID")]
    pub(crate) sandbox: Option<String>,

    #[command(flatten)]
    pub(crate) wanted: Wanted,

    /// Say nothing but errors
    #[arg(short, long)]
    pub(crate) quiet: bool,
}

/// The best shell that a root has; every one that has any has the plain one.
const BEST: &str = "command -v bash >/dev/null 2>&1 && exec bash; exec sh -i";

impl From<&Shell> for Run {
    fn from(shell: &Shell) -> Run {
        let (sandbox, wanted, quiet) = (shell.sandbox.clone(), shell.wanted.clone(), shell.quiet);
        let task = ["sh", "-c", BEST].map(str::to_string).to_vec();
        Run { sandbox, wanted, quiet, interactive: true, tty: true, task, ..Run::default() }
    }
}
