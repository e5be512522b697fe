//! Commits changes to a new branch. The work tree, the index, HEAD and the settings of the repository stay as they are;
//! what is added are objects and one reference.

mod git;

use crate::patch::{Hashes, Side, is_folder};
use crate::{Changes, Error, LeftOut, Mode, RelPath, Result, Selection};
use git::{Git, id};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::path::Path;

/// What is handed to git in one piece, so that the room for it stays small.
const BATCH_FILES: usize = 256;
const BATCH_BYTES: u64 = 64 << 20;

/// A branch that is to be made.
#[derive(Debug, Clone)]
pub struct Branch<'a> {
    /// The project's folder: a work tree, or a folder in one.
    pub project: &'a Path,
    /// Its name, without `refs/heads/`; there must be none of that name.
    pub name: &'a str,
    pub message: &'a str,
    pub selection: Selection,
}

/// A branch that was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Branched {
    pub commit: String,
    /// Paths that git ignores and does not track: not in the commit.
    pub ignored: Vec<RelPath>,
    /// What no commit can hold.
    pub left_out: Vec<LeftOut>,
    /// Files that were not as in HEAD before the sandbox changed them: what the user had not committed is in the commit.
    pub uncommitted: Vec<RelPath>,
}

/// What one path becomes in the commit.
struct Line<'a> {
    path: &'a RelPath,
    before: Option<Side<'a>>,
    after: Option<Side<'a>>,
}

/// What HEAD has at a path.
struct Tracked {
    mode: String,
    id: String,
}

impl Changes {
    /// Commits the chosen changes on top of HEAD, and makes a new branch of it.
    pub fn branch(&self, branch: &Branch<'_>) -> Result<Branched> {
        let git = Git::of(branch.project)?;
        git.run("checking the name of the branch", &["check-ref-format", "--branch", branch.name], b"")?;
        let reference = format!("refs/heads/{}", branch.name);
        if !git.ask("looking for the branch", &["rev-parse", "--verify", "--quiet", &reference], b"")?.is_empty() {
            return Err(Error::Refused(format!("there is a branch `{}`", branch.name)));
        }
        let head = git.ask("looking for HEAD", &["rev-parse", "--verify", "--quiet", "HEAD^{commit}"], b"")?;
        let head = if head.is_empty() { None } else { Some(id(&head)?) };
        let tree = head.as_deref().unwrap_or("--empty");
        git.run("reading HEAD", &["read-tree", tree], b"")?;

        let (mut lines, mut left_out) = self.lines(&branch.selection);
        let tracked = tracked(&git)?;
        leave_submodules_out(&git, &mut lines, &tracked, &mut left_out);
        let ignored = ignored(&git, &lines)?;
        lines.retain(|line| !ignored.contains(line.path));
        let uncommitted = uncommitted(&git, &lines, &tracked);
        commit(&git, &lines, branch, head.as_deref(), &reference).map(|commit| Branched {
            commit,
            ignored: ignored.into_iter().collect(),
            left_out,
            uncommitted,
        })
    }

    fn lines(&self, selection: &Selection) -> (Vec<Line<'_>>, Vec<LeftOut>) {
        let mut left_out = Vec::new();
        for change in self.list.iter().filter(|change| selection.has(&change.path)) {
            left_out.extend(self.is_left_out(change).map(|why| LeftOut { path: change.path.clone(), why }));
        }
        let out: BTreeSet<&RelPath> = left_out.iter().map(|left| &left.path).collect();
        let files =
            self.list.iter().filter(|change| !is_folder(change)).map(|change| &change.path).collect::<BTreeSet<_>>();
        let mut lines = Vec::new();
        for (path, effect) in self.effects() {
            let is_file = files.contains(path) || effect.before.is_some_and(|before| before.mode.git().is_some());
            if !is_file || out.contains(path) || !selection.has(path) {
                continue;
            }
            let after = effect.after.filter(|after| after.mode.git().is_some());
            let side = after.zip(effect.layer).map(|(entry, n)| Side { folder: self.stack.layer(n), path, entry });
            let before = effect.before.filter(|before| before.mode.git().is_some());
            let before = before.map(|entry| Side { folder: &self.project, path, entry });
            lines.push(Line { path, before, after: side });
        }
        (lines, left_out)
    }
}

fn full(git: &Git, path: &RelPath) -> Vec<u8> {
    [git.prefix.as_slice(), path.as_bytes()].concat()
}

/// All that HEAD has below the project, by its path in the work tree.
fn tracked(git: &Git) -> Result<BTreeMap<Vec<u8>, Tracked>> {
    let listed = git.run("listing HEAD", &["ls-files", "-s", "-z", "--full-name"], b"")?;
    let mut tracked = BTreeMap::new();
    for item in listed.split(|b| *b == 0).filter(|item| !item.is_empty()) {
        let Some(tab) = item.iter().position(|b| *b == b'\t') else { continue };
        let head = String::from_utf8_lossy(&item[..tab]).into_owned();
        let mut head = head.split(' ').map(str::to_string);
        if let (Some(mode), Some(id)) = (head.next(), head.next()) {
            tracked.insert(item[tab + 1..].to_vec(), Tracked { mode, id });
        }
    }
    Ok(tracked)
}

/// A submodule is one entry of a commit: what changed in it belongs to another repository.
fn leave_submodules_out(
    git: &Git,
    lines: &mut Vec<Line<'_>>,
    tracked: &BTreeMap<Vec<u8>, Tracked>,
    left_out: &mut Vec<LeftOut>,
) {
    let is_module = |path: &RelPath| tracked.get(&full(git, path)).is_some_and(|tracked| tracked.mode == "160000");
    lines.retain(|line| {
        let within = is_module(line.path) || line.path.above().any(|above| is_module(&above));
        if within {
            left_out.push(LeftOut { path: line.path.clone(), why: "it lies in a submodule".to_string() });
        }
        !within
    });
}

fn ignored(git: &Git, lines: &[Line<'_>]) -> Result<BTreeSet<RelPath>> {
    let mut asked = Vec::new();
    let is_link = |line: &&Line<'_>| line.before.is_some_and(|before| before.entry.mode == Mode::Link);
    let links: BTreeSet<&RelPath> = lines.iter().filter(is_link).map(|line| line.path).collect();
    for line in lines.iter().filter(|line| line.after.is_some()) {
        // git does not look beyond a link of the work tree, which the changes replace by a folder.
        if line.path.above().any(|above| links.contains(&above)) {
            continue;
        }
        // A leading `./` keeps a name that begins with a colon from being read as more than a name.
        asked.extend([b"./", line.path.as_bytes(), b"\0"].concat());
    }
    if asked.is_empty() {
        return Ok(BTreeSet::new());
    }
    let said = git.ask("asking what is ignored", &["check-ignore", "-z", "--stdin"], &asked)?;
    let paths = said.split(|b| *b == 0).filter(|path| !path.is_empty());
    paths.map(|path| RelPath::new(path.strip_prefix(b"./").unwrap_or(path))).collect()
}

/// Where the project, before the sandbox, was not as HEAD has it.
fn uncommitted(git: &Git, lines: &[Line<'_>], tracked: &BTreeMap<Vec<u8>, Tracked>) -> Vec<RelPath> {
    let mut differ = Vec::new();
    for line in lines {
        let head = tracked.get(&full(git, line.path));
        let is_same = match (head, line.before) {
            (None, None) => true,
            // What cannot be read as it was is not as in HEAD either.
            (Some(head), Some(before)) if before.entry.mode.git() == Some(head.mode.as_str()) => {
                let hashes = if head.id.len() == 64 { Hashes::Sha256 } else { Hashes::Sha1 };
                before.id(hashes).is_ok_and(|id| id == head.id)
            }
            _ => false,
        };
        if !is_same {
            differ.push(line.path.clone());
        }
    }
    differ
}

fn commit(git: &Git, lines: &[Line<'_>], branch: &Branch<'_>, head: Option<&str>, reference: &str) -> Result<String> {
    let mut index = Vec::new();
    let length = head.map_or(40, str::len);
    // What goes is named first: it may stand where a folder comes.
    for line in lines.iter().filter(|line| line.after.is_none()) {
        index.extend(format!("0 {}\t", "0".repeat(length)).bytes());
        index.extend([full(git, line.path).as_slice(), b"\0"].concat());
    }
    let comes: Vec<&Line<'_>> = lines.iter().filter(|line| line.after.is_some()).collect();
    for (line, id) in comes.iter().zip(objects(git, &comes)?) {
        let mode = line.after.and_then(|side| side.entry.mode.git()).unwrap_or("100644");
        index.extend(format!("{mode} {id}\t").bytes());
        index.extend([full(git, line.path).as_slice(), b"\0"].concat());
    }
    git.run("filling the index", &["update-index", "-z", "--index-info"], &index)?;
    let tree = id(&git.run("writing the tree", &["write-tree"], b"")?)?;
    let mut args = vec!["commit-tree", "--no-gpg-sign", &tree];
    args.extend(head.iter().flat_map(|head| ["-p", head]));
    args.extend(["-F", "-"]);
    let commit = id(&git.run("writing the commit", &args, branch.message.as_bytes())?)?;
    // All zeroes: there must be no such reference.
    let none = "0".repeat(commit.len());
    git.run("making the branch", &["update-ref", "-m", "aido: changes of a sandbox", reference, &commit, &none], b"")?;
    Ok(commit)
}

/// Puts the contents into the repository, as they are: from files whose names are numbers.
fn objects(git: &Git, lines: &[&Line<'_>]) -> Result<Vec<String>> {
    let mut ids = Vec::new();
    let mut rest = lines;
    while !rest.is_empty() {
        let (mut count, mut bytes, mut names) = (0, 0, Vec::new());
        for side in rest.iter().take(BATCH_FILES).filter_map(|line| line.after) {
            if count > 0 && bytes + side.entry.size > BATCH_BYTES {
                break;
            }
            let name = format!("content-{count}");
            let path = git.room.path().join(&name);
            let doing = || format!("copying `{}` for git", side.path);
            let mut file = File::create(&path).map_err(|e| Error::io(doing(), e))?;
            side.copy(&mut file)?;
            names.extend(format!("{name}\n").bytes());
            (count, bytes) = (count + 1, bytes + side.entry.size);
        }
        let said = git.in_room("storing contents", &["hash-object", "-w", "--no-filters", "--stdin-paths"], &names)?;
        let said: Vec<&[u8]> = said.split(|b| *b == b'\n').filter(|line| !line.is_empty()).collect();
        if said.len() != count {
            return Err(Error::Git { doing: "storing contents", said: format!("{} names for {count}", said.len()) });
        }
        for line in said {
            ids.push(id(line)?);
        }
        rest = &rest[count..];
    }
    Ok(ids)
}
