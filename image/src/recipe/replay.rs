//! Makes a layer's tar stream again, from its recipe and its files.

use super::read::{Moves, Step, Steps};
use super::{KEPT, TAPE, beside};
use crate::shown::read_shown;
use crate::tape::shown;
use crate::{Error, Kind, Result, beneath, limits};
use crc32fast::Hasher;
use rustix::fs::{AtFlags, FileType, Stat, statat};
use rustix::io::Errno;
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, BufRead, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

/// A layer's folder and what was kept beside it. Nothing below is reached through a link.
pub(crate) struct Tree {
    root: OwnedFd,
    kept: Option<OwnedFd>,
    moves: Arc<Moves>,
    /// The folder that was asked for last: streams go folder by folder.
    parent: Option<(Vec<u8>, OwnedFd)>,
}

/// Where an entry's file lies: a folder, and a name in it.
pub(crate) struct Place<'a> {
    pub(crate) folder: BorrowedFd<'a>,
    pub(crate) name: Vec<u8>,
}

fn folder_if_there(path: &Path) -> Result<Option<OwnedFd>> {
    use rustix::fs::{Mode, OFlags};
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    match rustix::fs::open(path, flags, Mode::empty()) {
        Ok(folder) => Ok(Some(folder)),
        Err(Errno::NOENT) => Ok(None),
        Err(Errno::LOOP | Errno::NOTDIR) => Err(Error::new(Kind::Unverified, "what was kept for it is no folder")),
        Err(e) => Err(Error::io(format!("opening `{}`", path.display()), e)),
    }
}

impl Tree {
    /// How many things were kept, as far as the recipe says.
    pub(crate) fn kept_count(&self) -> u64 {
        self.moves.count()
    }

    pub(crate) fn is_kept(&self, path: &[u8], entry: u64) -> bool {
        self.moves.kept(path, entry).is_some()
    }

    pub(crate) fn root(&self) -> BorrowedFd<'_> {
        self.root.as_fd()
    }

    pub(crate) fn kept(&self) -> Option<BorrowedFd<'_>> {
        self.kept.as_ref().map(|kept| kept.as_fd())
    }

    /// Another way to the same files.
    pub(crate) fn again(&self) -> Result<Tree> {
        let failed = |e| Error::io("opening the layer", e);
        let kept = self.kept.as_ref().map(OwnedFd::try_clone).transpose().map_err(failed)?;
        Ok(Tree { root: self.root.try_clone().map_err(failed)?, kept, moves: self.moves.clone(), parent: None })
    }

    /// Where that lies which entry number `entry` put at `path`.
    pub(crate) fn place(&mut self, path: &[u8], entry: u64) -> rustix::io::Result<Place<'_>> {
        if let Some(number) = self.moves.kept(path, entry) {
            let folder = self.kept.as_ref().ok_or(Errno::NOENT)?.as_fd();
            return Ok(Place { folder, name: number.to_string().into_bytes() });
        }
        let (parent, name) = match path.iter().rposition(|b| *b == b'/') {
            Some(slash) => (&path[..slash], &path[slash + 1..]),
            None => (&b""[..], path),
        };
        if self.parent.as_ref().is_none_or(|(known, _)| known != parent) {
            self.parent = Some((parent.to_vec(), beneath::folder(self.root.as_fd(), parent)?));
        }
        let folder = self.parent.as_ref().map_or(self.root.as_fd(), |(_, folder)| folder.as_fd());
        Ok(Place { folder, name: name.to_vec() })
    }
}

impl Place<'_> {
    pub(crate) fn stat(&self) -> rustix::io::Result<Stat> {
        statat(self.folder, OsStr::from_bytes(&self.name), AtFlags::SYMLINK_NOFOLLOW)
    }

    /// Its content, if it is a regular file: nothing else is opened, since devices act and pipes wait.
    pub(crate) fn open(&self) -> rustix::io::Result<Option<File>> {
        let regular = |stat: Stat| FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile;
        if !regular(self.stat()?) {
            return Ok(None);
        }
        let file = beneath::file(self.folder, &self.name)?;
        Ok(regular(rustix::fs::fstat(&file)?).then(|| File::from(file)))
    }
}

/// The stretch of a file that is read now.
struct Content {
    entry: u64,
    path: Vec<u8>,
    /// Absent: it could not be read, and zeros stand for it.
    file: Option<File>,
    offset: u64,
    left: u64,
    sum: Hasher,
}

/// A layer's tar stream, as it was when it was unpacked, if its files are as they were.
pub(crate) struct Replay {
    steps: Steps,
    tree: Tree,
    content: Option<Content>,
    literal: u64,
    chunk: Vec<u8>,
    at: usize,
    /// Whether the chunk came from a file, and where in it the chunk began.
    origin: Option<u64>,
    bytes: u64,
    over: bool,
    most: u64,
    size: u64,
    /// Go on when a file is damaged, so that all are found.
    lenient: bool,
    /// What is damaged, in words. Whoever is lenient takes these away.
    pub(crate) found: Vec<String>,
}

/// What an error says of the file that it came from: that the file is damaged, or only that this
/// process may not look.
pub(crate) fn judged(path: &[u8], error: Errno) -> Result<String> {
    let path = shown(path);
    match error {
        Errno::NOENT => Ok(format!("{path} is missing")),
        Errno::LOOP | Errno::NOTDIR | Errno::XDEV => {
            Ok(format!("{path} is missing: a folder above it is none any more"))
        }
        Errno::IO | Errno::UCLEAN => Ok(format!("{path} cannot be read from the disk: {error}")),
        _ => Err(Error::io(format!("looking at {path}"), error)),
    }
}

impl Replay {
    /// Holds it to the size that the layer's stream has.
    pub(crate) fn within(self, most: u64) -> Self {
        Replay { most: most.min(limits::LAYER_BYTES), ..self }
    }

    /// Of the layer in `folder`; its recipe lies beside it.
    pub(crate) fn open(folder: &Path, lenient: bool) -> Result<Replay> {
        let parent = beneath::own_folder(folder.parent().unwrap_or(folder))?;
        let name = beside(folder, TAPE).file_name().unwrap_or_default().as_bytes().to_vec();
        let tape = match (Place { folder: parent.as_fd(), name }).open() {
            Ok(Some(file)) => file,
            Ok(None) => return Err(Error::new(Kind::Unverified, "its recipe is no file")),
            Err(Errno::NOENT) => return Err(Error::new(Kind::Unverified, "its recipe is missing")),
            Err(e) => return Err(Error::io("opening its recipe", e)),
        };
        let root = match beneath::folder(parent.as_fd(), folder.file_name().unwrap_or_default().as_bytes()) {
            Err(e) => return Err(Error::new(Kind::Unverified, judged(b"/", e)?)),
            Ok(root) => root,
        };
        let kept = folder_if_there(&beside(folder, KEPT))?;
        let moves = if kept.is_some() { Moves::read(&tape)? } else { Moves::default() };
        let tree = Tree { root, kept, moves: Arc::new(moves), parent: None };
        Ok(Replay {
            steps: Steps::new(&tape)?,
            tree,
            content: None,
            literal: 0,
            chunk: Vec::new(),
            at: 0,
            origin: None,
            bytes: 0,
            over: false,
            most: limits::LAYER_BYTES,
            size: tape.metadata().map_err(|e| Error::io("looking at its recipe", e))?.len(),
            lenient,
            found: Vec::new(),
        })
    }

    pub(crate) fn tree(&self) -> &Tree {
        &self.tree
    }

    /// Bytes of the recipe itself.
    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    /// Whether the next byte is said to be this one of the file that this entry made.
    pub(crate) fn is_at(&self, entry: u64, path: &[u8], offset: u64) -> bool {
        let content = self.content.as_ref().zip(self.origin);
        content.is_some_and(|(of, start)| of.entry == entry && of.path == path && start + self.at as u64 == offset)
    }

    fn damage(&mut self, what: String) -> Result<()> {
        if self.lenient {
            self.found.push(what);
            return Ok(());
        }
        Err(Error::new(Kind::Unverified, what))
    }

    /// Takes steps until there are bytes to show, or the end.
    fn advance(&mut self) -> Result<()> {
        (self.at, self.origin) = (0, None);
        self.chunk.clear();
        while self.chunk.is_empty() && !self.over {
            if self.literal > 0 {
                let count = self.literal.min(limits::BUFFER_BYTES as u64);
                self.chunk.resize(count as usize, 0);
                self.steps.literal(&mut self.chunk)?;
                self.literal -= count;
            } else if self.content.as_ref().is_some_and(|content| content.left > 0) {
                self.read_content()?;
            } else {
                self.step()?;
            }
        }
        self.bytes += self.chunk.len() as u64;
        if self.bytes > self.most {
            return Err(Error::new(Kind::Unverified, "its recipe is damaged: it makes more than the layer has"));
        }
        Ok(())
    }

    fn step(&mut self) -> Result<()> {
        let wrong = || Error::new(Kind::Unverified, "its recipe is damaged: a step is out of place");
        match self.steps.next()? {
            Step::Literal(length) => self.literal = length,
            Step::File { entry, path, offset, length } => {
                let opened = self.tree.place(&path, entry).and_then(|place| place.open());
                let file = match opened {
                    Ok(Some(file)) => Some(file),
                    Ok(None) => self.damage(format!("{} is no file any more", shown(&path))).map(|()| None)?,
                    Err(e) => self.damage(judged(&path, e)?).map(|()| None)?,
                };
                self.content = Some(Content { entry, path, file, offset, left: length, sum: Hasher::new() });
            }
            Step::More { offset, length } => {
                let content = self.content.as_mut().ok_or_else(wrong)?;
                (content.offset, content.left) = (offset, length);
            }
            Step::Sum(sum) => {
                let content = self.content.take().ok_or_else(wrong)?;
                if content.file.is_some() && content.sum.finalize() != sum {
                    self.damage(format!("{} has other content", shown(&content.path)))?;
                }
            }
            Step::Replaced { .. } => {}
            Step::End(bytes) if bytes == self.bytes && self.content.is_none() => self.over = true,
            Step::End(_) => return Err(wrong()),
        }
        Ok(())
    }

    fn read_content(&mut self) -> Result<()> {
        let Some(content) = &mut self.content else { return Ok(()) };
        let count = content.left.min(limits::BUFFER_BYTES as u64) as usize;
        self.chunk.resize(count, 0);
        self.origin = Some(content.offset);
        let read = match &content.file {
            Some(file) => file.read_at(&mut self.chunk, content.offset),
            None => Ok(count),
        };
        let problem = match read {
            Ok(0) => Some(format!("{} is too short", shown(&content.path))),
            Ok(got) => {
                self.chunk.truncate(got);
                None
            }
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {
                self.chunk.clear();
                return Ok(());
            }
            Err(e) => Some(judged(&content.path, Errno::from_io_error(&e).unwrap_or(Errno::IO))?),
        };
        if problem.is_some() {
            content.file = None;
        }
        content.sum.update(&self.chunk);
        content.offset += self.chunk.len() as u64;
        content.left -= self.chunk.len() as u64;
        problem.map_or(Ok(()), |what| self.damage(what))
    }
}

impl BufRead for Replay {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.at == self.chunk.len() {
            self.advance()?;
        }
        Ok(&self.chunk[self.at..])
    }

    fn consume(&mut self, count: usize) {
        self.at += count;
    }
}

impl Read for Replay {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        read_shown(self, buffer)
    }
}
