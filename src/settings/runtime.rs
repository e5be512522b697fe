//! `runtime:`: where the root file system comes from.

use aido_image::{Source, Which};
use std::fmt;
use std::path::{Path, PathBuf};

/// A root file system, by the name the user gave it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Runtime {
    /// The host's own toolchains.
    Host,
    /// An image reference, as it was written: `python:3.11`.
    Image(String),
    /// An OCI image layout.
    OciLayout { folder: PathBuf, which: Which },
    /// An OCI image layout in a tar file.
    OciArchive { file: PathBuf, which: Which },
    /// What `docker save` writes.
    DockerArchive { file: PathBuf, which: Which },
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
        if text.contains('\0') {
            return Err("a NUL character names nothing".to_string());
        }
        if let Some(folder) = text.strip_prefix("rootfs:") {
            if folder.is_empty() {
                return Err(format!("`{text}` names no path; write rootfs:DIR"));
            }
            return Ok(Runtime::RootFolder { folder: folder.into() });
        }
        if ["oci:", "oci-archive:", "docker-archive:", "rootfs-archive:"].iter().any(|scheme| text.starts_with(scheme))
        {
            return match text.parse::<Source>() {
                Ok(Source::OciLayout { dir: folder, which }) => Ok(Runtime::OciLayout { folder, which }),
                Ok(Source::OciArchive { file, which }) => Ok(Runtime::OciArchive { file, which }),
                Ok(Source::DockerArchive { file, which }) => Ok(Runtime::DockerArchive { file, which }),
                Ok(Source::RootArchive(file)) => Ok(Runtime::RootArchive { file }),
                Ok(Source::Registry(_)) => Err(format!("`{text}` names no path")),
                Err(e) => Err(e.remedy.map_or_else(|| e.what.clone(), |remedy| format!("{}; {remedy}", e.what))),
            };
        }
        let plain = |c: char| c.is_ascii_alphanumeric() || "._-/:@+[]".contains(c);
        if text.is_empty() || text.len() > 1024 || !text.chars().all(plain) || text.starts_with(['-', '/', '.']) {
            return Err(format!(
                "`{text}` is no runtime; write `host`, an image such as python:3.11, oci:DIR, oci-archive:FILE, docker-archive:FILE, rootfs:DIR or rootfs-archive:FILE"
            ));
        }
        Ok(Runtime::Image(text.to_string()))
    }

    /// The folder or file that it names, as it was written.
    pub fn path(&self) -> Option<&Path> {
        match self {
            Runtime::Host | Runtime::Image(_) => None,
            Runtime::OciLayout { folder, .. } | Runtime::RootFolder { folder } => Some(folder),
            Runtime::OciArchive { file, .. } | Runtime::DockerArchive { file, .. } | Runtime::RootArchive { file } => {
                Some(file)
            }
        }
    }

    /// The same at another place.
    pub fn at(&self, path: PathBuf) -> Runtime {
        match self.clone() {
            Runtime::OciLayout { which, .. } => Runtime::OciLayout { folder: path, which },
            Runtime::OciArchive { which, .. } => Runtime::OciArchive { file: path, which },
            Runtime::DockerArchive { which, .. } => Runtime::DockerArchive { file: path, which },
            Runtime::RootArchive { .. } => Runtime::RootArchive { file: path },
            Runtime::RootFolder { .. } => Runtime::RootFolder { folder: path },
            other => other,
        }
    }
}

impl fmt::Display for Runtime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Runtime::Host => f.write_str("host"),
            Runtime::Image(reference) => f.write_str(reference),
            Runtime::OciLayout { folder, which } => write!(f, "oci:{}{which}", folder.display()),
            Runtime::OciArchive { file, which } => write!(f, "oci-archive:{}{which}", file.display()),
            Runtime::DockerArchive { file, which } => write!(f, "docker-archive:{}{which}", file.display()),
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
        assert_eq!(
            Runtime::parse("oci:a:b/c").unwrap(),
            Runtime::OciLayout { folder: "a:b/c".into(), which: Which::Only }
        );
        let py = Runtime::OciArchive { file: "py.tar".into(), which: Which::Named("3.11".into()) };
        assert_eq!(Runtime::parse("oci-archive:py.tar:3.11").unwrap(), py);
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
