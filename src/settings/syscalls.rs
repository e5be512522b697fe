//! Which profile of system calls: a name, or the user's own file.

use super::error::{Error, Result, Told};
use super::suggest::nearest;
use aido_runtime::SyscallProfile;
use std::io::Read;
use std::path::Path;

/// Bytes of a profile; Docker's own has 15,000.
const MOST: u64 = 256 * 1024;
const NAMES: [&str; 2] = ["default", "strict"];

/// In a `sandbox.yaml`: names alone. A profile of a stranger's could allow what ours refuses.
pub(super) fn named(told: &Told<String>) -> Result<SyscallProfile> {
    match told.value.as_str() {
        "default" => Ok(SyscallProfile::Default),
        "strict" => Ok(SyscallProfile::Strict),
        other => {
            let hint = nearest(other, NAMES).map_or(String::new(), |meant| format!("; did you mean `{meant}`?"));
            Err(Error::new(told.at.clone(), format!("`{other}` is no profile of system calls for a file{hint}"))
                .remedy("write `default` or `strict`; a profile of your own must be typed: `--syscalls FILE`"))
        }
    }
}

/// On the command line: a name, or a file in the JSON form of Docker and of the OCI runtime specification.
pub(super) fn typed(told: &Told<String>, project: &Path) -> Result<SyscallProfile> {
    if NAMES.contains(&told.value.as_str()) {
        return named(told);
    }
    let path = project.join(&told.value);
    let fail = |what: String| {
        Error::new(told.at.clone(), format!("{}: {what}", told.value))
            .remedy("give `default`, `strict` or a file with a profile in the JSON form of Docker and OCI")
    };
    let meta = std::fs::metadata(&path).map_err(|e| fail(e.to_string()))?;
    if !meta.is_file() {
        return Err(fail("this is no file".into()));
    }
    let file = std::fs::File::open(&path).map_err(|e| fail(e.to_string()))?;
    let mut profile = String::new();
    file.take(MOST + 1).read_to_string(&mut profile).map_err(|e| fail(e.to_string()))?;
    if profile.len() as u64 > MOST {
        return Err(fail(format!("a profile has at most {} KiB", MOST / 1024)));
    }
    Ok(SyscallProfile::File { path, profile })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::At;

    fn told(text: &str) -> Told<String> {
        Told::new(text.to_string(), At::Nowhere)
    }

    #[test]
    fn a_file_names_ours_and_only_what_is_typed_names_any() {
        let project = tempfile::tempdir().unwrap();
        std::fs::write(project.path().join("own.json"), "{}").unwrap();
        assert_eq!(named(&told("strict")).unwrap(), SyscallProfile::Strict);
        let error = named(&told("own.json")).unwrap_err().to_string();
        assert!(error.contains("--syscalls FILE"), "{error}");
        assert!(named(&told("stric")).unwrap_err().to_string().contains("did you mean `strict`"));
        let own = typed(&told("own.json"), project.path()).unwrap();
        assert_eq!(own, SyscallProfile::File { path: project.path().join("own.json"), profile: "{}".into() });
        assert_eq!(typed(&told("default"), project.path()).unwrap(), SyscallProfile::Default);
        for bad in ["nowhere.json", "."] {
            assert!(typed(&told(bad), project.path()).is_err(), "{bad}");
        }
        std::fs::write(project.path().join("big"), vec![b' '; 300 * 1024]).unwrap();
        assert!(typed(&told("big"), project.path()).unwrap_err().to_string().contains("256 KiB"));
    }
}
