//! Holds an unpacked layer against its diff ID.
//!
//! The stream is made again from recipe and files, and hashed. Read as an archive it says what should
//! lie on the disk; every entry is compared as it goes by, folders when all is known, and then what
//! lies there is counted. Nothing is changed, and no mode is opened to read: whoever checks must be
//! one who may read everything.

mod disk;
mod findings;
mod model;

use super::attributes::Attributes;
use super::folders::write_list;
use super::name::{Meaning, meaning, normal};
use super::said::Xattrs;
use super::tree::{FOLDER, HOLDS_WHITEOUTS, Node, OPAQUE};
use super::{LIST, Ownership, Record};
use crate::digest::Hashing;
use crate::recipe::{KEPT, Place, Replay, Tree, beside, judged};
use crate::tape::{Body, Entry, Extent, Tape, shown};
use crate::{Error, Kind, LayerId, Progress, Result, Step, beneath};
use disk::Eye;
use findings::Findings;
use model::{Model, There};
use rustix::fs::FileType;
use rustix::io::Errno;
use std::collections::HashSet;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// So many things too many in a folder are counted, and no more.
const TOO_MANY: u64 = 1000;

struct Check<'a> {
    tree: Tree,
    model: Model,
    found: Findings,
    eye: Eye,
    /// Files with several names that went by.
    several: HashSet<(u64, u64)>,
    entries: u64,
    progress: &'a dyn Progress,
}

/// What an entry says of its file.
struct Said<'a> {
    size: u64,
    extents: &'a [Extent],
    attributes: &'a Attributes,
    xattrs: &'a Xattrs,
}

/// What differs, if anything does; or why it could not be looked at.
type Compared = std::result::Result<Option<String>, Errno>;

type Stream = Tape<Hashing<Replay>>;

/// What is wrong with the layer in `folder`, in words; nothing if it is as it was unpacked. An error
/// is what kept this process from looking.
pub(crate) fn check(
    folder: &Path,
    id: &LayerId,
    ownership: Ownership,
    record: &Record,
    progress: &dyn Progress,
) -> Result<Vec<String>> {
    let checked = Replay::open(folder, true).and_then(|replay| {
        let scratch = beneath::own_folder(folder.parent().unwrap_or(folder))?;
        let again = scratch.try_clone().map_err(|e| Error::io("opening the layer", e))?;
        let mut check = Check {
            tree: replay.tree().again()?,
            model: Model::new(ownership, again)?,
            found: Findings::default(),
            eye: Eye { ownership, scratch },
            several: HashSet::new(),
            entries: 0,
            progress,
        };
        check.run(replay.within(record.tar_bytes), folder, id, record)?;
        Ok(check.found.words())
    });
    match checked {
        Err(e) if matches!(e.kind, Kind::Unverified | Kind::Hostile | Kind::Limit) => Ok(vec![e.what]),
        other => other,
    }
}

impl Check<'_> {
    fn run(&mut self, replay: Replay, folder: &Path, id: &LayerId, record: &Record) -> Result<()> {
        let recipe = replay.size();
        let mut tape = Tape::new(Hashing::new(replay));
        let read = self.read(&mut tape);
        for what in std::mem::take(&mut tape.input().inner().found) {
            self.found.add(what);
        }
        if !self.passes(read)? {
            return Ok(());
        }
        let mut stream = tape.drain()?;
        let late = std::mem::take(&mut stream.inner().found);
        late.into_iter().for_each(|what| self.found.add(what));
        let (digest, bytes) = stream.finish().map_err(|e| Error::io("hashing it", e))?;
        if digest != id.0 && self.found.is_empty() {
            self.found.add(format!("its files make a stream with the digest {digest}"));
        }
        self.rest(folder, record, (id, bytes, recipe))
    }

    /// Damage that ends the reading is told, and is no error; false if there was some.
    fn passes(&mut self, read: Result<()>) -> Result<bool> {
        match read {
            Ok(()) => Ok(true),
            Err(e) if matches!(e.kind, Kind::Unverified | Kind::Hostile | Kind::Limit) => {
                self.found.add(e.what);
                Ok(false)
            }
            Err(e) => Err(e),
        }
    }

    fn read(&mut self, tape: &mut Stream) -> Result<()> {
        while let Some(entry) = tape.next()? {
            self.entries += 1;
            match meaning(&entry.path)? {
                Meaning::Entry(path) => self.entry(&path, entry, tape)?,
                Meaning::Nothing => {}
                Meaning::Whiteout(path) => self.model.hide(&path)?,
                Meaning::Opaque(path) => self.model.opaque(&path)?,
            }
        }
        Ok(())
    }

    fn entry(&mut self, path: &[u8], entry: Entry, tape: &mut Stream) -> Result<()> {
        let Entry { body, mode, uid, gid, mtime, xattrs, .. } = entry;
        let of = Attributes { mode, uid, gid, mtime: mtime.0, mtime_nanos: mtime.1 };
        self.model.made(path);
        let stays = !self.tree.is_kept(path, self.entries);
        match body {
            Body::Folder => self.model.state(path, &of, xattrs),
            Body::File { size } => {
                self.model.cost.write(size)?;
                let extents = [Extent { offset: 0, length: size }];
                self.file(path, &Said { size, extents: &extents, attributes: &of, xattrs: &xattrs }, stays, tape)
            }
            Body::Sparse { size, extents } => {
                self.model.cost.write(extents.iter().map(|extent| extent.length).sum())?;
                self.file(path, &Said { size, extents: &extents, attributes: &of, xattrs: &xattrs }, stays, tape)
            }
            Body::Symlink(target) => {
                self.model.cost.inode()?;
                self.model.put(path, stays)?;
                let compared = self.symlink(path, &target, &of);
                self.tell(path, compared)
            }
            Body::Hard(target) => self.hard(path, &normal(&target)?, stays),
            Body::CharDevice => self.model.leave_out(path, "character device"),
            Body::BlockDevice => self.model.leave_out(path, "block device"),
            Body::Fifo => self.model.leave_out(path, "fifo"),
        }
    }

    /// What a comparison found, or why there is nothing to compare.
    fn tell(&mut self, path: &[u8], compared: Compared) -> Result<()> {
        match compared {
            Ok(None) => {}
            Ok(Some(what)) => self.found.add(what),
            Err(e) => self.found.add(judged(path, e)?),
        }
        Ok(())
    }

    fn symlink(&mut self, path: &[u8], target: &[u8], of: &Attributes) -> Compared {
        let place = self.tree.place(path, self.entries)?;
        let stat = place.stat()?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::Symlink {
            return Ok(Some(format!("{} is {}, and no symbolic link", shown(path), disk::kind(&stat))));
        }
        if disk::target(&place)? != target {
            return Ok(Some(format!("{} links to somewhere else", shown(path))));
        }
        self.several.insert((stat.st_dev, stat.st_ino));
        Ok(self.eye.differs(path, &stat, of))
    }

    fn file(&mut self, path: &[u8], of: &Said<'_>, stays: bool, tape: &mut Stream) -> Result<()> {
        self.model.cost.inode()?;
        self.model.put(path, stays)?;
        for extent in of.extents {
            self.content(path, *extent, tape)?;
        }
        let damaged = std::mem::take(&mut tape.input().inner().found);
        let sound = damaged.is_empty();
        damaged.into_iter().for_each(|what| self.found.add(what));
        if sound {
            let compared = self.compare_file(path, of);
            self.tell(path, compared)?;
        }
        Ok(())
    }

    /// Has the content go by, and sees that the recipe takes it from this file and no other.
    fn content(&mut self, path: &[u8], extent: Extent, tape: &mut Stream) -> Result<()> {
        let Extent { mut offset, length: mut left } = extent;
        while left > 0 {
            let shown_bytes = tape.chunk()?.len();
            let count = shown_bytes.min(usize::try_from(left).unwrap_or(usize::MAX));
            if count == 0 {
                return Ok(());
            }
            if !tape.input().inner().is_at(self.entries, path, offset) {
                let what = format!("its recipe is damaged: it has the content of {} elsewhere", shown(path));
                return Err(Error::new(Kind::Unverified, what));
            }
            tape.consume(count);
            self.progress.step(Step::Passed { bytes: count as u64 });
            offset += count as u64;
            left -= count as u64;
        }
        Ok(())
    }

    fn compare_file(&mut self, path: &[u8], of: &Said<'_>) -> Compared {
        let place = self.tree.place(path, self.entries)?;
        let stat = place.stat()?;
        let Some(file) = place.open()? else {
            return Ok(Some(format!("{} is {}, and no file", shown(path), disk::kind(&stat))));
        };
        if stat.st_size as u64 != of.size {
            return Ok(Some(format!("{} has {} bytes, and not {}", shown(path), stat.st_size, of.size)));
        }
        if stat.st_nlink > 1 && !self.several.insert((stat.st_dev, stat.st_ino)) {
            return Ok(Some(format!("{} is the same file as another one", shown(path))));
        }
        if let Some(what) = self.eye.differs(path, &stat, of.attributes) {
            return Ok(Some(what));
        }
        if !disk::holes_are_empty(&file, of.size, of.extents)? {
            return Ok(Some(format!("{} has content where it had none", shown(path))));
        }
        let meant = self.eye.kept(of.xattrs);
        disk::xattrs(path, file.as_fd(), &meant)
    }

    /// Another name for what an earlier entry put at `target`.
    fn hard(&mut self, path: &[u8], target: &[u8], stays: bool) -> Result<()> {
        if let Some(kind) = self.model.left_out(target) {
            return self.model.leave_out(path, kind);
        }
        self.model.put(path, stays)?;
        let compared = self.same_file(path, target);
        self.tell(path, compared)
    }

    fn same_file(&mut self, path: &[u8], target: &[u8]) -> Compared {
        let own = self.tree.place(path, self.entries)?.stat()?;
        let first = match self.tree.place(target, self.entries).and_then(|place| place.stat()) {
            // Its own entry has said so by then.
            Err(Errno::NOENT) => return Ok(None),
            other => other?,
        };
        let same = (own.st_dev, own.st_ino) == (first.st_dev, first.st_ino);
        Ok((!same).then(|| format!("{} is not the same file as {} any more", shown(path), shown(target))))
    }

    /// What is known only now: whiteouts, folders, the number of things, what the store remembers.
    fn rest(&mut self, folder: &Path, record: &Record, (id, bytes, recipe): (&LayerId, u64, u64)) -> Result<()> {
        let (tree, found) = (&mut self.tree, &mut self.found);
        let left_out = self.model.finish(|path| {
            let there = match tree.place(path, u64::MAX).and_then(|place| place.stat()) {
                Ok(stat) => match disk::kind(&stat) {
                    "a whiteout" => There::Whiteout,
                    // An entry of this layer, which hides as well; what is none is counted.
                    "a file" | "a symbolic link" => There::Else,
                    other => {
                        found.add(format!("{} is {other}, and no whiteout", shown(path)));
                        There::Nothing
                    }
                },
                Err(e) => {
                    found.add(format!("the whiteout {}", judged(path, e)?));
                    There::Nothing
                }
            };
            Ok(there)
        })?;
        let mut path = Vec::new();
        for node in 0..self.model.tree.count() {
            if self.model.tree.marks(node) & FOLDER != 0 {
                self.model.tree.path(node, &mut path);
                let (attributes, xattrs) = self.model.said(node, &path)?;
                let compared = self.folder(&path, node, &attributes, &xattrs);
                self.tell(&path, compared)?;
            }
        }
        let kept = self.tree.kept().map(|_| beneath::own_folder(&beside(folder, KEPT))).transpose()?;
        let count = kept.map_or(Ok(0), |kept| disk::count(&kept, u64::MAX));
        if count.map_err(|e| Error::io("looking at what was kept for it", e))? != self.tree.kept_count() {
            self.found.add("what was kept for it is not what it replaced");
        }
        let cost = &self.model.cost;
        let meant = Record::new(cost.bytes, recipe, cost.inodes, self.entries, left_out).verified(*id, bytes);
        if meant != *record {
            self.found.add("its record says something else than the layer");
        }
        self.list(&beside(folder, LIST))
    }

    fn folder(&mut self, path: &[u8], node: Node, of: &Attributes, xattrs: &Xattrs) -> Compared {
        let name = if path.is_empty() { b"/" } else { path };
        let folder = beneath::readable_folder(self.tree.root(), path)?;
        let stat = rustix::fs::fstat(&folder)?;
        if let Some(what) = self.eye.differs(name, &stat, of) {
            self.found.add(what);
        }
        let mut meant = self.eye.kept(xattrs);
        let marks = self.model.tree.marks(node);
        if marks & OPAQUE != 0 {
            meant.insert(b"user.overlay.opaque", b"y");
        }
        if marks & HOLDS_WHITEOUTS != 0 {
            meant.insert(b"user.overlay.origin", b"");
        }
        if let Some(what) = disk::xattrs(name, folder.as_fd(), &meant)? {
            self.found.add(what);
        }
        let children = u64::from(self.model.children(node));
        let there = disk::count(&folder, children + TOO_MANY)?;
        // What is missing was told by name.
        let or_more = if there > children + TOO_MANY { " or more" } else { "" };
        let many = || format!("{} holds {there} things{or_more}, and not {children}", shown(name));
        Ok((there > children).then(many))
    }

    /// The list of folders beside the layer, byte for byte.
    fn list(&mut self, path: &Path) -> Result<()> {
        let (parent, name) =
            (beneath::own_folder(path.parent().unwrap_or(path))?, path.file_name().unwrap_or_default());
        let file = match (Place { folder: parent.as_fd(), name: name.as_bytes().to_vec() }).open() {
            Ok(Some(file)) => file,
            Ok(None) | Err(Errno::NOENT) => {
                self.found.add("the list of its folders is missing");
                return Ok(());
            }
            Err(e) => return Err(Error::io("opening the list of its folders", e)),
        };
        let mut same = Same { other: BufReader::new(file), differs: false };
        let Model { tree, said, .. } = &mut self.model;
        write_list(tree, said, &mut same).map_err(|e| Error::io("comparing the list of its folders", e))?;
        let over = same.other.fill_buf().is_ok_and(<[u8]>::is_empty);
        if same.differs || !over {
            self.found.add("the list of its folders is another one");
        }
        Ok(())
    }
}

/// Takes what is written, and sees whether it is what a file holds.
struct Same {
    other: BufReader<File>,
    differs: bool,
}

impl Write for Same {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut there = vec![0; bytes.len()];
        self.differs = self.differs || self.other.read_exact(&mut there).is_err() || there != bytes;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests;
