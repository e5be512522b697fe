//! Certificates that the user gave for a registry: a file of its own, or folders as Docker's `certs.d`.

use super::small;
use crate::{Error, Kind, Result};
use std::path::{Path, PathBuf};

/// A certificate file, in bytes.
const MOST: u64 = 1 << 20;

/// Files in PEM form.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Certificates {
    /// Whom to trust beside the system's.
    roots: Vec<PathBuf>,
    /// What to show: a certificate and its key.
    own: Option<(PathBuf, PathBuf)>,
}

impl Certificates {
    /// What stands for a host in `ca` and in the folders `FOLDER/HOST[:PORT]/`.
    pub(super) fn find(host: &str, ca: Option<&Path>, folders: &[PathBuf]) -> Result<Certificates> {
        let mut found = Certificates { roots: ca.map(Path::to_owned).into_iter().collect(), own: None };
        // The name came from a reference, which holds no slash; `.` and `..` are folders too.
        if host.starts_with('.') {
            return Ok(found);
        }
        for folder in folders {
            let Ok(entries) = std::fs::read_dir(folder.join(host)) else { continue };
            let mut files: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
            files.sort();
            for file in files {
                match file.extension().and_then(|e| e.to_str()) {
                    Some("crt") => found.roots.push(file),
                    Some("cert") if found.own.is_none() => {
                        let key = file.with_extension("key");
                        found.own = Some((file, key));
                    }
                    _ => {}
                }
            }
        }
        Ok(found)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.roots.is_empty() && self.own.is_none()
    }

    /// Whom to trust, without anything to show.
    pub(super) fn without_own(&self) -> Certificates {
        Certificates { own: None, ..self.clone() }
    }

    /// Certificates to trust, of these files.
    pub(super) fn roots(&self) -> Result<Vec<reqwest::Certificate>> {
        let mut all = Vec::new();
        for file in &self.roots {
            let some = reqwest::Certificate::from_pem_bundle(&read(file)?).ok().filter(|some| !some.is_empty());
            all.extend(some.ok_or_else(|| unusable(file, "it holds no certificate in PEM form"))?);
        }
        Ok(all)
    }

    pub(super) fn own(&self) -> Result<Option<reqwest::Identity>> {
        let Some((certificate, key)) = &self.own else { return Ok(None) };
        let mut both = read(certificate)?;
        both.push(b'\n');
        both.extend(read(key)?);
        let identity = reqwest::Identity::from_pem(&both);
        identity.map(Some).map_err(|_| unusable(certificate, "it and its `.key` are no certificate with its key"))
    }
}

fn unusable(file: &Path, why: &str) -> Error {
    Error::new(Kind::Registry, format!("the certificates in `{}` cannot be used: {why}", file.display()))
        .remedy(format!("mend or remove `{}`", file.display()))
}

fn read(file: &Path) -> Result<Vec<u8>> {
    match small::read(file, MOST) {
        Ok(Some(bytes)) => Ok(bytes),
        Ok(None) => Err(unusable(file, "it is not there")),
        Err(e) => Err(unusable(file, &e.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_are_read_as_docker_reads_them() {
        let scratch = tempfile::tempdir().unwrap();
        let folder = scratch.path().join("r.example:5000");
        std::fs::create_dir(&folder).unwrap();
        for file in ["b.crt", "a.crt", "me.cert", "me.key", "readme"] {
            std::fs::write(folder.join(file), "nothing").unwrap();
        }
        let folders = [scratch.path().to_owned(), scratch.path().join("none")];
        let find = |host: &str| Certificates::find(host, None, &folders).unwrap();
        let found = find("r.example:5000");
        assert_eq!(found.roots, [folder.join("a.crt"), folder.join("b.crt")]);
        assert_eq!(found.own, Some((folder.join("me.cert"), folder.join("me.key"))));
        assert!(find("r.example").is_empty() && find("..").is_empty());
        let error = found.roots().unwrap_err();
        assert!(error.what.contains("a.crt") && error.remedy.is_some(), "{error}");
        assert!(found.own().unwrap_err().what.contains("me.cert"));
    }
}
