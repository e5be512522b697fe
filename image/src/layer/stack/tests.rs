use super::super::list::{HIDDEN, Item, OPAQUE, Reader};
use super::super::name::ancestors;
use super::super::{Ownership, unpack};
use super::*;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::AsFd;

/// The list of a layer from `path mode` lines; a path without a trailing slash is an empty file.
fn layer(entries: &[(&str, u32)]) -> Vec<u8> {
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
    unpacked(&bytes)
}

fn unpacked(bytes: &[u8]) -> Vec<u8> {
    let scratch = tempfile::tempdir().unwrap();
    let folder = scratch.path().join("layer");
    std::fs::create_dir(&folder).unwrap();
    let (recipe, mut list) = (crate::recipe::Pen::beside(&folder).unwrap(), Vec::new());
    unpack(bytes, beneath::own_folder(&folder).unwrap(), Ownership::Squash, recipe, &mut list, &Default::default())
        .unwrap();
    list
}

/// Path and mode of each entry of the mending layer, in its order.
fn mended(layers: &[Vec<u8>], at_once: usize) -> Vec<(Vec<u8>, u32)> {
    let scratch = tempfile::tempdir().unwrap();
    let folder = beneath::own_folder(scratch.path()).unwrap();
    let open = |height: usize| {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&layers[height]).unwrap();
        file.rewind().unwrap();
        Ok(file)
    };
    let made = mend_by(at_once, layers.len(), open, folder.as_fd()).unwrap();
    assert_eq!(std::fs::read_dir(scratch.path()).unwrap().count(), 0);
    let Some(Mending { tar, digest, size }) = made else { return Vec::new() };
    let mut bytes = Vec::new();
    std::io::Read::read_to_end(&mut &tar, &mut bytes).unwrap();
    assert_eq!((Digest::of(&bytes), bytes.len() as u64), (digest, size));
    // It must unpack, too.
    unpacked(&bytes);
    let mut archive = tar::Archive::new(&bytes[..]);
    let entries = archive.entries().unwrap().map(|entry| {
        let entry = entry.unwrap();
        (entry.path_bytes().into_owned(), entry.header().mode().unwrap())
    });
    entries.collect()
}

#[track_caller]
fn expect(layers: &[Vec<u8>], folders: &[(&str, u32)]) {
    let folders: Vec<_> = folders.iter().map(|(path, mode)| (path.as_bytes().to_vec(), *mode)).collect();
    assert_eq!(mended(layers, AT_ONCE), folders);
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

/// The same decision by plain rules over whole layers in memory, path by path.
struct Plain {
    items: BTreeMap<Vec<u8>, Item>,
}

impl Plain {
    fn read(list: &[u8]) -> Plain {
        let mut list = Reader::new(list).unwrap();
        let mut items = BTreeMap::new();
        while list.advance().unwrap() {
            items.insert(list.item.path.clone(), list.item.clone());
        }
        Plain { items }
    }

    fn folder(&self, path: &[u8]) -> Option<&Item> {
        self.items.get(path).filter(|item| item.has(FOLDER))
    }

    fn fills(&self, path: &[u8]) -> bool {
        self.folder(path).is_some_and(|item| !item.has(PHANTOM))
    }

    /// Whether the layer takes away everything that lower ones have at `path`.
    fn hides(&self, path: &[u8]) -> bool {
        let hidden = |path: &[u8]| self.items.get(path).is_some_and(|item| item.has(HIDDEN));
        hidden(path) || ancestors(path).any(|above| hidden(above) || self.folder(above).is_some_and(|a| a.has(OPAQUE)))
    }

    /// The layers that show at `path`, from the top on: down to the first one that hides the rest.
    fn shown<'a>(layers: &'a [Plain], path: &'a [u8]) -> impl Iterator<Item = &'a Plain> {
        let mut hidden = false;
        layers.iter().rev().take_while(move |layer| {
            let shown = !hidden;
            hidden |= layer.hides(path);
            shown
        })
    }

    fn meant(layers: &[Plain], path: &[u8]) -> Attributes {
        let stated = Plain::shown(layers, path).find_map(|layer| layer.folder(path)?.stated.clone());
        stated.unwrap_or_else(Attributes::unstated)
    }

    /// What the mending layer must hold: folders with their modes, and whiteouts.
    fn mend(layers: &[Plain]) -> BTreeSet<(Vec<u8>, u32)> {
        let (mut wrong, mut phantoms) = (BTreeSet::new(), BTreeSet::new());
        for (height, layer) in layers.iter().enumerate() {
            let (up_to, above) = (&layers[..=height], &layers[height + 1..]);
            for (path, _) in layer.items.iter().filter(|(_, item)| item.has(FOLDER) && item.stated.is_none()) {
                if above.iter().any(|layer| layer.folder(path).is_some() || layer.hides(path)) {
                    continue;
                }
                if !Plain::shown(up_to, path).any(|layer| layer.fills(path)) {
                    phantoms.insert(path.as_slice());
                } else if differs(&Plain::meant(up_to, path)) {
                    wrong.insert(path.as_slice());
                }
            }
        }
        let gone: Vec<&[u8]> =
            phantoms.iter().filter(|p| !ancestors(p).any(|above| phantoms.contains(above))).copied().collect();
        let above = wrong.iter().chain(&gone).flat_map(|path| ancestors(path));
        let folders: BTreeSet<&[u8]> = above.chain(wrong.iter().copied()).collect();
        let name = |path: &[u8]| if path.is_empty() { b"./".to_vec() } else { [path, b"/"].concat() };
        let folders = folders.into_iter().map(|path| (name(path), Plain::meant(layers, path).mode));
        let whiteouts = gone.iter().map(|path| {
            let (parent, name) = split(path);
            let slash: &[u8] = if parent.is_empty() { b"" } else { b"/" };
            ([parent, slash, b".wh.", name].concat(), 0o755)
        });
        folders.chain(whiteouts).collect()
    }
}

/// One entry of a layer: a path of few names, so that layers meet, and what it is.
fn entry() -> impl Strategy<Value = (String, u32)> {
    let names = prop::collection::vec(prop::sample::select(vec!["a", "b", "a.b", "c"]), 1..4);
    let mode = prop::sample::select(vec![0o755, 0o700, 0o1777]);
    (names, 0..4, mode).prop_map(|(mut names, kind, mode)| {
        let last = names.pop().unwrap();
        let parent: String = names.iter().map(|name| format!("{name}/")).collect();
        match kind {
            0 => (format!("{parent}{last}/"), mode),
            1 => (format!("{parent}.wh.{last}"), 0o644),
            2 => (format!("{parent}.wh..wh..opq"), 0o644),
            // A file whose name no folder has.
            _ => (format!("{parent}{last}/file"), 0o644),
        }
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(120))]

    #[test]
    fn the_stream_decides_as_plain_rules_do(
        stack in prop::collection::vec(prop::collection::vec(entry(), 0..7), 1..9), at_once in 2_usize..9,
    ) {
        let lists: Vec<Vec<u8>> = stack
            .iter()
            .map(|entries| layer(&entries.iter().map(|(path, mode)| (path.as_str(), *mode)).collect::<Vec<_>>()))
            .collect();
        let plain: Vec<Plain> = lists.iter().map(|list| Plain::read(list)).collect();
        let streamed = mended(&lists, at_once);
        let set: BTreeSet<(Vec<u8>, u32)> = streamed.iter().cloned().collect();
        prop_assert_eq!(set.len(), streamed.len(), "something comes twice");
        prop_assert_eq!(set, Plain::mend(&plain));
    }
}
