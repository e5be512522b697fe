//! Folders that a layer uses without describing them.
//!
//! A layer may hold `opt/tool/new` and say nothing of `opt/tool`, which stays what a lower layer
//! made it. Layers are unpacked apart from each other, and a merged folder looks as its topmost
//! layer has it, so such a folder would lose its mode and owner. Where it matters, one small layer
//! that holds nothing but those folders is laid on top of the image. The same layer takes away
//! folders that exist only because a layer hides something in them that was never there.

use super::attributes::Attributes;
use super::list::{FOLDER, IMPLIED, PHANTOM};
use super::merge::{AT_ONCE, over, within};
use super::name::split;
use crate::digest::Hashing;
use crate::{Digest, Error, Result, beneath};
use std::ffi::OsStr;
use std::fs::File;
use std::io::{BufWriter, Seek, Write};
use std::os::fd::BorrowedFd;
use std::os::unix::ffi::OsStrExt;

/// The tar stream of a mending layer, in a file without a name.
#[derive(Debug)]
pub(crate) struct Mending {
    pub(crate) tar: File,
    pub(crate) digest: Digest,
    pub(crate) size: u64,
}

/// A folder above the current path, or the path itself.
struct Above {
    /// Of its path.
    length: usize,
    attributes: Attributes,
    written: bool,
    /// It is taken away, and with it all below it.
    gone: bool,
}

/// The mending layer, or nothing if the stack is right as it is. `open` gives the list of a layer by
/// its height; `scratch` is a folder on whose file system there may be files without a name.
pub(crate) fn mend(
    layers: usize,
    open: impl Fn(usize) -> Result<File>,
    scratch: BorrowedFd<'_>,
) -> Result<Option<Mending>> {
    mend_by(AT_ONCE, layers, open, scratch)
}

fn mend_by(
    at_once: usize,
    layers: usize,
    open: impl Fn(usize) -> Result<File>,
    scratch: BorrowedFd<'_>,
) -> Result<Option<Mending>> {
    let failed = |e: std::io::Error| Error::io("making the mending layer", e);
    let mut merge = over(layers, open, scratch, at_once)?;
    let mut tar = None;
    let (mut above, mut last): (Vec<Above>, Vec<u8>) = Default::default();
    while merge.advance()? {
        let (path, item) = (&merge.item.path, &merge.item);
        above.truncate(above.iter().take_while(|folder| within(path, &last[..folder.length])).count());
        if !item.has(FOLDER) || above.last().is_some_and(|folder| folder.gone) {
            continue;
        }
        let attributes = item.stated.clone().unwrap_or_else(Attributes::unstated);
        let gone = item.has(IMPLIED) && item.has(PHANTOM);
        let wrong = item.has(IMPLIED) && !gone && differs(&attributes);
        last.clone_from(path);
        above.push(Above { length: path.len(), attributes, written: false, gone });
        if gone || wrong {
            let tar = match &mut tar {
                Some(tar) => tar,
                None => {
                    let file = beneath::nameless(scratch).map_err(|e| failed(e.into()))?;
                    tar.insert(tar::Builder::new(BufWriter::new(file)))
                }
            };
            write(tar, path, &mut above).map_err(failed)?;
        }
    }
    let Some(tar) = tar else { return Ok(None) };
    let mut tar = tar.into_inner().and_then(|out| Ok(out.into_inner()?)).map_err(failed)?;
    tar.rewind().map_err(failed)?;
    let (digest, size) = Hashing::new(&tar).finish().map_err(failed)?;
    tar.rewind().map_err(failed)?;
    Ok(Some(Mending { tar, digest, size }))
}

/// Writes the last of these folders, or the whiteout for it, after all above it.
fn write(tar: &mut tar::Builder<impl Write>, path: &[u8], folders: &mut [Above]) -> std::io::Result<()> {
    for folder in folders.iter_mut().filter(|folder| !folder.written) {
        folder.written = true;
        let path = &path[..folder.length];
        if folder.gone {
            let (parent, name) = split(path);
            let slash: &[u8] = if parent.is_empty() { b"" } else { b"/" };
            let whiteout = [parent, slash, b".wh.", name].concat();
            append(tar, &whiteout, tar::EntryType::Regular, &Attributes::unstated())?;
        } else {
            append(tar, &[path, &b"/"[..]].concat(), tar::EntryType::Directory, &folder.attributes)?;
        }
    }
    Ok(())
}

/// Times alone are not worth a layer.
fn differs(meant: &Attributes) -> bool {
    let plain = Attributes::unstated();
    (meant.mode, meant.uid, meant.gid) != (plain.mode, plain.uid, plain.gid)
}

fn append(
    tar: &mut tar::Builder<impl Write>,
    path: &[u8],
    kind: tar::EntryType,
    of: &Attributes,
) -> std::io::Result<()> {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(of.mode);
    header.set_uid(of.uid);
    header.set_gid(of.gid);
    header.set_mtime(of.mtime.try_into().unwrap_or(0));
    header.set_size(0);
    let name = if path == b"/" { b"./" } else { path };
    tar.append_data(&mut header, OsStr::from_bytes(name), std::io::empty())
}

#[cfg(test)]
mod tests;
