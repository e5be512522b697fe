//! `aido completions` and `aido man`: what shells and manuals ask of this program.

use crate::backend;
use crate::cli::{self, Cli, Completions};
use crate::host::root;
use crate::words;
use aido_evidence::Project;
use aido_runtime::exit;
use anyhow::{Context, Result, anyhow};
use clap::builder::StyledStr;
use clap::{Arg, Command, CommandFactory};
use clap_complete::CompletionCandidate;
use clap_complete::engine::{ArgValueCandidates, ArgValueCompleter, PathCompleter};
use clap_complete::env::{CompleteEnv, Shells};
use clap_mangen::Man;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// The variable by which the scripts of shells ask for candidates.
const VARIABLE: &str = "AIDO_COMPLETE";
/// The variable by which some of them say which word is being typed; with others it is the last.
const WORD: &str = "_CLAP_COMPLETE_INDEX";
/// A script of zsh that lies in its search path is the body of a function: at its first call it has to answer, too.
const AUTOLOADED: &str = "[[ \"${funcstack[1]-}\" = _aido ]] && _clap_dynamic_completer_aido \"$@\"\ntrue\n";
/// So many of a project's things are offered, the newest first.
const MOST: usize = 200;

/// Answers a shell that asks what could be typed; `None` where none asks.
pub(super) fn asked() -> Option<ExitCode> {
    std::env::var_os(VARIABLE)?;
    go_where_the_line_says();
    let here = std::env::current_dir().ok();
    match CompleteEnv::with_factory(command).var(VARIABLE).try_complete(std::env::args_os(), here.as_deref()) {
        Ok(true) => Some(ExitCode::SUCCESS),
        Ok(false) => None,
        Err(error) => {
            let _ = error.print();
            Some(ExitCode::from(exit::AIDO_FAILED))
        }
    }
}

/// With `-C DIR` on the line its IDs, runs and files are those of that folder.
fn go_where_the_line_says() {
    let words: Vec<OsString> = std::env::args_os().skip_while(|word| word != "--").skip(1).collect();
    let at = std::env::var(WORD).ok().and_then(|at| at.parse().ok()).unwrap_or(words.len().saturating_sub(1));
    if let Some(folder) = folder(words.into_iter().take(at)) {
        // One that is not there has nothing to offer, and says so when the line is run.
        let _ = std::env::set_current_dir(folder);
    }
}

/// The folder that these words name, as the program itself would read them.
fn folder(words: impl IntoIterator<Item = OsString>) -> Option<PathBuf> {
    let matches = Cli::command().ignore_errors(true).try_get_matches_from(words).ok()?;
    let typed = matches.get_one::<PathBuf>("project")?;
    match typed.to_str() {
        Some(text) if !typed.exists() => Some(unquoted(text)),
        _ => Some(typed.clone()),
    }
}

/// What a shell would make of a word: bash and zsh tell it as it was typed.
fn unquoted(word: &str) -> PathBuf {
    let home = word.strip_prefix("~/").and_then(|rest| Some((std::env::home_dir()?, rest)));
    let (begin, rest) = home.unwrap_or((PathBuf::new(), word));
    let mut plain = String::new();
    let mut chars = rest.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => plain.extend(chars.next()),
            '\'' | '"' => {}
            c => plain.push(c),
        }
    }
    begin.join(plain)
}

pub(super) fn completions(asked: &Completions) -> Result<u8> {
    let name = asked.shell.name();
    let shells = Shells::builtins();
    let shell = shells.completer(name).ok_or_else(|| anyhow!("nothing is known of the shell {name}"))?;
    let mut script = Vec::new();
    shell.write_registration(VARIABLE, "aido", "aido", "aido", &mut script)?;
    let mut script = String::from_utf8(script)?;
    if name == "zsh" {
        script.push_str(AUTOLOADED);
    }
    words::print(&script);
    Ok(0)
}

pub(super) fn man(asked: &cli::Man) -> Result<u8> {
    let mut program = Cli::command();
    program.build();
    let Some(dir) = &asked.dir else {
        let mut text = Vec::new();
        page(program).render(&mut text)?;
        words::print(&String::from_utf8(text)?);
        return Ok(0);
    };
    let failed = || format!("the pages cannot be written to {}", dir.display());
    std::fs::create_dir_all(dir).with_context(failed)?;
    pages(program, dir).with_context(failed)?;
    Ok(0)
}

fn page(command: Command) -> Man {
    let version = concat!("aido ", env!("CARGO_PKG_VERSION"));
    // A page has no date: the same source gives the same page. An empty one would let the version slip into its place.
    Man::new(command.version(env!("CARGO_PKG_VERSION"))).date(" ").source(version).manual("aido")
}

fn pages(command: Command, dir: &Path) -> std::io::Result<()> {
    command.get_subcommands().filter(|inner| !inner.is_hide_set()).try_for_each(|inner| pages(inner.clone(), dir))?;
    page(command).generate_to(dir).map(drop)
}

/// All that can be typed, with candidates where a thing of the project or the store is named.
fn command() -> Command {
    with_candidates(Cli::command())
}

fn with_candidates(command: Command) -> Command {
    let of_keys = command.get_name() == "key";
    let command = command.mut_args(offered);
    if of_keys { command } else { command.mut_subcommands(with_candidates) }
}

/// What an argument's name promises.
fn offered(arg: Arg) -> Arg {
    let name = arg.get_value_names().and_then(|names| names.first()).map(|name| name.to_string());
    let candidates: fn() -> Vec<CompletionCandidate> = match (name.as_deref(), arg.get_long()) {
        (Some("RUN" | "RUN|FOLDER|BUNDLE"), _) => runs,
        (Some("ID" | "SANDBOX"), _) => sandboxes,
        (Some("RUN|SANDBOX"), _) => both,
        (Some("IMAGE"), _) => images,
        (_, Some("runtime")) => runtimes,
        (_, Some("backend")) => || named(["linux", "docker"]),
        (_, Some("filesystem")) => || named(["readonly", "overlay"]),
        (_, Some("record")) => || named(["refusals", "standard", "full"]),
        (_, Some("isolation")) => || named(["full", "landlock"]),
        (_, Some("accept-weaker")) => || named(["memory", "cpus", "pids"]),
        (Some("TASK"), _) => return arg.add(ArgValueCompleter::new(PathCompleter::file())),
        _ => return arg,
    };
    arg.add(ArgValueCandidates::new(candidates))
}

fn named<const N: usize>(names: [&str; N]) -> Vec<CompletionCandidate> {
    names.map(CompletionCandidate::new).into()
}

fn candidate(name: &str, help: String) -> CompletionCandidate {
    let help = StyledStr::from(words::inert(&help));
    CompletionCandidate::new(name).help(Some(help))
}

/// Looks on: whatever is wrong with a project, a shell is told nothing of it.
fn project() -> Option<Project> {
    Project::open_to_look(&std::env::current_dir().ok()?, &backend::own_home()).ok()?
}

fn sandboxes() -> Vec<CompletionCandidate> {
    let all = project().and_then(|project| project.sandboxes().ok()).unwrap_or_default();
    let told = all.iter().rev().take(MOST).map(|sandbox| {
        let name = sandbox.state().map(|state| state.name).unwrap_or_default();
        candidate(sandbox.id().as_str(), name)
    });
    told.chain(named(["latest"])).collect()
}

fn runs() -> Vec<CompletionCandidate> {
    let all = project().and_then(|project| project.runs().ok()).unwrap_or_default();
    let told = all.iter().rev().take(MOST).map(|run| {
        let began = run.begun().and_then(|begun| words::since(&begun.time)).unwrap_or_default();
        candidate(run.id().as_str(), began)
    });
    told.chain(named(["latest"])).collect()
}

fn both() -> Vec<CompletionCandidate> {
    runs().into_iter().chain(sandboxes()).collect()
}

fn images() -> Vec<CompletionCandidate> {
    root::image_names().iter().take(MOST).map(CompletionCandidate::new).collect()
}

fn runtimes() -> Vec<CompletionCandidate> {
    named(["host"]).into_iter().chain(images()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_folder_is_read_as_the_program_reads_it() {
        let of = |line: &[&str]| folder(["aido"].iter().chain(line).map(OsString::from));
        let named = |folder: &str| Some(PathBuf::from(folder));
        assert_eq!(of(&["-C", "no/such", "show"]), named("no/such"));
        assert_eq!(of(&["show", "-Cno/such"]), named("no/such"));
        assert_eq!(of(&["sandbox", "destroy", "--project=no/such"]), named("no/such"));
        assert_eq!(of(&["run", "--project", "no/such", "--sandbox"]), named("no/such"));
        assert_eq!(of(&["-C", "'no such'/x\\ y", "run"]), named("no such/x y"));
        assert_eq!(of(&["run", "make", "-C", "no/such"]), None, "that is the task's");
        assert_eq!(of(&["show"]), None);
        assert_eq!(of(&["-C"]), None);
    }
}
