//! The last steps of a run: its summary, the signed seal over everything, the ledger's line.

use crate::append::Appender;
use crate::chain::{hex, sha256_hex};
use crate::dsse::Envelope;
use crate::error::{Error, Result};
use crate::files::{CHANGES, CONFIG, EVENTS, MAX_SEAL, MAX_SUMMARY, ORDER, PLAN, PREPARED, SEAL, SUMMARY, Stream};
use crate::folder::{Folder, For};
use crate::id::Id;
use crate::pending::Pending;
use crate::project::Project;
use crate::sandbox::{OUTPUTS, Sandbox};
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
    pub(crate) logs: Vec<Log<'a>>,
}

/// A log as its writer knows it.
pub(crate) struct Log<'a> {
    pub(crate) name: &'static str,
    pub(crate) sha256: String,
    /// None: it is empty, and a power cut takes nothing from it.
    pub(crate) file: Option<&'a File>,
}

impl Sealing<'_> {
    /// In this order: the summary is written under a hidden name and the seal over all under none; both and everything
    /// that the seal speaks of reach the disk, at once; the seal gets its name, the summary gets its name and makes the
    /// run a sealed one; both names reach the disk; then the ledger, then the mark goes. Whoever stops in between leaves
    /// something that can be closed: with a seal that is whole the next one only gives the summary its name.
    pub(crate) fn finish(self, events: &mut Appender, summary: &impl Serialize, facts: Facts) -> Result<Sealed> {
        let path = self.folder.path().join(SUMMARY);
        let mut bytes = serde_json::to_vec_pretty(summary).map_err(|e| Error::damaged(&path, e))?;
        bytes.push(b'\n');
        bounded(&path, &bytes, MAX_SUMMARY)?;
        let prepared = self.folder.unnamed(PREPARED, &bytes)?;
        let summary_sha256 = sha256_hex(&bytes);
        let (seal, sealed_files) = self.seal(events, &summary_sha256, facts)?;
        bounded(&self.folder.path().join(SEAL), &seal, MAX_SEAL)?;
        let unnamed = self.folder.unnamed(SEAL, &seal)?;
        let mut pending = Pending::default();
        pending.add(events.file(), self.folder.path().join(EVENTS));
        pending.add(prepared.file(), self.folder.path().join(PREPARED));
        pending.add(unnamed.file(), self.folder.path().join(SEAL));
        self.logs.iter().filter_map(|log| Some((log.file?, log.name))).for_each(|(file, name)| {
            pending.add(file, self.folder.path().join(name));
        });
        sealed_files.iter().for_each(|(file, path)| pending.add(file, path.clone()));
        pending.sync()?;
        prepared.name(PREPARED)?;
        unnamed.name(SEAL)?;
        self.folder.rename(PREPARED, self.folder, SUMMARY)?;
        self.folder.sync()?;
        let sealed = Sealed {
            run: self.run.clone(),
            sandbox: self.sandbox.id().clone(),
            folder: self.folder.path().to_path_buf(),
            chain_head: events.head()?.to_owned(),
            summary_sha256,
            seal_sha256: sha256_hex(&seal),
        };
        sealed.tell(self.sandbox.project(), self.closed_by)?;
        Ok(sealed)
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
type Files = Vec<(File, PathBuf)>;

impl Sealed {
    /// The ledger's line, and then the mark goes.
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
        project.ledger().append(line, &told)?;
        project.unmark(&self.run)
    }
}

/// Whether a summary that lies prepared is what the seal beside it was made for, over this chain: then the writer
/// finished all but the last step, and it is done here.
pub(crate) fn completed(folder: &Folder, run: &Id, head: &str) -> Result<bool> {
    if !folder.has(SEAL)? || !folder.has(PREPARED)? {
        return Ok(false);
    }
    let envelope = folder.read(SEAL, MAX_SEAL).ok().and_then(|bytes| Envelope::read(&bytes).ok());
    let statement = envelope.and_then(|envelope| Statement::read(&envelope.payload().ok()?).ok());
    let prepared = sha256_of(folder, PREPARED)?;
    let whole = statement.is_some_and(|statement| {
        statement.predicate.run == *run
            && statement.predicate.chain.head == head
            && statement.sha256(SUMMARY) == prepared.as_deref()
    });
    if whole {
        folder.rename(PREPARED, folder, SUMMARY)?;
        folder.sync()?;
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
