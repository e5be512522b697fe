use super::*;
use crate::manifest::Blob;
use crate::pipeline::unpacked;
use crate::recipe::TAPE;
use crate::{Digest, Silent};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use std::fs;
use std::io::Read;
use std::os::unix::fs::{PermissionsExt, symlink};

/// A layer on the disk.
struct Layer {
    scratch: tempfile::TempDir,
    id: LayerId,
    record: Record,
    ownership: Ownership,
}

impl Layer {
    fn of(stream: &[u8]) -> Result<Layer> {
        Layer::by(stream, Ownership::Squash)
    }

    fn by(stream: &[u8], ownership: Ownership) -> Result<Layer> {
        let scratch = tempfile::tempdir().unwrap();
        let folder = scratch.path().join("layer");
        fs::create_dir(&folder).unwrap();
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o700)).unwrap();
        let blob = Blob { digest: Digest::of(stream), size: stream.len() as u64 };
        let id = LayerId(blob.digest);
        let record = unpacked(stream, &id, &blob, &folder, ownership, &Default::default())?;
        Ok(Layer { scratch, id, record, ownership })
    }

    fn folder(&self) -> std::path::PathBuf {
        self.scratch.path().join("layer")
    }

    fn at(&self, path: &str) -> std::path::PathBuf {
        self.folder().join(path)
    }

    fn beside(&self, ending: &str) -> std::path::PathBuf {
        beside(&self.folder(), ending)
    }

    fn again(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        Replay::open(&self.folder(), false).unwrap().read_to_end(&mut bytes).unwrap();
        bytes
    }

    fn found(&self) -> Vec<String> {
        check(&self.folder(), &self.id, self.ownership, &self.record, &Silent).unwrap()
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
        keep in any::<bool>(),
        zeros in 0_usize..2500,
    ) {
        let mut stream: Vec<u8> = seeds.iter().flat_map(any_entry).collect();
        // What follows the first block of zeros is nobody's, and still the digest's.
        stream.resize(stream.len() + if zeros < 512 { 0 } else { zeros }, 0);
        // Some of these are refused, which other tests look at.
        let keep = keep && rustix::process::geteuid().is_root();
        let ownership = if keep { Ownership::Keep { set_id: true } } else { Ownership::Squash };
        if let Ok(layer) = Layer::by(&stream, ownership) {
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
    assert_eq!(layer.found(), Vec::<String>::new());
    fs::remove_file(layer.scratch.path().join("layer.kept/2")).unwrap();
    assert!(layer.found().concat().contains("`a` is missing"), "{:?}", layer.found());
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

/// One of each thing that a layer may hold.
fn varied() -> Vec<u8> {
    let note = raw(b'x', b"p", b"", 0, &record("SCHILY.xattr.user.note", b"hello"));
    [
        raw(b'5', b"./", b"", 0o755, b""),
        raw(b'5', b"d/", b"", 0o711, b""),
        raw(b'0', b"d/file", b"", 0o640, &b"content ".repeat(70_000)),
        raw(b'0', b"d/empty", b"", 0o600, b""),
        raw(b'0', b"implied/by/this", b"", 0o600, b"x"),
        raw(b'1', b"d/hard", b"d/file", 0, b""),
        raw(b'2', b"d/link", b"file", 0o777, b""),
        [note.clone(), raw(b'0', b"noted", b"", 0o600, b"x")].concat(),
        [note, raw(b'5', b"noted.d/", b"", 0o700, b"")].concat(),
        old_sparse(b"sparse", &[1, 40, 200]),
        raw(b'0', b"d/.wh.gone", b"", 0, b""),
        raw(b'0', b"noted.d/.wh..wh..opq", b"", 0, b""),
        raw(b'3', b"device", b"", 0o666, b""),
        raw(b'0', b"twice", b"", 0o600, b"one"),
        raw(b'0', b"twice", b"", 0o600, b"two"),
        vec![0; 1024],
        vec![0; 700],
    ]
    .concat()
}

/// Changes a layer, and expects that this is found and said, by one of these words.
#[track_caller]
fn notices(change: impl Fn(&Layer), word: &str) {
    let layer = Layer::of(&varied()).unwrap();
    assert_eq!(layer.found(), Vec::<String>::new());
    change(&layer);
    let found = layer.found();
    assert!(found.iter().any(|what| what.contains(word)), "{word}: {found:?}");
}

/// Writes to a file, and leaves its time as it was.
fn rewrite(path: &Path, offset: u64, bytes: &[u8]) {
    let modified = fs::metadata(path).unwrap().modified().unwrap();
    let file = fs::File::options().write(true).open(path).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, bytes, offset).unwrap();
    file.set_modified(modified).unwrap();
}

fn retime(path: &Path) {
    let file = fs::File::open(path).unwrap();
    file.set_modified(std::time::UNIX_EPOCH + std::time::Duration::from_secs(5)).unwrap();
}

/// Does something in a folder, whose own time stays as it was.
fn within(folder: &Path, change: impl FnOnce()) {
    let modified = fs::metadata(folder).unwrap().modified().unwrap();
    change();
    fs::File::open(folder).unwrap().set_modified(modified).unwrap();
}

#[test]
fn changed_content_is_found_and_named() {
    notices(|l| rewrite(&l.at("d/file"), 300_000, b"C"), "`d/file` has other content");
    notices(|l| rewrite(&l.at("sparse"), 40 * 512, b"D"), "`sparse` has other content");
    notices(|l| rewrite(&l.at("sparse"), 60 * 512, b"D"), "`sparse` has content where it had none");
    notices(|l| rewrite(&l.at("twice"), 0, b"TWO"), "`twice` has other content");
    notices(|l| rewrite(&l.at("d/empty"), 0, b"x"), "`d/empty` has 1 bytes");
    notices(|l| fs::write(l.at("d/file"), "short").unwrap(), "`d/file` is too short");
    notices(
        |l| fs::File::options().append(true).open(l.at("d/file")).unwrap().set_len(600_000).unwrap(),
        "600000 bytes",
    );
    // All of it at once, so that one pull mends all.
    let layer = Layer::of(&varied()).unwrap();
    fs::remove_file(layer.at("noted")).unwrap();
    rewrite(&layer.at("d/file"), 0, b"X");
    rewrite(&layer.at("implied/by/this"), 0, b"X");
    let found = layer.found().join("; ");
    assert!(
        ["`noted` is missing", "`d/file` has", "`implied/by/this` has"].iter().all(|w| found.contains(w)),
        "{found}"
    );
}

#[test]
fn changed_attributes_are_found_and_named() {
    let mode = |path: &'static str, mode: u32| {
        move |l: &Layer| fs::set_permissions(l.at(path), fs::Permissions::from_mode(mode)).unwrap()
    };
    notices(mode("d/file", 0o644), "`d/file` has the mode 0644, and not 0640");
    notices(mode("d/empty", 0o4600), "`d/empty` has the mode 4600");
    notices(mode("d", 0o755), "`d` has the mode 0755, and not 0711");
    notices(mode("implied/by", 0o700), "`implied/by` has the mode 0700");
    notices(mode("", 0o700), "`/` has the mode 0700, and not 0755");
    notices(|l| retime(&l.at("d/file")), "`d/file` was last changed at 5.0");
    notices(|l| retime(&l.at("implied")), "`implied` was last changed at 5.0");
    let set = |path: &'static str, name: &'static str, value: &'static [u8]| {
        move |l: &Layer| rustix::fs::setxattr(l.at(path), name, value, rustix::fs::XattrFlags::empty()).unwrap()
    };
    notices(set("noted", "user.note", b"other"), "`noted` has another value for its attribute `user.note`");
    notices(set("d/file", "user.more", b"x"), "`d/file` has an attribute too many: `user.more`");
    notices(set("d", "user.overlay.opaque", b"y"), "`d` has an attribute too many");
    notices(|l| rustix::fs::removexattr(l.at("noted.d"), "user.note").unwrap(), "`noted.d` has another value");
    notices(|l| rustix::fs::removexattr(l.at("noted.d"), "user.overlay.opaque").unwrap(), "user.overlay.opaque");
    notices(|l| rustix::fs::removexattr(l.at("d"), "user.overlay.origin").unwrap(), "user.overlay.origin");
    if rustix::process::geteuid().is_root() {
        let give = |path: &'static str| move |l: &Layer| std::os::unix::fs::lchown(l.at(path), Some(7), None).unwrap();
        notices(give("d/file"), "`d/file` belongs to user 7");
        notices(give("d/link"), "`d/link` belongs to user 7");
        let layer = Layer::by(&varied(), Ownership::Keep { set_id: false }).unwrap();
        std::os::unix::fs::lchown(layer.at("d"), Some(3), Some(4)).unwrap();
        assert!(layer.found().concat().contains("`d` belongs to 3:4, and not to 0:0"), "{:?}", layer.found());
    }
}

#[test]
fn what_is_gone_or_something_else_is_found_and_named() {
    let remove = |path: &'static str| move |l: &Layer| fs::remove_file(l.at(path)).unwrap();
    notices(remove("d/file"), "`d/file` is missing");
    notices(remove("d/empty"), "`d/empty` is missing");
    notices(remove("d/link"), "`d/link` is missing");
    notices(remove("d/hard"), "`d/hard` is missing");
    notices(remove("d/gone"), "`d/gone` is missing");
    notices(remove("device"), "`device` is missing");
    notices(|l| fs::remove_dir_all(l.at("implied")).unwrap(), "`implied/by` is missing");
    notices(|l| fs::remove_dir_all(l.folder()).unwrap(), "missing");
    notices(
        |l| {
            fs::remove_file(l.at("d/hard")).unwrap();
            fs::copy(l.at("d/file"), l.at("d/hard")).map(drop).unwrap();
        },
        "`d/hard` is not the same file as `d/file`",
    );
    notices(
        |l| {
            fs::remove_file(l.at("d/link")).unwrap();
            symlink("other", l.at("d/link")).unwrap();
        },
        "`d/link` links to somewhere else",
    );
}

#[test]
fn what_is_there_too_is_found() {
    for path in ["more", "d/more", "implied/by/more"] {
        notices(
            |l| {
                let folder = l.at(path).parent().unwrap().to_owned();
                within(&folder, || fs::write(l.at(path), "").unwrap());
            },
            "things, and not",
        );
    }
    notices(|l| within(&l.folder(), || fs::create_dir(l.at("more")).unwrap()), "`/` holds 8 things, and not 7");
    notices(|l| fs::write(l.beside(".kept").join("7"), "").unwrap(), "what was kept for it");
}

#[test]
fn nothing_in_the_place_of_a_file_is_followed_or_waited_for() {
    let outside = tempfile::tempdir().unwrap();
    fs::create_dir_all(outside.path().join("by")).unwrap();
    fs::write(outside.path().join("by/this"), "x").unwrap();
    let replace = |path: &'static str, by: &dyn Fn(&Path)| {
        notices(
            |l| {
                let _ = fs::remove_file(l.at(path)).or_else(|_| fs::remove_dir_all(l.at(path)));
                by(&l.at(path));
            },
            path,
        );
    };
    let pipe = |path: &Path| {
        rustix::fs::mknodat(rustix::fs::CWD, path, FileType::Fifo, rustix::fs::Mode::RUSR, 0).unwrap();
    };
    for path in ["d/file", "d/empty", "d/hard", "d/link", "d/gone", "noted", "sparse"] {
        replace(path, &pipe);
        replace(path, &|path| fs::create_dir(path).unwrap());
        if path != "d/gone" {
            replace(path, &|path| symlink(outside.path().join("by/this"), path).unwrap());
        }
    }
    notices(
        |l| {
            fs::remove_file(l.at("d/gone")).unwrap();
            symlink("file", l.at("d/gone")).unwrap();
        },
        "`d` holds 5 things, and not 4",
    );
    replace("implied", &|path| symlink(outside.path(), path).unwrap());
    notices(
        |l| {
            fs::rename(l.folder(), l.scratch.path().join("moved")).unwrap();
            symlink("moved", l.folder()).unwrap();
        },
        "missing",
    );
    for ending in [TAPE, LIST] {
        notices(
            |l| {
                fs::remove_file(l.beside(ending)).unwrap();
                pipe(&l.beside(ending));
            },
            "its",
        );
    }
}

#[test]
fn damaged_recipes_and_lists_are_found_wherever_they_are_damaged() {
    let layer = Layer::of(&varied()).unwrap();
    let mut silent = 0;
    for ending in [TAPE, LIST] {
        let path = layer.beside(ending);
        let whole = fs::read(&path).unwrap();
        for place in 0..whole.len() {
            let mut bytes = whole.clone();
            bytes[place] ^= 0x20;
            fs::write(&path, &bytes).unwrap();
            // Some bits of a zstd frame say nothing.
            let same = ending == TAPE && zstd::decode_all(&bytes[..]).ok() == zstd::decode_all(&whole[..]).ok();
            assert!(same || !layer.found().is_empty(), "byte {place} of {ending}");
            silent += usize::from(same);
        }
        for cut in (0..whole.len()).step_by(7) {
            fs::write(&path, &whole[..cut]).unwrap();
            assert!(!layer.found().is_empty(), "{ending} cut at {cut}");
        }
        fs::write(&path, [&whole[..], b"more"].concat()).unwrap();
        assert!(!layer.found().is_empty(), "{ending} with more behind it");
        fs::write(&path, &whole).unwrap();
        assert_eq!(layer.found(), Vec::<String>::new());
    }
    assert!(silent < 20, "{silent} bytes say nothing");
    let other = Layer::of(&raw(b'0', b"other", b"", 0o644, b"x")).unwrap();
    fs::copy(other.beside(TAPE), layer.beside(TAPE)).unwrap();
    assert!(!layer.found().is_empty());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn no_recipe_however_wrong_passes_or_panics(
        noise in prop::collection::vec((any::<u16>(), any::<u8>(), 0_u8..4), 1..4),
    ) {
        let layer = Layer::of(&varied()).unwrap();
        let whole = zstd::decode_all(&fs::read(layer.beside(TAPE)).unwrap()[..]).unwrap();
        let mut steps = whole.clone();
        for (place, byte, how) in noise {
            let place = usize::from(place) % steps.len();
            match how {
                0 => steps[place] = byte,
                1 => steps[place] ^= 1 << (byte % 8),
                2 => steps.insert(place, byte),
                _ => drop(steps.remove(place)),
            }
        }
        // The frame is sound: what it says is not.
        fs::write(layer.beside(TAPE), zstd::encode_all(&steps[..], 1).unwrap()).unwrap();
        let found = layer.found();
        prop_assert!(steps == whole || !found.is_empty());
        let mut bytes = Vec::new();
        let read = Replay::open(&layer.folder(), false).and_then(|replay| {
            replay.within(layer.record.tar_bytes).read_to_end(&mut bytes).map_err(|e| Error::io("", e))
        });
        prop_assert!(read.is_err() || bytes.len() as u64 <= layer.record.tar_bytes);
    }
}
