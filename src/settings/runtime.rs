//! `runtime:`: where the root file system comes from.

use std::fmt;
use std::path::PathBuf;

/// A root file system, by the name the user gave it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Runtime {
    /// The host's own toolchains.
    Host,
    /// An image reference, as it was written: `python:3.11`.
    Image(String),
    /// An OCI image layout.
    OciLayout { folder: PathBuf, tag: Option<String> },
    /// An OCI image layout in a tar file.
    OciArchive { file: PathBuf },
    /// What `docker save` writes.
    DockerArchive { file: PathBuf },
    /// A tar file of a whole root file system.
    RootArchive { file: PathBuf },
    /// A folder that holds a whole root file system.
    RootFolder { folder: PathBuf },
}

impl Runtime {
    /// Paths stay as they were written, relative to the project.
    pub fn parse(text: &str) -> Result<Runtime, String> {
        if text == "host" {
            return Ok(Runtime::Host);
        }
        for (scheme, form) in [
            ("oci:", "oci:DIR[:TAG]"),
            ("oci-archive:", "oci-archive:FILE"),
            ("docker-archive:", "docker-archive:FILE"),
            ("rootfs:", "rootfs:DIR"),
            ("rootfs-archive:", "rootfs-archive:FILE"),
        ] {
            let Some(rest) = text.strip_prefix(scheme) else { continue };
            if rest.is_empty() || rest.contains('\0') {
                return Err(format!("`{text}` names no path; write {form}"));
            }
            return Ok(match scheme {
                "oci:" => {
                    let (folder, tag) = path_and_tag(rest);
                    Runtime::OciLayout { folder, tag }
                }
                "oci-archive:" => Runtime::OciArchive { file: rest.into() },
                "docker-archive:" => Runtime::DockerArchive { file: rest.into() },
                "rootfs-archive:" => Runtime::RootArchive { file: rest.into() },
                _ => Runtime::RootFolder { folder: rest.into() },
            });
        }
        let plain = |c: char| c.is_ascii_alphanumeric() || "._-/:@+[]".contains(c);
        if text.is_empty() || text.len() > 1024 || !text.chars().all(plain) || text.starts_with(['-', '/', '.']) {
            return Err(format!(
                "`{text}` is no runtime; write `host`, an image such as python:3.11, oci:DIR, oci-archive:FILE, docker-archive:FILE, rootfs:DIR or rootfs-archive:FILE"
            ));
        }
        Ok(Runtime::Image(text.to_string()))
    }
}

/// A colon in the last part of the path begins a tag.
fn path_and_tag(text: &str) -> (PathBuf, Option<String>) {
    match text.rsplit_once(':') {
        Some((path, tag)) if !path.is_empty() && !tag.is_empty() && !tag.contains('/') => {
            (path.into(), Some(tag.to_string()))
        }
        _ => (text.into(), None),
    }
}

impl fmt::Display for Runtime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tagged = |f: &mut fmt::Formatter<'_>, tag: &Option<String>| match tag {
            Some(tag) => write!(f, ":{tag}"),
            None => Ok(()),
        };
        match self {
            Runtime::Host => f.write_str("host"),
            Runtime::Image(reference) => f.write_str(reference),
            Runtime::OciLayout { folder, tag } => write!(f, "oci:{}", folder.display()).and_then(|()| tagged(f, tag)),
            Runtime::OciArchive { file } => write!(f, "oci-archive:{}", file.display()),
            Runtime::DockerArchive { file } => write!(f, "docker-archive:{}", file.display()),
            Runtime::RootArchive { file } => write!(f, "rootfs-archive:{}", file.display()),
            Runtime::RootFolder { folder } => write!(f, "rootfs:{}", folder.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_reads_and_shows_alike() {
        for text in [
            "host",
            "python:3.11",
            "localhost:5000/team/tool@sha256:0123",
            "[::1]:5000/x",
            "oci:images/py",
            "oci:images/py:3.11",
            "oci-archive:py.tar:latest",
            "docker-archive:/tmp/py.tar",
            "rootfs:build/root",
            "rootfs-archive:build/root.tar",
        ] {
            assert_eq!(Runtime::parse(text).unwrap().to_string(), text);
        }
        assert_eq!(Runtime::parse("oci:a:b/c").unwrap(), Runtime::OciLayout { folder: "a:b/c".into(), tag: None });
    }

    #[test]
    fn what_names_nothing_is_refused() {
        for text in
            ["", "oci:", "rootfs:", "/usr", "./root", "py thon", "-x", "a\u{7}b", "docker-archive:", "rootfs-archive:"]
        {
            assert!(Runtime::parse(text).is_err(), "{text:?}");
        }
    }
}
