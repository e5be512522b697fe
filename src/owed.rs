//! What an engine outside this machine's processes holds of a run: written down in the user's own state before it is
//! made, so that a later command ends it, whatever became of the run, its project or the engine.
//!
//! One file for each run, and no folder at all for who uses no such engine.

use crate::backend;
use crate::process::Process;
use aido_runtime::Error;
use serde::{Deserialize, Serialize};
use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// Version of the stored form. 1: first.
const VERSION: u32 = 1;
/// What failed is tried again so much later at the earliest: an engine that is gone must not slow every command.
const AGAIN: Duration = Duration::from_secs(60);
/// No run is this old; an engine that was not there for so long does not come back.
const FORGOTTEN: u64 = 30 * 24 * 3600;

/// One run's account.
pub(crate) struct Owed {
    file: PathBuf,
    leftover: String,
}

#[derive(Deserialize, Serialize)]
struct Stored {
    version: u32,
    run: String,
    leftover: String,
    /// Who runs it: while that lives nobody else ends anything.
    writer: Option<Process>,
    boot_id: Option<String>,
    /// Seconds since 1970.
    made: u64,
}

impl Owed {
    /// Writes down what is about to be made; nothing for what ends with this machine's processes anyway.
    /// `number`: how many this run has noted before.
    pub(crate) fn note(run: &str, number: usize, leftover: &str) -> Result<Option<Owed>, Error> {
        if !backend::docker::outlives_processes(leftover) {
            return Ok(None);
        }
        let failed = |e: &dyn std::fmt::Display| Error::new(format!("cannot note what the engine will hold: {e}"));
        // Without a folder for the user's state there is still the run's own record, and the engine's own clock.
        let Some(folder) = backend::owed() else { return Ok(None) };
        let stored = Stored {
            version: VERSION,
            run: run.to_owned(),
            leftover: leftover.to_owned(),
            writer: Process::me(),
            boot_id: aido_evidence::boot_id().ok(),
            made: now(),
        };
        let text = serde_json::to_vec(&stored).map_err(|e| failed(&e))?;
        let file = folder.join(format!("{run}-{number}.json"));
        fs::create_dir_all(&folder).and_then(|()| write(&file, &text)).map_err(|e| failed(&e))?;
        Ok(Some(Owed { file, leftover: leftover.to_owned() }))
    }

    /// Ends what is left, if anything is, and strikes it out.
    pub(crate) fn settle(self) -> Result<(), Error> {
        backend::destroy(&self.leftover)?;
        let _ = fs::remove_file(&self.file);
        Ok(())
    }
}

fn now() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// Its time says when it was last tried: never.
fn write(path: &Path, text: &[u8]) -> std::io::Result<()> {
    let mut file = File::create(path)?;
    file.write_all(text)?;
    file.set_modified(SystemTime::UNIX_EPOCH)
}

/// Ends what runs that are over have left with an engine. What cannot be ended now is said, and tried again later.
pub(crate) fn settle_all() -> Vec<String> {
    let Some(folder) = backend::owed() else { return Vec::new() };
    let entries = match fs::read_dir(&folder) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Vec::new(),
        Err(error) => return vec![format!("cannot read what engines may still hold: {}: {error}", folder.display())],
        Ok(entries) => entries,
    };
    let mut said = Vec::new();
    let mut reached: Vec<String> = Vec::new();
    for path in entries.flatten().map(|entry| entry.path()).filter(|path| path.extension().is_some_and(|e| e == "json"))
    {
        match settle_one(&path) {
            Ok(leftover) => reached.extend(leftover),
            Err(line) => said.push(line),
        }
    }
    said.extend(backend::docker::sweep(&reached));
    said
}

/// What was ended, if it was its turn.
fn settle_one(path: &Path) -> Result<Option<String>, String> {
    // Another command may have settled it meanwhile.
    let Ok(text) = fs::read(path) else { return Ok(None) };
    let tried = path.metadata().and_then(|metadata| metadata.modified()).unwrap_or(SystemTime::UNIX_EPOCH);
    if tried.elapsed().is_ok_and(|since| since < AGAIN) {
        return Ok(None);
    }
    let stored = match serde_json::from_slice::<Stored>(&text) {
        Ok(stored) if stored.version == VERSION => stored,
        _ => return Err(format!("{} cannot be read; what it names is not ended", path.display())),
    };
    let here = aido_evidence::boot_id().ok();
    if stored.boot_id == here && stored.writer.is_some_and(|writer| writer.hold().is_some()) {
        return Ok(None);
    }
    match backend::destroy(&stored.leftover) {
        Ok(()) => {
            let _ = fs::remove_file(path);
            Ok(Some(stored.leftover))
        }
        Err(error) => Err(put_off(path, &stored, &error)),
    }
}

fn put_off(path: &Path, stored: &Stored, error: &Error) -> String {
    if now().saturating_sub(stored.made) > FORGOTTEN {
        let _ = fs::remove_file(path);
        return format!("run {}: {error}; aido does not try again to end `{}`", stored.run, stored.leftover);
    }
    let _ = File::options().write(true).open(path).and_then(|file| file.set_modified(SystemTime::now()));
    format!("run {}: {error}", stored.run)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noted(folder: &Path, writer: Option<Process>, leftover: &str) -> PathBuf {
        let stored = Stored {
            version: VERSION,
            run: "r1".into(),
            leftover: leftover.into(),
            writer,
            boot_id: aido_evidence::boot_id().ok(),
            made: now(),
        };
        let file = folder.join("r1.json");
        write(&file, &serde_json::to_vec(&stored).unwrap()).unwrap();
        file
    }

    #[test]
    fn what_cannot_be_ended_is_kept_and_not_tried_at_once_again() {
        let folder = tempfile::tempdir().unwrap();
        let nowhere = format!("docker unix://{}/no.sock aido-r1", folder.path().display());
        let file = noted(folder.path(), None, &nowhere);
        let said = settle_one(&file).unwrap_err();
        assert!(said.starts_with("run r1: "), "{said}");
        assert!(file.exists(), "it was forgotten");
        assert_eq!(settle_one(&file), Ok(None), "it was tried again at once");
        File::options().write(true).open(&file).unwrap().set_modified(SystemTime::now() - AGAIN).unwrap();
        assert!(settle_one(&file).is_err(), "it was not tried again");
        let old = Stored { made: 1, ..serde_json::from_slice(&fs::read(&file).unwrap()).unwrap() };
        write(&file, &serde_json::to_vec(&old).unwrap()).unwrap();
        assert!(settle_one(&file).unwrap_err().contains("does not try again"));
        assert!(!file.exists());
    }

    #[test]
    fn nobody_ends_what_a_living_writer_runs() {
        let folder = tempfile::tempdir().unwrap();
        let nowhere = format!("docker unix://{}/no.sock aido-r1", folder.path().display());
        let file = noted(folder.path(), Process::me(), &nowhere);
        assert_eq!(settle_one(&file), Ok(None));
        let dead = Process::me().map(|me| Process { start: me.start + 1, ..me });
        assert!(settle_one(&noted(folder.path(), dead, &nowhere)).is_err());
        write(&file, b"{").unwrap();
        assert!(settle_one(&file).unwrap_err().contains("cannot be read"));
    }

    #[test]
    fn what_ends_with_this_machines_processes_needs_no_note() {
        assert!(Owed::note("r1", 0, "/sys/fs/cgroup/aido-r1").unwrap().is_none());
    }
}
