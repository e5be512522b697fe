//! What can be typed. Does no I/O and decides nothing.

mod changes;
mod doctor;
mod evidence;
mod help;
mod image;
mod key;
mod quick;
mod runs;
mod sandbox;
mod setup;
mod shell;
#[cfg(feature = "ui")]
mod ui;

pub(crate) use changes::*;
pub(crate) use doctor::*;
pub(crate) use evidence::*;
pub(crate) use image::*;
pub(crate) use key::*;
pub(crate) use runs::*;
pub(crate) use sandbox::*;
pub(crate) use setup::*;
pub(crate) use shell::*;
#[cfg(feature = "ui")]
pub(crate) use ui::*;

use crate::settings::{Backend, Overrides};
use aido_runtime::{Control, Isolation};
use clap::{Args, Parser, Subcommand, ValueHint};
use help::RUN_HELP;
use std::path::PathBuf;

/// Run AI-generated code in disposable sandboxes, and keep evidence of it
#[derive(Debug, Parser)]
#[command(name = "aido", version, propagate_version = false, disable_help_subcommand = true, after_help = START)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) place: Place,

    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Args)]
pub(crate) struct Place {
    /// Work in this folder instead of the current one; every other path is relative to it
    #[arg(short = 'C', long, global = true, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(crate) project: Option<PathBuf>,
}

const START: &str = "\
Start here:
  aido doctor                      what this host can enforce
  aido run script.py               run a script of this project in a sandbox
  aido show                        what happened, and what was enforced

Exit status: the task's own; 124 time limit; 125 aido failed and nothing ran;
126 not executable; 127 not found; 128+N ended by signal N. See `aido run --help`.";

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run a task in a sandbox
    Run(Box<Run>),
    /// Open a shell at your terminal in a sandbox
    Shell(Box<Shell>),
    /// Make, list and destroy sandboxes
    #[command(subcommand, disable_help_subcommand = true)]
    Sandbox(Sandbox),
    /// Show the output of a run
    Logs(Logs),
    /// List past runs, the newest first
    Runs(Runs),
    /// Show one run: how it ended, what was enforced, what was refused and why
    Show(Show),
    /// Look through runs, sandboxes, logs and evidence on the whole terminal
    #[cfg(feature = "ui")]
    Ui(Ui),
    /// Show what tasks changed of the project in a sandbox, or where two sandboxes differ
    Diff(Diff),
    /// Bring what tasks changed into the project, or onto a git branch, or take that back
    Apply(Apply),
    /// Drop what tasks changed in a sandbox
    Discard(Discard),
    /// Check that the evidence of runs is as it was signed
    Verify(Verify),
    /// Write a run to one file that others can verify
    Export(Export),
    /// Remove evidence by age, number or size
    Prune(Prune),
    /// Write a sandbox.yaml that fits this project
    Init(Init),
    /// Validate a sandbox.yaml and show what it grants; starts nothing
    Check(Check),
    /// Print the JSON Schema of sandbox.yaml, by which editors complete and explain it
    Schema(Schema),
    /// Manage the local store of images
    #[command(subcommand, disable_help_subcommand = true)]
    Image(Image),
    /// Show, export and replace the key that signs runs
    #[command(subcommand, disable_help_subcommand = true)]
    Key(Key),
    /// Say what this host can enforce, what it cannot, and what mends it
    Doctor(Doctor),
    /// Print what makes a shell complete commands, options, IDs, runs and images
    Completions(Completions),
    /// Print the manual page, or write the pages of all commands
    Man(Man),
}

#[derive(Debug, Default, Args)]
#[command(after_help = RUN_HELP, override_usage = "aido run [OPTIONS] [TASK [ARG]...]")]
pub(crate) struct Run {
    /// Run in this sandbox (an ID, a unique beginning of one, or `latest`) instead of a fresh one
    #[arg(long, value_name = "ID")]
    pub(crate) sandbox: Option<String>,

    #[command(flatten)]
    pub(crate) wanted: Wanted,

    /// Pass standard input on to the task
    #[arg(short, long)]
    pub(crate) interactive: bool,

    /// Give the task a terminal; with -i what you type goes there, Ctrl-C and Ctrl-Z too
    #[arg(short, long, conflicts_with = "json")]
    pub(crate) tty: bool,

    /// Let the task reach nothing, and put on record what it asks for; `aido show` has the line that would allow it
    #[arg(long, conflicts_with = "no_network")]
    pub(crate) learn: bool,

    /// Print the run's ID and return at once; the run goes on
    #[arg(long, conflicts_with_all = ["interactive", "tty"])]
    pub(crate) detach: bool,

    /// Pass the task's bytes on as they are, also to a terminal that they may steer
    #[arg(long)]
    pub raw: bool,

    /// Keep what the task writes byte for byte: secrets that it writes are on record then
    #[arg(long)]
    pub(crate) exact_output: bool,

    /// Print what goes on record as lines of JSON while it comes, the summary last, instead of the task's output
    #[arg(long)]
    pub(crate) json: bool,

    /// Say nothing but errors; the task's output is unchanged
    #[arg(short, long)]
    pub(crate) quiet: bool,

    /// A script of the project or a command, and its arguments; without it the image's own command
    #[arg(trailing_var_arg = true, value_name = "TASK")]
    pub(crate) task: Vec<String>,
}

/// What shapes a sandbox; the same for `run` and `sandbox up`.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct Wanted {
    /// The configuration to read [default: sandbox.yaml, where there is one]
    #[arg(short, long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) file: Option<PathBuf>,

    /// Where programs come from: `host`, an image (python:3.11), oci:DIR[:TAG], oci-archive:FILE[:TAG], docker-archive:FILE[:NAME], rootfs:DIR or rootfs-archive:FILE
    #[arg(long, value_name = "NAME")]
    pub(crate) runtime: Option<String>,

    /// The time limit: 90s, 15m, 1h30m; at most 24h [default: 15m]
    #[arg(long, value_name = "TIME")]
    pub(crate) ttl: Option<String>,

    /// A file, folder or pattern of the project to show to the task, read-only; can be repeated [default: the whole project]
    #[arg(long, value_name = "PATH")]
    pub(crate) input: Vec<String>,

    /// A file, or with a final slash a folder, that the task may write and that is kept; can be repeated
    #[arg(long, value_name = "PATH")]
    pub(crate) output: Vec<String>,

    /// A file of the project with a secret: shown to the task, read-only, and kept out of the records; can be repeated
    #[arg(long, value_name = "PATH", value_hint = ValueHint::FilePath)]
    pub(crate) secret_file: Vec<String>,

    /// Set a variable; NAME alone passes your own value on and keeps it out of the records
    #[arg(short, long, value_name = "NAME[=VALUE]")]
    pub(crate) env: Vec<String>,

    /// Memory of the whole run: 512MiB, 2GiB [default: 2GiB]
    #[arg(long, value_name = "SIZE")]
    pub(crate) memory: Option<String>,

    /// Processors of the whole run: 2, 0.5 [default: all]
    #[arg(long, value_name = "NUMBER")]
    pub(crate) cpus: Option<String>,

    /// Processes and threads of the whole run [default: 512]
    #[arg(long, value_name = "NUMBER")]
    pub(crate) pids: Option<String>,

    /// Bytes in all writable places together [default: 1GiB]
    #[arg(long, value_name = "SIZE")]
    pub(crate) disk: Option<String>,

    /// What the task may do to the project: `readonly`, or `overlay`, where it changes what it likes in a layer apart and `aido diff` shows it [default: readonly]
    #[arg(long, value_name = "KIND")]
    pub(crate) filesystem: Option<String>,

    /// Let the task reach any public host, on ports that are usual; what sandbox.yaml denies stays denied
    #[arg(long, conflicts_with = "no_network")]
    pub(crate) network: bool,

    /// Let the task reach this host (ports 80 and 443, or PORT), beside those of sandbox.yaml; can be repeated
    #[arg(long, value_name = "NAME[:PORT]", conflicts_with = "no_network")]
    pub(crate) allow_host: Vec<String>,

    /// No network, whatever sandbox.yaml grants
    #[arg(long)]
    pub(crate) no_network: bool,

    /// Let the task write into the project itself: no layer, no way back; what it changed is on record
    #[arg(long, conflicts_with = "filesystem")]
    pub(crate) dangerous_allow_mutations: bool,

    /// Start even where the host can hold these limits in a weaker form only: memory, cpus, pids
    #[arg(long, value_name = "LIMITS", value_delimiter = ',', value_parser = weaker)]
    pub(crate) accept_weaker: Vec<Control>,

    /// The profile of system calls: default, strict (what a plain script interpreter needs), or a FILE of your own in Docker's and OCI's form
    #[arg(long, value_name = "PROFILE", value_hint = ValueHint::FilePath)]
    pub(crate) syscalls: Option<String>,

    /// The engine: `linux` (the kernel's own means) or `docker` (a Docker-compatible engine) [env: AIDO_BACKEND] [default: linux on Linux, docker elsewhere]
    #[arg(long, value_name = "ENGINE")]
    pub(crate) backend: Option<Backend>,

    /// How the task is kept apart: `full`, or `landlock` for hosts without namespaces, which holds less and says so
    #[arg(long, value_name = "HOW", default_value = "full", value_parser = isolation)]
    pub(crate) isolation: Isolation,

    /// How much of what the task does is on record: refusals, standard (programs and refused changes, too), full (and refused reads) [default: standard]
    #[arg(long, value_name = "LEVEL")]
    pub(crate) record: Option<String>,

    /// Never touch the network to find an image
    #[arg(long)]
    pub(crate) offline: bool,

    /// Talk plain HTTP to this registry; can be repeated
    #[arg(long, value_name = "HOST[:PORT]")]
    pub(crate) insecure_registry: Vec<String>,

    /// The folder that the task starts in [default: /workspace]
    #[arg(long, value_name = "DIR")]
    pub(crate) workdir: Option<String>,
}

impl Wanted {
    pub(crate) fn overrides(&self) -> Overrides {
        Overrides {
            runtime: self.runtime.clone(),
            ttl: self.ttl.clone(),
            inputs: self.input.clone(),
            outputs: self.output.clone(),
            secret_files: self.secret_file.clone(),
            env: self.env.clone(),
            memory: self.memory.clone(),
            cpus: self.cpus.clone(),
            pids: self.pids.clone(),
            disk: self.disk.clone(),
            filesystem: self.filesystem.clone(),
            network: self.network,
            no_network: self.no_network,
            allow_hosts: self.allow_host.clone(),
            mutations: self.dangerous_allow_mutations,
            accept_weaker: self.accept_weaker.clone(),
            syscalls: self.syscalls.clone(),
            made_with: None,
            isolation: self.isolation,
            record: self.record.clone(),
            workdir: self.workdir.clone(),
            offline: self.offline,
            insecure_registries: self.insecure_registry.clone(),
        }
    }
}

fn isolation(text: &str) -> Result<Isolation, String> {
    match text {
        "full" => Ok(Isolation::Full),
        "landlock" => Ok(Isolation::Landlock),
        _ => Err("it is `full` or `landlock`".to_string()),
    }
}

/// The limits of which a weaker form exists.
fn weaker(text: &str) -> Result<Control, String> {
    match text {
        "memory" => Ok(Control::Memory),
        "cpus" | "cpu" => Ok(Control::Cpus),
        "pids" => Ok(Control::Pids),
        _ => Err("a weaker form exists of: memory, cpus, pids".to_string()),
    }
}

#[derive(Debug, Args)]
pub(crate) struct Logs {
    /// The run: an ID, a unique beginning of one, or `latest` [default: the one that runs, or the last]
    #[arg(value_name = "RUN")]
    pub(crate) run: Option<String>,

    /// Go on until the run ends
    #[arg(short, long)]
    pub(crate) follow: bool,

    /// Show standard error instead of standard output
    #[arg(long, conflicts_with = "events")]
    pub(crate) stderr: bool,

    /// Show what aido recorded instead of what the task wrote
    #[arg(long)]
    pub(crate) events: bool,

    /// Only what came since then: a time (2026-01-31T12:00:00Z) or how long ago (10m)
    #[arg(long, value_name = "TIME")]
    pub(crate) since: Option<String>,

    /// Only lines in which this regular expression is found; `(?i)` before it: in whatever case
    #[arg(short, long, value_name = "PATTERN")]
    pub(crate) grep: Option<String>,

    /// Begin each line with the time at which it came (UTC)
    #[arg(short, long, conflicts_with_all = ["json", "events"])]
    pub(crate) timestamps: bool,

    /// Print JSON lines
    #[arg(long)]
    pub(crate) json: bool,

    /// Pass the task's bytes on as they are, also to a terminal that they may steer
    #[arg(long, conflicts_with_all = ["json", "events"])]
    pub(crate) raw: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Show {
    /// The run: an ID, a unique beginning of one, or `latest` [default: latest]
    #[arg(value_name = "RUN")]
    pub(crate) run: Option<String>,

    /// Print the summary as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

const CHECK_HELP: &str = "\
`--pin` writes what the runtime's tag leads to into the file: `runtime: python:3.11@sha256:…`. From then on it
is the same image on every machine. What the store has resolved counts; a registry is asked where the store
does not know the name, and for the tag's present meaning with `--update`.

Exit status: 0 the configuration is valid; 125 it is not, or could not be pinned.";

#[derive(Debug, Args)]
#[command(after_help = CHECK_HELP)]
pub(crate) struct Check {
    /// The configuration to check [default: sandbox.yaml, where there is one]
    #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) file: Option<PathBuf>,

    /// Hold the runtime's image to its digest: write it into the file, and change nothing else there
    #[arg(long)]
    pub(crate) pin: bool,

    /// With --pin: what the tag means in its registry now, also where another digest is written
    #[arg(long, requires = "pin", conflicts_with = "offline")]
    pub(crate) update: bool,

    /// With --pin: never touch the network
    #[arg(long, requires = "pin")]
    pub(crate) offline: bool,

    /// With --pin: talk plain HTTP to this registry; can be repeated
    #[arg(long, requires = "pin", value_name = "HOST[:PORT]")]
    pub(crate) insecure_registry: Vec<String>,

    /// The engine that would run it: `linux` or `docker` [env: AIDO_BACKEND]
    #[arg(long, value_name = "ENGINE")]
    pub(crate) backend: Option<Backend>,

    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    fn run(line: &[&str]) -> Run {
        let line = ["aido", "run"].iter().chain(line);
        match Cli::try_parse_from(line).unwrap_or_else(|e| panic!("{e}")).command {
            Command::Run(run) => *run,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn everything_after_the_task_is_the_tasks() {
        assert_eq!(run(&["terraform", "plan", "-out", "x"]).task, ["terraform", "plan", "-out", "x"]);
        assert_eq!(run(&["--", "python", "-c", "print(1)"]).task, ["python", "-c", "print(1)"]);
        let r = run(&["--ttl", "5m", "perl", "-e", "print", "--ttl", "9", "--help", "-C", "x"]);
        assert_eq!(r.task, ["perl", "-e", "print", "--ttl", "9", "--help", "-C", "x"]);
        assert_eq!((r.wanted.ttl.as_deref(), r.wanted.env.len()), (Some("5m"), 0));
        assert_eq!(run(&["a.py", "--", "-x"]).task, ["a.py", "--", "-x"]);
        assert_eq!(run(&["--", "--odd", "--", "x"]).task, ["--odd", "--", "x"]);
        assert!(run(&[]).task.is_empty());
    }

    #[test]
    fn options_before_the_task_are_aidos() {
        let r = run(&["-e", "A=1", "-e", "B", "--accept-weaker", "memory,cpu", "--accept-weaker=pids", "-i", "a.py"]);
        assert_eq!(r.wanted.env, ["A=1", "B"]);
        assert_eq!(r.wanted.accept_weaker, [Control::Memory, Control::Cpus, Control::Pids]);
        assert!(r.interactive && !r.tty && r.task == ["a.py"]);
        let r = run(&["-it", "bash", "-t"]);
        assert!(r.interactive && r.tty && r.task == ["bash", "-t"]);
        for line in [
            &["aido", "run", "--network", "--no-network", "x"][..],
            &["aido", "run", "--accept-weaker", "files", "x"],
            &["aido", "run", "-i", "--detach", "x"],
            &["aido", "run", "-t", "--detach", "x"],
            &["aido", "run", "-it", "--json", "x"],
            &["aido", "diff", "a", "b", "c"],
            &["aido", "apply", "--undo", "--branch", "b"],
            &["aido", "sandbox", "destroy"],
            &["aido", "sandbox", "destroy", "a", "--all"],
            &["aido"],
        ] {
            assert!(Cli::try_parse_from(line).is_err(), "{line:?}");
        }
    }

    #[test]
    fn the_project_folder_can_stand_anywhere_before_the_task() {
        for line in [
            &["aido", "-C", "p", "run", "x"][..],
            &["aido", "run", "-C", "p", "x"],
            &["aido", "runs", "--project", "p"],
        ] {
            assert_eq!(Cli::try_parse_from(line).unwrap().place.project, Some("p".into()), "{line:?}");
        }
    }
}
