//! Reads single files of an image as the stacked layers show them, without mounting anything.

use super::{Image, Store};
use crate::{Error, Kind, LayerId, Ownership, Result, beneath};
use rustix::fs::FileType;
use rustix::io::Errno;
use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// What one layer says of a path.
enum Found {
    File(OwnedFd),
    /// It is not there, and nothing below shows through.
    Gone,
    /// This layer has nothing to say.
    Below,
}

impl Store {
    /// A file of the image, at most `max` bytes. Links are refused, on the way and at its end: what
    /// they point to is only known inside the sandbox.
    pub fn read_file(&self, image: &Image, path: &str, max: u64) -> Result<Option<Vec<u8>>> {
        let names: Vec<&str> = path.split('/').filter(|name| !name.is_empty() && *name != ".").collect();
        if names.is_empty() || names.contains(&"..") {
            return Err(Error::new(Kind::Name, format!("`{}` is no path in an image", path.escape_debug())));
        }
        for layer in image.layers.iter().rev() {
            match look(self.any_folder(layer)?.as_fd(), &names)
                .map_err(|e| e.within(format!("`{path}` of the image")))?
            {
                Found::File(file) => return read(file, path, max).map(Some),
                Found::Gone => return Ok(None),
                Found::Below => {}
            }
        }
        Ok(None)
    }

    fn any_folder(&self, layer: &LayerId) -> Result<OwnedFd> {
        let here = Ownership::ALL.iter().find(|ownership| self.has_layer(layer, **ownership));
        let ownership =
            here.ok_or_else(|| Error::new(Kind::Missing, format!("the layer {layer} is not in the store")))?;
        beneath::own_folder(&self.layer_folder(layer, *ownership))
    }
}

fn refused(what: &str) -> Error {
    Error::new(Kind::Hostile, format!("it {what}, which aido does not follow"))
}

fn look(layer: BorrowedFd<'_>, names: &[&str]) -> Result<Found> {
    for depth in 1..=names.len() {
        let path = names[..depth].join("/");
        if is_opaque(layer, &names[..depth - 1].join("/"))? && !exists(layer, &path)? {
            return Ok(Found::Gone);
        }
        let handle = match beneath::handle(layer, path.as_bytes()) {
            Err(Errno::NOENT) => return Ok(Found::Below),
            other => other.map_err(|e| Error::io("looking for it", e))?,
        };
        let stat = rustix::fs::fstat(&handle).map_err(|e| Error::io("looking at it", e))?;
        let last = depth == names.len();
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory if !last => {}
            FileType::RegularFile if last => {
                let file = beneath::file(layer, path.as_bytes()).map_err(|e| Error::io("opening it", e))?;
                return Ok(Found::File(file));
            }
            FileType::CharacterDevice | FileType::RegularFile => return Ok(Found::Gone),
            FileType::Symlink => return Err(refused("is or lies behind a symbolic link")),
            _ => return Err(refused("is no regular file")),
        }
    }
    Ok(Found::Below)
}

fn exists(layer: BorrowedFd<'_>, path: &str) -> Result<bool> {
    match beneath::handle(layer, path.as_bytes()) {
        Ok(_) => Ok(true),
        Err(Errno::NOENT) => Ok(false),
        Err(e) => Err(Error::io("looking for it", e)),
    }
}

fn is_opaque(layer: BorrowedFd<'_>, folder: &str) -> Result<bool> {
    let open = beneath::readable_folder(layer, folder.as_bytes()).map_err(|e| Error::io("opening its folder", e))?;
    let mut value = [0_u8; 1];
    match rustix::fs::fgetxattr(&open, "user.overlay.opaque", &mut value) {
        Ok(1) => Ok(value == *b"y"),
        Ok(_) | Err(Errno::NODATA | Errno::OPNOTSUPP | Errno::RANGE) => Ok(false),
        Err(e) => Err(Error::io("reading the mark of its folder", e)),
    }
}

fn read(file: OwnedFd, path: &str, max: u64) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let failed = |e| Error::io(format!("reading `{path}` of the image"), e);
    File::from(file).take(max.saturating_add(1)).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > max {
        return Err(Error::new(Kind::Limit, format!("`{path}` of the image is larger than {max} bytes")));
    }
    Ok(bytes)
}
