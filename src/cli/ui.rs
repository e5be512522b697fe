//! `aido ui`.

use clap::Args;

const UI_HELP: &str = "\
Keys (`?` shows all of them):
  arrows, h j k l    move; enter opens, esc goes back, tab goes to the next view
  /                  show only what has these words; in texts: search, n and N go on
  :                  a command, such as :sandboxes or :q
  v                  verify the evidence of the run
  Ctrl-D             destroy the sandbox, after a question

It reads the evidence of this project and follows it while tasks run. Nothing is started, and nothing
is changed but what Ctrl-D asks for. NO_COLOR turns colours off. Where there is no terminal:
`aido runs`, `aido show` and `aido logs`.";

#[derive(Debug, Args)]
#[command(after_help = UI_HELP)]
pub(crate) struct Ui {}
