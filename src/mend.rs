//! An error in words: what failed, where, why, and what mends it.

use crate::words;
use std::io::{self, ErrorKind};

/// The error in full, with what mends it.
pub(crate) fn report(error: &anyhow::Error) -> String {
    let mut text = told(error);
    if let Some(remedy) = remedy(error, &text) {
        text.push_str(&format!("\n  help: {remedy}"));
    }
    // Errors quote files, images and registries, which strangers write.
    text.lines().map(words::inert).collect::<Vec<_>>().join("\n")
}

/// The error and its causes, each once: some errors tell their cause themselves.
fn told(error: &anyhow::Error) -> String {
    let mut text = error.to_string();
    for cause in error.chain().skip(1).map(ToString::to_string) {
        if !text.ends_with(&cause) {
            text.push_str(&format!(": {cause}"));
        }
    }
    text
}

/// What mends it: the error's own word, else what mends what the system refused.
fn remedy(error: &anyhow::Error, text: &str) -> Option<String> {
    if let Some(own) = error.downcast_ref::<aido_runtime::Error>() {
        return own.remedy.clone();
    }
    if text.contains("\n  help: ") {
        return None;
    }
    let cause = error.chain().find_map(|cause| cause.downcast_ref::<io::Error>())?;
    let evidence = error.chain().any(|cause| cause.is::<aido_evidence::Error>());
    of_the_system(cause, evidence).map(str::to_owned)
}

/// What failed at the evidence, for who has only this error to tell it by.
pub(crate) fn evidence(error: &aido_evidence::Error) -> aido_runtime::Error {
    let failed = aido_runtime::Error::new(error.to_string());
    let aido_evidence::Error::Io { source, .. } = error else { return failed };
    match of_the_system(source, true) {
        Some(remedy) => failed.remedy(remedy),
        None => failed,
    }
}

/// What mends a refusal of the system. The evidence lies in the project, which is not what everybody expects.
fn of_the_system(cause: &io::Error, evidence: bool) -> Option<&'static str> {
    match cause.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded if evidence => Some(
            "make room on that disk: `aido prune --older-than 7d` removes old evidence, `aido image prune` images that lost their name",
        ),
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem if evidence => Some(
            "the evidence lies in .aido of the project folder, which you must be able to read and write (`ls -ld` shows whose it is); or work in a copy: `cp -r . /tmp/copy`",
        ),
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => Some("make room there, or write to another place"),
        ErrorKind::PermissionDenied => Some("`ls -ld` shows whose it is, and who may read it"),
        _ if too_many_files(cause) => Some("allow more open files: `ulimit -n 1024`"),
        _ => None,
    }
}

#[cfg(unix)]
fn too_many_files(cause: &io::Error) -> bool {
    use nix::errno::Errno;
    cause.raw_os_error().is_some_and(|code| [Errno::EMFILE as i32, Errno::ENFILE as i32].contains(&code))
}

#[cfg(not(unix))]
fn too_many_files(_: &io::Error) -> bool {
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::Context;

    #[test]
    fn a_cause_is_said_once_and_comes_with_its_mend() {
        let full = || io::Error::from_raw_os_error(28);
        let path = std::path::PathBuf::from("/p/.aido/x");
        let error = anyhow::Error::new(aido_evidence::Error::Io { doing: "write", path, source: full() });
        let said = report(&error);
        assert_eq!(said.matches("No space left").count(), 1, "{said}");
        assert!(said.starts_with("cannot write /p/.aido/x: ") && said.contains("\n  help: make room"), "{said}");
        let said = report(&Err::<(), _>(full()).context("standard output").unwrap_err());
        assert!(said.starts_with("standard output: No space left"), "{said}");
    }

    #[test]
    fn an_errors_own_mend_is_the_only_one() {
        let own = aido_runtime::Error::new("it is cold").remedy("heat it");
        assert_eq!(report(&own.into()), "it is cold\n  help: heat it");
        assert_eq!(report(&anyhow::anyhow!("no mend \u{1b}[2J")), "no mend \\x1b[2J");
    }
}
