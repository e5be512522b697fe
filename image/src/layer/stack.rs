//! Folders that a layer uses without describing them.
//!
//! A layer may hold `opt/tool/new` and say nothing of `opt/tool`, which stays what a lower layer
//! made it. Layers are unpacked apart from each other, and a merged folder looks as its topmost
//! layer has it, so such a folder would lose its mode and owner. Where it matters, one small layer
//! that holds nothing but those folders is laid on top of the image. The same layer takes away
//! folders that exist only because a layer hides something in them that was never there.

use super::Record;
use super::folders::Attributes;
use super::name::{ancestors, split};
use super::record::unescape;
use crate::tape::hostile;
use crate::{Error, Result};
use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

/// The tar stream of the mending layer, or nothing if the stack is right as it is. Lowest first.
pub(crate) fn mend(layers: &[Record]) -> Result<Option<Vec<u8>>> {
    let mut wrong: BTreeSet<&str> = BTreeSet::new();
    let mut phantoms: BTreeSet<&str> = BTreeSet::new();
    for (height, layer) in layers.iter().enumerate() {
        let (below, above) = (&layers[..height], &layers[height + 1..]);
        for path in layer.implied() {
            if above.iter().any(|layer| layer.has_folder(path) || hides(layer, path)) {
                continue;
            }
            if !layer.fills_folder(path) && !filled(below, layer, path) {
                phantoms.insert(path);
            } else if differs(&meant(below, layer, path)) {
                wrong.insert(path);
            }
        }
    }
    // One whiteout takes away all phantoms below it.
    let gone: Vec<&str> =
        phantoms.iter().filter(|p| !parents(p).any(|above| phantoms.contains(above))).copied().collect();
    let Some((top, below)) = layers.split_last().filter(|_| !wrong.is_empty() || !gone.is_empty()) else {
        return Ok(None);
    };
    let above = wrong.iter().chain(&gone).flat_map(|path| parents(path));
    let folders: BTreeSet<&str> = above.chain(wrong.iter().copied()).collect();
    let mut tar = tar::Builder::new(Vec::new());
    for path in folders {
        let attributes = top.stated(path).cloned().unwrap_or_else(|| meant(below, top, path));
        append(&mut tar, &[&bytes(path)?, &b"/"[..]].concat(), tar::EntryType::Directory, &attributes)?;
    }
    for path in gone {
        let path = bytes(path)?;
        let (parent, name) = split(&path);
        let slash: &[u8] = if parent.is_empty() { b"" } else { b"/" };
        let whiteout = [parent, slash, b".wh.", name].concat();
        append(&mut tar, &whiteout, tar::EntryType::Regular, &Attributes::unstated())?;
    }
    tar.into_inner().map(Some).map_err(|e| Error::io("making the mending layer", e))
}

fn bytes(path: &str) -> Result<Vec<u8>> {
    unescape(path).ok_or_else(|| hostile("a layer's record holds a name that no layer can have"))
}

/// Whether a folder that `layer` has for its whiteouts alone is there without it.
fn filled(below: &[Record], layer: &Record, path: &str) -> bool {
    let mut hidden = hides(layer, path);
    for lower in below.iter().rev() {
        if hidden {
            break;
        }
        if lower.fills_folder(path) {
            return true;
        }
        hidden = hides(lower, path);
    }
    false
}

/// The folders above an escaped path: escaping leaves slashes alone.
fn parents(path: &str) -> impl Iterator<Item = &str> {
    ancestors(path.as_bytes()).filter_map(|above| std::str::from_utf8(above).ok())
}

/// Whether the layer takes away everything that lower ones have at `path`.
fn hides(layer: &Record, path: &str) -> bool {
    layer.hides(path) || parents(path).any(|above| layer.is_opaque(above) || layer.hides(above))
}

/// What the layers below say of a folder that `layer` only uses.
fn meant(below: &[Record], layer: &Record, path: &str) -> Attributes {
    let mut hidden = hides(layer, path);
    for lower in below.iter().rev() {
        if hidden {
            break;
        }
        if let Some(stated) = lower.stated(path) {
            return stated.clone();
        }
        hidden = hides(lower, path);
    }
    Attributes::unstated()
}

/// Times alone are not worth a layer.
fn differs(meant: &Attributes) -> bool {
    let plain = Attributes::unstated();
    (meant.mode, meant.uid, meant.gid) != (plain.mode, plain.uid, plain.gid)
}

fn append(tar: &mut tar::Builder<Vec<u8>>, path: &[u8], kind: tar::EntryType, of: &Attributes) -> Result<()> {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(of.mode);
    header.set_uid(of.uid);
    header.set_gid(of.gid);
    header.set_mtime(of.mtime.try_into().unwrap_or(0));
    header.set_size(0);
    let name = if path == b"/" { b"./" } else { path };
    let added = tar.append_data(&mut header, OsStr::from_bytes(name), std::io::empty());
    added.map_err(|e| Error::io("making the mending layer", e))
}

#[cfg(test)]
mod tests {
    use super::super::{Ownership, unpack};
    use super::*;

    /// A layer from `path mode` lines; a path without a trailing slash is an empty file.
    fn layer(entries: &[(&str, u32)]) -> Record {
        let mut tar = tar::Builder::new(Vec::new());
        for (path, mode) in entries {
            let mut header = tar::Header::new_gnu();
            header.set_mode(*mode);
            header.set_size(0);
            let folder = path.ends_with('/');
            header.set_entry_type(if folder { tar::EntryType::Directory } else { tar::EntryType::Regular });
            tar.append_data(&mut header, path, std::io::empty()).unwrap();
        }
        let bytes = tar.into_inner().unwrap();
        let scratch = tempfile::tempdir().unwrap();
        let folder = scratch.path().join("layer");
        std::fs::create_dir(&folder).unwrap();
        let recipe = crate::recipe::Pen::beside(&folder).unwrap();
        unpack(&bytes[..], crate::beneath::own_folder(&folder).unwrap(), Ownership::Squash, recipe).unwrap()
    }

    /// Path and mode of each folder in the mending layer.
    fn mended(layers: &[Record]) -> Vec<(String, u32)> {
        let Some(bytes) = mend(layers).unwrap() else { return Vec::new() };
        let mut archive = tar::Archive::new(&bytes[..]);
        let entries = archive.entries().unwrap().map(|entry| {
            let entry = entry.unwrap();
            (entry.path().unwrap().to_str().unwrap().to_owned(), entry.header().mode().unwrap())
        });
        entries.collect()
    }

    fn expect(layers: &[Record], folders: &[(&str, u32)]) {
        let folders: Vec<_> = folders.iter().map(|(path, mode)| ((*path).to_owned(), *mode)).collect();
        assert_eq!(mended(layers), folders);
    }

    #[test]
    fn a_folder_used_without_a_word_keeps_what_the_lower_layer_said() {
        let base = layer(&[("./", 0o755), ("tmp/", 0o1777), ("a/", 0o755), ("a/b/", 0o700)]);
        let top = layer(&[("tmp/file", 0o644), ("a/b/file", 0o644)]);
        expect(&[base, top], &[("./", 0o755), ("a/", 0o755), ("a/b/", 0o700), ("tmp/", 0o1777)]);
    }

    #[test]
    fn what_is_stated_above_needs_no_mending() {
        let base = layer(&[("tmp/", 0o1777)]);
        let middle = layer(&[("tmp/file", 0o644)]);
        let top = layer(&[("tmp/", 0o711)]);
        expect(&[base.clone(), middle.clone(), top], &[]);
        expect(&[base], &[]);
        expect(&[layer(&[("tmp/", 0o755)]), middle], &[]);
    }

    #[test]
    fn a_folder_of_whiteouts_alone_does_not_come_into_being() {
        let base = layer(&[("opt/", 0o755), ("opt/real/", 0o755)]);
        let top = layer(&[("opt/never/deep/.wh.there", 0o644), ("opt/real/.wh.there", 0o644)]);
        expect(&[base.clone(), top.clone()], &[("./", 0o755), ("opt/", 0o755), ("opt/.wh.never", 0o755)]);
        let fills = layer(&[("opt/never/deep/file", 0o644)]);
        expect(&[base.clone(), fills.clone(), top.clone()], &[]);
        expect(&[base, top, fills], &[]);
    }

    #[test]
    fn a_folder_that_was_taken_away_is_new() {
        let base = layer(&[("a/", 0o700), ("a/b/", 0o711)]);
        let again = layer(&[("a/b/file", 0o644)]);
        expect(&[base.clone(), layer(&[(".wh.a", 0o644)]), again.clone()], &[]);
        expect(&[base.clone(), layer(&[(".wh.a", 0o644), ("a/b/file", 0o644)])], &[]);
        let opaque = layer(&[("a/.wh..wh..opq", 0o644)]);
        expect(&[base.clone(), opaque, again.clone()], &[("./", 0o755), ("a/", 0o700)]);
        expect(&[base, again.clone(), layer(&[(".wh.a", 0o644)])], &[]);
        expect(&[again], &[]);
    }
}
