//! How this program begins where there is no engine of its own.

use crate::backend::Backend;
use aido_runtime::{Error, Plan, Runtime};
use std::path::PathBuf;
use std::process::{Command, ExitCode};

/// The engine that is meant where nobody names one.
pub(crate) const USUAL: Backend = Backend::Docker;

/// Where the Linux engine keeps what a run without namespaces writes; nothing does so here.
pub(crate) const SCRATCH: &str = "scratch";

/// Without an engine there is none that holds a task to the hosts that were granted.
pub(crate) const HOLDS_NETWORK: bool = false;

/// The engine that needs no other: Linux' own.
pub(crate) fn engine(_name: &str, _ahead: Option<Ahead>) -> Result<Box<dyn Runtime>, Error> {
    Err(Error::new("the backend `linux` needs Linux").remedy("use a Docker-compatible engine: --backend docker"))
}

/// What of a sandbox could be begun before its record; here there is nothing.
pub(crate) enum Ahead {}

pub(crate) fn ahead(_plan: &Plan, _keeper: Option<i32>) -> Option<Ahead> {
    None
}

/// Places where tests stop Linux' aido. Here there are none.
pub(crate) mod fault {
    pub(crate) fn point(_name: &str) {}
}

/// This program.
pub(crate) fn own_program() -> PathBuf {
    std::env::current_exe().unwrap_or_else(|_| PathBuf::from("aido"))
}

/// What the caller left behind is closed by the standard library where it starts programs.
pub(crate) fn start_afresh() {}

/// What only prints ends by the error that a closed pipe gives.
pub(crate) fn end_with_the_reader() {}

pub(crate) fn apparmor_profile() -> Result<String, Error> {
    Err(Error::new("AppArmor is Linux' own; no profile is needed here"))
}

/// Whether this process was started to be a part of aido; if so, its whole life.
pub(crate) fn other_main() -> Option<ExitCode> {
    let mut args = std::env::args_os().skip(1);
    let part = args.next()?;
    if part == super::start::PART {
        return Some(super::start::main());
    }
    if part == super::gate::PART {
        return Some(super::gate::main());
    }
    (part == super::keeper::PART).then(|| super::keeper::main(&args.collect::<Vec<_>>()))
}

/// This program as a part of aido that a key of the terminal does not reach, and that outlives it.
pub(super) fn part(name: &str) -> Command {
    let mut command = Command::new(own_program());
    command.arg(name);
    apart(&mut command);
    command
}

#[cfg(unix)]
fn apart(command: &mut Command) {
    std::os::unix::process::CommandExt::process_group(command, 0);
}

#[cfg(windows)]
fn apart(command: &mut Command) {
    const CREATE_NEW_PROCESS_GROUP: u32 = 0x0000_0200;
    const CREATE_NO_WINDOW: u32 = 0x0800_0000;
    std::os::windows::process::CommandExt::creation_flags(command, CREATE_NEW_PROCESS_GROUP | CREATE_NO_WINDOW);
}
