//! The last steps of a run: its summary, the signed seal over everything, the ledger's line.

use crate::append::Appender;
use crate::chain::{hex, sha256_hex};
use crate::dsse::Envelope;
use crate::error::{Error, Result};
use crate::fault;
use crate::files::{CHANGES, CONFIG, EVENTS, MAX_SEAL, MAX_SUMMARY, ORDER, PLAN, PREPARED, SEAL, SUMMARY, Stream};
use crate::folder::{Folder, For};
use crate::id::Id;
use crate::project::Project;
use crate::sandbox::{Kind, OUTPUTS, Sandbox};
use crate::signer::Signer;
use crate::statement::{
    ChainEnd, ClosedBy, Facts, PREDICATE_VERSION, Predicate, STATEMENT_TYPE, SealKey, Statement, Subject,
};
use serde::Serialize;
use serde_json::json;
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io::Read;
use std::path::PathBuf;

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
    /// SHA-256 of `seal.json`, in hex.
    pub seal_sha256: String,
}

/// The same for the writer of a run and for who closes it after a crash.
pub(crate) struct Sealing<'a> {
    pub(crate) sandbox: &'a Sandbox,
    /// The run's.
    pub(crate) folder: &'a Folder,
    pub(crate) run: &'a Id,
    pub(crate) signer: &'a Signer,
    pub(crate) closed_by: ClosedBy,
    /// Logs whose digests are known, and that are to be on the disk.
    pub(crate) logs: Vec<Log>,
}

/// A log as its writer knows it.
pub(crate) struct Log {
    pub(crate) name: &'static str,
    pub(crate) sha256: String,
    /// None: it is empty, and a power cut takes nothing from it.
    pub(crate) file: Option<File>,
}

/// A run that is complete and that others can read; its files may still be on their way to the disk. Until they are
/// there its mark stays, so that the first command after a power cut looks whether all of it came through.
#[derive(Debug)]
#[must_use = "until it is settled its mark stays"]
pub struct Unsettled {
    sealed: Sealed,
    closed_by: ClosedBy,
    sandbox: Sandbox,
    folder: Folder,
    /// The first is the run's own, under the lock by which others know that somebody is at it.
    files: Files,
}

impl Unsettled {
    pub fn sealed(&self) -> &Sealed {
        &self.sealed
    }

    /// Returns when all of it is on the disk, the ledger knows of it, and its mark is gone.
    pub fn settle(self) -> Result<Sealed> {
        to_disk(&self.files, &self.folder)?;
        let project = self.sandbox.project();
        // Its writer makes nothing new here, for whoever removes all of it meanwhile: a ledger that is gone is missed by
        // the next one who appends to it.
        if self.closed_by == ClosedBy::Recovery || project.own_folder().has(crate::ledger::NAME)? {
            self.sealed.tell(project, self.closed_by)?;
        }
        project.unmark(&self.sealed.run)?;
        Ok(self.sealed)
    }
}

/// A sandbox that was made for one run ends with it.
pub(crate) fn end_single(sandbox: &Sandbox, closed_by: ClosedBy) -> Result<()> {
    let single = match sandbox.state() {
        Ok(state) => state.kind == Kind::Single,
        // It was destroyed meanwhile, or a power cut took it: nothing of it is to be ended.
        Err(error) if error.is_missing() => false,
        Err(Error::Damaged { .. }) => false,
        Err(error) => return Err(error),
    };
    let why = match closed_by {
        ClosedBy::Writer => "its run ended",
        ClosedBy::Recovery => "its run was interrupted",
    };
    if single { sandbox.end(why).map(drop) } else { Ok(()) }
}

/// Brings files to the disk, and then their names.
pub(crate) fn to_disk(files: &Files, folder: &Folder) -> Result<()> {
    for (file, path) in files {
        let synced = fault::step("sync", path).and_then(|()| file.sync_data());
        synced.map_err(|e| Error::io("sync", path, e))?;
    }
    folder.sync()
}

impl Sealing<'_> {
    /// In this order: the summary is written under a hidden name, the seal over all under its own, the summary gets its
    /// name and makes the run a sealed one. Whoever stops in between leaves something that can be closed: with a seal that
    /// is whole the next one only gives the summary its name. The ledger hears of it when all of it is on the disk.
    pub(crate) fn finish(self, mut events: Appender, summary: &impl Serialize, facts: Facts) -> Result<Unsettled> {
        let path = |name: &str| self.folder.path().join(name);
        let mut bytes = serde_json::to_vec_pretty(summary).map_err(|e| Error::damaged(&path(SUMMARY), e))?;
        bytes.push(b'\n');
        bounded(&path(SUMMARY), &bytes, MAX_SUMMARY)?;
        let prepared = self.folder.fresh(PREPARED, &bytes)?;
        let summary_sha256 = sha256_hex(&bytes);
        let (seal, mut files) = self.seal(&mut events, &summary_sha256, facts)?;
        bounded(&path(SEAL), &seal, MAX_SEAL)?;
        let sealed = self.folder.fresh(SEAL, &seal)?;
        self.folder.rename(PREPARED, self.folder, SUMMARY)?;
        files.extend([(prepared, path(SUMMARY)), (sealed, path(SEAL))]);
        let sealed = Sealed {
            run: self.run.clone(),
            sandbox: self.sandbox.id().clone(),
            folder: self.folder.path().to_path_buf(),
            chain_head: events.head()?.to_owned(),
            summary_sha256,
            seal_sha256: sha256_hex(&seal),
        };
        files.insert(0, (events.into_file(), path(EVENTS)));
        let kept = self.logs.into_iter().filter_map(|log| Some((log.file?, path(log.name))));
        files.extend(kept);
        end_single(self.sandbox, self.closed_by)?;
        let (closed_by, sandbox) = (self.closed_by, self.sandbox.clone());
        Ok(Unsettled { sealed, closed_by, sandbox, folder: self.folder.clone(), files })
    }

    /// The stored form of the seal, and the files that it speaks of beside the events, the summary and known logs.
    fn seal(&self, events: &mut Appender, summary_sha256: &str, facts: Facts) -> Result<(Vec<u8>, Files)> {
        let path = self.folder.path().join(SEAL);
        let mut subjects = vec![Subject::new(SUMMARY, summary_sha256)];
        let mut files = Vec::new();
        subjects.extend(sha256_of(self.folder, EVENTS)?.map(|sha256| Subject::new(EVENTS, &sha256)));
        let mut read = |folder: &Folder, name: &str| -> Result<Option<Subject>> {
            let Some((sha256, file)) = hashed(folder, name)? else { return Ok(None) };
            files.push((file, folder.path().join(name)));
            Ok(Some(Subject::new(name, &sha256)))
        };
        for name in [ORDER, PLAN, Stream::Stdout.file_name(), Stream::Stderr.file_name(), CHANGES] {
            let known = self.logs.iter().find(|log| log.name == name);
            subjects.extend(match known {
                Some(log) => Some(Subject::new(name, &log.sha256)),
                None => read(self.folder, name)?,
            });
        }
        subjects.extend(read(self.sandbox.own_folder(), CONFIG)?);
        subjects.extend(facts.outputs.iter().map(|(path, sha256)| Subject::new(format!("{OUTPUTS}/{path}"), sha256)));
        let at = events.at()?;
        let public = self.signer.public();
        let mut predicate = Predicate {
            version: PREDICATE_VERSION,
            run: self.run.clone(),
            sandbox: self.sandbox.id().clone(),
            closed_by: self.closed_by,
            key: SealKey { id: public.id().to_owned(), public: public.to_pem(), kept: self.signer.is_kept() },
            chain: ChainEnd { head: at.prev.clone(), records: at.seq },
            outputs_of: format!("../../{OUTPUTS}"),
            facts: facts.members,
        };
        for own in ["version", "run", "sandbox", "closed_by", "key", "chain", "outputs_of"] {
            predicate.facts.remove(own);
        }
        let statement = Statement::new(subjects, predicate);
        serde_json::to_vec(&statement)
            .and_then(|payload| Envelope::sign(STATEMENT_TYPE, &payload, &self.signer.key).to_bytes())
            .map(|seal| (seal, files))
            .map_err(|e| Error::damaged(&path, e))
    }
}

/// Open files and where they lie.
pub(crate) type Files = Vec<(File, PathBuf)>;

impl Sealed {
    /// The ledger's line.
    fn tell(&self, project: &Project, closed_by: ClosedBy) -> Result<()> {
        let line = match closed_by {
            ClosedBy::Writer => "run_sealed",
            ClosedBy::Recovery => "run_interrupted",
        };
        let told = json!({
            "run": self.run,
            "sandbox": self.sandbox,
            "chain_head": self.chain_head,
            "summary_sha256": self.summary_sha256,
            "seal_sha256": self.seal_sha256,
        });
        project.ledger().append(line, &told)
    }
}

/// Whether everything that a seal speaks of lies beside it as it says, but for outputs, over the chain that ends in
/// `head`; `summary` is how the summary is called. The files, where it does. After a power cut any of them may be
/// empty, old or gone.
pub(crate) fn whole(sandbox: &Sandbox, folder: &Folder, run: &Id, head: &str, summary: &str) -> Result<Option<Files>> {
    let envelope = folder.read(SEAL, MAX_SEAL).ok().and_then(|bytes| Envelope::read(&bytes).ok());
    let statement = envelope.and_then(|envelope| Statement::read(&envelope.payload().ok()?).ok());
    let speaks_of = |statement: &Statement| statement.predicate.run == *run && statement.predicate.chain.head == head;
    let Some(statement) = statement.filter(speaks_of) else { return Ok(None) };
    let mut files = Vec::new();
    for subject in statement.subject.iter().filter(|subject| !subject.name.starts_with(&format!("{OUTPUTS}/"))) {
        let (folder, name) = match subject.name.as_str() {
            SUMMARY => (folder, summary),
            CONFIG => (sandbox.own_folder(), CONFIG),
            name => (folder, name),
        };
        match hashed(folder, name)? {
            Some((sha256, file)) if statement.sha256(&subject.name) == Some(&sha256) => {
                files.push((file, folder.path().join(name)));
            }
            _ => return Ok(None),
        }
    }
    if let Some(seal) = crate::folder::present(folder.file(SEAL, For::Reading))? {
        files.push((seal, folder.path().join(SEAL)));
    }
    Ok(Some(files))
}

/// Whether a summary that lies prepared is what the seal beside it was made for: then the writer finished all but the
/// last step, and it is done here.
pub(crate) fn completed(sandbox: &Sandbox, folder: &Folder, run: &Id, head: &str) -> Result<bool> {
    let whole = folder.has(SEAL)? && folder.has(PREPARED)? && whole(sandbox, folder, run, head, PREPARED)?.is_some();
    if whole {
        folder.rename(PREPARED, folder, SUMMARY)?;
    }
    Ok(whole)
}

fn bounded(path: &std::path::Path, bytes: &[u8], most: u64) -> Result<()> {
    if bytes.len() as u64 > most {
        return Err(Error::damaged(path, format_args!("it would be longer than {most} bytes")));
    }
    Ok(())
}

/// SHA-256 of a file, in hex; None if it is not there.
pub(crate) fn sha256_of(folder: &Folder, name: &str) -> Result<Option<String>> {
    Ok(hashed(folder, name)?.map(|(sha256, _)| sha256))
}

/// The same, and the file that was read.
fn hashed(folder: &Folder, name: &str) -> Result<Option<(String, File)>> {
    let Some(mut file) = crate::folder::present(folder.file(name, For::Reading))? else { return Ok(None) };
    let (mut hash, mut buffer) = (Sha256::new(), vec![0; 64 * 1024]);
    loop {
        match file.read(&mut buffer) {
            Ok(0) => return Ok(Some((hex(&hash.finalize()), file))),
            Ok(n) => hash.update(&buffer[..n]),
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
            Err(e) => return Err(Error::io("read", &folder.path().join(name), e)),
        }
    }
}
