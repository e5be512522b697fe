//! `aido diff`: what the tasks of a sandbox changed of the project, or where two sandboxes differ.

mod compared;
mod shown;

use crate::cli::Diff;
use crate::commands::past;
use crate::host::changed;
use crate::words::say;
use aido_changes::{Changes, Hashes, LeftOut};
use aido_evidence::plain_json;
use anyhow::Result;
use serde_json::json;
use shown::Out;
use std::io::Write;
use std::path::Path;

/// Version of the JSON form. 1: first.
const VERSION: u32 = 1;

pub(crate) fn diff(dir: &Path, typed: &Diff) -> Result<u8> {
    let project = past::project(dir)?;
    if let [one, other] = typed.what.as_slice() {
        return compared::compare(&project, [one, other], typed);
    }
    let sandbox = changed::sandbox(&project, typed.what.first().map(String::as_str))?;
    let changes = changed::some(&sandbox)?;
    if typed.json {
        let told = json!({"version": VERSION, "sandbox": sandbox.id(), "changes": changes.list, "cost": changes.cost});
        crate::words::print(&plain_json(serde_json::to_string_pretty(&told)? + "\n"));
        return Ok(0);
    }
    if changes.is_empty() {
        say(&format!("sandbox {} left the project as it is", sandbox.id()));
        return Ok(0);
    }
    let mut out = Out::new(typed.raw, !typed.stat && !typed.name_status)?;
    let left_out = written(&changes, typed, &mut out)?;
    out.finish()?;
    left_out.iter().for_each(|left| say(&format!("not in the patch: {}: {}", left.path, left.why)));
    Ok(0)
}

fn written(changes: &Changes, typed: &Diff, out: &mut dyn Write) -> Result<Vec<LeftOut>> {
    let written = if typed.name_status {
        changes.name_status(out).map(|()| Vec::new())
    } else if typed.stat {
        changes.write_stat(out).map(|()| Vec::new())
    } else {
        changes.patch(out, Hashes::default())
    };
    match written {
        // The reader has seen enough.
        Err(aido_changes::Error::Io { error, .. }) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(Vec::new()),
        other => Ok(other?),
    }
}
