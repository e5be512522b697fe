use super::*;
use crate::layer::{Ownership, unpack};
use crate::recipe::Pen;
use crate::{Digest, beneath};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use std::fs;
use std::io::Read;

/// A layer on the disk.
struct Layer {
    scratch: tempfile::TempDir,
    id: LayerId,
}

impl Layer {
    fn of(stream: &[u8]) -> Result<Layer> {
        let scratch = tempfile::tempdir().unwrap();
        let folder = scratch.path().join("layer");
        fs::create_dir(&folder).unwrap();
        let root = beneath::own_folder(&folder).unwrap();
        unpack(stream, root, Ownership::Squash, Pen::beside(&folder).unwrap(), std::io::sink())?;
        Ok(Layer { scratch, id: LayerId(Digest::of(stream)) })
    }

    fn folder(&self) -> std::path::PathBuf {
        self.scratch.path().join("layer")
    }

    fn again(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        Replay::open(&self.folder(), false).unwrap().read_to_end(&mut bytes).unwrap();
        bytes
    }

    fn found(&self) -> Vec<String> {
        check(&self.folder(), &self.id).unwrap()
    }
}

impl Drop for Layer {
    fn drop(&mut self) {
        // Closed folders are not deleted by a plain removal.
        let parent = beneath::own_folder(self.scratch.path()).unwrap();
        let _ = beneath::delete(std::os::fd::AsFd::as_fd(&parent), "layer".as_ref());
    }
}

fn header(kind: u8, name: &[u8], link: &[u8], mode: u32, size: u64) -> tar::Header {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(tar::EntryType::new(kind));
    header.set_mode(mode);
    header.set_size(size);
    header.as_old_mut().name[..name.len()].copy_from_slice(name);
    header.as_old_mut().linkname[..link.len()].copy_from_slice(link);
    header.set_mtime(1_000_000_000);
    header.set_cksum();
    header
}

fn entry(header: &tar::Header, data: &[u8], padding: u8) -> Vec<u8> {
    let mut bytes = [header.as_bytes().as_slice(), data].concat();
    bytes.resize(bytes.len().next_multiple_of(512), padding);
    bytes
}

fn raw(kind: u8, name: &[u8], link: &[u8], mode: u32, data: &[u8]) -> Vec<u8> {
    entry(&header(kind, name, link, mode, data.len() as u64), data, 0)
}

/// A PAX record with its own length in front.
fn record(key: &str, value: &[u8]) -> Vec<u8> {
    let rest = key.len() + value.len() + 3;
    let length = (rest + 1..).find(|length| rest + length.to_string().len() == *length).unwrap();
    [format!("{length} {key}=").as_bytes(), value, b"\n"].concat()
}

/// A sparse file in the old GNU form: a block of data at each of these blocks, and a hole at its end.
fn old_sparse(name: &[u8], blocks: &[u8]) -> Vec<u8> {
    let mut made = header(b'S', name, b"", 0o640, 512 * blocks.len() as u64);
    let gnu = made.as_gnu_mut().unwrap();
    let extents = blocks.iter().map(|block| (u64::from(*block), 512)).chain([(300, 0)]);
    for (slot, (block, length)) in gnu.sparse.iter_mut().zip(extents) {
        slot.offset.copy_from_slice(format!("{:011o}\0", block * 512).as_bytes());
        slot.numbytes.copy_from_slice(format!("{length:011o}\0").as_bytes());
    }
    gnu.realsize.copy_from_slice(format!("{:011o}\0", 300 * 512).as_bytes());
    made.set_cksum();
    entry(&made, &b"data".repeat(128 * blocks.len()), 0)
}

fn pax_sparse(name: &[u8], data: &[u8]) -> Vec<u8> {
    let records =
        [record("GNU.sparse.major", b"1"), record("GNU.sparse.minor", b"0"), record("GNU.sparse.realsize", b"99999")];
    let mut map = format!("3\n100\n512\n70000\n{}\n99999\n0\n", data.len()).into_bytes();
    map.resize(512, 0);
    map.resize(1024, b'!');
    [raw(b'x', b"p", b"", 0, &records.concat()), raw(b'0', name, b"", 0o644, &[&map, data].concat())].concat()
}

/// One entry from a few random bytes; names are few, so that many are given twice.
fn any_entry((kind, place, data): &(u8, u8, Vec<u8>)) -> Vec<u8> {
    let name = [&[b'n', b'a' + place % 8][..], if place % 16 < 8 { b"" } else { b"\xff/\\x" }].concat();
    let target = [b'n', b'a' + place % 7];
    // Only root reads what nobody may; `with_image_rights` makes everybody it.
    let shut = if rustix::process::geteuid().is_root() { 0 } else { 0o600 };
    let mode = [0o644, shut, 0o4711, 0o400][usize::from(place / 16 % 4)];
    match kind % 14 {
        0..=2 => raw(b'0', &name, b"", mode, data),
        3 => entry(&header(b'0', &name, b"", mode, data.len() as u64), data, 7),
        4 => raw(b'5', &name, b"", 0o711, b""),
        5 => raw(b'2', &name, data, 0o777, b""),
        6 => raw(b'1', &name, &target, 0, b""),
        7 => old_sparse(&name, &[place % 16, 40, 200]),
        8 => pax_sparse(&name, data),
        9 => {
            let long = [&b"long/"[..], &data.repeat(3).iter().map(|b| b'a' + b % 26).collect::<Vec<_>>()].concat();
            [raw(b'L', b"././@LongLink", b"", 0, &[&long[..], b"\0"].concat()), raw(b'0', b"x", b"", mode, data)]
                .concat()
        }
        10 => {
            let named = record("path", &[&b"pax/"[..], &name].concat());
            let note = record("SCHILY.xattr.user.note", data);
            [
                raw(b'x', b"p", b"", 0, &[named, note, record("mtime", b"12345.678")].concat()),
                raw(b'0', b"x", b"", 0o600, data),
            ]
            .concat()
        }
        11 => raw(b'3', &name, b"", 0o666, b""),
        12 => raw(b'0', &[b"d/.wh.", &name[..2]].concat(), b"", 0, b""),
        _ => raw(b'g', b"g", b"", 0, &record("comment", data)),
    }
}

fn text() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(any::<u8>().prop_map(|b| b.max(1)), 1..90)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn what_was_unpacked_makes_the_same_bytes_again(
        seeds in prop::collection::vec((any::<u8>(), any::<u8>(), text()), 0..16),
        zeros in 0_usize..2500,
    ) {
        let mut stream: Vec<u8> = seeds.iter().flat_map(any_entry).collect();
        // What follows the first block of zeros is nobody's, and still the digest's.
        stream.resize(stream.len() + if zeros < 512 { 0 } else { zeros }, 0);
        // Some of these are refused, which other tests look at.
        if let Ok(layer) = Layer::of(&stream) {
            prop_assert!(layer.again() == stream);
            prop_assert_eq!(layer.found(), Vec::<String>::new());
        }
    }
}

#[test]
fn most_random_archives_are_taken() {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let seeds = prop::collection::vec((any::<u8>(), any::<u8>(), text()), 0..16);
    let taken = (0..60).filter(|_| {
        let made = seeds.new_tree(&mut runner).unwrap().current();
        Layer::of(&made.iter().flat_map(any_entry).collect::<Vec<u8>>()).is_ok()
    });
    assert!(taken.count() > 20, "the test above tries too little");
}

#[test]
fn what_is_replaced_within_a_layer_is_kept_for_its_stream() {
    let file = |name: &str, data: &str| raw(b'0', name.as_bytes(), b"", 0o644, data.as_bytes());
    let stream = [
        file("a", "first"),
        raw(b'1', b"b", b"a", 0, b""),
        file("a", "second"),
        raw(b'2', b"b", b"a", 0o777, b""),
        raw(b'5', b"a/", b"", 0o755, b""),
        file("a/b", "third"),
        raw(b'6', b"a/b", b"", 0o644, b""),
    ];
    let layer = Layer::of(&stream.concat()).unwrap();
    assert!(layer.again() == stream.concat());
    assert_eq!(fs::read_dir(layer.scratch.path().join("layer.kept")).unwrap().count(), 4);
    fs::write(layer.scratch.path().join("layer.kept/1"), "other").unwrap();
    assert!(layer.found().concat().contains("`a`"), "{:?}", layer.found());
}

#[test]
fn a_recipe_is_small_beside_its_layer() {
    let mut stream = Vec::new();
    for n in 0..2000 {
        stream.extend(raw(b'0', format!("usr/lib/package/file{n}").as_bytes(), b"", 0o644, &[n as u8; 700]));
    }
    let layer = Layer::of(&stream).unwrap();
    let size = fs::metadata(layer.scratch.path().join("layer.tape")).unwrap().len();
    assert!(size < stream.len() as u64 / 30, "{size} of {}", stream.len());
}
