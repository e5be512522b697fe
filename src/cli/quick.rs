//! Reading what is typed most often, and what a person or a loop waits for: `aido run`.

use super::{Cli, Command, Place, Run};
use clap::{Parser, Subcommand};
use std::ffi::OsString;

/// All options of all other commands need not be made for it, which takes a part of a short run's time.
#[derive(Debug, Parser)]
#[command(name = "aido", disable_help_subcommand = true)]
struct Quick {
    #[command(flatten)]
    place: Place,

    #[command(subcommand)]
    command: Quickly,
}

#[derive(Debug, Subcommand)]
enum Quickly {
    Run(Box<Run>),
}

impl Cli {
    /// Reads a command line. What is no plain `aido run …` is read, or refused, with all that can be typed in mind.
    pub(crate) fn read(typed: Vec<OsString>) -> Result<Cli, clap::Error> {
        if typed.get(1).is_some_and(|first| first == "run")
            && let Ok(Quick { place, command: Quickly::Run(run) }) = Quick::try_parse_from(&typed)
        {
            return Ok(Cli { place, command: Command::Run(run) });
        }
        Cli::try_parse_from(typed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the quick way reads, and what it leaves to the whole one, comes out the same.
    #[test]
    fn a_run_is_read_as_among_all_commands() {
        let lines: [&[&str]; 9] = [
            &["run"],
            &["run", "--quiet", "--runtime", "x:1", "-e", "A=b", "--", "true", "-C", "--help"],
            &["run", "-C", "p", "task.sh", "--ttl", "3s", "-q"],
            &["run", "--ttl", "1h", "-it", "sh"],
            &["-C", "p", "run", "true"],
            &["runs"],
            &["run", "--nonsense"],
            &["run", "--detach", "-i", "true"],
            &["run", "--help"],
        ];
        for line in lines {
            let typed = || std::iter::once("aido").chain(line.iter().copied()).map(OsString::from).collect::<Vec<_>>();
            let told = |read: Result<Cli, clap::Error>| match read {
                Ok(cli) => format!("{cli:?}"),
                Err(error) => error.to_string(),
            };
            assert_eq!(told(Cli::read(typed())), told(Cli::try_parse_from(typed())), "{line:?}");
        }
    }
}
