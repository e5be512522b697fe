//! Archives for the engine: what they hold is listed first, and read while it is sent.

use crate::os;
use crate::places::{Kind, Region};
use aido_runtime::Error;
use bytes::Bytes;
use futures_util::Stream;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use tar::{Builder, EntryType, Header};

/// How deep folders are followed.
const DEEPEST: usize = 256;
const PIECE: usize = 1 << 18;

/// One entry of an archive.
#[derive(Debug)]
pub(crate) struct Item {
    /// Without a leading slash.
    path: Vec<u8>,
    mode: u32,
    mtime: u64,
    what: What,
}

#[derive(Debug)]
enum What {
    Folder,
    Link(Vec<u8>),
    Bytes(Bytes),
    /// A file of the host; one that cannot be read becomes one that nobody can read.
    File {
        path: PathBuf,
        size: u64,
    },
}

/// An archive that is about to be sent.
#[derive(Debug)]
pub(crate) struct Archive {
    items: Vec<Item>,
    uid: u32,
    gid: u32,
}

impl Archive {
    /// Everything in it belongs to these.
    pub(crate) fn new(uid: u32, gid: u32) -> Archive {
        Archive { items: Vec::new(), uid, gid }
    }

    pub(crate) fn folder(&mut self, path: &str, mode: u32) {
        self.items.push(Item { path: path.into(), mode, mtime: 0, what: What::Folder });
    }

    pub(crate) fn bytes(&mut self, path: &str, mode: u32, content: impl Into<Bytes>) {
        self.items.push(Item { path: path.into(), mode, mtime: 0, what: What::Bytes(content.into()) });
    }

    /// All of a region, below this path of the archive.
    pub(crate) fn region(&mut self, at: &str, region: &Region) -> Result<(), Error> {
        for piece in &region.pieces {
            let path = if piece.path.is_empty() { at.to_string() } else { format!("{at}/{}", piece.path) };
            match &piece.kind {
                Kind::Folder => self.folder(&path, 0o755),
                Kind::Text(content) => self.bytes(&path, 0o444, content.clone().into_bytes()),
                Kind::Link(to) => {
                    let what = What::Link(to.clone().into());
                    self.items.push(Item { path: path.into(), mode: 0o777, mtime: 0, what });
                }
                Kind::Source { source, without } => {
                    let without: Vec<PathBuf> = without.iter().map(PathBuf::from).collect();
                    self.source(source, path.into(), Path::new(""), &without, 0)?;
                }
            }
        }
        Ok(())
    }

    /// A file or folder of the host. Sockets, pipes and devices are none of the task's business.
    fn source(
        &mut self,
        source: &Path,
        path: Vec<u8>,
        inside: &Path,
        without: &[PathBuf],
        depth: usize,
    ) -> Result<(), Error> {
        let failed = |e: std::io::Error| Error::new(format!("cannot read the input {}: {e}", source.display()));
        let seen = source.symlink_metadata().map_err(failed)?;
        let mtime = seen.modified().ok().and_then(|time| time.duration_since(std::time::UNIX_EPOCH).ok());
        let (mode, mtime) = (os::mode(&seen), mtime.map_or(0, |time| time.as_secs()));
        if seen.is_symlink() {
            let to = os::name_bytes(&source.read_link().map_err(failed)?);
            self.items.push(Item { path, mode: 0o777, mtime, what: What::Link(to) });
        } else if seen.is_file() {
            self.items.push(Item { path, mode, mtime, what: What::File { path: source.into(), size: seen.len() } });
        } else if seen.is_dir() {
            if depth > DEEPEST {
                return Err(Error::new(format!("the input {} lies deeper than {DEEPEST} folders", source.display())));
            }
            let listed = source.read_dir().and_then(|entries| {
                let mut names = entries.map(|e| e.map(|e| e.file_name())).collect::<std::io::Result<Vec<_>>>()?;
                names.sort();
                Ok(names)
            });
            let closed = listed.as_ref().is_err_and(|e| e.kind() == std::io::ErrorKind::PermissionDenied);
            self.items.push(Item {
                path: path.clone(),
                mode: if closed { 0 } else { mode },
                mtime,
                what: What::Folder,
            });
            for name in if closed { Vec::new() } else { listed.map_err(failed)? } {
                let inside = inside.join(&name);
                if without.contains(&inside) {
                    continue;
                }
                let mut path = path.clone();
                path.push(b'/');
                path.extend(os::name_bytes(Path::new(&name)));
                match self.source(&source.join(&name), path, &inside, without, depth + 1) {
                    // It was there a moment ago.
                    Err(_) if source.join(&name).symlink_metadata().is_err() => {}
                    other => other?,
                }
            }
        }
        Ok(())
    }

    /// The archive itself, in pieces, made while it is asked for.
    pub(crate) fn stream(self) -> impl Stream<Item = std::io::Result<Bytes>> + Send + 'static {
        let sending = Sending { items: self.items.into_iter(), uid: self.uid, gid: self.gid, file: None, over: false };
        futures_util::stream::unfold(sending, |mut sending| async move {
            let piece = sending.next()?;
            Some((piece, sending))
        })
    }

    /// All of it at once: for what is small.
    #[cfg(test)]
    pub(crate) fn whole(self) -> Vec<u8> {
        let mut sending =
            Sending { items: self.items.into_iter(), uid: self.uid, gid: self.gid, file: None, over: false };
        std::iter::from_fn(|| sending.next()).flat_map(|piece| piece.expect("readable").to_vec()).collect()
    }
}

struct Sending {
    items: std::vec::IntoIter<Item>,
    uid: u32,
    gid: u32,
    /// The file that is being sent; how much of it is wanted, and how much there was.
    file: Option<(File, u64, u64)>,
    over: bool,
}

impl Sending {
    fn next(&mut self) -> Option<std::io::Result<Bytes>> {
        if let Some((mut file, left, size)) = self.file.take() {
            return Some(self.more(&mut file, left, size).map(|(bytes, left)| {
                if left > 0 {
                    self.file = Some((file, left, size));
                }
                bytes
            }));
        }
        match self.items.next() {
            Some(item) => Some(self.begin(item)),
            None if self.over => None,
            None => {
                self.over = true;
                Some(Ok(Bytes::from_static(&[0; 1024])))
            }
        }
    }

    /// The next stretch of a file. One that has shrunk is filled up: its size has been told.
    fn more(&self, file: &mut File, left: u64, size: u64) -> std::io::Result<(Bytes, u64)> {
        let mut piece = vec![0; PIECE.min(left as usize)];
        let mut length = 0;
        while length < piece.len() {
            match file.read(&mut piece[length..]) {
                Ok(0) => break,
                Ok(more) => length += more,
                Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        let left = left - piece.len() as u64;
        if left == 0 {
            piece.resize(piece.len() + padding(size), 0);
        }
        Ok((piece.into(), left))
    }

    /// The head of an entry, with all of its content if that is in memory.
    fn begin(&mut self, item: Item) -> std::io::Result<Bytes> {
        let mut header = Header::new_gnu();
        header.set_mode(item.mode);
        header.set_uid(self.uid.into());
        header.set_gid(self.gid.into());
        header.set_mtime(item.mtime);
        header.set_size(0);
        let mut builder = Builder::new(Vec::new());
        let path = path_of(&item.path);
        match item.what {
            What::Folder => {
                header.set_entry_type(EntryType::Directory);
                builder.append_data(&mut header, path, std::io::empty())?;
            }
            What::Link(to) => {
                header.set_entry_type(EntryType::Symlink);
                builder.append_link(&mut header, path, path_of(&to))?;
            }
            What::Bytes(bytes) => {
                header.set_size(bytes.len() as u64);
                builder.append_data(&mut header, path, &*bytes)?;
            }
            What::File { path: source, size } => match File::open(&source) {
                Ok(file) => {
                    header.set_size(size);
                    builder.append_data(&mut header, path, std::io::empty())?;
                    self.file = Some((file, size, size)).filter(|_| size > 0);
                }
                Err(e) if e.kind() == std::io::ErrorKind::PermissionDenied => {
                    header.set_mode(0);
                    builder.append_data(&mut header, path, std::io::empty())?;
                }
                Err(e) => return Err(std::io::Error::new(e.kind(), format!("{}: {e}", source.display()))),
            },
        }
        // Without the two empty blocks that end an archive.
        let mut bytes = builder.into_inner()?;
        bytes.truncate(bytes.len().saturating_sub(1024));
        Ok(bytes.into())
    }
}

/// Up to the next block.
fn padding(size: u64) -> usize {
    (512 - (size % 512) as usize) % 512
}

#[cfg(unix)]
fn path_of(bytes: &[u8]) -> &Path {
    use std::os::unix::ffi::OsStrExt;
    Path::new(std::ffi::OsStr::from_bytes(bytes))
}

#[cfg(not(unix))]
fn path_of(bytes: &[u8]) -> PathBuf {
    PathBuf::from(String::from_utf8_lossy(bytes).into_owned())
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use crate::places::Piece;
    use std::os::unix::fs::{PermissionsExt, symlink};

    #[test]
    fn an_archive_is_what_the_folder_is_without_what_is_hidden() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let long = "n".repeat(200);
        std::fs::create_dir_all(at("a/b")).unwrap();
        std::fs::write(at("a/b/x"), vec![7; 700_000]).unwrap();
        std::fs::write(at("a/empty"), "").unwrap();
        std::fs::write(at(&long), "long").unwrap();
        std::fs::create_dir(at(".aido")).unwrap();
        std::fs::write(at(".aido/key"), "secret").unwrap();
        std::fs::write(at(".env"), "secret").unwrap();
        symlink("a/b/x", at("link")).unwrap();
        rustix::fs::mkfifoat(rustix::fs::CWD, at("pipe"), rustix::fs::Mode::from_raw_mode(0o600)).unwrap();
        std::fs::set_permissions(at("a/empty"), std::fs::Permissions::from_mode(0o4751)).unwrap();
        let without = vec![".aido".into(), ".env".into()];
        let source = Piece { path: "".into(), kind: Kind::Source { source: folder.path().into(), without } };
        let link = Piece { path: "out".into(), kind: Kind::Link("/outputs/out".into()) };
        let mut archive = Archive::new(1000, 100);
        archive.region("in", &Region { target: "/workspace".into(), pieces: vec![source, link] }).unwrap();
        let bytes = archive.whole();
        assert_eq!(bytes.len() % 512, 0);
        let mut read = tar::Archive::new(&*bytes);
        let mut seen = Vec::new();
        for entry in read.entries().unwrap() {
            let mut entry = entry.unwrap();
            let (uid, gid) = (entry.header().uid().unwrap(), entry.header().gid().unwrap());
            assert_eq!((uid, gid), (1000, 100));
            let mut content = Vec::new();
            entry.read_to_end(&mut content).unwrap();
            let path = entry.path().unwrap().to_string_lossy().into_owned();
            let to = entry.link_name().unwrap().map(|to| to.to_string_lossy().into_owned());
            seen.push((path, entry.header().mode().unwrap(), to, content.len()));
        }
        let names: Vec<&str> = seen.iter().map(|(path, ..)| path.as_str()).collect();
        let long = format!("in/{long}");
        assert_eq!(names, ["in", "in/a", "in/a/b", "in/a/b/x", "in/a/empty", "in/link", &long, "in/out"]);
        assert_eq!(seen[3].3, 700_000);
        assert_eq!(seen[4].1, 0o751, "no bit that changes who runs it");
        assert_eq!(seen[5].2.as_deref(), Some("a/b/x"));
        assert_eq!(seen[7].2.as_deref(), Some("/outputs/out"));
        assert!(!bytes.windows(6).any(|piece| piece == b"secret"));
    }

    #[test]
    fn a_file_that_shrinks_while_it_is_sent_breaks_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x");
        std::fs::write(&path, vec![1; 1000]).unwrap();
        let mut archive = Archive::new(0, 0);
        let source = Kind::Source { source: path.clone(), without: Vec::new() };
        archive
            .region("x", &Region { target: "/x".into(), pieces: vec![Piece { path: "".into(), kind: source }] })
            .unwrap();
        archive.bytes("y", 0o444, "after");
        std::fs::write(&path, "short").unwrap();
        let bytes = archive.whole();
        let mut read = tar::Archive::new(&*bytes);
        let sizes: Vec<u64> = read.entries().unwrap().map(|entry| entry.unwrap().size()).collect();
        assert_eq!(sizes, [1000, 5]);
    }
}
