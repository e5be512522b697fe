//! The state of a work tree as a git tree, without touching the repository.
//!
//! All is done in a repository of our own: its own index, its own place for objects (those of the real one are read), and
//! no setting but its own. So no filter, hook, monitor or program that a repository, or a task, names is ever run.

use rustix::fs::FileType;
use serde::{Deserialize, Serialize};
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::Read;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use super::listing::{Listing, as_bytes};

/// A file that is larger is named, and its content is in no diff.
const LARGE: u64 = 16 << 20;
const MOST_LARGE: usize = 1000;
/// Bytes that are read of any other answer than a diff.
const ANSWER: u64 = 64 << 20;

/// A repository as it was found.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Found {
    pub(super) head: Option<String>,
    /// `refs/heads/…`; none: HEAD is detached.
    pub(super) branch: Option<String>,
    /// Files of the project that differ from HEAD; none where there is no commit.
    pub(super) dirty: Option<usize>,
    /// The state of the project's files.
    pub(super) tree: String,
    top: PathBuf,
    objects: PathBuf,
    /// Where the project lies in the work tree: empty, or with a slash at its end.
    prefix: String,
}

/// Calls of git for one project, in a room of our own.
pub(super) struct Git<'a> {
    project: &'a Path,
    room: &'a Path,
    until: Instant,
    beat: &'a mut dyn FnMut(),
}

type Result<T> = std::result::Result<T, String>;

impl<'a> Git<'a> {
    pub(super) fn new(project: &'a Path, room: &'a Path, patience: Duration, beat: &'a mut dyn FnMut()) -> Self {
        Git { project, room, until: Instant::now() + patience, beat }
    }

    /// Makes the room and looks at the work tree; none: the project is in no git work tree.
    pub(super) fn begin(&mut self, listing: &Listing) -> Result<Option<Found>> {
        let around = self.project.ancestors().any(|folder| folder.join(".git").symlink_metadata().is_ok());
        if !around || self.line(&["rev-parse", "--is-inside-work-tree"])? != b"true" {
            return Ok(None);
        }
        let top = self.path(&["rev-parse", "--show-toplevel"])?;
        let prefix = String::from_utf8(self.line(&["rev-parse", "--show-prefix"])?);
        let prefix = prefix.map_err(|_| "the project's path in the work tree is not UTF-8".to_string())?;
        let format = self.line(&["rev-parse", "--show-object-format"])?;
        let format = format!("--object-format={}", String::from_utf8_lossy(&format));
        let own = self.room.join("git");
        let init = ["init", "--quiet", "--bare", "--template=", &format, &own.to_string_lossy()];
        self.run(self.command(&init), &[], &[0])?;
        let objects = self.path(&["rev-parse", "--git-path", "objects"])?;
        let failed = |e: std::io::Error| e.to_string();
        copy(&self.path(&["rev-parse", "--git-path", "index"])?, &own.join("index")).map_err(failed)?;
        fs::create_dir_all(own.join("info")).map_err(failed)?;
        copy(&self.path(&["rev-parse", "--git-path", "info/exclude"])?, &own.join("info/exclude")).map_err(failed)?;
        let mut found = Found { head: None, branch: None, dirty: None, tree: String::new(), top, prefix, objects };
        self.look(&mut found)?;
        self.forget_flags(&found)?;
        self.take(&mut found, listing)?;
        Ok(Some(found))
    }

    /// The same again after the run, in the room that is there.
    pub(super) fn again(&mut self, before: &Found, listing: &Listing) -> Result<Found> {
        let mut found = before.clone();
        self.look(&mut found)?;
        self.take(&mut found, listing)?;
        Ok(found)
    }

    /// A patch from one state to the other; none: it is longer than that.
    pub(super) fn patch(&mut self, before: &Found, after: &Found, most: u64) -> Result<Option<Vec<u8>>> {
        let relative = format!("--relative={}", before.prefix);
        let mut args =
            vec!["diff-tree", "-r", "-p", "--binary", "--full-index", "-M", "--no-ext-diff", "--no-textconv"];
        args.extend(["--no-color", "--src-prefix=a/", "--dst-prefix=b/"]);
        args.extend(Some(relative.as_str()).filter(|_| !before.prefix.is_empty()));
        args.extend([before.tree.as_str(), after.tree.as_str()]);
        let patch = self.bounded(self.reading(before, &args), &[], &[0], most + 1)?;
        Ok(Some(patch).filter(|patch| patch.len() as u64 <= most))
    }

    fn look(&mut self, found: &mut Found) -> Result<()> {
        let text = |line: Vec<u8>| Some(String::from_utf8_lossy(&line).into_owned()).filter(|text| !text.is_empty());
        found.head = text(self.asked(&["rev-parse", "--quiet", "--verify", "HEAD"])?);
        found.branch = text(self.asked(&["symbolic-ref", "--quiet", "HEAD"])?);
        Ok(())
    }

    /// Files that a person told git to take for unchanged are looked at all the same.
    fn forget_flags(&mut self, found: &Found) -> Result<()> {
        let listed = self.run(self.apart(found, &["ls-files", "-v", "-z", "--full-name"]), &[], &[0])?;
        let flagged = listed
            .split(|byte| *byte == 0)
            .filter(|line| line.first().is_some_and(|tag| matches!(tag, b'a'..=b'z' | b'S')));
        let paths: Vec<u8> =
            flagged.flat_map(|line| line.get(2..).unwrap_or_default().iter().copied().chain([0])).collect();
        for flag in ["--no-assume-unchanged", "--no-skip-worktree"] {
            if !paths.is_empty() {
                let mut command = self.apart(found, &["update-index", flag, "-z", "--stdin"]);
                command.current_dir(&found.top);
                self.run(command, &paths, &[0])?;
            }
        }
        Ok(())
    }

    /// Writes the project's files as a tree into the room.
    fn take(&mut self, found: &mut Found, listing: &Listing) -> Result<()> {
        let large =
            listing.entries.iter().filter(|(_, seen)| seen.kind() == FileType::RegularFile && seen.size > LARGE);
        let large: Vec<Vec<u8>> = large.map(|(path, _)| as_bytes(path)).collect();
        if large.len() > MOST_LARGE {
            return Err(format!("more than {MOST_LARGE} files are larger than {LARGE} bytes"));
        }
        let mut paths: Vec<u8> = b".\0:(exclude,literal).aido\0".to_vec();
        large.iter().for_each(|path| paths.extend([b":(exclude,literal)", path.as_slice(), b"\0"].concat()));
        let add = ["add", "--all", "--ignore-errors", "--pathspec-from-file=-", "--pathspec-file-nul"];
        // 1: some could not be read, or were not there any more; the listing has them.
        self.run(self.apart(found, &add), &paths, &[0, 1])?;
        let tree = self.run(self.apart(found, &["write-tree", "--missing-ok"]), &[], &[0])?;
        found.tree = String::from_utf8_lossy(&tree).trim().to_string();
        found.dirty = match &found.head {
            None => None,
            Some(head) => {
                let args = ["diff-tree", "-r", "--name-only", "--no-renames", "-z", head, &found.tree];
                let names = self.run(self.reading(found, &args), &[], &[0])?;
                Some(names.iter().filter(|byte| **byte == 0).count())
            }
        };
        Ok(())
    }

    /// A command that answers about the real repository; nothing that git executes for it.
    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new("git");
        command.env_clear().current_dir(self.project).args([
            "-c",
            "core.fsmonitor=false",
            "-c",
            "core.hooksPath=/dev/null",
        ]);
        command.args(args).env("PATH", std::env::var_os("PATH").unwrap_or_default()).env("HOME", self.room);
        command.env("GIT_CONFIG_NOSYSTEM", "1").env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_ATTR_NOSYSTEM", "1");
        command.env("GIT_OPTIONAL_LOCKS", "0").env("GIT_TERMINAL_PROMPT", "0").env("GIT_NO_LAZY_FETCH", "1");
        command.env("LC_ALL", "C");
        command
    }

    /// A command in our own repository, over the work tree.
    fn apart(&self, found: &Found, args: &[&str]) -> Command {
        let settings = ["-c", "core.bare=false", "-c", "core.untrackedCache=false", "-c", "gc.auto=0"];
        let mut command = self.command(&[settings.as_slice(), args].concat());
        command.env("GIT_DIR", self.room.join("git")).env("GIT_WORK_TREE", &found.top);
        command
    }

    /// The same where the real repository's objects are read. A git that writes would set their times.
    fn reading(&self, found: &Found, args: &[&str]) -> Command {
        let mut quoted = b"\"".to_vec();
        for byte in found.objects.as_os_str().as_bytes() {
            quoted.extend(Some(b'\\').filter(|_| matches!(byte, b'"' | b'\\')));
            quoted.push(*byte);
        }
        quoted.push(b'"');
        let mut command = self.apart(found, args);
        command.env("GIT_ALTERNATE_OBJECT_DIRECTORIES", OsString::from_vec(quoted));
        command
    }

    fn line(&mut self, args: &[&str]) -> Result<Vec<u8>> {
        self.run(self.command(args), &[], &[0]).map(without_end)
    }

    /// The same where a status of 1 says that there is none.
    fn asked(&mut self, args: &[&str]) -> Result<Vec<u8>> {
        self.run(self.command(args), &[], &[0, 1]).map(without_end)
    }

    fn path(&mut self, args: &[&str]) -> Result<PathBuf> {
        Ok(self.project.join(PathBuf::from(OsString::from_vec(self.line(args)?))))
    }

    fn run(&mut self, command: Command, input: &[u8], good: &[i32]) -> Result<Vec<u8>> {
        self.bounded(command, input, good, ANSWER)
    }

    /// Streams are files: what a command writes holds nobody up, and no thread is needed.
    fn bounded(&mut self, mut command: Command, input: &[u8], good: &[i32], most: u64) -> Result<Vec<u8>> {
        let [given, told, said] = ["input", "answer", "errors"].map(|name| self.room.join(name));
        let failed = |e: std::io::Error| format!("git: {e}");
        fs::write(&given, input).map_err(failed)?;
        command.stdin(File::open(&given).map_err(failed)?);
        command.stdout(File::create(&told).map_err(failed)?).stderr(File::create(&said).map_err(failed)?);
        let mut child = command.spawn().map_err(failed)?;
        let mut pause = Duration::from_millis(1);
        let status = loop {
            if let Some(status) = child.try_wait().map_err(failed)? {
                break status;
            }
            if Instant::now() > self.until {
                let _ = child.kill();
                let _ = child.wait();
                return Err("git took too long".to_string());
            }
            std::thread::sleep(pause);
            pause = (pause * 2).min(Duration::from_millis(50));
            (self.beat)();
        };
        if !status.code().is_some_and(|code| good.contains(&code)) {
            let said = fs::read(&said).unwrap_or_default();
            let said = String::from_utf8_lossy(&said[..said.len().min(400)]).trim().replace('\n', "; ");
            return Err(format!("git: {said}"));
        }
        let mut answer = Vec::new();
        File::open(&told).and_then(|file| file.take(most).read_to_end(&mut answer)).map_err(failed)?;
        Ok(answer)
    }
}

fn without_end(mut line: Vec<u8>) -> Vec<u8> {
    line.pop_if(|end| *end == b'\n');
    line
}

/// With its time: by that git knows which files may have changed since the index was written.
fn copy(from: &Path, to: &Path) -> std::io::Result<()> {
    let mut source = match File::open(from) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        other => other?,
    };
    let mut target = File::create(to)?;
    std::io::copy(&mut source, &mut target)?;
    target.set_modified(source.metadata()?.modified()?)
}
