//! A tar file as a set of named files that are read where they lie.

use super::layout::Files;
use crate::decode::{Bounded, Decoder};
use crate::digest::Hashing;
use crate::reference::is_standard_input;
use crate::tape::{Body, Tape};
use crate::{Error, Kind, Progress, Result, Step, limits};
use rustix::fs::{Mode, OFlags};
use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufReader, IsTerminal, Read, Seek};
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

/// Links to follow before they count as a loop.
const LINKS: usize = 8;

enum Member {
    File {
        at: u64,
        size: u64,
    },
    /// Another member's name.
    Link(Vec<u8>),
}

pub(super) struct Archive {
    file: Arc<File>,
    members: HashMap<Vec<u8>, Member>,
}

/// A stretch of a file, read without moving anybody's position.
struct Section {
    file: Arc<File>,
    at: u64,
    left: u64,
}

impl Read for Section {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let end = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len());
        let got = self.file.read_at(&mut buffer[..end], self.at)?;
        self.at += got as u64;
        self.left -= got as u64;
        Ok(got)
    }
}

impl Archive {
    pub(super) fn open(path: &Path, scratch: &Path, progress: &dyn Progress) -> Result<Archive> {
        let (place, mut file) = if is_standard_input(path) {
            let place = "standard input".to_owned();
            let file = piped().and_then(|input| spooled(input, scratch, progress)).map_err(|e| e.within(&place))?;
            (place, file)
        } else {
            let place = format!("`{}`", path.display());
            let file = plain(path, &place)?;
            let packed = is_compressed(&file);
            (place.clone(), if packed { spooled(file, scratch, progress).map_err(|e| e.within(place))? } else { file })
        };
        file.rewind().map_err(|e| Error::io(&place, e))?;
        let members = index(&file).map_err(|e| e.within(&place))?;
        Ok(Archive { file: Arc::new(file), members })
    }
}

impl Files for Archive {
    fn open(&self, name: &str) -> Result<Option<Box<dyn Read + Send>>> {
        let mut name = name.as_bytes().to_vec();
        for _ in 0..LINKS {
            match self.members.get(&name) {
                None => return Ok(None),
                Some(Member::Link(target)) => name.clone_from(target),
                Some(Member::File { at, size }) => {
                    return Ok(Some(Box::new(Section { file: self.file.clone(), at: *at, left: *size })));
                }
            }
        }
        Err(Error::new(Kind::Hostile, "its links lead in a circle"))
    }

    fn size(&self, name: &str) -> Option<u64> {
        let mut name = name.as_bytes();
        for _ in 0..LINKS {
            match self.members.get(name)? {
                Member::Link(target) => name = target,
                Member::File { size, .. } => return Some(*size),
            }
        }
        None
    }
}

/// A file of the host, looked at once it is open: a FIFO would make a plain open wait for a writer, for ever.
pub(super) fn plain(path: &Path, place: &str) -> Result<File> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let file = File::from(rustix::fs::open(path, flags, Mode::empty()).map_err(|e| Error::io(place, e))?);
    if file.metadata().is_ok_and(|found| found.is_file()) {
        return Ok(file);
    }
    Err(Error::new(Kind::Missing, format!("{place} is no file")))
}

fn is_compressed(file: &File) -> bool {
    let mut start = [0; 4];
    file.read_exact_at(&mut start, 0).is_ok() && (start[..2] == [0x1f, 0x8b] || start == [0x28, 0xb5, 0x2f, 0xfd])
}

/// Standard input, unless somebody types there.
fn piped() -> Result<File> {
    let input = std::io::stdin();
    if input.is_terminal() {
        let what = "a terminal is no archive";
        return Err(Error::new(Kind::Name, what)
            .remedy("pipe one in: docker save IMAGE | aido image import docker-archive:- NAME"));
    }
    let own = input.as_fd().try_clone_to_owned().map_err(|e| Error::io("opening it", e))?;
    Ok(File::from(own))
}

/// The archive as a plain file without a name, which vanishes with its descriptor.
fn spooled(input: impl Read + Send, scratch: &Path, progress: &dyn Progress) -> Result<File> {
    let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
    let failed = |e: io::Error| Error::io("copying it into the store", e);
    let fresh = rustix::fs::open(scratch, flags, Mode::RUSR | Mode::WUSR).map_err(|e| failed(e.into()))?;
    let mut fresh = File::from(fresh);
    let raw = Hashing::new(Shown { input, progress });
    let meter = raw.meter();
    let copied = io::copy(&mut Bounded::new(Decoder::new(raw)?, meter), &mut fresh).map_err(failed)?;
    if copied == 0 {
        return Err(Error::new(Kind::NoImage, "it is empty"));
    }
    Ok(fresh)
}

/// Tells how far the reading has come.
struct Shown<'a, R> {
    input: R,
    progress: &'a dyn Progress,
}

impl<R: Read> Read for Shown<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let got = self.input.read(buffer)?;
        self.progress.step(Step::Reading { bytes: got as u64 });
        Ok(got)
    }
}

fn index(file: &File) -> Result<HashMap<Vec<u8>, Member>> {
    let (mut members, mut held) = (HashMap::new(), 0);
    let mut tape = Tape::new(BufReader::with_capacity(limits::BUFFER_BYTES, file));
    while let Some(entry) = tape.next()? {
        let name = clean(&[], &entry.path);
        let folder = name.iter().rposition(|b| *b == b'/').map_or(&b""[..], |slash| &name[..slash]);
        let member = match entry.body {
            Body::File { size } => Member::File { at: tape.position(), size },
            // Old `docker save` names a layer that two images share by a link.
            Body::Symlink(target) => Member::Link(clean(folder, &target)),
            Body::Hard(target) => Member::Link(clean(&[], &target)),
            _ => continue,
        };
        let target = if let Member::Link(target) = &member { target.len() } else { 0 };
        // Beside its bytes a name takes its place in the table, and the table may be half empty.
        held += name.len() + target + 3 * size_of::<(Vec<u8>, Member)>();
        if held > limits::ARCHIVE_NAMES {
            let what = format!("the names of its files take more than {} bytes", limits::ARCHIVE_NAMES);
            return Err(Error::new(Kind::Limit, what));
        }
        members.insert(name, member);
        if members.len() > limits::ARCHIVE_ENTRIES {
            return Err(Error::new(Kind::Limit, format!("it holds more than {} files", limits::ARCHIVE_ENTRIES)));
        }
    }
    Ok(members)
}

/// A name within the archive. These are keys, never paths of the host.
fn clean(folder: &[u8], name: &[u8]) -> Vec<u8> {
    let mut parts: Vec<&[u8]> = Vec::new();
    let folder = if name.starts_with(b"/") { b"" } else { folder };
    for part in folder.split(|b| *b == b'/').chain(name.split(|b| *b == b'/')) {
        match part {
            b"" | b"." => {}
            b".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.join(&b'/')
}
