//! The OCI image layout, as a folder or as a tar file of one.

use super::{Origin, Top};
use crate::manifest::{Blob, Document, Entry};
use crate::{Error, Kind, Result, Which, beneath, limits};
use rustix::fs::FileType;
use rustix::io::Errno;
use std::collections::BTreeSet;
use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

/// Names that an error tells; an index may have thousands.
const NAMED: usize = 20;

/// Files by name, wherever they lie.
pub(super) trait Files: Sync + Send {
    fn open(&self, name: &str) -> Result<Option<Box<dyn Read + Send>>>;
    fn size(&self, name: &str) -> Option<u64>;
}

/// Reads a small file of an archive or layout.
pub(super) fn read(files: &impl Files, name: &str, limit: u64) -> Result<Vec<u8>> {
    let missing = || {
        Error::new(Kind::NoImage, format!("it has no `{name}`"))
            .remedy("an OCI layout holds `oci-layout`, `index.json` and `blobs`; `docker save` writes docker-archive: instead")
    };
    let mut bytes = Vec::new();
    let file = files.open(name)?.ok_or_else(missing)?;
    file.take(limit + 1).read_to_end(&mut bytes).map_err(|e| Error::io(format!("reading its `{name}`"), e))?;
    if bytes.len() as u64 > limit {
        return Err(Error::new(Kind::Limit, format!("its `{name}` is larger than {limit} bytes")));
    }
    Ok(bytes)
}

/// A folder of the host; links in it are not followed.
pub(super) struct Dir {
    root: OwnedFd,
}

impl Dir {
    pub(super) fn open(path: &Path) -> Result<Dir> {
        Ok(Dir { root: beneath::own_folder(path)? })
    }

    fn file(&self, name: &str) -> Result<Option<File>> {
        let failed = |e: Errno| Error::io(format!("opening its `{name}`"), e);
        let handle = match beneath::handle(self.root.as_fd(), name.as_bytes()) {
            Err(Errno::NOENT) => return Ok(None),
            other => other.map_err(failed)?,
        };
        let stat = rustix::fs::fstat(&handle).map_err(failed)?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return Err(Error::new(Kind::NoImage, format!("its `{name}` is no regular file")));
        }
        beneath::file(self.root.as_fd(), name.as_bytes()).map(|fd| Some(File::from(fd))).map_err(failed)
    }
}

impl Files for Dir {
    fn open(&self, name: &str) -> Result<Option<Box<dyn Read + Send>>> {
        Ok(self.file(name)?.map(|file| Box::new(file) as Box<dyn Read + Send>))
    }

    fn size(&self, name: &str) -> Option<u64> {
        Some(self.file(name).ok()??.metadata().ok()?.len())
    }
}

pub(super) struct Layout<F> {
    files: F,
    which: Which,
}

impl<F: Files> Layout<F> {
    pub(super) fn new(files: F, which: Which) -> Self {
        Layout { files, which }
    }
}

impl<F: Files> Origin for Layout<F> {
    fn top(&self) -> Result<Top> {
        let layout: serde_json::Value =
            serde_json::from_slice(&read(&self.files, "oci-layout", limits::MANIFEST_BYTES)?)
                .map_err(|e| Error::new(Kind::NoImage, format!("its `oci-layout` cannot be read: {e}")))?;
        let version = layout["imageLayoutVersion"].as_str().unwrap_or("none");
        if !version.starts_with("1.") {
            return Err(Error::new(Kind::NoImage, format!("its layout version is `{}`", version.escape_debug())));
        }
        match Document::parse(&read(&self.files, "index.json", limits::MANIFEST_BYTES)?)? {
            Document::Index(entries) => named(entries, &self.which).map(Top::Entries),
            Document::Manifest(_) => Err(Error::new(Kind::NoImage, "its `index.json` is no index")),
        }
    }

    fn manifest(&self, blob: &Blob) -> Result<Box<dyn Read + Send + '_>> {
        self.blob(blob)
    }

    fn blob(&self, blob: &Blob) -> Result<Box<dyn Read + Send + '_>> {
        let missing = || Error::new(Kind::Missing, format!("it has no blob {}", blob.digest));
        self.files.open(&format!("blobs/sha256/{}", blob.digest.hex()))?.ok_or_else(missing)
    }
}

/// The entries that are meant; without a word on that, those of the only name there is.
fn named(entries: Vec<Entry>, which: &Which) -> Result<Vec<Entry>> {
    let names: BTreeSet<&str> = entries.iter().filter_map(|entry| entry.name.as_deref()).collect();
    let there = listed(names.iter().copied());
    let wanted: Box<dyn Fn(&Entry) -> bool> = match which {
        Which::Only if names.len() > 1 => return Err(several(&there, names.first().copied())),
        Which::Only => return Ok(entries),
        // Under how many names it ever stands.
        Which::Digest(digest) => {
            let found = entries.iter().find(|entry| entry.blob.digest == *digest).cloned();
            return found.map(|entry| vec![entry]).ok_or_else(|| absent(which, &there));
        }
        // Some tools write the tag there, others the whole reference.
        Which::Named(tag) => Box::new(move |entry| {
            let name = entry.name.as_deref();
            name.is_some_and(|name| name == tag || name.rsplit_once(':').is_some_and(|(_, end)| end == tag))
        }),
    };
    let chosen: Vec<Entry> = entries.iter().filter(|entry| wanted(entry)).cloned().collect();
    let meant: BTreeSet<&str> = chosen.iter().filter_map(|entry| entry.name.as_deref()).collect();
    match (chosen.is_empty(), which) {
        (true, _) => Err(absent(which, &there)),
        (_, Which::Named(tag)) if meant.len() > 1 && !meant.contains(tag.as_str()) => {
            Err(several(&listed(meant.iter().copied()), meant.first().copied()))
        }
        (_, Which::Named(tag)) if meant.len() > 1 => {
            Ok(chosen.into_iter().filter(|entry| entry.name.as_ref() == Some(tag)).collect())
        }
        _ => Ok(chosen),
    }
}

pub(super) fn listed<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let mut names: Vec<String> = names.map(|name| name.escape_debug().to_string()).collect();
    let more = names.len().saturating_sub(NAMED);
    names.truncate(NAMED);
    let text = if names.is_empty() { "none that has a name".to_owned() } else { names.join(", ") };
    if more > 0 { format!("{text} and {more} more") } else { text }
}

pub(super) fn several(there: &str, first: Option<&str>) -> Error {
    let example = first.map_or_else(|| "@sha256:…".to_owned(), |name| format!(":{}", name.escape_debug()));
    Error::new(Kind::Name, format!("it holds several images: {there}"))
        .remedy(format!("say which, behind the path: `…{example}`"))
}

pub(super) fn absent(which: &Which, there: &str) -> Error {
    let which = which.to_string();
    Error::new(Kind::Missing, format!("it has no image `{}`; it has: {there}", which[1..].escape_debug()))
}
