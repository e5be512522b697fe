//! What can be typed to look at what tasks changed of the project, and to bring it in or drop it.

use clap::{Args, ValueHint};

const DIFF_HELP: &str = "\
Examples:
  aido diff                      what the newest run's sandbox changed, as a patch
  aido diff --stat               how much of each file
  aido diff --name-status        which files, one a line
  aido diff > it.patch           for `git apply`
  aido diff s1 s2                where what two sandboxes made of the project differs

A sandbox with `permissions: {filesystem: overlay}` keeps what its tasks change in a layer; all runs in it add to
that. Deletions are shown first; nothing is left out. On a terminal git's pager is used, if there is one.";

#[derive(Debug, Args)]
#[command(after_help = DIFF_HELP)]
pub(crate) struct Diff {
    /// A sandbox or a run in it (an ID, a unique beginning of one, or `latest`); two are compared [default: latest]
    #[arg(value_name = "RUN|SANDBOX", num_args = 0..=2)]
    pub(crate) what: Vec<String>,

    /// One line for each file with the lines that were added and removed
    #[arg(long, conflicts_with_all = ["name_status", "patch"])]
    pub(crate) stat: bool,

    /// One line for each file: added (A), modified (M), deleted (D), renamed (R100), of another type (T)
    #[arg(long, conflicts_with = "patch")]
    pub(crate) name_status: bool,

    /// A patch that `git apply` takes, binary files included [default]
    #[arg(short, long)]
    pub(crate) patch: bool,

    /// Print JSON
    #[arg(long, conflicts_with_all = ["stat", "name_status", "patch"])]
    pub(crate) json: bool,

    /// Pass contents and names on as they are, also to a terminal that they may steer
    #[arg(long)]
    pub(crate) raw: bool,
}

const APPLY_HELP: &str = "\
Examples:
  aido apply --dry-run           what would be done
  aido apply                     all changes of the newest run's sandbox, into the project
  aido apply --only 'src/**'     some of them; can be repeated
  aido apply --branch try-1      onto a new git branch; work tree and index stay as they are
  aido apply --undo              takes the last apply back

All of what was chosen is brought in, or nothing: where the project was changed since the sandbox began, where a
link is in the way, in `.git`, and for files that your tools would act on by themselves (hooks, settings of
editors and agents, `.envrc`, CI files) nothing is written, and it is said which files and why.

Exit status:
  0    done
  1    refused: nothing was written
  125  aido failed";

#[derive(Debug, Args)]
#[command(after_help = APPLY_HELP)]
pub(crate) struct Apply {
    /// A sandbox or a run in it (an ID, a unique beginning of one, or `latest`) [default: latest]
    #[arg(value_name = "RUN|SANDBOX")]
    pub(crate) what: Option<String>,

    /// Only these: a path, a folder with all in it, or a pattern; can be repeated
    #[arg(long, value_name = "GLOB", value_hint = ValueHint::AnyPath)]
    pub(crate) only: Vec<String>,

    /// Check and tell everything, write nothing
    #[arg(long, conflicts_with_all = ["branch", "undo"])]
    pub(crate) dry_run: bool,

    /// Also what your tools act on by themselves
    #[arg(long)]
    pub(crate) allow_active: bool,

    /// Also links that lead out of the project
    #[arg(long)]
    pub(crate) allow_links_out: bool,

    /// Commit to a new git branch of this name instead of changing the work tree
    #[arg(long, value_name = "NAME", conflicts_with_all = ["undo", "commit"])]
    pub(crate) branch: Option<String>,

    /// Commit what was brought in, and nothing else, to the current branch
    #[arg(long, conflicts_with = "undo")]
    pub(crate) commit: bool,

    /// The commit's message [default: names the sandbox and its last task]
    #[arg(short, long, value_name = "TEXT")]
    pub(crate) message: Option<String>,

    /// Take an apply back, where the files are still as it left them [default: the last one that was not yet];
    /// `list` names them all
    #[arg(long, value_name = "RECORD|list", num_args = 0..=1, default_missing_value = "last", conflicts_with_all = ["only", "what"])]
    pub(crate) undo: Option<String>,

    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,

    /// Say nothing but what was refused
    #[arg(short, long)]
    pub(crate) quiet: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Discard {
    /// A sandbox or a run in it (an ID, a unique beginning of one, or `latest`) [default: latest]
    #[arg(value_name = "RUN|SANDBOX")]
    pub(crate) what: Option<String>,

    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Fork {
    /// The sandbox to begin with (an ID, a unique beginning of one, or `latest`) [default: latest]
    #[arg(value_name = "SANDBOX")]
    pub(crate) sandbox: Option<String>,

    /// The time limit of the new one: 90s, 15m, 1h30m [default: as the first was given]
    #[arg(long, value_name = "TIME")]
    pub(crate) ttl: Option<String>,

    /// Say nothing but errors
    #[arg(short, long)]
    pub(crate) quiet: bool,

    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}
