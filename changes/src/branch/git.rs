//! Calls the git binary so that nothing of the repository's own programs runs: no hooks, no monitors, no filters.

use crate::{Error, Result};
use std::ffi::OsStr;
use std::io::Write;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// A repository, and an index of our own beside its.
pub(super) struct Git {
    project: PathBuf,
    /// The index, and contents on their way into the repository.
    pub(super) room: tempfile::TempDir,
    git_dir: PathBuf,
    /// Where the project lies in the work tree: empty, or with a slash at its end.
    pub(super) prefix: Vec<u8>,
}

/// What no call may run.
const NOTHING: [&str; 10] = [
    "-c",
    "core.hooksPath=/dev/null",
    "-c",
    "core.fsmonitor=false",
    "-c",
    "core.sparseCheckout=false",
    "-c",
    "index.sparse=false",
    "-c",
    "gc.auto=0",
];

impl Git {
    /// The repository whose work tree the project is, or is a folder of.
    pub(super) fn of(project: &Path) -> Result<Git> {
        let room = tempfile::Builder::new().prefix("aido-branch-").tempdir();
        let room = room.map_err(|e| Error::io("making a folder for git's index", e))?;
        let mut git = Git { project: project.to_path_buf(), room, git_dir: PathBuf::new(), prefix: Vec::new() };
        if git.line("looking for the work tree", &["rev-parse", "--is-inside-work-tree"])? != b"true" {
            return Err(Error::Refused(format!("`{}` is in no git work tree", project.display())));
        }
        git.prefix = git.line("looking for the work tree", &["rev-parse", "--show-prefix"])?;
        let git_dir = git.line("looking for the repository", &["rev-parse", "--absolute-git-dir"])?;
        git.git_dir = PathBuf::from(std::ffi::OsString::from_vec(git_dir));
        Ok(git)
    }

    /// A command in the project's folder, with an index of our own.
    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new("git");
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.as_bytes().starts_with(b"GIT_")) {
            command.env_remove(name);
        }
        command.current_dir(&self.project).args(NOTHING).args(args);
        command.env("GIT_INDEX_FILE", self.room.path().join("index"));
        command.env("GIT_CONFIG_NOSYSTEM", "1").env("GIT_ATTR_NOSYSTEM", "1").env("GIT_TERMINAL_PROMPT", "0");
        command.env("GIT_NO_LAZY_FETCH", "1").env("GIT_OPTIONAL_LOCKS", "0");
        command.env("LC_ALL", "C");
        command
    }

    /// What a command prints; an error in git's words when it fails.
    pub(super) fn run(&self, doing: &'static str, args: &[&str], input: &[u8]) -> Result<Vec<u8>> {
        Git::end(doing, self.command(args), input, &[0])
    }

    /// The same where a status of 1 says that there is nothing.
    pub(super) fn ask(&self, doing: &'static str, args: &[&str], input: &[u8]) -> Result<Vec<u8>> {
        Git::end(doing, self.command(args), input, &[0, 1])
    }

    /// The same, in the room with the contents: their names are ours, and the project's attributes say nothing of them.
    pub(super) fn in_room(&self, doing: &'static str, args: &[&str], input: &[u8]) -> Result<Vec<u8>> {
        let mut command = self.command(args);
        command.current_dir(self.room.path()).env("GIT_DIR", &self.git_dir).env("GIT_WORK_TREE", self.room.path());
        Git::end(doing, command, input, &[0])
    }

    /// One line of output, without its end.
    pub(super) fn line(&self, doing: &'static str, args: &[&str]) -> Result<Vec<u8>> {
        let mut line = self.run(doing, args, b"")?;
        if line.ends_with(b"\n") {
            line.pop();
        }
        Ok(line)
    }

    fn end(doing: &'static str, mut command: Command, input: &[u8], good: &[i32]) -> Result<Vec<u8>> {
        let failed = |e| Error::io(format!("calling git, {doing}"), e);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().map_err(failed)?;
        let stdin = child.stdin.take();
        let Output { status, stdout, stderr } = std::thread::scope(|scope| {
            // It may answer before it has read all.
            scope.spawn(move || stdin.map(|mut stdin| stdin.write_all(input)));
            child.wait_with_output()
        })
        .map_err(failed)?;
        match status.code().is_some_and(|code| good.contains(&code)) {
            true => Ok(stdout),
            false => Err(Error::Git { doing, said: said(&stderr) }),
        }
    }
}

/// What git said, on one line and without what could steer a terminal.
fn said(stderr: &[u8]) -> String {
    let lines = stderr.split(|b| *b == b'\n').filter(|line| !line.is_empty());
    let lines: Vec<String> = lines.map(crate::path::escape).collect();
    if lines.is_empty() { "failed without a word".to_string() } else { lines.join("; ") }
}

/// A text from git that is a name of an object.
pub(super) fn id(bytes: &[u8]) -> Result<String> {
    let text = String::from_utf8_lossy(bytes).trim_end().to_string();
    match matches!(text.len(), 40 | 64) && text.bytes().all(|b| b.is_ascii_hexdigit()) {
        true => Ok(text),
        false => Err(Error::Git {
            doing: "naming an object",
            said: crate::path::escape(OsStr::from_bytes(bytes).as_bytes()),
        }),
    }
}
