//! Honest trees, packed by other tools in all their formats: what is unpacked here is what GNU tar unpacks.

use super::*;
use std::collections::HashMap;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;
use std::process::{Output, Stdio};

/// One thing to plant: kind, where, mode, time, owner, and bytes for names and content.
#[derive(Clone, Debug)]
struct Seed {
    kind: u8,
    place: prop::sample::Index,
    mode: u32,
    mtime: (i64, u32),
    ids: (u32, u32),
    name: Vec<u8>,
    data: Vec<u8>,
}

const GNU_TAR: [&[&str]; 10] = [
    &["--format=v7"],
    &["--format=oldgnu"],
    &["--format=oldgnu", "-S"],
    &["--format=ustar"],
    &["--format=gnu"],
    &["--format=gnu", "-S"],
    &["--format=posix", "--xattrs"],
    &["--format=posix", "--xattrs", "-S", "--sparse-version=1.0"],
    &["--format=posix", "-S", "--sparse-version=0.1"],
    &["--format=posix", "-S", "--sparse-version=0.0"],
];

/// Packs the current folder into the standard output. What a format cannot hold is left out, as GNU tar does it.
const PYTHON: &str = r"
import os, sys, tarfile
out = tarfile.open(fileobj=sys.stdout.buffer, mode='w|', format=getattr(tarfile, sys.argv[1] + '_FORMAT'))
for folder, folders, files in os.walk('.'):
    for path in [folder] + [os.path.join(folder, n) for n in files + [d for d in folders if os.path.islink(os.path.join(folder, d))]]:
        known = dict(out.inodes)
        info = out.gettarinfo(path)
        try:
            info.tobuf(out.format, out.encoding, out.errors)
        except ValueError:
            out.inodes = known
            continue
        if info.isreg():
            with open(path, 'rb') as file:
                out.addfile(info, file)
        else:
            out.addfile(info)
out.close()
";

#[derive(Clone, Copy, Debug)]
enum Writer {
    Tar(&'static [&'static str]),
    Python(&'static str),
}

impl Writer {
    fn pack(self, folder: &Path) -> Option<Output> {
        let mut command = match self {
            Writer::Tar(format) => {
                let mut command = Command::new("tar");
                command.args(format).args(["-cf", "-", "."]);
                command
            }
            Writer::Python(format) => {
                let mut command = Command::new("python3");
                command.args(["-c", PYTHON, format]);
                command
            }
        };
        command.current_dir(folder).env("LC_ALL", "C.UTF-8").output().ok()
    }

    /// Whether the format holds whatever is planted: all but the attributes, and in these whole seconds.
    fn holds_all(self) -> bool {
        match self {
            Writer::Tar(format) => !["--format=v7", "--format=ustar"].contains(&format[0]),
            Writer::Python(format) => format != "USTAR",
        }
    }
}

fn missing(tool: &str) {
    let must = std::env::var("AIDO_MUST_WORK").is_ok_and(|value| value == "1");
    assert!(!must, "not on this machine: {tool}; install it or unset AIDO_MUST_WORK");
    eprintln!("SKIPPED: not on this machine: {tool}");
}

fn root() -> bool {
    rustix::process::geteuid().is_root()
}

fn seed() -> impl Strategy<Value = Seed> {
    let long = (1_usize..250, any::<u8>()).prop_map(|(length, byte)| vec![byte; length]);
    let bytes = prop::collection::vec(any::<u8>(), 1..20);
    let odd = prop::sample::select(vec!["é ü", "日本", "-f", " ", "a\nb", "\\n", "%d=1", "*", "\"'", "~", "'\t"]);
    let name = prop_oneof![3 => bytes, 2 => odd.prop_map(|name| name.as_bytes().to_vec()), 2 => long];
    // Before 1970, now, and more seconds than twelve octal digits hold.
    let mtime = (
        prop_oneof![-3_000_000_000_i64..0, 0..2_000_000_000_i64, 8_000_000_000..9_000_000_000_i64],
        0_u32..1_000_000_000,
    );
    // The largest needs more than seven octal digits.
    let id = || prop::sample::select(vec![0, 1, 1000, 65_533, 3_000_000]);
    (
        0_u8..9,
        any::<prop::sample::Index>(),
        0_u32..0o10_000,
        mtime,
        (id(), id()),
        name,
        prop::collection::vec(any::<u8>(), 0..600),
    )
        .prop_map(|(kind, place, mode, mtime, ids, name, data)| Seed { kind, place, mode, mtime, ids, name, data })
}

/// A name that no layer reserves and that is not taken.
fn named(number: usize, bytes: &[u8]) -> OsString {
    let mut name: Vec<u8> = bytes.iter().map(|b| if matches!(b, 0 | b'/') { b'_' } else { *b }).collect();
    name.extend(format!("{number}").bytes());
    OsString::from_vec(name)
}

fn sparse(path: &Path, seed: &Seed) {
    let file = fs::File::create(path).unwrap();
    let size = u64::from(seed.mtime.1 % 300_000);
    file.set_len(size).unwrap();
    for (n, chunk) in seed.data.chunks(150).enumerate() {
        let offset = (n as u64 * 70_001 + u64::from(seed.mode)) % (size + 1);
        let chunk = &chunk[..chunk.len().min((size - offset) as usize)];
        std::os::unix::fs::FileExt::write_all_at(&file, chunk, offset).unwrap();
    }
}

fn plant_all(top: &Path, seeds: &[Seed]) {
    let (mut folders, mut files) = (vec![top.to_owned()], Vec::<PathBuf>::new());
    let mut made = Vec::new();
    for (number, seed) in seeds.iter().enumerate() {
        let mut path = folders[seed.place.index(folders.len())].join(named(number, &seed.name));
        if path.as_os_str().len() - top.as_os_str().len() > 1500 {
            path = top.join(named(number, b"short"));
        }
        match seed.kind {
            0 | 1 => fs::write(&path, &seed.data).unwrap(),
            2 => fs::write(&path, b"").unwrap(),
            3 => sparse(&path, seed),
            4 | 5 => {
                fs::create_dir(&path).unwrap();
                folders.push(path.clone());
            }
            6 => std::os::unix::fs::symlink(named(number, &seed.data[..seed.data.len().min(400)]), &path).unwrap(),
            _ if files.is_empty() => continue,
            _ => {
                fs::hard_link(&files[seed.place.index(files.len())], &path).unwrap();
                continue;
            }
        }
        if !matches!(seed.kind, 4 | 5) {
            files.push(path.clone());
        }
        made.push((path, seed));
    }
    // The deepest last planted, first described: a folder's time stands only once all in it is there.
    for (path, seed) in made.iter().rev() {
        describe(path, seed);
    }
    fs::set_permissions(top, fs::Permissions::from_mode(0o755)).unwrap();
}

fn describe(path: &Path, seed: &Seed) {
    use rustix::fs::{CWD, Timespec, Timestamps, XattrFlags, chownat, lsetxattr, utimensat};
    let flags = AtFlags::SYMLINK_NOFOLLOW;
    if root() {
        let (uid, gid) = (rustix::fs::Uid::from_raw(seed.ids.0), rustix::fs::Gid::from_raw(seed.ids.1));
        // A container's root may not have all ids.
        let _ = chownat(CWD, path, Some(uid), Some(gid), flags);
    }
    let link = fs::symlink_metadata(path).unwrap().is_symlink();
    if !link && seed.data.len().is_multiple_of(3) {
        let value = &seed.data[..seed.data.len().min(64)];
        for name in ["user.note", "user.é x"] {
            match lsetxattr(path, name, value, XattrFlags::empty()) {
                Ok(()) | Err(Errno::NOTSUP | Errno::PERM | Errno::ACCESS) => {}
                Err(e) => panic!("{}: {e}", path.display()),
            }
        }
    }
    if !link {
        // Only root reads what is closed.
        let open = if root() { 0 } else { 0o700 };
        fs::set_permissions(path, fs::Permissions::from_mode(seed.mode | open)).unwrap();
    }
    let time = Timespec { tv_sec: seed.mtime.0, tv_nsec: seed.mtime.1 as _ };
    utimensat(CWD, path, &Timestamps { last_access: time, last_modification: time }, flags).unwrap();
}

/// All that a tree shows of one path.
#[derive(Clone, Debug, PartialEq)]
struct Look {
    mode: u32,
    ids: (u32, u32),
    mtime: (i64, i64),
    /// The first path of the same file.
    same_as: PathBuf,
    content: Vec<u8>,
    xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
}

fn look(top: &Path) -> BTreeMap<PathBuf, Look> {
    let (mut all, mut first, mut todo) = (BTreeMap::new(), HashMap::new(), vec![top.to_owned()]);
    let mut paths = Vec::new();
    while let Some(path) = todo.pop() {
        if fs::symlink_metadata(&path).unwrap().is_dir() {
            todo.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        }
        paths.push(path);
    }
    paths.sort();
    for path in paths {
        let meta = fs::symlink_metadata(&path).unwrap();
        let shown = path.strip_prefix(top).unwrap().to_owned();
        let content = match meta.file_type() {
            kind if kind.is_symlink() => fs::read_link(&path).unwrap().into_os_string().into_vec(),
            kind if kind.is_file() => fs::read(&path).unwrap(),
            _ => Vec::new(),
        };
        let look = Look {
            // Set-id bits stay only with owners that this test does not have everywhere.
            mode: meta.mode() & !0o6000,
            ids: (meta.uid(), meta.gid()),
            mtime: (meta.mtime(), meta.mtime_nsec()),
            same_as: first.entry(meta.ino()).or_insert_with(|| shown.clone()).clone(),
            content,
            xattrs: if meta.is_symlink() { BTreeMap::new() } else { attributes(&path) },
        };
        all.insert(shown, look);
    }
    all
}

fn attributes(path: &Path) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let mut names = vec![0; 4096];
    let length = rustix::fs::llistxattr(path, &mut names[..]).unwrap_or(0);
    let names = names[..length].split(|b| *b == 0).filter(|name| name.starts_with(b"user."));
    let value = |name: &[u8]| {
        let mut value = vec![0; 4096];
        let length = rustix::fs::lgetxattr(path, OsStr::from_bytes(name), &mut value).unwrap();
        value.truncate(length);
        value
    };
    names.map(|name| (name.to_vec(), value(name))).collect()
}

fn differences(ours: &BTreeMap<PathBuf, Look>, theirs: &BTreeMap<PathBuf, Look>) -> String {
    let mut text = String::new();
    for path in ours.keys().chain(theirs.keys()).filter(|path| ours.get(*path) != theirs.get(*path)) {
        text += &format!("{path:?}: here {:?}, there {:?}\n", ours.get(path), theirs.get(path));
    }
    text
}

/// What GNU tar makes of the archive, and whether it was content.
fn by_tar(archive: &[u8]) -> (tempfile::TempDir, bool) {
    let made = tempfile::tempdir().unwrap();
    fs::set_permissions(made.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let mut command = Command::new("tar");
    command.args(["-xpf", "-", "--numeric-owner", "--xattrs", "--xattrs-include=user.*", "-C"]).arg(made.path());
    let mut child = command.stdin(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(archive).unwrap();
    let content = child.wait().unwrap().success();
    (made, content)
}

proptest! {
    #![proptest_config(ProptestConfig { max_shrink_iters: 40, failure_persistence: None, ..ProptestConfig::with_cases(32) })]

    #[test]
    fn an_honest_archive_is_unpacked_as_gnu_tar_unpacks_it(
        seeds in prop::collection::vec(seed(), 0..20),
        writer in prop_oneof![
            2 => prop::sample::select(GNU_TAR.to_vec()).prop_map(Writer::Tar),
            1 => prop::sample::select(vec!["USTAR", "GNU", "PAX"]).prop_map(Writer::Python),
        ],
    ) {
        let planted = tempfile::tempdir().unwrap();
        plant_all(planted.path(), &seeds);
        let Some(packed) = writer.pack(planted.path()) else {
            missing("tar or python3");
            return Ok(());
        };
        prop_assert!(!packed.stdout.is_empty(), "{}", String::from_utf8_lossy(&packed.stderr));
        prop_assert!(packed.status.success() || !writer.holds_all(), "{}", String::from_utf8_lossy(&packed.stderr));
        let ownership = if root() { Ownership::Keep { set_id: false } } else { Ownership::Squash };
        let ours = Archive(packed.stdout.clone()).unpack_as(ownership);
        // A file system's clock is a little behind.
        let today = std::time::SystemTime::now() - std::time::Duration::from_secs(2);
        let today = today.duration_since(std::time::UNIX_EPOCH).unwrap();
        let (theirs, content) = by_tar(&packed.stdout);
        let (made, _) = match ours {
            Ok(made) => made,
            Err(error) => {
                prop_assert!(!content, "refused, though GNU tar takes it: {}", error);
                return Ok(());
            }
        };
        let (ours, mut theirs) = (look(&at(&made, "")), look(theirs.path()));
        // A folder whose header the format does not hold, but a child's: GNU tar makes it of today, and we of 1970, so
        // that an image is the same on any day. No other folder here is of 1970 and of today.
        for (path, their) in theirs.iter_mut().filter(|_| !writer.holds_all()) {
            let our = ours.get(path).filter(|our| our.mode & 0o170_000 == 0o040_000 && our.mtime == (0, 0));
            if let Some(our) = our && u64::try_from(their.mtime.0).is_ok_and(|seconds| seconds >= today.as_secs()) {
                their.mtime = our.mtime;
            }
        }
        prop_assert!(content, "GNU tar is not content with what is taken here");
        prop_assert!(ours == theirs, "{}", differences(&ours, &theirs));
        if writer.holds_all() {
            let plain = |mut tree: BTreeMap<PathBuf, Look>| {
                for look in tree.values_mut() {
                    look.xattrs.clear();
                    look.mtime.1 = 0;
                    // Python rounds times before 1970 up, and all of them to what a float holds; it knows no second
                    // name of a link.
                    if matches!(writer, Writer::Python(_)) {
                        look.mtime.0 = 0;
                        if look.mode & 0o170_000 == 0o120_000 {
                            look.same_as.clear();
                        }
                    }
                }
                tree.remove(Path::new(""));
                tree
            };
            let (ours, planted) = (plain(ours), plain(look(planted.path())));
            prop_assert!(ours == planted, "{}", differences(&ours, &planted));
        }
    }
}
