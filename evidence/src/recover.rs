//! Closing a run whose writer died.

use crate::append::Appender;
use crate::checkpoint::KEY;
use crate::clock;
use crate::error::{Error, Result};
use crate::files::{EVENTS, SEAL, SUMMARY, Stream};
use crate::folder::{For, present};
use crate::id::Id;
use crate::lock;
use crate::read::Broken;
use crate::run::Run;
use crate::sealing::{Sealed, Sealing, completed, end_single, sha256_of, to_disk, whole};
use crate::signer::Signer;
use crate::statement::{ClosedBy, Facts};
use serde::Serialize;
use serde_json::{Value, json};
use std::fs::File;
use std::path::Path;
use std::time::Duration;

/// What can still be known of a run that was interrupted.
#[derive(Clone, Debug)]
pub struct Remains {
    pub run: Id,
    pub sandbox: Id,
    /// Times of the first and of the last event: RFC 3339, and milliseconds since the machine started.
    pub first: Option<(String, u64)>,
    pub last: Option<(String, u64)>,
    /// Bytes at the end of `events.log` that were no whole record.
    pub torn_bytes: usize,
    /// Where the chain does not hold, beyond a torn end.
    pub broken: Option<Broken>,
    pub stdout_bytes: u64,
    pub stderr_bytes: u64,
    /// The hash of the last event, the closing one included.
    pub chain_head: String,
}

/// What became of a run that has a summary, and a mark still.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settled {
    /// It is on the disk, and its mark gone.
    Done,
    /// Whoever sealed it is about to do that.
    ByItsWriter,
}

impl Run {
    /// Closes a run that was interrupted: adds an event of the type `interrupted`, which mends a torn
    /// end (see [`crate::Record`]) and changes no earlier byte, writes the summary that the
    /// caller makes of what remains, and seals it with the key of this user. None if the run lives or was sealed,
    /// perhaps just now by another process, or by its writer but for the last step, which is done here.
    pub fn close_interrupted<S: Serialize>(
        &self,
        summary: impl FnOnce(&Remains) -> (S, Facts),
    ) -> Result<Option<Sealed>> {
        let path = self.folder().join(EVENTS);
        // A writer makes its log first, so only a damaged folder lacks one; the run is closed all the same.
        let file = self.own_folder().file(EVENTS, For::AppendingOrNew)?;
        if !locked(&file, &path)? || self.is_sealed()? {
            return Ok(None);
        }
        self.own_folder().remove_unfinished()?;
        let mut events = Appender::resume(file, path)?;
        if completed(self.sandbox(), self.own_folder(), self.id(), events.head()?)? {
            drop(events);
            return self.settle().map(|_| None);
        }
        // Before anything is written: a key that must not be used is mended first.
        let signer = Signer::of(self.sandbox().project().home())?;
        let mut remains = self.remains()?;
        remains.torn_bytes = events.torn_bytes()?;
        let why = match self.is_of_this_boot() {
            true => "the process that wrote this run ended before it sealed it",
            false => "the machine stopped before this run was sealed and on the disk",
        };
        events.append(KEY, &signer.told())?;
        events.append("interrupted", &json!({"why": why, "torn_bytes": remains.torn_bytes}))?;
        remains.chain_head = events.head()?.to_owned();
        let sealing = Sealing {
            sandbox: self.sandbox(),
            folder: self.own_folder(),
            run: self.id(),
            signer: &signer,
            closed_by: ClosedBy::Recovery,
            logs: Vec::new(),
        };
        let (summary, facts) = summary(&remains);
        sealing.finish(events, &summary, facts)?.settle().map(Some)
    }

    /// Finishes what a sealing left out that was killed after the summary: the way to the disk, the ledger's line, and
    /// the mark.
    pub fn settle(&self) -> Result<Settled> {
        let path = self.folder().join(EVENTS);
        if self.alive()? {
            return Ok(Settled::ByItsWriter);
        }
        let file = self.own_folder().file(EVENTS, For::AppendingOrNew)?;
        if !locked(&file, &path)? {
            return Ok(Settled::ByItsWriter);
        }
        // What lies here under this name is another run: nothing is said of it.
        if self.begun().is_none_or(|begun| begun.data.get("run").and_then(Value::as_str) != Some(self.id().as_str())) {
            return Ok(Settled::ByItsWriter);
        }
        self.own_folder().remove_unfinished()?;
        let mut events = Appender::resume(file, path.clone())?;
        let head = events.head()?.to_owned();
        // Whatever it is like by now: what was seen of it is not to be lost.
        let mut files = whole(self.sandbox(), self.own_folder(), self.id(), &head, SUMMARY)?.unwrap_or_default();
        files.push((events.into_file(), path));
        to_disk(&files, self.own_folder())?;
        let project = self.sandbox().project();
        let recovered = self.events()?.flatten().any(|event| event.kind == "interrupted");
        let known = |line| project.ledger().has(line, "run", self.id());
        if !known("run_sealed")? && !known("run_interrupted")? {
            let line = if recovered { "run_interrupted" } else { "run_sealed" };
            let told = json!({
                "run": self.id(),
                "sandbox": self.sandbox().id(),
                "chain_head": head,
                "summary_sha256": sha256_of(self.own_folder(), SUMMARY)?,
                "seal_sha256": sha256_of(self.own_folder(), SEAL)?,
            });
            project.ledger().append(line, &told)?;
        }
        end_single(self.sandbox(), if recovered { ClosedBy::Recovery } else { ClosedBy::Writer })?;
        project.unmark(self.id())?;
        Ok(Settled::Done)
    }

    /// After a restart: takes the seal from a run of which a power cut took a part, so that it is none, and the run is
    /// closed as interrupted. At no other time does a seal go that does not fit: whoever changed what it speaks of would
    /// have it removed.
    pub(crate) fn unseal_if_torn(&self) -> Result<()> {
        if !self.is_sealed()? || self.alive()? {
            return Ok(());
        }
        let whole = match present(self.own_folder().file(EVENTS, For::Reading))? {
            // One in which no record is found holds nothing that was sealed.
            Some(file) => match Appender::resume(file, self.folder().join(EVENTS)) {
                Ok(mut events) => {
                    let head = events.head()?.to_owned();
                    whole(self.sandbox(), self.own_folder(), self.id(), &head, SUMMARY)?.is_some()
                }
                Err(_) => false,
            },
            None => false,
        };
        if !whole {
            // The seal last: without a summary nobody takes the run for a sealed one.
            self.own_folder().unlink(SUMMARY)?;
            self.own_folder().unlink(SEAL)?;
        }
        Ok(())
    }

    /// Whether it began since the machine was started; true where its record does not say.
    fn is_of_this_boot(&self) -> bool {
        let begun = self.begun();
        let boot_id = begun.as_ref().and_then(|begun| begun.data.get("boot_id")?.as_str());
        boot_id.is_none_or(|boot_id| clock::is_this_boot(boot_id).unwrap_or(true))
    }

    fn remains(&self) -> Result<Remains> {
        let size = |stream| self.open_output(stream).and_then(|f| size(&f, &self.output_path(stream))).unwrap_or(0);
        let mut remains = Remains {
            run: self.id().clone(),
            sandbox: self.sandbox().id().clone(),
            first: None,
            last: None,
            torn_bytes: 0,
            broken: None,
            stdout_bytes: size(Stream::Stdout),
            stderr_bytes: size(Stream::Stderr),
            chain_head: String::new(),
        };
        for event in self.events()? {
            match event {
                Ok(event) => {
                    let moment = (event.time, event.mono_ms);
                    remains.first.get_or_insert_with(|| moment.clone());
                    remains.last = Some(moment);
                }
                Err(broken) if broken.torn_end => {}
                Err(broken) => remains.broken = Some(broken),
            }
        }
        Ok(remains)
    }
}

/// Whether the dead writer's lock is ours now. Somebody who asks whether the run lives holds it for
/// a moment; that is no reason to give up.
fn locked(file: &File, path: &Path) -> Result<bool> {
    for _ in 0..20 {
        if lock::try_take(file, path)? {
            return Ok(true);
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok(false)
}

fn size(file: &File, path: &Path) -> Result<u64> {
    file.metadata().map(|m| m.len()).map_err(|e| Error::io("look at", path, e))
}
