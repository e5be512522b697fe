//! The first look at a project since the machine was started. What is not synced can be lost in a power cut, and not
//! in the order in which it was done: a run may have lost its mark, or the ledger its last lines.

use crate::clock;
use crate::error::Result;
use crate::project::Project;
use std::collections::HashSet;

const NAME: &str = "boot";

impl Project {
    /// Marks the runs whose end is not said in full. Looks at all of them, but once for each start of the machine.
    pub(crate) fn look_again_after_a_restart(&self) -> Result<()> {
        let here = clock::boot_id()?;
        if self.own_folder().read(NAME, 256).is_ok_and(|told| is_this_boot(&told)) {
            return Ok(());
        }
        let closed = self.closed()?;
        for run in self.runs()? {
            // A ledger that does not hold says nothing of what it lacks.
            let told = closed.as_ref().is_none_or(|closed| closed.contains(run.id().as_str()));
            // The ledger tells of it when all of it is on the disk, and then its mark goes.
            if !told || self.unsealed()?.is_some_and(|marks| marks.has(run.id().as_str()).unwrap_or(false)) {
                run.unseal_if_torn()?;
            }
            if !told || !run.is_sealed()? {
                self.mark_unsealed(run.id(), run.sandbox().id())?;
            }
        }
        self.own_folder().replace(NAME, here.as_bytes(), false)
    }

    /// The runs whose end the ledger tells; None where it is damaged.
    fn closed(&self) -> Result<Option<HashSet<String>>> {
        let mut closed = HashSet::new();
        for line in self.ledger().records()?.into_iter().flatten() {
            let Ok(line) = line else { return Ok(None) };
            if matches!(line.kind.as_str(), "run_sealed" | "run_interrupted") {
                closed.extend(line.data.get("run").and_then(|run| run.as_str()).map(str::to_owned));
            }
        }
        Ok(Some(closed))
    }
}

fn is_this_boot(told: &[u8]) -> bool {
    std::str::from_utf8(told).is_ok_and(|told| clock::is_this_boot(told).unwrap_or(false))
}
