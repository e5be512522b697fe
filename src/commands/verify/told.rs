//! What verification found, for people.

use crate::words::{count, inert, size};
use aido_evidence::{Finding, LedgerReport, Level, Report, SignedBy, Trusted, VerifiedState};
use owo_colors::OwoColorize;
use std::fmt::Write as _;

/// Findings of one run before the rest is only counted; --json has all.
const SHOWN: usize = 12;

pub(super) fn page(runs: &[Report], ledger: Option<&LedgerReport>, verified: bool, quiet: bool) -> String {
    let mut text = String::new();
    for run in runs.iter().filter(|run| !quiet || told(&run.findings)) {
        one(&mut text, run);
    }
    if let Some(ledger) = ledger.filter(|ledger| !quiet || told(&ledger.findings)) {
        let held = if ledger.anchored { "; its end is known outside of the project" } else { "" };
        let _ = writeln!(text, "{} {} lines{held}", "ledger".bold(), ledger.lines);
        findings(&mut text, &ledger.findings);
    }
    if !quiet || !verified {
        let _ = writeln!(text, "{}", verdict(runs, ledger, verified));
    }
    text
}

fn told(findings: &[Finding]) -> bool {
    findings.iter().any(|finding| finding.level > Level::Note)
}

fn one(text: &mut String, run: &Report) {
    let name = if run.run.is_empty() { "run of no name".to_owned() } else { format!("run {}", inert(&run.run)) };
    let of = if run.sandbox.is_empty() { String::new() } else { format!(" of sandbox {}", inert(&run.sandbox)) };
    let _ = writeln!(text, "{}{of}: {}", name.bold(), state(run.state));
    let _ = writeln!(
        text,
        "  read     {}, {}; {}, {}",
        count(run.files as usize, "file"),
        size(run.bytes),
        count(run.records as usize, "record"),
        count(run.checkpoints as usize, "signed checkpoint"),
    );
    if let Some(signer) = &run.signer {
        let _ = writeln!(text, "  signed   {}", key(signer));
    }
    findings(text, &run.findings);
    if !run.verified {
        believed(text, run);
    }
}

fn state(state: VerifiedState) -> &'static str {
    match state {
        VerifiedState::Sealed => "sealed",
        VerifiedState::Interrupted => "interrupted, and sealed by the command that found it",
        VerifiedState::Running => "it still runs",
        VerifiedState::Unsealed => "not sealed",
        VerifiedState::Older => "not sealed: made by an older aido",
    }
}

fn key(signer: &SignedBy) -> String {
    let standing = match (signer.known, signer.kept) {
        (true, _) => "a key that you know",
        (false, true) => "a key that you do not know",
        (false, false) => "a key that was not kept",
    };
    format!("{} ({standing})", inert(&signer.keyid))
}

fn findings(text: &mut String, findings: &[Finding]) {
    // The worst first; what only is good to know needs no colour.
    let mut sorted: Vec<&Finding> = findings.iter().collect();
    sorted.sort_by_key(|finding| std::cmp::Reverse(finding.level));
    for finding in sorted.iter().take(SHOWN) {
        let level = match finding.level {
            Level::Fault => format!("{:<8}", "fault").red().to_string(),
            Level::Warning => format!("{:<8}", "warning").yellow().to_string(),
            Level::Note => format!("{:<8}", "note"),
        };
        let _ = writeln!(text, "  {level} {}", sentence(finding));
    }
    if sorted.len() > SHOWN {
        let _ = writeln!(text, "           and {} more; --json has all of them", sorted.len() - SHOWN);
    }
}

/// A finding in one line.
fn sentence(finding: &Finding) -> String {
    let record = finding.record.map(|record| format!("record {record}"));
    let line = finding.line.map(|line| format!("line {line}"));
    let file = Some(inert(&finding.file)).filter(|file| !file.is_empty());
    let place: Vec<String> = [file, record, line].into_iter().flatten().collect();
    let what = inert(&finding.what);
    if place.is_empty() { what } else { format!("{}: {what}", place.join(", ")) }
}

/// What stands although something else does not.
fn believed(text: &mut String, run: &Report) {
    let _ = match run.trusted.first() {
        None => writeln!(text, "  stands   nothing of it is signed"),
        Some(first) => writeln!(text, "  stands   if one believes the key {}:", inert(&first.keyid)),
    };
    let (whole, parts): (Vec<&Trusted>, Vec<&Trusted>) = run.trusted.iter().partition(|one| one.whole);
    let names: Vec<String> = whole.iter().take(SHOWN).map(|one| inert(&one.file)).collect();
    if !names.is_empty() {
        let more = whole.len().saturating_sub(SHOWN);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        let _ = writeln!(text, "           as sealed: {}{more}", names.join(", "));
    }
    for one in parts {
        let _ = writeln!(text, "           {}: {}", inert(&one.file), inert(&one.what));
    }
}

fn verdict(runs: &[Report], ledger: Option<&LedgerReport>, verified: bool) -> String {
    let good = |text: &str| text.green().to_string();
    let bad = |text: &str| format!("{}: {text}", "not verified".red());
    if verified {
        let running = runs.iter().any(|run| run.state == VerifiedState::Running);
        return if running { good("verified so far") } else { good("verified") };
    }
    let failed: Vec<&Report> = runs.iter().filter(|run| !run.verified).collect();
    let only_key = !failed.is_empty() && failed.iter().all(|run| run.only_the_key_is_unknown());
    let ledger = ledger.is_some_and(|ledger| !ledger.verified);
    match (only_key, ledger) {
        (true, false) => {
            let keys: Vec<&str> =
                failed.iter().filter_map(|run| run.signer.as_ref()).map(|by| by.keyid.as_str()).collect();
            let key = inert(keys.first().unwrap_or(&""));
            bad(&format!("consistent, but signed by a key you do not know: {key}; pass --key if you know whose it is"))
        }
        (_, true) if failed.is_empty() => bad("the ledger does not hold"),
        _ if failed.is_empty() => bad("there are warnings, and --strict counts them"),
        _ if runs.len() == 1 => bad("the run is not as it was signed"),
        _ => bad(&format!("{} of {} are not as they were signed", failed.len(), count(runs.len(), "run"))),
    }
}

/// The faults of one run, a line each.
pub(in crate::commands) fn faults(run: &Report) -> String {
    let faults: Vec<&Finding> = run.findings.iter().filter(|finding| finding.level == Level::Fault).collect();
    let mut lines: Vec<String> = faults.iter().take(SHOWN).map(|finding| format!("  {}", sentence(finding))).collect();
    if faults.len() > SHOWN {
        lines.push(format!("  and {} more", faults.len() - SHOWN));
    }
    lines.join("\n")
}
