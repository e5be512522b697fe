//! Commits what an apply brought in, on the current branch.

use super::message;
use crate::cli::Apply;
use crate::host::changed;
use crate::words::inert;
use aido_changes::{Act, Applied, Doing, RelPath};
use aido_evidence::{Project, Sandbox};
use anyhow::{Context, Result, bail};
use nix::sys::memfd::{MFdFlags, memfd_create};
use std::collections::HashSet;
use std::io::{Seek, Write};
use std::path::Path;
use std::process::{Command, Stdio};

/// A commit that was made.
pub(super) struct Committed {
    pub(super) id: String,
    /// Brought into the project and not committed, since git ignores them and does not track them.
    pub(super) ignored: Vec<RelPath>,
}

/// Commits what was brought in and nothing else, whatever else is in the index.
pub(super) fn commit(project: &Project, sandbox: &Sandbox, applied: &Applied, typed: &Apply) -> Result<Committed> {
    let folder = changed::project_folder(project);
    let tracked: HashSet<Vec<u8>> = names(&git(folder, &["ls-files", "-z"], b"")?).map(<[u8]>::to_vec).collect();
    let files = applied.acts.iter().filter(|act| !matches!(act.doing, Doing::MakeFolder | Doing::RemoveFolder));
    let is_tracked = |act: &&Act| tracked.contains(act.path.as_bytes());
    let (mut wanted, new): (Vec<&Act>, Vec<&Act>) = files.partition(is_tracked);
    // What git never knew it cannot forget.
    let new: Vec<&Act> = new.into_iter().filter(|act| act.doing != Doing::Remove).collect();
    let ignored = ignored(folder, &new)?;
    wanted.extend(new.into_iter().filter(|act| !ignored.contains(&act.path)));
    if wanted.is_empty() {
        let why = if ignored.is_empty() { "they are folders alone" } else { "it ignores them" };
        bail!("the changes are in the project, and git keeps none of them: {why}");
    }
    let paths: Vec<u8> = wanted.iter().flat_map(|act| [act.path.as_bytes(), b"\0"].concat()).collect();
    let from = ["--pathspec-from-file=-", "--pathspec-file-nul"];
    // By force, for what is tracked though it is ignored: it tells what goes with it to be left out.
    git(folder, &["add", "--all", "--force", from[0], from[1]], &paths)?;
    git(folder, &["commit", "--quiet", "--only", "-m", &message(sandbox, typed)?, from[0], from[1]], &paths)?;
    let id = String::from_utf8_lossy(&git(folder, &["rev-parse", "HEAD"], b"")?).trim().to_string();
    Ok(Committed { id, ignored })
}

/// Which of them git ignores.
fn ignored(folder: &Path, acts: &[&Act]) -> Result<Vec<RelPath>> {
    if acts.is_empty() {
        return Ok(Vec::new());
    }
    // A leading `./` keeps a name that begins with a colon from being read as more than a name.
    let asked: Vec<u8> = acts.iter().flat_map(|act| [b"./", act.path.as_bytes(), b"\0"].concat()).collect();
    let said = git(folder, &["check-ignore", "-z", "--stdin"], &asked)?;
    let paths = names(&said).map(|path| RelPath::new(path.strip_prefix(b"./").unwrap_or(path)));
    Ok(paths.collect::<Result<_, _>>()?)
}

fn names(listed: &[u8]) -> impl Iterator<Item = &[u8]> {
    listed.split(|byte| *byte == 0).filter(|name| !name.is_empty())
}

/// What git says; with a status of 1 `check-ignore` says that there is nothing.
fn git(folder: &Path, args: &[&str], input: &[u8]) -> Result<Vec<u8>> {
    let mut command = Command::new("git");
    command.arg("-C").arg(folder);
    // `check-ignore` takes all that it is given literally, and refuses the option.
    command.args((args[0] != "check-ignore").then_some("--literal-pathspecs")).args(args);
    // No pipe: one that nobody reads to its end would end aido.
    let mut file = std::fs::File::from(memfd_create(c"for git", MFdFlags::MFD_CLOEXEC).context("a file for git")?);
    file.write_all(input).and_then(|()| file.rewind()).context("a file for git")?;
    let done = command.stdin(Stdio::from(file)).output().context("git")?;
    let nothing = args[0] == "check-ignore" && done.status.code() == Some(1);
    if !done.status.success() && !nothing {
        let said = String::from_utf8_lossy(&done.stderr);
        bail!("the changes are in the project, and git did not commit them: {}", inert(said.trim()));
    }
    Ok(done.stdout)
}
