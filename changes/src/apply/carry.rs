//! Takes the steps in the project, one after the other. Each looks first at what is there, so that a list of steps can
//! be taken again after it was ended anywhere.

use super::record::Record;
use super::{Act, Clash, Doing, Refusal, Step, Why};
use crate::base::Was;
use crate::beneath::{self, failed};
use crate::read::{self, Budget};
use crate::{Error, Folder, Limits, RelPath, Result, Stack, entry};
use rustix::fs::{AtFlags, RenameFlags, fchmod, fsync, mkdirat, renameat, renameat_with, symlinkat, unlinkat};
use rustix::io::Errno;
use std::collections::{BTreeSet, HashSet};
use std::ffi::OsStr;
use std::io::Write;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;

/// Where the content that comes is.
pub(super) enum Content<'a> {
    Layers(&'a Stack),
    Record(&'a Record),
}

pub(super) struct Carry<'a> {
    project: &'a Folder,
    id: &'a str,
    content: Content<'a>,
    budget: Budget,
    /// Folders that changed since they were last flushed to the disk.
    touched: BTreeSet<RelPath>,
}

type Took = std::result::Result<bool, Why>;

impl<'a> Carry<'a> {
    pub(super) fn new(project: &'a Folder, id: &'a str, content: Content<'a>) -> Self {
        // What was planned was within bounds then.
        let limits = Limits { entries: u64::MAX, all_bytes: u64::MAX, ..Limits::default() };
        Carry { project, id, content, budget: Budget::new(&limits), touched: BTreeSet::new() }
    }

    /// Takes all steps that are not taken yet. Where one is refused, the rest is taken all the same or nothing more is.
    pub(super) fn all(&mut self, steps: &[Step], go_on: bool) -> Result<(Vec<Act>, Vec<Refusal>)> {
        let (mut acts, mut refused) = (Vec::new(), Vec::new());
        self.sweep(steps)?;
        let mut paths = HashSet::new();
        let twice: HashSet<&RelPath> =
            steps.iter().map(|step| &step.path).filter(|path| !paths.insert(*path)).collect();
        for (n, step) in steps.iter().enumerate() {
            if step.to.is_none() {
                // What comes is on the disk before anything goes.
                self.flush()?;
            }
            let later = if twice.contains(&step.path) { &steps[n + 1..] } else { &[] };
            let took = match self.step(n, step, later) {
                Ok(took) => took,
                Err(Error::Refused(what)) => Err(Why::Through(what)),
                Err(e) => {
                    self.sweep(steps)?;
                    return Err(e);
                }
            };
            match took {
                Ok(true) => acts.push(step.act()),
                Ok(false) => {}
                Err(why) => refused.push(Refusal { path: step.path.clone(), why }),
            }
            if !refused.is_empty() && !go_on {
                break;
            }
        }
        self.flush()?;
        self.sweep(steps)?;
        Ok((acts, refused))
    }

    fn step(&mut self, n: usize, step: &Step, later: &[Step]) -> Result<Took> {
        pulse()?;
        let is = read::look(self.project, &step.path, &mut self.budget)?.as_ref().map(Was::of);
        let now = is.as_ref().map(|is| &is.entry);
        if entry::same(now, step.to.as_ref()) {
            return Ok(Ok(false));
        }
        let mut later = later.iter().filter(|other| other.path == step.path).peekable();
        let must = later.peek().is_some();
        if !entry::same(now, step.from.as_ref()) {
            // A later step of the same path may have been taken already.
            if later.any(|other| entry::same(now, other.to.as_ref())) {
                return Ok(Ok(false));
            }
            let (was, is, becomes) = (step.from.clone(), now.cloned(), step.to.clone());
            return Ok(Err(Why::Changed(Box::new(Clash { was, is, becomes, touched: false }))));
        }
        let parent = match self.project.folder(&step.path.parent()) {
            Ok(parent) => parent,
            Err(e) if step.to.is_some() => return Err(e),
            Err(_) => return Ok(Ok(false)),
        };
        let took = match step.act().doing {
            Doing::MakeFolder => self.make_folder(&parent, step),
            Doing::Write | Doing::Link => self.put(&parent, n, step, is.as_ref()),
            Doing::SetMode => self.project.set_mode(&step.path, step.becomes).map(|()| Ok(true)),
            Doing::Remove => self.remove(&parent, step, is.as_ref()),
            Doing::RemoveFolder => remove_folder(&parent, step, must),
        };
        self.touched.insert(step.path.parent());
        took
    }

    fn make_folder(&self, parent: &OwnedFd, step: &Step) -> Result<Took> {
        let mode = rustix::fs::Mode::from_raw_mode(step.becomes & 0o777);
        let made = mkdirat(parent, name(&step.path), rustix::fs::Mode::RWXU);
        made.map_err(|e| failed("making the folder", &step.path, e))?;
        let made = self.project.folder(&step.path)?;
        fchmod(made, mode).map_err(|e| failed("setting the mode of", &step.path, e))?;
        Ok(Ok(true))
    }

    /// Makes the new file beside the old one, and puts it in its place when it is whole and on the disk.
    fn put(&self, parent: &OwnedFd, n: usize, step: &Step, is: Option<&Was>) -> Result<Took> {
        let temporary = self.temporary(&step.path, n);
        match step.to.as_ref().and_then(|to| to.target.as_ref()) {
            Some(target) => {
                let made = symlinkat(OsStr::from_bytes(&target.0), parent, name(&temporary));
                made.map_err(|e| failed("making the link", &temporary, e))?;
            }
            None => self.fill(&temporary, n, step)?,
        }
        pulse()?;
        if !self.is_as_seen(&step.path, is)? {
            return Ok(Err(self.changed(step)?));
        }
        let (from, to) = (name(&temporary), name(&step.path));
        let renamed = match is {
            Some(_) => renameat(parent, from, parent, to),
            None => match renameat_with(parent, from, parent, to, RenameFlags::NOREPLACE) {
                // Not all file systems can.
                Err(Errno::INVAL | Errno::NOSYS) => renameat(parent, from, parent, to),
                other => other,
            },
        };
        match renamed {
            Ok(()) => Ok(Ok(true)),
            Err(Errno::EXIST) => Ok(Err(self.changed(step)?)),
            Err(e) => Err(failed("putting in its place", &step.path, e)),
        }
    }

    fn fill(&self, temporary: &RelPath, n: usize, step: &Step) -> Result<()> {
        let mut file = self.project.create(temporary)?;
        pulse()?;
        match (&self.content, &step.to, step.layer) {
            (Content::Layers(stack), Some(to), Some(layer)) if layer < stack.len() => {
                read::copy(stack.layer(layer), &step.path, to, &mut file)?;
            }
            (Content::Record(record), _, _) => record.copy(record.steps.len() - 1 - n, &mut file)?,
            _ => return Err(Error::Record(format!("`{}` has no content", step.path))),
        }
        let doing = || format!("writing `{temporary}`");
        file.flush().map_err(|e| Error::io(doing(), e))?;
        let mode = rustix::fs::Mode::from_raw_mode(step.becomes & 0o777);
        fchmod(&file, mode).map_err(|e| Error::io(doing(), e))?;
        file.sync_all().map_err(|e| Error::io(doing(), e))
    }

    fn remove(&self, parent: &OwnedFd, step: &Step, is: Option<&Was>) -> Result<Took> {
        if !self.is_as_seen(&step.path, is)? {
            return Ok(Err(self.changed(step)?));
        }
        unlinkat(parent, name(&step.path), AtFlags::empty()).map_err(|e| failed("removing", &step.path, e))?;
        Ok(Ok(true))
    }

    /// Whether the kernel still says the same of a path, right before it is replaced.
    fn is_as_seen(&self, path: &RelPath, seen: Option<&Was>) -> Result<bool> {
        let handle = self.project.handle(path)?;
        let Some((handle, seen)) = handle.as_ref().zip(seen) else { return Ok(handle.is_none() && seen.is_none()) };
        let stat = beneath::stat(handle, path)?;
        let now =
            Was::of(&read::Seen { entry: crate::Entry { size: stat.st_size as u64, ..seen.entry.clone() }, stat });
        Ok(now.is_untouched(seen))
    }

    fn changed(&self, step: &Step) -> Result<Why> {
        let mut budget = Budget::new(&Limits::default());
        let is = read::look(self.project, &step.path, &mut budget)?.map(|seen| seen.entry);
        let (was, becomes) = (step.from.clone(), step.to.clone());
        Ok(Why::Changed(Box::new(Clash { was, is, becomes, touched: false })))
    }

    fn temporary(&self, path: &RelPath, n: usize) -> RelPath {
        path.parent().join(format!(".aido-{}-{n}", self.id).as_bytes())
    }

    /// Removes what was made and not yet put in its place, now or by one that was ended half-way.
    fn sweep(&mut self, steps: &[Step]) -> Result<()> {
        pulse()?;
        let temporary = format!(".aido-{}-", self.id);
        let parents: BTreeSet<RelPath> = steps.iter().map(|step| step.path.parent()).collect();
        for folder in parents {
            let mut left = Vec::new();
            let listed = self.project.names(&folder, &mut |name| {
                left.extend(name.starts_with(temporary.as_bytes()).then(|| name.to_vec()));
                Ok(())
            });
            if listed.is_err() {
                // It is not there yet, or no longer.
                continue;
            }
            for file in left {
                let parent = self.project.folder(&folder)?;
                let removed = unlinkat(&parent, OsStr::from_bytes(&file), AtFlags::empty());
                removed.map_err(|e| failed("removing what was not finished in", &folder, e))?;
            }
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<()> {
        for folder in std::mem::take(&mut self.touched) {
            match self.project.folder(&folder) {
                Ok(fd) => fsync(fd.as_fd()).map_err(|e| failed("flushing", &folder, e))?,
                // It went in a later step.
                Err(Error::Io { error, .. }) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(e) => return Err(e),
            }
        }
        Ok(())
    }
}

/// A folder that holds something stays, unless something is to take its place.
fn remove_folder(parent: &OwnedFd, step: &Step, must: bool) -> Result<Took> {
    match unlinkat(parent, name(&step.path), AtFlags::REMOVEDIR) {
        Ok(()) => Ok(Ok(true)),
        Err(Errno::NOTEMPTY | Errno::EXIST) if must => Ok(Err(Why::InTheWay("the folder is not empty".to_string()))),
        Err(Errno::NOTEMPTY | Errno::EXIST) => Ok(Ok(false)),
        Err(e) => Err(failed("removing the folder", &step.path, e)),
    }
}

fn name(path: &RelPath) -> &OsStr {
    OsStr::from_bytes(path.name())
}

/// A place at which a test ends the work, as a kill would: nothing is tidied after it.
#[cfg(not(test))]
#[expect(clippy::unnecessary_wraps, reason = "the other form of it fails")]
pub(super) fn pulse() -> Result<()> {
    Ok(())
}

#[cfg(test)]
pub(super) use super::tests::pulse;
