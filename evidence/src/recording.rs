//! The only writer of one run.

use crate::append::Appender;
use crate::chain::{TORN, sha256_hex};
use crate::clock;
use crate::error::{Error, Result};
use crate::fault;
use crate::files::{EVENTS, MAX_SUMMARY, SUMMARY, Stream};
use crate::folder::{Folder, For};
use crate::id::{Id, Of};
use crate::project::Project;
use crate::sandbox::{RUNS, Sandbox, UNFINISHED};
use serde::Serialize;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::fs::File;
use std::path::{Path, PathBuf};

/// How much of a stream was kept; what was kept is always its beginning.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Captured {
    pub kept: u64,
    pub dropped: u64,
}

/// Writes one run, and holds the lock on its `events.log` for as long as it lives: that lock is how
/// others know that the run is alive. It goes with the process, whatever ends it.
///
/// Nothing is synced to the disk before [`Recording::seal`]: what was written survives the death of
/// this process, and after a power cut nothing of the run is left to be ended.
#[derive(Debug)]
pub struct Recording {
    id: Id,
    sandbox: Id,
    project: Project,
    folder: Folder,
    events: Appender,
    limit: u64,
    stdout: Capture,
    stderr: Capture,
}

#[derive(Debug)]
struct Capture {
    file: File,
    count: Captured,
    /// Over what was kept.
    hasher: Sha256,
    /// A write failed: nothing more is kept, so that the log has no hole.
    failed: bool,
}

/// A run that is complete.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sealed {
    pub run: Id,
    pub sandbox: Id,
    pub folder: PathBuf,
    /// The hash of the last event.
    pub chain_head: String,
    /// SHA-256 of `summary.json`, in hex.
    pub summary_sha256: String,
}

impl Sandbox {
    /// Begins a run. `output_limit`: bytes kept of standard output and of standard error, each.
    pub fn begin_run(&self, output_limit: u64) -> Result<Recording> {
        Recording::begin(self, &self.own_folder().sub_or_new(RUNS)?, output_limit)
    }
}

impl Recording {
    fn begin(sandbox: &Sandbox, runs: &Folder, limit: u64) -> Result<Recording> {
        let id = Id::random(Of::Run)?;
        // Built under a name that nobody lists: a run that can be seen is locked and has begun.
        let hidden = format!("{UNFINISHED}{id}");
        let folder = runs.make(&hidden)?;
        let file = folder.file(EVENTS, For::New)?;
        let path = runs.path().join(id.as_str()).join(EVENTS);
        file.try_lock().map_err(|e| Error::io("lock", &path, e))?;
        let mut events = Appender::new(file, path);
        let begun = json!({"run": id, "sandbox": sandbox.id(), "boot_id": clock::boot_id()?, "output_limit": limit});
        events.append("begun", &begun)?;
        let stdout = Capture::new(folder.file(Stream::Stdout.file_name(), For::New)?);
        let stderr = Capture::new(folder.file(Stream::Stderr.file_name(), For::New)?);
        let project = sandbox.project().clone();
        // The mark first: whoever is killed in between leaves no run that nobody would close.
        project.mark_unsealed(&id, sandbox.id())?;
        runs.rename(&hidden, runs, id.as_str())?;
        project.ledger().append("run_begun", &json!({"run": id, "sandbox": sandbox.id()}))?;
        runs.replace_link("latest", id.as_str())?;
        let folder = runs.sub(id.as_str())?;
        Ok(Recording { id, sandbox: sandbox.id().clone(), project, folder, events, limit, stdout, stderr })
    }

    pub fn id(&self) -> &Id {
        &self.id
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Adds an event. After a failed write the next call mends the end of the file first.
    pub fn event(&mut self, kind: &str, data: Value) -> Result<()> {
        if kind == TORN {
            return Err(Error::Reserved(kind.to_owned()));
        }
        self.events.append(kind, &data)
    }

    /// Keeps bytes of the task exactly as they came, up to the limit; says what became of these. On
    /// an error the rest of the stream is counted as dropped, and later calls succeed.
    pub fn output(&mut self, stream: Stream, bytes: &[u8]) -> Result<Captured> {
        let path = self.folder.path().join(stream.file_name());
        let limit = self.limit;
        let capture = match stream {
            Stream::Stdout => &mut self.stdout,
            Stream::Stderr => &mut self.stderr,
        };
        let before = capture.count;
        let written = capture.keep(bytes, limit, &path);
        written.map_err(|e| Error::io("keep output in", &path, e))?;
        Ok(Captured { kept: capture.count.kept - before.kept, dropped: capture.count.dropped - before.dropped })
    }

    /// What was kept and dropped of a stream so far.
    pub fn captured(&self, stream: Stream) -> Captured {
        match stream {
            Stream::Stdout => self.stdout.count,
            Stream::Stderr => self.stderr.count,
        }
    }

    /// The digest (`sha256:…`) of what was kept of a stream so far: of the whole log, that is.
    pub fn digest(&self, stream: Stream) -> String {
        let capture = match stream {
            Stream::Stdout => &self.stdout,
            Stream::Stderr => &self.stderr,
        };
        let digest = capture.hasher.clone().finalize();
        digest.iter().fold("sha256:".to_owned(), |text, byte| format!("{text}{byte:02x}"))
    }

    /// Stores the plan of this run and ties it to the chain; returns its digest (`sha256:…`).
    pub fn plan(&mut self, bytes: &[u8]) -> Result<String> {
        self.folder.replace("plan.json", bytes, false)?;
        let digest = format!("sha256:{}", sha256_hex(bytes));
        self.event("plan", json!({"digest": digest}))?;
        Ok(digest)
    }

    /// The hash of the last event. What the summary states must be asked for after the last one.
    pub fn chain_head(&mut self) -> Result<String> {
        Ok(self.events.head()?.to_owned())
    }

    /// Ends the run: after this it is on the disk, complete, and has no writer.
    pub fn seal(mut self, summary: &impl Serialize) -> Result<Sealed> {
        for capture in [&self.stdout, &self.stderr] {
            // An empty log loses nothing in a power cut.
            if capture.count.kept > 0 {
                fault::step("sync", self.folder.path())
                    .map_err(std::io::Error::from)
                    .and_then(|()| capture.file.sync_data())
                    .map_err(|e| Error::io("sync the output in", self.folder.path(), e))?;
            }
        }
        let sealing = Sealing {
            project: &self.project,
            folder: &self.folder,
            run: &self.id,
            sandbox: &self.sandbox,
            line: "run_sealed",
        };
        sealing.finish(&mut self.events, summary)
    }
}

impl Capture {
    fn new(file: File) -> Capture {
        Capture { file, count: Captured::default(), hasher: Sha256::new(), failed: false }
    }

    fn keep(&mut self, bytes: &[u8], limit: u64, path: &Path) -> std::io::Result<()> {
        let room = if self.failed { 0 } else { limit - self.count.kept };
        let mut rest = &bytes[..bytes.len().min(usize::try_from(room).unwrap_or(usize::MAX))];
        let mut result = Ok(());
        let mut kept = 0;
        while !rest.is_empty() {
            match fault::write(&mut self.file, rest, path) {
                Ok(0) => result = Err(std::io::ErrorKind::WriteZero.into()),
                Ok(n) => {
                    kept += n;
                    rest = &rest[n..];
                }
                Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
                Err(e) => result = Err(e),
            }
            if result.is_err() {
                self.failed = true;
                break;
            }
        }
        self.hasher.update(&bytes[..kept]);
        self.count.kept += kept as u64;
        self.count.dropped += (bytes.len() - kept) as u64;
        result
    }
}

/// The last steps of a run, the same for its writer and for who closes it after a crash.
pub(crate) struct Sealing<'a> {
    pub(crate) project: &'a Project,
    pub(crate) folder: &'a Folder,
    pub(crate) run: &'a Id,
    pub(crate) sandbox: &'a Id,
    /// What the ledger calls it.
    pub(crate) line: &'a str,
}

impl Sealing<'_> {
    /// In this order: the events reach the disk, then the summary that speaks of them, then the
    /// ledger, then the mark goes. Whoever stops in between leaves something that can be closed.
    pub(crate) fn finish(self, events: &mut Appender, summary: &impl Serialize) -> Result<Sealed> {
        let path = self.folder.path().join(SUMMARY);
        let mut bytes = serde_json::to_vec_pretty(summary).map_err(|e| Error::damaged(&path, e))?;
        bytes.push(b'\n');
        if bytes.len() as u64 > MAX_SUMMARY {
            return Err(Error::damaged(&path, format_args!("it would be longer than {MAX_SUMMARY} bytes")));
        }
        events.sync()?;
        self.folder.replace(SUMMARY, &bytes, true)?;
        let sealed = Sealed {
            run: self.run.clone(),
            sandbox: self.sandbox.clone(),
            folder: self.folder.path().to_path_buf(),
            chain_head: events.head()?.to_owned(),
            summary_sha256: sha256_hex(&bytes),
        };
        let line = json!({
            "run": sealed.run,
            "sandbox": sealed.sandbox,
            "chain_head": sealed.chain_head,
            "summary_sha256": sealed.summary_sha256,
        });
        self.project.ledger().append(self.line, &line)?;
        self.project.unmark(self.run)?;
        Ok(sealed)
    }
}
