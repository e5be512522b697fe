//! The only writer of one run.

use crate::append::Appender;
use crate::chain::{TORN, sha256_hex};
use crate::checkpoint::{self, CHECKPOINT, KEY, OUTPUT};
use crate::clock;
use crate::digesting::Digesting;
use crate::error::{Error, Result};
use crate::fault;
use crate::files::{CHANGES, EVENTS, PLAN, Stream};
use crate::folder::{Folder, For};
use crate::id::{Id, Of};
use crate::lock;
use crate::order::Noted;
use crate::sandbox::{LATEST, RUNS, Sandbox, UNFINISHED};
use crate::sealing::{Log, Sealing, Unsettled};
use crate::signer::Signer;
use crate::statement::{ClosedBy, Facts};
use serde::Serialize;
use serde_json::{Value, json};
use std::fs::File;
use std::path::Path;

/// How much of a stream was kept; what was kept is always its beginning.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Captured {
    pub kept: u64,
    pub dropped: u64,
}

/// Writes one run, and holds the lock on its `events.log` for as long as it lives: that lock is how
/// others know that the run is alive. It goes with the process, whatever ends it.
///
/// Nothing is synced to the disk before [`crate::Unsettled::settle`]: what was written survives the death of
/// this process, and after a power cut nothing of the run is left to be ended.
#[derive(Debug)]
pub struct Recording {
    id: Id,
    sandbox: Sandbox,
    folder: Folder,
    events: Appender,
    limit: u64,
    stdout: Capture,
    stderr: Capture,
    order: Noted,
    signer: Signer,
    signed: Signed,
}

#[derive(Debug)]
struct Capture {
    file: File,
    count: Captured,
    /// Over what was kept.
    digest: Digesting,
    /// A write failed: nothing more is kept, so that the log has no hole.
    failed: bool,
}

/// How far a writer has signed.
#[derive(Debug, Default, PartialEq)]
struct Signed {
    /// The number of the record after the last checkpoint.
    seq: u64,
    /// Bytes of each stream.
    kept: [u64; 2],
}

impl Sandbox {
    /// Begins a run that `signer` signs. `output_limit`: bytes kept of standard output and of standard error, each.
    pub fn begin_run(&self, output_limit: u64, signer: Signer) -> Result<Recording> {
        Recording::begin(self, &self.own_folder().sub_or_new(RUNS)?, output_limit, signer)
    }
}

impl Recording {
    fn begin(sandbox: &Sandbox, runs: &Folder, limit: u64, signer: Signer) -> Result<Recording> {
        let id = Id::random(Of::Run)?;
        // Built under a name that nobody lists: a run that can be seen is locked and has begun.
        let hidden = format!("{UNFINISHED}{id}");
        let folder = runs.make(&hidden)?;
        let file = folder.file(EVENTS, For::New)?;
        let path = runs.path().join(id.as_str()).join(EVENTS);
        if !lock::try_take(&file, &path)? {
            return Err(Error::io("lock", &path, std::io::ErrorKind::WouldBlock));
        }
        let mut events = Appender::new(file, path);
        let begun = json!({"run": id, "sandbox": sandbox.id(), "boot_id": clock::boot_id()?, "output_limit": limit});
        events.append("begun", &begun)?;
        events.append(KEY, &signer.told())?;
        let stdout = Capture::new(folder.file(Stream::Stdout.file_name(), For::New)?);
        let stderr = Capture::new(folder.file(Stream::Stderr.file_name(), For::New)?);
        let project = sandbox.project();
        // The mark first: whoever is killed in between leaves no run that nobody would close.
        project.mark_unsealed(&id, sandbox.id())?;
        runs.rename(&hidden, runs, id.as_str())?;
        project.ledger().append("run_begun", &json!({"run": id, "sandbox": sandbox.id()}))?;
        let folder = runs.sub(id.as_str())?;
        let (sandbox, order, signed) = (sandbox.clone(), Noted::default(), Signed::default());
        Ok(Recording { id, sandbox, folder, events, limit, stdout, stderr, order, signer, signed })
    }

    /// Points the links `latest` at this run and at its sandbox. Nothing waits for them, so there is a better time for it
    /// than before the sandbox is built.
    pub fn make_latest(&self) -> Result<()> {
        self.sandbox.own_folder().sub(RUNS)?.replace_link(LATEST, self.id.as_str())?;
        self.sandbox.project().sandboxes_folder()?.replace_link(LATEST, self.sandbox.id().as_str())
    }

    pub fn id(&self) -> &Id {
        &self.id
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Adds an event. After a failed write the next call mends the end of the file first.
    pub fn event(&mut self, kind: &str, data: Value) -> Result<()> {
        if [TORN, KEY, CHECKPOINT, OUTPUT].contains(&kind) {
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
        if !bytes.is_empty() && !capture.failed && before.kept < limit {
            self.order.note(&self.folder, stream, before.kept);
        }
        let written = capture.keep(bytes, limit, &path);
        written.map_err(|e| Error::io("keep output in", &path, e))?;
        Ok(Captured { kept: capture.count.kept - before.kept, dropped: capture.count.dropped - before.dropped })
    }

    /// No more output is expected: what works beside this thread ends. To be called before this process forks.
    pub fn rest(&mut self) {
        self.stdout.digest.rest();
        self.stderr.digest.rest();
    }

    /// What was kept and dropped of a stream so far.
    pub fn captured(&self, stream: Stream) -> Captured {
        self.capture(stream).count
    }

    /// The digest (`sha256:…`) of what was kept of a stream so far: of the whole log, that is.
    pub fn digest(&self, stream: Stream) -> String {
        format!("sha256:{}", self.capture(stream).sha256())
    }

    fn capture(&self, stream: Stream) -> &Capture {
        match stream {
            Stream::Stdout => &self.stdout,
            Stream::Stderr => &self.stderr,
        }
    }

    /// Whether anything was written that no checkpoint covers.
    pub fn is_unsigned(&mut self) -> Result<bool> {
        Ok(Signed { seq: self.events.at()?.seq, kept: self.kept() } != self.signed)
    }

    /// Signs what was recorded since the last time, output included; nothing is written if there is nothing new. What
    /// was signed is proven even if this process is killed.
    pub fn checkpoint(&mut self) -> Result<()> {
        if !self.is_unsigned()? {
            return Ok(());
        }
        let kept = self.kept();
        if kept != self.signed.kept {
            let told = |capture: &Capture| json!({"kept": capture.count.kept, "sha256": capture.sha256()});
            self.events.append(OUTPUT, &json!({"stdout": told(&self.stdout), "stderr": told(&self.stderr)}))?;
            self.stdout.digest.settle();
            self.stderr.digest.settle();
            self.signed.kept = kept;
        }
        // What is signed is the record before, so a torn end must not come in between.
        self.events.mend()?;
        if let Some(data) = checkpoint::made(&self.signer.key, &self.id, self.events.at()?) {
            self.events.append(CHECKPOINT, &data)?;
        }
        self.signed.seq = self.events.at()?.seq;
        Ok(())
    }

    fn kept(&self) -> [u64; 2] {
        [self.stdout.count.kept, self.stderr.count.kept]
    }

    /// Stores the plan of this run and ties it to the chain; returns its digest (`sha256:…`).
    pub fn plan(&mut self, bytes: &[u8]) -> Result<String> {
        self.folder.fresh(PLAN, bytes)?;
        let digest = format!("sha256:{}", sha256_hex(bytes));
        self.event("plan", json!({"digest": digest}))?;
        Ok(digest)
    }

    /// Stores what the task changed of the project, which the seal covers; returns its digest (`sha256:…`).
    pub fn changes(&mut self, bytes: &[u8]) -> Result<String> {
        self.folder.replace(CHANGES, bytes, false)?;
        Ok(format!("sha256:{}", sha256_hex(bytes)))
    }

    /// The hash of the last event. What the summary states must be asked for after the last one.
    pub fn chain_head(&mut self) -> Result<String> {
        Ok(self.events.head()?.to_owned())
    }

    /// Ends the run: after this it is complete, signed and there for others; [`Unsettled::settle`] brings it to the disk.
    pub fn seal(self, summary: &impl Serialize, facts: Facts) -> Result<Unsettled> {
        let logs = vec![self.stdout.log(Stream::Stdout), self.stderr.log(Stream::Stderr)];
        let sealing = Sealing {
            sandbox: &self.sandbox,
            folder: &self.folder,
            run: &self.id,
            signer: &self.signer,
            closed_by: ClosedBy::Writer,
            logs,
        };
        sealing.finish(self.events, summary, facts)
    }
}

impl Capture {
    fn new(file: File) -> Capture {
        Capture { file, count: Captured::default(), digest: Digesting::new(), failed: false }
    }

    fn log(self, stream: Stream) -> Log {
        let (name, sha256) = (stream.file_name(), self.sha256());
        // An empty log loses nothing in a power cut.
        Log { name, sha256, file: (self.count.kept > 0).then_some(self.file) }
    }

    /// Of what was kept so far.
    fn sha256(&self) -> String {
        self.digest.sha256()
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
        self.digest.add(&bytes[..kept]);
        self.count.kept += kept as u64;
        self.count.dropped += (bytes.len() - kept) as u64;
        result
    }
}
