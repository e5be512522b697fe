//! Reads what lies at a path: kind, mode, and the digest of its content; within bounds.

use crate::beneath::{self, Folder};
use crate::{Cost, Entry, Error, Limits, Mode, Raw, RelPath, Result};
use rustix::fs::{FileType, Stat};
use sha2::{Digest, Sha256};
use std::io::{Read, Write};

/// As many bytes as git looks at to tell text from binary.
const LOOKED_AT: usize = 8000;
const BUFFER: usize = 128 << 10;
/// The kernel takes no longer paths in one call, its closing zero included.
const LONGEST_PATH: usize = 4095;

/// What is left of the bounds, and what was spent.
#[derive(Debug)]
pub(crate) struct Budget {
    pub(crate) limits: Limits,
    pub(crate) cost: Cost,
    held: u64,
}

impl Budget {
    pub(crate) fn new(limits: &Limits) -> Self {
        Budget { limits: limits.clone(), cost: Cost::default(), held: 0 }
    }

    /// Counts a name of a layer.
    pub(crate) fn layer_name(&mut self, name: &[u8]) -> Result<()> {
        self.cost.layer_entries += 1;
        self.name(name)
    }

    /// Counts a name of the project.
    pub(crate) fn project_name(&mut self, name: &[u8]) -> Result<()> {
        self.cost.project_entries += 1;
        self.name(name)
    }

    fn name(&mut self, name: &[u8]) -> Result<()> {
        self.hold(name.len())?;
        match self.cost.layer_entries + self.cost.project_entries > self.limits.entries {
            true => Err(Error::TooMany { what: "names", limit: self.limits.entries }),
            false => Ok(()),
        }
    }

    /// Counts bytes of a path that stay in memory.
    pub(crate) fn hold(&mut self, bytes: usize) -> Result<()> {
        self.held += bytes as u64;
        match self.held > self.limits.path_bytes {
            true => Err(Error::TooMany { what: "bytes of paths", limit: self.limits.path_bytes }),
            false => Ok(()),
        }
    }

    fn allows(&self, size: u64) -> Option<&'static str> {
        match size {
            _ if size > self.limits.file_bytes => Some("is larger than what is read of one file"),
            _ if self.cost.bytes.saturating_add(size) > self.limits.all_bytes => Some("comes after all that is read"),
            _ => None,
        }
    }
}

/// An entry with what the kernel knows of it.
#[derive(Debug)]
pub(crate) struct Seen {
    pub(crate) entry: Entry,
    pub(crate) stat: Stat,
}

/// What lies at a path, read; `None` where nothing is.
pub(crate) fn look(folder: &Folder, path: &RelPath, budget: &mut Budget) -> Result<Option<Seen>> {
    let Some(handle) = folder.handle(path)? else { return Ok(None) };
    let stat = beneath::stat(&handle, path)?;
    let entry = match FileType::from_raw_mode(stat.st_mode) {
        FileType::Directory => Entry::folder(),
        FileType::Symlink => link(&handle, path)?,
        FileType::RegularFile => regular(folder, path, &stat, budget),
        other => Entry::unfit(Mode::Special, 0, special(other)),
    };
    Ok(Some(Seen { entry, stat }))
}

/// Whether a path is too long for the kernel to be given in one piece.
pub(crate) fn is_too_long(path: &RelPath) -> bool {
    path.as_bytes().len() > LONGEST_PATH
}

fn special(kind: FileType) -> &'static str {
    match kind {
        FileType::Fifo => "a pipe",
        FileType::Socket => "a socket",
        FileType::BlockDevice | FileType::CharacterDevice => "a device",
        _ => "a file of an unknown kind",
    }
}

fn link(handle: &rustix::fd::OwnedFd, path: &RelPath) -> Result<Entry> {
    let target = rustix::fs::readlinkat(handle, "", Vec::new());
    let target = target.map_err(|e| beneath::failed("reading the link", path, e))?.into_bytes();
    let digest = Some(hex(&Sha256::digest(&target)));
    Ok(Entry { digest, size: target.len() as u64, target: Some(Raw(target)), ..Entry::bare(Mode::Link, 0) })
}

fn regular(folder: &Folder, path: &RelPath, stat: &Stat, budget: &mut Budget) -> Entry {
    let mode = if stat.st_mode & 0o100 == 0 { Mode::File } else { Mode::Executable };
    let size = u64::try_from(stat.st_size).unwrap_or(0);
    let entry = match budget.allows(size) {
        Some(why) => Entry::unfit(mode, size, why),
        None => match folder.file(path).and_then(|file| read(file, path, budget)) {
            Ok(entry) => Entry { mode, ..entry },
            Err(e) => Entry::unfit(mode, size, format!("cannot be read: {e}")),
        },
    };
    Entry { setid: stat.st_mode & 0o6000 != 0, ..entry }
}

fn read(file: std::fs::File, path: &RelPath, budget: &mut Budget) -> Result<Entry> {
    let (mut hash, mut size, mut binary) = (Sha256::new(), 0_u64, false);
    let mut buffer = vec![0; BUFFER];
    // A file that grows while it is read is read to the bound and no further.
    let mut file = file.take(budget.limits.file_bytes + 1);
    loop {
        let n = file.read(&mut buffer).map_err(|e| Error::io(format!("reading `{path}`"), e))?;
        if n == 0 {
            break;
        }
        let looked_at = LOOKED_AT.saturating_sub(size as usize).min(n);
        binary |= buffer[..looked_at].contains(&0);
        hash.update(&buffer[..n]);
        size += n as u64;
        budget.cost.bytes += n as u64;
    }
    match size > budget.limits.file_bytes {
        true => Err(Error::Refused("it grew while it was read".to_string())),
        false => Ok(Entry { digest: Some(hex(&hash.finalize())), binary, ..Entry::bare(Mode::File, size) }),
    }
}

/// Copies the content of a file that was read before; an error when it is another by now.
pub(crate) fn copy(folder: &Folder, path: &RelPath, known: &Entry, to: &mut dyn Write) -> Result<()> {
    let doing = || format!("copying `{path}`");
    let mut hash = Sha256::new();
    let mut file = folder.file(path)?.take(known.size.saturating_add(1));
    let mut buffer = vec![0; BUFFER];
    loop {
        let n = file.read(&mut buffer).map_err(|e| Error::io(doing(), e))?;
        if n == 0 {
            break;
        }
        hash.update(&buffer[..n]);
        to.write_all(&buffer[..n]).map_err(|e| Error::io(doing(), e))?;
    }
    match known.digest.as_deref() == Some(hex(&hash.finalize()).as_str()) {
        true => Ok(()),
        false => Err(Error::Refused(format!("`{path}` changed since the changes were read"))),
    }
}

/// Bytes in hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
