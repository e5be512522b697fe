//! `aido check --pin`: writes the digest of the runtime's image into the configuration.

use crate::cli::Check;
use crate::settings::{self, Runtime, Settings};
use crate::{root, words};
use aido_image::{Digest, Reference};
use aido_runtime::Error;
use anyhow::Result;

/// Whether the file was changed.
pub(super) fn pin(settings: &Settings, asked: &Check) -> Result<bool> {
    let Some(shown) = &settings.file else {
        let error = Error::new("there is no sandbox.yaml that could be pinned");
        return Err(error
            .remedy("write one with the line `runtime: python:3.11`, or name a file: aido check --pin FILE")
            .into());
    };
    let written = settings.runtime.value.to_string();
    let reference = reference(&settings.runtime.value)?;
    if let (Some(digest), false) = (reference.digest, asked.update) {
        words::say(&format!(
            "{shown} is pinned already, to {digest}; `aido check --pin --update` asks for the tag again"
        ));
        return Ok(false);
    }
    let Some(tag) = reference.tagged() else {
        let error = Error::new(format!("`{written}` has no tag whose present meaning could be asked for"));
        return Err(error.remedy("write the tag there too: NAME:TAG@sha256:…").into());
    };
    let digest = root::meaning(&tag, asked)?;
    let to = with_digest(&written, &tag, &digest);
    if to == written {
        words::say(&format!("{shown} is pinned already to what {tag} means now, {digest}"));
        return Ok(false);
    }
    // As `Settings::load` found it: below the project, or where it was said to be.
    let path =
        asked.file.as_ref().map_or_else(|| settings.project.join(settings::FILE), |file| settings.project.join(file));
    settings::pin(&path, shown, &written, &to)?;
    words::say(&words::inert(&format!("{shown}: runtime {written} -> {to}")));
    Ok(true)
}

fn reference(runtime: &Runtime) -> Result<Reference, Error> {
    let why = match runtime {
        Runtime::Image(text) => return text.parse::<Reference>().map_err(root::told),
        Runtime::Host => "`host` is this machine's own programs, which no digest names",
        Runtime::RootFolder { .. } => "a root folder can change at any time, and no digest names it",
        _ => "it is a file of this machine; what ran is in the evidence",
    };
    let error = Error::new(format!("`{runtime}` cannot be pinned: {why}"));
    Err(error.remedy("pin an image of a registry: `runtime: python:3.11`"))
}

/// As it was written, but for the digest; a tag that was only meant is written too, so that it can be followed.
fn with_digest(written: &str, tag: &Reference, digest: &Digest) -> String {
    let name = written.split_once('@').map_or(written, |(name, _)| name);
    let last = name.rsplit('/').next().unwrap_or(name);
    let meant = if last.contains(':') { String::new() } else { format!(":{}", tag.tag.as_deref().unwrap_or("latest")) };
    format!("{name}{meant}@{digest}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_stays_as_it_was_written() {
        let (digest, old) = (Digest::of(b"new"), Digest::of(b"old"));
        for (written, name) in [
            ("python:3.11", "python:3.11"),
            ("python", "python:latest"),
            ("localhost:5000/a/b", "localhost:5000/a/b:latest"),
            ("localhost:5000/a/b:1", "localhost:5000/a/b:1"),
            (&format!("python:3.11@{old}"), "python:3.11"),
        ] {
            let tag = written.parse::<Reference>().unwrap().tagged().unwrap();
            let pinned = with_digest(written, &tag, &digest);
            assert_eq!(pinned, format!("{name}@{digest}"));
            assert_eq!(pinned.parse::<Reference>().unwrap(), tag.at(digest));
        }
    }

    #[test]
    fn what_has_no_digest_is_refused_with_the_reason() {
        for text in
            ["host", "rootfs:root", "oci:dir:tag", "oci-archive:x.tar", "docker-archive:x.tar", "rootfs-archive:x.tar"]
        {
            let error = reference(&Runtime::parse(text).unwrap()).unwrap_err();
            assert!(error.what.contains(text) && error.remedy.is_some(), "{}", error.what);
        }
    }
}
