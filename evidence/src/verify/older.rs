//! Runs from before there were seals: nothing is signed, and the digests that there are still say something.

use super::examine::Files;
use super::log::Log;
use super::report::{Finding, FindingKind};
use crate::files::{EVENTS, SUMMARY};
use serde::Deserialize;

/// The last version of `summary.json` that was written without a seal.
const LAST_WITHOUT_SEAL: u64 = 2;

/// What such a summary says that can be compared.
#[derive(Debug, Deserialize)]
pub(super) struct Summary {
    version: u64,
    #[serde(default)]
    chain_head: String,
    #[serde(default)]
    plan_digest: Option<String>,
    #[serde(default)]
    output: Streams,
    #[serde(default)]
    outputs: Collected,
}

#[derive(Debug, Default, Deserialize)]
struct Streams {
    stdout: Stream,
    stderr: Stream,
}

#[derive(Debug, Default, Deserialize)]
struct Stream {
    #[serde(default)]
    digest: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
struct Collected {
    #[serde(default)]
    artifacts: Vec<Artifact>,
}

#[derive(Debug, Deserialize)]
struct Artifact {
    path: String,
    #[serde(default)]
    digest: String,
}

/// The summary, if it is one of those and the record names no key.
pub(super) fn summary(bytes: Option<&[u8]>, log: &Log) -> Option<Summary> {
    let summary: Summary = serde_json::from_slice(bytes?).ok()?;
    (summary.version <= LAST_WITHOUT_SEAL && log.signers.is_empty()).then_some(summary)
}

/// Holds what is there against it. `outputs`: whether they are this run's.
pub(super) fn check(summary: &Summary, log: &Log, files: &Files, outputs: bool) -> Vec<Finding> {
    let what = "it is not signed: an aido without seals made it; its chain and digests were compared all the same";
    let mut findings = vec![Finding::fault(FindingKind::Unsealed, "", what)];
    if log.whole && summary.chain_head != log.head {
        let what = "it does not end where the summary says: records are missing at its end, or were added";
        findings.push(Finding::fault(FindingKind::Changed, EVENTS, what));
    }
    let mut compare = |name: &str, digest: &str, said_by: &str| {
        match files.digest(name) {
            Some(found) if found == digest.strip_prefix("sha256:").unwrap_or(digest) => {}
            Some(_) => {
                findings.push(Finding::fault(FindingKind::Changed, name, format!("it is not what {said_by} says")))
            }
            None => findings.push(Finding::fault(FindingKind::Missing, name, format!("{said_by} speaks of it"))),
        };
    };
    for digest in [&summary.plan_digest, &log.plan].into_iter().flatten() {
        compare("plan.json", digest, "the record");
    }
    for (name, stream) in [("stdout.log", &summary.output.stdout), ("stderr.log", &summary.output.stderr)] {
        if let Some(digest) = &stream.digest {
            compare(name, digest, SUMMARY);
        }
    }
    for artifact in summary.outputs.artifacts.iter().filter(|artifact| outputs && !artifact.digest.is_empty()) {
        compare(&format!("outputs/{}", artifact.path), &artifact.digest, SUMMARY);
    }
    findings
}
