//! `aido init`: looks at a project and writes a `sandbox.yaml` for it. Asks nothing, runs nothing.

mod found;
mod text;

use crate::backend::{self, Backend};
use crate::cli::Init;
use crate::inputs::lay_out;
use crate::settings::{FILE, Overrides, Policy, Settings};
use crate::words::{self, say};
use aido_evidence::plain_json;
use aido_runtime::Error;
use anyhow::{Result, anyhow};
use found::Found;
use serde_json::json;
use std::io::{ErrorKind, Write as _};
use std::path::Path;

/// Version of the JSON form. 1: first.
const VERSION: u32 = 1;

/// What is written, and why.
struct Draft {
    text: String,
    runtime: String,
}

pub(super) fn init(dir: &Path, asked: &Init) -> Result<u8> {
    let there = |name: &str| dir.join(name).symlink_metadata().is_ok();
    if !asked.stdout && !asked.force && there(FILE) {
        let there = Error::new(format!("{FILE} is there already, and nothing was written"));
        return Err(there.remedy("`aido check` shows what it grants; `aido init --force` writes a new one").into());
    }
    let policy = Policy::of_the_user()?;
    let backend = backend::chosen(None, &policy)?;
    let found = Found::look(dir);
    let draft = draft(dir, &found, backend, &policy)?;
    if asked.stdout {
        words::print(&draft.text);
        return Ok(0);
    }
    super::schema::written(dir)?;
    write(dir, &draft.text, asked.force)?;
    let next = found.next();
    if asked.json {
        let kinds = found.kinds.iter().map(|kind| json!({"kind": kind.kind.name, "because": kind.because}));
        let told = json!({
            "version": VERSION, "file": FILE, "found": kinds.collect::<Vec<_>>(), "runtime": draft.runtime, "next": next,
        });
        words::print(&plain_json(serde_json::to_string_pretty(&told)? + "\n"));
    } else {
        say(&format!("wrote {FILE}: {}; runtime {}, no network, the project read-only", found.told(), draft.runtime));
        say("`aido check` shows what it grants, and the next is:");
        words::print(&format!("{}\n", words::command_line(&next)));
    }
    Ok(0)
}

/// The first text that holds here: what the caller's policy or project forbids is found before anything is written.
fn draft(dir: &Path, found: &Found, backend: Backend, policy: &Policy) -> Result<Draft> {
    let name = Settings::parse("", FILE, dir, &Overrides::default(), policy).map(|settings| settings.name);
    let mut first = None;
    for runtime in found.runtimes(backend) {
        // Where not even an empty file holds, the first text says why.
        let text = text::of(name.as_deref().unwrap_or("project"), &runtime, found);
        match reads_back(dir, &text, backend, policy) {
            Ok(()) => return Ok(Draft { text, runtime }),
            Err(error) => first = first.or(Some(error)),
        }
    }
    Err(first.unwrap_or_else(|| anyhow!("no runtime is known for this project")))
}

/// What `aido check` would say of it.
fn reads_back(dir: &Path, text: &str, backend: Backend, policy: &Policy) -> Result<()> {
    let settings = Settings::parse(text, FILE, dir, &Overrides::default(), policy)?;
    backend::refuse_writing(&settings, backend)?;
    backend::refuse_network(&settings, backend)?;
    lay_out(&settings, None, &backend::own_folders())?;
    Ok(())
}

/// Whole or not at all. A link that is there is replaced and never followed.
fn write(dir: &Path, text: &str, force: bool) -> Result<()> {
    let failed = |e: std::io::Error| match e.kind() {
        ErrorKind::AlreadyExists => anyhow!("{FILE} has appeared meanwhile, and is not written over"),
        _ => anyhow!("{FILE} cannot be written: {e}"),
    };
    let mut builder = tempfile::Builder::new();
    builder.prefix(".sandbox.yaml.");
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    let mut file = builder.tempfile_in(dir).map_err(failed)?;
    file.write_all(text.as_bytes()).and_then(|()| file.as_file().sync_all()).map_err(failed)?;
    let path = dir.join(FILE);
    let done = if force { file.persist(path) } else { file.persist_noclobber(path) };
    done.map(drop).map_err(|e| failed(e.error))
}

#[cfg(test)]
mod tests;
