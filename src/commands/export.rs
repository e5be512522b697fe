//! `aido export`: a run in one file, for somebody else.

use super::past;
use super::verify::{NOT_VERIFIED, faults, trust};
use crate::cli::Export;
use crate::fresh::Fresh;
use crate::words::{self, say};
use aido_evidence::{Packed, Report, Run, Trust, plain_json, verify_bundle};
use anyhow::{Context, Result, bail};
use serde_json::json;
use std::io::{BufReader, BufWriter, IsTerminal, Seek};
use std::path::{Path, PathBuf};

const MADE_BY: &str = concat!("aido ", env!("CARGO_PKG_VERSION"));

pub(crate) fn export(dir: &Path, typed: &Export) -> Result<u8> {
    let run = past::run(dir, typed.run.as_deref())?;
    let output = typed.output.clone().unwrap_or_else(|| PathBuf::from(format!("{}.aido.tar.zst", run.id())));
    // Who exports vouches for what was signed with a key of his own.
    let trust = trust(&[])?;
    if !typed.anyway && !allowed(&run.verify(&trust)?) {
        return Ok(NOT_VERIFIED);
    }
    if output == Path::new("-") {
        let stdout = std::io::stdout();
        if stdout.is_terminal() {
            bail!("a bundle is nothing for a terminal; name a file with -o, or pipe the output to another program");
        }
        let own = crate::host::streams::plain_stdout().context("standard output")?;
        let packed = run.export(BufWriter::with_capacity(1 << 17, own), &output, MADE_BY)?;
        return told(typed, &run, &output, packed, None);
    }
    let mut fresh = Fresh::new(&output, typed.force)?;
    let packed = run.export(BufWriter::with_capacity(1 << 17, &fresh.file), &output, MADE_BY)?;
    // Read back: what is handed on is what was checked.
    if !typed.anyway && !allowed(&reread(&mut fresh, &trust)?) {
        return Ok(NOT_VERIFIED);
    }
    let bytes = fresh.file.metadata().map(|m| m.len()).ok();
    fresh.show()?;
    told(typed, &run, &output, packed, bytes)
}

fn reread(fresh: &mut Fresh, trust: &Trust) -> Result<Report> {
    fresh.file.rewind().context("reading back what was written")?;
    Ok(verify_bundle(BufReader::with_capacity(1 << 17, &fresh.file), u64::MAX, trust)?)
}

/// Whether it may be handed on; says why not.
fn allowed(report: &Report) -> bool {
    if !report.verified {
        say(&format!("run {} does not verify, and was not exported:\n{}", words::inert(&report.run), faults(report)));
        say("`aido verify` says what still stands; --anyway exports it as it is");
    } else if report.state == aido_evidence::VerifiedState::Running {
        say(&format!("run {} still runs; --anyway exports what is there", words::inert(&report.run)));
        return false;
    }
    report.verified
}

fn told(typed: &Export, run: &Run, output: &Path, packed: Packed, bytes: Option<u64>) -> Result<u8> {
    let file = output.to_string_lossy();
    if typed.json {
        let value = json!({"version": 1, "run": run.id(), "file": file, "files": packed.files, "bytes": packed.bytes,
            "size": bytes, "outputs": packed.outputs});
        let text = plain_json(serde_json::to_string_pretty(&value)? + "\n");
        // The bundle itself went to standard output.
        if output == Path::new("-") { eprint!("{text}") } else { words::print(&text) }
    } else if !typed.quiet {
        let to = if output == Path::new("-") { "standard output".into() } else { words::inert(&file) };
        let (files, holds) = (words::count(packed.files as usize, "file"), words::size(packed.bytes));
        say(&format!("wrote run {} to {to}: {files}, {holds}", run.id()));
        if !packed.outputs {
            say("its outputs are not in it: a later run of the sandbox replaced them");
        }
    }
    Ok(0)
}
