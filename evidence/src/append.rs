//! The writing end of a chained file, and how it finds its place again after a crash.

use crate::chain::{Head, MAX_RECORD, Record, TORN, sha256_hex};
use crate::clock;
use crate::error::{Error, Result};
use crate::fault;
use serde_json::{Value, json};
use std::fs::File;
use std::io;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

/// More bytes than this after the last whole record were left by no crash of ours; a reader's memory
/// is bounded by it.
pub(crate) const MAX_TORN: usize = 2 * MAX_RECORD;

/// A chained file under its exclusive lock.
#[derive(Debug)]
pub(crate) struct Appender {
    file: File,
    path: PathBuf,
    /// None: the last write failed half-way, and the end must be read again.
    end: Option<End>,
}

#[derive(Debug, PartialEq)]
pub(crate) struct End {
    pub(crate) head: Head,
    pub(crate) joint: Joint,
}

/// What stands between the last whole record and the next one.
#[derive(Debug, PartialEq)]
pub(crate) enum Joint {
    Clean,
    NewlineMissing,
    Torn { bytes: usize, sha256: String },
}

impl Appender {
    /// A file that has just been made.
    pub(crate) fn new(file: File, path: PathBuf) -> Appender {
        Appender { file, path, end: Some(End { head: Head::start(), joint: Joint::Clean }) }
    }

    /// A file that others wrote before.
    pub(crate) fn resume(file: File, path: PathBuf) -> Result<Appender> {
        let end = find_end(&file, &path)?;
        Ok(Appender { file, path, end: Some(end) })
    }

    /// The file, and with it its lock.
    pub(crate) fn into_file(self) -> File {
        self.file
    }

    /// Returns when everything that was appended is on the disk.
    pub(crate) fn sync(&self) -> Result<()> {
        fault::step("sync", &self.path)
            .and_then(|()| self.file.sync_data())
            .map_err(|e| Error::io("sync", &self.path, e))
    }

    /// The hash of the last whole record.
    pub(crate) fn head(&mut self) -> Result<&str> {
        Ok(&self.end()?.head.prev)
    }

    /// Bytes at the end that are no record.
    pub(crate) fn torn_bytes(&mut self) -> Result<usize> {
        Ok(match &self.end()?.joint {
            Joint::Torn { bytes, .. } => *bytes,
            Joint::Clean | Joint::NewlineMissing => 0,
        })
    }

    fn end(&mut self) -> Result<&End> {
        if self.end.is_none() {
            self.end = Some(find_end(&self.file, &self.path)?);
        }
        self.end.as_ref().ok_or_else(|| Error::damaged(&self.path, "its end cannot be found"))
    }

    /// Where the chain stands: what the next record must say. A torn end comes before it; see [`Appender::mend`].
    pub(crate) fn at(&mut self) -> Result<&Head> {
        Ok(&self.end()?.head)
    }

    /// Owns up to a torn end now instead of with the next record.
    pub(crate) fn mend(&mut self) -> Result<()> {
        let (time, mono_ms) = (clock::now(), clock::boottime_ms());
        let (bytes, head) = self.end()?.mended(&time, mono_ms);
        if bytes.is_empty() { Ok(()) } else { self.write(&bytes, head) }
    }

    /// Adds one record with one write(2), so that a reader never sees two writers' bytes mixed and a
    /// crash leaves at most one torn record. What mends a torn end goes in the same write.
    pub(crate) fn append(&mut self, kind: &str, data: &Value) -> Result<()> {
        let (time, mono_ms) = (clock::now(), clock::boottime_ms());
        let (mut bytes, head) = self.end()?.mended(&time, mono_ms);
        let (line, next) = head.encode(kind, data, &time, mono_ms);
        bytes.extend_from_slice(&line);
        self.write(&bytes, next)
    }

    /// Whether the last record is whole, newline and all.
    pub(crate) fn is_clean(&mut self) -> Result<bool> {
        Ok(self.end()?.joint == Joint::Clean)
    }

    fn write(&mut self, bytes: &[u8], next: Head) -> Result<()> {
        match write_once(&mut self.file, bytes, &self.path) {
            Ok(()) => {
                self.end = Some(End { head: next, joint: Joint::Clean });
                Ok(())
            }
            Err(e) => {
                self.end = None;
                Err(Error::io("append a record to", &self.path, e))
            }
        }
    }
}

impl End {
    /// The bytes that must come before the next record, and where the chain stands after them.
    fn mended(&self, time: &str, mono_ms: u64) -> (Vec<u8>, Head) {
        match &self.joint {
            Joint::Clean => (Vec::new(), self.head.clone()),
            Joint::NewlineMissing => (vec![b'\n'], self.head.clone()),
            Joint::Torn { bytes: count, sha256 } => {
                let mut bytes = vec![b'\n'];
                let (line, next) = self.head.encode(TORN, &json!({"bytes": count, "sha256": sha256}), time, mono_ms);
                bytes.extend_from_slice(&line);
                (bytes, next)
            }
        }
    }
}

fn write_once(file: &mut File, bytes: &[u8], path: &Path) -> io::Result<()> {
    loop {
        match fault::write(file, bytes, path) {
            Ok(n) if n == bytes.len() => return Ok(()),
            Ok(n) => {
                let all = bytes.len();
                return Err(io::Error::new(
                    io::ErrorKind::WriteZero,
                    format!("only {n} of {all} bytes were written; the disk or a quota is full"),
                ));
            }
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
}

/// Reads backwards from the end to the last line that is a record by itself.
pub(crate) fn find_end(file: &File, path: &Path) -> Result<End> {
    let size = file.metadata().map_err(|e| Error::io("look at", path, e))?.len();
    let most = (MAX_TORN + MAX_RECORD) as u64;
    let mut want = 16 * 1024;
    loop {
        let start = size.saturating_sub(want);
        let mut bytes = vec![0; (size - start) as usize];
        // Appending does not care where this leaves the file's position.
        let mut reader = file;
        let read = reader.seek(SeekFrom::Start(start)).and_then(|_| reader.read_exact(&mut bytes));
        read.map_err(|e| Error::io("read", path, e))?;
        let found = last_record(&bytes, start == 0).or_else(|| (start == 0).then(|| no_record(&bytes)));
        match found {
            Some(End { joint: Joint::Torn { bytes, .. }, .. }) if bytes > MAX_TORN => {}
            Some(end) => return Ok(end),
            None if want < most => {
                want = (want * 8).min(most);
                continue;
            }
            None => {}
        }
        return Err(Error::damaged(
            path,
            format_args!("its last {MAX_TORN} bytes hold no record; move it away, and a new one is begun"),
        ));
    }
}

fn no_record(bytes: &[u8]) -> End {
    End { head: Head::start(), joint: if bytes.is_empty() { Joint::Clean } else { torn(bytes) } }
}

/// `from_start`: the bytes are the whole file, so that the first line is known to be whole.
fn last_record(bytes: &[u8], from_start: bool) -> Option<End> {
    let mut stop = bytes.len();
    loop {
        let newline = bytes[..stop].iter().rposition(|b| *b == b'\n');
        let start = match newline {
            Some(at) => at + 1,
            None if from_start => 0,
            None => return None,
        };
        if let Ok(record) = Record::decode(&bytes[start..stop]) {
            let joint = match bytes.get(stop + 1..) {
                None => Joint::NewlineMissing,
                Some([]) => Joint::Clean,
                Some(rest) => torn(rest),
            };
            return Some(End { head: Head::after(&record), joint });
        }
        stop = newline?;
    }
}

fn torn(bytes: &[u8]) -> Joint {
    Joint::Torn { bytes: bytes.len(), sha256: sha256_hex(bytes) }
}
