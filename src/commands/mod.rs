//! The commands: each takes what was typed and returns the exit status.

mod check;
mod completions;
mod doctor;
mod event;
mod explained;
mod export;
mod init;
mod key;
mod logs;
pub(crate) mod past;
mod pin;
mod prune;
mod run;
mod runs;
mod sandbox;
mod schema;
mod show;
#[cfg(feature = "ui")]
mod ui;
mod verify;

#[cfg(test)]
pub(crate) use past::example;

use crate::cli::{self, Cli, Command};
use crate::host::{apply, diff, native, store};
use crate::words::say;
use crate::{backend, mend, owed, recover};
use aido_evidence::{Project, Sandbox};
use aido_runtime::exit;
use anyhow::Result;
use owo_colors::OwoColorize;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// The whole program.
pub fn main() -> ExitCode {
    backend::start_afresh();
    if let Some(kept) = native::other_main() {
        return kept;
    }
    if let Some(answered) = completions::asked() {
        return answered;
    }
    let cli = match Cli::read(typed()) {
        Ok(cli) => cli,
        Err(told) => {
            // Help and version are no failures; both go where the parser sends them.
            let failed = told.use_stderr();
            let _ = told.print();
            return ExitCode::from(if failed { exit::AIDO_FAILED } else { 0 });
        }
    };
    ExitCode::from(folder(cli.place.project.as_deref()).and_then(|dir| dispatch(&dir, &cli.command)).unwrap_or_else(
        |error| {
            say(&mend::report(&error));
            exit::AIDO_FAILED
        },
    ))
}

/// The command line; `aido help run` is what people know from elsewhere, and means `aido run --help`.
fn typed() -> Vec<OsString> {
    asked_for_help(std::env::args_os().collect())
}

fn asked_for_help(mut typed: Vec<OsString>) -> Vec<OsString> {
    if typed.get(1).is_some_and(|first| first == "help") {
        typed.remove(1);
        typed.push("--help".into());
    }
    typed
}

/// The folder to work in, without links in its path. With `-C` it becomes the current one, as for `git`.
fn folder(asked: Option<&Path>) -> Result<PathBuf> {
    if let Some(dir) = asked {
        std::env::set_current_dir(dir).map_err(|error| {
            let failed = aido_runtime::Error::new(format!("--project {}: {error}", dir.display()));
            failed.remedy("name a folder that is there; without -C the current one is meant")
        })?;
    }
    std::env::current_dir().and_then(|dir| dir.canonicalize()).map_err(|error| {
        let gone = aido_runtime::Error::new(format!("the current folder cannot be found: {error}"));
        gone.remedy("it was removed or moved under this shell: `cd` to where it is now").into()
    })
}

fn dispatch(dir: &Path, command: &Command) -> Result<u8> {
    // A run watches its own streams: its end is to be recorded whoever stops reading.
    if !matches!(command, Command::Run(_) | Command::Shell(_)) {
        backend::end_with_the_reader();
    }
    match command {
        Command::Run(typed) => run::run(dir, typed),
        Command::Shell(typed) => run::run(dir, &cli::Run::from(&**typed)),
        Command::Sandbox(cli::Sandbox::Up(typed)) => sandbox::up(dir, typed),
        Command::Sandbox(cli::Sandbox::Fork(typed)) => sandbox::fork(dir, typed),
        Command::Sandbox(cli::Sandbox::List(typed)) => sandbox::list(dir, typed),
        Command::Sandbox(cli::Sandbox::Destroy(typed)) => sandbox::destroy(dir, typed),
        Command::Logs(typed) => sweep_in(dir, Word::Said).and_then(|()| logs::logs(dir, typed)),
        Command::Runs(typed) => sweep_in(dir, Word::Said).and_then(|()| runs::runs(dir, typed)),
        Command::Show(typed) => sweep_in(dir, Word::Said).and_then(|()| show::show(dir, typed)),
        #[cfg(feature = "ui")]
        Command::Ui(_) => ui::ui(dir),
        Command::Diff(typed) => sweep_in(dir, Word::Said).and_then(|()| diff::diff(dir, typed)),
        Command::Apply(typed) => sweep_in(dir, Word::Said).and_then(|()| apply::apply(dir, typed)),
        Command::Discard(typed) => sweep_in(dir, Word::Said).and_then(|()| apply::discard(dir, typed)),
        Command::Verify(typed) => verify::verify(dir, typed),
        Command::Export(typed) => sweep_in(dir, Word::unless(typed.quiet)).and_then(|()| export::export(dir, typed)),
        Command::Prune(typed) => prune::prune(dir, typed),
        Command::Init(typed) => init::init(dir, typed),
        Command::Check(typed) => check::check(dir, typed),
        Command::Schema(typed) => schema::schema(dir, typed),
        Command::Image(typed) => store::image(typed),
        Command::Key(typed) => key::key(typed),
        Command::Doctor(typed) => doctor::doctor(dir, typed),
        Command::Completions(typed) => completions::completions(typed),
        Command::Man(typed) => completions::man(typed),
    }
}

/// What becomes of the word that a sandbox has ended by itself: it is told once.
#[derive(Clone, Copy)]
enum Word<'a> {
    Said,
    /// The command says this itself of one of them.
    SaidBut(Option<&'a Sandbox>),
    /// It waits for a command that may speak.
    Waits,
}

impl Word<'_> {
    fn unless(quiet: bool) -> Self {
        if quiet { Word::Waits } else { Word::Said }
    }
}

/// Closes what a crash left open, before a command looks at the project, and says so.
fn sweep(project: &Project, word: Word<'_>) -> Result<()> {
    project.sweep()?;
    let mut said = recover::sweep(project);
    owed::settle_all().into_iter().for_each(|line| {
        if !said.contains(&line) {
            said.push(line);
        }
    });
    let ended = if let Word::Waits = word { Vec::new() } else { project.take_word()? };
    let known = |sandbox: &&Sandbox| matches!(word, Word::SaidBut(Some(known)) if known.id() == sandbox.id());
    said.extend(ended.iter().filter(|sandbox| !known(sandbox)).map(|sandbox| {
        let id = sandbox.id();
        format!("sandbox {id} has ended by itself: its time limit had passed; what it left stays until `aido sandbox destroy {id}`")
    }));
    said.iter().for_each(|said| say(said));
    project.take_notes().iter().for_each(|note| warn(note));
    Ok(())
}

fn sweep_in(dir: &Path, word: Word<'_>) -> Result<()> {
    Project::open(dir, &backend::own_home())?.map_or(Ok(()), |project| sweep(&project, word))
}

pub(crate) fn warn(what: &str) {
    say(&format!("{} {what}", "warning:".yellow()));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn help_is_a_command_in_the_first_place_alone() {
        let of = |words: &[&str]| {
            let typed = ["aido"].iter().chain(words).map(OsString::from).collect();
            asked_for_help(typed)[1..].join(&OsString::from(" ")).into_string().unwrap()
        };
        assert_eq!(of(&["help"]), "--help");
        assert_eq!(of(&["help", "sandbox", "up"]), "sandbox up --help");
        assert_eq!(of(&["run", "help"]), "run help");
        assert_eq!(of(&[]), "");
    }
}
