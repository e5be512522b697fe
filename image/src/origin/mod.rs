//! Where images come from. An origin hands out bytes; nobody believes them before they are verified.

mod archive;
mod docker;
mod layout;
mod registry;
mod root;

use crate::manifest::{Blob, Entry};
use crate::{Digest, Options, Result, Source};
#[cfg(any(test, feature = "fuzzing"))]
use crate::{Silent, Which};
use std::io::Read;
use std::path::Path;

/// What a name means at its origin.
pub(crate) enum Top {
    /// A manifest or an index.
    Document(Vec<u8>),
    /// The entries of an OCI layout that bear the name.
    Entries(Vec<Entry>),
}

pub(crate) trait Origin: Sync {
    fn top(&self) -> Result<Top>;

    /// What the name means now: the digest of its manifest or index, as the origin says it, without
    /// the document. Nothing where the origin cannot say.
    fn current(&self) -> Result<Option<Digest>> {
        Ok(None)
    }

    /// A manifest that an index points to; not verified.
    fn manifest(&self, blob: &Blob) -> Result<Box<dyn Read + Send + '_>>;

    /// A config or a layer as it is stored; not verified.
    fn blob(&self, blob: &Blob) -> Result<Box<dyn Read + Send + '_>>;

    /// A blob from a byte on. Nothing where its head is not worth keeping, since it is near anyway.
    fn blob_from(&self, _: &Blob, _: u64) -> Result<Option<Box<dyn Read + Send + '_>>> {
        Ok(None)
    }
}

/// Any file as an archive of images of either kind, as far as it can be read.
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) fn fuzzed_archive(file: &Path, scratch: &Path) {
    let opened = || archive::Archive::open(file, scratch, &Silent);
    if let Ok(archive) = opened() {
        let _ = layout::Layout::new(archive, Which::Only).top();
    }
    if let Ok(archive) = opened() {
        let _ = docker::Docker::open(archive, &Which::Only).and_then(|docker| docker.top());
    }
}

/// Opens the origin of `source`. `scratch` takes nameless files where an archive must be decompressed.
pub(crate) fn open<'a>(source: &Source, options: &Options<'a>, scratch: &Path) -> Result<Box<dyn Origin + 'a>> {
    let archive = |file: &Path| archive::Archive::open(file, scratch, options.progress);
    Ok(match source {
        Source::Registry(reference) => Box::new(registry::Registry::connect(reference, options)?),
        Source::OciLayout { dir, which } => Box::new(layout::Layout::new(layout::Dir::open(dir)?, which.clone())),
        Source::OciArchive { file, which } => Box::new(layout::Layout::new(archive(file)?, which.clone())),
        Source::DockerArchive { file, which } => Box::new(docker::Docker::open(archive(file)?, which)?),
        Source::RootArchive(file) => {
            let place = format!("`{}`", file.display());
            let file = archive::plain(file, &place)?;
            Box::new(root::Root::open(file, &options.platform).map_err(|e| e.within(place))?)
        }
    })
}
