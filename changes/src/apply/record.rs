//! What is needed to undo an apply, or to finish it: on the disk before the first change.

use super::Step;
use crate::read::{self, hex};
use crate::{Error, Folder, Result};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{BufWriter, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// The form of the record: 1 is the first.
const VERSION: u32 = 1;
const NAME: &str = "record.json";

/// The steps of an apply, beside the contents that they replace (`before/N`, N the step).
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Record {
    version: u32,
    /// What the names of unfinished files begin with.
    pub(super) id: String,
    pub(super) steps: Vec<Step>,
    #[serde(skip)]
    folder: PathBuf,
}

impl Record {
    /// Makes the folder, and keeps what the project has.
    pub(super) fn make(folder: &Path, project: &Folder, steps: Vec<Step>) -> Result<Self> {
        let record = Record { version: VERSION, id: id(folder), steps, folder: folder.to_path_buf() };
        let doing = || format!("making the undo record `{}`", folder.display());
        let before = folder.join("before");
        for made in [folder, &before] {
            DirBuilder::new().mode(0o700).create(made).map_err(|e| Error::io(doing(), e))?;
        }
        for (n, step) in record.steps.iter().enumerate() {
            if let Some(from) = step.from.as_ref().filter(|from| from.mode.is_file() && !step.is_mode_only()) {
                super::carry::pulse()?;
                let file = new_file(&before.join(n.to_string())).map_err(|e| Error::io(doing(), e))?;
                read::copy(project, &step.path, from, &mut &file)?;
                file.sync_all().map_err(|e| Error::io(doing(), e))?;
            }
        }
        record.write().map_err(|e| Error::io(doing(), e))?;
        super::carry::pulse()?;
        Ok(record)
    }

    fn write(&self) -> std::io::Result<()> {
        File::open(self.folder.join("before"))?.sync_all()?;
        let unfinished = self.folder.join("record.unfinished");
        let file = new_file(&unfinished)?;
        let mut out = BufWriter::new(&file);
        serde_json::to_writer(&mut out, self)?;
        out.flush()?;
        drop(out);
        file.sync_all()?;
        fs::rename(&unfinished, self.folder.join(NAME))?;
        sync(&self.folder)?;
        sync(self.folder.parent().unwrap_or(Path::new("/")))
    }

    pub(super) fn read(folder: &Path) -> Result<Self> {
        let path = folder.join(NAME);
        let bad = |what: String| Error::Record(format!("`{}`: {what}", path.display()));
        let text = match fs::read(&path) {
            // It was ended before it was whole, thus before the first change.
            Err(e) if e.kind() == std::io::ErrorKind::NotFound && folder.is_dir() => {
                let none = Record { version: VERSION, id: id(folder), steps: Vec::new(), folder: folder.to_path_buf() };
                return Ok(none);
            }
            other => other.map_err(|e| bad(e.to_string()))?,
        };
        let record: Record = serde_json::from_slice(&text).map_err(|e| bad(e.to_string()))?;
        if record.version != VERSION {
            return Err(bad(format!("is of version {}, and this is {VERSION}", record.version)));
        }
        if record.id.is_empty() || !record.id.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(bad("has no id".to_string()));
        }
        Ok(Record { folder: folder.to_path_buf(), ..record })
    }

    /// Says that it came to its end: `applied` or `undone`.
    pub(super) fn mark(&self, how: &str) -> Result<()> {
        let marked = File::create(self.folder.join(how)).and_then(|file| file.sync_all());
        let marked = marked.and_then(|()| sync(&self.folder));
        marked.map_err(|e| Error::io(format!("marking the undo record `{}`", self.folder.display()), e))
    }

    /// Copies what the project had before step `n`.
    pub(super) fn copy(&self, n: usize, to: &mut dyn Write) -> Result<()> {
        let known = self.steps.get(n).and_then(|step| step.from.as_ref()).filter(|known| known.mode.is_file());
        let known = known.ok_or_else(|| Error::Record(format!("has no content for step {n}")))?;
        let before = Folder::open(&self.folder.join("before"))?;
        read::copy(&before, &crate::RelPath::new(n.to_string())?, known, to)
    }
}

fn new_file(path: &Path) -> std::io::Result<File> {
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)
}

fn sync(folder: &Path) -> std::io::Result<()> {
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    File::open(folder)?.sync_all()
}

/// Told apart from that of any other apply.
fn id(folder: &Path) -> String {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_nanos();
    let seed = format!("{} {now} {}", std::process::id(), folder.display());
    hex(&Sha256::digest(seed.as_bytes())[..8])
}
