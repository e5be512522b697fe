//! The layers of an overlay mount: what its marks say. They are those of `userxattr`; whatever speaks of content that
//! lies elsewhere is refused, since its changes would be told wrong.

use crate::beneath::{self, Folder, of_descriptor};
use crate::{Error, RelPath, Result};
use rustix::fs::FileType;
use rustix::io::Errno;
use std::os::fd::OwnedFd;
use std::path::Path;

const MARKS: &str = "user.overlay.";
const OTHER_MARKS: &str = "trusted.overlay.";
/// What the kernel lets a list of attribute names be.
const ALL_NAMES: usize = 64 << 10;

/// The upper folders of an overlay mount, the topmost first.
#[derive(Debug, Clone)]
pub struct Stack {
    layers: Vec<Folder>,
}

/// What one layer has at a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Held {
    Nothing,
    /// What lies below is gone.
    Whiteout,
    Leaf,
    /// A folder; an opaque one hides all that lies below.
    Folder {
        opaque: bool,
    },
}

impl Stack {
    /// Opens the upper folders of a sandbox, the topmost first.
    pub fn open<P: AsRef<Path>>(uppers: &[P]) -> Result<Self> {
        let layers = uppers.iter().map(|upper| Folder::ours(upper.as_ref())).collect::<Result<Vec<_>>>()?;
        let stack = Stack { layers };
        for n in 0..stack.layers.len() {
            if let Held::Folder { opaque: true } = stack.held(n, &RelPath::top())? {
                return Err(refused(&RelPath::top(), "hides the whole project"));
            }
        }
        Ok(stack)
    }

    pub(crate) fn len(&self) -> usize {
        self.layers.len()
    }

    pub(crate) fn layer(&self, n: usize) -> &Folder {
        &self.layers[n]
    }

    /// What layer `n` has at a path.
    pub(crate) fn held(&self, n: usize, path: &RelPath) -> Result<Held> {
        let layer = &self.layers[n];
        let Some(handle) = layer.handle(path)? else { return Ok(Held::Nothing) };
        let stat = beneath::stat(&handle, path)?;
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::CharacterDevice if stat.st_rdev == 0 => Ok(Held::Whiteout),
            FileType::Directory => {
                let opaque = marks(&handle, path)?.iter().any(|mark| mark == "opaque") && is_opaque(layer, path)?;
                Ok(Held::Folder { opaque })
            }
            FileType::RegularFile => {
                let white = marks(&handle, path)?.iter().any(|mark| mark == "whiteout") && stat.st_size == 0;
                Ok(if white { Held::Whiteout } else { Held::Leaf })
            }
            _ => Ok(Held::Leaf),
        }
    }
}

/// `y` is opaque; `x` only says that there are whiteouts in the form of attributes.
fn is_opaque(layer: &Folder, path: &RelPath) -> Result<bool> {
    let folder = layer.folder(path)?;
    let mut value = [0; 4];
    match rustix::fs::fgetxattr(&folder, format!("{MARKS}opaque"), &mut value[..]) {
        Ok(1) if value[0] == b'y' => Ok(true),
        Ok(1) if value[0] == b'x' => Ok(false),
        Ok(_) | Err(Errno::RANGE) => Err(refused(path, "has an unknown mark of an opaque folder")),
        Err(e) => Err(beneath::failed("reading the marks of", path, e)),
    }
}

/// The overlay's marks on a file or folder, without their prefix. What a task called alike was escaped by the kernel.
fn marks(handle: &OwnedFd, path: &RelPath) -> Result<Vec<String>> {
    let mut marks = Vec::new();
    for name in attributes(handle, path)?.split(|b| *b == 0) {
        let name = String::from_utf8_lossy(name);
        if name.starts_with(OTHER_MARKS) {
            return Err(refused(path, "was not mounted with `userxattr`"));
        }
        match name.strip_prefix(MARKS) {
            Some("redirect") => return Err(refused(path, "was renamed by a redirect (`redirect_dir=on`)")),
            Some("metacopy" | "verity") => return Err(refused(path, "holds no content of its own (`metacopy=on`)")),
            Some(mark) => marks.push(mark.to_string()),
            None => {}
        }
    }
    Ok(marks)
}

fn attributes(handle: &OwnedFd, path: &RelPath) -> Result<Vec<u8>> {
    for size in [1024, ALL_NAMES] {
        let mut names = vec![0; size];
        match rustix::fs::listxattr(of_descriptor(handle), &mut names[..]) {
            Ok(length) => {
                names.truncate(length);
                return Ok(names);
            }
            // A file system without attributes has no marks.
            Err(Errno::NOTSUP) => return Ok(Vec::new()),
            Err(Errno::RANGE) => {}
            Err(e) => return Err(beneath::failed("reading the marks of", path, e)),
        }
    }
    Err(refused(path, "has more attributes than a kernel lists"))
}

fn refused(path: &RelPath, what: &str) -> Error {
    Error::Layer { path: path.to_string(), what: what.to_string() }
}
