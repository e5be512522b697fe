//! The OCI image layout, as a folder or as a tar file of one.

use super::{Origin, Top};
use crate::manifest::{Blob, Document, Entry};
use crate::{Error, Kind, Result, beneath, limits};
use rustix::fs::FileType;
use rustix::io::Errno;
use std::collections::BTreeSet;
use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

/// Files by name, wherever they lie.
pub(super) trait Files: Sync + Send {
    fn open(&self, name: &str) -> Result<Option<Box<dyn Read + Send>>>;
    fn size(&self, name: &str) -> Option<u64>;
}

/// Reads a small file of an archive or layout.
pub(super) fn read(files: &impl Files, name: &str, limit: u64) -> Result<Vec<u8>> {
    let missing = || Error::new(Kind::NoImage, format!("it has no `{name}`"));
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
    tag: Option<String>,
}

impl<F: Files> Layout<F> {
    pub(super) fn new(files: F, tag: Option<String>) -> Self {
        Layout { files, tag }
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
            Document::Index(entries) => named(entries, self.tag.as_deref()).map(Top::Entries),
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

/// The entries that the tag means; without a tag, the only name there is.
fn named(entries: Vec<Entry>, tag: Option<&str>) -> Result<Vec<Entry>> {
    let names: BTreeSet<String> = entries.iter().filter_map(|entry| entry.name.clone()).collect();
    let listed = || names.iter().map(|name| name.escape_debug().to_string()).collect::<Vec<_>>().join(", ");
    let Some(tag) = tag else {
        if names.len() > 1 {
            let what = format!("it holds several images: {}", listed());
            return Err(Error::new(Kind::Name, what).remedy("say which, as `oci:DIR:TAG`"));
        }
        return Ok(entries);
    };
    // Some tools write the tag there, others the whole reference.
    let means = |name: &str| name == tag || name.rsplit_once(':').is_some_and(|(_, end)| end == tag);
    let chosen: Vec<Entry> = entries.into_iter().filter(|e| e.name.as_deref().is_some_and(means)).collect();
    if chosen.is_empty() {
        let what = format!("it has no image `{}`; it has: {}", tag.escape_debug(), listed());
        return Err(Error::new(Kind::Missing, what));
    }
    Ok(chosen)
}
