//! An output against the file that the project has at its path.

use aido_runtime::{Artifact, Change};
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::Path;

/// Bytes of the project that are read for it, all outputs together: the end of a run is not held up for more.
const MOST: u64 = 256 << 20;

/// What may still be read.
pub(super) struct Reading<'a> {
    project: &'a Path,
    left: u64,
}

impl<'a> Reading<'a> {
    pub(super) fn new(project: &'a Path) -> Self {
        Reading { project, left: MOST }
    }

    /// `None`: not known, since that would be too much to read, or it cannot be read.
    pub(super) fn compare(&mut self, artifact: &Artifact) -> Option<Change> {
        let path = self.project.join(&artifact.path);
        let found = match path.symlink_metadata() {
            // A link of the project may lead elsewhere: what lies there is no file of the project.
            Ok(_) if !self.is_inside(&path) => return None,
            Ok(found) => found,
            Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => return Some(Change::Added),
            Err(_) => return None,
        };
        // By size first: most that differ do so there.
        if !found.is_file() || found.len() != artifact.size {
            return Some(Change::Changed);
        }
        self.left = self.left.checked_sub(artifact.size)?;
        let same = digest(&path, artifact.size)? == artifact.digest;
        Some(if same { Change::Same } else { Change::Changed })
    }
}

impl Reading<'_> {
    fn is_inside(&self, path: &Path) -> bool {
        let real = |path: &Path| path.canonicalize().ok();
        path.parent()
            .and_then(real)
            .zip(real(self.project))
            .is_some_and(|(folder, project)| folder.starts_with(project))
    }
}

fn digest(path: &Path, size: u64) -> Option<String> {
    let file = crate::host::files::open_unmoved(path).ok()?;
    if !file.metadata().ok()?.is_file() {
        return None;
    }
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 1 << 16];
    let mut file: std::io::Take<File> = file.take(size + 1);
    loop {
        match file.read(&mut buffer).ok()? {
            0 => break,
            count => hasher.update(&buffer[..count]),
        }
    }
    let hex: String = hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    Some(format!("sha256:{hex}"))
}
