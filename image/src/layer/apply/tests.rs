mod honest;

use super::super::list;
use super::*;
use crate::{Kind, limits};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::Command;
use tar::EntryType;

/// Builds archives that honest tools would not.
#[derive(Default)]
struct Archive(Vec<u8>);

impl Archive {
    fn raw(mut self, kind: u8, name: &[u8], link: &[u8], mode: u32, data: &[u8]) -> Self {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(EntryType::new(kind));
        header.set_mode(mode);
        header.set_size(data.len() as u64);
        (header.as_old_mut().name[..name.len()]).copy_from_slice(name);
        (header.as_old_mut().linkname[..link.len()]).copy_from_slice(link);
        header.set_mtime(1_000_000_000);
        header.set_cksum();
        self.0.extend_from_slice(header.as_bytes());
        self.0.extend_from_slice(data);
        self.0.resize(self.0.len().next_multiple_of(512), 0);
        self
    }

    fn file(self, name: &str, data: &str) -> Self {
        self.raw(b'0', name.as_bytes(), b"", 0o644, data.as_bytes())
    }

    fn folder(self, name: &str, mode: u32) -> Self {
        self.raw(b'5', name.as_bytes(), b"", mode, b"")
    }

    fn link(self, kind: u8, name: &str, target: &str) -> Self {
        self.raw(kind, name.as_bytes(), target.as_bytes(), 0o777, b"")
    }

    fn unpack(&self) -> Result<(tempfile::TempDir, Record)> {
        self.unpack_as(Ownership::Squash)
    }

    fn unpack_as(&self, ownership: Ownership) -> Result<(tempfile::TempDir, Record)> {
        self.unpack_within(Budget::FULL, ownership)
    }

    fn unpack_within(&self, budget: Budget, ownership: Ownership) -> Result<(tempfile::TempDir, Record)> {
        let scratch = tempfile::tempdir().unwrap();
        fs::create_dir(scratch.path().join("layer")).unwrap();
        fs::set_permissions(scratch.path().join("layer"), fs::Permissions::from_mode(0o700)).unwrap();
        let root = beneath::own_folder(&scratch.path().join("layer")).unwrap();
        let recipe = Pen::beside(&scratch.path().join("layer")).unwrap();
        let record = unpack_within(budget, &self.0[..], root, ownership, recipe, std::io::sink());
        let named = |entry: fs::DirEntry| entry.file_name().into_string().unwrap();
        let others = fs::read_dir(scratch.path()).unwrap().map(|entry| named(entry.unwrap()));
        let ours = ["layer", "layer.tape", "layer.kept"];
        assert!(others.into_iter().all(|name| ours.contains(&&*name)), "something was written outside of the layer");
        record.map(|record| (scratch, record))
    }

    #[track_caller]
    fn refused(&self, kind: Kind) {
        assert_eq!(self.unpack().map(|_| ()).unwrap_err().kind, kind);
    }
}

/// The layer's list of folders and whiteouts.
fn listed(archive: &Archive) -> Vec<list::Item> {
    let scratch = tempfile::tempdir().unwrap();
    let folder = scratch.path().join("layer");
    fs::create_dir(&folder).unwrap();
    let root = beneath::own_folder(&folder).unwrap();
    let (recipe, mut bytes) = (Pen::beside(&folder).unwrap(), Vec::new());
    unpack(&archive.0[..], root, Ownership::Squash, recipe, &mut bytes, &Arc::default()).unwrap();
    let mut list = list::Reader::new(&bytes[..]).unwrap();
    let mut items = Vec::new();
    while list.advance().unwrap() {
        items.push(list.item.clone());
    }
    items
}

fn new() -> Archive {
    Archive::default()
}

fn at(unpacked: &tempfile::TempDir, path: &str) -> std::path::PathBuf {
    unpacked.path().join("layer").join(path)
}

#[test]
fn names_that_climb_are_refused_and_absolute_ones_stay_inside() {
    for name in ["../out", "a/../../out", "..", "/../out", "a/.."] {
        new().file(name, "x").refused(Kind::Hostile);
        new().link(b'2', name, "/etc").refused(Kind::Hostile);
    }
    let (made, _) = new().file("/etc/passwd", "inside").unpack().unwrap();
    assert_eq!(fs::read_to_string(at(&made, "etc/passwd")).unwrap(), "inside");
}

#[test]
fn no_entry_passes_through_a_link_of_the_same_layer() {
    for target in ["/etc", "..", "real", "."] {
        new().folder("real/", 0o755).link(b'2', "a", target).file("a/out", "x").refused(Kind::Hostile);
        new().folder("real/", 0o755).link(b'2', "a", target).folder("a/b/", 0o755).refused(Kind::Hostile);
        new().link(b'2', "a", target).file("a/b/c/d", "x").refused(Kind::Hostile);
        new().file("f", "").link(b'2', "a", target).link(b'1', "a/hard", "f").refused(Kind::Hostile);
        new().link(b'2', "a", target).file("a/.wh.passwd", "").refused(Kind::Hostile);
        new().link(b'2', "a", target).file("a/.wh..wh..opq", "").refused(Kind::Hostile);
    }
    new().file("a", "").file("a/b", "x").refused(Kind::Hostile);
}

#[test]
fn a_link_that_a_file_replaces_is_not_written_through() {
    let (made, _) = new().file("real", "old").link(b'2', "a", "real").file("a", "new").unpack().unwrap();
    assert_eq!(fs::read_to_string(at(&made, "real")).unwrap(), "old");
    assert_eq!(fs::read_to_string(at(&made, "a")).unwrap(), "new");
    let (made, _) = new().folder("real/", 0o755).link(b'2', "a", "real").folder("a/", 0o700).unpack().unwrap();
    assert!(!at(&made, "a").is_symlink());
    assert_eq!(fs::metadata(at(&made, "real")).unwrap().mode() & 0o777, 0o755);
}

#[test]
fn a_file_that_replaces_a_hard_link_leaves_the_other_name_alone() {
    let (made, _) = new().file("a", "one").link(b'1', "b", "a").file("b", "two").unpack().unwrap();
    assert_eq!(fs::read_to_string(at(&made, "a")).unwrap(), "one");
}

#[test]
fn hard_links_stay_inside_the_layer() {
    let target = tempfile::NamedTempFile::new().unwrap();
    new().link(b'1', "a", target.path().to_str().unwrap()).refused(Kind::Hostile);
    new().link(b'1', "a", "../layer").refused(Kind::Hostile);
    new().link(b'1', "a", "missing").refused(Kind::Hostile);
    new().folder("d/", 0o755).link(b'1', "a", "d").refused(Kind::Hostile);
    new().link(b'1', "a", ".").refused(Kind::Hostile);
    new().link(b'2', "s", "/etc").link(b'1', "a", "s/passwd").refused(Kind::Hostile);
    new().file("a", "").link(b'1', "a", "a").refused(Kind::Hostile);
    let (made, _) = new()
        .file("d/a", "x")
        .link(b'1', "b", "./d/a")
        .link(b'2', "s", "/etc/passwd")
        .link(b'1', "t", "s")
        .unpack()
        .unwrap();
    let inode = |path: &str| fs::symlink_metadata(at(&made, path)).unwrap().ino();
    assert_eq!(inode("d/a"), inode("b"));
    assert_eq!(inode("s"), inode("t"));
    assert!(at(&made, "t").is_symlink());
}

#[test]
fn devices_fifos_and_sockets_are_recorded_and_not_made() {
    let archive = new().raw(b'3', b"dev/null", b"", 0o666, b"").raw(b'4', b"dev/sda", b"", 0o660, b"");
    let archive = archive.raw(b'6', b"pipe", b"", 0o622, b"").link(b'1', "again", "pipe");
    let (made, record) = archive.unpack().unwrap();
    let kinds = ["character device", "block device", "fifo"];
    let listed: Vec<(String, &str)> = listed(&archive)
        .into_iter()
        .filter_map(|item| {
            let kind = usize::try_from(item.marks >> list::LEFT_OUT_SHIFT).unwrap().checked_sub(1)?;
            assert!(item.has(list::HIDDEN));
            Some((String::from_utf8(item.path).unwrap(), kinds[kind]))
        })
        .collect();
    let expected = [("again", "fifo"), ("dev/null", "character device"), ("dev/sda", "block device"), ("pipe", "fifo")];
    assert_eq!(listed, expected.map(|(path, kind)| (path.to_owned(), kind)));
    assert_eq!(record.left_out, 4);
    for (path, _) in expected {
        let there = fs::symlink_metadata(at(&made, path)).unwrap();
        assert!(there.file_type().is_char_device() && there.rdev() == 0, "{path} is no whiteout");
    }
}

#[test]
fn whiteouts_take_the_form_that_overlayfs_reads() {
    let archive = new().file("a/.wh.gone", "").file("b/.wh..wh..opq", "").folder("c/new/", 0o755).file("c/.wh.new", "");
    let (made, _) = archive.file("d/.wh.f", "").file("d/f", "mine").file(".wh..wh.plnk", "").unpack().unwrap();
    let gone = fs::symlink_metadata(at(&made, "a/gone")).unwrap();
    assert!(gone.file_type().is_char_device() && gone.rdev() == 0);
    let mark = |path: &str, name: &str| {
        let mut value = [0_u8; 8];
        rustix::fs::getxattr(at(&made, path), name, &mut value).ok().map(|n| value[..n].to_vec())
    };
    assert_eq!(mark("a", "user.overlay.origin").unwrap(), b"");
    assert_eq!(mark("b", "user.overlay.opaque").unwrap(), b"y");
    // A folder that replaces one of a lower layer shows nothing of it.
    assert_eq!(mark("c/new", "user.overlay.opaque").unwrap(), b"y");
    assert_eq!((mark("a", "user.overlay.opaque"), mark("d", "user.overlay.opaque")), (None, None));
    assert_eq!(fs::read_to_string(at(&made, "d/f")).unwrap(), "mine");
    assert_eq!(fs::read_dir(at(&made, "")).unwrap().count(), 4);
}

#[test]
fn whiteouts_with_no_meaning_are_refused() {
    for name in [".wh.", "a/.wh..", "a/.wh...", ".wh.a/b"] {
        new().file(name, "").refused(Kind::Hostile);
    }
    new().folder(".wh.a/", 0o755).refused(Kind::Hostile);
}

#[test]
fn closed_folders_are_filled_before_they_close() {
    let archive = new().folder("./", 0o555).folder("shut/", 0).folder("shut/in/", 0).file("shut/in/file", "x");
    let (made, record) = archive.file("shut/late", "y").unpack().unwrap();
    let mode = |path: &str| fs::symlink_metadata(at(&made, path)).unwrap().mode() & 0o7777;
    assert_eq!((mode(""), mode("shut")), (0o555, 0));
    fs::set_permissions(at(&made, "shut"), fs::Permissions::from_mode(0o700)).unwrap();
    assert_eq!(mode("shut/in"), 0);
    assert_eq!(fs::read_to_string(at(&made, "shut/late")).unwrap(), "y");
    assert_eq!((record.bytes, record.entries), (2, 5));
    assert_eq!(fs::metadata(at(&made, "shut")).unwrap().mtime(), 1_000_000_000);
    let parent = beneath::own_folder(made.path()).unwrap();
    beneath::delete(parent.as_fd(), OsStr::new("layer")).unwrap();
}

#[test]
fn set_id_bits_do_not_reach_the_host() {
    let archive = new().raw(b'0', b"su", b"", 0o6755, b"x").folder("d/", 0o7777);
    let (made, _) = archive.unpack().unwrap();
    let mode = |path: &str| fs::metadata(at(&made, path)).unwrap().mode() & 0o7777;
    assert_eq!((mode("su"), mode("d")), (0o755, 0o1777));
}

#[test]
fn modes_are_right_whatever_new_files_get_by_themselves() {
    let modes = [0, 0o444, 0o600, 0o666, 0o777, 0o1755, 0o2755, 0o4755];
    let mut archive = new();
    for mode in modes {
        archive = archive.raw(b'0', format!("plain{mode:o}").as_bytes(), b"", mode, b"x");
        archive = archive.raw(b'x', b"pax", b"", 0, b"32 SCHILY.xattr.user.note=hello\n");
        archive = archive.raw(b'0', format!("noted{mode:o}").as_bytes(), b"", mode, b"x");
    }
    let (made, _) = archive.unpack().unwrap();
    for mode in modes {
        for name in ["plain", "noted"] {
            let found = fs::symlink_metadata(at(&made, &format!("{name}{mode:o}"))).unwrap();
            assert_eq!((found.mode() & 0o7777, found.mtime()), (mode & 0o1777, 1_000_000_000), "{name}{mode:o}");
        }
    }
    let mut value = [0; 8];
    fs::set_permissions(at(&made, "noted0"), fs::Permissions::from_mode(0o600)).unwrap();
    assert_eq!(rustix::fs::getxattr(at(&made, "noted0"), "user.note", &mut value), Ok(5));
    if rustix::process::geteuid().is_root() {
        // The folder hands its group on, and the entries want none of it.
        let scratch = tempfile::tempdir().unwrap();
        let folder = scratch.path().join("layer");
        fs::create_dir(&folder).unwrap();
        std::os::unix::fs::chown(&folder, None, Some(1234)).unwrap();
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o2700)).unwrap();
        let root = beneath::own_folder(&folder).unwrap();
        let (keep, pen) = (Ownership::Keep { set_id: true }, Pen::beside(&folder).unwrap());
        unpack_within(Budget::FULL, &archive.0[..], root, keep, pen, std::io::sink()).unwrap();
        for mode in modes {
            let found = fs::symlink_metadata(folder.join(format!("plain{mode:o}"))).unwrap();
            assert_eq!((found.mode() & 0o7777, found.uid(), found.gid()), (mode & 0o1777, 0, 0), "{mode:o}");
        }
    }
}

/// A file capability (`cap_net_raw`, permitted and effective) of the form that names no namespace.
const PLAIN: [u8; 20] = [1, 0, 0, 2, 0, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];

#[test]
fn set_id_bits_are_kept_only_where_no_id_of_the_host_is_lent() {
    let mode = |ownership: Ownership, uid, gid| ownership.mode(0o7755, uid, gid);
    let keep = Ownership::Keep { set_id: true };
    assert_eq!((mode(keep, 0, 0), mode(keep, 7, 0)), (0o1755, 0o5755));
    assert_eq!((mode(keep, 0, 7), mode(keep, 7, 7)), (0o3755, 0o7755));
    for ownership in [Ownership::Squash, Ownership::Keep { set_id: false }] {
        assert_eq!(mode(ownership, 7, 7), 0o1755);
    }
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let archive = new().raw(b'0', b"root", b"", 0o6755, b"x").raw(b'x', b"p", b"", 0, b"12 uid=1234\n12 gid=4321\n");
    let archive = archive.raw(b'0', b"app", b"", 0o6755, b"x");
    for (ownership, kept) in [(keep, 0o6755), (Ownership::Keep { set_id: false }, 0o755)] {
        let (made, _) = archive.unpack_as(ownership).unwrap();
        let mode = |path: &str| fs::metadata(at(&made, path)).unwrap().mode() & 0o7777;
        assert_eq!((mode("root"), mode("app")), (0o755, kept));
    }
}

#[test]
fn marks_that_steer_overlay_mounts_are_not_taken_from_the_image() {
    for (name, taken) in [
        (&b"user.note"[..], true),
        (b"user.overlay.opaque", false),
        (b"user.overlay.redirect", false),
        (b"user.fuseoverlayfs.opaque", false),
        (b"trusted.overlay.opaque", false),
        (b"security.capability", false),
        (b"security.selinux", false),
        (b"system.posix_acl_access", false),
    ] {
        assert_eq!(Ownership::Squash.takes(name, &[0; 20]), taken);
        assert_eq!(Ownership::Keep { set_id: false }.takes(name, &PLAIN), taken);
    }
    let keeps = |value: &[u8]| Ownership::Keep { set_id: true }.takes(b"security.capability", value);
    // Not those of the first form, nor those that name a namespace.
    assert!(keeps(&PLAIN) && !keeps(&[0; 12]) && !keeps(&[0, 0, 0, 3].repeat(6)) && !keeps(b""));
    let record = b"35 SCHILY.xattr.user.overlay.opaque=y\n";
    let record = [format!("{} ", record.len()).as_bytes(), &record[3..]].concat();
    let note = b"30 SCHILY.xattr.user.note=hello\n";
    let note = [format!("{} ", note.len()).as_bytes(), &note[3..]].concat();
    let (made, _) = new().raw(b'x', b"p", b"", 0, &[record, note].concat()).folder("d/", 0o755).unpack().unwrap();
    let mut value = [0_u8; 8];
    assert!(rustix::fs::getxattr(at(&made, "d"), "user.overlay.opaque", &mut value).is_err());
    assert_eq!(rustix::fs::getxattr(at(&made, "d"), "user.note", &mut value), Ok(5));
}

#[test]
fn depth_and_names_are_bounded() {
    let deep = format!("{}f", "d/".repeat(limits::DEPTH));
    let record = |key: &str, value: &str| {
        let mut length = key.len() + value.len() + 3;
        length += length.to_string().len();
        length += usize::from((length).to_string().len() > (length - 1).to_string().len());
        let text = format!("{length} {key}={value}\n");
        assert_eq!(text.len(), length);
        text
    };
    let named = |path: &str| new().raw(b'x', b"p", b"", 0, record("path", path).as_bytes()).file("x", "");
    named(&deep).refused(Kind::Limit);
    named(&"n".repeat(limits::NAME_BYTES + 1)).refused(Kind::Limit);
    named(&deep[2..]).unpack().unwrap();
    let target = record("linkpath", &"t".repeat(limits::PATH_BYTES + 1));
    new().raw(b'x', b"p", b"", 0, target.as_bytes()).link(b'2', "s", "x").refused(Kind::Limit);
}

#[test]
fn folders_and_files_replace_each_other_only_where_nothing_is_lost() {
    let (made, _) = new().folder("a/", 0o755).file("a", "file now").unpack().unwrap();
    assert!(at(&made, "a").is_file());
    let (made, _) = new().file("a", "").folder("a/", 0o755).file("a/b", "x").unpack().unwrap();
    assert!(at(&made, "a/b").is_file());
    new().file("a/b", "").file("a", "").refused(Kind::Hostile);
    new().raw(b'0', b"./", b"", 0o644, b"").refused(Kind::Hostile);
    let (made, _) = new().raw(b'3', b"a", b"", 0, b"").file("a/b", "x").unpack().unwrap();
    assert!(at(&made, "a/b").is_file());
}

#[test]
fn every_inode_counts_whoever_asked_for_it() {
    let mut archive = new().link(b'2', "s", "x").file("gone/.wh.f", "").raw(b'6', b"odd/pipe", b"", 0, b"");
    for n in 0..20 {
        archive = archive.file(&format!("{n}/{}f", "a/".repeat(20)), "xy");
    }
    let (made, record) = archive.unpack().unwrap();
    let inodes = seen(&at(&made, "")).len() as u64 - 1;
    // A link, two whiteouts and their folders, 20 files and 21 folders above each.
    assert_eq!(inodes, 1 + 4 + 20 * 22);
    assert_eq!((record.bytes, record.charge()), (40, 40 + record.recipe + inodes * limits::INODE_BYTES));
    let full = Budget::FULL;
    let within = |budget: Budget| archive.unpack_within(budget, Ownership::Squash).map(|_| ());
    within(Budget { inodes, bytes: record.charge(), ..full }).unwrap();
    let bytes = record.charge() - 1;
    for small in [Budget { inodes: inodes - 1, ..full }, Budget { bytes, ..full }] {
        assert_eq!(within(small).unwrap_err().kind, Kind::Limit);
    }
}

#[test]
fn what_waits_in_memory_is_bounded() {
    // Room for one piece of nodes, of names, and of the table.
    let tight = Budget { held: 45 << 10, ..Budget::FULL };
    let refused = |archive: Archive| {
        archive.unpack().unwrap();
        let error = archive.unpack_within(tight, Ownership::Squash).map(|_| ()).unwrap_err();
        assert!(error.kind == Kind::Limit && error.what.contains("46080 bytes"), "{error}");
    };
    let many = |of: fn(Archive, &str) -> Archive| (0..1100).fold(new(), |archive, n| of(archive, &format!("{n}")));
    refused(many(|archive, name| archive.folder(&format!("{name}/"), 0o755)));
    refused(many(|archive, name| archive.file(&format!("{name}/f"), "")));
    refused(many(|archive, name| archive.file(&format!(".wh.{name}"), "")));
    refused(many(|archive, name| archive.raw(b'6', name.as_bytes(), b"", 0, b"")));
    refused((0..200).fold(new(), |archive, n| archive.folder(&format!("{n:0>90}/"), 0o755)));
    // What is only made, or comes again and again, needs no memory.
    let files = many(|archive, name| archive.file(name, "").folder("again/", 0o700).file(".wh.again", ""));
    files.unpack_within(tight, Ownership::Squash).unwrap();
    // Attributes wait on the disk, and are bounded there.
    let note = format!("127 SCHILY.xattr.user.note={}\n", "v".repeat(99));
    assert_eq!(note.len(), 127);
    let noted = (0..300).fold(new(), |archive, _| archive.raw(b'x', b"p", b"", 0, note.as_bytes()).folder("d/", 0o755));
    let (made, _) = noted.unpack_within(tight, Ownership::Squash).unwrap();
    let mut value = [0_u8; 128];
    assert_eq!(rustix::fs::getxattr(at(&made, "d"), "user.note", &mut value), Ok(99));
    let small = Budget { bytes: 300 * 100, ..tight };
    assert_eq!(noted.unpack_within(small, Ownership::Squash).map(|_| ()).unwrap_err().kind, Kind::Limit);
}

#[test]
fn a_whiteout_below_a_folder_that_goes_itself_says_nothing_more() {
    let (made, _) =
        new().file("a/.wh.b", "").file(".wh.a", "").file("c/d/.wh.e", "").file(".wh.c", "").unpack().unwrap();
    let names: Vec<_> = fs::read_dir(at(&made, "")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names.len(), 2);
    for name in names {
        assert!(fs::symlink_metadata(at(&made, name.to_str().unwrap())).unwrap().file_type().is_char_device());
    }
    new().raw(b'3', b"a", b"", 0, b"").file("a/.wh.b", "").file(".wh.a", "").refused(Kind::Hostile);
    new().file("a", "").file("a/.wh.b", "").refused(Kind::Hostile);
}

/// A tree of files, folders and links for `tar` to pack.
fn plant(root: &Path, seeds: &[(u8, u8, Vec<u8>)]) {
    let mut folders = vec![root.to_owned()];
    let mut files = Vec::new();
    for (n, (kind, place, data)) in seeds.iter().enumerate() {
        let parent = &folders[usize::from(*place) % folders.len()];
        let long = "long".repeat(usize::from(*place) % 50);
        let path = parent.join(format!("{n}-{}é {long}", kind % 6));
        match kind % 6 {
            0 | 1 => {
                fs::write(&path, data.repeat(1 + usize::from(*place) * 40)).unwrap();
                fs::set_permissions(&path, fs::Permissions::from_mode(0o400 | u32::from(*place) & 0o377)).unwrap();
                files.push(path);
            }
            2 => {
                fs::create_dir(&path).unwrap();
                folders.push(path);
            }
            3 => std::os::unix::fs::symlink(format!("../{n}/{long}"), &path).unwrap(),
            4 => {
                let file = fs::File::create(&path).unwrap();
                file.set_len(1 << 20).unwrap();
                std::os::unix::fs::FileExt::write_at(&file, data, u64::from(*place) << 12).unwrap();
            }
            _ => drop(files.last().map(|file| fs::hard_link(file, &path).unwrap())),
        }
    }
}

/// Mode, time, number of names and content, by path.
type Seen = BTreeMap<std::path::PathBuf, (u32, i64, u64, Vec<u8>)>;

/// All that should survive.
fn seen(root: &Path) -> Seen {
    let mut all = BTreeMap::new();
    let mut todo = vec![root.to_owned()];
    while let Some(path) = todo.pop() {
        let meta = fs::symlink_metadata(&path).unwrap();
        let content = if meta.is_dir() {
            todo.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
            Vec::new()
        } else if meta.is_symlink() {
            fs::read_link(&path).unwrap().into_os_string().into_encoded_bytes()
        } else if meta.is_file() {
            fs::read(&path).unwrap()
        } else {
            Vec::new()
        };
        let links = if meta.is_dir() { 0 } else { meta.nlink() };
        all.insert(path.strip_prefix(root).unwrap().to_owned(), (meta.mode() & !0o6000, meta.mtime(), links, content));
    }
    all
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn what_the_systems_tar_packs_is_unpacked_the_same(
        seeds in prop::collection::vec((any::<u8>(), any::<u8>(), prop::collection::vec(any::<u8>(), 1..64)), 0..24),
        format in prop::sample::select(vec![&["--format=gnu"][..], &["--format=posix"], &["--format=gnu", "-S"],
            &["--format=posix", "-S", "--sparse-version=1.0"], &["--format=posix", "-S", "--sparse-version=0.1"],
            &["--format=posix", "-S", "--sparse-version=0.0"]]),
    ) {
        let planted = tempfile::tempdir().unwrap();
        plant(planted.path(), &seeds);
        let packed = Command::new("tar").args(format).args(["-C", planted.path().to_str().unwrap(), "-cf", "-", "."]).output();
        let packed = packed.expect("the system's tar is needed");
        prop_assert!(packed.status.success());
        let (made, _) = Archive(packed.stdout).unpack().unwrap();
        prop_assert_eq!(seen(planted.path()), seen(&at(&made, "")));
    }

    #[test]
    fn no_bytes_lead_outside_or_panic(noise in prop::collection::vec((any::<u16>(), any::<u8>()), 1..12)) {
        let mut archive = new().folder("d/", 0o755).file("d/f", "data").link(b'2', "d/s", "/etc").link(b'1', "h", "d/f");
        for (place, byte) in noise {
            let place = usize::from(place) % archive.0.len();
            archive.0[place] = byte;
        }
        // Wrong checksums would hide everything behind them from this test.
        for start in (0..archive.0.len()).step_by(512) {
            let mut header = tar::Header::from_byte_slice(&archive.0[start..start + 512]).clone();
            if header.as_bytes()[257..262] == *b"ustar" {
                header.set_cksum();
                archive.0[start..start + 512].copy_from_slice(header.as_bytes());
            }
        }
        let _ = archive.unpack();
    }
}

#[test]
fn what_is_no_file_counts_too() {
    // Bytes that do not compress, in a comment on the archive.
    let mut noise = 1_u64;
    let mut comment = b"600000 comment=".to_vec();
    comment.resize_with(599_999, || {
        noise = noise.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (noise >> 56) as u8
    });
    comment.push(b'\n');
    let archive = new().raw(b'g', b"g", b"", 0, &comment).file("a", "x");
    let (_, record) = archive.unpack().unwrap();
    assert!(record.recipe > 500_000 && record.charge() > record.recipe, "{record:?}");
    for room in [100_000, record.charge() - 1] {
        let error = archive.unpack_within(Budget { bytes: room, ..Budget::FULL }, Ownership::Squash).map(|_| ());
        assert_eq!(error.unwrap_err().kind, Kind::Limit);
    }
    archive.unpack_within(Budget { bytes: record.charge(), ..Budget::FULL }, Ownership::Squash).unwrap();
}

/// What umoci makes of the same stream as the only layer of an image; nothing where there is no umoci.
fn by_umoci(archive: &Archive) -> Option<Seen> {
    let scratch = tempfile::tempdir().unwrap();
    fs::write(scratch.path().join("layer.tar"), [&archive.0[..], &[0; 1024]].concat()).unwrap();
    for step in [
        "init --layout l",
        "new --image l:t",
        "raw add-layer --image l:t layer.tar",
        "raw unpack --rootless --image l:t root",
    ] {
        let done = Command::new("umoci").args(step.split(' ')).current_dir(scratch.path()).output().ok()?;
        assert!(done.status.success(), "umoci {step}: {}", String::from_utf8_lossy(&done.stderr));
    }
    Some(seen(&scratch.path().join("root")))
}

/// Entries of one name, or of what lies beside and in it: `d711` is a folder, `f1` a file, `s` a symbolic
/// link, `h` a hard link to another file; `+in` and `+other` are files in it and beside it.
fn sequence(archive: Archive, name: &str, steps: &str) -> Archive {
    let (inside, other) = (format!("{name}/in"), format!("{name}-other"));
    steps.split(' ').fold(archive, |archive, step| match step {
        "+in" => archive.file(&inside, "x"),
        "+other" => archive.file(&other, "y"),
        "+link" => archive.link(b'2', &other, "/etc"),
        "s" => archive.link(b'2', name, &other),
        "h" => archive.link(b'1', name, &other),
        step => match step.split_at(1) {
            ("d", mode) => archive.folder(&format!("{name}/"), u32::from_str_radix(mode, 8).unwrap()),
            (_, text) => archive.file(name, text),
        },
    })
}

#[test]
fn sequences_of_one_name_end_as_in_other_unpackers() {
    let taken =
        ["d700 f1 d711", "f1 d711 f2", "d700 d711", "f1 s f2", "s d711 +in", "+other h d711", "+link h", "+link h f1"];
    let archive = taken.iter().enumerate().fold(new(), |archive, (n, steps)| sequence(archive, &format!("{n}"), steps));
    let (made, _) = archive.unpack().unwrap();
    let kinds: String = (0..taken.len())
        .map(|n| {
            let found = fs::symlink_metadata(at(&made, &format!("{n}"))).unwrap();
            if found.is_dir() {
                'd'
            } else if found.is_symlink() {
                's'
            } else {
                'f'
            }
        })
        .collect();
    assert_eq!(kinds, "dfdfddsf");
    if let Some(theirs) = by_umoci(&archive) {
        let plain = |tree: Seen| -> BTreeMap<_, _> {
            // The root is stated by nobody; what is replaced is kept beside the layer, and still counts as a name.
            let all = tree.into_iter().filter(|(path, _)| !path.as_os_str().is_empty());
            all.map(|(path, (mode, mtime, _, content))| (path, (mode, mtime, content))).collect()
        };
        assert_eq!(plain(seen(&at(&made, ""))), plain(theirs));
    }
    // A hard link before its target, and what would be lost with its folder.
    for steps in ["h +other", "+in f1", "+in s", "+other +in h", "d700 +in f1 d711"] {
        let refused = sequence(new(), "a", steps).unpack().map(|_| ());
        assert!(refused.is_err_and(|error| error.kind == Kind::Hostile), "`{steps}` was taken");
    }
}

#[test]
fn links_to_what_is_not_made_stay_with_it() {
    // A device replaced by a file is a file from then on, and links to it are.
    let archive =
        new().raw(b'3', b"d", b"", 0o600, b"").link(b'1', "before", "d").file("d", "x").link(b'1', "after", "d");
    let (made, record) = archive.unpack().unwrap();
    assert!(fs::symlink_metadata(at(&made, "before")).unwrap().file_type().is_char_device());
    assert_eq!(fs::read_to_string(at(&made, "after")).unwrap(), "x");
    assert_eq!(record.left_out, 1);
    // The other way round: what was a file is not there any more.
    let (made, record) =
        new().file("d", "x").link(b'1', "kept", "d").raw(b'6', b"d", b"", 0o600, b"").unpack().unwrap();
    assert_eq!((record.left_out, fs::read_to_string(at(&made, "kept")).unwrap()), (1, "x".to_owned()));
    assert!(fs::symlink_metadata(at(&made, "d")).unwrap().file_type().is_char_device());
    new().file("a/f", "x").raw(b'3', b"a", b"", 0o600, b"").refused(Kind::Hostile);
}

fn pax(key: &str, value: &str) -> Vec<u8> {
    let rest = key.len() + value.len() + 3;
    let length = (1..).find(|n: &usize| n.to_string().len() + rest == *n).unwrap();
    format!("{length} {key}={value}\n").into_bytes()
}

#[test]
fn times_of_all_ages_are_kept_as_far_as_the_file_system_can() {
    for (text, seconds, nanos) in [
        ("-1", -1_i64, 0),
        ("-86400.25", -86_401, 750_000_000),
        ("0", 0, 0),
        ("4102444800.000000001", 4_102_444_800, 1),
        ("9223372036854775807", i64::MAX, 0),
    ] {
        let dated = |archive: Archive| archive.raw(b'x', b"p", b"", 0, &pax("mtime", text));
        let archive = dated(dated(dated(new()).file("f", "x")).folder("d/", 0o755)).link(b'2', "l", "f");
        let (made, _) = archive.unpack().unwrap_or_else(|e| panic!("{text}: {e}"));
        // What this file system makes of such a time, by its own word.
        let probe = tempfile::NamedTempFile::new_in(made.path()).unwrap();
        let time = rustix::fs::Timespec { tv_sec: seconds, tv_nsec: nanos };
        rustix::fs::futimens(probe.as_file(), &rustix::fs::Timestamps { last_access: time, last_modification: time })
            .unwrap();
        let meant = probe.as_file().metadata().unwrap();
        for path in ["f", "d", "l"] {
            let found = fs::symlink_metadata(at(&made, path)).unwrap();
            assert_eq!((found.mtime(), found.mtime_nsec()), (meant.mtime(), meant.mtime_nsec()), "{path} of {text}");
        }
    }
    for wrong in ["9223372036854775808", "-9223372036854775808", "1e9", "nan", " 1", "--1", ""] {
        let made = new().raw(b'x', b"p", b"", 0, &pax("mtime", wrong)).file("f", "x").unpack();
        assert!(made.map(|_| ()).is_err_and(|e| e.kind == Kind::Hostile), "`{wrong}` was taken for a time");
    }
}

#[test]
fn owners_that_cannot_be_are_refused_with_words() {
    for (key, id) in [("uid", "4294967295"), ("gid", "4294967295"), ("uid", "4294967296"), ("gid", "99999999999")] {
        let owned = new().raw(b'x', b"p", b"", 0, &pax(key, id));
        // Where owners are not kept they do not matter.
        for archive in [
            Archive(owned.0.clone()).file("f", "x"),
            Archive(owned.0.clone()).folder("f/", 0o755),
            Archive(owned.0.clone()).link(b'2', "f", "x"),
        ] {
            archive.unpack().unwrap();
            let error = archive.unpack_as(Ownership::Keep { set_id: false }).map(|_| ()).unwrap_err();
            assert!(error.kind == Kind::Hostile && error.what.contains(id) && error.what.contains('f'), "{error}");
        }
    }
    let far = new().raw(b'x', b"p", b"", 0, &pax("uid", "70000")).file("f", "x");
    if !rustix::process::geteuid().is_root() {
        let error = far.unpack_as(Ownership::Keep { set_id: false }).map(|_| ()).unwrap_err();
        assert!(error.remedy.is_some_and(|remedy| remedy.contains("/etc/subuid")), "{}", error.what);
    }
}

#[test]
fn names_write_nothing_on_a_terminal() {
    let odd = b"a\n\x1b[2Jb\xff\xc2\x9b\r";
    let (made, _) = new().raw(b'0', odd, b"", 0o644, b"x").unpack().unwrap();
    let name = std::os::unix::ffi::OsStrExt::from_bytes(&odd[..]);
    let name: &OsStr = name;
    assert_eq!(fs::read(at(&made, "").join(name)).unwrap(), b"x");
    let below = [&odd[..], b"/f"].concat();
    let wrong = [
        new().raw(b'0', odd, b"", 0o644, b"").raw(b'0', &below, b"", 0o644, b""),
        new().raw(b'1', odd, b"missing\x1b\n", 0o644, b""),
        new().raw(b'0', &below, b"", 0o644, b"").raw(b'0', odd, b"", 0o644, b""),
        new().raw(b'0', &[&b"../"[..], odd].concat(), b"", 0o644, b""),
        new().raw(b'5', &[&b".wh."[..], odd].concat(), b"", 0o755, b""),
    ];
    for archive in wrong {
        let error = archive.unpack().map(|_| ()).unwrap_err();
        assert!(error.what.bytes().all(|b| (b' '..0x7f).contains(&b)), "{:?}", error.what);
    }
}
