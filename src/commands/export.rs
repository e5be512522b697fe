//! `aido export`: a run in one file, for somebody else.

use super::past;
use super::verify::{NOT_VERIFIED, faults, trust};
use crate::cli::Export;
use crate::fresh::Fresh;
use crate::progress::{self, Shown};
use crate::words::{self, say};
use aido_evidence::{Far, Packed, Report, Run, Trust, plain_json, verify_bundle};
use anyhow::{Context, Result, bail};
use serde_json::json;
use std::fs::File;
use std::io::{BufReader, BufWriter, IsTerminal, Read, Seek, Write};
use std::path::{Path, PathBuf};

const MADE_BY: &str = concat!("aido ", env!("CARGO_PKG_VERSION"));

pub(crate) fn export(dir: &Path, typed: &Export) -> Result<u8> {
    let run = past::run(dir, typed.run.as_deref())?;
    let output = typed.output.clone().unwrap_or_else(|| PathBuf::from(format!("{}.aido.tar.zst", run.id())));
    // Who exports vouches for what was signed with a key of his own.
    let trust = trust(&[])?;
    let shown = progress::shown(typed.quiet);
    if !typed.anyway {
        let report = run.verify_heard(&trust, &mut |far| tell(&shown, "checking", far));
        shown.clear();
        if !allowed(&report?) {
            return Ok(NOT_VERIFIED);
        }
    }
    if output == Path::new("-") {
        let stdout = std::io::stdout();
        if stdout.is_terminal() {
            bail!("a bundle is nothing for a terminal; name a file with -o, or pipe the output to another program");
        }
        let own = crate::host::streams::plain_stdout().context("standard output")?;
        let packed = packed(&run, BufWriter::with_capacity(1 << 17, own), &output, &shown)?;
        return told(typed, &run, &output, packed, None);
    }
    let mut fresh = Fresh::new(&output, typed.force)?;
    let packed = packed(&run, BufWriter::with_capacity(1 << 17, &fresh.file), &output, &shown)?;
    // Read back: what is handed on is what was checked.
    if !typed.anyway && !allowed(&reread(&mut fresh, &trust, &shown)?) {
        return Ok(NOT_VERIFIED);
    }
    let bytes = fresh.file.metadata().map(|m| m.len()).ok();
    fresh.show()?;
    told(typed, &run, &output, packed, bytes)
}

fn tell(shown: &Shown, doing: &'static str, far: Far) {
    match far {
        Far::Begins(bytes) => shown.work(doing, bytes),
        Far::Read(bytes) => shown.passed(bytes),
    }
}

fn packed(run: &Run, out: impl Write + Send, to: &Path, shown: &Shown) -> Result<Packed> {
    let packed = run.export(out, to, MADE_BY, &mut |far| tell(shown, "writing", far));
    shown.clear();
    Ok(packed?)
}

fn reread(fresh: &mut Fresh, trust: &Trust, shown: &Shown) -> Result<Report> {
    let back = "reading back what was written";
    fresh.file.rewind().context(back)?;
    shown.work("reading it back", fresh.file.metadata().context(back)?.len());
    let told = Told { file: &fresh.file, shown };
    let report = verify_bundle(BufReader::with_capacity(1 << 17, told), u64::MAX, trust);
    shown.clear();
    Ok(report?)
}

/// A file that tells how far it was read.
struct Told<'a> {
    file: &'a File,
    shown: &'a Shown,
}

impl Read for Told<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let read = (&mut self.file).read(buffer)?;
        self.shown.passed(read as u64);
        Ok(read)
    }
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
